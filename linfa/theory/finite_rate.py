"""What a finite learning rate changes in feedback alignment from zero weights, to first order in the rate.

Descent follows, to first order, the flow x' = f − (η/2) (∂f/∂x) f (the modified equation of the Euler method; Hairer,
Lubich & Wanner 2006). For the mode pair of FA, f = (e, e a) with e = s − g m a, it closes in a alone. Derived here.
"""

from typing import Any


def modified_velocity(a: Any, m: Any, s: Any, gain: Any, rate: Any) -> tuple[Any, Any]:
    """(a', m') = (e k, a e k − (η/2) e²) with k = 1 + (η g/2)(m + a²): the flow that descent follows up to O(η²).

    Parameters
    ----------
    a, m : amplitudes of the mode in W1 = B A and W2 = M Bᵀ
    s, gain, rate : strength s, gain g of BᵀB = g I, learning rate η

    Examples
    --------
    >>> modified_velocity(0.0, 0.0, 2.0, 1.0, 0.1)
    (2.0, -0.2)
    """
    error = s - gain * m * a
    faster = 1 + rate * gain * (m + a**2) / 2
    return error * faster, a * error * faster - rate * error**2 / 2


def upper_amplitude(a: Any, s: Any, gain: Any, rate: Any) -> Any:
    """m = a²/2 − (η/2)(s a − g a⁴/8): what the upper layer has when the lower has a, up to O(η²).

    The flow has m = a²/2; descent lets W2 lag behind, so weights and feedback align less.

    Examples
    --------
    >>> upper_amplitude(2.0, 1.0, 1.0, 0.0)
    2.0
    """
    return a**2 / 2 - rate * (s * a - gain * a**4 / 8) / 2


def end_shift(s: Any, rate: Any) -> Any:
    """η s/4: descent ends with a = a* + η s/4 + O(η²), the same for every gain.

    Examples
    --------
    >>> end_shift(2.0, 0.1)
    0.05
    """
    return rate * s / 4
