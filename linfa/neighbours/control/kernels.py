"""Compiled loops: the controlled network in time, and feedback weights that learn from noise."""

import numpy as np

from linfa.core.compile import entry, kernel


@kernel
def rate(potential: float, saturates: bool) -> float:
    """φ(v): tanh where the layer saturates, v itself elsewhere."""
    return np.tanh(potential) if saturates else potential


@entry
def integrate(
    widths: np.ndarray,
    weights: np.ndarray,
    q: np.ndarray,
    x: np.ndarray,
    target: np.ndarray,
    saturates: tuple,
    leaks_control: bool,
    parameters: tuple,
    steps: np.ndarray,
    sizes: np.ndarray,
    potential: np.ndarray,
    integral: np.ndarray,
    potentials: np.ndarray,
    integrals: np.ndarray,
) -> int:
    """Explicit Euler steps of the controlled network, every layer from the state before the step.

        τ_v v_l' = −v_l + W_l φ(v_{l−1}) + Q_l u,   u = u_int + k_p e,   e = r* − r_L
        τ_u u_int' = e − α u_int   (or e − α u)

    `widths` (L + 1,) with the input first, `weights` all W_l in one buffer, `q` (N, o), `saturates` (hidden, output),
    `parameters` (τ_v, τ_u, α, k_p). Before save number k, `steps[k]` steps of length `sizes[k]` are made; the state
    goes to row k of `potentials` (saves, N) and `integrals` (saves, o). Returns the number of saves with finite states.
    """
    tau_v, tau_u, alpha, k_p = parameters
    depth = widths.size - 1
    outputs = widths[depth]
    count = potential.size
    rates = np.empty(count)
    control = np.empty(outputs)
    error = np.empty(outputs)
    for save in range(steps.size):
        dt = sizes[save]
        for _ in range(steps[save]):
            for k in range(count):
                rates[k] = rate(potential[k], saturates[1] if k >= count - outputs else saturates[0])
            for k in range(outputs):
                error[k] = target[k] - rates[count - outputs + k]
                control[k] = integral[k] + k_p * error[k]
                leaked = control[k] if leaks_control else integral[k]
                integral[k] += dt / tau_u * (error[k] - alpha * leaked)
            at, start, below = 0, 0, 0
            for layer in range(depth):
                inputs = widths[layer]
                for row in range(widths[layer + 1]):
                    total = -potential[start + row]
                    for column in range(inputs):
                        total += weights[at + column] * (x[column] if layer == 0 else rates[below + column])
                    for column in range(outputs):
                        total += q[start + row, column] * control[column]
                    potential[start + row] += dt / tau_v * total
                    at += inputs
                below = start
                start += widths[layer + 1]
        for k in range(count):
            potentials[save, k] = potential[k]
        for k in range(outputs):
            integrals[save, k] = integral[k]
        if not (np.isfinite(potentials[save]).all() and np.isfinite(integrals[save]).all()):
            return save
    return steps.size


@kernel
def answer(
    jacobian: np.ndarray,
    q: np.ndarray,
    control: np.ndarray,
    noise: np.ndarray,
    alpha: float,
    sigma: float,
    push: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """push = Q u + σ ε on every neuron, and velocity = −J push − α u, τ_u times that of control."""
    outputs, count = jacobian.shape
    for k in range(count):
        total = sigma * noise[k]
        for j in range(outputs):
            total += q[k, j] * control[j]
        push[k] = total
    for j in range(outputs):
        total = alpha * control[j]
        for k in range(count):
            total += jacobian[j, k] * push[k]
        velocity[j] = -total


@entry
def listen_to_noise(
    jacobian: np.ndarray,
    q: np.ndarray,
    control: np.ndarray,
    noise: np.ndarray,
    normals: np.ndarray,
    parameters: tuple,
    crossed: np.ndarray,
    squared: np.ndarray,
) -> bool:
    """Integral control of a fast network while coloured noise pushes its neurons; one step for each row of `normals`.

        τ_u u' = −(J Q + α I) u − σ J ε,   ε an Ornstein–Uhlenbeck process of unit variance and time τ_e
        Q' = ρ [−(Q u + σ ε) uᵀ/σ² − β Q]

    Heun's method for u, the exact transition for ε: moments are off by O(dt²). Euler's would be off by O(dt), as much
    as the growth of Q that a small leak drives.

    `parameters` (α, σ, τ_u, τ_e, dt, ρ, β). Adds ε uᵀ to `crossed` (N, o) and u uᵀ to `squared` (o, o) at every step;
    `q`, `control` (o,) and `noise` (N,) are changed in place. Returns whether everything stayed finite.
    """
    alpha, sigma, tau_u, tau_e, dt, speed, beta = parameters
    outputs, count = jacobian.shape
    keep = np.exp(-dt / tau_e)
    kick = np.sqrt(1.0 - keep * keep)
    push = np.empty(count)
    first, second, moved = np.empty(outputs), np.empty(outputs), np.empty(outputs)
    for step in range(len(normals)):
        for k in range(count):
            for j in range(outputs):
                crossed[k, j] += noise[k] * control[j]
        for i in range(outputs):
            for j in range(outputs):
                squared[i, j] += control[i] * control[j]
        answer(jacobian, q, control, noise, alpha, sigma, push, first)
        for j in range(outputs):
            moved[j] = control[j] + dt / tau_u * first[j]
        if speed > 0.0:
            for k in range(count):
                for j in range(outputs):
                    q[k, j] -= dt * speed * (push[k] * control[j] / (sigma * sigma) + beta * q[k, j])
        for k in range(count):
            noise[k] = keep * noise[k] + kick * normals[step, k]
        answer(jacobian, q, moved, noise, alpha, sigma, push, second)
        for j in range(outputs):
            control[j] += 0.5 * dt / tau_u * (first[j] + second[j])
    return bool(np.isfinite(control).all() and np.isfinite(q).all())
