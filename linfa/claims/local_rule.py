"""Claims about the local rule: exponential gain, shrinkage, and the cut-off of weak modes: B21."""

import numpy as np

from linfa._random import orthonormal_columns, stream
from linfa.claims._settings import INTEGRATOR, TIGHT
from linfa.claims.register import claim
from linfa.feedback import LowRankFeedback
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.jacobian import LearningFlow
from linfa.theory.local_rule import local_amplitude, local_characteristic, local_gains, local_threshold
from linfa.trajectory import Trajectory


def _aligned(
    strengths: np.ndarray, start: np.ndarray, t: np.ndarray, decay: float, seed: int
) -> tuple[Trajectory, np.ndarray]:
    """One channel for each mode, σ₁, σ₂, q, p of every mode starting as given; the run, and the four (4, T, d)."""
    modes = len(strengths)
    task = LinearTask.from_modes(strengths, inputs=modes + 2, outputs=modes + 1, seed=seed)
    frame = orthonormal_columns(stream(seed, "claim"), modes + 1, modes)
    a, w, q, p = np.broadcast_to(np.asarray(start, dtype=float)[:, None], (4, modes)) if np.ndim(start) == 1 else start
    weights = [(frame * a) @ task.right.T, (task.left * w) @ frame.T]
    feedback = LowRankFeedback(
        q="local", p="local", q_matrices=[frame * q], p_matrices=[np.asarray(p)[:, None] * task.left.T]
    )
    run = simulate(task, weights, feedback, t, weight_decay=decay, **TIGHT)
    gains = [
        np.einsum("hk,thi,ik->tk", frame, run.weights[0], task.right),
        np.einsum("ok,toh,hk->tk", task.left, run.weights[1], frame),
        np.einsum("hk,thk->tk", frame, run.feedback_weights["q"][0]),
        np.einsum("tko,ok->tk", run.feedback_weights["p"][0], task.left),
    ]
    return run, np.array(gains)


@claim(
    "local-gain",
    title="q and p of three modes without decay against q₀ cosh D + p₀ sinh D, D the growth of that mode of W2",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B21",
)
def gain(horizon: float = 3.0, seed: int = 60) -> tuple:
    """B21: the gain of the feedback grows exponentially in that of W2."""
    start = np.array([[0.3, 0.2, 0.1], [0.1, 0.3, 0.2], [0.5, 0.2, 0.4], [0.1, 0.4, -0.2]])
    _, (_, w, q, p) = _aligned(np.array([3.0, 2.0, 1.0]), start, np.linspace(0.0, horizon, 13), 0.0, seed)
    return [*local_gains(w - w[0], q[0], p[0])], [q, p]


@claim(
    "local-fixed-point",
    title="end of captured modes, full matrices with decay: σ₁ = (s + √(s² − 4wd))/2, σ₂ = 1, q p = σ₁²",
    tolerance=5e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B21",
)
def fixed_point(decay: float = 0.3, seed: int = 61) -> tuple:
    """B21: the map is shrunk from s to σ₁, the weaker the mode the more."""
    strengths = np.array([2.5, 2.0, 1.5, 1.3])
    _, (a, w, q, p) = _aligned(strengths, [1.0, 1.0, 1.0, 1.0], [0.0, 300.0], decay, seed)
    end = local_amplitude(strengths, decay)
    return [end, np.ones(4), end**2, end], [a[-1], w[-1], q[-1] * p[-1], a[-1] * w[-1]]


@claim(
    "local-threshold",
    title="modes still there in the end: those with s ≥ 2√wd, kept at 2 % above and pruned to zero at 2 % below",
    tolerance=1e-9,
    accuracy="closed form",
    reason="kept modes are followed to the last digits, pruned ones to e^{−0.2·400} of their start",
    entry="B21",
)
def threshold(above: float = 1.02, below: float = 0.98, seed: int = 62) -> tuple:
    """B21: weight decay cuts the spectrum; on both sides of the cut, for two values of the decay."""
    predicted, simulated = [], []
    for decay in (0.3, 0.1):
        strengths = local_threshold(decay) * np.array([2.0, above, below, 0.5])
        _, (a, w, _, _) = _aligned(strengths, [1.0, 1.0, 1.0, 1.0], [0.0, 400.0 / decay**0.5], decay, seed)
        kept = strengths >= local_threshold(decay)
        end = np.zeros(4)
        end[kept] = local_amplitude(strengths[kept], decay)
        predicted.append(end)
        simulated.append((a * w)[-1])
    return predicted, simulated


@claim(
    "local-spectrum",
    title="rates of small changes of σ₁, σ₂, q, p at both fixed points of a mode against roots of the cubic, and −2wd",
    tolerance=1e-13,
    accuracy="closed form",
    reason="eigenvalues of a matrix that is not symmetric, condition about 100, against roots of a polynomial",
    entry="B21",
)
def spectrum(decay: float = 0.3) -> tuple:
    """B21: the larger fixed point is stable, the smaller a saddle."""
    predicted, simulated = [], []
    for s in (1.2, 2.0, 4.0):
        upper = float(local_amplitude(s, decay))
        for amplitude in (upper, s - upper):
            one = np.array([[1.0]])
            factors = {"q_matrices": [amplitude * one], "p_matrices": [amplitude * one]}
            rule = LowRankFeedback(q="local", p="local", **factors)
            flow = LearningFlow(LinearTask([[s]]), [amplitude * one, one], rule, decay)
            cubic = np.roots([1.0, *local_characteristic(amplitude, s, decay)])
            expected = np.append(cubic, -2 * decay)
            predicted.append(_in_order(expected))
            simulated.append(_in_order(flow.spectrum()))
    return predicted, simulated


def _in_order(rates: np.ndarray) -> np.ndarray:
    """Complex rates sorted alike on both sides, whatever their last digits."""
    return rates[np.lexsort((rates.imag.round(8), rates.real.round(8)))]
