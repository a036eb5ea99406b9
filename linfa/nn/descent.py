"""The updates of a network: every parameter by its optimiser, with a memory that can be saved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from linfa._check import integer, nearest
from linfa.nn import update_kernels
from linfa.nn.backend import like, namespace
from linfa.nn.optimisers import Step, check_array, check_like
from linfa.nn.parameters import ROLES, Array, Parameter
from linfa.nn.recipe import Recipe, Relative, Treatment


@dataclass(frozen=True)
class Assigned:
    """What one parameter got, and why. `shape` is that of the weights it follows; `feedback` marks Q and P."""

    treatment: Treatment
    reason: str
    shape: tuple[int, ...]
    feedback: bool = False


def assign(parameters: Iterable[Parameter], recipe: Recipe, updates_per_epoch: int = 1) -> "Descent":
    """Give every parameter its optimiser, rate and decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        All that learns, with different names; weights in the order from input to output, which tells the first and the
        head. Feedback named ``LAYER.b`` mirrors the weights named ``LAYER.weight``.
    recipe : Recipe
        The rules.
    updates_per_epoch : int
        What the schedules count epochs by.

    Returns
    -------
    Descent
        Call its `step` once the gradients are there.

    Raises
    ------
    ValueError, TypeError
        If two parameters share a name, an array cannot be updated in place or holds NaN or infinity, `recipe` names a
        parameter that is not there, or feedback B has no weights of its shape to mirror.

    Examples
    --------
    >>> from linfa.nn.optimisers import SGD
    >>> w = Parameter("dense1.weight", np.ones((2, 2)), "weight", np.ones((2, 2)))
    >>> descent = assign([w], Recipe(Treatment(SGD(), rate=0.25)))
    >>> descent.step()
    >>> float(w.value[0, 0])
    0.75
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe is {recipe!r}; it must be a Recipe")
    parameters = list(parameters)
    by_name = {}
    for k, parameter in enumerate(parameters):
        if not isinstance(parameter, Parameter):
            raise TypeError(f"parameters[{k}] is {type(parameter).__name__}; it must be a Parameter")
        if parameter.name in by_name:
            raise ValueError(f"two parameters have the name {parameter.name!r}; each must have its own")
        if parameter.role not in ROLES:
            raise ValueError(f"{parameter.name} has the role {parameter.role!r}; it must be one of {', '.join(ROLES)}")
        check_array(parameter.name, parameter.value)
        by_name[parameter.name] = parameter
    if not parameters:
        raise ValueError("parameters is empty; there must be something to learn")
    _refuse_not_finite("value", {name: parameter.value for name, parameter in by_name.items()})
    return Descent(by_name, _treatments(by_name, recipe), recipe, updates_per_epoch)


def _treatments(parameters: Mapping[str, Parameter], recipe: Recipe) -> dict[str, Assigned]:
    """What each parameter gets; feedback B last, for it follows weights."""
    weights = [p for p in parameters.values() if p.role == "weight"]
    exempt = _exempt(weights, recipe)
    for name in recipe.overrides:
        if name not in parameters:
            raise ValueError(f"overrides names {name!r}, which is no parameter{nearest(name, parameters)}")
    assigned = {}
    for parameter in sorted(parameters.values(), key=lambda p: p.role == "feedback-b"):
        if parameter.role == "weight":
            given = _of_weight(parameter, recipe, exempt)
        elif parameter.role == "feedback-b":
            given = _of_mirror(parameter, recipe, weights, assigned)
        elif parameter.role in ("feedback-q", "feedback-p"):
            given = _of_factor(parameter, recipe)
        else:
            base = recipe.base if recipe.decay_everywhere else replace(recipe.base, decay=0.0)
            given = Assigned(base, parameter.role, parameter.value.shape)
        if parameter.name in recipe.overrides:
            wanted = recipe.overrides[parameter.name]
            treatment = wanted.of(given.treatment) if isinstance(wanted, Relative) else wanted
            given = replace(given, treatment=treatment, reason="by name")
        if given.treatment.optimiser.hidden_only:
            try:
                given.treatment.optimiser.scale(given.shape)
            except ValueError as error:
                raise ValueError(f"{parameter.name}: {error}") from error
        assigned[parameter.name] = given
    return {name: assigned[name] for name in parameters}


