"""Gradients to descend, and the optimisers that the tests go through."""

import numpy as np

from linfa.nn.muon import Muon
from linfa.nn.optimisers import SGD, Adam, AdamW, Step

DECOUPLED = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "adamw": AdamW(betas=(0.8, 0.99)),
    "adamw-amsgrad": AdamW(betas=(0.8, 0.9), amsgrad=True),
    "muon": Muon(),
    "muon-plain": Muon(momentum=0.6, nesterov=False, steps=3, shape_factor="match-rms"),
}
EVERY = DECOUPLED | {"adam": Adam(), "amsgrad": Adam(betas=(0.8, 0.9), amsgrad=True)}


def gradients(shape, count, seed=0, dtype=np.float64):
    """A run of gradients whose sizes vary tenfold, so that the largest second moment is not always the last."""
    generator = np.random.default_rng(seed)
    return [
        (np.exp(generator.standard_normal()) * generator.standard_normal(shape)).astype(dtype) for _ in range(count)
    ]


def start(shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(optimiser, value, steps, **how):
    memory = optimiser.start(value)
    for k, g in enumerate(steps):
        optimiser.update(value, g, memory, Step(k + 1, **how))
    return value, memory
