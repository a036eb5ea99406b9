"""What a run is: everything that must agree for a checkpoint to be one of it, in plain numbers and text."""

import hashlib
import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from linfa.feedback import Feedback
from linfa.nn.assignment import FeedbackChoice
from linfa.nn.data import Augmentation, Dataset
from linfa.nn.data.arrays import blocks
from linfa.nn.network import Network


def of_network(network: Network) -> dict:
    """Layers with their settings, loss, feedback, precision and seed.

    Examples
    --------
    >>> from linfa import nn
    >>> of_network(nn.Network([nn.Dense(3)], (2,)))["layers"]["dense1"]
    "Dense(has_bias=True, initial='kaiming-uniform', units=3)"
    """
    layers: dict[str, str] = {}
    for layer in network.layers:
        # A residual block and its body share one name.
        layers[layer.name] = f"{layers[layer.name]} {_described(layer)}" if layer.name in layers else _described(layer)
    return _plain(
        {
            "layers": layers,
            "input shape": network.input_shape,
            "loss": _described(network.loss),
            "feedback": _feedback(network.feedback),
            "precision": str(network.dtype),
            "network seed": network.seed,
        }
    )


def of_augmentation(augment: Augmentation | None) -> dict | None:
    """Its settings, or None."""
    return None if augment is None else asdict(augment)


def of_data(dataset: Dataset) -> dict:
    """Name, number of training images, and a digest of them and their labels."""
    digest = hashlib.sha256()
    for block in (*blocks(dataset.train_images), dataset.train_labels):
        digest.update(np.ascontiguousarray(block))
    return {"name": dataset.name, "training images": len(dataset.train_labels), "digest": digest.hexdigest()}


def difference(theirs: Any, mine: Any, path: str = "") -> str | None:
    """Where two identities differ first, and how; None where they agree.

    Examples
    --------
    >>> difference({"batch": 4, "recipe": {"rate": 0.1}}, {"batch": 4, "recipe": {"rate": 0.2}})
    'recipe.rate is 0.1 there, 0.2 here'
    """
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for name in [*mine, *(n for n in theirs if n not in mine)]:
            here = f"{path}.{name}" if path else name
            if name not in theirs or name not in mine:
                return f"{here} is {'here' if name in mine else 'there'} alone"
            found = difference(theirs[name], mine[name], here)
            if found:
                return found
        return None
    return None if theirs == mine else f"{path} is {theirs!r} there, {mine!r} here"


def _plain(value: Any) -> Any:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _described(thing: object) -> str:
    """Class and settings: public attributes that are numbers or text, or several of them."""
    settings = {
        name: value
        for name, value in sorted(vars(thing).items())
        if not name.startswith("_") and name != "name" and _is_setting(value)
    }
    return f"{type(thing).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def _is_setting(value: object) -> bool:
    several = value if isinstance(value, tuple) else (value,)
    return all(isinstance(one, (bool, int, float, str, type(None))) for one in several)


def _feedback(feedback: FeedbackChoice) -> dict:
    if isinstance(feedback, Feedback):
        return {"*": _rule(feedback)}
    return {pattern: _rule(rule) for pattern, rule in feedback.items()}


def _rule(rule: Feedback) -> dict:
    """Class and arguments; of matrices that were given, a digest."""
    plain: dict = {"class": type(rule).__name__}
    for field in fields(rule):
        value = getattr(rule, field.name)
        if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
            digest = hashlib.sha256()
            for matrix in value:
                digest.update(str(matrix.shape).encode() + np.ascontiguousarray(matrix).tobytes())
            value = digest.hexdigest()
        plain[field.name] = value
    return plain
