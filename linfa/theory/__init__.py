"""Closed forms, one module per family. Each states its equation, assumptions and source."""

from linfa.theory.exact import NoClosedForm, exact
from linfa.theory.jacobian import LearningFlow
from linfa.theory.low_rank import learned_map

__all__ = ["LearningFlow", "NoClosedForm", "exact", "learned_map"]
