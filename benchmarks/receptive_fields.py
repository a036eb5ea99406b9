"""Receptive fields of a retina that learns from feedback of rank 1, 4, or full: the runs behind the figure.

    python benchmarks/receptive_fields.py --root DIR        every run that is not recorded yet, one core, some minutes

A network of the retina's kind that one core can carry: grey CIFAR-10 at half its resolution, two convolutions of 16
channels and 7 × 7 kernels, one more behind the optic nerve, two dense layers. Only the convolution behind the nerve
sends its error through low-rank feedback (RAF); all else is backprop. The fields before and after training go to
``figures/data/receptive-fields.npz``; a script that is stopped goes on where it was.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from linfa import __version__
from linfa.nn.data import Dataset
from linfa.nn.plan import Plan
from linfa.nn.receptive_fields import receptive_fields
from linfa.nn.trainer import Trainer

STORE = Path(__file__).resolve().parents[1] / "figures" / "data" / "receptive-fields.npz"
SEEDS = (0, 1)
IMAGES = 20_000
CHANNELS, KERNEL = 16, 7
# Two convolutions of the retina see so many pixels.
SIDE = 2 * KERNEL - 1
NERVE, BEHIND = "conv2", "conv3"
_COMMON = {
    "data": "cifar10",
    "grayscale": True,
    "model": "retina",
    "model_options": {"channels": CHANNELS, "kernel": KERNEL, "cortex_layers": 1, "hidden": 128, "dropout": 0.0},
    "optimiser": "adamw",
    "rate": 1e-3,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "epochs": 3,
    "batch": 64,
    "threads": 1,
    "probe_every": 0,
}
PLANS = {
    f"rank {rank}": _COMMON | {"feedback": "raf", "rank": rank, "layers": [BEHIND]} for rank in (1, 4, CHANNELS)
} | {"backprop": _COMMON | {"feedback": "backprop"}}


def half_resolution(data: Dataset, images: int) -> Dataset:
    """The first `images` of the training set and the whole test set, in means over 2 × 2 pixels, 0 … 1."""

    def halved(pixels: np.ndarray) -> np.ndarray:
        n, tall, wide, channels = pixels.shape
        blocks = pixels.reshape(n, tall // 2, 2, wide // 2, 2, channels).astype(np.float32)
        return blocks.mean((2, 4)) / 255.0

    return replace(
        data,
        train_images=halved(data.train_images[:images]),
        train_labels=data.train_labels[:images],
        test_images=halved(data.test_images),
    )


def cropped(fields: np.ndarray) -> np.ndarray:
    """The pixels that the retina's unit can see (channels, SIDE, SIDE), in half precision."""
    middle, reach = fields.shape[1] // 2, SIDE // 2
    seen = slice(middle - reach, middle + reach + 1)
    return fields[:, seen, seen, 0].astype(np.float16)


def recorded() -> dict[str, np.ndarray]:
    """Everything in the store, by name."""
    if not STORE.is_file():
        return {}
    with np.load(STORE, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def main() -> int:
    """Make the runs that are not recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder that holds cifar-10-batches-py (else LINFA_DATA)")
    arguments = parser.parse_args()
    data = half_resolution(Plan(data="cifar10", grayscale=True, root=arguments.root).dataset(), IMAGES)
    STORE.parent.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        for label, entries in PLANS.items():
            key, content = f"{label}/{seed}", recorded()
            if f"{key}/fields" in content:
                continue
            started = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                plan = Plan.from_dict(entries | {"seed": seed})
                trainer = Trainer(
                    plan.network(data), data, plan.recipe(),
                    epochs=plan.epochs, batch=plan.batch, probe_every=0, seed=seed, threads=1,
                )  # fmt: skip
                before = cropped(receptive_fields(trainer.network, NERVE))
                history = trainer.run()
            content |= {
                "about": np.array(json.dumps({"linfa": __version__, "plan": _COMMON, "images": IMAGES})),
                # Weights of one seed start alike under every rule.
                f"start/{seed}/fields": before,
                f"{key}/fields": cropped(receptive_fields(trainer.network, NERVE)),
                f"{key}/accuracy": history.test_accuracy,
            }
            beside = STORE.with_suffix(".part.npz")
            np.savez_compressed(beside, **content)
            beside.replace(STORE)
            spent = time.process_time() - started
            print(f"{key} {100 * history.test_accuracy[-1]:.2f} % ({spent:.0f} s of one core)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
