"""Theory-first simulation and analysis of learning under low-dimensional error feedback."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Where each public name lives. They are imported when first used, so that `import linfa` stays fast.
_HOMES = {
    "LinearTask": "linfa.tasks",
    "load_digits": "linfa.digits",
    "initial_weights": "linfa.networks",
    "Feedback": "linfa.feedback",
    "Backprop": "linfa.feedback",
    "FeedbackAlignment": "linfa.feedback",
    "DirectFeedback": "linfa.feedback",
    "LowRankFeedback": "linfa.feedback",
    "KolenPollack": "linfa.feedback",
    "WeightMirror": "linfa.feedback",
    "SignSymmetry": "linfa.feedback",
    "simulate": "linfa.driver",
    "ensemble": "linfa.simulation",
    "DivergenceWarning": "linfa.simulation",
    "stochastic": "linfa.sampling",
    "draw_samples": "linfa.sampling",
    "Trajectory": "linfa.trajectory",
}
_MODULES = (
    "claims",
    "metrics",
    "plot",
    "theory",
    "feedback",
    "presets",
    "tasks",
    "networks",
    "core",
    "nn",
    "neighbours",
)

__all__ = [*_HOMES, "claims", "metrics", "neighbours", "nn", "plot", "theory"]

if TYPE_CHECKING:
    from linfa import claims, metrics, neighbours, nn, plot, theory
    from linfa.digits import load_digits
    from linfa.driver import simulate
    from linfa.feedback import (
        Backprop,
        DirectFeedback,
        Feedback,
        FeedbackAlignment,
        KolenPollack,
        LowRankFeedback,
        SignSymmetry,
        WeightMirror,
    )
    from linfa.networks import initial_weights
    from linfa.sampling import draw_samples, stochastic
    from linfa.simulation import DivergenceWarning, ensemble
    from linfa.tasks import LinearTask
    from linfa.trajectory import Trajectory


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"linfa.{name}")
    else:
        raise AttributeError(f"module 'linfa' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
