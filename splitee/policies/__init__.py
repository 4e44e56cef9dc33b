"""Who splits where: one file a family; `base` says what a policy is."""

from splitee.policies.base import Policy
from splitee.policies.fixed import (
    BestFixedSplit,
    CloudOnly,
    FinalExit,
    FixedExit,
    FixedSplit,
    RandomSplit,
)
from splitee.policies.splitee import SplitEE, SplitEES

__all__ = [
    "BestFixedSplit",
    "CloudOnly",
    "FinalExit",
    "FixedExit",
    "FixedSplit",
    "Policy",
    "RandomSplit",
    "SplitEE",
    "SplitEES",
]
