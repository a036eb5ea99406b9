"""Direct feedback from zero weights: everything happens in matrices as small as the output (B2, B10).

For any data and any F_l (for two layers F_1 is B of feedback alignment),

    W_1 = F_1 A_1,   W_l = F_l A_l F_{l−1}ᵀ,   W_L = A_L F_{L−1}ᵀ,        A_l' = E Z_{l−1}ᵀ,   A_1' = E
    Z_1 = A_1,   Z_l = A_l (F_{l−1}ᵀ F_{l−1}) Z_{l−1},   W_L … W_1 = Z_L.

Source: Refinetti, d'Ascoli, Ohana & Goldt 2021 (weak alignment); the closed mode law is derived here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import real_array
from linfa.tasks import LinearTask
from linfa.theory._assumptions import gains_of
from linfa.theory.chain_alignment import rising_amplitude


def expanded(small: Sequence[Any], feedback: Sequence[Any]) -> list[Any]:
    """W_1 = F_1 A_1, W_l = F_l A_l F_{l−1}ᵀ, W_L = A_L F_{L−1}ᵀ (B10), for arrays, stacks of them, or symbols.

    Parameters
    ----------
    small : [A_1 (o × i), A_2 … A_L (o × o)]
    feedback : [F_1 … F_{L−1}], F_l (n_l × o)

    Raises
    ------
    ValueError
        If there is not one more A than F.

    Examples
    --------
    >>> [w.shape for w in expanded([np.ones((2, 3)), np.ones((2, 2))], [np.ones((5, 2))])]
    [(5, 3), (2, 5)]
    """
    if len(small) != len(feedback) + 1:
        raise ValueError(f"small has {len(small)} matrices; it must have {len(feedback) + 1}, one more than feedback")
    weights = [feedback[0] @ small[0]]
    weights += [f @ a @ transposed(below) for a, f, below in zip(small[1:-1], feedback[1:], feedback[:-1], strict=True)]
    return [*weights, small[-1] @ transposed(feedback[-1])]


def compressed_activity(small: Sequence[Any], grams: Sequence[Any]) -> list[Any]:
    """[Z_1 … Z_L] with W_l … W_1 = F_l Z_l: Z_1 = A_1, Z_l = A_l G_{l−1} Z_{l−1}, G_l = F_lᵀ F_l (B10)."""
    activity = [small[0]]
    for a, gram in zip(small[1:], grams, strict=True):
        activity.append(a @ gram @ activity[-1])
    return activity


def compressed_velocity(small: Sequence[Any], grams: Sequence[Any], error: Any) -> list[Any]:
    """[A_1' … A_L'] = [E, E Z_1ᵀ, …, E Z_{L−1}ᵀ] (B10)."""
    activity = compressed_activity(small, grams)
    return [error, *(error @ transposed(z) for z in activity[:-1])]


def compressed_flow(task: LinearTask, feedback: Sequence[np.ndarray], t: np.ndarray) -> list[np.ndarray]:
    """A_1(t) … A_L(t) from zero, by integration of matrices as small as the output (B2 for two layers, B10).

    Parameters
    ----------
    task : LinearTask
        Any inputs.
    feedback : [F_1 … F_{L−1}], any rank; [B] for two layers
    t : array (T,), ascending times ≥ 0

    Returns
    -------
    list of array (T, o, i), (T, o, o), …

    Raises
    ------
    ValueError
        If the shapes do not fit or a time is negative.

    Notes
    -----
    However wide the hidden layers are, this costs o (i + (L − 1) o) numbers.

    Examples
    --------
    >>> task = LinearTask(np.diag([2.0, 1.0]))
    >>> a, m = compressed_flow(task, [np.eye(2)], np.array([1.0]))
    >>> bool(np.abs(m + m.mT - a @ a.mT).max() < 1e-12)
    True
    """
    from scipy.integrate import solve_ivp

    times = real_array("t", t, 1)
    if (times < 0).any() or (np.diff(times) <= 0).any():
        raise ValueError(f"t goes from {times[0]:g} to {times[-1]:g}; times must ascend and not be negative")
    matrices = [real_array(f"feedback[{k}]", f, 2) for k, f in enumerate(feedback)]
    for k, f in enumerate(matrices):
        if f.shape[1] != task.outputs:
            raise ValueError(f"feedback[{k}] is {f.shape}; it must be (hidden, {task.outputs})")
    grams = [f.T @ f for f in matrices]
    o, i = task.outputs, task.inputs
    shapes = [(o, i), *[(o, o)] * len(grams)]
    ends = np.cumsum([a * b for a, b in shapes])

    def unpacked(state: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(state, ends[:-1]), shapes, strict=True)]

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        small = unpacked(state)
        error = task.sigma_yx - compressed_activity(small, grams)[-1] @ task.sigma_x
        return np.concatenate([v.ravel() for v in compressed_velocity(small, grams, error)])

    state, reached, states = np.zeros(ends[-1]), 0.0, []
    for time in times:
        # Landing on each time is more accurate than the solver's interpolation between its steps.
        if time > reached:
            state = solve_ivp(velocity, (reached, time), state, "DOP853", (time,), rtol=1e-13, atol=1e-15).y[:, -1]
        reached = time
        states.append(state)
    return [np.stack(parts) for parts in zip(*(unpacked(s) for s in states), strict=True)]


def direct_coefficients(gains: Sequence[Any]) -> tuple[list[Any], Any]:
    """α_1 … α_L and β: A_l carries the amplitude α_l a^{2^{l−1}}, and the map β aⁿ, n = 2^L − 1 (B10; derived here).

    α_1 = ζ_1 = 1,   α_l = ζ_{l−1}/2^{l−1},   ζ_l = g_{l−1} α_l ζ_{l−1},   β = ζ_L

    Parameters
    ----------
    gains : sequence of numbers or symbols
        [g_1 … g_{L−1}] with F_lᵀ F_l = g_l I.

    Examples
    --------
    >>> direct_coefficients([2.0])
    ([1.0, 0.5], 1.0)
    """
    gains_of("gains", gains)
    # One in the kind of number that the gains are, so that quotients of symbols stay exact.
    one = gains[0] / gains[0]
    alphas, carried = [one], one
    for layer, gain in enumerate(gains, start=1):
        alphas.append(carried / 2**layer)
        carried = gain * alphas[-1] * carried
    return alphas, carried


def direct_amplitude(t: np.ndarray, s: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """a(t) of each mode of A_1 under a' = s − β aⁿ from zero, n = 2^L − 1, (T, d) (B10; derived here).

    Direct feedback has the law of the chain with another β.

    Parameters
    ----------
    t : array (T,), times ≥ 0
    s : array (d,), strengths > 0
    gains : [g_1 … g_{L−1}], F_lᵀ F_l = g_l I

    Examples
    --------
    >>> direct_amplitude(np.array([0.0, 1e3]), np.array([4.0]), [1.0]).round(12).ravel().tolist()
    [0.0, 2.0]
    """
    _, beta = direct_coefficients(gains)
    return rising_amplitude(t, s, beta, len(gains) + 1)


def direct_weights(
    modes: tuple[np.ndarray, np.ndarray, np.ndarray],
    feedback: Sequence[np.ndarray],
    t: np.ndarray,
    gains: Sequence[float],
) -> list[np.ndarray]:
    """W_1(t) … W_L(t) from zero under direct feedback with F_lᵀ F_l = g_l I and whitened inputs, in closed form (B10).

    Parameters
    ----------
    modes : U (o, d), s (d,), V (i, d) of the target
    feedback : [F_1 … F_{L−1}]
    t, gains : as in `direct_amplitude`

    Returns
    -------
    list of array (T, out, in)
    """
    left, strengths, right = modes
    a = direct_amplitude(t, strengths, gains)
    alphas, _ = direct_coefficients(gains)
    small = [np.einsum("ok,tk,ik->toi", left, a, right, optimize=True)]
    for layer, alpha in enumerate(alphas[1:], start=1):
        small.append(np.einsum("ok,tk,pk->top", left, alpha * a ** (2**layer), left, optimize=True))
    return expanded(small, feedback)


def carried_strength(a: Any, layer: int, gains: Sequence[Any]) -> Any:
    """β/(g_l ζ_l) aᵐ, m = 2^L − 2^l: what backprop's signal to hidden layer l gets of a mode's error (B10).

    W_{l+1}ᵀ ⋯ W_Lᵀ E = F_l U diag(this · e) Vᵀ, where direct feedback has F_l U diag(e) Vᵀ.

    Parameters
    ----------
    a, layer, gains : amplitude in A_1, l, [g_1 … g_{L−1}]

    Raises
    ------
    ValueError
        If layer is not a hidden one.

    Examples
    --------
    >>> carried_strength(2.0, 1, [1.0])
    2.0
    """
    depth = len(gains) + 1
    if not 1 <= layer < depth:
        raise ValueError(f"layer is {layer}; it must be a hidden one, 1 to {depth - 1}")
    below = direct_coefficients(gains[: layer - 1])[1] if layer > 1 else 1
    return direct_coefficients(gains)[1] / (gains[layer - 1] * below) * a ** (2**depth - 2**layer)


def direct_gradient_alignment(a: np.ndarray, error: np.ndarray, layer: int, depth: int) -> np.ndarray:
    """cos(F_l E, W_{l+1}ᵀ ⋯ W_Lᵀ E) = Σaᵐe²/√(Σa²ᵐe² Σe²), m = 2^L − 2^l (B10; derived here).

    Lower layers see the amplitudes through a higher power: their signal agrees least with backprop's. A flat spectrum
    gives 1, "strong" alignment; two layers are B4.

    Parameters
    ----------
    a, error : arrays (..., d), amplitudes and what each mode still lacks
    layer, depth : l and L, 1 ≤ l < L

    Raises
    ------
    ValueError
        If layer is not a hidden one.

    Examples
    --------
    >>> float(direct_gradient_alignment(np.array([1.0, 1.0]), np.array([0.5, 2.0]), 1, 3))
    1.0
    """
    # Gains drop out of a cosine.
    carried = carried_strength(np.asarray(a, dtype=float), layer, [1.0] * (depth - 1))
    energy = np.square(error)
    below = np.sqrt((carried**2 * energy).sum(-1) * energy.sum(-1))
    return np.divide((carried * energy).sum(-1), below, out=np.full(below.shape, np.nan), where=below > 0)[()]
