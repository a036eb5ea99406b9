"""Optimisers: against PyTorch and the published programs, exact laws, kernels against expressions."""

import numpy as np
import pytest
from descending import DECOUPLED, EVERY, gradients, run, start
from hypothesis import given, settings
from hypothesis import strategies as st

from linfa import metrics
from linfa.nn import schedules, update_kernels
from linfa.nn.descent import assign
from linfa.nn.muon import COEFFICIENTS, SHAPE_FACTORS, Muon, orthogonalise
from linfa.nn.optimisers import SGD, Adam, AdamW, Step
from linfa.nn.parameters import Parameter
from linfa.nn.recipe import Recipe, Treatment
from linfa.nn.schedules import Constant, Exponential, WarmUpCosine

# Derandomised: a property test that passes today must not fail tomorrow by another draw.
property_test = settings(max_examples=50, deadline=None, derandomize=True)
each_optimiser = pytest.mark.parametrize("optimiser", EVERY.values(), ids=EVERY)
each_decoupled = pytest.mark.parametrize("optimiser", DECOUPLED.values(), ids=DECOUPLED)


def torch_run(make, value, steps):
    torch = pytest.importorskip("torch", reason="PyTorch is the reference here and is not installed")
    parameter = torch.nn.Parameter(torch.tensor(value.copy()))
    optimiser = make(torch.optim, [parameter])
    for g in steps:
        parameter.grad = torch.tensor(g)
        optimiser.step()
    return parameter.detach().numpy()


PEERS = {
    "sgd": (SGD(), 0.0, lambda o, p: o.SGD(p, lr=0.03)),
    "sgd-decay": (SGD(), 0.2, lambda o, p: o.SGD(p, lr=0.03, weight_decay=0.2)),
    "momentum": (SGD(momentum=0.9), 0.0, lambda o, p: o.SGD(p, lr=0.03, momentum=0.9)),
    "nesterov": (SGD(0.9, nesterov=True), 0.0, lambda o, p: o.SGD(p, lr=0.03, momentum=0.9, nesterov=True)),
    "adam": (Adam(), 0.2, lambda o, p: o.Adam(p, lr=0.03, weight_decay=0.2)),
    "amsgrad": (Adam((0.8, 0.9), 1e-6, True), 0.2, lambda o, p: o.Adam(p, 0.03, (0.8, 0.9), 1e-6, 0.2, amsgrad=True)),
    "adamw": (AdamW((0.9, 0.95), 1e-10), 0.2, lambda o, p: o.AdamW(p, 0.03, (0.9, 0.95), 1e-10, 0.2)),
    "adamw-amsgrad": (
        AdamW((0.8, 0.9), amsgrad=True),
        0.2,
        lambda o, p: o.AdamW(p, 0.03, (0.8, 0.9), weight_decay=0.2, amsgrad=True),
    ),
}


