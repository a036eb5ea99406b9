"""Spectra through Gram matrices, and sketches of updates, against singular values."""

import numpy as np
import pytest

from linfa import metrics
from linfa.nn.spectra import energies, product_energies, ranks
from linfa.nn.update_path import UpdatePath

# A spectrum through a Gram matrix is exact to eps·σ₁²/σ²; matrices here have condition numbers below 1e3.
TOLERANCE = 1e-10


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (9, 9), (1, 5), (5, 1)])
def test_ranks_through_the_gram_matrix_are_those_of_the_singular_values(shape):
    a = rng().standard_normal(shape) * np.logspace(0, -1, shape[1])
    np.testing.assert_allclose(energies(a), np.linalg.svd(a, compute_uv=False) ** 2, rtol=TOLERANCE)
    for name, value in ranks(energies(a)).items():
        np.testing.assert_allclose(value, getattr(metrics, name)(a), rtol=TOLERANCE)


def test_each_rank_has_one_formula(monkeypatch):
    """What `linfa.metrics` takes an effective rank to be, probes take it to be."""
    squares = rng().uniform(size=7)
    found = metrics.ranks_from_singular_values(np.sqrt(squares))
    assert ranks(squares) == {name: found[name] for name in ranks(squares)}
    for name in ranks(squares):
        monkeypatch.setitem(metrics._RANKS, name, lambda values, name=name: len(name))
    assert ranks(squares) == {name: len(name) for name in ranks(squares)}


def test_rank_deficient_matrices_have_no_energy_beyond_their_rank():
    a = rng().standard_normal((300, 3)) @ rng(1).standard_normal((3, 50))
    assert np.count_nonzero(energies(a)) == 3
    np.testing.assert_allclose(ranks(energies(a))["effective_rank"], metrics.effective_rank(a), rtol=TOLERANCE)


def test_products_of_few_rows_have_the_spectrum_of_the_whole_matrix():
    left, right = rng().standard_normal((5, 30)), rng(1).standard_normal((5, 40))
    wanted = np.linalg.svd(left.T @ right, compute_uv=False)[:5] ** 2
    np.testing.assert_allclose(product_energies(left, right), wanted, rtol=TOLERANCE)


def test_spectra_of_single_precision_are_summed_in_double():
    a = rng().standard_normal((2000, 8)).astype(np.float32)
    np.testing.assert_allclose(energies(a), np.linalg.svd(a.astype(float), compute_uv=False) ** 2, rtol=TOLERANCE)


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_ranks_do_not_depend_on_scale(scale):
    a = rng().standard_normal((6, 5))
    for name, value in ranks(energies(scale * a)).items():
        np.testing.assert_allclose(value, ranks(energies(a))[name], rtol=TOLERANCE)


def test_zero_has_rank_zero_and_what_is_not_finite_has_none():
    assert set(ranks(energies(np.zeros((4, 3)))).values()) == {0.0}
    broken = np.ones((4, 3))
    broken[1, 1] = np.nan
    assert np.isnan(list(ranks(energies(broken)).values())).all()
    assert np.isnan(product_energies(broken, np.ones((4, 9)))).all()


# Sketches of updates


def path_of(updates, most=64, entries=None, seed=0):
    path = UpdatePath(updates[0].size, most, entries, seed, 0, updates[0].dtype)
    for update in updates:
        path.append(update)
    return path


def test_sketched_updates_keep_their_ranks():
    updates = [rng(k).standard_normal((60, 50)) for k in range(12)]
    exact = ranks(energies(np.array([u.ravel() for u in updates])))
    sketched = path_of(updates, entries=1009)
    for name, value in ranks(energies(sketched.state()["rows"])).items():
        # Singular values change by √(12/1009) = 11 % at most, typically; the stable rank follows the largest alone.
        np.testing.assert_allclose(value, exact[name], rtol=0.25 if name == "stable_rank" else 0.05)


def test_sketches_are_linear():
    """Updates along two directions have rank 2 after the sketch as before."""
    a, b = rng(0).standard_normal((2, 3000))
    path = path_of([a, b, a + b, a - 2 * b], entries=101)
    assert np.linalg.matrix_rank(path.gram) == 2


def test_sketches_depend_on_the_seed_and_nothing_else():
    updates = [rng(k).standard_normal(500) for k in range(3)]
    first, again, other = (path_of(updates, entries=50, seed=s).gram for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_only_the_latest_updates_are_kept():
    updates = [rng(k).standard_normal(30) for k in range(7)]
    path = path_of(updates, most=3)
    latest = np.array(updates[-3:])
    np.testing.assert_array_equal(path.state()["rows"], latest)
    np.testing.assert_allclose(path.gram, latest @ latest.T, rtol=1e-14, atol=1e-14)


def test_one_direction_is_one_direction():
    path = path_of([k * rng(0).standard_normal(3000) for k in (1.0, -2.0, 0.5)], entries=101)
    # All ranks of a matrix of rank one are 1, to the square root of the rounding of its Gram matrix.
    np.testing.assert_allclose(list(ranks(energies(path.state()["rows"])).values()), 1.0, rtol=1e-7)
