"""Deep Feedback Control: learning from a network whose output is steered to its target (Meulemans et al. 2021, 2022).

A controller u pushes every neuron through feedback weights Q until the output is where it should be; each layer then
learns to do by itself what it was pushed to do. With Q matched to the Jacobian J of the network this is a Gauss–Newton
step, and with strong control it descends the cost of control exactly.

    τ_v v_l' = −v_l + W_l φ(v_{l−1}) + Q_l u,   u = u_int + k_p e,   τ_u u_int' = e − α u_int,   e = r* − r_L

W_l has shape (n_l, n_{l−1}); Q stacks Q_1 … Q_L, (N, o), and J = [J_1 … J_L], (o, N), N = n_1 + … + n_L.
"""

from linfa.neighbours.control.cost import LearningRun, aligned_steady_state, cost_gradient, cost_row, learn
from linfa.neighbours.control.feedback_learning import (
    FeedbackRun,
    feedback_fixed_point,
    feedback_flow,
    feedback_velocity,
    learn_feedback,
    mode_loop_time,
    mode_velocity,
    outside_part,
)
from linfa.neighbours.control.layers import backward_products, feed_forward, jacobian
from linfa.neighbours.control.loop import (
    critical_gain,
    euler_growth_rate,
    fast_loop,
    fast_loop_matrix,
    growth_rate,
    loop_blocks,
    loop_matrix,
    two_layer_critical_gain,
    two_layer_polynomial,
)
from linfa.neighbours.control.noise import (
    control_covariance_balance,
    cross_balance,
    full_loop_moments,
    measure_moments,
    noise_moments,
)
from linfa.neighbours.control.simulation import ControlRun, averaged_update, simulate, trajectory
from linfa.neighbours.control.steady import SteadyState, control_balance, effective_leak, steady_state
from linfa.neighbours.control.updates import (
    backprop_update,
    control_update,
    damped_gain,
    damping_error,
    flattened,
    gauss_newton_correction,
    minimum_norm_update,
    pushed_updates,
    row_space_part,
    shared_updates,
)

__all__ = [
    "ControlRun",
    "FeedbackRun",
    "LearningRun",
    "SteadyState",
    "aligned_steady_state",
    "averaged_update",
    "backprop_update",
    "backward_products",
    "control_balance",
    "control_covariance_balance",
    "control_update",
    "cost_gradient",
    "cost_row",
    "critical_gain",
    "cross_balance",
    "damped_gain",
    "damping_error",
    "effective_leak",
    "euler_growth_rate",
    "fast_loop",
    "fast_loop_matrix",
    "feed_forward",
    "feedback_fixed_point",
    "feedback_flow",
    "feedback_velocity",
    "flattened",
    "full_loop_moments",
    "gauss_newton_correction",
    "growth_rate",
    "jacobian",
    "learn",
    "learn_feedback",
    "loop_blocks",
    "loop_matrix",
    "measure_moments",
    "minimum_norm_update",
    "mode_loop_time",
    "mode_velocity",
    "noise_moments",
    "outside_part",
    "pushed_updates",
    "row_space_part",
    "shared_updates",
    "simulate",
    "steady_state",
    "trajectory",
    "two_layer_critical_gain",
    "two_layer_polynomial",
]