@pytest.mark.slow  # PyTorch takes its time to be imported
@pytest.mark.parametrize("name", PEERS)
def test_updates_equal_pytorch(name):
    optimiser, decay, peer = PEERS[name]
    steps = gradients((7, 5), 60)
    value, _ = run(optimiser, start((7, 5)), steps, rate=0.03, decay=decay)
    # 60 updates of size one and below, each rounded a few times: under 1e-13.
    np.testing.assert_allclose(value, torch_run(peer, start((7, 5)), steps), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
@pytest.mark.parametrize(("factor", "peer"), [("original", "original"), ("match-rms", "match_rms_adamw")])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_equals_pytorch(monkeypatch, shape, factor, peer, nesterov):
    torch = pytest.importorskip("torch", minversion="2.9", reason="PyTorch's Muon came with 2.9")

    def make(o, p):
        return o.Muon(p, lr=0.05, weight_decay=0.2, momentum=0.9, nesterov=nesterov, adjust_lr_fn=peer)

    steps = gradients(shape, 20)
    muon = Muon(momentum=0.9, nesterov=nesterov, shape_factor=factor)
    value, _ = run(muon, start(shape), steps, rate=0.05, decay=0.2)
    half = torch_run(make, start(shape), steps)
    moved = np.linalg.norm(value - start(shape) * 0.99**20)
    # It iterates in bfloat16, whose 8 bits leave up to 0.4 % in every number; errors of many products add up in part.
    assert np.linalg.norm(value - half) < 0.02 * moved
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    double = torch_run(make, start(shape), steps)
    # Now in double precision throughout; it divides by the norm and not by the norm + 1e-7. That is 2e-8 of a norm of
    # 5, and no entry carries more than a part of what moved.
    np.testing.assert_allclose(value, double, rtol=0, atol=2e-8 * moved)


def published_adam(value, steps, rate, decay, betas, epsilon, amsgrad, decoupled):
    """Algorithm 1 of Kingma & Ba and algorithm 2 of Loshchilov & Hutter, line by line."""
    mean, square, largest = (np.zeros_like(value) for _ in range(3))
    for t, g in enumerate(steps, 1):
        g = g if decoupled else g + decay * value
        mean = betas[0] * mean + (1 - betas[0]) * g
        square = betas[1] * square + (1 - betas[1]) * g**2
        largest = np.maximum(largest, square)
        top = (largest if amsgrad else square) / (1 - betas[1] ** t)
        kept = value * (1 - rate * decay) if decoupled else value
        value = kept - rate * mean / (1 - betas[0] ** t) / (np.sqrt(top) + epsilon)
    return value


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("optimiser", [Adam, AdamW])
def test_adam_equals_the_published_algorithm(optimiser, amsgrad):
    steps, betas = gradients((7, 5), 60), (0.8, 0.95)
    expected = published_adam(start((7, 5)), steps, 0.03, 0.2, betas, 1e-6, amsgrad, optimiser is AdamW)
    value, _ = run(optimiser(betas, 1e-6, amsgrad), start((7, 5)), steps, rate=0.03, decay=0.2)
    # As above.
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)
    # The same by way of a recipe, which counts the updates.
    parameter = Parameter("a.weight", start((7, 5)), "weight")
    descent = assign([parameter], Recipe(Treatment(optimiser(betas, 1e-6, amsgrad), 0.03, decay=0.2)))
    for parameter.gradient in steps:
        descent.step()
    assert (parameter.value == value).all()


def published_muon(value, steps, rate, decay, momentum, nesterov, factor):
    """Jordan's program, read literally: weights (out, in, height, width), NumPy's own products, no shortcut."""
    a, b, c = 3.4445, -4.7750, 2.0315
    buffer = np.zeros_like(value)
    for g in steps:
        buffer = buffer + (g - buffer) * (1 - momentum)
        update = g + (buffer - g) * momentum if nesterov else buffer
        flat = update.reshape(len(update), -1)
        x = flat.T if flat.shape[0] > flat.shape[1] else flat
        x = x / (np.linalg.norm(x) + 1e-7)
        for _ in range(5):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        x = x.T if flat.shape[0] > flat.shape[1] else x
        ratio = {"original": g.shape[-2] / g.shape[-1], "flattened": flat.shape[0] / flat.shape[1]}
        scale = max(1, ratio[factor]) ** 0.5 if factor in ratio else 1.0
        if factor == "match-rms":
            scale = 0.2 * max(flat.shape) ** 0.5
        value = value * (1 - rate * decay) - rate * scale * x.reshape(value.shape)
    return value


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("factor", SHAPE_FACTORS)
@pytest.mark.parametrize("shape", [(9, 20), (20, 9), (40, 2, 3, 3), (8, 6, 5, 3)])
def test_muon_equals_the_published_program(shape, factor, nesterov):
    steps = gradients(shape, 10)
    expected = published_muon(start(shape), steps, 0.05, 0.2, 0.95, nesterov, factor)
    channels_last = (0, 2, 3, 1) if len(shape) == 4 else (0, 1)
    value = np.ascontiguousarray(start(shape).transpose(channels_last))
    moved = [np.ascontiguousarray(g.transpose(channels_last)) for g in steps]
    muon = Muon(nesterov=nesterov, shape_factor=factor)
    value, _ = run(muon, value, moved, rate=0.05, decay=0.2)
    # Rounding, 1e-16, times the slope 485 of the iteration, ten updates: below 1e-12.
    np.testing.assert_allclose(value, expected.transpose(channels_last), rtol=0, atol=1e-12)


