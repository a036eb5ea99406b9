"""Tasks: targets and modes from correlations, modes, samples and files; losses to the last digits."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linfa
from linfa import LinearTask

property_test = settings(max_examples=60, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 7)


def orthogonal(generator, rows, columns=None):
    return np.linalg.qr(generator.standard_normal((rows, columns or rows)))[0]


def samples(seed=0, n=30, inputs=5, outputs=3, noise=0.3):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, inputs)) * np.linspace(1.5, 0.5, inputs)
    y = x @ generator.standard_normal((inputs, outputs)) + noise * generator.standard_normal((n, outputs))
    return x, y


def quietly(function, *arguments, **options):
    """Call what warns about the rank or condition of its inputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **options)


# From correlations


@given(SEEDS, SIZES, SIZES)
@property_test
def test_target_is_the_best_linear_map_and_its_modes_rebuild_it(seed, inputs, outputs):
    generator = np.random.default_rng(seed)
    vectors = orthogonal(generator, inputs)
    sigma_x = vectors * generator.uniform(0.2, 2.0, inputs) @ vectors.T
    target = generator.standard_normal((outputs, inputs))
    task = LinearTask(target @ sigma_x, sigma_x)
    # Condition at most 10, sizes at most 7: errors of some tens of eps.
    np.testing.assert_allclose(task.target, target, atol=1e-12)
    np.testing.assert_allclose(task.left * task.strengths @ task.right.T, task.target, atol=1e-13)
    np.testing.assert_allclose(task.left.T @ task.left, np.eye(len(task.strengths)), atol=1e-14)
    np.testing.assert_allclose(task.right.T @ task.right, np.eye(len(task.strengths)), atol=1e-14)
    assert (np.diff(task.strengths) <= 0).all()
    assert (task.strengths > 0).all()
    peaks = np.abs(task.right).argmax(0)
    assert (task.right[peaks, np.arange(len(peaks))] > 0).all()


def test_whitened_task_is_recognised_and_keeps_its_correlation_bits():
    yx = np.random.default_rng(1).standard_normal((3, 4))
    task = LinearTask(yx)
    assert task.whitened
    assert task.input_rank == 4
    assert task.condition == 1.0
    assert np.array_equal(task.target, yx)
    assert LinearTask(yx, np.eye(4)).whitened
    assert not LinearTask(yx, 2 * np.eye(4)).whitened
    assert (task.inputs, task.outputs) == (4, 3)


def test_rank_deficient_target_has_as_many_modes_as_its_rank():
    generator = np.random.default_rng(2)
    task = LinearTask(generator.standard_normal((5, 2)) @ generator.standard_normal((2, 6)))
    assert task.left.shape == (5, 2)
    assert task.strengths.shape == (2,)
    assert task.right.shape == (6, 2)
    assert LinearTask(np.zeros((2, 3))).strengths.shape == (0,)


def test_explained_modes_weigh_inputs_by_their_variance():
    generator = np.random.default_rng(3)
    x, y = samples(3)
    task = LinearTask.from_data(x, y)
    left, strengths, right = task.explained_modes
    # Products of 5 × 5 matrices of size 1.
    np.testing.assert_allclose(left * strengths @ right.T, task.target @ task.input_root, atol=1e-13)
    assert 0.5 * (strengths**2).sum() == pytest.approx(task.excess_loss(np.zeros((3, 5))), rel=1e-13, abs=0.0)
    whitened = LinearTask(generator.standard_normal((3, 4)))
    assert all(a is b for a, b in zip(whitened.explained_modes, whitened._modes, strict=True))


