"""How to train: the recipe of a fine-tuning, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from splitee._internal.errors import InputError
from splitee.models.multi_exit import POOLINGS
from splitee.trace.threshold import check_rule
from splitee.training.objectives import OBJECTIVES


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are ElasticBERT's and SplitEE's (lr 2e-5, weight decay 0.1, warm-up 6 %).

    Parameters
    ----------
    pooling : {"auto", "first", "mean"}
        What every exit reads; "auto" is the first token where the backbone has pretrained poolers
        (ElasticBERT), else the mean.
    exits : tuple of int, optional
        Layers with an exit; default all.
    layers : int, optional
        Keep only the first so many layers of the encoder; default all.
    exit_dense : bool
        Whether an exit has a dense layer before its tanh (BERT's pooler); COST-EFF's have none.
    objective : str
        One of `splitee.training.objectives.OBJECTIVES`: how the exits are trained.
    gradient_equilibrium : bool, optional
        Whether the mean, not the sum, of the exits' gradients reaches a layer; default: as published.
    epochs : int
        At most so many; training ends after `patience` epochs without a better validation score.
    precision : {"auto", "float32", "bfloat16", "float16"}
        "auto" is mixed bfloat16 on a GPU that has it, else float32.
    """

    pooling: str = "auto"
    exits: tuple[int, ...] | None = None
    layers: int | None = None
    exit_dense: bool = True
    objective: str = "joint"
    epochs: int = 5
    patience: int = 1
    batch_size: int = 32
    learning_rate: float = 2e-5
    weight_decay: float = 0.1
    warmup: float = 0.06
    max_tokens: int = 128
    gradient_equilibrium: bool | None = None
    precision: str = "auto"
    seed: int = 0
    alpha_rule: str = "within:0.5"
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        """Refuse at once what would else fail after hours."""
        for name in ("epochs", "patience", "batch_size", "max_tokens", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"weight_decay must be at least 0, not {self.weight_decay}")
        if not 0 <= self.warmup <= 1:
            raise InputError(f"warmup is a share of the steps, 0 to 1, not {self.warmup}")
        if self.pooling not in ("auto", *POOLINGS):
            raise InputError(f"pooling {self.pooling!r}: choose one of auto, {', '.join(POOLINGS)}")
        if self.objective not in OBJECTIVES:
            raise InputError(f"objective {self.objective!r}: choose one of {', '.join(OBJECTIVES)}")
        if OBJECTIVES[self.objective].second is not None and self.epochs < 2:
            raise InputError(f"objective {self.objective!r} has two halves: give at least 2 epochs")
        check_rule(self.alpha_rule)
        mixed_precision(self.precision)

    @property
    def equilibrium(self) -> bool:
        """Whether gradients are balanced: as asked, or as the objective was published."""
        if self.gradient_equilibrium is not None:
            return self.gradient_equilibrium
        return OBJECTIVES[self.objective].equilibrium

    @property
    def first_half(self) -> int:
        """Epochs before the encoder is frozen: all of them where the objective has one half."""
        return self.epochs if OBJECTIVES[self.objective].second is None else self.epochs // 2


def mixed_precision(precision: str) -> str:
    """Settle what "auto" means on this machine; InputError where a precision is impossible here."""
    known = ("auto", "float32", "bfloat16", "float16")
    if precision not in known:
        raise InputError(f"precision {precision!r}: choose one of {', '.join(known)}")
    if precision == "float16" and not torch.cuda.is_available():
        raise InputError("precision float16 needs a GPU: use float32 or bfloat16")
    if precision != "auto":
        return precision
    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
