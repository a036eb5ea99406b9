"""The array backend: compiled kernels against array expressions and PyTorch, adjoints, devices."""

import subprocess
import sys
from math import erf

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nn_checks import batch

from linfa import nn
from linfa.nn import Pass, backend
from linfa.presets import NETWORK_PRESETS, network_preset

LOW_RANK = ("fixed", "raf", "draf", "normative", "local")
windows = given(
    samples=st.integers(1, 3),
    sides=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    channels=st.integers(1, 4),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 6),
    single=st.booleans(),
)


def image(samples, sides, channels, single, seed=0):
    x = np.random.default_rng(seed).standard_normal((samples, *sides, channels))
    return x.astype(np.float32) if single else x


def fits(sides, kernel, padding):
    return min(sides) + 2 * padding >= kernel


@windows
@example(samples=2, sides=(7, 4), channels=3, kernel=3, stride=2, padding=0, single=False)
@settings(max_examples=80, deadline=None)
def test_compiled_windows_are_those_of_array_expressions(samples, sides, channels, kernel, stride, padding, single):
    if not fits(sides, kernel, padding):
        return
    x = image(samples, sides, channels, single)
    rows, wanted = backend.patches(x, kernel, stride, padding), backend._patches(x, kernel, stride, padding)
    assert rows.dtype == x.dtype
    np.testing.assert_array_equal(rows, wanted)
    positions = [backend.output_size(side, kernel, stride, padding) for side in sides]
    assert rows.shape == (samples * np.prod(positions), kernel * kernel * channels)
    errors = np.random.default_rng(1).standard_normal(rows.shape).astype(x.dtype)
    folded, expected = (f(errors, x.shape, kernel, stride, padding) for f in (backend.fold, backend._fold))
    assert folded.dtype == x.dtype
    # At most 25 windows hold one position, added in another order.
    np.testing.assert_allclose(folded, expected, rtol=0, atol=30 * np.finfo(x.dtype).eps * 5)


@windows
@settings(max_examples=60, deadline=None)
def test_folding_is_the_adjoint_of_gathering(samples, sides, channels, kernel, stride, padding, single):
    if not fits(sides, kernel, padding):
        return
    x = image(samples, sides, channels, single=False)
    rows = backend.patches(x, kernel, stride, padding)
    errors = np.random.default_rng(2).standard_normal(rows.shape)
    back = backend.fold(errors, x.shape, kernel, stride, padding)
    # The same products, added in another order.
    scale = max(1.0, np.abs(rows * errors).sum())
    assert abs(np.vdot(rows, errors) - np.vdot(x, back)) < 1e-13 * scale


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3), (1, 1), (1, 2), (5, 5), (15, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_compiled_pooling_is_that_of_array_expressions(size, stride, ties):
    x = image(3, (16, 17), 3, single=False)
    if ties:
        # Most windows hold their largest entry more than once: the first one counts.
        x = np.round(x)
    largest, where = backend.max_pool(x, size, stride)
    wanted, place = backend._max_pool(x, size, stride)
    np.testing.assert_array_equal(largest, wanted)
    np.testing.assert_array_equal(where, place)
    error = np.random.default_rng(1).standard_normal(largest.shape)
    back, expected = (f(error, where, x.shape, size, stride) for f in (backend.max_pool_back, backend._max_pool_back))
    # At most 225 windows hold one position, added in another order.
    np.testing.assert_allclose(back, expected, rtol=0, atol=1e-13)
    assert back.sum() == pytest.approx(error.sum(), abs=1e-11)


def test_an_array_that_is_no_view_of_plain_memory_is_worked_on_all_the_same():
    x = image(2, (6, 6), 4, single=False)
    strided = np.asfortranarray(x)[:, ::-1]
    plain = np.ascontiguousarray(strided)
    np.testing.assert_array_equal(backend.patches(strided, 3, 2, 1), backend.patches(plain, 3, 2, 1))
    np.testing.assert_array_equal(backend.max_pool(strided, 2, 2)[0], backend.max_pool(plain, 2, 2)[0])
    rows = np.asfortranarray(backend.patches(plain, 3, 2, 1))
    np.testing.assert_array_equal(backend.fold(rows, x.shape, 3, 2, 1), backend.fold(rows.copy("C"), x.shape, 3, 2, 1))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "positions"),
    [(32, 3, 1, 1, 32), (32, 3, 2, 1, 16), (5, 2, 2, 0, 2), (3, 3, 1, 0, 1), (2, 5, 1, 1, 0), (1, 1, 4, 0, 1)],
)
def test_positions_of_a_window(size, kernel, stride, padding, positions):
    assert backend.output_size(size, kernel, stride, padding) == positions


def test_the_error_function_of_arrays():
    x = np.linspace(-3, 3, 7)
    # Two implementations of a few eps.
    np.testing.assert_allclose(backend.erf(x), [erf(v) for v in x], rtol=1e-14)
    assert backend.erf(x.astype(np.float32)).dtype == np.float32


def test_pieces_of_a_batch_have_a_fixed_size():
    x = np.zeros((3, 4, 4, 2), np.float32)
    assert backend.images_at_once(x, 18, 16) == 2**19 // (18 * 16)
    assert backend.images_at_once(x, 2**20, 64) == 1


def test_arrays_of_other_kinds_are_refused():
    for x in ([1.0, 2.0], 3.0, None, np.float64(1.0)):
        with pytest.raises(TypeError, match="it must be an array of NumPy or CuPy"):
            backend.namespace(x)


def test_a_namesake_of_the_device_library_is_refused():
    impostor = type("ndarray", (), {"__module__": "cupyish.core"})()
    with pytest.raises(TypeError, match="x is ndarray"):
        backend.namespace(impostor)


