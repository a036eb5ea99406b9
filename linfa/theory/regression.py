"""Regression with finite samples and with fresh ones: risk over time, noise of online learning (A13)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import real_array


def mode_risk(
    t: Any, eigenvalue: Any, weight_variance: Any, noise_variance: Any, samples: Any, xp: ModuleType = np
) -> Any:
    """w₀² e^{−2λt} + (σ²/(nλ)) (1 − e^{−λt})²: mean squared error of one weight under flow from zero (A13).

    What is not yet learned of the teacher, plus what has been learned of the noise. The mean over all eigenvalues λ of
    XᵀX/n is the excess risk per input for fresh inputs x ~ N(0, I).

    Parameters
    ----------
    t : time, unit time constant
    eigenvalue : λ > 0 of XᵀX/n; where λ = 0 the limit is w₀²
    weight_variance, noise_variance : w₀² of the true weights, σ² of the labels
    samples : n
    xp : namespace of `exp`

    Notes
    -----
    Flow of |Xw − y|²/(2n) from w = 0. Source: Advani, Saxe & Sompolinsky 2020.

    Examples
    --------
    >>> float(mode_risk(0.0, 1.0, 0.5, 0.1, 10))
    0.5
    """
    kept = xp.exp(-eigenvalue * t)
    return weight_variance * kept**2 + noise_variance * (1 - kept) ** 2 / (samples * eigenvalue)


def best_stopping_time(
    eigenvalue: Any, weight_variance: Any, noise_variance: Any, samples: Any, xp: ModuleType = np
) -> Any:
    """t* = ln(1 + nλw₀²/σ²)/λ: when the error of one mode is least; then it is that of the best ridge penalty (A13).

    Arguments as `mode_risk`, xp with `log`. Exact for the whole risk where all eigenvalues are equal. Derived here.

    Examples
    --------
    >>> round(float(best_stopping_time(1.0, 1.0, 1.0, 1)), 12)
    0.69314718056
    """
    return xp.log(1 + samples * eigenvalue * weight_variance / noise_variance) / eigenvalue


def lms_step(mean_square: Any, rate: Any, inputs: Any, noise_variance: Any) -> Any:
    """m ← (1 − 2η + η²(d + 2)) m + η² d σ²: mean squared error of online regression, one fresh sample each (A13).

    Parameters
    ----------
    mean_square : m = E|w − w*|²
    rate : η
    inputs : d, x ~ N(0, I_d)
    noise_variance : σ² of the labels

    Notes
    -----
    Exact for any d and η, as w does not depend on the next sample. Source: Widrow & Hoff 1960; Feuer & Weinstein 1985.

    Examples
    --------
    >>> round(lms_step(1.0, 0.1, 3, 0.0), 12)
    0.85
    """
    return (1 - 2 * rate + rate**2 * (inputs + 2)) * mean_square + rate**2 * inputs * noise_variance


def lms_limit(rate: Any, inputs: Any, noise_variance: Any) -> Any:
    """m_∞ = η d σ²/(2 − η(d + 2)), for η < 2/(d + 2) (A13); arguments as `lms_step`.

    Examples
    --------
    >>> lms_limit(0.25, 2, 1.0)
    0.5
    """
    return rate * inputs * noise_variance / (2 - rate * (inputs + 2))


def lms_max_rate(inputs: Any) -> Any:
    """η_max = 2/(d + 2): above it the mean square of online regression grows without bound (A13).

    Examples
    --------
    >>> lms_max_rate(2)
    0.5
    """
    return 2 / (inputs + 2)


def online_error(r: Any, q: Any, upper: Any, teacher: Any, head: Any) -> Any:
    """AᵀTA − 2vᵀRA + vᵀQv = E[(noiseless e)²], a 1 × 1 matrix; twice the generalisation error ε_g (A13).

    Arguments as `online_velocity`.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> online_error(0 * one, one, one, one, 2 * one)
    array([[5.]])
    """
    return transposed(head) @ teacher @ head - 2 * (transposed(upper) @ r @ head) + transposed(upper) @ q @ upper


def online_velocity(
    r: Any, q: Any, upper: Any, teacher: Any, head: Any, rate: Any, noise_variance: Any, feedback: Any = None
) -> tuple[Any, Any, Any]:
    """R', Q' and v' of an online linear student, backprop or fixed feedback, in the time t = steps/N as N → ∞ (A13).

        R' = η F (TA − Rᵀv)ᵀ
        Q' = η [F (RA − Qv)ᵀ + (RA − Qv) Fᵀ] + η² (AᵀTA − 2vᵀRA + vᵀQv + σ²) F Fᵀ
        v' = η (RA − Qv),   F = v for backprop

    Parameters
    ----------
    r, q, teacher : matrices (K, M), (K, K), (M, M)
        Overlaps R = W W̃ᵀ/N, Q = W Wᵀ/N and T = W̃ W̃ᵀ/N of student W and teacher W̃.
    upper, head : columns (K, 1), (M, 1)
        Second layers v and A.
    rate, noise_variance : η and σ²
    feedback : column (K, 1), optional
        F; None is backprop.

    Notes
    -----
    One output, x ~ N(0, I_N), steps η/√N in W and η/N in v; `linfa.core.online.learn_online` is the learner. Arrays or
    symbolic matrices. Source: Saad & Solla 1995; Goldt et al. 2019; Refinetti et al. 2021.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> [float(x[0, 0]) for x in online_velocity(0 * one, one, one, one, one, 0.5, 0.0)]
    [0.5, -0.5, -0.5]
    """
    carrier = upper if feedback is None else feedback
    to_teacher = teacher @ head - transposed(r) @ upper
    to_student = r @ head - q @ upper
    drift = carrier @ transposed(to_student) + to_student @ transposed(carrier)
    spread = carrier @ online_error(r, q, upper, teacher, head) @ transposed(carrier)
    spread = spread + noise_variance * (carrier @ transposed(carrier))
    return rate * (carrier @ transposed(to_teacher)), rate * drift + rate**2 * spread, rate * to_student


def online_overlaps(
    t: np.ndarray,
    start: tuple[np.ndarray, np.ndarray, np.ndarray],
    teacher: np.ndarray,
    head: np.ndarray,
    rate: float,
    noise_variance: float,
    feedback: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R(t), Q(t) and v(t): the equations of `online_velocity`, integrated.

    Parameters
    ----------
    t : array (T,)
        Times ≥ 0, ascending.
    start : arrays (K, M), (K, K), (K,)
        R, Q and v at t = 0.
    teacher, head : arrays (M, M), (M,)
        T and A.
    rate, noise_variance : float
        η and σ².
    feedback : array (K,), optional
        F; None is backprop.

    Returns
    -------
    arrays (T, K, M), (T, K, K), (T, K)

    Raises
    ------
    ValueError, TypeError
        If an array is not of the form above.

    Examples
    --------
    >>> one, zero = np.ones((1, 1)), np.zeros((1, 1))
    >>> r, q, v = online_overlaps(np.array([0.0, 40.0]), (zero, zero, np.ones(1)), one, np.ones(1), 0.2, 0.0)
    >>> bool(abs(v[-1, 0] * r[-1, 0, 0] - 1) < 1e-4)
    True
    """
    from scipy.integrate import solve_ivp

    t = real_array("t", t, 1)
    r, q, v = (real_array(f"start[{k}]", x, n) for k, (x, n) in enumerate(zip(start, (2, 2, 1), strict=True)))
    teacher, head = real_array("teacher", teacher, 2), real_array("head", head, 1)
    units, modes = len(v), len(head)
    if r.shape != (units, modes) or q.shape != (units, units) or teacher.shape != (modes, modes):
        raise ValueError(
            f"start has shapes {r.shape}, {q.shape}, {v.shape} and teacher {teacher.shape}; "
            f"they must be ({units}, {modes}), ({units}, {units}), ({units},) and ({modes}, {modes})"
        )
    if feedback is not None:
        feedback = real_array("feedback", feedback, 1)
        if feedback.shape != v.shape:
            raise ValueError(f"feedback is {feedback.shape}; it must be {v.shape}, one number for each student unit")
        feedback = feedback[:, None]
    cuts = [r.size, r.size + q.size]

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        r, q, v = np.split(state, cuts)
        moved = online_velocity(
            r.reshape(units, modes),
            q.reshape(units, units),
            v[:, None],
            teacher,
            head[:, None],
            rate,
            noise_variance,
            feedback,
        )
        return np.concatenate([m.ravel() for m in moved])

    state = np.concatenate([r.ravel(), q.ravel(), v])
    span = (0.0, max(float(t[-1]), 1e-12))
    found = solve_ivp(velocity, span, state, method="DOP853", t_eval=np.clip(t, *span), rtol=1e-10, atol=1e-12)
    r, q, v = np.split(found.y.T, cuts, axis=1)
    return r.reshape(-1, units, modes), q.reshape(-1, units, units), v
