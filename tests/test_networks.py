"""Initial weights: the property that defines each kind, to rounding; independent, repeatable draws; refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linfa
from linfa import initial_weights

property_test = settings(max_examples=60, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
WIDTHS = st.lists(st.integers(1, 8), min_size=2, max_size=6).map(tuple)
DRAWN = ("gaussian", "orthogonal", "balanced", "lambda-balanced")


def imbalance(weights):
    """W_{l+1}ᵀ W_{l+1} − W_l W_lᵀ between all layers."""
    return [upper.T @ upper - lower @ lower.T for lower, upper in itertools.pairwise(weights)]


def product(weights):
    total = weights[0]
    for w in weights[1:]:
        total = w @ total
    return total


@pytest.mark.parametrize("kind", ["zero", *DRAWN])
@given(WIDTHS, SEEDS)
@property_test
def test_shapes_chain_first_layer_first(kind, widths, seed):
    # With balance 0 every size admits lambda-balanced weights that are narrow enough: take equal sizes there.
    if kind == "lambda-balanced":
        widths = (widths[0],) * len(widths)
    weights = initial_weights(widths, kind, 0.5, seed=seed)
    assert [w.shape for w in weights] == [(n, m) for m, n in itertools.pairwise(widths)]
    assert all(w.dtype == np.float64 for w in weights)


def test_zero_weights_are_zero():
    assert not any(w.any() for w in initial_weights((3, 4, 2), "zero"))


def test_gaussian_weights_have_the_scale_asked_for():
    w = initial_weights((200, 250), "gaussian", 0.3, seed=1)[0]
    # 50,000 entries know their standard deviation to 0.3 % and their mean to 0.0013.
    assert w.std() == pytest.approx(0.3, rel=0.02)
    assert abs(w.mean()) < 0.3 * 4 / np.sqrt(w.size)
    assert (np.abs(w) > 3 * 0.3).mean() == pytest.approx(0.0027, abs=0.001)


@given(WIDTHS, SEEDS, st.floats(0.0, 3.0))
@property_test
def test_orthogonal_weights_have_orthonormal_rows_or_columns_times_scale(widths, seed, scale):
    for w in initial_weights(widths, "orthogonal", scale, seed=seed):
        gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        # Householder factors of at most 8 columns: some eps, times scale² ≤ 9.
        np.testing.assert_allclose(gram, scale**2 * np.eye(len(gram)), atol=1e-13)


def test_orthogonal_weights_are_uniformly_drawn():
    # Without the sign correction of the QR factor, entry (0, 0) would have one sign in all draws.
    corners = np.array([initial_weights((4, 4), "orthogonal", 1.0, seed=s)[0][0, 0] for s in range(400)])
    # Mean 0, spread 1/√4: the mean of 400 is known to 0.025, the variance 1/4 to about 0.015.
    assert abs(corners.mean()) < 0.1
    assert corners.var() == pytest.approx(0.25, abs=0.06)


@given(WIDTHS, SEEDS, st.floats(0.01, 3.0))
@property_test
def test_balanced_weights_are_balanced_and_of_equal_strength(widths, seed, scale):
    weights = initial_weights(widths, "balanced", scale, seed=seed)
    for gap in imbalance(weights):
        # Two frames orthonormal to some eps.
        assert np.abs(gap).max() < 1e-14 * len(gap) * max(scale**2, 1.0)
    narrow = min(widths)
    for w in weights:
        values = np.linalg.svd(w, compute_uv=False)
        np.testing.assert_allclose(values[:narrow], scale, rtol=1e-13)
        assert (values[narrow:] < 1e-14 * 8 * scale).all()
    values = np.linalg.svd(product(weights), compute_uv=False)[:narrow]
    np.testing.assert_allclose(values, scale ** len(weights), rtol=1e-12)


@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=5).map(sorted).map(tuple),
    SEEDS,
    st.floats(0.01, 4.0),
    st.booleans(),
    st.floats(0.01, 2.0),
)
@property_test
def test_lambda_balanced_weights_differ_by_lambda_at_any_depth(sizes, seed, balance, negative, scale):
    # Positive λ asks for layers that do not narrow after the input, negative λ for the reverse.
    widths = (3, *sizes) if not negative else (*reversed(sizes), 3)
    signed = -balance if negative else balance
    weights = initial_weights(widths, "lambda-balanced", scale, seed=seed, balance=signed)
    size = max(np.abs(w).max() for w in weights) ** 2
    for gap in imbalance(weights):
        # A square root of a matrix of at most 7 rows, squared again: some tens of eps of its size.
        np.testing.assert_allclose(gap, signed * np.eye(len(gap)), atol=1e-13 * (1 + size))


def test_lambda_balanced_weights_with_zero_balance_are_balanced():
    # The rank is that of the first layer, which every later one must hold.
    weights = initial_weights((2, 6, 3, 5), "lambda-balanced", 0.8, seed=4)
    assert max(np.abs(gap).max() for gap in imbalance(weights)) < 1e-14
    # Balanced weights share their spectrum.
    spectra = [np.linalg.svd(w, compute_uv=False)[:2] for w in weights]
    np.testing.assert_allclose(spectra[1:], [spectra[0]] * 2, rtol=1e-13)


@pytest.mark.parametrize(("widths", "balance"), [((3, 6, 2), 1.0), ((2, 6, 3), -1.0), ((6, 6, 3), 0.0)])
def test_lambda_balanced_sizes_that_admit_none_are_refused(widths, balance):
    with pytest.raises(ValueError, match="too small"):
        initial_weights(widths, "lambda-balanced", 0.5, balance=balance)


@pytest.mark.parametrize("widths", [(5, 4), (5, 6, 4), (5, 8, 3, 4)])
@pytest.mark.parametrize("scale", [0.7, [1.5, 0.5, 0.0]])
def test_aligned_map_is_diagonal_in_the_modes_of_the_task(widths, scale):
    task = linfa.LinearTask.from_modes([3.0, 2.0, 1.0], inputs=5, outputs=4, seed=2)
    weights = initial_weights(widths, "aligned", scale, seed=3, task=task)
    strengths = np.broadcast_to(scale, 3)
    in_modes = task.left.T @ product(weights) @ task.right
    # Orthonormal frames to some eps, three products.
    np.testing.assert_allclose(in_modes, np.diag(strengths ** len(weights)), atol=1e-13)
    np.testing.assert_allclose(product(weights), task.left @ in_modes @ task.right.T, atol=1e-13)
    for gap in imbalance(weights):
        np.testing.assert_allclose(gap, 0.0, atol=1e-13)


@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("kind", DRAWN)
def test_same_seed_gives_the_same_bits_and_another_seed_others(kind, members):
    one, again, other = (initial_weights((4, 4, 4), kind, 0.5, seed=s, members=members) for s in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", DRAWN)
def test_a_member_does_not_depend_on_how_many_there_are(kind):
    few = initial_weights((4, 4, 4), kind, 0.5, seed=5, members=2)
    many = initial_weights((4, 4, 4), kind, 0.5, seed=5, members=7)
    assert all(np.array_equal(a, b[:2]) for a, b in zip(few, many, strict=True))
    assert [w.shape for w in many] == [(7, 4, 4)] * 2


def largest_cosine(vectors):
    """Largest |cosine| between any two of the rows."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.abs(unit @ unit.T - np.eye(len(unit))).max()


