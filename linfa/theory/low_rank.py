"""Fixed low-rank feedback B = Q P: which function is learned, and how (B5, B15)."""

import numpy as np

from linfa._check import real_array
from linfa.tasks import LinearTask
from linfa.theory.feedback_alignment import map_strength, mode_amplitude


def row_projector(a: np.ndarray) -> np.ndarray:
    """Π_row(A) = A⁺ A, the orthogonal projector on the row space of A.

    Singular values below max(m, n)·eps·σ₁ count as zero.

    Examples
    --------
    >>> row_projector(np.array([[2.0, 0.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    a = real_array("a", a, 2)
    _, values, rows = np.linalg.svd(a, full_matrices=False)
    rows = rows[values > values[0] * max(a.shape) * np.finfo(float).eps] if values[0] > 0 else rows[:0]
    return rows.T @ rows


def learned_map(task: LinearTask, feedback: np.ndarray, lower: np.ndarray | None = None) -> np.ndarray:
    """The map that two layers with fixed feedback B end on (B5 ii; from any start, B15).

    W2 W1 → T̃ Π_row([(I − B B⁺) W̃1(0); B T̃]) Σx^{−1/2},   T̃ = T Σx^{1/2},  W̃1 = W1 Σx^{1/2}

    Parameters
    ----------
    task : LinearTask
        Whitened (T̃ = T) or not.
    feedback : array (h, o)
        B, or Q P, of any rank.
    lower : array (h, i), optional
        W1(0); None means zero, or small enough to be forgotten: then W2 W1 → T̃ Π_row(B T̃) Σx^{−1/2}.

    Returns
    -------
    array (o, i)

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit.

    Notes
    -----
    Assumes that the flow converges and the rows are generic; W2(0) does not matter. With Q of full column rank
    row(B T) = row(P T): a random P of rank r < d learns a random mixture of r input directions, not the top r modes.

    Examples
    --------
    >>> task = LinearTask(np.diag([2.0, 1.0]))
    >>> learned_map(task, np.array([[1.0, 0.0], [0.0, 0.0]])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    if not isinstance(task, LinearTask):
        raise TypeError(f"task is {type(task).__name__}; it must be a LinearTask")
    feedback = real_array("feedback", feedback, 2)
    if feedback.shape[1] != task.outputs:
        raise ValueError(f"feedback is {feedback.shape}; it must be (hidden, {task.outputs})")
    # S with Σx = S Sᵀ may stand for Σx^{1/2}: the two differ by a rotation that drops out.
    root = task.input_root
    back = (root / np.square(root).sum(0)).T if not task.whitened else root
    seen = task.target @ root
    rows = feedback @ seen
    if lower is not None:
        lower = real_array("lower", lower, 2)
        if lower.shape != (len(feedback), task.inputs):
            raise ValueError(f"lower is {lower.shape}; it must be ({len(feedback)}, {task.inputs})")
        frozen = lower @ root
        # Projecting twice leaves rounding errors of what is projected out, not of its square.
        for _ in range(2):
            frozen = frozen - feedback @ (np.linalg.pinv(feedback) @ frozen)
        rows = _independent_rows(frozen, rows)
    return seen @ row_projector(rows) @ back


def _independent_rows(frozen: np.ndarray, driven: np.ndarray) -> np.ndarray:
    """Orthonormal rows spanning both blocks, each judged on its own scale: tiny frozen rows count as much as others."""
    spans = []
    for block in (frozen, driven):
        _, values, rows = np.linalg.svd(block, full_matrices=False)
        # Rows of `frozen` are linearly dependent up to rounding: (I − B B⁺) has lost rank B of them.
        keep = values > values[0] * 1e-10 if values[0] > 0 else values > 0
        spans.append(rows[keep])
    return np.vstack(spans)


def projected_modes(target: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Modes of P T = U_p diag(s_p) V_pᵀ: (U_p, s_p, V_p), zero strengths left out.

    Their strengths, not those of T, set the time scales of low-rank learning (B5 iii).
    """
    left, strengths, right = np.linalg.svd(p @ target, full_matrices=False)
    keep = strengths > strengths[0] * max(target.shape) * np.finfo(float).eps
    return left[:, keep], strengths[keep], right[keep].T


def low_rank_weights(
    target: np.ndarray, q: np.ndarray, p: np.ndarray, t: np.ndarray, gain: float
) -> tuple[np.ndarray, np.ndarray]:
    """W1(t), W2(t) from zero under fixed feedback Q P with QᵀQ = g I, P Pᵀ = I (B5 iii), in full.

    W1 = Q U_p diag(a) V_pᵀ,   W2 = T V_p diag(a²/(2 s_p)) U_pᵀ Qᵀ,   W2 W1 = T V_p diag(g a³/(2 s_p)) V_pᵀ

    with a_k' = s_p,k − g a_k³/2. The map is the target seen through a projector that opens mode by mode. B4 is the
    case P = I.

    Parameters
    ----------
    target : array (o, i)
    q, p : arrays (h, r), (r, o)
    t : array (T,)
    gain : float, g

    Returns
    -------
    W1 (T, h, i) and W2 (T, o, h)

    Notes
    -----
    The part of W2 outside row(P) obeys the same linear equation as the part inside, driven by T instead of Pᵀ P T:
    n' = a τ − g a² n with the solution n = τ a²/(2 s_p), which closes the map.
    """
    left, strengths, right = projected_modes(target, p)
    a = mode_amplitude(t, strengths, gain)
    lower = np.einsum("hk,tk,ik->thi", q @ left, a, right, optimize=True)
    upper = np.einsum("ok,tk,hk->toh", target @ right, a**2 / (2 * strengths), q @ left, optimize=True)
    return lower, upper


def projected_strength(t: np.ndarray, strengths: np.ndarray, gain: float) -> np.ndarray:
    """u_k(t) = g a_k³/2 in P W2 W1 = U_p diag(u) V_pᵀ, for modes of P T with given strengths, (T, k) (B5 iii)."""
    return map_strength(mode_amplitude(t, strengths, gain), gain)
