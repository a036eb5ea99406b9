"""Every known prediction, computed on both sides: `linfa verify` prints them, tests assert them, figures draw them."""

from linfa.claims.register import ACCURACIES, Check, Claim, check, claim, forget, get, names

__all__ = ["ACCURACIES", "Check", "Claim", "check", "claim", "forget", "get", "names"]
