"""What learning conserves, and how much a finite learning rate takes from it (A4, B1, B9)."""

from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed


def balancedness_drift(rate: Any, lower_direction: Any, upper_direction: Any) -> Any:
    """Exact change of D = W_{l+1}ᵀ W_{l+1} − W_l W_lᵀ in one update of backprop: η² (G_{l+1}ᵀ G_{l+1} − G_l G_lᵀ) (A4).

    Parameters
    ----------
    rate : η
    lower_direction, upper_direction : G_l (..., n_l, n_{l−1}) and G_{l+1}, with W ← W + η G

    Notes
    -----
    Any data, any depth. The flow conserves D. Source: Fukumizu 1998; Arora, Cohen & Hazan 2018; Du, Hu & Lee 2018.
    """
    return rate**2 * (transposed(upper_direction) @ upper_direction - lower_direction @ transposed(lower_direction))


def feedback_balance_drift(rate: Any, lower_direction: Any) -> Any:
    """Exact change of C = W_l W_lᵀ − M W_{l+1} − (M W_{l+1})ᵀ in one update under fixed feedback: η² G_l G_lᵀ (B1).

    M is what carries the signal of layer l + 1 to layer l: B_{l+1} along the chain; for direct feedback
    F_l F_{l+1}⁺ below the last hidden layer and F_{L−1} there (`direct_carriers`).

    Notes
    -----
    Any data, any depth, any rank. The drift is positive semidefinite: a finite learning rate always erodes
    alignment. Source: Lillicrap et al. 2016 for the flow.
    """
    return rate**2 * (lower_direction @ transposed(lower_direction))


def direct_carriers(feedback: list[np.ndarray]) -> list[np.ndarray]:
    """M_l = F_l F_{l+1}⁺ (l < L−1), M_{L−1} = F_{L−1}: direct feedback written as if it went along the chain (B1).

    Parameters
    ----------
    feedback : [F_1, …, F_{L−1}], each (n_l, o), or Q_l P with one P for all

    Notes
    -----
    The conservation law with these needs row(F_l) within row(F_{l+1}): F_{l+1} of full column rank, or one shared P.
    """
    return [f @ np.linalg.pinv(above) for f, above in pairwise(feedback)] + [feedback[-1]]


def decayed(start: Any, decay: Any, t: Any, xp: ModuleType = np) -> Any:
    """e^{−wd t} X(0): a Kolen–Pollack difference X = W − Bᵀ (B9), or e^{−2 wd t} D(0) with twice the decay (A4).

    Examples
    --------
    >>> float(decayed(2.0, 0.0, 5.0))
    2.0
    """
    return xp.exp(-decay * t) * start


def mirrored(t: Any, start: Any, weight: Any, rate: Any, decay: Any, xp: ModuleType = np) -> Any:
    """Weight-mirror feedback at fixed W: B(t) = e^{−wd t} B(0) + (1 − e^{−wd t}) (rate/wd) Wᵀ (B9).

    Parameters
    ----------
    t, rate, decay : time, mirror rate × noise variance, decay wd > 0
    start, weight : B(0) (h × o) and W (o × h)

    Notes
    -----
    Source: Akrout et al. 2019 for the rule.
    """
    kept = xp.exp(-decay * t)
    return kept * start + (1 - kept) * (rate / decay) * transposed(weight)
