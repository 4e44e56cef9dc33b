"""Who splits where: one file a family; `base` says what a policy is."""

from splitee.policies.base import Policy
from splitee.policies.cascades import PABEE, CascadeSplit, DeeBERT, ElasticBERT
from splitee.policies.commit import ExploreThenCommit, SourceSplit
from splitee.policies.fixed import CloudOnly, FinalExit, FixedExit, FixedSplit, RandomSplit
from splitee.policies.hindsight import BestFixedSplit, Oracle
from splitee.policies.ucb import SplitEE, SplitEES
from splitee.policies.variance import ThompsonSplit, UCBTuned

__all__ = [
    "PABEE",
    "BestFixedSplit",
    "CascadeSplit",
    "CloudOnly",
    "DeeBERT",
    "ElasticBERT",
    "ExploreThenCommit",
    "FinalExit",
    "FixedExit",
    "FixedSplit",
    "Oracle",
    "Policy",
    "RandomSplit",
    "SourceSplit",
    "SplitEE",
    "SplitEES",
    "ThompsonSplit",
    "UCBTuned",
]