def test_roots_square_to_what_they_are_roots_of():
    x, y = samples(4)
    task = LinearTask.from_data(x, y)
    # Sums of five products of size 1.
    np.testing.assert_allclose(task.input_root @ task.input_root.T, task.sigma_x, atol=1e-13)
    residual = task.sigma_y - task.target @ task.sigma_x @ task.target.T
    np.testing.assert_allclose(task.residual_root @ task.residual_root.T, residual, atol=1e-13)
    assert np.array_equal(task.label_correlation, task.sigma_y)
    bare = LinearTask(task.sigma_yx, task.sigma_x)
    explained = task.sigma_yx @ np.linalg.inv(task.sigma_x) @ task.sigma_yx.T
    np.testing.assert_allclose(bare.label_correlation, explained, atol=1e-12)
    assert bare.residual_root.shape == (3, 0)
    assert bare.residual_loss == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.ones(3),), ValueError, "sigma_yx"),
        ((np.ones((0, 3)),), ValueError, "sigma_yx is empty"),
        ((np.array([[np.nan]]),), ValueError, "sigma_yx holds nan"),
        ((np.eye(2) * 1j,), TypeError, "complex"),
        ((np.eye(2), np.eye(3)), ValueError, r"sigma_x is \(3, 3\)"),
        ((np.eye(2), np.ones((2, 3))), ValueError, "square"),
        ((np.eye(2), np.array([[1.0, 0.5], [0.4, 1.0]])), ValueError, "not symmetric"),
        ((np.eye(2), np.diag([1.0, -0.1])), ValueError, "positive semidefinite"),
        ((np.eye(2), np.zeros((2, 2))), ValueError, "zero"),
        ((np.eye(2), np.diag([1.0, 0.0])), ValueError, "no variance"),
        ((np.eye(2), None, np.eye(3)), ValueError, "sigma_y"),
        ((np.eye(2), None, np.diag([1.0, 0.5])), ValueError, "smaller than what the inputs explain"),
        ((np.eye(2), None, np.array([[1.0, 2.0], [2.0, 1.0]])), ValueError, "positive semidefinite"),
    ],
)
def test_correlations_that_no_data_has_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        LinearTask(*arguments)