def test_devices_are_cpu_and_cuda(monkeypatch):
    assert backend.device_module("cpu") is np
    with pytest.raises(ValueError, match="device is 'gpu'; it must be 'cpu' or 'cuda'"):
        backend.device_module("gpu")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match="device is 'cuda', which needs CuPy"):
        backend.device_module("cuda")


def test_a_device_that_does_not_answer_is_reported(monkeypatch):
    class Runtime:
        @staticmethod
        def getDeviceCount():
            raise OSError("no driver")

    silent = type(sys)("cupy")
    silent.cuda = type(sys)("cupy.cuda")
    silent.cuda.runtime = Runtime
    monkeypatch.setitem(sys.modules, "cupy", silent)
    with pytest.raises(RuntimeError, match="no such device answers: no driver"):
        backend.device_module("cuda")


def test_the_device_library_is_never_imported_for_arrays_of_numpy():
    code = (
        "import sys, numpy as np; from linfa import nn; "
        "net = nn.Network([nn.Conv2d(2), nn.MaxPool(2), nn.GELU(), nn.Flatten(), nn.Dense(2)], (4, 4, 1)); "
        "net.learn(np.ones((3, 4, 4, 1), 'f4'), [0, 1, 0], nn.Pass()); net.to('cpu'); "
        "print(any(m.partition('.')[0] in ('cupy', 'cupyx') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_moving_to_where_it_is_changes_nothing():
    net = nn.Network([nn.Dense(3)], (4,))
    before = net.state()
    assert net.to("cpu") is net
    assert all(net.state()[name] is array for name, array in before.items())


@pytest.fixture
def device():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: nothing of it can be compared")
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"CuPy is installed, but no device answers: {error}")
    return cupy


def everything(feedback):
    """A network with layers of every kind that the rule can pass."""
    direct = getattr(feedback, "direct", False)
    layers = [nn.Conv2d(6, stride=2), nn.BatchNorm(), nn.ReLU(), nn.Conv2d(8), nn.GELU(), nn.MaxPool(2)]
    if direct:
        layers += [nn.AveragePool(2, 1), nn.Flatten(), nn.Dense(7), nn.Tanh()]
    else:
        layers += [nn.Residual([nn.Conv2d(8), nn.LayerNorm()], [nn.Conv2d(8, 1)]), nn.PatchEmbedding(1, 8)]
        layers += [nn.Residual([nn.SelfAttention(2, dropout=0.1)], drop_path=0.1), nn.TokenPool(), nn.Dropout(0.2)]
    return nn.Network([*layers, nn.Dense(4)], (8, 8, 3), feedback=feedback, dtype="float64")


@pytest.mark.filterwarnings("ignore:rank 3 is capped")
@pytest.mark.parametrize("name", NETWORK_PRESETS)
def test_the_device_computes_what_the_processor_does(device, name):
    rank = 3 if name in LOW_RANK else None
    here, there = (everything(network_preset(name, rank=rank, seed=1)) for _ in range(2))
    there.to("cuda")
    x, labels = batch((8, 8, 3), 6, 4)
    for step in range(3):
        outcomes = [net.learn(data, labels, Pass(step=step)) for net, data in ((here, x), (there, device.asarray(x)))]
        assert outcomes[1][0] == pytest.approx(outcomes[0][0], rel=1e-10)
        for p, q in zip(here.parameters, there.parameters, strict=True):
            wanted = p.gradient
            # Sums in another order, through some layers and three updates.
            np.testing.assert_allclose(q.gradient.get(), wanted, rtol=0, atol=1e-9 * max(1.0, np.abs(wanted).max()))
            p.value -= 0.01 * p.gradient
            q.value -= 0.01 * q.gradient
        for net in (here, there):
            net.refresh(0.01, 0.1, Pass(step=step))
    back = there.to("cpu").state()
    for key, array in here.state().items():
        np.testing.assert_allclose(back[key], array, rtol=0, atol=1e-9 * max(1.0, np.abs(array).max()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_of_the_processor_are_expressions_of_the_device(device, dtype):
    x = image(3, (9, 8), 4, single=dtype == "float32")
    rows = backend.patches(x, 3, 2, 1)
    np.testing.assert_array_equal(backend.patches(device.asarray(x), 3, 2, 1).get(), rows)
    folded = backend.fold(device.asarray(rows), x.shape, 3, 2, 1).get()
    np.testing.assert_allclose(folded, backend.fold(rows, x.shape, 3, 2, 1), rtol=20 * np.finfo(dtype).eps)
    largest, where = backend.max_pool(x, 3, 2)
    found, place = backend.max_pool(device.asarray(x), 3, 2)
    np.testing.assert_array_equal(found.get(), largest)
    np.testing.assert_array_equal(place.get(), where)


@pytest.mark.filterwarnings("ignore:rank 3 is capped")
@pytest.mark.parametrize("name", NETWORK_PRESETS)
def test_array_expressions_alone_carry_a_whole_network(name, monkeypatch):
    # The way of the device, on the processor.
    rank = 3 if name in LOW_RANK else None
    net = everything(network_preset(name, rank=rank, seed=1))
    x, labels = batch((8, 8, 3), 6, 4)
    net.learn(x, labels, Pass())
    wanted = {p.name: p.gradient.copy() for p in net.parameters}
    for function in ("patches", "fold", "max_pool", "max_pool_back"):
        monkeypatch.setattr(backend, function, getattr(backend, f"_{function}"))
    net.learn(x, labels, Pass())
    for p in net.parameters:
        # The same sums in another order, divided by the spread of small batches.
        scale = max(1.0, np.abs(wanted[p.name]).max())
        np.testing.assert_allclose(p.gradient, wanted[p.name], rtol=0, atol=1e-12 * scale, err_msg=p.name)
