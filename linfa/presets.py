"""Feedback by its short name, the same on the command line and in nonlinear training."""

from linfa._check import choice
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

PRESETS = {
    "backprop": "exact gradient",
    "fa": "feedback alignment: fixed random B along the chain",
    "dfa": "direct feedback alignment: fixed random F from the output",
    "fixed": "low-rank, Q and P fixed",
    "kolen-pollack": "Q learned and P fixed where a rank is given, full B otherwise",
    "raf": "low-rank, Q by Kolen-Pollack, P by Oja (labels at the output, error below)",
    "draf": "raf, delivered directly from the output",
    "normative": "low-rank, Q P fitted to the transposed weights",
    "local": "low-rank, both factors Hebbian with decay",
    "mirror": "weight mirror",
    "usf": "sign-symmetry, uniform magnitude",
    "frsf": "sign-symmetry, random magnitude drawn once",
}
_LOW_RANK_RULES = {
    "fixed": {},
    "kolen-pollack": {"q": "kolen-pollack"},
    "raf": {"q": "kolen-pollack", "p": "oja-label"},
    "draf": {"q": "kolen-pollack", "p": "oja-label", "direct": True},
    "normative": {"q": "normative", "p": "normative"},
    "local": {"q": "local", "p": "local"},
}
# Rules that only training on samples has: the signal is no linear function of the error correlation.
_SAMPLE_RULES = {
    "brsf": "its magnitudes are redrawn in every step, so it has no flow; usf is its mean",
    "drtp": "its signal does not depend on the error",
}


# What the published runs of the same rules add in nonlinear networks.
_PUBLISHED = {
    "raf": {"p_scaling": "batch-deviation"},
    "draf": {"p_scaling": "unit-deviation"},
    "normative": {"draw": "svd"},
    "local": {"draw": "svd"},
}
NETWORK_PRESETS = PRESETS | {
    "sdfa": "dfa that carries the sign of the error",
    "brsf": "sign-symmetry, random magnitude drawn in every step",
    "drtp": "direct feedback of the one-hot target",
}


def network_preset(name: str, rank: int | None = None, seed: int = 0, **options: object) -> Feedback:
    """A feedback rule by its short name, for a nonlinear network.

    The names of `preset`, with what the published runs add: normative and local feedback start from the singular
    vectors of the initial weights (``draw="svd"``), RAF's P sees errors scaled by their spread over the batch. Rules
    that only exist on samples come on top: sdfa, brsf, drtp.

    Parameters
    ----------
    name : str
        One of `NETWORK_PRESETS`.
    rank, seed, **options
        As in `preset`.

    Raises
    ------
    ValueError, TypeError
        As `preset`.

    Examples
    --------
    >>> network_preset("normative", rank=10).draw
    'svd'
    """
    name = choice("feedback", name, NETWORK_PRESETS)
    if name in ("sdfa", "drtp"):
        if rank is not None:
            raise ValueError(f"rank is {rank}; feedback {name!r} takes none")
        return DirectFeedback(signal="sign" if name == "sdfa" else "target", seed=seed, **options)
    if name == "brsf":
        if rank is not None:
            raise ValueError(f"rank is {rank}; feedback {name!r} takes none")
        return SignSymmetry(magnitude="redrawn", seed=seed, **options)
    return preset(name, rank, seed, **(_PUBLISHED.get(name, {}) | options))


def preset(name: str, rank: int | None = None, seed: int = 0, **options: object) -> Feedback:
    """A feedback rule by its short name, as the command line takes it.

    Parameters
    ----------
    name : str
        One of `PRESETS`.
    rank : int, optional
        r of the low-rank rules; dfa and kolen-pollack take one too.
    seed : int
        Seed of what is drawn.
    **options
        Further arguments of the class behind the name.

    Raises
    ------
    ValueError, TypeError
        If the name is unknown or belongs to rules without a linear flow, a low-rank rule gets no rank, or another
        rule gets one.

    Examples
    --------
    >>> preset("raf", rank=2).p
    'oja-label'
    """
    if isinstance(name, str) and name in _SAMPLE_RULES:
        raise ValueError(f"feedback is {name!r}, which has no form in the linear theory: {_SAMPLE_RULES[name]}")
    name = choice("feedback", name, PRESETS)
    if name in _LOW_RANK_RULES and (rank is not None or name != "kolen-pollack"):
        if rank is None:
            raise ValueError(f"feedback is {name!r}, which needs a rank; none is given")
        return LowRankFeedback(rank=rank, seed=seed, **(_LOW_RANK_RULES[name] | options))
    if name == "dfa":
        return DirectFeedback(rank=rank, seed=seed, **options)
    if rank is not None:
        raise ValueError(f"rank is {rank}; feedback {name!r} takes none")
    if name == "backprop":
        return Backprop(**options)
    if name in ("usf", "frsf"):
        return SignSymmetry(magnitude="uniform" if name == "usf" else "fixed", seed=seed, **options)
    return {"fa": FeedbackAlignment, "kolen-pollack": KolenPollack, "mirror": WeightMirror}[name](seed=seed, **options)
