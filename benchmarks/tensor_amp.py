"""Message passing against TensorLy's least squares on the same tensors, and what a sweep costs beyond its products.

    python benchmarks/tensor_amp.py            write benchmarks/results/tensor_amp.md and .json
    python benchmarks/tensor_amp.py --quick    a few small tensors, printed and not written

Accuracy: relative error of the tensor, mean over draws with its standard error, next to theory. TensorLy's `parafac`
is started from singular vectors and from five random starts, of which the one with the smallest residual is kept;
message passing starts from its prior. Time: a sweep over its two products with the tensor, on one BLAS thread, as
medians of processor time over interleaved repetitions after a warm-up. Ratios carry over between machines; times do
not and are not reported.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from linfa.neighbours.tensor import (
    Gaussian,
    als,
    als_error,
    amp,
    bayes_error,
    relative_error,
    spike,
    state_evolution,
)
from linfa.neighbours.tensor.message_passing import _MessagePassing
from linfa.neighbours.tensor.priors import mode_priors
from linfa.neighbours.tensor.spikes import khatri_rao, spike_scale

RESULTS = Path(__file__).resolve().parent / "results"
MEAN = 0.3
RANDOM_STARTS = 5
# A sweep may take this many times as long as its products.
MOST = 1.5


def parafac_error(y: np.ndarray, factors: list[np.ndarray], init: str, seed: int) -> tuple[float, float]:
    """Relative error and residual of TensorLy's decomposition of rank 1."""
    from tensorly.decomposition import parafac

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = parafac(y, rank=1, init=init, tol=1e-9, n_iter_max=300, random_state=seed)
    scale = spike_scale(y.shape)
    estimate = [found.factors[0] * found.weights / scale, *found.factors[1:]]
    fitted = np.einsum("i,j,k->ijk", *(x[:, 0] for x in estimate)) * scale
    return relative_error(estimate, factors), float(np.linalg.norm(y - fitted))


def accuracy(delta: float, size: int, draws: int) -> dict:
    """Errors of all methods at one noise, each as (mean, standard error)."""
    prior, moment = Gaussian(MEAN), 1 + MEAN**2
    errors: dict[str, list[float]] = {"message passing": [], "linfa als": [], "parafac svd": [], "parafac random": []}
    for draw in range(draws):
        y, factors = spike((size,) * 3, 1, prior, delta, draw, exact_moments=True)
        errors["message passing"].append(amp(y, 1, prior, delta, start="prior").relative_error(factors))
        errors["linfa als"].append(als(y, 1).relative_error(factors))
        errors["parafac svd"].append(parafac_error(y, factors, "svd", draw)[0])
        tried = [parafac_error(y, factors, "random", 100 * draw + k) for k in range(RANDOM_STARTS)]
        errors["parafac random"].append(min(tried, key=lambda pair: pair[1])[0])
    scaled = delta / moment**3
    fitted = als_error(state_evolution("gaussian", scaled, start="informed")) if scaled < 0.25 else None
    return {
        "delta": delta,
        "state evolution": bayes_error(state_evolution(prior, delta), [moment] * 3),
        "theory of least squares": fitted,
        **{k: [float(np.mean(v)), float(np.std(v, ddof=1) / np.sqrt(draws))] for k, v in errors.items()},
    }


def medians(repetitions: int, *actions: Callable[[], object]) -> list[float]:
    """Median processor time of each action, taken in turn: on one thread, other work on the machine leaves it alone."""
    for action in actions:
        action()
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repetitions):
        for action, found in zip(actions, times, strict=True):
            start = time.process_time()
            action()
            found.append(time.process_time() - start)
    return [statistics.median(t) for t in times]


def overhead(size: int, rank: int, prior: str, repetitions: int) -> dict:
    """Time of a sweep of message passing over that of its two products with the tensor."""
    y, factors = spike((size,) * 3, rank, prior, 0.1, 0)
    passing = _MessagePassing(y, mode_priors(prior, 3, rank), 0.1, 0.0, True, factors)
    rows = khatri_rao(factors[:-1])

    def products() -> None:
        passing.products.sum_last(factors[-1])
        passing.products.sum_all_but_last(rows)

    sweep, bare = medians(repetitions, lambda: passing.sweep(False), products)
    return {"size": size, "rank": rank, "prior": prior, "sweep over products": sweep / bare}


