"""Low-rank tensor decomposition: theory to the digits, message passing against oracles, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from linfa.neighbours import tensor
from linfa.neighbours.tensor import closed_forms
from linfa.neighbours.tensor.message_passing import _MessagePassing
from linfa.neighbours.tensor.priors import mode_priors
from linfa.neighbours.tensor.products import Products
from linfa.simulation import DivergenceWarning

PRIORS = {
    "gaussian": tensor.Gaussian(0.3, 0.7),
    "rademacher": tensor.Rademacher(),
    "bernoulli": tensor.Bernoulli(0.15),
    "discrete": tensor.Discrete([-1.5, 0.0, 0.5, 2.0], [0.1, 0.6, 0.2, 0.1]),
}


def cube(size, prior="gaussian", delta=0.1, seed=0, rank=1, exact=True):
    return tensor.spike((size,) * 3, rank, prior, delta, seed, exact)


# Theory, to the digits at which it was worked out independently (state evolution iterated elsewhere).


@pytest.mark.parametrize(
    ("prior", "delta", "start", "digits"),
    [
        ("rademacher", 0.1, "informed", 0.99752),
        ("rademacher", 0.25, "informed", 0.88551),
        ("rademacher", 0.2, 0.3, 0.9487),
        ("rademacher", 0.2, 0.2, 0.0),
        (tensor.Bernoulli(0.5), 0.05, "uninformed", 0.35159),
        (tensor.Bernoulli(0.5), 0.5, "uninformed", 0.25806),
        (tensor.Gaussian(0.3), 0.1, "uninformed", 0.9989),
        (tensor.Gaussian(0.3), 0.26, "uninformed", 0.8023),
    ],
)
def test_fixed_points_to_the_digits_known(prior, delta, start, digits):
    decimals = 5 if isinstance(digits, float) and round(digits, 4) != digits else 4
    np.testing.assert_allclose(tensor.state_evolution(prior, delta, start=start), digits, atol=0.51 * 10.0**-decimals)


def test_trajectories_to_the_digits_known():
    informed = tensor.overlap_trajectory("rademacher", 0.2, 5, start="informed")[1:, 0]
    np.testing.assert_allclose(informed, [0.9615, 0.9522, 0.9497, 0.9490, 0.9488], atol=5.1e-5)
    aided = tensor.overlap_trajectory("rademacher", 0.2, 8, start=0.3)[1:, 0]
    np.testing.assert_allclose(aided, [0.324, 0.363, 0.424, 0.517, 0.643, 0.779, 0.878, 0.925], atol=5.1e-4)


@pytest.mark.parametrize(
    ("prior", "shape", "parameters", "digits"),
    [
        ("gaussian", (1, 1, 1), {"mean": 0.0}, (0.0, 0.228973, 0.25)),
        ("gaussian", (1, 1, 1), {"mean": 0.1}, (0.03960, 0.23990, 0.26020)),
        ("gaussian", (1, 1, 1), {"mean": -0.3}, (0.32338, 0.35226, 0.36042)),
        ("rademacher", (1, 1, 1), {}, (0.0, 0.28287, 0.30972)),
        ("gaussian", (1, 1, 2), {}, (0.0, 0.22644, 0.24714)),
        ("gaussian", (1, 1, 8), {}, (0.0, 0.20857, 0.22714)),
        ("rademacher", (2, 1, 1), {}, (0.0, 0.27933, 0.30592)),
    ],
)
def test_thresholds_to_the_digits_known(prior, shape, parameters, digits):
    found = tensor.thresholds(prior, shape, **parameters)
    np.testing.assert_allclose((found.algorithmic, found.information, found.dynamical), digits, atol=6e-6)


def test_thresholds_are_those_of_p_spin_models():
    """Δ = 2T²/3: temperatures of the Ising and spherical models of order 3, known to three digits."""
    ising, spherical = tensor.thresholds("rademacher"), tensor.thresholds("gaussian")
    # Half a unit of the third digit of T is 0.0005 · 4T/3 of Δ.
    np.testing.assert_allclose([ising.dynamical, ising.information], 2 / 3 * np.square([0.682, 0.651]), atol=5e-4)
    np.testing.assert_allclose([spherical.dynamical, spherical.information], [0.25, 2 / 3 * 0.586**2], atol=5e-4)


def test_general_thresholds_equal_the_closed_forms_of_the_cube():
    """A hair's breadth from a cube the curve of fixed points is followed; for a cube the closed form is used."""
    for mean in (0.0, 0.1, 0.3):
        closed, general = (
            tensor.thresholds("gaussian", mean=mean),
            tensor.thresholds(tensor.Gaussian(mean), (1, 1, 1 + 1e-9)),
        )
        for name in ("algorithmic", "information", "dynamical"):
            # The shape itself is off by 1e-9.
            assert getattr(general, name) == pytest.approx(getattr(closed, name), rel=1e-7, abs=1e-12)
    assert tensor.thresholds("gaussian", (1, 1, 1, 1)).dynamical == pytest.approx(
        tensor.gaussian_dynamical(4), rel=1e-9
    )


