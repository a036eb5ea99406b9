"""Operations of a training step: against products counted by hand, the published transformer, and the running code."""

import warnings

import numpy as np
import pytest

import linfa
from linfa import nn
from linfa.nn.carriers import LowRank
from linfa.nn.layer import Pass
from linfa.nn.operations import operations
from linfa.presets import network_preset

BATCH = 256
TOKENS = 65
# Savings of a step in the linear layers of the transformer's blocks, per cent, by rank: published arithmetic.
PUBLISHED = {
    4: 32.4,
    10: 31.1,
    16: 29.7,
    20: 28.8,
    24: 27.9,
    32: 26.1,
    36: 25.1,
    40: 24.2,
    48: 22.4,
    64: 18.8,
    128: 4.2,
}
WHOLE = {4: 31, 10: 29, 16: 28, 20: 27, 24: 26, 32: 25, 36: 24, 40: 23, 48: 21, 64: 18, 128: 4}
# The authors' figure for a whole step of backprop.
WHOLE_STEP = 995e9


def vit(rank=None):
    """The published transformer; one block stands for eight, which are alike."""
    rule = linfa.Backprop() if rank is None else linfa.LowRankFeedback(rank=rank)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return nn.Network(nn.vit(10, depth=1), (32, 32, 3), feedback=rule)


def of_blocks(network, books):
    """Operations of the linear layers of eight blocks, with bookkeeping of `books` products of r × a × b each."""
    found = 0
    for m in network.maps:
        if not m.name.startswith("block"):
            continue
        rows = BATCH * m.positions
        found += 4 * rows * m.source * m.receiving + m.carrier.operations(rows, m.receiving, m.source)["signal"]
        if isinstance(m.carrier, LowRank):
            found += books * 2 * m.carrier.p.shape[0] * m.source * m.receiving
    return 8 * found


def test_the_transformer_has_the_published_count():
    network = vit()
    assert network.maps[1].positions == TOKENS
    linear = of_blocks(network, 0)
    # 942 GFLOP is given in whole numbers.
    assert linear / 1e9 == pytest.approx(942, abs=0.5)
    found = operations(network, BATCH)
    # Beside the blocks: patches that send nothing, and the head on one token.
    patches, head = 2 * 2 * BATCH * 64 * 48 * 384, 3 * 2 * BATCH * 384 * 10
    assert sum(found.values()) - found["attention"] == linear // 8 + patches + head
    # q kᵀ and its product with v, 2·64·heads operations a pair of tokens and a product; thrice, to and fro.
    assert found["attention"] == 3 * 2 * 2 * BATCH * TOKENS**2 * 384


@pytest.mark.parametrize("rank", PUBLISHED)
def test_savings_of_the_transformer_are_the_published_ones(rank):
    exact, low = of_blocks(vit(), 0), of_blocks(vit(rank), 3)
    # The table is rounded to a tenth, and to whole per cents.
    assert 100 * (1 - low / exact) == pytest.approx(PUBLISHED[rank], abs=0.051)
    assert 100 * (exact - low) / WHOLE_STEP == pytest.approx(WHOLE[rank], abs=0.51)


def test_our_fit_of_q_and_p_takes_two_large_products_instead_of_three():
    rank, width, rows = 8, 100, 640
    rule = linfa.LowRankFeedback(rank=rank, q="normative", p="normative")
    network = nn.Network([nn.Dense(width), nn.Dense(width)], (width,), feedback=rule)
    product = 2 * rank * width * width
    # Wᵀ Pᵀ and Qᵀ Wᵀ; then P Pᵀ, Q (P Pᵀ), Qᵀ Q, (Qᵀ Q) P, which are small.
    assert operations(network, rows)["feedback"] == 2 * product + 4 * 2 * rank**2 * width


class Counting(np.ndarray):
    """An array that adds up the operations of every matrix product that it takes part in."""

    total = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        bare = [np.asarray(x) if isinstance(x, Counting) else x for x in inputs]
        out = options.pop("out", None)
        if out is not None:
            options["out"] = tuple(np.asarray(o) if isinstance(o, Counting) else o for o in out)
        made = getattr(ufunc, method)(*bare, **options)
        if ufunc is np.matmul:
            a, b = bare
            Counting.total += (
                2
                * int(np.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2])))
                * a.shape[-2]
                * (a.shape[-1] * b.shape[-1])
            )
        return made.view(Counting) if isinstance(made, np.ndarray) else made


@pytest.mark.parametrize(
    ("feedback", "rank"),
    [("backprop", None), ("fa", None), ("fixed", 3), ("kolen-pollack", 3), ("raf", 3), ("normative", 3), ("local", 3),
     ("dfa", None)],
)  # fmt: skip
def test_counts_are_those_of_the_running_code(feedback, rank):
    layers = [nn.Dense(24), nn.Tanh(), nn.Dense(20), nn.Tanh(), nn.Dense(10)]
    network = nn.Network(layers, (30,), feedback=network_preset(feedback, rank))
    for parameter in network.parameters:
        parameter.value = parameter.value.view(Counting)
    for m in network.maps:
        m.carrier.buffers.update({name: array.view(Counting) for name, array in m.carrier.buffers.items()})
    # Arrays of a type of their own are NumPy's for all that the layers do here.
    generator = np.random.default_rng(0)
    x = generator.standard_normal((16, 30)).astype(np.float32)
    Counting.total = 0
    network.learn(x.view(Counting), np.arange(16) % 10, Pass())
    found = operations(network, 16)
    # Fixed direct feedback's gradient is formed and not used: one product for each layer that is sent an error.
    spare = 2 * 16 * 10 * (24 + 20) if feedback == "dfa" else 0
    # Labels are plain arrays, so that the product for their second moment goes unseen.
    unseen = 2 * 16 * 10 * 10 if feedback == "raf" else 0
    assert sum(found.values()) == Counting.total - spare + unseen


def test_direct_feedback_is_counted_from_the_output():
    convolutions = [nn.Conv2d(4, 3), nn.ReLU(), nn.Conv2d(6, 3, stride=2), nn.Flatten(), nn.Dense(10)]
    network = nn.Network(convolutions, (8, 8, 1), feedback=linfa.DirectFeedback(seed=1))
    found = operations(network, 5)
    forward = 2 * 5 * (64 * 9 * 4 + 16 * 36 * 6 + 96 * 10)
    # Straight from ten outputs to the inputs of the second convolution and of the classifier.
    assert found == {
        "forward": forward,
        "gradient": forward,
        "signal": 2 * 5 * 10 * (256 + 96),
        "feedback": 0,
        "attention": 0,
    }
    low = nn.Network([nn.Dense(20), nn.ReLU(), nn.Dense(10)], (30,), feedback=network_preset("draf", 2))
    assert operations(low, 5)["signal"] == 2 * 5 * 2 * (20 + 10)


def test_bad_arguments_are_named():
    network = nn.Network([nn.Dense(3)], (4,))
    with pytest.raises(TypeError, match="network is list"):
        operations([], 4)
    with pytest.raises(ValueError, match="batch is 0"):
        operations(network, 0)
