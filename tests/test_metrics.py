"""Ranks and alignments: values known in closed form, orderings and invariances on random matrices, guards."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linfa import metrics

RANKS = {
    "effective_rank": metrics.effective_rank,
    "entropy_rank_of_energy": metrics.entropy_rank_of_energy,
    "nuclear_rank": metrics.nuclear_rank,
    "participation_ratio": metrics.participation_ratio,
    "intrinsic_rank": metrics.intrinsic_rank,
    "stable_rank": metrics.stable_rank,
    "numerical_rank": metrics.numerical_rank,
}
each_rank = pytest.mark.parametrize("rank", RANKS.values(), ids=RANKS)
# Derandomised: a property test that passes today must not fail tomorrow by another draw.
property_test = settings(max_examples=200, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def orthogonal(generator, rows, columns=None):
    return np.linalg.qr(generator.standard_normal((rows, columns or rows)))[0]


def log_normal(seed, rows, columns, spread):
    """A matrix with singular values exp(spread · N(0, 1)) and random singular vectors."""
    generator = np.random.default_rng(seed)
    d = min(rows, columns)
    values = np.exp(spread * generator.standard_normal(d))
    return orthogonal(generator, rows, d) * values @ orthogonal(generator, columns, d).T


MATRICES = st.builds(log_normal, SEEDS, st.integers(1, 12), st.integers(1, 12), st.floats(0.0, 4.0))
# Spectra that stay far above rounding, so that the numerical rank is not a matter of the last bit.
MILD_MATRICES = st.builds(log_normal, SEEDS, st.integers(1, 12), st.integers(1, 12), st.floats(0.0, 2.0))


def near(value, rel):
    """Equal up to a relative difference alone; pytest's default adds an absolute 1e-12."""
    return pytest.approx(value, rel=rel, abs=0.0)


def silent():
    """Any warning fails the test."""
    return warnings.catch_warnings(action="error")


@given(MATRICES)
@property_test
def test_ranks_are_ordered(a):
    r = {name: float(rank(a)) for name, rank in RANKS.items()}
    chains = (
        ("numerical_rank", "effective_rank", "nuclear_rank", "intrinsic_rank", "stable_rank"),
        ("effective_rank", "entropy_rank_of_energy", "participation_ratio", "stable_rank"),
        ("nuclear_rank", "participation_ratio"),
    )
    assert r["stable_rank"] >= 1.0
    assert r["numerical_rank"] <= min(a.shape)
    for chain in chains:
        for larger, smaller in itertools.pairwise(chain):
            # Equal for flat spectra, where rounding decides: 1e-9 is far above it and far below any real violation.
            assert r[larger] >= r[smaller] * (1 - 1e-9), (larger, smaller)


@given(MILD_MATRICES, st.sampled_from([1e-200, 1e-3, -7.3, 1e200]))
@property_test
def test_ranks_do_not_depend_on_scale(a, factor):
    for name, rank in RANKS.items():
        # Scaling rounds every entry once, eps = 2e-16; the entropy amplifies that by less than 1e3.
        assert rank(factor * a) == near(rank(a), 1e-12), name


@given(MILD_MATRICES, SEEDS)
@property_test
def test_ranks_do_not_depend_on_transposition_nor_orthogonal_maps(a, seed):
    generator = np.random.default_rng(seed)
    turned = orthogonal(generator, a.shape[0]) @ a @ orthogonal(generator, a.shape[1])
    for name, rank in RANKS.items():
        # Two products of inner size at most 12 round singular values by about 10 eps.
        assert rank(a.T) == near(rank(a), 1e-12), name
        assert rank(turned) == near(rank(a), 1e-12), name


@each_rank
def test_orthogonal_matrix_has_full_rank(rank):
    # Singular values are 1 to a few eps.
    assert rank(orthogonal(np.random.default_rng(0), 8)) == near(8.0, 1e-12)


@each_rank
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 9)])
def test_rank_one_matrix_has_rank_one(rank, shape):
    generator = np.random.default_rng(1)
    a = np.outer(generator.standard_normal(shape[0]), generator.standard_normal(shape[1]))
    # The other singular values are about eps; p log p of them adds up to less than 1e-13.
    assert rank(a) == pytest.approx(1.0, abs=1e-12)


