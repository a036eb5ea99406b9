"""How the error comes back: one vocabulary of feedback rules.

Feedback number h = 0 … L−2 sends a signal to hidden layer h + 1. Along the chain it carries the signal of the layer
above and replaces W_{h+2}ᵀ (B_l with l = h + 2 in the literature); *direct* feedback carries the output error itself.
Low-rank feedback is B = Q P, Q (hidden × r), P (r × source): P compresses the error to r numbers, Q spreads them out.
"""

from linfa._check import choice
from linfa.feedback.base import DRAWS, P_RULES, P_SCALINGS, Q_RULES, SIGNALS, Feedback, Resolved
from linfa.feedback.forward import Backprop, SignSymmetry
from linfa.feedback.full import DirectFeedback, FeedbackAlignment, KolenPollack, WeightMirror
from linfa.feedback.low_rank import LowRankFeedback

__all__ = [
    "DRAWS",
    "P_RULES",
    "P_SCALINGS",
    "Q_RULES",
    "SIGNALS",
    "Backprop",
    "DirectFeedback",
    "Feedback",
    "FeedbackAlignment",
    "KolenPollack",
    "LowRankFeedback",
    "Resolved",
    "SignSymmetry",
    "WeightMirror",
    "feedback_from_dict",
]

_CLASSES = (
    Backprop,
    FeedbackAlignment,
    DirectFeedback,
    LowRankFeedback,
    KolenPollack,
    WeightMirror,
    SignSymmetry,
)


def feedback_from_dict(plain: dict) -> Feedback:
    """The rule that `Feedback.to_dict` described.

    Raises
    ------
    ValueError
        If the dictionary names no known class.

    Examples
    --------
    >>> feedback_from_dict(FeedbackAlignment(seed=4).to_dict()).seed
    4
    """
    if not isinstance(plain, dict):
        raise TypeError(f"plain is {type(plain).__name__}; it must be the dictionary that to_dict() returns")
    arguments = dict(plain)
    classes = {c.__name__: c for c in _CLASSES}
    name = choice("class", arguments.pop("class", None), classes)
    return classes[name](**arguments)