def _exempt(weights: list[Parameter], recipe: Recipe) -> dict[str, str]:
    """Names of weights that an optimiser of hidden matrices leaves out, and why."""
    if not recipe.weights.optimiser.hidden_only or not weights:
        return {}
    names = [weight.name for weight in weights]
    exempt = {}
    for entry in recipe.exempt:
        if entry == "first":
            exempt[names[0]] = "first weights"
        elif entry == "head":
            exempt[names[-1]] = "head"
        elif entry in names:
            exempt[entry] = "exempt by name"
        else:
            raise ValueError(f"exempt names {entry!r}, which is no weight{nearest(entry, ['first', 'head', *names])}")
    return exempt


def _of_weight(parameter: Parameter, recipe: Recipe, exempt: Mapping[str, str]) -> Assigned:
    shape = parameter.value.shape
    if not recipe.weights.optimiser.hidden_only:
        return Assigned(recipe.weights, "weight", shape)
    if parameter.name in exempt:
        return Assigned(recipe.auxiliary, exempt[parameter.name], shape)
    if len(shape) < 2:
        return Assigned(recipe.auxiliary, "no matrix", shape)
    return Assigned(recipe.weights, "hidden weight", shape)


def _own(parameter: Parameter) -> Relative:
    """What the feedback's own rule asks for."""
    return Relative(parameter.rate, parameter.decay)


def _of_factor(parameter: Parameter, recipe: Recipe) -> Assigned:
    wanted = recipe.q if parameter.role == "feedback-q" else recipe.p
    treatment = wanted if isinstance(wanted, Treatment) else (wanted or _own(parameter)).of(recipe.base)
    return Assigned(treatment, parameter.role, parameter.value.shape, feedback=True)


def _of_mirror(
    parameter: Parameter, recipe: Recipe, weights: list[Parameter], assigned: Mapping[str, Assigned]
) -> Assigned:
    """B follows the weights which it replaces: the same optimiser, rate and decay, or relative to these."""
    if isinstance(recipe.b, Treatment):
        return Assigned(recipe.b, parameter.role, parameter.value.shape)
    layer = parameter.name.rpartition(".")[0]
    # B may be kept flattened where the weights are kernels.
    mirrored = [
        weight
        for weight in weights
        if weight.name.rpartition(".")[0] == layer and weight.matrix.shape == parameter.matrix.shape
    ]
    if len(mirrored) != 1:
        raise ValueError(
            f"{parameter.name}, shape {parameter.value.shape}, mirrors {len(mirrored)} of the weights; "
            f"exactly one must be in layer {layer!r} and of this shape"
        )
    followed = assigned[mirrored[0].name]
    treatment = (recipe.b or _own(parameter)).of(followed.treatment)
    return Assigned(treatment, f"mirrors {mirrored[0].name}", followed.shape)


