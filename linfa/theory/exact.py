"""One door to the closed forms that give a whole trajectory: theory as another driver of the same model."""

from collections.abc import Sequence

import numpy as np

from linfa._check import ascending_times, weight_matrices
from linfa.feedback import Backprop, Feedback, Resolved
from linfa.running import resolve_feedback
from linfa.tasks import LinearTask
from linfa.theory.backprop import depth_strength
from linfa.theory.chain_alignment import chain_weights
from linfa.theory.deep_direct import direct_weights
from linfa.theory.low_rank import low_rank_weights
from linfa.theory.riccati import balance_of, balanced_backprop
from linfa.trajectory import Trajectory
from linfa.trajectory_file import repeat_in_time


class NoClosedForm(ValueError):
    """No closed form covers this case; the message says which assumption fails."""


def exact(task: LinearTask, weights: Sequence[np.ndarray], feedback: Feedback, t: np.ndarray) -> Trajectory:
    """Exact trajectory of the learning flow, without integration, where theory has one.

    ========================  ==========================================================================
    backprop, two layers      λ-balanced start (A5)
    backprop, any depth       start aligned to the task's modes, equal amplitudes in all layers (A1, A2)
    fixed feedback, 2 layers  zero weights, BᵀB = g I (B4), or QᵀQ = g I with P Pᵀ = I (B5 iii)
    FA and DFA, any depth     zero weights, B_lᵀ B_l = g_l I in every layer
    ========================  ==========================================================================

    All need whitened inputs and no weight decay.

    Parameters
    ----------
    task, weights, feedback, t
        As in `linfa.simulate`.

    Returns
    -------
    Trajectory
        With ``source == "theory"``.

    Raises
    ------
    NoClosedForm
        Outside these cases: a ValueError that says which assumption fails.

    Examples
    --------
    >>> import linfa
    >>> task = linfa.LinearTask(np.diag([2.0, 1.0]))
    >>> feedback = linfa.FeedbackAlignment(draw="orthonormal")
    >>> weights = linfa.initial_weights((2, 4, 2), kind="zero")
    >>> bool(exact(task, weights, feedback, [100.0]).loss[0] < 1e-20)
    True
    """
    weights, times = weight_matrices(weights), ascending_times(t)
    if not isinstance(task, LinearTask):
        raise TypeError(f"task is {type(task).__name__}; it must be a LinearTask")
    resolved = resolve_feedback(task, weights, feedback)
    if not task.whitened:
        raise NoClosedForm("task has correlated inputs; the closed forms here are for whitened ones")
    if not len(task.strengths):
        # Nothing is to be learned; from zero weights nothing moves, which is a course in closed form.
        if any(w.any() for w in weights):
            raise NoClosedForm("task has no modes; from weights other than zero there is no closed form")
        still = [repeat_in_time(w, len(times), members=False) for w in weights]
        return _with_feedback(task, feedback, resolved, times, still)
    if isinstance(feedback, Backprop):
        if len(weights) != 2 or _mode_amplitudes(task, weights) is not None:
            return _aligned_backprop(task, weights, feedback, times)
        try:
            balance_of(weights)
        except ValueError as error:
            raise NoClosedForm(str(error)) from error
        return balanced_backprop(task, weights, times)
    return _fixed_feedback(task, weights, feedback, resolved, times)


def _mode_amplitudes(task: LinearTask, weights: list[np.ndarray]) -> np.ndarray | None:
    """a_k if every layer is R_l diag(a) R_{l−1}ᵀ between the task's modes, with one set of frames R; else None."""
    frame = task.right
    amplitudes = None
    for layer, w in enumerate(weights):
        carried = w @ frame
        size = np.linalg.norm(carried, axis=0)
        if amplitudes is None:
            amplitudes = size
        outside = np.linalg.norm(w) ** 2 - np.square(size).sum()
        scale = max(np.linalg.norm(w), 1e-300)
        # Aligned weights are drawn so to rounding.
        if (size == 0).any() or abs(outside) > 1e-10 * scale**2 or np.abs(size - amplitudes).max() > 1e-10 * scale:
            return None
        frame = carried / size
        if layer < len(weights) - 1 and np.abs(frame.T @ frame - np.eye(len(size))).max() > 1e-10:
            return None
    return amplitudes if np.abs(frame - task.left).max() < 1e-10 else None


