"""Small training runs for the tests: a set of images on disk, plans of a few updates, and bits compared."""

import numpy as np

from linfa import nn

IMAGE = (6, 6, 1)
# Four updates an epoch, two epochs; a probe in every third.
SMALL = {"model_options": {"widths": [8, 8]}, "epochs": 2, "batch": 16, "probe_every": 3, "threads": 1}


def write_set(path, shape=IMAGE, classes=3, train=64, test=30, seed=0, **changes):
    """An .npz file of noisy images, one pattern for each class; `changes` take the place of its arrays."""
    generator = np.random.default_rng(seed)
    patterns = generator.uniform(0, 1, (classes, *shape)).astype(np.float32)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % classes
        noise = generator.normal(0, 0.2, (count, *shape)).astype(np.float32)
        arrays |= {f"x_{part}": patterns[labels] + noise, f"y_{part}": labels}
    np.savez(path, **(arrays | changes))
    return str(path)


def plan(data, **entries):
    """A plan of a few updates."""
    return nn.Plan.from_dict({"data": data} | SMALL | entries)


class Stop(Exception):
    """What a report raises to break a run off."""


def stopping_after(updates):
    """A report that breaks the run off once so many updates are made."""

    def report(trainer):
        if trainer.step == updates:
            raise Stop

    return report


def bits(trainer):
    """All that a run has become, as bytes by name: weights, feedback, averages, memory, history; no wall times."""
    found = {f"network.{name}": array for name, array in trainer.network.state().items()}
    memory = trainer.descent.state()
    for name, slots in memory["memory"].items():
        found |= {f"memory.{name}.{slot}": array for slot, array in slots.items()}
    found |= {f"history.{name}": array for name, array in trainer.history.to_state()[0].items()}
    del found["history.epoch.seconds"]
    counts = {"updates": memory["count"], "step": trainer.step, "epoch": trainer.epoch}
    return counts | {name: (a.dtype.str, a.shape, np.ascontiguousarray(a).tobytes()) for name, a in found.items()}


def assert_same_bits(one, other):
    found, wanted = bits(one), bits(other)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