@each_rank
@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_zero_matrix_has_rank_zero_and_no_warning(rank, shape):
    with silent(), np.errstate(all="raise"):
        assert rank(np.zeros(shape)) == 0.0


@each_rank
def test_rank_deficient_matrix_gives_no_warning(rank):
    generator = np.random.default_rng(2)
    a = orthogonal(generator, 9, 3) @ orthogonal(generator, 7, 3).T
    with silent(), np.errstate(divide="raise", invalid="raise"):
        # Three equal singular values, the others at rounding level.
        assert rank(a) == near(3.0, 1e-12)


@each_rank
def test_exact_zeros_in_the_spectrum_count_nothing(rank):
    with silent(), np.errstate(all="raise"):
        assert rank(np.diag([2.0, 2.0, 0.0, 0.0])) == near(2.0, 1e-14)


@each_rank
def test_stack_gives_each_matrix_its_rank(rank):
    generator = np.random.default_rng(3)
    stack = generator.standard_normal((2, 3, 5, 4))
    stack[1, 2] = 0.0
    stack[0, 1] *= 1e-180
    expected = [[rank(stack[i, j]) for j in range(3)] for i in range(2)]
    with silent():
        result = rank(stack)
    assert result.shape == (2, 3)
    # A stack is decomposed matrix by matrix by the same routine.
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    assert result[1, 2] == 0.0


@each_rank
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.ones(3), ValueError),
        (np.ones((0, 3)), ValueError),
        (np.array([[1.0, np.nan]]), ValueError),
        (np.array([[1.0, np.inf]]), ValueError),
        (np.eye(2) * 1j, TypeError),
        ([["a"]], TypeError),
        ([[1.0], [1.0, 2.0]], ValueError),
    ],
)
def test_ranks_refuse_what_is_no_matrix_of_finite_numbers(rank, bad, error):
    with pytest.raises(error):
        rank(bad)


@given(MATRICES)
@property_test
def test_ranks_follow_their_formulas(a):
    s = np.linalg.svd(a, compute_uv=False)
    p, q = s / s.sum(), s**2 / (s**2).sum()
    formulas = {
        "effective_rank": np.exp(-(p * np.log(p)).sum()),
        "entropy_rank_of_energy": np.exp(-(q * np.log(q)).sum()),
        "nuclear_rank": s.sum() ** 2 / (s**2).sum(),
        "participation_ratio": (s**2).sum() ** 2 / (s**4).sum(),
        "intrinsic_rank": s.sum() / s[0],
        "stable_rank": np.linalg.norm(a) ** 2 / np.linalg.norm(a, 2) ** 2,
        "numerical_rank": np.linalg.matrix_rank(a),
    }
    for name, expected in formulas.items():
        # The same sums in another order; entropies amplify rounding by less than 1e4.
        assert RANKS[name](a) == near(expected, 1e-11), name


def test_ranks_of_a_power_law_spectrum_have_their_known_values():
    r = metrics.ranks(np.diag(np.arange(1.0, 65.0) ** -1.5))
    known = {
        "effective_rank": 10.82,
        "entropy_rank_of_energy": 1.97,
        "participation_ratio": 1.42,
        "nuclear_rank": 4.65,
        "stable_rank": 1.20,
    }
    for name, value in known.items():
        # The values are printed with two digits after the point.
        assert r[name] == pytest.approx(value, abs=0.005), name


def test_ranks_returns_every_named_rank():
    a = np.random.default_rng(4).standard_normal((4, 6))
    assert metrics.ranks(a) == {name: float(rank(a)) for name, rank in RANKS.items()}


def test_ranks_returns_the_ranks_of_one_matrix():
    with pytest.raises(ValueError, match="a has 3 dimensions"):
        metrics.ranks(np.ones((2, 3, 4)))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_ranks_from_singular_values_are_those_of_the_matrix(scale):
    a = np.random.default_rng(7).standard_normal((3, 4, 6))
    values = scale * np.linalg.svd(a, compute_uv=False)[..., ::-1]
    found = metrics.ranks_from_singular_values(values)
    assert found.keys() == RANKS.keys() - {"numerical_rank"}
    for name, rank in found.items():
        # Two routes to one sum: rounding.
        np.testing.assert_allclose(rank, RANKS[name](a), rtol=1e-13, err_msg=name)