def test_original_shape_factor_takes_the_kernel_for_the_matrix():
    """The quirk: 64 kernels of 3 × 3 pixels get 1, the same weights as a 64 × 9 matrix √(64/9)."""
    muon = Muon()
    assert muon.scale((64, 3, 3, 1)) == 1.0
    assert muon.scale((64, 9)) == pytest.approx(8 / 3, rel=1e-15)
    assert muon.scale((9, 64)) == 1.0
    assert Muon(shape_factor="flattened").scale((64, 3, 3, 1)) == muon.scale((64, 9))
    g = gradients((64, 3, 3, 1), 1)[0]
    sizes = []
    for shape in (g.shape, (64, 9)):
        w, _ = run(muon, np.zeros(shape), [g.reshape(shape)], rate=1.0)
        sizes.append(np.linalg.norm(w))
    assert sizes[1] == pytest.approx(8 / 3 * sizes[0], rel=1e-12)


def iterated(values, steps=5):
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    return values


def with_spectrum(rows, columns, values, seed):
    generator = np.random.default_rng(seed)
    left = np.linalg.qr(generator.standard_normal((rows, len(values))))[0]
    right = np.linalg.qr(generator.standard_normal((columns, len(values))))[0]
    return left, right, left * values @ right.T


@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.0, 3.0), st.integers(0, 2**32 - 1))
@property_test
def test_orthogonalised_matrix_keeps_singular_vectors_and_lands_in_the_band(rows, columns, spread, seed):
    values = np.exp(spread * np.random.default_rng(seed).standard_normal(min(rows, columns)))
    left, right, matrix = with_spectrum(rows, columns, values, seed)
    turned = left.T @ orthogonalise(matrix) @ right
    relative = values / np.linalg.norm(values)
    inside = turned.diagonal()[relative >= 0.00151]
    # The range that f maps into itself, from where five steps have lifted singular values that far.
    assert (inside > 0.68).all()
    assert (inside < 1.21).all()
    # In the basis of G's singular vectors it is diagonal, f⁵ of G's: to rounding, 1e-15, times the slope 485, and the
    # 1e-7 beside the norm, which is at least 1e-2 here: 1e-5 of a slope times σ/‖G‖.
    shifted = values / (np.linalg.norm(values) + 1e-7)
    np.testing.assert_allclose(turned, np.diag(iterated(shifted)), rtol=0, atol=1e-11)
    # Nothing outside of the singular vectors.
    np.testing.assert_allclose(left @ turned @ right.T, orthogonalise(matrix), rtol=0, atol=1e-11)


def test_orthogonalised_matrix_nears_the_polar_factor():
    matrix = gradients((24, 60), 1)[0]
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    away = np.linalg.svd(orthogonalise(matrix) - left @ right, compute_uv=False)
    # Singular values in [0.68, 1.21] instead of 1.
    assert away.max() <= 0.32
    assert metrics.cosine(orthogonalise(matrix), left @ right) > 0.97


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_orthogonalisation_creates_no_rank(rank):
    _, _, matrix = with_spectrum(20, 30, np.linspace(1, 2, rank), seed=rank)
    values = np.linalg.svd(orthogonalise(matrix), compute_uv=False)
    assert (values[:rank] > 0.6).all()
    # What rounding leaves in the null space, 1e-16, grows 485-fold.
    assert values[rank:].max() < 1e-12
    muon, w = Muon(), np.zeros((20, 30))
    run(muon, w, [matrix], rate=0.1)
    assert np.linalg.matrix_rank(w, tol=1e-12) == rank


