"""The network in time: exponential steps, exact for the leak, with feedback from a ring of past read-outs.

Without random couplings a step takes O(N): the past that matters is one number, the read-out. Noise is drawn by the
caller in blocks, so that the kernel has no randomness.
"""

import numpy as np

from linfa.core.compile import entry, kernel


@kernel
def _activate(field, linear, activity):
    """φ(h) of all trajectories; arrays (trajectories, neurons)."""
    for k in range(field.shape[0]):
        for i in range(field.shape[1]):
            activity[k, i] = field[k, i] if linear else np.tanh(field[k, i])


@kernel
def _read(activity, weights, readout):
    """x̂ = (1/N) Σ w_i φ_i of each trajectory, (trajectories,)."""
    for k in range(activity.shape[0]):
        total = 0.0
        for i in range(activity.shape[1]):
            total += weights[i] * activity[k, i]
        readout[k] = total / activity.shape[1]


@entry
def advance(state, network, step, noise, stimulus, common, readouts):
    """Steps of h' = −h + R(t − d) + b w (x − x̂(t − d)) + η from t to t + dt, in place; R = g G φ.

        h ← E h + α F₀ + β F₁ + κ n,   E = e^{−dt},  β = (dt − 1 + E)/dt,  α = 1 − E − β

    F₀, F₁ are the input at both ends of the step, between which it is taken to be linear. With delay both are known;
    without, F₁ is that of the step with F₁ = F₀. With β = 0 and α = 1 − E it is the exponential Euler scheme.

    Parameters
    ----------
    state : field (K, N), past read-outs (lag + 1, K), past recurrent input (lag + 1, K, N) or (1, 1, 1), coloured
        noise (K, N) or (1, 1), and at which place of the rings the present is, (1,)
    network : weights (N,), g Gᵀ (N, N) or (1, 1), b, linear
    step : E, α, β, κ; kept and kick of coloured noise, both 0 for white
    noise : (steps, K, N), of unit variance
    stimulus : (steps + 1,)
    common : (steps, K), noise on the stimulus, constant over a step
    readouts : (steps, K), filled with x̂ at the end of each step
    """
    field, past, inputs, coloured, place = state
    weights, coupling, b, linear = network
    decay, alpha, beta, kick, kept, stir = step
    lag, recurrent, colour = len(past) - 1, coupling.shape[0] > 1, stir > 0
    members, size = field.shape
    activity, guess = np.empty_like(field), np.empty_like(field)
    ahead, answer = np.empty_like(field), np.empty(members)
    for k in range(len(noise)):
        now = place[0]
        # A ring of lag + 1: the place after the present holds what happened d ago, the next one dt later.
        old = (now + 1) % (lag + 1)
        later = (now + 2) % (lag + 1) if lag > 0 else 0
        for m in range(members):
            drive = b * (stimulus[k] + common[k, m] - past[old, m])
            for i in range(size):
                force = weights[i] * drive
                if recurrent:
                    force += inputs[old, m, i]
                if colour:
                    force += coloured[m, i]
                guess[m, i] = decay * field[m, i] + (alpha + beta) * force
                if not colour:
                    guess[m, i] += kick * noise[k, m, i]
                # What the corrected step takes back of F₀; nothing where β = 0.
                field[m, i] = guess[m, i] - beta * force
                if colour:
                    coloured[m, i] = kept * coloured[m, i] + stir * noise[k, m, i]
        if beta > 0:
            if lag == 0:
                _activate(guess, linear, activity)
                _read(activity, weights, answer)
                if recurrent:
                    np.dot(activity, coupling, ahead)
            for m in range(members):
                delayed = answer[m] if lag == 0 else past[later, m]
                drive = b * (stimulus[k + 1] + common[k, m] - delayed)
                for i in range(size):
                    force = weights[i] * drive
                    if recurrent:
                        force += ahead[m, i] if lag == 0 else inputs[later, m, i]
                    if colour:
                        force += coloured[m, i]
                    field[m, i] += beta * force
        place[0] = old
        _activate(field, linear, activity)
        _read(activity, weights, past[old])
        # Entry by entry: an assignment of whole arrays takes longer to compile than all the rest.
        for m in range(members):
            readouts[k, m] = past[old, m]
        if recurrent:
            np.dot(activity, coupling, inputs[old])
