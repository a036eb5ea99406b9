"""What a training step costs in products of matrices, counted from the sizes of a network and its feedback.

For a map of a units to b, M rows in a batch (samples × positions), a multiply–add being two operations:

    forward 2 M a b,   weight gradient 2 M a b,   signal 2 M a b under backprop, 2 M r (a + b) at rank r

and what the feedback's own rule takes. At rank r the signal's saving is a third at most, and lost where
r ≥ a b/(a + b).
"""

from collections import Counter

import numpy as np

from linfa._check import integer
from linfa.nn.attention import SelfAttention
from linfa.nn.carriers import Full, LowRank
from linfa.nn.maps import WeightMap
from linfa.nn.network import Network


def operations(network: Network, batch: int) -> dict[str, int]:
    """Operations of one training step in products of matrices.

    Parameters
    ----------
    network : Network
    batch : int
        Samples.

    Returns
    -------
    dict of str to int
        ``"forward"``, ``"gradient"`` (of the weights), ``"signal"`` (the error sent down through weights or feedback),
        ``"feedback"`` (what learned feedback descends), ``"attention"`` (products of tokens with tokens, both ways);
        their sum is the step. Nothing is sent below the first map, which costs no signal.

    Raises
    ------
    ValueError, TypeError
        If `batch` is no integer of 1 or more, or `network` no Network.

    Notes
    -----
    Not counted: what goes entry by entry (activations, normalisation, softmax, the optimiser), and what happens between
    steps (the weight mirror's noise, the refactorisation of normative feedback).

    Examples
    --------
    >>> import linfa
    >>> from linfa import nn
    >>> rule = linfa.LowRankFeedback(rank=2)
    >>> network = nn.Network([nn.Dense(100), nn.ReLU(), nn.Dense(100)], (50,), feedback=rule)
    >>> operations(network, 10)
    {'forward': 300000, 'gradient': 300000, 'signal': 8000, 'feedback': 0, 'attention': 0}
    """
    if not isinstance(network, Network):
        raise TypeError(f"network is {type(network).__name__}; it must be a Network")
    samples = integer("batch", batch, at_least=1)
    count = Counter(forward=0, gradient=0, signal=0, feedback=0, attention=0)
    for m in network.maps:
        count.update(_of_map(m, samples))
    for layer in network.layers:
        if isinstance(layer, SelfAttention):
            # Scores and mixed values forward; twice as many products back.
            count["attention"] += 12 * samples * layer.tokens**2 * layer.width
    return dict(count)


def _of_map(m: WeightMap, samples: int) -> dict[str, int]:
    rows = samples * m.positions
    product = 2 * rows * m.receiving * m.source
    found = {"forward": product, "gradient": product}
    if not m.sends:
        return found
    if not m.carrier.direct:
        return found | m.carrier.operations(rows, m.receiving, m.source)
    # Direct feedback goes from the output's rows, one for each sample, to the whole input of the map.
    inner: Full | LowRank = m.carrier.inner
    source = inner.p.shape[1] if isinstance(inner, LowRank) else inner.spread(None, None).shape[0]
    receiving = int(np.prod(m.input_shape))
    found |= m.carrier.operations(samples, receiving, source)
    if m.carrier.parameters:
        # What it learns from is no gradient of weights, and formed for it alone.
        found["feedback"] += 2 * samples * receiving * source
    return found
