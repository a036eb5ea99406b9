"""The flow of a two-layer linear network in the hands of others: SciPy, JAX with diffrax, PyTorch.

All of them integrate one right-hand side, written once for any array namespace and with the same simplifications as
linfa's: correlations instead of samples, whitened inputs, Q P E from right to left.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from accuracy import Flow, Solver
from scipy.integrate import RK45, solve_ivp

import linfa


def velocity(state: Any, fixed: Any, target: Any, labels: Any) -> tuple:
    """W1' = Q P E and W2' = E W1ᵀ with E = T − W2 W1; where they learn, Q' = W1 (P E)ᵀ and P' = P Σ (I − Pᵀ P).

    `state` is (W1, W2) with `fixed` = (Q, P), or (W1, W2, Q, P) with `fixed` = (). Any leading axes.
    """
    w1, w2, q, p = (*state, *fixed)
    error = target - w2 @ w1
    sent = p @ error
    slopes = (q @ sent, error @ w1.mT)
    if fixed:
        return slopes
    spread = p @ labels
    return (*slopes, w1 @ sent.mT, spread - (spread @ p.mT) @ p)


def linfa_solver(flow: Flow, threads: int = 1) -> Solver:
    """linfa's own side, through what anyone would call."""
    if flow.members == 1:
        weights = [w[0] for w in flow.weights]

        def solve(rtol: float, atol: float) -> linfa.Trajectory:
            return linfa.simulate(flow.task, weights, flow.feedback, flow.t, rtol=rtol, atol=atol)

        return Solver("linfa", solve, lambda run: run.map[None])

    def solve_all(rtol: float, atol: float) -> linfa.Trajectory:
        return linfa.ensemble(flow.task, flow.weights, flow.feedback, flow.t, threads=threads, rtol=rtol, atol=atol)

    return Solver("linfa", solve_all, lambda run: run.map)