def test_arrays_are_copied_and_protected():
    x, y = samples(5)
    given_arrays = [y.T @ x / len(x), x.T @ x / len(x), y.T @ y / len(x)]
    before = [a.copy() for a in given_arrays]
    task = LinearTask(*given_arrays)
    for mine in given_arrays:
        mine[:] = 7.0
    for kept, original in zip((task.sigma_yx, task.sigma_x, task.sigma_y), before, strict=True):
        np.testing.assert_allclose(kept, original, rtol=1e-15)
    for name in ("sigma_yx", "sigma_x", "sigma_y", "target", "left", "strengths", "right", "input_root"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(task, name)[...] = 0.0


# Losses


@given(SEEDS, st.sampled_from(["plain", "rank-deficient", "whitened"]))
@property_test
def test_loss_is_the_sample_mean_of_half_the_squared_error(seed, kind):
    generator = np.random.default_rng(seed)
    x, y = samples(seed)
    if kind == "rank-deficient":
        x[:, 4] = x[:, 0] - x[:, 1]
    task = quietly(LinearTask.from_data, x, y, whiten=kind == "whitened")
    network_map = generator.standard_normal((3, 5))
    fed = x @ task.whitening.T if kind == "whitened" else x
    mean = 0.5 * ((y - fed @ network_map.T) ** 2).sum(1).mean()
    # Correlations of 30 samples, condition about 10 (singular: cut at eps): errors of some tens of eps.
    assert task.loss(network_map) == pytest.approx(mean, rel=1e-12, abs=0.0)
    assert task.loss(task.target) == pytest.approx(task.residual_loss, rel=1e-12, abs=0.0)
    assert task.excess_loss(network_map) == pytest.approx(mean - task.residual_loss, rel=1e-11, abs=0.0)


# A target computed from correlations is itself known to 1e-16; one that is given leaves room for any gap.
@pytest.mark.parametrize(("correlated", "size"), [(False, 1e-8), (False, 1e-100), (True, 1e-8), (True, 1e-15)])
def test_excess_loss_keeps_its_digits_near_zero(correlated, size):
    generator = np.random.default_rng(6)
    vectors = orthogonal(generator, 4)
    sigma_x = vectors * [2.0, 1.0, 0.5, 0.1] @ vectors.T if correlated else None
    target = np.zeros((3, 4))
    target[:, :2] = generator.standard_normal((3, 2))
    task = LinearTask(target if sigma_x is None else target @ sigma_x, sigma_x)
    near = task.target + size * generator.standard_normal((3, 4))
    # The gap that floating point really left.
    gap = task.target - near
    assert np.any(gap)
    exact = 0.5 * np.trace(gap @ task.sigma_x @ gap.T)
    # Sums of squares: no cancellation, some eps.
    assert task.excess_loss(near) == pytest.approx(exact, rel=1e-13, abs=0.0)
    assert task.loss(near) == task.excess_loss(near)


def test_losses_of_a_stack_are_those_of_its_maps():
    task = LinearTask.from_data(*samples(7))
    maps = np.random.default_rng(7).standard_normal((2, 4, 3, 5))
    assert task.loss(maps).shape == (2, 4)
    for k in np.ndindex(2, 4):
        # The same sums of 15 squares.
        assert task.loss(maps)[k] == pytest.approx(task.loss(maps[k]), rel=1e-14, abs=0.0)


# From modes


def test_modes_are_sorted_together_with_their_vectors():
    generator = np.random.default_rng(8)
    left, right = orthogonal(generator, 5, 3), orthogonal(generator, 4, 3)
    strengths = np.array([1.0, 3.0, 2.0])
    task = LinearTask.from_modes(strengths, inputs=4, outputs=5, left=left, right=right)
    assert task.strengths.tolist() == [3.0, 2.0, 1.0]
    assert np.array_equal(task.left, left[:, [1, 2, 0]])
    assert np.array_equal(task.right, right[:, [1, 2, 0]])
    # A product of 5 × 3 and 3 × 4.
    np.testing.assert_allclose(task.target, left * strengths @ right.T, atol=1e-14)


def test_degenerate_strengths_keep_the_vectors_given():
    generator = np.random.default_rng(9)
    left, right = orthogonal(generator, 6), orthogonal(generator, 6)
    task = LinearTask.from_modes(np.full(6, 2.0), inputs=6, outputs=6, left=left, right=right)
    assert np.array_equal(task.left, left)
    assert np.array_equal(task.right, right)
    assert np.array_equal(task.explained_modes[2], right)


@given(SEEDS, st.integers(1, 6), st.integers(0, 3), st.integers(0, 3))
@property_test
def test_drawn_modes_have_the_strengths_asked_for(seed, modes, more_inputs, more_outputs):
    strengths = np.random.default_rng(seed).uniform(0.1, 5.0, modes)
    task = LinearTask.from_modes(strengths, modes + more_inputs, modes + more_outputs, seed=seed)
    assert np.array_equal(task.strengths, np.sort(strengths)[::-1])
    found = np.linalg.svd(task.target, compute_uv=False)[:modes]
    # Orthonormal factors to some eps.
    np.testing.assert_allclose(found, task.strengths, rtol=1e-12)
    again = LinearTask.from_modes(strengths, modes + more_inputs, modes + more_outputs, seed=seed)
    assert np.array_equal(again.target, task.target)


def test_left_and_right_vectors_of_one_seed_are_different_draws():
    task = LinearTask.from_modes([1.0], inputs=50, outputs=50, seed=0)
    # Unrelated directions in 50 dimensions have a cosine of about 0.14; the same draw would have 1.
    assert abs(task.left[:, 0] @ task.right[:, 0]) < 0.6
    assert not np.array_equal(task.target, LinearTask.from_modes([1.0], 50, 50, seed=1).target)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"strengths": [1.0, 2.0, 3.0]}, ValueError, "at most 2 modes"),
        ({"strengths": [1.0, 0.0]}, ValueError, "positive"),
        ({"strengths": [-1.0]}, ValueError, "positive"),
        ({"strengths": []}, (ValueError, TypeError), "strengths"),
        ({"strengths": [1.0], "inputs": 0}, ValueError, "inputs"),
        ({"strengths": [1.0], "inputs": 2.0}, TypeError, "inputs"),
        ({"strengths": [1.0], "seed": -1}, ValueError, "seed"),
        ({"strengths": [1.0], "left": np.ones((3, 1))}, ValueError, "orthonormal"),
        ({"strengths": [1.0], "left": np.eye(3)}, ValueError, r"left is \(3, 3\)"),
        ({"strengths": [1.0], "right": np.ones((2, 1))}, ValueError, "orthonormal"),
    ],
)
def test_modes_that_do_not_fit_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        LinearTask.from_modes(**({"inputs": 2, "outputs": 3} | options))


# From samples


def test_target_of_samples_is_least_squares():
    x, y = samples(10)
    task = LinearTask.from_data(x, y)
    # Normal equations with condition about 10.
    np.testing.assert_allclose(task.target, np.linalg.lstsq(x, y, rcond=None)[0].T, atol=1e-12)
    assert not task.notes