def test_orthogonalisation_raises_the_effective_rank_of_a_decaying_spectrum():
    values = np.arange(1.0, 65.0) ** -1.5
    _, _, matrix = with_spectrum(64, 576, values, seed=0)
    assert metrics.effective_rank(matrix) < 11
    assert metrics.effective_rank(orthogonalise(matrix)) > 63


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (8, 8)])
def test_orthogonalisation_commutes_with_transposition_and_ignores_scale(shape):
    matrix = gradients(shape, 1)[0]
    expected = orthogonalise(matrix)
    # The same products of the same numbers in another order; the slope of 485 takes 1e-16 to 1e-13.
    np.testing.assert_allclose(orthogonalise(np.ascontiguousarray(matrix.T)), expected.T, rtol=0, atol=1e-12)
    for factor in (1e8, 1e100):
        # 1e-7 beside the norm is nothing here.
        np.testing.assert_allclose(orthogonalise(factor * matrix), orthogonalise(1e8 * matrix), rtol=0, atol=1e-12)
    np.testing.assert_allclose(orthogonalise(-matrix), -expected, rtol=0, atol=0)
    large = (matrix * 1e30).astype(np.float32)  # squares would overflow in single precision
    # Single precision, 6e-8, times the slope 485.
    np.testing.assert_allclose(orthogonalise(large), orthogonalise(1e8 * matrix), rtol=0, atol=1e-4)


def test_zero_gradient_gives_a_zero_update():
    for optimiser in EVERY.values():
        value, _ = run(optimiser, start((4, 3)), [np.zeros((4, 3))] * 3, rate=0.1)
        assert (value == start((4, 3))).all(), optimiser
    assert not orthogonalise(np.zeros((3, 4))).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clamp", [None, 0.5])
@each_optimiser
def test_compiled_kernels_equal_plain_expressions(optimiser, clamp, dtype):
    """The plain expressions are what runs on a graphics card."""
    shape, steps = (6, 3, 3, 5), gradients((6, 3, 3, 5), 10, dtype=dtype)
    how = {"rate": 0.05, "decay": 0.1, "clamp": clamp}
    value, memory = run(optimiser, start(shape, dtype=dtype), steps, **how)
    plain = start(shape, dtype=dtype)
    kept = optimiser.start(plain)
    for k, g in enumerate(steps):
        optimiser._plain(np, plain, g, kept, Step(k + 1, **how))
    assert plain.dtype == value.dtype == dtype
    # Ten updates, a few roundings each; Newton–Schulz multiplies a rounding by up to 485.
    tolerance = 100 * np.finfo(dtype).eps * (50 if isinstance(optimiser, Muon) else 1)
    np.testing.assert_allclose(value, plain, rtol=0, atol=tolerance)
    assert set(memory) == set(kept) == set(optimiser.slots)
    for slot in memory:
        np.testing.assert_allclose(memory[slot], kept[slot], rtol=0, atol=100 * np.finfo(dtype).eps)
    uncut, _ = run(optimiser, start(shape, dtype=dtype), steps, rate=0.05, decay=0.1)
    assert (uncut != value).any() == (clamp is not None)


@each_optimiser
def test_update_reads_gradients_of_any_layout_and_leaves_them_alone(optimiser):
    g = gradients((8, 5), 1)[0]
    expected, _ = run(optimiser, start((8, 5)), [g], rate=0.1, clamp=0.3)
    strided = np.asfortranarray(g)
    value, _ = run(optimiser, start((8, 5)), [strided], rate=0.1, clamp=0.3)
    assert (value == expected).all()
    assert (strided == g).all()


@each_optimiser
def test_bits_do_not_depend_on_where_the_array_lies(optimiser):
    """Vector instructions treat the ends of an array apart; they must round alike."""
    steps = gradients((9, 11), 3)
    expected, _ = run(optimiser, start((9, 11)), steps, rate=0.1, decay=0.1)
    room = np.empty(9 * 11 + 1)
    shifted = room[1:].reshape(9, 11)
    shifted[...] = start((9, 11))
    value, _ = run(optimiser, shifted, steps, rate=0.1, decay=0.1)
    assert (value == expected).all()


