"""The recipe of a fine-tuning, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from splitee._internal.errors import InputError
from splitee.models.config import STAGE_POOLINGS
from splitee.models.exits import CONFIDENCES, JOINS, POOLINGS
from splitee.models.multi_exit import EXIT_STARTS
from splitee.trace.threshold import check_rule
from splitee.training.objectives import OBJECTIVES


@dataclass(frozen=True)
class Recipe:
    """Options of fine-tuning; the defaults are those of ElasticBERT and SplitEE.

    Parameters
    ----------
    pooling : {"auto", "first", "mean", "last"}, or of stages "auto" or one of `STAGE_POOLINGS`
        Input of every exit. "auto" is the first token if exits start from pretrained poolers, the last one in
        a decoder, else the mean; of stages "avg+max", or with frozen stages what validates best.
    exits : tuple of int, optional
        Layers with an exit. Default: all.
    layers : int, "half" or "all", optional
        Keep only this many layers, counted from the first. Default: all.
    exit_start : {"new", "pooler"}
        Initial dense layers of the exits: random, or the backbone's pretrained pooler.
    exit_dense : bool
        Whether an exit has a dense layer before its tanh, as BERT's pooler; COST-EFF's exits have none.
    exit_states : int
        Number of last states that an exit reads; COST-EFF's ``last_n_hidden``.
    exit_join : {"concat", "mean"}
        How these states are joined.
    first_exit : int, optional
        The first layer with an exit, COST-EFF's ``exit_start``: exits at this and all later layers. Not with
        `exits`.
    confidence : {"softmax", "learned"}
        The confidence of the model's traces and of early exit; "learned" trains BERxiT's certainty head
        beside the exits.
    objective : str
        Training objective of the exits, one of `splitee.training.objectives.OBJECTIVES`.
    epochs : int
        Maximum number of epochs.
    patience : int
        Training stops after this many epochs without a better validation score.
    batch_size : int
        Texts per step.
    learning_rate, weight_decay : float
        Options of AdamW.
    warmup : float
        Share of the steps in which the learning rate rises.
    max_tokens : int
        Number of tokens that texts are truncated to.
    gradient_equilibrium : bool, optional
        Whether each layer receives the mean, not the sum, of the exits' gradients. Default: as published
        with the objective.
    precision : {"auto", "float32", "bfloat16", "float16"}
        "auto" is mixed bfloat16 on a GPU that supports it, else float32.
    seed : int
        Seed of weights, dropout and order.
    alpha_rule : str
        See `recommend_threshold`.
    checkpoint_steps : int
        Steps between checkpoints.
    image_size : int, optional
        Pixels per side of images. Default: as the backbone has it.
    """

    pooling: str = "auto"
    exits: tuple[int, ...] | None = None
    layers: int | str | None = None
    exit_start: str = "new"
    exit_dense: bool = True
    exit_states: int = 1
    exit_join: str = "concat"
    first_exit: int | None = None
    confidence: str = "softmax"
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
    image_size: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that would otherwise fail after hours."""
        for name in ("epochs", "patience", "batch_size", "max_tokens", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"weight_decay must be at least 0, not {self.weight_decay}")
        if not 0 <= self.warmup <= 1:
            raise InputError(f"warmup is {self.warmup}: give a share of the steps, 0 to 1")
        if self.pooling not in ("auto", *POOLINGS, *STAGE_POOLINGS):
            raise InputError(
                f"pooling {self.pooling!r}: choose one of auto, {', '.join(POOLINGS)}; of stages "
                f"{', '.join(STAGE_POOLINGS)}"
            )
        if self.exit_start not in EXIT_STARTS:
            raise InputError(f"exit_start {self.exit_start!r}: choose one of {', '.join(EXIT_STARTS)}")
        if self.exit_start == "pooler" and not self.exit_dense:
            raise InputError("exit_start 'pooler' needs exits with a dense layer: leave out --no-exit-dense")
        for name, choices in (("exit_join", JOINS), ("confidence", CONFIDENCES)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        if self.exit_states < 1:
            raise InputError(f"exit_states must be at least 1, not {self.exit_states}")
        if self.first_exit is not None and self.exits is not None:
            raise InputError("give the layers of the exits, or the first layer with an exit, not both")
        if self.objective not in OBJECTIVES:
            raise InputError(f"objective {self.objective!r}: choose one of {', '.join(OBJECTIVES)}")
        if OBJECTIVES[self.objective].second is not None and self.epochs < 2:
            raise InputError(f"objective {self.objective!r} has two halves: give at least 2 epochs")
        check_rule(self.alpha_rule)
        mixed_precision(self.precision)

    @property
    def equilibrium(self) -> bool:
        """Whether gradient equilibrium is used: as given, else as the objective was published."""
        if self.gradient_equilibrium is not None:
            return self.gradient_equilibrium
        return OBJECTIVES[self.objective].equilibrium

    @property
    def first_half(self) -> int:
        """Epochs before the encoder is frozen; all epochs if the objective has one half."""
        return self.epochs if OBJECTIVES[self.objective].second is None else self.epochs // 2


def mixed_precision(precision: str) -> str:
    """Return the precision that "auto" stands for on this machine; raise InputError if one is unavailable."""
    known = ("auto", "float32", "bfloat16", "float16")
    if precision not in known:
        raise InputError(f"precision {precision!r}: choose one of {', '.join(known)}")
    if precision == "float16" and not torch.cuda.is_available():
        raise InputError("precision float16 needs a GPU: use float32 or bfloat16")
    if precision != "auto":
        return precision
    return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
