"""A network: layers, the loss it descends, and the feedback that carries its error."""

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from linfa._check import choice, integer, seed_value
from linfa.feedback import Backprop
from linfa.nn.assignment import FeedbackChoice, assign
from linfa.nn.attention import SelfAttention
from linfa.nn.backend import device_module, like, namespace, to_numpy
from linfa.nn.composition import Residual, Sequential
from linfa.nn.layer import Builder, Layer, Pass, Shape
from linfa.nn.losses import CrossEntropy, Loss, one_hot
from linfa.nn.maps import WeightMap
from linfa.nn.parameters import Array, Parameter

_PRECISIONS = ("float32", "float64")


class Network:
    """Layers in sequence, with a rule of feedback.

    Parameters
    ----------
    layers : list of Layer
        From input to output; the last layer with weights gives the classes.
    input_shape : tuple of int
        Of one sample: (features,), or (height, width, channels).
    feedback : Feedback, or dict of str to Feedback, optional
        How the error comes back, `linfa.Backprop` when not given; one rule for all layers, or rules by the names of
        layers, with ``*`` for any text.
    loss : Loss, optional
        Cross-entropy when not given.
    seed : int
        Of the initial weights, and of dropout.
    dtype : {"float32", "float64"}

    Attributes
    ----------
    maps : list of WeightMap
        Everything with weights, in forward order.
    parameters : list of Parameter
    classes : int

    Raises
    ------
    ValueError, TypeError
        If the layers do not fit each other or the feedback does not fit them.

    Notes
    -----
    Drawn feedback has the spread of the initial weights that it replaces, and low-rank feedback the Frobenius norm of
    full feedback, so that rules start with the same gain (the linear theory scales by the receiving layer instead).

    Examples
    --------
    >>> import linfa
    >>> from linfa import nn
    >>> layers = [nn.Dense(16), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)]
    >>> network = nn.Network(layers, (8,), feedback=linfa.FeedbackAlignment(seed=1))
    >>> [m.name for m in network.maps], network.classes
    (['dense1', 'dense2'], 3)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Shape,
        *,
        feedback: FeedbackChoice | None = None,
        loss: Loss | None = None,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        self.dtype = np.dtype(choice("dtype", dtype, _PRECISIONS))
        self.seed = seed_value("seed", seed)
        self.input_shape = _shape("input_shape", input_shape)
        self.loss = CrossEntropy() if loss is None else loss
        if not isinstance(self.loss, Loss):
            raise TypeError(f"loss is {loss!r}; it must be a Loss, such as CrossEntropy()")
        self.body = Sequential(layers)
        every = list(self.body.layers())
        if any(layer.name or layer.parameters for layer in every):
            raise ValueError("layers are part of a network already; make new ones")
        if len({id(layer) for layer in every}) < len(every):
            raise ValueError("layers holds one layer twice; make one for each place, or they would share their state")
        builder = Builder(self.dtype, self.seed)
        out = self.body.build(self.input_shape, builder)
        if not builder.maps:
            raise ValueError("layers holds nothing with weights, such as Dense")
        if len(out) != 1:
            raise ValueError(
                f"the network makes {out} of a sample; it must end with one row of classes, as Dense makes"
            )
        self.classes = out[0]
        self.maps: list[WeightMap] = builder.maps
        for m in self.maps:
            m.is_output = m is self.maps[-1]
        self.feedback = Backprop() if feedback is None else feedback
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assign(self.feedback, self.maps, self.classes, self._obstacle())
        self.notes = [str(w.message) for w in caught]
        for note in self.notes:
            warnings.warn(note, UserWarning, stacklevel=2)

    def __repr__(self) -> str:
        sizes = " ".join(m.name for m in self.maps)
        return f"Network({sum(p.value.size for p in self.weights):,} weights, {self.classes} classes: {sizes})"

    def _obstacle(self) -> str | None:
        """Why direct feedback cannot serve."""
        for layer in self.body.layers():
            if isinstance(layer, (Residual, SelfAttention)):
                return f"{layer.name} is {type(layer).__name__}, through which layers also reach each other directly"
        return None

    @property
    def layers(self) -> Iterator[Layer]:
        """All layers, those inside others too, in forward order."""
        return self.body.layers()

    @property
    def weights(self) -> list[Parameter]:
        """Parameters of the network itself."""
        return [p for layer in self.body.layers() for p in layer.parameters]

    @property
    def feedback_parameters(self) -> list[Parameter]:
        """Parameters of learned feedback."""
        return [p for m in self.maps for p in m.carrier.parameters]

    @property
    def parameters(self) -> list[Parameter]:
        """All that is learned, weights first."""
        return self.weights + self.feedback_parameters

    def forward(self, x: Array, way: Pass | None = None) -> Array:
        """Outputs (N × classes) for samples x (N, …); without a pass, as in evaluation."""
        xp = namespace(x)
        if x.dtype.kind not in "iuf":
            raise TypeError(f"x holds {x.dtype}; it must hold real numbers")
        if x.shape[1:] != self.input_shape or not len(x):
            sizes = ", ".join(map(str, self.input_shape))
            raise ValueError(f"x is {x.shape}; it must be (samples, {sizes}), with at least one sample")
        with np.errstate(over="ignore"):
            x = x.astype(self.dtype, copy=False)
        if not xp.isfinite(x).all():
            raise ValueError("x holds NaN or infinity; every entry must be finite")
        return self.body.forward(x, Pass("evaluate", seed=self.seed) if way is None else way)

    def backward(self, output_error: Array, way: Pass) -> None:
        """Send ∂loss/∂output (N × classes) back; sets the gradients of all parameters."""
        way.output_error = output_error
        self.body.backward(output_error, way)

    def learn(self, x: Array, labels: np.ndarray, way: Pass) -> tuple[float, Array]:
        """Forward and back for one batch: mean loss and outputs; the gradients of all parameters are set.

        `labels` are integers (N,), or real targets (N × classes).
        """
        targets = self.targets(labels)
        if len(targets) != len(x):
            raise ValueError(f"labels has {len(targets)} entries; it must have {len(x)}, as x has")
        way.targets = targets
        output = self.forward(x, way)
        loss, error = self.loss(output, targets)
        self.backward(error, way)
        return loss, output

    def targets(self, labels: Array) -> Array:
        """Targets (N × classes) where the weights live: labels as one-hot rows, real targets as they are."""
        labels = labels if hasattr(labels, "ndim") else np.asarray(labels)
        weight = self.weights[0].value
        if labels.ndim == 2:
            if labels.shape[1] != self.classes:
                raise ValueError(f"labels is {labels.shape}; targets must be (samples, {self.classes})")
            if labels.dtype.kind not in "iuf":
                raise TypeError(f"labels holds {labels.dtype}; targets must be real numbers")
            if not namespace(labels).isfinite(labels).all():
                raise ValueError("labels holds NaN or infinity; every target must be finite")
            return namespace(weight).asarray(labels, dtype=self.dtype)
        labels = to_numpy(labels)
        if labels.ndim != 1:
            raise ValueError(f"labels has {labels.ndim} dimensions; it must be (samples,) or (samples, {self.classes})")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"labels holds {labels.dtype}; it must hold integers, 0 … {self.classes - 1}")
        if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            raise ValueError(f"labels go from {labels.min()} to {labels.max()}; they must be 0 … {self.classes - 1}")
        return like(one_hot(labels, self.classes, self.dtype), weight)

    def refresh(self, rate: float, decay: float, way: Pass) -> None:
        """What feedback rules do of themselves after an update: the weight mirror looks at the new weights."""
        for m in self.maps:
            m.carrier.refresh(m.weight.matrix, rate, decay, way)

    def refactor(self) -> None:
        """Set every normative feedback to the best fit of the weights at this moment."""
        for m in self.maps:
            carrier = m.carrier
            if getattr(carrier, "q_rule", "") == "normative" or getattr(carrier, "p_rule", "") == "normative":
                carrier.refactor(m.weight.matrix)

    def state(self) -> dict[str, np.ndarray]:
        """Every array that a run changes or drew: weights, feedback, running averages; by name."""
        return {name: to_numpy(array) for name, array, _ in self._arrays()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned.

        Raises
        ------
        ValueError
            If the arrays are those of another network.
        """
        wanted = {name: array for name, array, _ in self._arrays()}
        for what, names in (("lacks", wanted.keys() - state.keys()), ("has", state.keys() - wanted.keys())):
            if names:
                raise ValueError(f"the state {what} {sorted(names)[0]!r}; it is of another network or another feedback")
        for name, array in wanted.items():
            if state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise ValueError(
                    f"{name} in the state is {state[name].dtype} {state[name].shape}; "
                    f"here it is {array.dtype} {array.shape}"
                )
        for name, array in wanted.items():
            array[...] = like(state[name], array)

    def to(self, device: str) -> "Network":
        """Move every array to ``"cpu"`` or ``"cuda"``; returns the network itself."""
        xp = device_module(device)
        for _, array, put in list(self._arrays()):
            if namespace(array) is not xp:
                put(to_numpy(array) if xp is np else xp.asarray(array))
        return self

    def _arrays(self) -> Iterator[tuple[str, Array, Callable[[Array], None]]]:
        """(name, array, how to put another in its place)."""
        owners = [(layer.name, layer) for layer in self.body.layers()]
        owners += [(m.name, m.carrier) for m in self.maps]
        for prefix, owner in owners:
            for parameter in owner.parameters:
                yield parameter.name, parameter.value, lambda new, p=parameter: setattr(p, "value", new)
            for key, array in owner.buffers.items():
                yield f"{prefix}.{key}", array, lambda new, o=owner, key=key: o.buffers.__setitem__(key, new)


def _shape(name: str, value: object) -> Shape:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} is {value!r}; it must be a tuple of sizes, such as (32, 32, 3)")
    shape = tuple(integer(f"{name}[{k}]", size, at_least=1) for k, size in enumerate(value))
    if not shape:
        raise ValueError(f"{name} is empty; it must be the sizes of one sample")
    return shape