def test_rank_deficient_samples_warn_and_give_the_smallest_best_map():
    x, y = samples(11)
    x[:, 4] = x[:, 0] + x[:, 2]
    with pytest.warns(UserWarning, match="rank 4 of 5"):
        task = LinearTask.from_data(x, y)
    assert task.input_rank == 4
    assert any("rank" in note for note in task.notes)
    # Least squares through the squared matrix: condition about 100.
    np.testing.assert_allclose(task.target, np.linalg.lstsq(x, y, rcond=None)[0].T, atol=1e-11)
    assert task.condition < 1e4


def test_fewer_samples_than_inputs_are_interpolated():
    x, y = samples(12, n=4, inputs=9)
    task = quietly(LinearTask.from_data, x, y)
    assert task.input_rank == 4
    # Four points in nine dimensions are met exactly, up to rounding.
    np.testing.assert_allclose(x @ task.target.T, y, atol=1e-11)
    assert task.loss(task.target) < 1e-12


def test_ill_conditioned_samples_warn():
    x, y = samples(13)
    x[:, 0] *= 1e5
    with pytest.warns(UserWarning, match="condition number"):
        task = LinearTask.from_data(x, y)
    assert 1e8 < task.condition < 1e13
    assert task.input_rank == 5


def test_well_conditioned_samples_do_not_warn():
    with warnings.catch_warnings(action="error"):
        LinearTask.from_data(*samples(14))


@pytest.mark.parametrize("deficient", [False, True])
def test_whitened_map_is_read_back_through_the_whitening(deficient):
    x, y = samples(15)
    if deficient:
        x[:, 3] = 2.0 * x[:, 1]
    plain = quietly(LinearTask.from_data, x, y)
    task = quietly(LinearTask.from_data, x, y, whiten=True)
    rank = 4 if deficient else 5
    white = x @ task.whitening.T
    assert task.whitened
    assert task.whitening.shape == (rank, 5)
    # Correlations of 30 samples, condition about 10.
    np.testing.assert_allclose(white.T @ white / len(x), np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(task.target @ task.whitening, plain.target, atol=1e-12)
    other = np.random.default_rng(15).standard_normal((3, rank))
    np.testing.assert_allclose(white @ other.T, x @ (other @ task.whitening).T, atol=1e-12)
    assert task.loss(other) == pytest.approx(plain.loss(other @ task.whitening), rel=1e-12, abs=0.0)


def test_centring_equals_centred_samples():
    x, y = samples(16)
    x, y = x + 3.0, y - 1.0
    centred = LinearTask.from_data(x, y, centre=True)
    by_hand = LinearTask.from_data(x - x.mean(0), y - y.mean(0))
    assert np.array_equal(centred.sigma_yx, by_hand.sigma_yx)
    assert not np.allclose(centred.sigma_yx, LinearTask.from_data(x, y).sigma_yx, atol=0.1)


def test_samples_are_not_modified():
    x, y = samples(17)
    before = x.copy(), y.copy()
    LinearTask.from_data(x, y, centre=True, whiten=True)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "words"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), {}, ValueError, "y has 4 samples"),
        (np.ones(3), np.ones((3, 2)), {}, ValueError, "x has 1 dimensions"),
        (np.full((3, 2), np.inf), np.ones((3, 2)), {}, ValueError, "x holds inf"),
        (np.ones((3, 2)), np.array([["a"]] * 3), {}, TypeError, "y holds text"),
        (np.ones((3, 2)), np.ones((3, 2)), {"centre": True}, ValueError, "same in every sample"),
        (np.ones((3, 2)), np.ones((3, 2)), {"whiten": 1}, TypeError, "whiten"),
    ],
)
def test_samples_that_make_no_task_are_refused(x, y, options, error, words):
    with pytest.raises(error, match=words):
        LinearTask.from_data(x, y, **options)


# Built-in tasks


def test_digits_have_rank_61_and_nine_modes_and_raise_no_warning():
    with warnings.catch_warnings(action="error"):
        task = LinearTask.digits()
        white = LinearTask.digits(whiten=True)
    assert (task.inputs, task.outputs, task.input_rank) == (64, 10, 61)
    assert len(task.strengths) == len(white.strengths) == 9
    assert 1e4 < task.condition < 1e6
    assert task.notes
    assert white.whitened
    assert white.inputs == 61
    images, labels = linfa.load_digits()
    x, y = images - images.mean(0), np.eye(10)[labels]
    y = y - y.mean(0)
    best = np.linalg.lstsq(x, y, rcond=1e-10)[0]
    # Normal equations at condition 1e5.
    np.testing.assert_allclose(x @ task.target.T, x @ best, atol=1e-9)
    assert task.residual_loss == pytest.approx(0.5 * ((y - x @ best) ** 2).sum(1).mean(), rel=1e-10)
    np.testing.assert_allclose(white.target @ white.whitening, task.target, atol=1e-9)


