"""Low-rank tensor decomposition: spiked tensors, message passing against its state evolution, and least squares.

``spike`` draws a tensor of low rank in noise; ``amp`` finds its factors given their prior, ``als`` without it.
``state_evolution`` says how well ``amp`` does in large tensors, ``thresholds`` at which noise that changes.
"""

from linfa.neighbours.tensor.alternating import als
from linfa.neighbours.tensor.closed_forms import (
    als_error,
    als_weight,
    bayes_error,
    continuous_transition,
    gaussian_dynamical,
    gaussian_fixed_point,
    gaussian_noise,
    gaussian_spinodals,
    norm_multiplier,
    spectral_overlap,
)
from linfa.neighbours.tensor.decomposition import Decomposition
from linfa.neighbours.tensor.evolution import free_entropy, overlap_trajectory, state_evolution
from linfa.neighbours.tensor.message_passing import amp
from linfa.neighbours.tensor.phases import Thresholds, fixed_points, thresholds
from linfa.neighbours.tensor.priors import Bernoulli, Discrete, Gaussian, Prior, Rademacher
from linfa.neighbours.tensor.spikes import Spike, cosines_squared, full_tensor, relative_error, spike
from linfa.neighbours.tensor.starts import spectral_directions

__all__ = [
    "Bernoulli",
    "Decomposition",
    "Discrete",
    "Gaussian",
    "Prior",
    "Rademacher",
    "Spike",
    "Thresholds",
    "als",
    "als_error",
    "als_weight",
    "amp",
    "bayes_error",
    "continuous_transition",
    "cosines_squared",
    "fixed_points",
    "free_entropy",
    "full_tensor",
    "gaussian_dynamical",
    "gaussian_fixed_point",
    "gaussian_noise",
    "gaussian_spinodals",
    "norm_multiplier",
    "overlap_trajectory",
    "relative_error",
    "spectral_directions",
    "spectral_overlap",
    "spike",
    "state_evolution",
    "thresholds",
]