def test_ranks_from_singular_values_of_zero_are_zero():
    with silent():
        assert set(metrics.ranks_from_singular_values(np.zeros(3)).values()) == {0.0}


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([], ValueError, "values is empty"),
        ([1.0, -0.5], ValueError, "values holds -0.5; singular values are not negative"),
        ([1.0, np.nan], ValueError, "values holds nan at index"),
        (["a"], TypeError, "values holds text"),
        (1.0, ValueError, "values has 0 dimensions"),
    ],
)
def test_ranks_from_singular_values_refuses_what_they_cannot_be(values, error, words):
    with pytest.raises(error, match=words):
        metrics.ranks_from_singular_values(values)


def test_newton_schulz_does_not_raise_the_numerical_rank():
    generator = np.random.default_rng(5)
    x = orthogonal(generator, 12, 5) * [1.0, 0.5, 0.2, 0.1, 0.05] @ orthogonal(generator, 20, 5).T
    for _ in range(5):
        x = 1.5 * x - 0.5 * x @ x.T @ x
        assert metrics.numerical_rank(x) == 5


@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
@property_test
def test_gram_route_equals_the_svd(seed, rows, columns):
    # A floor on the spectrum: squaring loses half the digits of values much smaller than the largest.
    generator = np.random.default_rng(seed)
    d = min(rows, columns)
    values = generator.uniform(0.1, 1.0, d)
    a = orthogonal(generator, rows, d) * values @ orthogonal(generator, columns, d).T
    spectrum = metrics.spectrum_from_gram(a)
    assert spectrum.shape == (d,)
    # Rounding of the Gram matrix, some eps of σ₁², divided by 2σ ≥ 0.2 σ₁: about 1e-14.
    np.testing.assert_allclose(spectrum, np.linalg.svd(a, compute_uv=False), atol=1e-10, rtol=0)


def test_gram_route_of_a_rank_deficient_matrix_is_not_nan():
    spectrum = metrics.spectrum_from_gram(np.ones((3, 50)))
    assert spectrum[0] == near(np.sqrt(150.0), 1e-12)
    # √eps σ₁ is what squaring leaves of zeros.
    assert (spectrum[1:] <= 1e-7 * spectrum[0]).all()


# Cosines and angles


@given(SEEDS, st.integers(1, 8), st.integers(1, 8))
@property_test
def test_cosine_is_signed_bounded_and_scale_free(seed, rows, columns):
    generator = np.random.default_rng(seed)
    a, b = generator.standard_normal((2, rows, columns))
    c = metrics.cosine(a, b)
    assert -1.0 <= c <= 1.0
    # One dot product of at most 64 terms of size at most 1.
    assert c == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-14)
    assert metrics.cosine(a, -b) == -c
    assert metrics.cosine(1e140 * a, 1e-140 * b) == pytest.approx(c, abs=1e-14)
    assert metrics.cosine(a, a) == pytest.approx(1.0, abs=1e-15)
    assert metrics.cosine(a, -a) == pytest.approx(-1.0, abs=1e-15)


def test_cosine_of_stacks_broadcasts():
    generator = np.random.default_rng(6)
    a, b = generator.standard_normal((4, 3, 2)), generator.standard_normal((3, 2))
    result = metrics.cosine(a, b)
    # Sums of six products.
    np.testing.assert_allclose(result, [metrics.cosine(x, b) for x in a], rtol=0, atol=1e-15)


@pytest.mark.parametrize("function", [metrics.cosine, metrics.angle_degrees])
@pytest.mark.parametrize("tiny", [0.0, 1e-160, 1e-320])
def test_direction_of_what_has_no_length_is_nan_without_warning(function, tiny):
    a, b = np.full((2, 3), tiny), np.ones((2, 3))
    with silent():
        assert np.isnan(function(a, b))
        assert np.isnan(function(b, a))
        mixed = function(np.stack([a, b]), b)
    assert np.isnan(mixed[0])
    assert np.isfinite(mixed[1])


@pytest.mark.parametrize(
    ("a", "b"), [(np.ones((2, 3)), np.ones((3, 2))), (np.ones(3), np.ones(4)), (np.ones((2, 2, 3)), np.ones((3, 2, 3)))]
)
def test_cosine_refuses_shapes_that_differ(a, b):
    with pytest.raises(ValueError, match=r"b has|differ"):
        metrics.cosine(a, b)