@each_decoupled
def test_weak_decay_survives_single_precision(optimiser):
    """1 − η wd is 1 in single precision here; still the mean of the weights shrinks as it does in double."""
    shape, rate, decay = (100, 200), 1e-5, 2.5e-3
    assert np.float32(1 - rate * decay) == 1
    single, double = np.full(shape, 0.05, np.float32), np.full(shape, 0.05)
    memories, count = (optimiser.start(single), optimiser.start(double)), 200 if isinstance(optimiser, Muon) else 1000
    generator = np.random.default_rng(0)
    for k in range(count):
        g = generator.standard_normal(shape).astype(np.float32)
        optimiser.update(single, g, memories[0], Step(k + 1, rate, decay))
        optimiser.update(double, g.astype(np.float64), memories[1], Step(k + 1, rate, decay))
    lost = 0.05 * rate * decay * count
    off = single - double
    # Rounding is a random walk, which the mean over 20,000 weights tames.
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size) + 0.01 * lost
    assert off.std() / np.sqrt(off.size) < 0.1 * lost


@each_optimiser
def test_nan_in_a_gradient_never_becomes_a_number(optimiser):
    """Not even where gradients are cut, which a minimum and a maximum would do."""
    g = np.ones((3, 4))
    g[1, 2] = np.nan
    if isinstance(optimiser, Muon):
        with pytest.raises(ValueError, match="norm nan"):
            run(optimiser, start((3, 4)), [g], rate=0.1, clamp=0.5)
    else:
        value, _ = run(optimiser, start((3, 4)), [g], rate=0.1, clamp=0.5)
        assert np.isnan(value[1, 2])


def test_counting_of_what_is_not_finite():
    for dtype in (np.float32, np.float64):
        x = np.array([1.0, np.nan, -np.inf, np.inf, np.finfo(dtype).max, -0.0, np.finfo(dtype).tiny], dtype)
        assert update_kernels.count_not_finite(x) == 3
        assert update_kernels.count_not_finite(x[4:]) == 0


def test_schedules_at_their_edges():
    assert [Constant()(k, 7) for k in (0, 10**9)] == [1.0, 1.0]
    assert [Exponential(0.9)(k, 10) for k in (0, 9, 10, 29)] == [1.0, 1.0, 0.9, 0.9**2]
    assert [Exponential(0.9, every="update")(k, 10) for k in (0, 1, 29)] == [1.0, 0.9, 0.9**29]
    cosine = WarmUpCosine(epochs=10, warm_up=2, floor=0.1)
    assert cosine(0, 50) == 1 / 25
    assert cosine(50, 50) == pytest.approx((1 + 1 / 25) / 2, rel=1e-15)
    assert cosine(100, 50) == 1.0
    assert cosine(300, 50) == pytest.approx(0.55, rel=1e-15)
    assert cosine(200, 50) == pytest.approx(0.1 + 0.9 * np.cos(np.pi / 8) ** 2, rel=1e-15)
    assert cosine(499, 50) > cosine(500, 50) == cosine(520, 50) == cosine(10**6, 50) == 0.1
    factors = [cosine(k, 50) for k in range(501)]
    assert (np.diff(factors[:101]) > 0).all()
    assert (np.diff(factors[100:]) < 0).all()
    # Warm-up meets the cosine: no jump larger than a step of the warm-up.
    assert np.abs(np.diff(factors)).max() <= 1.0001 * (1 - 1 / 25) / 100
    assert WarmUpCosine(4)(0) == 1.0
    assert WarmUpCosine(epochs=4, warm_up=0.5, start=0.0)(0, 3) == 0.0


def test_memory_of_another_rule_is_refused():
    w = np.ones((2, 3))
    with pytest.raises(ValueError, match="memory holds momentum; AdamW remembers mean, square"):
        AdamW().update(w, w, SGD(0.9).start(w), Step(1, 0.1))
    with pytest.raises(ValueError, match=r"memory\['momentum'\] is \(6,\); it must be \(2, 3\)"):
        SGD(0.9).update(w, w, {"momentum": np.zeros(6)}, Step(1, 0.1))


def test_every_schedule_is_known_by_name():
    assert {s.__name__ for s in schedules.Schedule.__subclasses__()} == {s.__name__ for s in schedules.SCHEDULES}