def _aligned_backprop(task: LinearTask, weights: list[np.ndarray], feedback: Backprop, times: np.ndarray) -> Trajectory:
    depth = len(weights)
    amplitudes = _mode_amplitudes(task, weights)
    if depth < 2 or amplitudes is None:
        raise NoClosedForm(
            f"weights of depth {depth} are not aligned to the task's modes with equal amplitudes in all layers; "
            "draw them with kind 'aligned'"
        )
    if (amplitudes**depth >= task.strengths).any():
        raise NoClosedForm("a mode starts at or above its strength; the closed form is for rising modes")
    starts = amplitudes**depth
    strengths = np.stack(
        [depth_strength(times, float(s), float(u), depth) for s, u in zip(task.strengths, starts, strict=True)], axis=1
    )
    ratio = (strengths / starts) ** (1.0 / depth)
    frame, saved = task.right, []
    for w in weights:
        carried = w @ frame
        saved.append(np.einsum("ok,tk,ik->toi", carried, ratio, frame, optimize=True))
        frame = carried / amplitudes
    return Trajectory(task, feedback, times, saved, source="theory", settings={"method": "modes"})


def _fixed_feedback(
    task: LinearTask, weights: list[np.ndarray], feedback: Feedback, resolved: Resolved, times: np.ndarray
) -> Trajectory:
    if len(weights) < 2:
        raise NoClosedForm("weights is a single matrix; there is no layer to feed back to")
    if any(w.any() for w in weights):
        raise NoClosedForm("weights are not zero; fixed feedback has a closed form from zero weights")
    if resolved.b_rule != "fixed" or resolved.q_rule != "fixed" or set(resolved.p_rules) - {"fixed"}:
        raise NoClosedForm(f"feedback {feedback.name!r} learns; the closed form is for fixed feedback")
    if len(weights) > 2:
        return _deep_feedback(task, feedback, resolved, times)
    if resolved.transport == "full":
        q, p = resolved.matrices["b"][0], np.eye(task.outputs)
    elif resolved.transport == "low-rank":
        q, p = resolved.matrices["q"][0], resolved.matrices["p"][0]
    else:
        raise NoClosedForm(f"feedback {feedback.name!r} follows the weights; the closed form is for fixed feedback")
    gain = _gain(q)
    # Orthonormal draws are so to rounding.
    if gain is None or np.abs(p @ p.T - np.eye(len(p))).max() > 1e-10:
        raise NoClosedForm(
            "feedback does not have QᵀQ = g I and P Pᵀ = I (B itself for full feedback); "
            "draw it with draw='orthonormal'"
        )
    lower, upper = low_rank_weights(task.target, q, p, times, gain)
    return _with_feedback(task, feedback, resolved, times, [lower, upper])


def _gain(q: np.ndarray) -> float | None:
    """g > 0 where QᵀQ = g I to rounding, else None."""
    gram = q.T @ q
    gain = float(np.trace(gram) / len(gram))
    if not gain > 0.0:
        return None
    return gain if np.abs(gram - gain * np.eye(len(gram))).max() <= 1e-10 * gain else None


def _deep_feedback(task: LinearTask, feedback: Feedback, resolved: Resolved, times: np.ndarray) -> Trajectory:
    if resolved.transport != "full":
        raise NoClosedForm(
            f"feedback {feedback.name!r} in a network of more than two matrices has no closed form; full fixed "
            "feedback has"
        )
    gains = [_gain(b) for b in resolved.matrices["b"]]
    if None in gains:
        raise NoClosedForm("feedback does not have B_lᵀ B_l = g_l I in every layer; draw it with draw='orthonormal'")
    modes = (task.left, task.strengths, task.right)
    weights = (direct_weights if resolved.direct else chain_weights)(modes, resolved.matrices["b"], times, gains)
    return _with_feedback(task, feedback, resolved, times, weights)


def _with_feedback(
    task: LinearTask, feedback: Feedback, resolved: Resolved, times: np.ndarray, weights: list[np.ndarray]
) -> Trajectory:
    matrices = resolved.matrices or {}
    held = {key: [repeat_in_time(m, len(times), members=False) for m in ms] for key, ms in matrices.items()}
    settings = {"method": "modes", "transport": resolved.transport, "direct": resolved.direct}
    return Trajectory(task, feedback, times, weights, held, source="theory", settings=settings)
