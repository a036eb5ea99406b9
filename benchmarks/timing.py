"""Times of things that do the same work, taken by turns so that the machine's moods meet all of them."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A sample of the timing lasts this long at least: far above the resolution of the clock.
SAMPLE_SECONDS = 0.05
LEAST_REPETITIONS = 7


@dataclass(frozen=True)
class Effort:
    """How much of a benchmark is done: all of it, or a quick toy that shows that it runs."""

    repetitions: int = LEAST_REPETITIONS
    quick: bool = False
    # Packages that may be compared with, where they are installed.
    peers: tuple[str, ...] = ("scipy", "diffrax", "torch")

    def of(self, whole: Any, toy: Any) -> Any:
        """The size to work with."""
        return toy if self.quick else whole


def medians(
    steps: dict[str, Callable[[], Any]],
    repetitions: int,
    *,
    wait: Callable[[], Any] = lambda: None,
    sample_seconds: float = SAMPLE_SECONDS,
) -> dict[str, float]:
    """Median seconds of each step, by turns; `wait` returns when a device has done what it was given."""
    counts: dict[str, int] = {}
    samples: dict[str, list[float]] = {name: [] for name in steps}

    def lasting(step: Callable[[], Any], count: int) -> float:
        wait()
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        return time.perf_counter() - started

    for name, step in steps.items():
        # The first compiles, plans and allocates; the second is warm.
        lasting(step, 1)
        counts[name] = max(1, round(sample_seconds / lasting(step, 1)))
    for _ in range(repetitions):
        for name, step in steps.items():
            samples[name].append(lasting(step, counts[name]) / counts[name])
    return {name: statistics.median(found) for name, found in samples.items()}


def load() -> float:
    """The machine's mean load over the last minute; NaN where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
