"""Derivations of what linfa claims, one module per family, each to be read from top to bottom.

Every derivation starts from a learning rule or the loss and ends at the function of `linfa.theory` that computes the
result; SymPy checks each step.
"""

from importlib import import_module

from linfa.derivations.chain import _REGISTER, Derivation, Step, derivation, equation, mutations

__all__ = ["Derivation", "Step", "derivation", "equation", "get", "mutations", "names"]

_FAMILIES = (
    "conservation",
    "backprop",
    "backprop_unbalanced",
    "backprop_geometry",
    "end_to_end",
    "generalisation",
    "feedback_conservation",
    "alignment_laws",
    "feedback_course",
    "scalar_alignment",
    "feedback_alignment",
    "low_rank",
    "learned_feedback",
    "subspace",
    "local_rule",
    "weight_decay",
    "deep_direct",
    "reduction",
    "wide_limit",
    "beyond",
    "teacher_student",
    "teacher_student_selection",
    "balanced",
    "balanced_disorder",
    "tensor",
    "tensor_phases",
    "control",
    "control_learning",
)


def names() -> list[str]:
    """Names of all derivations, in the order of the theory."""
    for family in _FAMILIES:
        import_module(f"linfa.derivations.{family}")
    return list(_REGISTER)


def get(name: str) -> Derivation:
    """The derivation of this name, or the one behind the claim of this name.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest.
    """
    from linfa import claims
    from linfa._check import nearest

    known = names()
    if name in known:
        return _REGISTER[name]
    for found in _REGISTER.values():
        if name in found.claims:
            return found
    if name in claims.names():
        raise ValueError(f"claim {name!r} has no derivation of its own; linfa derive --list names what there is")
    options = [*known, *(claim for found in _REGISTER.values() for claim in found.claims)]
    raise ValueError(
        f"derivation {name!r} is unknown{nearest(str(name), options) or '; linfa derive --list names them'}"
    )
