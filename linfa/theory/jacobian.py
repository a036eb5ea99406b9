"""The learning flow of any rule at any state: velocity, Jacobian, spectrum, nearby fixed points.

Everything that learns, weights and feedback, is one vector y with y' = f(y). The compiled core gives f; where a rule
is stuck, creeps or leaves is read off the eigenvalues of ∂f/∂y.
"""

from collections.abc import Sequence

import numpy as np

from linfa._check import real_array, real_number, weight_matrices
from linfa.feedback import Feedback
from linfa.reduction import Correlations
from linfa.running import (
    Networks,
    check_run,
    core_problem,
    feedback_layout,
    initial_state,
    resolve_feedback,
    start_vectors,
)
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory


def spectrum_of(jacobian: np.ndarray, merge: float = 0.0) -> np.ndarray:
    """Eigenvalues of a Jacobian, complex (n,), largest real part first.

    Parameters
    ----------
    jacobian : array (n, n)
    merge : float
        Eigenvalues within this distance of each other (of one in between) are replaced by their mean. Rounding scatters
        the eigenvalues of a Jordan block of size k by ε^{1/k}, 1e-8 or even 1e-5, around a centre that is accurate; the
        neutral points of low-rank feedback are full of such blocks.

    Raises
    ------
    ValueError, TypeError
        If the Jacobian is not a square matrix of finite numbers, or merge is negative.

    Examples
    --------
    >>> spectrum_of(np.array([[1.0, 1.0], [0.0, 1.0]]), merge=1e-3).real.tolist()
    [1.0, 1.0]
    """
    jacobian = real_array("jacobian", jacobian, 2)
    if jacobian.shape[0] != jacobian.shape[1]:
        raise ValueError(f"jacobian is {jacobian.shape}; it must be square")
    merge = real_number("merge", merge, at_least=0.0)
    values = np.linalg.eigvals(jacobian).astype(complex)
    if merge > 0.0:
        from scipy.sparse.csgraph import connected_components

        near = np.abs(values[:, None] - values[None, :]) <= merge
        number, group = connected_components(near, directed=False)
        values = np.array([values[group == k].mean() for k in range(number)])[group]
    return values[np.lexsort((-values.imag, -values.real))]