def test_angle_is_accurate_where_arccos_is_not():
    generator = np.random.default_rng(7)
    for size in (1e-3, 1e-6, 1e-9):
        a, b = generator.standard_normal((2, 5, 4))
        b -= (a * b).sum() / (a * a).sum() * a
        exact = np.degrees(np.arctan(size * np.linalg.norm(b) / np.linalg.norm(a)))
        # a + 1e-9 b rounds at 1e-16, a relative 1e-7 of the angle; arccos would give 0 or 1e-6 degrees.
        assert metrics.angle_degrees(a, a + size * b) == near(exact, 1e-6)
        # Near 180° the result itself has a spacing of 3e-14 degrees, 5e-7 of the smallest deviation here.
        assert 180.0 - metrics.angle_degrees(a, -(a + size * b)) == near(exact, 2e-6)


@given(SEEDS)
@property_test
def test_angle_agrees_with_cosine(seed):
    a, b = np.random.default_rng(seed).standard_normal((2, 4, 3))
    # Both are accurate to a few eps in their own units.
    assert np.cos(np.radians(metrics.angle_degrees(a, b))) == pytest.approx(metrics.cosine(a, b), abs=1e-14)
    assert metrics.angle_degrees(a, a) == 0.0
    # 180 has a spacing of 3e-14.
    assert metrics.angle_degrees(a, -a) == pytest.approx(180.0, abs=1e-12)


@pytest.mark.parametrize("shape", [(6, 7), (3, 20)])
def test_chance_band_is_the_spread_of_random_cosines(shape):
    a, b = np.random.default_rng(8).standard_normal((2, 4000, *shape))
    cosines = metrics.cosine(a, b)
    # 4000 draws know their standard deviation to 1/√8000 = 1.1 %, their mean to 1/√4000 of it.
    assert cosines.std() == near(metrics.chance_band(shape), 0.05)
    assert abs(cosines.mean()) < 4 / np.sqrt(4000) * metrics.chance_band(shape)
    assert metrics.chance_band(shape) == near(1 / np.sqrt(shape[0] * shape[1]), 1e-15)


def test_sample_cosine_counts_rows_equally_and_leaves_out_empty_ones():
    a, b = np.random.default_rng(9).standard_normal((2, 6, 4))
    a[0] *= 1e6
    rows = [metrics.cosine(x, y) for x, y in zip(a, b, strict=True)]
    # Means of six numbers of size 1.
    assert metrics.sample_cosine(a, b) == pytest.approx(np.mean(rows), abs=1e-15)
    assert abs(metrics.sample_cosine(a, b) - metrics.cosine(a, b)) > 1e-3
    a[2] = 0.0
    with silent():
        assert metrics.sample_cosine(a, b) == pytest.approx(np.mean(rows[:2] + rows[3:]), abs=1e-15)
        assert np.isnan(metrics.sample_cosine(np.zeros((3, 2)), np.ones((3, 2))))
    assert metrics.sample_cosine(a, -b) == -metrics.sample_cosine(a, b)