def scipy_solver(flow: Flow, method: str = "RK45", most: int = 16) -> Solver:
    """`solve_ivp`, member after member; of many members, `most` evenly spread ones are run."""
    stride = -(-flow.members // most)
    indices = range(0, flow.members, stride)
    shapes = [a.shape for a in flow.member(0)]
    ends = np.cumsum([a.size for a in flow.member(0)])[:-1]
    fixed = () if flow.learned else flow.factors
    target, labels = flow.task.target, flow.task.label_correlation

    def matrices(flat: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        return np.concatenate([m.ravel() for m in velocity(matrices(flat), fixed, target, labels)])

    def solve(rtol: float, atol: float) -> list:
        span = (0.0, flow.t[-1])
        starts = (np.concatenate([m.ravel() for m in flow.member(m)]) for m in indices)
        return [solve_ivp(slope, span, y, method, t_eval=flow.t, rtol=rtol, atol=atol) for y in starts]

    def maps(runs: list) -> np.ndarray:
        found = []
        for run in runs:
            parts = np.split(run.y.T, ends, axis=1)
            w1, w2 = (parts[k].reshape(-1, *shapes[k]) for k in range(2))
            found.append(w2 @ w1)
        return np.stack(found)

    share = len(indices) / flow.members
    note = "" if share == 1 else f"{len(indices)} of {flow.members:,} members, scaled up"
    return Solver(f"SciPy {method}", solve, maps, stride, share, note=note)


def evaluations(flow: Flow, rtol: float, atol: float) -> float:
    """Right-hand sides that Dormand–Prince 5(4) takes for one member at these tolerances: SciPy's count, the mean."""
    runs = scipy_solver(inner(flow), most=4).solve(rtol, atol)
    return float(np.mean([run.nfev for run in runs]))


def inner(flow: Flow) -> Flow:
    """A single network in the subspace of its hidden layer that it learns in, where that is smaller.

    The columns of W1 and Q and the rows of W2 span it, at the start and, as they change by one another, ever after.
    """
    (q, p), w1, w2 = flow.factors, *(w[0] for w in flow.weights)
    spanning = np.hstack([w1, w2.T, q])
    if flow.members > 1 or spanning.shape[0] <= spanning.shape[1]:
        return flow
    basis = np.linalg.qr(spanning)[0]
    feedback = replace(flow.feedback, q_matrices=[basis.T @ q], p_matrices=[p])
    return replace(flow, weights=[(basis.T @ w1)[None], (w2 @ basis)[None]], feedback=feedback)


def diffrax_solvers(flow: Flow, names: tuple[str, ...]) -> list[Solver]:
    """`diffeqsolve` under jit, and under vmap where there are members; one solver for each name."""
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    from jax import numpy as jnp

    times, target, labels = (jnp.asarray(a) for a in (flow.t, flow.task.target, flow.task.label_correlation))
    fixed = () if flow.learned else tuple(jnp.asarray(a) for a in flow.factors)
    start = tuple(jnp.asarray(a) for a in flow.weights)
    if flow.learned:
        start += tuple(jnp.broadcast_to(a, (flow.members, *a.shape)) for a in flow.factors)
    single = flow.members == 1
    start = tuple(a[0] for a in start) if single else start

    def made(name: str) -> Solver:
        def one(state: tuple, rtol: Any, atol: Any) -> tuple:
            found = diffrax.diffeqsolve(
                diffrax.ODETerm(lambda _, y, __: velocity(y, fixed, target, labels)),
                getattr(diffrax, name)(),
                0.0,
                times[-1],
                None,
                state,
                saveat=diffrax.SaveAt(ts=times),
                stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
                # Far above what is needed; raising from compiled code would cost it time, so the result is checked.
                max_steps=100_000,
                throw=False,
            )
            return found.ys, found.result == diffrax.RESULTS.successful

        every = one if single else jax.vmap(one, in_axes=(0, None, None))
        tolerance = jnp.asarray(1.0)
        started = time.perf_counter()
        compiled = jax.jit(every).lower(start, tolerance, tolerance).compile()
        seconds = time.perf_counter() - started

        def solve(rtol: float, atol: float) -> tuple:
            return jax.block_until_ready(compiled(start, jnp.asarray(rtol), jnp.asarray(atol)))

        def maps(found: tuple) -> np.ndarray:
            states, completed = found
            if not np.asarray(completed).all():
                raise RuntimeError(f"diffrax {name} did not complete every member")
            found_maps = np.asarray(states[1]) @ np.asarray(states[0])
            return found_maps[None] if single else found_maps

        return Solver(f"diffrax {name}", solve, maps, compile_seconds=seconds)

    return [made(name) for name in names]


def torch_solvers(flow: Flow, *, compiled: bool) -> list[Solver]:
    """Dormand–Prince 5(4) over all members at once by batched products, as it comes and, if asked for, compiled.

    All members take the same step: the one that the worst of them allows.
    """
    import torch

    torch.set_num_threads(1)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(np.array(array))

    target, labels = tensor(flow.task.target), tensor(flow.task.label_correlation)
    fixed = () if flow.learned else tuple(tensor(a) for a in flow.factors)
    parts = list(flow.weights)
    if flow.learned:
        parts += [np.broadcast_to(a, (flow.members, *a.shape)) for a in flow.factors]
    shapes = [a.shape[1:] for a in parts]
    sizes = [int(np.prod(shape)) for shape in shapes]
    start = torch.cat([tensor(a).flatten(1) for a in parts], 1)
    coefficients = [torch.tensor(row[:k]) for k, row in enumerate(RK45.A)]
    last, off, dense = torch.tensor(RK45.B), torch.tensor(RK45.E), torch.tensor(RK45.P)

    def slope(flat: torch.Tensor) -> torch.Tensor:
        split = flat.split(sizes, 1)
        state = [part.unflatten(1, shape) for part, shape in zip(split, shapes, strict=True)]
        return torch.cat([m.flatten(1) for m in velocity(state, fixed, target, labels)], 1)

    def mixed(weights: torch.Tensor, slopes: list[torch.Tensor]) -> torch.Tensor:
        return sum(weights[k] * slopes[k] for k in range(len(slopes)))

    def attempt(
        flat: torch.Tensor, first: torch.Tensor, step: torch.Tensor, rtol: torch.Tensor, atol: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The state a step further, the seven slopes, and the worst member's scaled error."""
        slopes = [first]
        for k in range(1, 6):
            slopes.append(slope(flat + step * mixed(coefficients[k], slopes)))
        trial = flat + step * mixed(last, slopes)
        slopes.append(slope(trial))
        scale = atol + rtol * torch.maximum(flat.abs(), trial.abs())
        error = (step * mixed(off, slopes) / scale).square().mean(1).sqrt().amax()
        return trial, torch.stack(slopes), error

    def lockstep(advance: Callable, rtol: float, atol: float) -> torch.Tensor:
        with torch.inference_mode():
            flat, now, row = start, 0.0, 0
            saved = torch.empty((len(flow.t), *start.shape), dtype=start.dtype)
            first = slope(flat)
            step = 0.01 * float((flat.norm(dim=1) / first.norm(dim=1)).amin())
            tolerances = torch.tensor(rtol, dtype=start.dtype), torch.tensor(atol, dtype=start.dtype)
            while row < len(flow.t):
                trial, slopes, error = advance(flat, first, torch.tensor(step, dtype=start.dtype), *tolerances)
                error = max(float(error), 1e-10)
                if error <= 1.0:
                    while row < len(flow.t) and flow.t[row] <= now + step:
                        theta = (flow.t[row] - now) / step
                        powers = torch.tensor([theta ** (k + 1) for k in range(dense.shape[1])], dtype=start.dtype)
                        saved[row] = flat + step * mixed(dense @ powers, list(slopes))
                        row += 1
                    flat, first, now = trial, slopes[-1], now + step
                elif not step > 1e-12 * flow.t[-1]:
                    raise RuntimeError(f"PyTorch's steps stand still at t = {now:g}")
                step *= min(10.0, max(0.2, 0.9 * error**-0.2))
            return saved

    def maps(saved: torch.Tensor) -> np.ndarray:
        w1, w2 = (part.unflatten(2, shape) for part, shape in zip(saved.split(sizes, 2)[:2], shapes[:2], strict=True))
        return (w2 @ w1).transpose(0, 1).numpy()

    found = [Solver("PyTorch", partial(lockstep, attempt), maps, note="all members in one step")]
    if compiled:
        fused = torch.compile(attempt)
        started = time.perf_counter()
        lockstep(fused, 1e-3, 1e-3)
        seconds = time.perf_counter() - started
        note = "all members in one step; torch.compile"
        found.append(Solver("PyTorch", partial(lockstep, fused), maps, compile_seconds=seconds, note=note))
    return found