class LearningFlow:
    """y' = f(y) of one network under one rule of feedback, y being all matrices that learn.

    Parameters
    ----------
    task : LinearTask
    weights : list of array (out, in)
        First layer first, any depth.
    feedback : Feedback
        Any rule; what it draws or is given is the state of the feedback.
    weight_decay : float or sequence of float
        wd, for all layers or one for each.

    Attributes
    ----------
    state : array (n,)
        y: the weights, row by row, then the feedback that learns.
    layout : list of (str, int, tuple)
        What `state` holds: ("w", layer, shape), ("q", hidden layer, shape), …

    Raises
    ------
    ValueError, TypeError
        If an argument is not of the form above or the shapes do not fit each other.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> flow = LearningFlow(linfa.LinearTask([[2.0]]), [np.zeros((1, 1)), np.zeros((1, 1))], linfa.Backprop())
    >>> flow.spectrum().real.round(12).tolist()
    [2.0, -2.0]
    """

    def __init__(
        self,
        task: LinearTask,
        weights: Sequence[np.ndarray],
        feedback: Feedback,
        weight_decay: float | Sequence[float] = 0.0,
    ) -> None:
        weights = weight_matrices(weights)
        plan = check_run(task, len(weights), [0.0], None, weight_decay, 1e-8, 1e-10, "dormand-prince", None, 1)
        resolved = resolve_feedback(task, weights, feedback)
        held = feedback_layout(resolved)
        networks = Networks([w[None] for w in weights], [resolved], [Correlations.of(task)])
        # The Jacobian is by the weights, so they stand in the state themselves.
        self._problem = core_problem(plan, networks, factor=False)
        self._full = start_vectors(plan, networks, self._problem)[0]
        self._work = np.zeros(self._problem.n_work)
        self._signed = resolved.transport == "sign"
        self._fixed = [(key, m) for key, _, m, learns in held if not learns]
        self.layout = [("w", layer, w.shape) for layer, w in enumerate(weights)]
        self.layout += [(key, layer, m.shape) for key, layer, m, learns in held if learns]
        self.state = initial_state(weights, resolved)

    @classmethod
    def at(cls, run: Trajectory, index: int = -1) -> "LearningFlow":
        """The flow at a state that a single run has passed through.

        Examples
        --------
        >>> import numpy as np, linfa
        >>> weights = linfa.initial_weights((1, 1, 1), kind="zero")
        >>> run = linfa.simulate(linfa.LinearTask([[2.0]]), weights, linfa.FeedbackAlignment([[[1.0]]]), [30.0])
        >>> bool(abs(LearningFlow.at(run).velocity()).max() < 1e-7)
        True
        """
        if run.members is not None:
            raise ValueError(f"run holds {run.members} members; take one of them with run.member(k)")
        flow = cls(run.task, [w[index] for w in run.weights], run.feedback, run.settings["weight_decay"])
        found = {"w": run.weights, **run.feedback_weights}
        flow.state = np.concatenate([np.ravel(found[key][layer][index]) for key, layer, _ in flow.layout])
        return flow

    def matrices(self, vector: np.ndarray | None = None) -> dict[str, list[np.ndarray]]:
        """A state, velocity or eigenvector as matrices: {"w": [W_1, …], "q": […], …}.

        Without a vector it is `state`, and fixed feedback is there too.
        """
        found: dict[str, list[np.ndarray]] = {}
        used = 0
        for key, _, shape in self.layout:
            size = shape[0] * shape[1]
            part = (self.state if vector is None else np.asarray(vector))[used : used + size]
            found.setdefault(key, []).append(part.reshape(shape))
            used += size
        if vector is None:
            for key, matrix in self._fixed:
                found.setdefault(key, []).append(matrix.copy())
        return found

    def _checked(self, state: np.ndarray | None) -> np.ndarray:
        state = self.state if state is None else real_array("state", state, 1)
        if state.shape != self.state.shape:
            raise ValueError(f"state is {state.shape}; it must be {self.state.shape}")
        return state

    def velocity(self, state: np.ndarray | None = None) -> np.ndarray:
        """f(y) at this state, by default the one given at the start; (n,)."""
        from linfa.core.velocity import velocity

        self._full[: self.state.size] = self._checked(state)
        out = np.zeros(self.state.size)
        velocity(self._problem, self._full, out, self._work)
        return out

    def jacobian(self, state: np.ndarray | None = None) -> np.ndarray:
        """∂f/∂y at this state, (n, n), exact to rounding.

        Along any single entry of the state every rule is a polynomial of degree three at most, for which the
        five-point difference

            ∂f/∂y_k = [8 (f(+δ) − f(−δ)) − (f(+2δ) − f(−2δ))]/(12 δ)

        has no truncation error, however long the step δ. Sign-symmetry is so between sign changes, which δ avoids.

        Raises
        ------
        ValueError
            If a forward weight of sign-symmetry is zero, where its flow has no derivative.
        """
        state = self._checked(state)
        step = float(np.abs(state).max()) or 1.0
        if self._signed:
            nearest = float(np.abs(np.concatenate([w.ravel() for w in self.matrices(state)["w"][1:]] or [[1.0]])).min())
            if nearest == 0.0:
                raise ValueError("state holds a forward weight of zero; sign-symmetry has no derivative there")
            step = min(step, nearest / 3)
        columns = np.empty((state.size, state.size))
        for k in range(state.size):
            shifted = state.copy()
            values = []
            for multiple in (1, -1, 2, -2):
                shifted[k] = state[k] + multiple * step
                values.append(self.velocity(shifted))
            columns[:, k] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
        return columns

    def spectrum(self, state: np.ndarray | None = None, merge: float = 0.0) -> np.ndarray:
        """Eigenvalues of the Jacobian, complex (n,), largest real part first; see `spectrum_of`.

        A positive real part is a direction in which the rule leaves the state, zero one in which it drifts or rests.
        """
        return spectrum_of(self.jacobian(state), merge)

    def fixed_point(self, state: np.ndarray | None = None, tolerance: float = 1e-12, steps: int = 100) -> np.ndarray:
        """A fixed point near this state, by Newton's method with the pseudo-inverse; (n,).

        Fixed points of learning are rarely isolated: hidden units may be rotated, feedback is blind to some errors.
        The pseudo-inverse takes the shortest step, to a nearby point of whatever manifold they form. Whether the
        flow goes there is another question: ask `spectrum`.

        Raises
        ------
        ValueError
            If no fixed point is found within `steps`.
        """
        state = self._checked(state).copy()
        for _ in range(steps):
            rest = self.velocity(state)
            if np.abs(rest).max() <= tolerance * max(1.0, float(np.abs(state).max())):
                return state
            # Directions in which f hardly changes would throw the point far away.
            state -= np.linalg.lstsq(self.jacobian(state), rest, rcond=1e-9)[0]
        left = float(np.abs(rest).max())
        raise ValueError(f"state leads to no fixed point within {steps} steps; the velocity there is still {left:.2g}")