class Descent:
    """All parameters with their optimisers, what these remember, and how many updates were made; see `assign`.

    Attributes
    ----------
    assigned : dict of str to Assigned
        By name: treatment and reason.
    count : int
        Updates made.
    """

    def __init__(
        self, parameters: dict[str, Parameter], assigned: dict[str, Assigned], recipe: Recipe, updates_per_epoch: int
    ) -> None:
        self._parameters = parameters
        self.assigned = assigned
        self.recipe = recipe
        self.updates_per_epoch = integer("updates_per_epoch", updates_per_epoch, at_least=1)
        self.count = 0
        self._memory = {name: assigned[name].treatment.optimiser.start(p.value) for name, p in parameters.items()}

    def _factors(self) -> tuple[float, float]:
        schedule = self.recipe.schedule
        factors = [
            of(self.count, self.updates_per_epoch) for of in (schedule, self.recipe.feedback_schedule or schedule)
        ]
        return factors[0], factors[1]

    def rates(self) -> dict[str, float]:
        """Rate of each parameter in the next update."""
        factor, of_feedback = self._factors()
        return {
            name: given.treatment.rate * (of_feedback if given.feedback else factor)
            for name, given in self.assigned.items()
        }

    def step(self) -> None:
        """One update of every parameter, in place, by its gradient.

        Raises
        ------
        ValueError, TypeError
            If a gradient is missing, does not fit its parameter, or is not finite. Nothing is changed then.
        """
        gradients = {}
        for name, parameter in self._parameters.items():
            if parameter.gradient is None:
                raise ValueError(f"{name} has no gradient; every parameter must have one, from a backward pass")
            check_like(f"gradient of {name}", parameter.gradient, parameter.value)
            gradients[name] = parameter.gradient
        _refuse_not_finite("gradient", gradients)
        rates = self.rates()
        for name, parameter in self._parameters.items():
            given = self.assigned[name]
            treatment = given.treatment
            how = Step(self.count + 1, rates[name], treatment.decay, treatment.clamp, given.shape)
            treatment.optimiser.update(parameter.value, parameter.gradient, self._memory[name], how)
        self.count += 1

    def state(self) -> dict:
        """What a checkpoint needs beside the parameters.

        Returns
        -------
        dict
            ``"count"``: updates made; ``"memory"``: copies of what the optimisers remember, by parameter and slot.
        """
        memory = {name: {slot: a.copy() for slot, a in held.items()} for name, held in self._memory.items()}
        return {"count": self.count, "memory": memory}

    def load(self, state: Mapping) -> None:
        """Take up what `state` returned, bit for bit; NumPy arrays go to where the parameters live.

        Raises
        ------
        ValueError, TypeError
            If `state` is of other parameters or optimisers, or holds NaN or infinity. Nothing is changed then.
        """
        if not isinstance(state, Mapping) or set(state) != {"count", "memory"}:
            raise ValueError("state must be a dictionary of 'count' and 'memory', as state() returns it")
        count = integer("state['count']", state["count"], at_least=0)
        _same_names("state['memory']", state["memory"], self._memory)
        found = {}
        for name, held in self._memory.items():
            _same_names(f"state['memory'][{name!r}]", state["memory"][name], held)
            for slot, array in held.items():
                label, came = f"{name}.{slot}", state["memory"][name][slot]
                if isinstance(came, np.ndarray) and came.dtype == array.dtype:
                    came = like(came, array)
                check_like(label, came, array)
                found[label] = came
        _refuse_not_finite("memory", found)
        for name, held in self._memory.items():
            for slot, array in held.items():
                array[...] = found[f"{name}.{slot}"]
        self.count = count

    def describe(self) -> str:
        """A table of who gets what: one line for each parameter, with the reason; rates before the schedule."""
        rows = [("parameter", "shape", "optimiser", "rate", "decay", "because")]
        for name, given in self.assigned.items():
            shape = "×".join(map(str, self._parameters[name].value.shape))
            treatment = given.treatment
            optimiser = type(treatment.optimiser).__name__
            rows.append((name, shape, optimiser, f"{treatment.rate:g}", f"{treatment.decay:g}", given.reason))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)


def _same_names(what: str, came: object, wanted: Mapping) -> None:
    if not isinstance(came, Mapping):
        raise TypeError(f"{what} is {type(came).__name__}; it must be a dictionary")
    missing, extra = [n for n in wanted if n not in came], [n for n in came if n not in wanted]
    if missing or extra:
        said = [f"lacks {missing[0]!r}"] * bool(missing) + [f"holds {extra[0]!r}, which is not there"] * bool(extra)
        raise ValueError(f"{what} {' and '.join(said)}; it must be of the same parameters and optimisers")


def _refuse_not_finite(what: str, arrays: Mapping[str, Array]) -> None:
    """Raise where an array holds NaN or infinity. On a device the answers are fetched at once, for each fetch waits."""
    counts, elsewhere = {}, {}
    for name, array in arrays.items():
        if isinstance(array, np.ndarray):
            counts[name] = update_kernels.count_not_finite(np.ascontiguousarray(array).reshape(-1))
        else:
            xp = namespace(array)
            elsewhere[name] = (~xp.isfinite(array)).sum()
    if elsewhere:
        stacked = xp.stack(list(elsewhere.values())).get()
        counts |= {name: int(count) for name, count in zip(elsewhere, stacked, strict=True)}
    for name, count in counts.items():
        if count:
            raise ValueError(f"{what} of {name} holds {count} entries that are NaN or infinite; all must be finite")
