"""The equations of the order parameters as N → ∞: linear and erf students, backprop and fixed feedback."""

import warnings
from collections.abc import Callable

import numpy as np

from linfa._check import ascending_times, choice, integer, real_number
from linfa.feedback import Backprop, DirectFeedback, Feedback, FeedbackAlignment
from linfa.neighbours.teacher_student.kernels import compiled_velocity, erf_averages
from linfa.neighbours.teacher_student.overlaps import ACTIVATIONS, OrderParameters, Start
from linfa.simulation import DivergenceWarning
from linfa.theory.regression import online_velocity

# Overlaps of order 1 that grow to this size have left every bounded solution behind.
LIMIT = 1e12


def carrier_of(feedback: Feedback, units: int) -> np.ndarray | None:
    """F (K,), what carries the error of one output back to K units; None for backprop, where it is v itself.

    With one output, feedback alignment and direct feedback are the same rule.

    Raises
    ------
    ValueError, TypeError
        If the rule is another, or its matrix is not (K, 1).

    Examples
    --------
    >>> carrier_of(DirectFeedback([[[1.0], [-0.5]]]), 2).tolist()
    [1.0, -0.5]
    """
    if not isinstance(feedback, Feedback):
        raise TypeError(f"feedback is {feedback!r}; it must be Backprop, FeedbackAlignment or DirectFeedback")
    if not isinstance(feedback, (Backprop, FeedbackAlignment, DirectFeedback)):
        raise ValueError(
            f"feedback is {type(feedback).__name__}; this theory has Backprop, FeedbackAlignment and DirectFeedback"
        )
    resolved = feedback.resolve((1, units, 1))
    if resolved.transport == "backprop":
        return None
    if "b" not in resolved.matrices:
        raise ValueError("feedback has a rank; with one output every feedback has rank 1, so leave it out")
    return np.ascontiguousarray(resolved.matrices["b"][0][:, 0])


def check_start(start: object, name: str = "start") -> Start:
    """`start`, if it is one."""
    if not isinstance(start, Start):
        raise TypeError(f"{name} is {type(start).__name__}; it must be a Start, such as Start.draw(...) makes")
    return start


def ode(
    start: Start,
    feedback: Feedback,
    t: np.ndarray,
    *,
    learning_rate: float,
    noise: float = 0.0,
    activation: str = "erf",
    rtol: float = 1e-10,
    atol: float = 1e-12,
    max_steps: int = 50_000,
) -> OrderParameters:
    """Overlaps, second layer and generalisation error of online learning over time, in the limit N → ∞.

    The equations are those of `kernels.averaged_velocity` for erf, and `linfa.theory.regression.online_velocity` for
    linear students.

    Parameters
    ----------
    start : Start
        Overlaps and second layers at t = 0; of drawn weights for comparison with a simulation from these.
    feedback : Backprop, FeedbackAlignment or DirectFeedback
        Matrices are (K, 1).
    t : array (T,)
        Times, ascending and not negative, in samples/N.
    learning_rate : float
        η > 0.
    noise : float
        Standard deviation σ ≥ 0 of the label noise.
    activation : {"erf", "linear"}
        g of student and teacher, erf(z/√2) or z. ReLU has no closed averages of four factors: `simulate` it.
    rtol, atol : float
        Tolerances of the integrator (Dormand–Prince 8(5,3)).
    max_steps : int
        Steps after which the integration counts as stalled: strong noise makes overlaps large and v fast, which an
        explicit integrator follows in ever smaller steps.

    Returns
    -------
    OrderParameters
        Up to where the integration got: see its `status`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.

    Warns
    -----
    DivergenceWarning
        If the order parameters grew beyond 1e12, or the integration stalled.

    Notes
    -----
    One output, inputs x ~ N(0, I_N), a fresh sample for each update of size η/N. Source: Saad & Solla 1995; Goldt et
    al. 2019; Refinetti, d'Ascoli, Ohana & Goldt 2021 for fixed feedback.

    Examples
    --------
    >>> from linfa.feedback import Backprop
    >>> start = Start.draw(units=1, head=[1.0], inputs=100, scale=0.3, seed=0)
    >>> course = ode(start, Backprop(), [0.0, 400.0], learning_rate=0.5)
    >>> bool(course.error[-1] < 1e-6 < course.error[0])
    True
    """
    check_start(start)
    carrier = carrier_of(feedback, start.units)
    times = ascending_times(t)
    rate = real_number("learning_rate", learning_rate, above=0.0)
    noise = real_number("noise", noise, at_least=0.0)
    rtol, atol = real_number("rtol", rtol, above=0.0), real_number("atol", atol, above=0.0)
    max_steps = integer("max_steps", max_steps, at_least=1)
    if choice("activation", activation, ACTIVATIONS) == "relu":
        raise ValueError("activation is 'relu', whose averages are not closed; simulate it, or take 'erf' or 'linear'")
    make = _erf_flow if activation == "erf" else _linear_flow
    state = np.concatenate([start.r.ravel(), start.q.ravel(), start.upper])
    states, status = _integrate(make(start, carrier, rate, noise**2), state, times, rtol, atol, max_steps)
    saved = len(states)
    if status != "completed":
        reached = times[saved - 1] if saved else 0.0
        warnings.warn(
            f"the order parameters {status} after t = {reached:g}; the course ends there: a smaller learning_rate may "
            "help",
            DivergenceWarning,
            stacklevel=2,
        )
    if saved == 0:
        times, states, saved = np.zeros(1), state[None], 1
    r, q, upper = np.split(states, [start.r.size, start.r.size + start.q.size], axis=1)
    shape = (start.units, start.modes)
    return OrderParameters(
        times[:saved],
        r.reshape(-1, *shape),
        q.reshape(-1, shape[0], shape[0]),
        upper,
        start.teacher,
        start.head,
        carrier,
        activation,
        status,
    )