def test_norm_ratio_compares_frobenius_norms():
    a, b = np.random.default_rng(10).standard_normal((2, 3, 4, 5))
    expected = [np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    # Sums of 20 squares.
    np.testing.assert_allclose(metrics.norm_ratio(a, b), expected, rtol=1e-14)
    with silent():
        assert np.isnan(metrics.norm_ratio(np.eye(2), np.zeros((2, 2))))
        assert metrics.norm_ratio(np.zeros((2, 2)), np.eye(2)) == 0.0


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_norm_ratio_does_not_depend_on_scale(factor):
    # One rounding each.
    assert metrics.norm_ratio(2 * factor * np.eye(3), factor * np.eye(3)) == near(2.0, 1e-14)


def test_pseudo_inverse_alignment_is_half_the_squared_generator():
    # B2: with W2 = M Bᵀ and B of full column rank, <W2, B⁺> = tr M.
    generator = np.random.default_rng(11)
    b, m = generator.standard_normal((7, 3)), generator.standard_normal((3, 3))
    # The pseudo-inverse of a 7 × 3 Gaussian matrix, condition below 10.
    assert metrics.pseudo_inverse_alignment(m @ b.T, b) == pytest.approx(np.trace(m), abs=1e-12)
    with pytest.raises(ValueError, match="transpose"):
        metrics.pseudo_inverse_alignment(b, b)


def test_subspace_angles_are_descending_and_accurate_when_tiny():
    generator = np.random.default_rng(12)
    frame = orthogonal(generator, 9)
    a = frame[:, :3]
    turns = np.array([0.5, 1e-4, 1e-9])
    b = a * np.cos(turns) + frame[:, 3:6] * np.sin(turns)
    mix = generator.standard_normal((3, 3))
    # A turn of 1e-9 is resolved by entries that round at 1e-16; mixing columns amplifies that some ten times.
    np.testing.assert_allclose(metrics.subspace_angles(a @ mix, b), np.degrees(turns), rtol=1e-5)
    with pytest.raises(ValueError, match="rows"):
        metrics.subspace_angles(np.eye(3), np.eye(4))


def test_subspace_overlap_is_the_mean_squared_cosine_of_principal_angles():
    generator = np.random.default_rng(13)
    a, b = generator.standard_normal((8, 3)), generator.standard_normal((8, 2))
    squared = np.cos(np.radians(metrics.subspace_angles(a, b))) ** 2
    # Bases of well-conditioned 8 × 3 matrices.
    assert metrics.subspace_overlap(a, b) == pytest.approx(squared.mean(), abs=1e-13)
    assert metrics.subspace_overlap(a, a @ generator.standard_normal((3, 3))) == pytest.approx(1.0, abs=1e-13)
    assert metrics.subspace_overlap(1e-200 * a, 1e200 * b) == pytest.approx(squared.mean(), abs=1e-13)
    assert np.isnan(metrics.subspace_overlap(np.zeros((8, 2)), b))


def test_random_subspaces_overlap_by_chance():
    generator = np.random.default_rng(14)
    overlaps = [metrics.subspace_overlap(*(generator.standard_normal((20, k)) for k in (5, 2))) for _ in range(500)]
    # Spread of one overlap is about 0.1: the mean of 500 is known to 0.005.
    assert np.mean(overlaps) == pytest.approx(5 / 20, abs=0.02)


# Kernels


@given(SEEDS)
@property_test
def test_centred_kernel_alignment_ignores_rotation_shift_and_scale(seed):
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal((12, 5)), generator.standard_normal((12, 3))
    value = metrics.centred_kernel_alignment(x, y)
    assert 0.0 <= value <= 1.0 + 1e-12
    # Centring takes differences of numbers up to 10: errors of some 1e-15.
    close = pytest.approx(value, abs=1e-12)
    assert metrics.centred_kernel_alignment(y, x) == close
    assert metrics.centred_kernel_alignment(x @ orthogonal(generator, 5), y @ orthogonal(generator, 3)) == close
    assert metrics.centred_kernel_alignment(-3.0 * x + generator.standard_normal(5), y) == close
    order = generator.permutation(12)
    assert metrics.centred_kernel_alignment(x[order], y[order]) == close
    assert metrics.centred_kernel_alignment(x, x @ orthogonal(generator, 5)) == pytest.approx(1.0, abs=1e-12)


def test_centred_kernel_alignment_notices_a_stretched_axis():
    x, y = np.random.default_rng(20).standard_normal((2, 12, 3))
    value = metrics.centred_kernel_alignment(x, y)
    # Invariance to every linear map would make it blind: stretching one axis tenfold must show.
    assert abs(metrics.centred_kernel_alignment(x * [10.0, 1.0, 1.0], y) - value) > 1e-2


def test_centred_kernel_alignment_equals_its_kernel_form():
    generator = np.random.default_rng(15)
    x, y = generator.standard_normal((10, 4)), generator.standard_normal((10, 6))
    centre = np.eye(10) - 0.1
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    # Both forms sum some hundred products of size 1.
    assert metrics.centred_kernel_alignment(x, y) == pytest.approx(metrics.cosine(k, m), abs=1e-13)


@pytest.mark.parametrize("factor", [1e-100, 1e100])
def test_centred_kernel_alignment_survives_extreme_scales(factor):
    x, y = np.random.default_rng(16).standard_normal((2, 8, 3))
    value = metrics.centred_kernel_alignment(x, y)
    assert metrics.centred_kernel_alignment(factor * x, y) == pytest.approx(value, abs=1e-12)


def test_centred_kernel_alignment_of_a_constant_is_nan():
    with silent():
        assert np.isnan(metrics.centred_kernel_alignment(np.full((5, 2), 0.5), np.arange(10.0).reshape(5, 2)))


@given(SEEDS)
@property_test
def test_kernel_target_alignment_ignores_scale_order_and_rotation_of_targets(seed):
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal((9, 4)), generator.standard_normal((9, 3))
    kernel = x @ x.T
    value = metrics.kernel_target_alignment(kernel, y)
    # Sums of 81 products.
    close = pytest.approx(value, abs=1e-13)
    assert metrics.kernel_target_alignment(1e-120 * kernel, 5.0 * y) == close
    assert metrics.kernel_target_alignment(kernel, y @ orthogonal(generator, 3)) == close
    order = generator.permutation(9)
    assert metrics.kernel_target_alignment(kernel[np.ix_(order, order)], y[order]) == close
    assert metrics.kernel_target_alignment(y @ y.T, y) == pytest.approx(1.0, abs=1e-13)
    assert metrics.kernel_target_alignment(-kernel, y) == -value
    one = y[:, 0]
    by_hand = one @ kernel @ one / np.linalg.norm(kernel) / (one @ one)
    assert metrics.kernel_target_alignment(kernel, one) == pytest.approx(by_hand, abs=1e-13)


@pytest.mark.parametrize("factor", [1e-100, 1e200])
def test_kernel_target_alignment_survives_extreme_targets(factor):
    x, y = np.random.default_rng(17).standard_normal((2, 6, 2))
    value = metrics.kernel_target_alignment(x @ x.T, y)
    assert metrics.kernel_target_alignment(x @ x.T, factor * y) == pytest.approx(value, abs=1e-12)


def test_kernel_target_alignment_guards():
    with silent():
        assert np.isnan(metrics.kernel_target_alignment(np.zeros((3, 3)), np.ones(3)))
        assert np.isnan(metrics.kernel_target_alignment(np.eye(3), np.zeros(3)))
    with pytest.raises(ValueError, match="kernel"):
        metrics.kernel_target_alignment(np.eye(3), np.ones(4))


# Modes and residuals


def test_mode_recovery_reads_the_diagonal_in_the_modes():
    generator = np.random.default_rng(18)
    left, right = orthogonal(generator, 5, 3), orthogonal(generator, 6, 3)
    strengths = np.array([3.0, 2.0, 0.5])
    maps = np.stack([np.zeros((5, 6)), left * strengths @ right.T, left * [1.0, -2.0, 1.0] @ right.T])
    recovered = metrics.mode_recovery(maps, left, strengths, right)
    # Orthonormal factors of size six: errors of a few eps.
    np.testing.assert_allclose(recovered, [[0, 0, 0], [1, 1, 1], [1 / 3, -1, 2]], atol=1e-14)
    projected = metrics.mode_projection(maps, left, right)
    np.testing.assert_allclose(projected, [np.diag(left.T @ m @ right) for m in maps], atol=1e-14)


def test_balancedness_and_feedback_balance_of_stacks():
    generator = np.random.default_rng(19)
    lower, upper, back = (generator.standard_normal((4, *s)) for s in ((5, 3), (2, 5), (5, 2)))
    d = metrics.balancedness(lower, upper)
    c = metrics.feedback_balance(lower, upper, back)
    for k in range(4):
        # Sums of up to ten products of size 1.
        np.testing.assert_allclose(d[k], upper[k].T @ upper[k] - lower[k] @ lower[k].T, atol=1e-13)
        expected = lower[k] @ lower[k].T - back[k] @ upper[k] - upper[k].T @ back[k].T
        np.testing.assert_allclose(c[k], expected, atol=1e-13)


def test_relative_residual_is_absolute_where_the_reference_is_zero():
    reference = np.stack([np.eye(2), np.zeros((2, 2))])
    residual = metrics.relative_residual(reference + 0.5 * np.eye(2), reference)
    # √2/2 over √2, and √2/2 alone.
    np.testing.assert_allclose(residual, [0.5, np.sqrt(0.5)], rtol=1e-15)