def test_bundled_digits_are_complete():
    images, labels = linfa.load_digits()
    assert images.shape == (1797, 64)
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_semantic_strengths_have_their_closed_form(levels):
    task = LinearTask.semantic(levels)
    items = 2**levels
    # The root's mode, then 2^(m−1) modes for each level m: sums 1 + 2 + … + n_m = 2 n_m − 1 of leaves below.
    squares = [(2 * items - 1) / items]
    for m in range(1, levels + 1):
        squares += [(2 * (items >> m) - 1) / items] * 2 ** (m - 1)
    # A decomposition of a 31 × 16 matrix.
    np.testing.assert_allclose(task.strengths**2, squares, rtol=1e-12)
    assert task.whitened
    # Noise-free labels: nothing is left over.
    assert task.residual_loss < 1e-14


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_semantic_properties_form_a_tree(levels):
    task = LinearTask.semantic(levels)
    items = 2**levels
    holds = task.target * np.sqrt(items)
    # Entries 0 and 1 up to the rounding of √items.
    np.testing.assert_allclose(holds, np.round(holds), atol=1e-14)
    owners = [frozenset(np.flatnonzero(row)) for row in np.round(holds)]
    assert len(owners) == 2 * items - 1
    assert len(set(owners)) == len(owners)
    assert frozenset(range(items)) in owners
    assert all(frozenset([k]) in owners for k in range(items))
    for a, b in itertools.combinations(owners, 2):
        assert a < b or b < a or not a & b
    assert (np.round(holds).sum(0) == levels + 1).all()


def test_semantic_modes_tell_broad_groups_apart_before_fine_ones():
    task = LinearTask.semantic(3)
    # All items alike; then half against half, by equal amounts 1/√8.
    np.testing.assert_allclose(np.abs(task.right[:, :2]), 1 / np.sqrt(8), atol=1e-13)
    assert len(set(np.sign(task.right[:, 0]))) == 1
    assert np.array_equal(np.sign(task.right[:4, 1]), -np.sign(task.right[4:, 1]))


@pytest.mark.parametrize(("levels", "error"), [(0, ValueError), (9, ValueError), (2.0, TypeError), (True, TypeError)])
def test_semantic_refuses_other_levels(levels, error):
    with pytest.raises(error, match="levels"):
        LinearTask.semantic(levels)


def test_named_tasks():
    assert np.array_equal(LinearTask.named("semantic").target, LinearTask.semantic().target)
    assert LinearTask.named("digits", whiten=True).whitened
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        LinearTask.named("digit")


# From files


def test_file_of_samples_gives_the_task_of_these_samples(tmp_path):
    x, y = samples(18)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    for whiten in (False, True):
        task = LinearTask.from_file(tmp_path / "mine.npz", whiten=whiten)
        assert np.array_equal(task.target, LinearTask.from_data(x, y, whiten=whiten).target)
        assert task.name == "mine"


def test_file_of_correlations_gives_their_task(tmp_path):
    task = LinearTask.from_data(*samples(19))
    np.savez(tmp_path / "all.npz", sigma_yx=task.sigma_yx, sigma_x=task.sigma_x, sigma_y=task.sigma_y)
    np.savez(tmp_path / "white.npz", sigma_yx=task.sigma_yx)
    read = LinearTask.from_file(str(tmp_path / "all.npz"))
    assert np.array_equal(read.target, task.target)
    assert read.residual_loss == task.residual_loss
    assert LinearTask.from_file(tmp_path / "white.npz").whitened
    with pytest.raises(ValueError, match=r"all\.npz.*whiten"):
        LinearTask.from_file(tmp_path / "all.npz", whiten=True)


def test_files_that_hold_no_task_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        LinearTask.from_file(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    np.savez(tmp_path / "half.npz", x=np.ones((2, 2)))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object), y=np.ones((1, 1)))
    np.save(tmp_path / "single.npy", np.ones((2, 2)))
    for name in ("text.npz", "other.npz", "half.npz", "objects.npz", "single.npy"):
        with pytest.raises(ValueError, match=name):
            LinearTask.from_file(tmp_path / name)
