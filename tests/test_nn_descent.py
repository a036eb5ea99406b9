"""Recipes and descent: who gets what, the law of Kolen and Pollack, checkpoints, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from descending import DECOUPLED, EVERY, gradients, start

from linfa import feedback, nn
from linfa.nn.descent import assign
from linfa.nn.muon import Muon, orthogonalise
from linfa.nn.optimisers import SGD, Adam, AdamW, Step
from linfa.nn.parameters import Parameter
from linfa.nn.recipe import Recipe, Relative, Treatment, optimiser_from_dict
from linfa.nn.schedules import Constant, Exponential, WarmUpCosine, schedule_from_dict

each_optimiser = pytest.mark.parametrize("optimiser", EVERY.values(), ids=EVERY)
each_decoupled = pytest.mark.parametrize("optimiser", DECOUPLED.values(), ids=DECOUPLED)


KERNEL = (6, 3, 3, 4)


def mirrored(seed=0, dtype=np.float64):
    """Four layers; in the hidden ones and the head, feedback B with the gradients of the weights it mirrors."""
    shapes = {"conv1": (5, 3, 3, 2), "conv2": KERNEL, "dense1": (12, 7), "dense2": (3, 12)}
    parameters = [
        Parameter(f"{name}.weight", start(s, seed + k, dtype), "weight") for k, (name, s) in enumerate(shapes.items())
    ]
    for k, weight in enumerate(parameters[1:]):
        name = weight.name.replace("weight", "b")
        parameters.append(Parameter(name, start(weight.matrix.shape, seed + 10 + k, dtype), "feedback-b"))
    return parameters


def set_gradients(parameters, seed):
    for k, parameter in enumerate(parameters):
        if parameter.role != "feedback-b":
            parameter.gradient = gradients(parameter.value.shape, 1, 100 * seed + k, parameter.value.dtype)[0]
    weights = {p.name: p for p in parameters}
    for parameter in parameters:
        if parameter.role == "feedback-b":
            followed = weights[parameter.name.replace(".b", ".weight")]
            parameter.gradient = followed.gradient.reshape(parameter.value.shape)


def differences(parameters):
    by_name = {p.name: p for p in parameters}
    return [by_name[n.replace(".b", ".weight")].matrix - p.value for n, p in by_name.items() if p.role == "feedback-b"]


@each_decoupled
def test_kolen_pollack_difference_decays_exactly(optimiser):
    """W − B shrinks by 1 − η wd an update, whatever the rule; kernels beside their flattened feedback too."""
    parameters = mirrored()
    descent = assign(
        parameters, Recipe(Treatment(optimiser, 0.05, decay=0.4, clamp=1.0), Treatment(AdamW(), 0.02, 0.3))
    )
    before = differences(parameters)
    for k in range(30):
        set_gradients(parameters, k)
        descent.step()
    for name, old, new in zip(("conv2", "dense1", "dense2"), before, differences(parameters), strict=True):
        treatment = descent.assigned[f"{name}.b"].treatment
        assert treatment == descent.assigned[f"{name}.weight"].treatment
        factor = (1 - treatment.rate * treatment.decay) ** 30
        assert factor < 0.9
        # Thirty roundings of numbers of order one.
        np.testing.assert_allclose(new, factor * old, rtol=0, atol=1e-13)


def test_decay_inside_the_gradient_breaks_the_kolen_pollack_law():
    parameters = mirrored()
    descent = assign(parameters, Recipe(Treatment(Adam(), 0.05, decay=0.4)))
    before = differences(parameters)
    for k in range(30):
        set_gradients(parameters, k)
        descent.step()
    for old, new in zip(before, differences(parameters), strict=True):
        assert np.abs(new - (1 - 0.05 * 0.4) ** 30 * old).max() > 0.1


def test_original_shape_factor_of_flattened_feedback_is_that_of_its_kernel():
    parameters = mirrored()
    descent = assign(parameters, Recipe(Treatment(Muon(), 0.05)))
    assert descent.assigned["conv2.b"].shape == KERNEL
    # As a matrix of its own it would get another one where kernels outnumber their entries.
    tall = [Parameter("a.weight", np.ones((2, 2)), "weight"), Parameter("c.weight", start((40, 3, 3, 1)), "weight")]
    tall += [Parameter("d.weight", np.ones((2, 2)), "weight"), Parameter("c.b", start((40, 9), 5), "feedback-b")]
    descent = assign(tall, Recipe(Treatment(Muon(), 0.05)))
    old = tall[1].matrix - tall[3].value
    for p in tall:
        p.gradient = gradients((40, 9), 1)[0].reshape(p.value.shape) if p.name[0] == "c" else np.ones((2, 2))
    descent.step()
    np.testing.assert_allclose(tall[1].matrix - tall[3].value, old, rtol=0, atol=1e-14)


def network(dtype=np.float64):
    shapes = {
        "patch.weight": ("weight", (4, 2, 2, 3)),
        "patch.bias": ("bias", (4,)),
        "token": ("embedding", (1, 4)),
        "conv.weight": ("weight", KERNEL),
        "norm.gain": ("gain", (6,)),
        "dense.weight": ("weight", (8, 6)),
        "dense.b": ("feedback-b", (8, 6)),
        "head.weight": ("weight", (3, 8)),
        "head.q": ("feedback-q", (8, 2)),
        "head.p": ("feedback-p", (2, 3)),
    }
    return [Parameter(n, start(s, k, dtype), role) for k, (n, (role, s)) in enumerate(shapes.items())]


def given_to(descent):
    return {n: (type(a.treatment.optimiser), a.treatment.rate, a.treatment.decay) for n, a in descent.assigned.items()}


def test_roles_decide_who_gets_what():
    recipe = Recipe(Treatment(AdamW(), 0.01, decay=0.5), q=Treatment(SGD(), 0.03), p=Relative(0.1, decay=0.02))
    plain, bare = (AdamW, 0.01, 0.5), (AdamW, 0.01, 0.0)
    expected = dict.fromkeys(("patch.weight", "conv.weight", "dense.weight", "dense.b", "head.weight"), plain)
    expected |= dict.fromkeys(("patch.bias", "token", "norm.gain"), bare)
    # An update takes η·0.02 P from P: at a rate of 0.1 η the decay is tenfold.
    expected |= {"head.q": (SGD, 0.03, 0.0), "head.p": (AdamW, 0.001, 0.2)}
    found = given_to(assign(network(), recipe))
    assert list(found) == [p.name for p in network()]
    assert {n: (o, pytest.approx(r), pytest.approx(d)) for n, (o, r, d) in found.items()} == expected
    everywhere = given_to(assign(network(), replace(recipe, decay_everywhere=True)))
    assert everywhere["patch.bias"] == everywhere["token"] == everywhere["norm.gain"] == plain


def test_muon_gets_hidden_weights_alone():
    recipe = Recipe(Treatment(Muon(), 0.02, decay=0.1))
    found = given_to(assign(network(), recipe))
    hidden = {name for name, (optimiser, *_) in found.items() if optimiser is Muon}
    assert hidden == {"conv.weight", "dense.weight", "dense.b"}
    assert all(found[name] == (AdamW, 3e-4, 0.0) for name in found if name not in hidden)
    descent = assign(network(), recipe)
    assert {n: a.reason for n, a in descent.assigned.items() if n.endswith((".weight", ".b"))} == {
        "patch.weight": "first weights",
        "conv.weight": "hidden weight",
        "dense.weight": "hidden weight",
        "dense.b": "mirrors dense.weight",
        "head.weight": "head",
    }
    lines = descent.describe().splitlines()
    assert len(lines) == 1 + len(network())
    assert lines[4].split() == ["conv.weight", "6×3×3×4", "Muon", "0.02", "0.1", "hidden", "weight"]
    # Feedback of a weight that Muon leaves out is left out with it.
    left = given_to(assign(network(), replace(recipe, exempt=("dense.weight",))))
    assert {n for n, (o, *_) in left.items() if o is Muon} == {"patch.weight", "conv.weight", "head.weight"}
    assert left["dense.b"] == left["dense.weight"]
    every = given_to(assign(network(), replace(recipe, exempt=())))
    assert sum(o is Muon for o, *_ in every.values()) == 5


def test_overrides_by_name_win():
    recipe = Recipe(
        Treatment(AdamW(), 0.01), overrides={"head.q": Treatment(SGD(), 0.5, clamp=0.1), "dense.weight": Relative(2.0)}
    )
    found = given_to(assign(network(), recipe))
    assert found["head.q"] == (SGD, 0.5, 0.0)
    # What mirrors a weight follows it there as well.
    assert found["dense.weight"] == found["dense.b"] == (AdamW, 0.02, 0.0)


RULES = {
    "kolen-pollack": (feedback.KolenPollack(decay=0.3, rate=2.0), {"b": Relative(2.0, 0.3)}),
    "normative": (
        feedback.LowRankFeedback(rank=2, q="normative", p="normative", q_rate=0.4),
        {"q": Relative(0.4, 0.0), "p": Relative(1.0, 0.0)},
    ),
    "local": (
        feedback.LowRankFeedback(rank=2, q="local", p="local", decay=0.1),
        {"q": Relative(1.0, 0.1), "p": Relative(1.0, 0.1)},
    ),
    "raf": (
        feedback.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error"),
        {"q": Relative(1.0, None), "p": Relative(1.0, 0.0)},
    ),
    "backprop": (feedback.Backprop(), {}),
}


@pytest.mark.parametrize("name", RULES)
def test_rates_and_decays_follow_the_rule_of_feedback(name):
    rule, expected = RULES[name]
    parameters = nn.Network([nn.Dense(5), nn.Dense(4), nn.Dense(3)], (6,), feedback=rule).parameters
    base = Treatment(SGD(), 0.1, decay=0.2)
    assigned = assign(parameters, Recipe(base)).assigned
    learned = {n.rpartition(".")[2]: a.treatment for n, a in assigned.items() if n[-2:] in (".b", ".q", ".p")}
    assert learned == {factor: relative.of(base) for factor, relative in expected.items()}
    own = Treatment(AdamW(), 0.03)
    kept = assign(parameters, Recipe(base, b=own, q=own, p=own)).assigned
    assert all(a.treatment == own for n, a in kept.items() if n[-2:] in (".b", ".q", ".p"))


def test_relative_treatment_is_the_learning_rule_of_the_linear_theory():
    """Q ← Q + η (q_rate Ω Pᵀ − wd Q), as in `linfa.core`: the decay is not multiplied by q_rate."""
    q = Parameter("layer.q", start((5, 2)), "feedback-q", gradients((5, 2), 1)[0], rate=0.3)
    descent = assign([q], Recipe(Treatment(SGD(), 0.1, decay=0.2)))
    descent.step()
    # One update, a few roundings.
    np.testing.assert_allclose(q.value, start((5, 2)) + 0.1 * (-0.3 * q.gradient - 0.2 * start((5, 2))), atol=1e-15)


def train(parameters, descent, updates):
    for k in updates:
        set_gradients(parameters, k)
        descent.step()


def full_recipe(main):
    return Recipe(
        Treatment(main, 0.02, decay=0.1, clamp=2.0),
        q=Treatment(AdamW(amsgrad=True), 0.03, clamp=0.1),
        schedule=WarmUpCosine(epochs=3, warm_up=0.5),
        feedback_schedule=Exponential(0.5),
    )


@each_optimiser
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_restores_bit_for_bit(optimiser, dtype):
    recipe = full_recipe(optimiser)
    whole = network(dtype)
    descent = assign(whole, recipe, updates_per_epoch=4)
    train(whole, descent, range(5))
    # As a checkpoint would: plain arrays by name, settings and count through JSON.
    saved = descent.state()
    values = {p.name: p.value.copy() for p in whole}
    memory = {
        n: {s: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for s, a in m.items()}
        for n, m in saved["memory"].items()
    }
    count = json.loads(json.dumps(saved["count"]))
    recipe_again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert recipe_again == recipe
    train(whole, descent, range(5, 9))
    again = network(dtype)
    for p in again:
        p.value[...] = values[p.name]
    resumed = assign(again, recipe_again, updates_per_epoch=4)
    resumed.load({"count": count, "memory": memory})
    assert resumed.count == 5
    train(again, resumed, range(5, 9))
    for p, other in zip(whole, again, strict=True):
        assert p.value.tobytes() == other.value.tobytes(), p.name
    for name, held in descent.state()["memory"].items():
        for slot, array in held.items():
            assert array.tobytes() == resumed.state()["memory"][name][slot].tobytes()
    # What was saved is a copy: training went on without changing it.
    assert any((a != descent.state()["memory"][n][s]).any() for n, m in saved["memory"].items() for s, a in m.items())


def test_rates_follow_their_schedules():
    parameters = network()
    descent = assign(parameters, full_recipe(AdamW()), updates_per_epoch=4)
    for k in range(12):
        rates = descent.rates()
        assert rates["conv.weight"] == rates["dense.b"] == 0.02 * WarmUpCosine(3, 0.5)(k, 4)
        assert rates["head.q"] == 0.03 * 0.5 ** (k // 4)
        assert rates["head.p"] == 0.02 * 0.5 ** (k // 4)
        train(parameters, descent, [k])
    before = [p.value.copy() for p in parameters]
    train(parameters, descent, [12])
    # The cosine has ended at zero; Q and P go on.
    for p, old in zip(parameters, before, strict=True):
        assert (p.value != old).any() == (p.name in ("head.q", "head.p")), p.name


def test_settings_go_through_json():
    for schedule in (Constant(), Exponential(0.97, "update"), WarmUpCosine(30, 2.5, 0.1, 0.01)):
        assert schedule_from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule
    for optimiser in EVERY.values():
        assert optimiser_from_dict(json.loads(json.dumps(optimiser.to_dict()))) == optimiser
    recipe = replace(full_recipe(Muon()), exempt=("head",), b=Relative(0.5), overrides={"x": Treatment(SGD(), 1.0)})
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["patch.weight", "conv.weight", "norm.gain", "head.p"])
def test_gradient_that_is_not_finite_changes_nothing(name, bad):
    parameters = network()
    descent = assign(parameters, full_recipe(Muon()))
    train(parameters, descent, range(2))
    before = [p.value.copy() for p in parameters]
    saved = descent.state()
    set_gradients(parameters, 3)
    next(p for p in parameters if p.name == name).gradient.flat[-1] = bad
    with pytest.raises(ValueError, match=rf"gradient of {name} holds 1 entries that are NaN or infinite"):
        descent.step()
    assert all((p.value == old).all() for p, old in zip(parameters, before, strict=True))
    after = descent.state()
    assert after["count"] == saved["count"] == 2
    for memory, old in zip(after["memory"].values(), saved["memory"].values(), strict=True):
        assert all((memory[slot] == old[slot]).all() for slot in old)


def weights_like(value, **changes):
    return Parameter(**({"name": "a.weight", "value": value, "role": "weight"} | changes))


SGD_RECIPE = Recipe(Treatment(SGD(), 0.1))
BAD = {
    "momentum": (lambda: SGD(momentum=1.0), ValueError, "momentum is 1; it must be below 1"),
    "momentum negative": (lambda: Muon(momentum=-0.1), ValueError, "momentum is -0.1; it must be at least 0"),
    "momentum text": (lambda: SGD(momentum="0.9"), TypeError, "momentum is '0.9'; it must be a number"),
    "nesterov": (lambda: SGD(nesterov=True), ValueError, "nesterov is True, which needs momentum"),
    "nesterov number": (lambda: Muon(nesterov=1), TypeError, "nesterov is 1"),
    "betas": (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"betas\[1\] is 1; it must be below 1"),
    "betas single": (lambda: AdamW(betas=0.9), TypeError, "betas is 0.9; it must be a pair"),
    "epsilon": (lambda: AdamW(epsilon=0.0), ValueError, "epsilon is 0; it must be above 0"),
    "amsgrad": (lambda: Adam(amsgrad="yes"), TypeError, "amsgrad is 'yes'"),
    "steps": (lambda: Muon(steps=0), ValueError, "steps is 0; it must be at least 1"),
    "shape factor": (lambda: Muon(shape_factor="orginal"), ValueError, "did you mean 'original'"),
    "three axes": (lambda: Muon().scale((3, 4, 5)), ValueError, r"shape \(3, 4, 5\); Muon takes"),
    "vector": (lambda: orthogonalise(np.ones(3)), ValueError, "matrix has 1 dimensions"),
    "integers": (lambda: orthogonalise(np.eye(3, dtype=int)), TypeError, "matrix holds int64"),
    "nan": (lambda: orthogonalise(np.full((2, 2), np.nan)), ValueError, "norm nan; it must be finite"),
    "list": (lambda: orthogonalise([[1.0]]), TypeError, "it must be an array of NumPy or CuPy"),
    "rate": (lambda: Treatment(SGD(), 0.0), ValueError, "rate is 0; it must be above 0"),
    "rate nan": (lambda: Treatment(SGD(), np.nan), ValueError, "rate is nan; it must be finite"),
    "decay": (lambda: Treatment(SGD(), 0.1, decay=-1), ValueError, "decay is -1; it must be at least 0"),
    "decay large": (lambda: Treatment(SGD(), 0.1, decay=10), ValueError, "rate times decay is 1; it must be below 1"),
    "clamp": (lambda: Treatment(SGD(), 0.1, clamp=0), ValueError, "clamp is 0; it must be above 0"),
    "optimiser": (lambda: Treatment("sgd", 0.1), TypeError, "optimiser is 'sgd'; it must be an optimiser"),
    "optimiser class": (lambda: Treatment(SGD, 0.1), TypeError, "it must be an optimiser"),
    "relative": (lambda: Relative(0.0), ValueError, "rate is 0; it must be above 0"),
    "step count": (lambda: Step(0, 0.1), ValueError, "count is 0; it must be at least 1"),
    "step rate": (lambda: Step(1, -0.1), ValueError, "rate is -0.1"),
    "recipe": (lambda: Recipe(SGD()), TypeError, r"weights is SGD\(.*\); it must be a Treatment"),
    "auxiliary": (
        lambda: Recipe(Treatment(Muon(), 0.1), Treatment(Muon(), 0.1)),
        ValueError,
        "auxiliary is for hidden matrices alone",
    ),
    "exempt": (lambda: Recipe(Treatment(Muon(), 0.1), exempt="head"), TypeError, "exempt is 'head'"),
    "q": (lambda: Recipe(Treatment(SGD(), 0.1), q=0.1), TypeError, "q is 0.1; it must be a Treatment or Relative"),
    "schedule": (lambda: Recipe(Treatment(SGD(), 0.1), schedule=0.98), TypeError, "schedule is 0.98"),
    "overrides": (
        lambda: Recipe(Treatment(SGD(), 0.1), overrides={"a": 0.1}),
        TypeError,
        r"overrides\['a'\] is 0.1; it must be a Treatment",
    ),
    "factor": (lambda: Exponential(1.5), ValueError, "factor is 1.5; it must be at most 1"),
    "every": (lambda: Exponential(0.5, "day"), ValueError, "every is 'day'"),
    "warm-up": (lambda: WarmUpCosine(epochs=5, warm_up=5), ValueError, "warm_up is 5; it must be below epochs"),
    "floor": (lambda: WarmUpCosine(epochs=5, floor=2), ValueError, "floor is 2; it must be at most 1"),
    "update": (lambda: Constant()(-1), ValueError, "update is -1; it must be at least 0"),
    "update real": (lambda: Constant()(1.5), TypeError, "update is 1.5; it must be an integer"),
    "per epoch": (lambda: Constant()(1, 0), ValueError, "updates_per_epoch is 0"),
    "unknown class": (lambda: optimiser_from_dict({"class": "SDG"}), ValueError, "did you mean 'SGD'"),
    "no class": (lambda: schedule_from_dict({"factor": 0.5}), ValueError, "schedule names no class"),
    "unknown field": (
        lambda: optimiser_from_dict({"class": "SGD", "momntum": 0.9}),
        ValueError,
        "optimiser has the entry 'momntum'; SGD takes momentum, nesterov.*did you mean 'momentum'",
    ),
    "no dictionary": (lambda: Recipe.from_dict([1]), TypeError, r"recipe is \[1\]"),
    "no parameters": (lambda: assign([], SGD_RECIPE), ValueError, "parameters is empty"),
    "not a recipe": (lambda: assign([], SGD()), TypeError, "recipe is SGD"),
    "not a parameter": (lambda: assign([np.ones(2)], SGD_RECIPE), TypeError, r"parameters\[0\] is ndarray"),
    "same name": (lambda: assign([weights_like(np.ones(2))] * 2, SGD_RECIPE), ValueError, "have the name 'a.weight'"),
    "role": (lambda: assign([weights_like(np.ones(2), role="wieght")], SGD_RECIPE), ValueError, "the role 'wieght'"),
    "half": (lambda: assign([weights_like(np.ones(2, np.float16))], SGD_RECIPE), TypeError, "a.weight holds float16"),
    "strided": (lambda: assign([weights_like(np.ones((4, 4)).T[::2])], SGD_RECIPE), ValueError, "not C-contiguous"),
    "read-only": (
        lambda: assign([weights_like(np.broadcast_to(np.float64(1), (1, 1)))], SGD_RECIPE),
        ValueError,
        r"a.weight, shape \(1, 1\), is read-only",
    ),
    "empty": (lambda: assign([weights_like(np.ones((0, 3)))], SGD_RECIPE), ValueError, "a.weight is empty"),
    "value nan": (lambda: assign([weights_like(np.full(3, np.nan))], SGD_RECIPE), ValueError, "a.weight holds 3"),
    "no array": (lambda: assign([weights_like([1.0])], SGD_RECIPE), TypeError, "a.weight is list; it must be an array"),
    "override of none": (
        lambda: assign(network(), replace(SGD_RECIPE, overrides={"head.wieght": Relative()})),
        ValueError,
        "overrides names 'head.wieght', which is no parameter.*'head.weight'",
    ),
    "exempt of none": (
        lambda: assign(network(), Recipe(Treatment(Muon(), 0.1), exempt=("last",))),
        ValueError,
        "exempt names 'last', which is no weight",
    ),
    "mirror of none": (
        lambda: assign([weights_like(np.ones((2, 3)), name="c.b", role="feedback-b")], SGD_RECIPE),
        ValueError,
        r"c.b, shape \(2, 3\), mirrors 0 of the weights",
    ),
    "muon of a vector": (
        lambda: assign(network(), replace(SGD_RECIPE, overrides={"norm.gain": Treatment(Muon(), 0.1)})),
        ValueError,
        r"norm.gain: the weights have shape \(6,\); Muon takes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


BAD_GRADIENTS = {
    "none": (None, ValueError, "a.weight has no gradient"),
    "shape": (np.ones((3, 2)), ValueError, r"gradient of a.weight is \(3, 2\); it must be \(2, 3\)"),
    "precision": (np.ones((2, 3), np.float32), TypeError, "gradient of a.weight holds float32; it must hold float64"),
    "list": ([[1.0] * 3] * 2, TypeError, "gradient of a.weight is list"),
}


@pytest.mark.parametrize("name", BAD_GRADIENTS)
def test_bad_gradients_are_named(name):
    gradient, error, message = BAD_GRADIENTS[name]
    descent = assign([weights_like(np.ones((2, 3)), gradient=gradient)], SGD_RECIPE)
    with pytest.raises(error, match=message):
        descent.step()
    assert descent.count == 0


def spoiled(state, what):
    if what == "name":
        state["memory"]["other.weight"] = state["memory"].pop("conv.weight")
    if what == "slot":
        state["memory"]["conv.weight"]["momentum"] = state["memory"]["conv.weight"].pop("mean")
    if what == "shape":
        state["memory"]["conv.weight"]["mean"] = np.zeros(3)
    if what == "precision":
        state["memory"]["conv.weight"]["mean"] = np.zeros(KERNEL, np.float32)
    if what == "nan":
        state["memory"]["conv.weight"]["mean"][0] = np.nan
    if what == "count":
        state["count"] = -1
    if what == "keys":
        del state["count"]
    return state


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("name", ValueError, "lacks 'conv.weight' and holds 'other.weight', which is not there"),
        ("slot", ValueError, r"\['conv.weight'\] lacks 'mean' and holds 'momentum'"),
        ("shape", ValueError, r"conv.weight.mean is \(3,\); it must be \(6, 3, 3, 4\)"),
        ("precision", TypeError, "conv.weight.mean holds float32"),
        ("nan", ValueError, "memory of conv.weight.mean holds 36 entries"),
        ("count", ValueError, r"state\['count'\] is -1"),
        ("keys", ValueError, "state must be a dictionary of 'count' and 'memory'"),
    ],
)
def test_state_of_another_network_is_refused_whole(what, error, message):
    parameters = network()
    descent = assign(parameters, full_recipe(AdamW()))
    train(parameters, descent, range(2))
    fresh = assign(network(), full_recipe(AdamW()))
    with pytest.raises(error, match=message):
        fresh.load(spoiled(descent.state(), what))
    assert fresh.count == 0
    assert not any(a.any() for held in fresh.state()["memory"].values() for a in held.values())