def test_a_minute_mean_is_followed_down_to_its_spinodal():
    """Δ_alg ≈ 4μ², while the other thresholds are those of no mean at all."""
    found, none = tensor.thresholds("gaussian", mean=1e-8), tensor.thresholds("gaussian")
    assert found.algorithmic == pytest.approx(4e-16, rel=1e-9)
    assert (found.information, found.dynamical) == pytest.approx((none.information, none.dynamical), rel=1e-9)


def test_no_hard_phase_beyond_the_tricritical_mean():
    assert tensor.thresholds("gaussian", mean=np.sqrt(1 / 8) + 1e-3).algorithmic == np.inf
    assert tensor.thresholds("gaussian", mean=0.4).phase(5.0) == "easy"
    close = tensor.thresholds("gaussian", mean=np.sqrt(1 / 8) - 1e-5)
    assert close.algorithmic == pytest.approx(27 / 64, abs=1e-3)
    known = tensor.thresholds("gaussian", mean=0.3)
    assert [known.phase(d) for d in (0.3, 0.34, 0.36)] == ["easy", "hard", "impossible"]


def test_variance_only_sets_the_unit():
    plain, scaled = tensor.thresholds("gaussian", mean=0.2), tensor.thresholds("gaussian", mean=0.4, variance=4.0)
    for name in ("algorithmic", "information", "dynamical"):
        assert getattr(scaled, name) == pytest.approx(64 * getattr(plain, name), rel=1e-10)


def test_transition_is_continuous_where_one_mode_has_a_mean():
    priors = [tensor.Gaussian(1.0, 0.25), "gaussian", "rademacher"]
    found = tensor.thresholds(priors, (4, 1, 2))
    ratios = np.array([4, 1, 2]) / 2
    assert found.algorithmic == found.dynamical == pytest.approx(ratios[0] * np.sqrt(ratios[1] * ratios[2]))
    assert tensor.thresholds([tensor.Gaussian(1.0), tensor.Gaussian(0.5), "gaussian"]).dynamical == np.inf


@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(sorted(PRIORS)),
    delta=st.floats(0.01, 2.0),
    shape=st.tuples(*[st.sampled_from([1.0, 1.5, 3.0])] * 3),
)
def test_fixed_points_are_where_state_evolution_rests(name, delta, shape):
    prior = PRIORS[name]
    found = tensor.fixed_points(prior, delta, shape)
    assert len(found) >= 1
    for overlaps in found:
        stepped = tensor.overlap_trajectory(prior, delta, 1, shape, start=overlaps)[1]
        # Roots are found to 1e-13 in the logarithm of t; the step multiplies that by a slope of order 1.
        np.testing.assert_allclose(stepped, overlaps, rtol=1e-9, atol=1e-12)
    ends = [tensor.state_evolution(prior, delta, shape, start)[0] for start in ("uninformed", "informed")]
    # Iterations near a spinodal stop a little early.
    np.testing.assert_allclose(ends, [found[0, 0], found[-1, 0]], rtol=1e-5, atol=1e-9)


