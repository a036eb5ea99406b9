"""Teacher–student dynamics of direct feedback alignment: a student that learns online, sample by sample.

`ode` integrates the order parameters as N → ∞, `simulate` and `ensemble` draw the samples; both return the same type.
`phases` times alignment and memorisation, `selected_solution` and `reached_solution` name the solution that feedback
picks among K! 2^K, `can_learn` and `learning_probability` are the sign criterion of ReLU students, and
`learn_deep_online` shows weak alignment in deep linear networks.
"""

from linfa.neighbours.teacher_student.deep import (
    DeepCourse,
    carried_power,
    early_condition,
    early_gradient_alignment,
    early_small,
    learn_deep_online,
    mean_cosine,
    target_covariance,
    target_map,
)
from linfa.neighbours.teacher_student.dynamics import ode
from linfa.neighbours.teacher_student.kernels import erf_fourth, erf_second, erf_slopes, erf_third
from linfa.neighbours.teacher_student.online import ensemble, simulate
from linfa.neighbours.teacher_student.overlaps import (
    OrderParameters,
    Start,
    generalisation_error,
    relu_second,
    second_moments,
)
from linfa.neighbours.teacher_student.phases import Phases, early_growth, escape_rate, phases
from linfa.neighbours.teacher_student.signs import can_learn, learning_probability
from linfa.neighbours.teacher_student.solutions import (
    Solution,
    all_solutions,
    exchange_gain,
    reached_solution,
    selected_solution,
    solution_count,
)

__all__ = [
    "DeepCourse",
    "OrderParameters",
    "Phases",
    "Solution",
    "Start",
    "all_solutions",
    "can_learn",
    "carried_power",
    "early_condition",
    "early_gradient_alignment",
    "early_growth",
    "early_small",
    "ensemble",
    "erf_fourth",
    "erf_second",
    "erf_slopes",
    "erf_third",
    "escape_rate",
    "exchange_gain",
    "generalisation_error",
    "learn_deep_online",
    "learning_probability",
    "mean_cosine",
    "ode",
    "phases",
    "reached_solution",
    "relu_second",
    "second_moments",
    "selected_solution",
    "simulate",
    "solution_count",
    "target_covariance",
    "target_map",
]