def _erf_flow(start: Start, carrier: np.ndarray | None, rate: float, noise_variance: float) -> Callable:
    """The velocity of the state (R, Q, v) as a function of time and state, for erf."""
    units, modes = start.units, start.modes
    fields = units + modes
    covariance, output = start.covariance, np.concatenate([-start.upper, start.head])
    averages = [np.empty(s) for s in ((units, fields), (units, units), (units, fields, fields))]
    averages.append(np.empty((units, units, fields, fields)))
    cuts = [units * modes, units * (modes + units)]

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        r, q = state[: cuts[0]].reshape(units, modes), state[cuts[0] : cuts[1]].reshape(units, units)
        upper = state[cuts[1] :]
        covariance[:units, :units], covariance[:units, units:], covariance[units:, :units] = q, r, r.T
        output[:units] = -upper
        moved = np.empty_like(state)
        dr, dq = moved[: cuts[0]].reshape(units, modes), moved[cuts[0] : cuts[1]].reshape(units, units)
        erf_averages(covariance, units, *averages)
        follows = np.ascontiguousarray(upper) if carrier is None else carrier
        compiled_velocity(*averages, output, follows, rate, noise_variance, dr, dq, moved[cuts[1] :])
        return moved

    return velocity


def _linear_flow(start: Start, carrier: np.ndarray | None, rate: float, noise_variance: float) -> Callable:
    """The same for linear students."""
    units, modes = start.units, start.modes
    cuts = [units * modes, units * (modes + units)]
    column = None if carrier is None else carrier[:, None]

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        r, q, upper = np.split(state, cuts)
        known = (r.reshape(units, modes), q.reshape(units, units), upper[:, None], start.teacher, start.head[:, None])
        return np.concatenate([m.ravel() for m in online_velocity(*known, rate, noise_variance, column)])

    return velocity


def _integrate(
    velocity: Callable, state: np.ndarray, times: np.ndarray, rtol: float, atol: float, max_steps: int
) -> tuple[np.ndarray, str]:
    """States at as many of `times` as are reached, and how the integration ended."""
    from scipy.integrate import DOP853

    states = [state] if times[0] == 0 else []
    if len(states) == len(times):
        return np.array(states), "completed"
    # A trial step far outside may overflow; the integrator rejects it.
    with np.errstate(over="ignore", invalid="ignore"):
        solver = DOP853(velocity, 0.0, state, times[-1], rtol=rtol, atol=atol)
        status = "stalled"
        for _ in range(max_steps):
            solver.step()
            if solver.status == "failed":
                break
            if not np.abs(solver.y).max() <= LIMIT:
                status = "diverged"
                break
            passed = times[len(states) :][times[len(states) :] <= solver.t]
            if len(passed):
                states.extend(solver.dense_output()(passed).T)
            if solver.status == "finished":
                status = "completed"
                break
    return np.array(states).reshape(-1, len(state)), status