# The oracle's grid over a Gaussian signal is too coarse for a posterior much narrower than the prior.
@pytest.mark.parametrize(
    ("name", "precision"), [(n, a) for n in PRIORS for a in (1e-6, 0.3, 4.0, 80.0) if n != "gaussian" or a < 10]
)
def test_overlap_and_evidence_against_adaptive_quadrature(name, precision):
    """The oracle integrates over the signal and the noise without enumerating anything."""
    prior = PRIORS[name]
    if name == "gaussian":
        mean, variance = 0.3, 0.7
        states = mean + np.sqrt(variance) * np.polynomial.hermite_e.hermegauss(80)[0]
        weights = np.polynomial.hermite_e.hermegauss(80)[1] / np.sqrt(2 * np.pi)
    else:
        states, weights = prior._values[:, 0], prior._probabilities

    def posterior(field):
        exponent = -precision * states**2 / 2 + field * states
        shares = weights * np.exp(exponent - exponent.max())
        return shares @ states / shares.sum(), np.log(shares.sum()) + exponent.max()

    def average(which):
        total = 0.0
        for state, weight in zip(states, weights, strict=True):
            if weight < 1e-12:
                continue

            def integrand(z, x=state):
                mean, evidence = posterior(precision * x + np.sqrt(precision) * z)
                return (x * mean if which == 0 else evidence) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

            total += weight * integrate.quad(integrand, -9, 9, epsabs=1e-10, epsrel=1e-9, limit=200, points=[0.0])[0]
        return total

    a = np.array([[precision]])
    # Both sides are quadratures good to 1e-9.
    assert prior.overlap(a)[0, 0] == pytest.approx(average(0), rel=1e-7, abs=1e-8)
    assert prior.evidence(a) == pytest.approx(average(1), rel=1e-7, abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-3, 3), min_size=2, max_size=4, unique=True),
    weights=st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4),
    precision=st.floats(1e-3, 30.0),
)
def test_overlap_lies_between_what_is_known_and_everything(values, weights, precision):
    """Among priors of the same moments the Gaussian tells least; and more precision never tells less."""
    shares = np.array(weights[: len(values)])
    if np.ptp(values) < 0.1:
        return
    prior = tensor.Discrete(values, shares / shares.sum())
    found = prior.overlap(np.array([[precision]]))[0, 0]
    mean, variance = prior.mean()[0], prior.covariance()[0, 0]
    # The trapezoidal rule is good to 1e-12 of the squares that it adds.
    slack = 1e-11 * 9
    assert closed_forms.gaussian_overlap(precision, mean, variance) <= found + slack
    assert found <= prior.second_moment()[0, 0] + slack
    assert found <= prior.overlap(np.array([[1.1 * precision]]))[0, 0] + slack
    step = 1e-4 * precision
    slope = prior.evidence(np.array([[precision + step]])) - prior.evidence(np.array([[precision - step]]))
    assert slope / (2 * step) == pytest.approx(found / 2, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", ["gaussian", "rademacher", "bernoulli"])
def test_components_that_do_not_meet_are_each_of_rank_one(name):
    prior = PRIORS[name]
    alone = prior.overlap(np.array([[1.3]]))[0, 0], prior.evidence(np.array([[1.3]]))
    precision = np.diag([1.3, 1.3])
    np.testing.assert_allclose(np.diag(prior.overlap(precision)), alone[0], rtol=1e-12)
    assert prior.evidence(precision) == pytest.approx(2 * alone[1], rel=1e-12)
    # A minute coupling takes the way through the two-dimensional grid, which errs by 1e-10.
    coupled = precision + 1e-9 * np.array([[0, 1], [1, 0]])
    np.testing.assert_allclose(prior.overlap(coupled), prior.overlap(precision), atol=2e-9)
    assert prior.evidence(coupled) == pytest.approx(2 * alone[1], abs=5e-9)


def test_rank_two_without_means_is_rank_one_twice():
    single = tensor.state_evolution("rademacher", 0.2, start="informed")
    double = tensor.state_evolution("rademacher", 0.2, start="informed", rank=2)
    np.testing.assert_allclose(double, single[:, None, None] * np.eye(2), atol=1e-12)
    assert tensor.free_entropy(double, "rademacher", 0.2, rank=2) == pytest.approx(
        2 * tensor.free_entropy(single, "rademacher", 0.2), rel=1e-12
    )


def test_free_entropy_to_the_digits_known():
    for delta, digits in ((0.2, 0.103728), (0.24, -0.024436)):
        overlaps = tensor.state_evolution("gaussian", delta, start="informed")
        assert tensor.free_entropy(overlaps, "gaussian", delta) == pytest.approx(digits, abs=6e-7)
    assert tensor.free_entropy(0.0, "gaussian", 0.2) == 0.0


def test_least_squares_theory_of_the_cube_is_that_of_any_shape():
    overlap = tensor.gaussian_fixed_point(0.15)
    assert tensor.als_weight([overlap] * 3) ** 2 == pytest.approx(overlap * (3 - 2 * overlap) ** 2, rel=1e-14)
    wanted = 1 + overlap * (3 - 2 * overlap) * (3 - 4 * overlap)
    assert tensor.als_error([overlap] * 3) == pytest.approx(wanted, rel=1e-13)
    np.testing.assert_allclose([tensor.als_error([tensor.gaussian_fixed_point(d)] * 3) for d in (0.05, 0.2)],
                               [0.1739, 1.1186], atol=6e-5)  # fmt: skip


# Drawing.


def test_spike_is_signal_plus_noise_of_the_variance_given():
    y, factors = tensor.spike((30, 40, 50), 2, "gaussian", 0.25, seed=1)
    noise = y - tensor.full_tensor(factors)
    # Relative standard error of a variance over 60,000 numbers: √(2/6e4) = 0.6 %.
    assert noise.var() == pytest.approx(0.25, rel=0.03)
    size = 60_000 ** (1 / 3)
    built = np.einsum("ir,jr,kr->ijk", *factors) / size
    np.testing.assert_allclose(tensor.full_tensor(factors), built, atol=1e-13)
    still = tensor.spike((30, 40, 50), 2, "gaussian", 0.0, seed=1)
    np.testing.assert_array_equal(still.y, tensor.full_tensor(still.factors))


@pytest.mark.parametrize("name", PRIORS)
def test_exact_moments_are_exact(name):
    prior = PRIORS[name]
    _, factors = tensor.spike((200, 400, 100), 1, prior, 0.1, 3, exact_moments=True)
    for x in factors:
        # The probabilities times every size here are whole numbers.
        np.testing.assert_allclose(x.mean(0), prior.mean(), atol=1e-12)
        np.testing.assert_allclose(x.T @ x / len(x), prior.second_moment(), rtol=1e-12)


def test_exact_moments_whiten_components_against_each_other():
    _, factors = tensor.spike((20, 30), 3, tensor.Gaussian(0.5, 2.0), 0.1, 3, exact_moments=True)
    for x in factors:
        np.testing.assert_allclose(np.cov(x.T, bias=True), 2.0 * np.eye(3), atol=1e-12)


def test_same_seed_same_bits():
    first, second, other = cube(20, seed=4), cube(20, seed=4), cube(20, seed=5)
    assert np.array_equal(first.y, second.y)
    assert not np.array_equal(first.y, other.y)
    for solve in (
        lambda y: tensor.amp(y, 1, "gaussian", 0.1, start="random", seed=7),
        lambda y: tensor.als(y, 2, seed=7),
    ):
        runs = [solve(s.y) for s in (first, second)]
        assert all(np.array_equal(a, b) for a, b in zip(runs[0].factors, runs[1].factors, strict=True))


def test_same_bits_for_any_number_of_blas_threads():
    from threadpoolctl import threadpool_limits

    y, _ = cube(64, "rademacher", 0.1)
    runs = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            runs.append(tensor.amp(y, 1, "rademacher", 0.1, start="spectral", iterations=10))
    assert all(np.array_equal(a, b) for a, b in zip(runs[0].factors, runs[1].factors, strict=True))


# Machinery.


@pytest.mark.parametrize("sizes", [(4, 5), (3, 4, 5), (2, 3, 4, 5), (2, 1, 3, 2, 2)])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_products_are_those_of_einsum(sizes, rank):
    generator = np.random.default_rng(0)
    y = generator.standard_normal(sizes)
    factors = [generator.standard_normal((n, rank)) for n in sizes]
    products, letters = Products(y), "abcde"[: len(sizes)]
    for a in range(len(sizes)):
        rest = [b for b in range(len(sizes)) if b != a]
        plan = f"{letters}," + ",".join(f"{letters[b]}r" for b in rest) + f"->{letters[a]}r"
        expected = np.einsum(plan, y, *[factors[b] for b in rest])
        np.testing.assert_allclose(products.mode(a, factors), expected, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2])
