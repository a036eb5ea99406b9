"""Deep linear networks under direct feedback: weak alignment sample by sample, and why correlated targets spoil it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import integer, matching, real_array, real_number, seed_value, symmetric
from linfa._random import orthonormal_columns, stream
from linfa._threads import single_threaded_blas
from linfa.feedback import DirectFeedback
from linfa.metrics import sample_cosine
from linfa.neighbours.teacher_student.kernels import learn_deep
from linfa.theory.deep_direct import expanded


def target_covariance(ratio: float, correlation: float) -> np.ndarray:
    """[[1, α ρ], [α ρ, α²]]: two targets with standard deviations 1 and α that correlate by ρ.

    With ρ = 1 − β, the family of Refinetti et al. 2021.

    Raises
    ------
    ValueError, TypeError
        If α is not above 0 or ρ not in [−1, 1].

    Examples
    --------
    >>> target_covariance(2.0, 0.5).tolist()
    [[1.0, 1.0], [1.0, 4.0]]
    """
    ratio = real_number("ratio", ratio, above=0.0)
    correlation = real_number("correlation", correlation, at_least=-1.0, at_most=1.0)
    return np.array([[1.0, ratio * correlation], [ratio * correlation, ratio**2]])


def target_map(covariance: np.ndarray, inputs: int, seed: int = 0) -> np.ndarray:
    """A map T (o, i) with T Tᵀ = the covariance that targets T x are to have, x ~ N(0, I); right modes at random.

    Raises
    ------
    ValueError, TypeError
        If the covariance is not one, or there are fewer inputs than targets.

    Examples
    --------
    >>> t = target_map(target_covariance(1.0, 0.5), inputs=6)
    >>> bool(np.abs(t @ t.T - [[1.0, 0.5], [0.5, 1.0]]).max() < 1e-15)
    True
    """
    covariance = symmetric("covariance", covariance)
    inputs = integer("inputs", inputs, at_least=len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    right = orthonormal_columns(stream(seed_value("seed", seed), "task"), inputs, len(covariance))
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ right.T


def early_small(t: Any, target: Any, grams: Sequence[Any]) -> list[Any]:
    """A_1 … A_L at small t in the flow from zero weights, whitened inputs: leading order.

        A_1 = t T,   A_2 = (t²/2) T Tᵀ,   A_3 = (t⁴/8) T Tᵀ G_1 T Tᵀ,   …;    A_l grows as t^{2^{l−1}}

    From A_{l+1}' = T Z_lᵀ, while the error is still the target, with Z_1 = A_1, Z_{l+1} = A_{l+1} G_l Z_l.

    Parameters
    ----------
    t : time
    target : T (o, i)
    grams : [G_1 … G_{L−1}], G_l = F_lᵀ F_l (o, o)

    Notes
    -----
    Arrays or symbolic matrices. T Tᵀ is the covariance of the targets and, early, of the errors. Derived here.

    Examples
    --------
    >>> early_small(1.0, np.eye(2), [np.eye(2), np.eye(2)])[2].tolist()
    [[0.125, 0.0], [0.0, 0.125]]
    """
    small, through, power = [t * target], t * target, 1
    for gram in grams:
        # ∫ T Zᵀ dt, where Z grows as t^power.
        small.append(target @ transposed(through) * (t / (power + 1)))
        through, power = small[-1] @ gram @ through, 2 * power + 1
    return small


def early_condition(spread: Any, layer: int) -> Any:
    """cond(A_l) = κ^{2^{l−2}} for l ≥ 2, early in learning with F_lᵀF_l ∝ I, κ the condition number of the targets.

    A_l is then a power 2^{l−2} of the targets' covariance: every layer squares the condition number of the one below.

    Examples
    --------
    >>> early_condition(3.0, 2), early_condition(3.0, 4)
    (3.0, 81.0)
    """
    return spread ** (2 ** (integer("layer", layer, at_least=2) - 2))


def carried_power(layer: int, depth: int) -> int:
    """n = 2^{L−1} − 2^{l−1}: early, backprop's signal to layer l is F_l Σⁿ e, where direct feedback has F_l e.

    Examples
    --------
    >>> carried_power(1, 3), carried_power(2, 3)
    (3, 2)
    """
    depth = integer("depth", depth, at_least=2)
    return 2 ** (depth - 1) - 2 ** (integer("layer", layer, at_least=1, at_most=depth - 1) - 1)


def mean_cosine(
    ratio: Any, power: int, first: Callable | None = None, third: Callable | None = None, xp: ModuleType = np
) -> Any:
    """E cos(Σⁿ e, e) for a Gaussian e ∈ R² with covariance Σ of eigenvalues 1 and r, in elliptic integrals.

        (2/π) (R_F(0, r^{−2n−1}, 1/r) + ((r^{−n−1} − 1)/3) R_J(0, r^{−2n−1}, 1/r, 1))

    Parameters
    ----------
    ratio : r in (0, 1]
    power : n
    first, third : R_F and R_J of Carlson; those of SciPy unless given
    xp : namespace of `pi`

    Notes
    -----
    It is 1 at r = 1 and tends to 1 as r → 0, with one minimum between. Derived here.

    Examples
    --------
    >>> round(float(mean_cosine(1.0, 3)), 12)
    1.0
    """
    if first is None or third is None:
        from scipy.special import elliprf as first
        from scipy.special import elliprj as third
    far, near = 1 / ratio ** (2 * power + 1), 1 / ratio
    return 2 / xp.pi * (first(0, far, near) + (1 / ratio ** (power + 1) - 1) / 3 * third(0, far, near, 1))


def early_gradient_alignment(correlation: float, layer: int, depth: int) -> float:
    """Mean cosine of DFA's and backprop's signals to hidden layer l, early, for two targets that correlate by ρ.

    Single samples, zero weights, F_lᵀF_l ∝ I, targets of equal variance. It is 1 for independent targets, falls to a
    minimum and comes back to 1 as ρ → ±1, where all errors lie in one direction: not monotone, unlike cond(A_l).

    Parameters
    ----------
    correlation : float
        ρ in (−1, 1).
    layer, depth : int
        l < L.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.

    Examples
    --------
    >>> [round(float(early_gradient_alignment(c, 1, 3)), 3) for c in (0.0, 0.3, 0.6, 0.99)]
    [1.0, 0.868, 0.794, 0.957]
    """
    correlation = abs(real_number("correlation", correlation, at_least=-1.0, at_most=1.0))
    power = carried_power(layer, depth)
    if correlation == 1:
        return 1.0
    return float(mean_cosine((1 - correlation) / (1 + correlation), power))


@dataclass(frozen=True, eq=False)
class DeepCourse:
    """A deep linear network that learned sample by sample under direct feedback, and its small matrices.

    Attributes
    ----------
    updates : array (U,)
    weights : list of array (U, n_l, n_{l−1})
        W_1 … W_L, from the learning rule.
    small : list of array (U, o, i), (U, o, o), …
        A_1 … A_L, from their own recursion, without the weights.
    feedback : list of array (n_l, o)
    target : array (o, i)
    """

    updates: np.ndarray
    weights: list[np.ndarray]
    small: list[np.ndarray]
    feedback: list[np.ndarray]
    target: np.ndarray

    @property
    def expanded(self) -> list[np.ndarray]:
        """F_1 A_1, F_l A_l F_{l−1}ᵀ, A_L F_{L−1}ᵀ: equal to the weights, but for rounding."""
        return expanded(self.small, self.feedback)

    @property
    def condition(self) -> np.ndarray:
        """cond(A_l) of every layer, (U, L); NaN where A_l is zero."""
        columns = []
        for a in self.small:
            values = np.linalg.svd(a, compute_uv=False)
            top, bottom = values[:, 0], values[:, -1]
            with np.errstate(divide="ignore"):
                columns.append(np.where(top > 0, np.where(top > 0, top, 1.0) / bottom, np.nan))
        return np.stack(columns, axis=1)

    def gradient_alignment(self, inputs: np.ndarray, floor: float = 1e-10) -> np.ndarray:
        """Mean over samples of cos(F_l e, W_{l+1}ᵀ … W_Lᵀ e) in every hidden layer, (U, L − 1).

        Parameters
        ----------
        inputs : array (samples, i)
            Fresh samples x, whose errors are (T − W_L … W_1) x.
        floor : float
            Errors below this fraction of their target are rounding, and have no direction: they are left out. NaN
            where none is left, or backprop's signal is zero.

        Raises
        ------
        ValueError, TypeError
            If the inputs do not fit the target, or the floor is negative.
        """
        inputs = real_array("inputs", inputs, 2)
        matching("inputs", inputs, (None, self.target.shape[1]))
        floor = real_number("floor", floor, at_least=0.0)
        wanted = inputs @ self.target.T
        found = np.full((len(self.updates), len(self.feedback)), np.nan)
        for k in range(len(self.updates)):
            learned = inputs.T
            for w in self.weights:
                learned = w[k] @ learned
            error = wanted - learned.T
            worth = np.linalg.norm(error, axis=1) > floor * np.linalg.norm(wanted, axis=1)
            if not worth.any():
                continue
            error = error[worth]
            signal = error
            for l in range(len(self.feedback) - 1, -1, -1):
                signal = signal @ self.weights[l + 1][k]
                found[k, l] = sample_cosine(error @ self.feedback[l].T, signal)
        return found


def learn_deep_online(
    target: np.ndarray,
    hidden: Sequence[int],
    feedback: DirectFeedback,
    updates: Sequence[int],
    *,
    learning_rate: float,
    noise: float = 0.0,
    seed: int = 0,
) -> DeepCourse:
    """Direct feedback in a deep linear network from zero weights, one fresh sample x ~ N(0, I) at a time.

        e = T x + σ ζ − W_L … W_1 x;   W_l ← W_l + η F_l e h_{l−1}ᵀ (l < L),   W_L ← W_L + η e h_{L−1}ᵀ
        A_1 ← A_1 + η e xᵀ,   A_l ← A_l + η e z_{l−1}ᵀ,   z_1 = A_1 x,   z_l = A_l (F_{l−1}ᵀF_{l−1}) z_{l−1}

    Parameters
    ----------
    target : array (o, i)
        T.
    hidden : sequence of int
        n_1 … n_{L−1}, at least one.
    feedback : DirectFeedback
    updates : array (U,)
        Numbers of updates after which to save, ascending.
    learning_rate : float
        η > 0. Deep networks need a small one.
    noise : float
        σ ≥ 0 of the label noise.
    seed : int

    Returns
    -------
    DeepCourse

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.
    FloatingPointError
        If the weights diverged.

    Notes
    -----
    Weights and small matrices are updated each from their own state; that they agree is the statement of weak
    alignment, exact after every update. Source: Refinetti, d'Ascoli, Ohana & Goldt 2021.

    Examples
    --------
    >>> course = learn_deep_online(np.eye(2, 3), [5, 4], DirectFeedback(seed=1), [100], learning_rate=0.02)
    >>> max(float(np.abs(w - f).max()) for w, f in zip(course.weights, course.expanded)) < 1e-14
    True
    """
    target = real_array("target", target, 2)
    outputs, size = target.shape
    if isinstance(hidden, (str, bytes)) or not isinstance(hidden, Sequence) or not hidden:
        raise TypeError(f"hidden is {hidden!r}; it must be a sequence of layer sizes, at least one")
    hidden = [integer(f"hidden[{k}]", n, at_least=1) for k, n in enumerate(hidden)]
    if not isinstance(feedback, DirectFeedback):
        raise TypeError(f"feedback is {feedback!r}; it must be DirectFeedback")
    counts = np.asarray([integer(f"updates[{k}]", n, at_least=0) for k, n in enumerate(updates)], dtype=np.int64)
    if not len(counts) or (np.diff(counts) <= 0).any():
        raise ValueError(f"updates is {counts.tolist()}; it must hold ascending numbers, at least one")
    rate = real_number("learning_rate", learning_rate, above=0.0)
    noise, seed = real_number("noise", noise, at_least=0.0), seed_value("seed", seed)
    widths = (size, *hidden, outputs)
    matrices = feedback.resolve(widths).matrices
    direct = matrices["b"] if "b" in matrices else [q @ p for q, p in zip(matrices["q"], matrices["p"], strict=True)]
    depth, widest = len(widths) - 1, max(widths)
    weights, small = np.zeros((depth, widest, widest)), np.zeros((depth, outputs, widest))
    carriers, grams = np.zeros((depth, widest, outputs)), np.zeros((depth, outputs, outputs))
    for l, f in enumerate(direct):
        carriers[l, : len(f)], grams[l] = f, f.T @ f
    carriers[-1, :outputs] = np.eye(outputs)
    sources = [stream(seed, "data", k) for k in range(2)]
    saved, done = [], 0
    with single_threaded_blas():
        for end in counts:
            while done < end:
                count = int(min(4096, end - done))
                x = sources[0].standard_normal((count, size))
                zeta = noise * sources[1].standard_normal((count, outputs)) if noise else np.zeros((count, outputs))
                learn_deep(weights, small, carriers, grams, np.array(widths), target, x, zeta, rate)
                if not np.isfinite(weights).all():
                    raise FloatingPointError(f"weights diverged before update {done + count}; take a smaller rate")
                done += count
            saved.append((weights.copy(), small.copy()))
    below = [size, *[outputs] * (depth - 1)]
    return DeepCourse(
        counts,
        [np.stack([w[l, : widths[l + 1], : widths[l]] for w, _ in saved]) for l in range(depth)],
        [np.stack([a[l, :, : below[l]] for _, a in saved]) for l in range(depth)],
        direct,
        target,
    )
