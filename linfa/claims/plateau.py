"""Claims about what fixed feedback leaves undone: credit, plateau and leak, narrow layers, decay (B5 iv–vi, B6, B8)."""

import numpy as np

from linfa._algebra import transposed
from linfa._random import stream
from linfa.claims._settings import INTEGRATOR, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import FeedbackAlignment, LowRankFeedback
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.alignment_laws import credit, feedback_balance_decay
from linfa.theory.decay_limits import strong_error, weak_strength
from linfa.theory.leakage import bottleneck_loss, leaking_error, slow_rates
from linfa.theory.low_rank import learned_map, row_projector

STRENGTHS = np.array([4.0, 2.5, 1.5, 1.0])


@claim(
    "low-rank-credit",
    title="<BE, W2ᵀE> against (g/2)|AᵀPE|² + g tr(M⊥ᵀE⊥(PE)ᵀ): credit assigned and misassigned, correlated inputs",
    tolerance=3e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B5 iv",
)
def credit_formula(rank: int = 2, gain: float = 1.5, seed: int = 51) -> tuple:
    """B5 (iv), along a run, and that its two halves PM + (PM)ᵀ and AAᵀ agree."""
    task = correlated_task(7, 6, seed)
    feedback = LowRankFeedback(rank=rank, seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    run = simulate(task, initial_weights((7, 8, 6), "zero"), feedback, np.linspace(0.3, 12.0, 20), **TIGHT)
    q, p = run.feedback_weights["q"][0][0], run.feedback_weights["p"][0][0]
    lower, upper = run.weights
    small_lower, small_upper = q.T @ lower / gain, upper @ q / gain
    error = run.error_correlation
    right, wrong = credit(error, small_lower, small_upper, p, gain)
    taught = (q @ p @ error) * (transposed(upper) @ error)
    seen = p @ small_upper
    return [right + wrong, small_lower @ transposed(small_lower)], [taught.sum((-2, -1)), seen + transposed(seen)]


def _silent_weights(task: LinearTask, q: np.ndarray, p: np.ndarray, seed: int) -> list[np.ndarray]:
    """Weights with P E = 0 exactly: W1 holds the rows of P T and frozen features, W2 fits P T through them."""
    generator = stream(seed, "claim")
    hidden, rank = q.shape
    outside = np.eye(hidden) - q @ np.linalg.pinv(q)
    lower = outside @ (0.5 * generator.standard_normal((hidden, task.inputs)))
    lower = lower + q @ generator.standard_normal((rank, rank)) @ p @ task.target
    unseen = np.eye(task.outputs) - p.T @ p
    upper = p.T @ p @ task.target @ np.linalg.pinv(lower)
    return [lower, upper + unseen @ (0.3 * generator.standard_normal((task.outputs, hidden)))]


@claim(
    "low-rank-leak",
    title="E(t) against E(0) exp(−W1ᵀW1 t) from weights with PE = 0, and W1 at rest",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B5 v",
)
def leak(rank: int = 2, seed: int = 52) -> tuple:
    """B5 (v): silent feedback leaves a linear readout of frozen features."""
    task = LinearTask.from_modes(STRENGTHS, inputs=7, outputs=6, seed=seed)
    feedback = LowRankFeedback(rank=rank, seed=seed)
    matrices = feedback.resolve((7, 5, 6)).matrices
    weights = _silent_weights(task, matrices["q"][0], matrices["p"][0], seed)
    t = np.linspace(0.0, 6.0, 13)
    run = simulate(task, weights, feedback, t, **TIGHT)
    predicted = leaking_error(t, run.error_correlation[0], weights[0])
    resting = np.broadcast_to(weights[0], (len(t), *weights[0].shape))
    return [predicted, resting], [run.error_correlation, run.weights[0]]


@claim(
    "low-rank-slow-rates",
    title="decay rates of what a plateau leaves over eigenvalues of Π⊥W_qᵀW_qΠ⊥ as σ₀ → 0: limit 1, exponent 2 in σ₀",
    tolerance=5e-2,
    accuracy="asymptotic",
    reason="the exponent is a slope between σ₀ = 0.04 and 0.02 and bends by terms O(σ₀), about 2 %",
    entry="B5 v",
)
def leak_rates(size: float = 0.02, rank: int = 2, seed: int = 53) -> tuple:
    """B5 (v) measured from the error alone: two slow directions, their rates, and how these depend on the start."""
    task = LinearTask.from_modes(STRENGTHS, inputs=7, outputs=6, seed=seed)
    feedback = LowRankFeedback(rank=rank, seed=seed)
    matrices = feedback.resolve((7, rank + 2, 6)).matrices
    q, p = matrices["q"][0], matrices["p"][0]
    start = initial_weights((7, rank + 2, 6), "gaussian", 1.0, seed)
    ratios = []
    for scale in (2 * size, size):
        weights = [scale * w for w in start]
        expected = slow_rates(task.target, q, p, weights[0])
        t = np.array([1.0, 1.5]) / expected[0] + 60.0
        run = simulate(task, weights, feedback, t, **TIGHT)
        left = learned_map(task, q @ p, weights[0]) - run.map
        # The slow part of the error has two directions; one step in time acts on them as a matrix of two rows.
        slow = np.linalg.svd(left[0])[2][:2].T
        step = np.linalg.pinv(left[0] @ slow) @ left[1] @ slow
        measured = np.sort(-np.log(np.linalg.eigvals(step).real) / (t[1] - t[0]))[::-1]
        ratios.append(measured / expected)
    order = np.log2((ratios[0] - 1) / (ratios[1] - 1))
    return [np.full(2, 2.0), np.ones(2)], [order, (4 * ratios[1] - ratios[0]) / 3]


@claim(
    "low-rank-generic-start",
    title="end from O(1) weights with h ≥ i: rank-1 and rank-2 feedback fit everything",
    tolerance=2e-11,
    accuracy="closed form",
    reason="the slowest mode of W1ᵀW1 decays to e^{-30} of its start",
    entry="B5 vi",
)
def generic_start(seed: int = 54) -> tuple:
    """B5 (vi): a spurious solution is a statement about small weights or narrow layers."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    predicted, simulated = [], []
    for hidden, rank in ((6, 1), (6, 2), (9, 1), (9, 2)):
        weights = initial_weights((6, hidden, 5), "gaussian", 0.8, seed)
        feedback = LowRankFeedback(rank=rank, seed=seed)
        run = simulate(task, weights, feedback, [60.0, 120.0], **TIGHT)
        slowest = np.linalg.eigvalsh(run.weights[0][-1].T @ run.weights[0][-1])[0]
        run = simulate(task, weights, feedback, [60.0 + 30.0 / slowest], max_steps=4_000_000, **TIGHT)
        predicted.append(task.target)
        simulated.append(run.map[-1])
    return predicted, simulated


@claim(
    "fa-bottleneck",
    title="excess loss of h hidden units against ½ tr[(N(TTᵀ)⁻¹Nᵀ)⁻¹], zero at h = rank T; worst feedback loses s₁²/2",
    tolerance=5e-14,
    accuracy="closed form",
    reason="losses are quadratic in gaps of e^{-20} or less, so that rounding is left; measured against ½|T|²",
    entry="B6",
)
def bottleneck(seed: int = 55) -> tuple:
    """B6: optimal with as many hidden units as modes, arbitrarily far from optimal below."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=4, seed=seed)
    best = np.square(STRENGTHS).sum() / 2
    # Feedback blind to the strongest mode alone: the worst of three units.
    blind = (task.left[:, 1:] * np.array([1.0, 1.3, 0.8])).T
    drawn = [FeedbackAlignment(seed=seed).resolve((6, h, 4)).matrices["b"][0] for h in (1, 2, 3, 4)]
    predicted, simulated = [], []
    for b in (*drawn, blind):
        slowest = np.linalg.svd(b @ task.target, compute_uv=False)[-1]
        weights = initial_weights((6, len(b), 4), "zero")
        run = simulate(task, weights, FeedbackAlignment([b]), [60.0 + 60.0 / slowest], **TIGHT)
        predicted.append(bottleneck_loss(task.target, b) / best)
        simulated.append(run.excess_loss[-1] / best)
    predicted.append(STRENGTHS[0] ** 2 / 2 / best)
    simulated.append(simulated[-1])
    return np.array(predicted), np.array(simulated)


@claim(
    "fa-alignment-needs-decay",
    title="end of tr(BW2): set by the start without decay, and negative; wd1|W1|²/wd2 > 0 with decay",
    tolerance=1e-11,
    accuracy="closed form",
    reason="with decay the fixed point is within e^{-30}; without, the conserved trace is known to 1e-12",
    entry="B6",
)
def needs_decay(decay_lower: float = 0.3, decay_upper: float = 0.2, seed: int = 56) -> tuple:
    """B6: a strong start against the feedback is never forgotten unless weights decay."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    feedback = FeedbackAlignment(seed=seed)
    b = feedback.resolve((6, 9, 5)).matrices["b"][0]
    # Lower weights this large let W2 fit alone; W2 starts against B and has no reason to turn.
    weights = [initial_weights((6, 9, 5), "gaussian", 1.5, seed)[0], -b.T]
    free = simulate(task, weights, feedback, [400.0], **TIGHT)
    decays = [decay_lower, decay_upper]
    held = simulate(task, weights, feedback, [60.0 / min(decays)], weight_decay=decays, **TIGHT)
    grown = (np.square(free.weights[0][-1]).sum() - np.square(weights[0]).sum()) / 2
    forced = decay_lower / decay_upper * np.square(held.weights[0][-1]).sum()
    ends = [float(np.trace(b @ run.weights[1][-1])) for run in (free, held)]
    return [np.trace(b @ weights[1]) + grown, forced, [-1.0, 1.0]], [*ends, np.sign(ends)]


@claim(
    "fa-decay-balance",
    title="C' = −2 wd1 W1W1ᵀ + wd2(BW2 + (BW2)ᵀ) by a fourth-order difference of a run",
    tolerance=5e-9,
    accuracy="closed form",
    reason="a fourth-order difference over 2e-3 divides the integrator's error by as much",
    entry="B1",
)
def decay_balance(decay_lower: float = 0.3, decay_upper: float = 0.1, seed: int = 57) -> tuple:
    """B1 with decay, at several times, for full and low-rank feedback and correlated inputs."""
    task, step = correlated_task(6, 5, seed), 2e-3
    centres = np.array([0.3, 1.0, 3.0])
    t = (centres[:, None] + step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).ravel()
    predicted, simulated = [], []
    for feedback in (FeedbackAlignment(seed=seed), LowRankFeedback(rank=2, seed=seed)):
        weights = initial_weights((6, 8, 5), "gaussian", 0.4, seed)
        run = simulate(task, weights, feedback, t, weight_decay=[decay_lower, decay_upper], **TIGHT)
        carrier = run.feedback_matrix(0)[0]
        lower, upper = run.weights
        carried = carrier @ upper
        balance = (lower @ transposed(lower) - carried - transposed(carried)).reshape(len(centres), 5, 8, 8)
        slope = (balance[:, 0] - 8 * balance[:, 1] + 8 * balance[:, 3] - balance[:, 4]) / (12 * step)
        predicted.append(feedback_balance_decay(lower[2::5], upper[2::5], carrier, decay_lower, decay_upper))
        simulated.append(slope)
    return predicted, simulated


@claim(
    "fa-decay-limit",
    title="distance of the end from T Π_row(BT) as wd → 0, from O(1) weights, full and low-rank B: exponent 1",
    tolerance=3e-2,
    accuracy="asymptotic",
    reason="slope between wd = 0.01 and 0.005; the next term is O(wd) smaller and bends the slope by about that",
    entry="B8",
    quick={"decay": 0.04},
)
def decay_limit(decay: float = 0.01, rank: int = 2, seed: int = 58) -> tuple:
    """B8: a little decay forgets any start, at a price that falls in proportion; rows of the map are rows of BT."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    weights = initial_weights((6, 7, 5), "gaussian", 0.7, seed)
    predicted, simulated = [], []
    for feedback in (FeedbackAlignment(seed=seed), LowRankFeedback(rank=rank, seed=seed)):
        distances = []
        for wd in (decay, decay / 2):
            run = simulate(task, weights, feedback, [40.0 / wd], weight_decay=wd, rtol=1e-9, atol=1e-12)
            carrier = run.feedback_matrix(0)[0]
            distances.append(np.linalg.norm(run.map[-1] - learned_map(task, carrier)))
            # The rows of the map lie in row(BT) at every decay, not in the limit alone.
            predicted.append(task.target)
            simulated.append(task.target + run.map[-1] @ (np.eye(6) - row_projector(carrier @ task.target)))
        predicted.append(1.0)
        simulated.append(np.log2(distances[0] / distances[1]))
    return predicted, simulated


@claim(
    "fa-decay-regimes",
    title="modes under decay: what strong ones lack over (wd1²wd2 s/g)^{1/3}, what weak ones have over g s³/(wd1²wd2)",
    tolerance=5e-8,
    accuracy="asymptotic",
    reason="extrapolated through four strengths that double, in powers of s^{−2/3} and of s²",
    entry="B8",
)
def decay_regimes(decay_lower: float = 0.4, decay_upper: float = 0.25, gain: float = 1.3, seed: int = 59) -> tuple:
    """B8: cube-root law for strong modes, cubic for weak ones; backprop would cut the weak ones off."""
    unit = np.sqrt(decay_lower**2 * decay_upper / gain)
    ratios = []
    for strengths in (unit * 40.0 * 8.0 ** np.arange(4), unit * 0.1 / 2.0 ** np.arange(4)):
        task = LinearTask.from_modes(np.sort(strengths)[::-1], inputs=5, outputs=4, seed=seed)
        feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
        weights, decays = initial_weights((5, 6, 4), "zero"), [decay_lower, decay_upper]
        run = simulate(task, weights, feedback, [40.0 / min(decays)], weight_decay=decays, **TIGHT)
        ratios.append((task.strengths, run.mode_strengths[-1]))
    (strong, reached), (weak, has) = ratios
    lacking = (strong - reached) / strong_error(strong, gain, decay_lower, decay_upper)
    having = has / weak_strength(weak, gain, decay_lower, decay_upper)
    # Strengths descend: strong ones by 8, a factor 4 in s^{−2/3}; weak ones by 2, a factor 4 in s².
    for order in range(1, 4):
        lacking = (4.0**order * lacking[:-1] - lacking[1:]) / (4.0**order - 1)
        having = (4.0**order * having[1:] - having[:-1]) / (4.0**order - 1)
    return [1.0, 1.0], [lacking[0], having[0]]