def against_parafac(size: int, repetitions: int) -> dict:
    """Time of twenty sweeps of TensorLy's least squares over that of twenty of linfa's, and of message passing."""
    from tensorly.decomposition import parafac

    y, factors = spike((size,) * 3, 1, "gaussian", 0.1, 0)

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parafac(y, rank=1, init="random", random_state=0, tol=0, n_iter_max=20)

    peer, mine, passing = medians(
        repetitions,
        theirs,
        lambda: als(y, 1, start=factors, iterations=20, tolerance=1e-300),
        lambda: amp(y, 1, "gaussian", 0.1, start=factors, iterations=20, tolerance=1e-300),
    )
    return {"size": size, "parafac over als": peer / mine, "parafac over message passing": peer / passing}


def table(found: dict) -> str:
    """The results as Markdown."""

    def shown(value: list[float] | float | None) -> str:
        if value is None:
            return "–"
        return f"{value[0]:.3f} ± {value[1]:.3f}" if isinstance(value, list) else f"{value:.3f}"

    columns = (
        "delta", "state evolution", "message passing", "theory of least squares", "linfa als", "parafac svd",
        "parafac random",
    )  # fmt: skip
    lines = [
        "# Message passing against TensorLy's least squares",
        "",
        f"Cubes of rank 1, N = {found['size']}, factors N({MEAN}, 1) with exact moments, {found['draws']} draws, the "
        "same tensors for all methods. Relative squared error of the tensor, 1 without an estimate. `parafac random` "
        f"is the best residual of {RANDOM_STARTS} starts. Written by `python benchmarks/tensor_amp.py`.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(shown(row[c]) for c in columns) + " |" for row in found["accuracy"]),
        "",
        "The theory of least squares is that of the state near the truth; `parafac` and linfa's least squares miss it "
        "where their starts do not lead there.",
        "",
        f"## Time: a sweep over its own two products with the tensor (at most {MOST})",
        "",
        "| N | rank | prior | ratio |",
        "|---|---|---|---|",
        *(
            f"| {row['size']} | {row['rank']} | {row['prior']} | {row['sweep over products']:.2f} |"
            for row in found["overhead"]
        ),
        "",
        "## Time: twenty sweeps of `parafac` over twenty of linfa's",
        "",
        "| N | over least squares | over message passing |",
        "|---|---|---|",
        *(
            f"| {row['size']} | {row['parafac over als']:.1f} | {row['parafac over message passing']:.1f} |"
            for row in found["peer"]
        ),
        "",
        f"One BLAS thread; processor time, medians of {found['repetitions']} interleaved repetitions after a warm-up. "
        + ", ".join(f"{k} {v}" for k, v in found["versions"].items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run everything; returns 1 where a sweep takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small tensors, printed and not written")
    quick = parser.parse_args().quick
    try:
        peer = version("tensorly")
    except PackageNotFoundError:
        print("TensorLy is not installed: pip install 'linfa[test]'", file=sys.stderr)
        return 2
    from threadpoolctl import threadpool_limits

    size, draws, repetitions = (40, 2, 7) if quick else (100, 8, 41)
    with threadpool_limits(1):
        found = {
            "size": size,
            "draws": draws,
            "repetitions": repetitions,
            "accuracy": [accuracy(d, size, draws) for d in ((0.05, 0.2) if quick else (0.05, 0.1, 0.15, 0.2, 0.3))],
            "overhead": [
                overhead(n, r, prior, repetitions)
                for n in ((100,) if quick else (100, 150, 200))
                for r in (1, 3)
                for prior in ("gaussian", "rademacher")
            ],
            "peer": [against_parafac(n, 7) for n in ((60,) if quick else (60, 100, 150))],
            "versions": {"tensorly": peer, "numpy": np.__version__, "Python": platform.python_version()},
        }
    text = table(found)
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "tensor_amp.md").write_text(text)
        (RESULTS / "tensor_amp.json").write_text(json.dumps(found, indent=1) + "\n")
    slow = [row for row in found["overhead"] if row["sweep over products"] > MOST]
    for row in slow:
        print(f"above {MOST}: {row}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    # Read when NumPy's BLAS is loaded, for those that ignore later limits.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