@pytest.mark.parametrize("seed", [0, 1, 2**40])
@pytest.mark.parametrize("kind", DRAWN)
def test_layers_and_members_are_independent_draws(kind, seed):
    # With λ far above the scale, each λ-balanced layer is little but its own random frame.
    options = {"balance": 1.0} if kind == "lambda-balanced" else {}
    weights = initial_weights((30, 30, 30, 30), kind, 1e-3, seed=seed, members=4, **options)
    # 12 draws of 900 numbers, 66 pairs: chance cosines spread by 1/30, the largest stays below 5 of them.
    assert largest_cosine(np.concatenate(weights).reshape(12, -1)) < 5 / 30


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_weights_feedback_and_task_of_one_seed_are_independent_draws(seed):
    size = 30
    weights = initial_weights((size,) * 4, seed=seed)
    fa = linfa.FeedbackAlignment(seed=seed).resolve((size,) * 4).matrices["b"]
    low = linfa.LowRankFeedback(rank=size, seed=seed).resolve((size,) * 4).matrices
    task = linfa.LinearTask.from_modes(np.ones(size), size, size, seed=seed)
    draws = [*weights, *fa, *low["q"], *low["p"], task.left, task.right]
    assert largest_cosine(np.array([d.ravel() for d in draws])) < 5 / size


@pytest.mark.parametrize("kind", DRAWN)
def test_networks_of_different_seeds_never_repeat_each_other(kind):
    # A held-out single network must not be a member of an ensemble drawn from another seed.
    members = initial_weights((4, 4, 4), kind, 0.5, seed=0, members=8)
    for seed in range(1, 8):
        single = initial_weights((4, 4, 4), kind, 0.5, seed=seed)
        assert not any(np.array_equal(single[1], m) for m in members[1]), f"seed {seed} repeats a member of seed 0"


TASK = linfa.LinearTask(np.diag([2.0, 1.0]))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (((3, 2), "gausian"), {}, ValueError, "did you mean 'gaussian'"),
        (((3, 2), None), {}, TypeError, "kind"),
        (((3,),), {}, ValueError, "widths"),
        (("32",), {}, TypeError, "widths"),
        ((5,), {}, TypeError, "widths"),
        (((3, 0, 2),), {}, ValueError, r"widths\[1\]"),
        (((3, 2.0),), {}, TypeError, r"widths\[1\]"),
        (((3, True),), {}, TypeError, r"widths\[1\]"),
        (((3, 2),), {"scale": -1.0}, ValueError, "scale"),
        (((3, 2),), {"scale": float("nan")}, ValueError, "scale"),
        (((3, 2),), {"scale": "1"}, TypeError, "scale"),
        (((3, 2),), {"scale": [1.0, 2.0]}, TypeError, "scale"),
        (((3, 2),), {"seed": -1}, ValueError, "seed"),
        (((3, 2),), {"seed": 1.5}, TypeError, "seed"),
        (((3, 2),), {"seed": None}, TypeError, "seed"),
        (((3, 2),), {"members": 0}, ValueError, "members"),
        (((3, 2),), {"balance": 1.0}, ValueError, "lambda-balanced"),
        (((3, 2), "lambda-balanced"), {"balance": float("inf")}, ValueError, "balance"),
        (((2, 2),), {"task": TASK}, ValueError, "aligned"),
        (((2, 2), "aligned"), {}, TypeError, "task"),
        (((3, 2, 2), "aligned"), {"task": TASK}, ValueError, "widths"),
        (((2, 1, 2), "aligned"), {"task": TASK}, ValueError, "2 modes"),
        (((2, 3, 2), "aligned"), {"task": TASK, "scale": [1.0, 1.0, 1.0]}, ValueError, "scale"),
        (((2, 3, 2), "aligned"), {"task": TASK, "scale": [1.0, -1.0]}, ValueError, "scale"),
    ],
)
def test_arguments_that_make_no_network_are_refused(arguments, options, error, words):
    with pytest.raises(error, match=words):
        initial_weights(*arguments, **options)