def test_discrete_posterior_is_bayes_rule(rank):
    prior = PRIORS["discrete"]
    generator = np.random.default_rng(1)
    root = generator.standard_normal((rank, rank))
    precision, fields = root @ root.T, 3 * generator.standard_normal((6, rank))
    means, covariance = prior.posterior(precision, fields)
    grid = np.stack(np.meshgrid(*[prior._values[:, 0]] * rank, indexing="ij"), axis=-1).reshape(-1, rank)
    weights = np.prod(np.stack(np.meshgrid(*[prior._probabilities] * rank, indexing="ij"), axis=-1), -1).ravel()
    total = np.zeros((rank, rank))
    for field, mean in zip(fields, means, strict=True):
        shares = weights * np.exp(grid @ field - 0.5 * np.einsum("ki,ij,kj->k", grid, precision, grid))
        shares /= shares.sum()
        np.testing.assert_allclose(mean, shares @ grid, atol=1e-13)
        centred = grid - shares @ grid
        total += (centred.T * shares) @ centred
    np.testing.assert_allclose(covariance, total, atol=1e-12)


def test_rows_drawn_whole_are_components_drawn_one_by_one():
    """A prior on rows that happen to be independent is the prior of the components."""
    rows = [[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    whole = tensor.Discrete(rows, [0.25] * 4)
    y, factors = cube(25, "rademacher", 0.1, rank=2)
    runs = [tensor.amp(y, 2, p, 0.1, start=factors, iterations=5) for p in (whole, "rademacher")]
    for a, b in zip(runs[0].factors, runs[1].factors, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("schedule", ["sequential", "parallel"])
@pytest.mark.parametrize(("rank", "order"), [(1, 3), (2, 3), (2, 4), (1, 2)])
def test_sweep_is_the_formula_written_out(schedule, rank, order):
    """Three sweeps, with every product and reaction term spelled out mode by mode."""
    sizes, delta = (5, 6, 7, 4)[:order], 0.3
    prior = tensor.Gaussian(0.2, 0.8)
    y, factors = tensor.spike(sizes, rank, prior, delta, 2)
    generator = np.random.default_rng(3)
    factors = [x + 0.1 * generator.standard_normal(x.shape) for x in factors]
    passing = _MessagePassing(y, mode_priors(prior, order, rank), delta, 0.0, True, factors)
    size = np.prod(sizes) ** (1 / order)
    letters = "abcd"[:order]
    now, used, spreads = list(factors), {}, {}
    for _ in range(3):
        seen, seen_used, seen_spreads = list(now), dict(used), dict(spreads)
        for a in range(order):
            if schedule == "sequential":
                seen, seen_used, seen_spreads = list(now), dict(used), dict(spreads)
            rest = [b for b in range(order) if b != a]
            precision = np.prod([seen[b].T @ seen[b] / size for b in rest], axis=0) / delta
            plan = f"{letters}," + ",".join(f"{letters[b]}r" for b in rest) + f"->{letters[a]}r"
            field = np.einsum(plan, y, *[seen[b] for b in rest]) * size ** (-(order - 1) / 2) / delta
            for b in seen_used:
                if b == a:
                    continue
                response = seen_spreads[b] / delta
                for c in rest:
                    if c != b:
                        response = response * (seen[c].T @ seen_used[b][c] / size)
                field = field - seen_used[b][a] @ response.T
            spread = np.linalg.inv(precision + np.eye(rank) / 0.8)
            now[a] = (field + 0.2 / 0.8) @ spread
            used[a], spreads[a] = list(seen), sizes[a] * spread / size
        passing.sweep(schedule == "parallel")
        for mine, theirs in zip(passing.factors, now, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-10)


def test_matrix_estimates_are_singular_vectors():
    """Without a mean, a Gaussian prior on a matrix changes the length of singular vectors and nothing else."""
    y, _ = tensor.spike((40, 70), 1, "gaussian", 0.2, 1)
    left, _, right = np.linalg.svd(y)
    run = tensor.amp(y, 1, "gaussian", 0.2, tolerance=1e-12)
    np.testing.assert_allclose(tensor.cosines_squared(run.factors, [left[:, :1], right[:1].T]), 1.0, atol=1e-9)


def test_schedules_have_the_same_fixed_points():
    y, factors = cube(60, "rademacher", 0.1)
    runs = [
        tensor.amp(y, 1, "rademacher", 0.1, start=factors, schedule=s, damping=d, tolerance=1e-13)
        for s, d in (("sequential", 0.0), ("parallel", 0.0), ("parallel", 0.5))
    ]
    for run in runs[1:]:
        assert run.converged
        for a, b in zip(run.factors, runs[0].factors, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


def test_norm_mode_is_handled():
    """Undamped, the parallel schedule gets directions right and lengths wrong; by default it does not."""
    y, factors = cube(60, delta=0.05)
    wrong = tensor.amp(y, 1, "gaussian", 0.05, start=factors, schedule="parallel", damping=0.0, iterations=100)
    right = tensor.amp(y, 1, "gaussian", 0.05, start=factors, schedule="parallel")
    best = tensor.amp(y, 1, "gaussian", 0.05, start=factors)
    assert not wrong.converged
    assert wrong.relative_error(factors) > 3 * best.relative_error(factors)
    assert right.converged
    # What tolerance leaves.
    assert right.relative_error(factors) == pytest.approx(best.relative_error(factors), rel=1e-3)


def test_without_the_reaction_term_estimates_are_overconfident():
    """Near the spinodal |x̂|²/N exceeds the overlap by a tenth; with the term both agree to the sampling error."""
    gaps = {True: [], False: []}
    for seed in range(3):
        y, factors = cube(100, "rademacher", 0.26, seed)
        for onsager, found in gaps.items():
            run = tensor.amp(
                y, 1, "rademacher", 0.26, start=factors, truth=factors, schedule="parallel", onsager=onsager,
                iterations=60,
            )  # fmt: skip
            found.append(np.mean([np.square(x).mean() for x in run.factors]) - run.overlaps[-1].mean())
    assert abs(np.mean(gaps[True])) < 0.02
    assert np.mean(gaps[False]) > 0.04


def test_spectral_start_solves_where_a_draw_of_the_prior_does_not_matter():
    y, factors = cube(60, delta=0.03)
    found = tensor.amp(y, 1, "gaussian", 0.03)
    informed = tensor.amp(y, 1, "gaussian", 0.03, start=factors)
    np.testing.assert_allclose(found.cosines_squared(factors), informed.cosines_squared(factors), atol=1e-4)


def test_spectral_start_pairs_components_and_signs_with_means():
    priors = [tensor.Gaussian([1.0, -0.6]), tensor.Gaussian([0.8, 1.0]), tensor.Gaussian([0.0, 0.9])]
    y, factors = tensor.spike((40, 40, 40), 2, priors, 0.02, 1)
    run = tensor.amp(y, 2, priors, 0.02, start="spectral", truth=factors)
    # Paired rightly, overlaps with each true component are near its square; swapped or flipped they would not be.
    for a, x in enumerate(factors):
        np.testing.assert_allclose(np.diag(run.overlaps[-1][a]), np.square(x).mean(0), rtol=0.1)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_least_squares_without_noise_is_exact(rank):
    y, factors = tensor.spike((9, 10, 11), rank, "gaussian", 0.0, seed=2)
    run = tensor.als(y, rank)
    # Alternation stops at changes of 1e-9, some hundred sweeps' worth before its end for correlated components.
    assert run.relative_error(factors) < 1e-10
    np.testing.assert_allclose(run.tensor(), y, atol=1e-5)


def test_least_squares_rests_where_the_gradient_vanishes():
    y, _ = tensor.spike((12, 14, 16), 2, "gaussian", 0.2, seed=2)
    run = tensor.als(y, 2, tolerance=1e-12, iterations=20_000)
    residual = y - run.tensor()
    for a in range(3):
        rest = [b for b in range(3) if b != a]
        plan = "ijk," + ",".join(f"{'ijk'[b]}r" for b in rest) + f"->{'ijk'[a]}r"
        slope = np.einsum(plan, residual, *[run.factors[b] for b in rest])
        size = np.abs(np.einsum(plan, y, *[run.factors[b] for b in rest])).max()
        assert np.abs(slope).max() < 1e-8 * size


@pytest.mark.parametrize(("rank", "delta"), [(1, 0.08), (2, 0.02)])
def test_least_squares_is_that_of_tensorly(rank, delta):
    decomposition = pytest.importorskip("tensorly.decomposition", reason="TensorLy is not installed")
    y, _ = cube(40, delta=delta, seed=3, rank=rank)
    theirs = decomposition.parafac(y, rank=rank, init="svd", tol=1e-15, n_iter_max=3000)
    mine = tensor.als(y, rank, tolerance=1e-10)
    np.testing.assert_allclose(tensor.cosines_squared(theirs.factors, mine.factors), 1.0, atol=1e-6)
    weighted = [theirs.factors[0] * theirs.weights, *theirs.factors[1:]]
    built = np.einsum("ir,jr,kr->ijk", *weighted)
    # TensorLy stops by the change of its residual, which is flat at the end.
    assert np.linalg.norm(built - mine.tensor()) < 1e-4 * np.linalg.norm(built)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 3))
def test_relative_error_and_cosines_are_those_of_full_tensors(seed, rank):
    generator = np.random.default_rng(seed)
    sizes = (4, 3, 5)
    truth, guess = ([generator.standard_normal((n, rank)) for n in sizes] for _ in range(2))
    built = [tensor.full_tensor(x) for x in (guess, truth)]
    expected = np.sum((built[0] - built[1]) ** 2) / np.sum(built[1] ** 2)
    assert tensor.relative_error(guess, truth) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    order = generator.permutation(rank)
    cosines = tensor.cosines_squared([-2.0 * x[:, order] for x in truth], truth)
    np.testing.assert_allclose(cosines, 1.0, atol=1e-12)


def test_edges_that_are_no_errors():
    nothing = tensor.amp(np.zeros((4, 5, 6)), 1, "gaussian", 0.1, start="prior")
    assert nothing.converged
    assert tensor.als(np.zeros((3, 4)), 2).tensor().max() == 0.0
    y, factors = tensor.spike((1, 7, 2), 2, "rademacher", 0.1, 0)
    assert np.isfinite(tensor.amp(y, 2, "rademacher", 0.1).relative_error(factors))
    assert np.isfinite(tensor.als(y, 2).relative_error(factors))
    assert tensor.amp(y.astype(np.float32), 2, "rademacher", 0.1).factors[0].dtype == np.float64
    assert tensor.state_evolution("gaussian", 0.9, (1, 1)).min() > 0
    assert tensor.spike((3, 3), 1, "gaussian", 1, np.int64(3)).y.shape == (3, 3)


def test_divergence_is_said_and_the_last_state_kept():
    y, factors = cube(10)
    with pytest.warns(DivergenceWarning, match="sweep 1"):
        run = tensor.amp(y, 1, "gaussian", 0.1, start=[1e200 * x for x in factors])
    assert not run.converged
    assert all(np.isfinite(x).all() for x in run.factors)


def test_running_out_of_steps_at_a_threshold_is_said():
    with pytest.warns(RuntimeWarning, match="close to a threshold"):
        tensor.state_evolution("gaussian", 0.25 + 1e-9, start="informed", iterations=500)


# Bad input.

Y = np.ones((3, 4, 5))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tensor.spike((0, 3, 3), 1, "gaussian", 0.1, 0), ValueError, r"shape\[0\] is 0"),
        (lambda: tensor.spike((3,), 1, "gaussian", 0.1, 0), ValueError, "at least two modes"),
        (lambda: tensor.spike("abc", 1, "gaussian", 0.1, 0), TypeError, "shape"),
        (lambda: tensor.spike((3.0, 3), 1, "gaussian", 0.1, 0), TypeError, r"shape\[0\]"),
        (lambda: tensor.spike((3, 3), 0, "gaussian", 0.1, 0), ValueError, "rank"),
        (lambda: tensor.spike((3, 3), True, "gaussian", 0.1, 0), TypeError, "rank"),
        (lambda: tensor.spike((3, 3), 1, "gaussian", -0.1, 0), ValueError, "delta is -0.1"),
        (lambda: tensor.spike((3, 3), 1, "gaussian", np.nan, 0), ValueError, "delta is nan"),
        (lambda: tensor.spike((3, 3), 1, "gaussian", True, 0), TypeError, "delta"),
        (lambda: tensor.spike((3, 3), 1, "gaussian", "0.1", 0), TypeError, "delta"),
        (lambda: tensor.spike((3, 3), 1, "gaussian", 0.1, -1), ValueError, "seed"),
        (lambda: tensor.spike((3, 3), 1, "gaussian", 0.1, 0, exact_moments=1), TypeError, "exact_moments"),
        (lambda: tensor.spike((3, 3), 3, "gaussian", 0.1, 0, exact_moments=True), ValueError, "exact_moments"),
        (lambda: tensor.spike((3, 3), 1, "gausian", 0.1, 0), ValueError, "did you mean 'gaussian'"),
        (lambda: tensor.spike((3, 3), 1, 3.0, 0.1, 0), TypeError, "prior is 3.0"),
        (lambda: tensor.spike((3, 3), 1, ["gaussian"] * 3, 0.1, 0), ValueError, "prior holds 3"),
        (lambda: tensor.spike((3, 3), 1, tensor.Gaussian([1, 2]), 0.1, 0), ValueError, "rows of length 2"),
        (lambda: tensor.spike((3, 3), 13, tensor.Discrete([0, 1], [0.5, 0.5]), 0.1, 0), ValueError, "4096 states"),
        (lambda: tensor.spike((3, 3), 1, "bernoulli", 0.1, 0), TypeError, "bernoulli.*density"),
        (lambda: tensor.Gaussian(variance=0), ValueError, "variance is 0"),
        (lambda: tensor.Gaussian(variance=-1.0), ValueError, "variance"),
        (lambda: tensor.Gaussian(mean=np.inf), ValueError, "mean"),
        (lambda: tensor.Gaussian(mean=[1.0, np.nan]), ValueError, "mean"),
        (lambda: tensor.Gaussian(mean="0"), TypeError, "mean"),
        (lambda: tensor.Bernoulli(0.0), ValueError, "density"),
        (lambda: tensor.Bernoulli(1.0), ValueError, "density"),
        (lambda: tensor.Discrete([1.0, 1.0], [0.5, 0.5]), ValueError, "no variance"),
        (lambda: tensor.Discrete([1.0], [1.0]), ValueError, "no variance"),
        (lambda: tensor.Discrete([[0, 0], [1, 1]], [0.5, 0.5]), ValueError, "no variance"),
        (lambda: tensor.Discrete([0, 1], [0.5, 0.4]), ValueError, "add up"),
        (lambda: tensor.Discrete([0, 1], [1.5, -0.5]), ValueError, "above 0"),
        (lambda: tensor.Discrete([0, 1], [0.3, 0.3, 0.4]), ValueError, "one for each value"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.0), ValueError, "delta"),
        (lambda: tensor.amp(Y[0, 0], 1, "gaussian", 0.1), ValueError, "y has 1 dimensions"),
        (lambda: tensor.amp(Y * np.nan, 1, "gaussian", 0.1), ValueError, "y holds nan"),
        (lambda: tensor.amp(Y > 0, 1, "gaussian", 0.1), TypeError, "y holds booleans"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, start="psychic"), ValueError, "start is 'psychic'"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, start=[np.ones((3, 1))]), ValueError, "start holds 1"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, start=[np.ones((3, 1))] * 3), ValueError, r"start\[1\]"),
        (
            lambda: tensor.amp(Y, 2, "gaussian", 0.1, start=[np.ones((n, 1)) for n in Y.shape]),
            ValueError,
            r"start\[0\]",
        ),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, start=np.ones((3, 1))), TypeError, "start"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, truth=[np.ones((3, 1))] * 3), ValueError, r"truth\[1\]"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, schedule="chaotic"), ValueError, "schedule"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, damping=1.0), ValueError, "damping is 1"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, damping=-0.1), ValueError, "damping"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, onsager="yes"), TypeError, "onsager"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, iterations=0), ValueError, "iterations"),
        (lambda: tensor.amp(Y, 1, "gaussian", 0.1, tolerance=0.0), ValueError, "tolerance"),
        (lambda: tensor.amp(1e200 * Y, 1, "gaussian", 0.1), ValueError, "y has entries of size 1.0e\\+200"),
        (lambda: tensor.als(1e-200 * Y, 1), ValueError, "y has entries of size"),
        (lambda: tensor.spectral_directions([1.0, 2.0], 1), ValueError, "y has 1 dimensions"),
        (lambda: tensor.full_tensor([]), ValueError, "factors holds 0"),
        (lambda: tensor.full_tensor([np.ones((3, 1)), np.ones((3, 2))]), ValueError, r"factors\[1\]"),
        (lambda: tensor.cosines_squared(3, 4), TypeError, "truth is int"),
        (lambda: tensor.free_entropy(2.0, "gaussian", 0.1), ValueError, "overlaps has overlap 2"),
        (lambda: tensor.als(Y, 0), ValueError, "rank"),
        (lambda: tensor.als(Y, 1, start="prior"), ValueError, "start"),
        (lambda: tensor.state_evolution("gaussian", -0.1), ValueError, "delta"),
        (lambda: tensor.state_evolution("gaussian", 0.1, (1, 0, 1)), ValueError, "shape holds 0"),
        (lambda: tensor.state_evolution("gaussian", 0.1, (1,)), ValueError, "two modes"),
        (lambda: tensor.state_evolution("gaussian", 0.1, start=1.5), ValueError, "second moment"),
        (lambda: tensor.state_evolution("gaussian", 0.1, start=-0.5), ValueError, "between 0"),
        (lambda: tensor.state_evolution("gaussian", 0.1, start=True), TypeError, "start"),
        (lambda: tensor.state_evolution("gaussian", 0.1, start=[0.1, 0.2]), ValueError, "one overlap for each mode"),
        (lambda: tensor.state_evolution("gaussian", 0.1, start="clueless"), ValueError, "start"),
        (lambda: tensor.state_evolution("gaussian", 0.1, start=np.ones((3, 2, 2))), ValueError, "start"),
        (lambda: tensor.state_evolution(tensor.Bernoulli(0.3), 0.1, rank=4), ValueError, "at most 3 components"),
        (lambda: tensor.overlap_trajectory("gaussian", 0.1, -1), ValueError, "steps"),
        (lambda: tensor.thresholds("gaussian", meen=0.1), TypeError, "meen"),
        (lambda: tensor.thresholds("gaussian", mean="0"), TypeError, "mean"),
        (lambda: tensor.thresholds(tensor.Gaussian(), mean=0.3), TypeError, "parameters go with"),
        (lambda: tensor.thresholds(tensor.Gaussian([0.1, 0.2])), ValueError, "rows of length 2"),
        (lambda: tensor.fixed_points("gaussian", 0.0), ValueError, "delta"),
        (lambda: tensor.relative_error([np.ones((3, 1))] * 2, [np.zeros((3, 1))] * 2), ValueError, "zeros"),
        (lambda: tensor.cosines_squared([np.ones((3, 2))] * 2, [np.ones((3, 1))] * 2), ValueError, "estimate"),
        (lambda: tensor.gaussian_fixed_point(0.3), ValueError, "delta"),
        (lambda: tensor.gaussian_spinodals(0.5), ValueError, "mean"),
        (lambda: tensor.spectral_overlap(-0.1, 100.0), ValueError, "delta"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()
