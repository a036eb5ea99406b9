"""Predictive coding in balanced networks: strong input, and feedback that cancels all of it but the error.

N neurons represent a stimulus in their common read-out. The stronger input and cancelling feedback, the smaller bias
and noise, until the delay of the feedback makes the balance ring; random couplings make it chaotic, which balance
suppresses. Source: Kadmon, Timcheck & Ganguli 2020.
"""

from linfa.neighbours.balanced.disorder import Disorder, chaos_onset, dynamic_mean_field
from linfa.neighbours.balanced.mean_field import MeanField, mean_field
from linfa.neighbours.balanced.optimum import Optimum, optimal_balance, optimal_loop_gain
from linfa.neighbours.balanced.simulation import Simulation, measured_exponent, simulate
from linfa.neighbours.balanced.stability import LimitCycle, critical_balance, growth_rate, hopf, limit_cycle

__all__ = [
    "Disorder",
    "LimitCycle",
    "MeanField",
    "Optimum",
    "Simulation",
    "chaos_onset",
    "critical_balance",
    "dynamic_mean_field",
    "growth_rate",
    "hopf",
    "limit_cycle",
    "mean_field",
    "measured_exponent",
    "optimal_balance",
    "optimal_loop_gain",
    "simulate",
]
