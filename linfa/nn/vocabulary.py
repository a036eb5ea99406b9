"""What probes measure: names, grouped by the matrix that they are of, and what each means."""

from linfa.nn.spectra import RANKS

_RANK_WORDS = {
    "effective_rank": "effective rank exp H(s/sum s)",
    "entropy_rank_of_energy": "entropy rank of energy exp H(s^2/sum s^2)",
    "participation_ratio": "participation ratio (sum s^2)^2/sum s^4",
    "nuclear_rank": "nuclear rank (sum s)^2/sum s^2",
    "stable_rank": "stable rank sum s^2/s_1^2",
}


def _ranks_of(matrix: str, words: str) -> dict[str, str]:
    return {f"{matrix}_{rank}": f"{_RANK_WORDS[rank]} of {words}" for rank in RANKS}


# Group → name → meaning, with s for singular values. Files carry these words, in ASCII as their format asks for.
QUANTITIES: dict[str, dict[str, str]] = {
    "weights": {
        "weight_norm": "Frobenius norm of the weights W",
        "weight_alignment": "cosine of the weights W and the feedback B transposed",
        "norm_ratio": "norm of the feedback B over the norm of the weights W",
        "chance_alignment": "standard deviation of weight_alignment between unrelated matrices",
    },
    "alignment": {
        "sample_gradient_alignment": "mean over samples of the cosine of the rule's error and backprop's",
        "matrix_gradient_alignment": "cosine of the matrix of the rule's errors and that of backprop's",
        "update_alignment": "cosine of the rule's weight gradient and backprop's",
        "reference_norm": "root mean square over samples of the length of backprop's error",
    },
    "error": {"error_norm": "root mean square over samples of the length of the rule's error"}
    | _ranks_of("error", "the errors, uncentred"),
    "gradient": {"gradient_norm": "Frobenius norm of the rule's weight gradient"}
    | _ranks_of("gradient", "the rule's weight gradient"),
    "update": {"update_norm": "Frobenius norm of the change of the weights in one update"}
    | _ranks_of("update", "the change of the weights in one update"),
    "activation": {
        "activation_norm": "root mean square over samples of the length of the input of the layer",
        "growth": "length of the input of the next layer over that of this layer",
    }
    | _ranks_of("activation", "the inputs of the layer, uncentred"),
    "trajectory": _ranks_of("trajectory", "the latest probed updates of the layer as rows")
    | _ranks_of("whole_trajectory", "the latest probed updates of all layers together as rows"),
}
MEANINGS = {name: words for group in QUANTITIES.values() for name, words in group.items()}
# One number for the whole network.
WHOLE = frozenset(name for name in MEANINGS if name.startswith("whole_"))
