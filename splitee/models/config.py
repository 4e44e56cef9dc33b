"""The configuration of a multi-exit checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from transformers import AutoConfig, PretrainedConfig

from splitee._internal.errors import InputError
from splitee.models.checkpoints import MODEL_TYPE, STAGED_TYPE
from splitee.models.exits import CONFIDENCES, JOINS, POOLINGS

STAGE_POOLINGS = ("avg", "max", "avg+max", "grid2", "grid2+max", "grid", "grid+max")
MOST_PIXELS = 4096  # per side of the image that a model takes


class ExitConfig(PretrainedConfig):
    """What the configurations of all networks with exits share.

    Parameters
    ----------
    backbone : dict
        What the layers are: see the subclasses.
    exits : list of int, optional
        The layers (1-based, ascending) that have an exit, the last layer among them. Default: all.
    exit_dropout : float
        Dropout before the classifier of an exit.
    gradient_equilibrium : bool
        Whether the gradient that reaches a layer is the mean instead of the sum over the exits above it
        (Li et al. 2019, as used by ElasticBERT).
    recommended_threshold : dict, optional
        The threshold α chosen on the source domain's validation split, and the rule that chose it.
    training : dict, optional
        Record of the training: data and options.
    score_range : pair of float, optional
        Lowest and highest score of a regression model; None for a classifier.
    confidence : {"softmax", "learned"}
        What traces and early exit take as an exit's confidence: the largest softmax probability (for
        regression, closeness to the exit before), or BERxiT's learned certainty, for which the model then has
        a `CertaintyHead`.
    """

    has_no_defaults_at_init = True
    # by the library's Trainer, whose metrics read logits
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["certainty"]

    def __init__(
        self,
        backbone: Mapping[str, Any] | None = None,
        exits: Sequence[int] | None = None,
        exit_dropout: float = 0.1,
        gradient_equilibrium: bool = True,
        recommended_threshold: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        score_range: Sequence[float] | None = None,
        confidence: str = "softmax",
        **kwargs: Any,
    ) -> None:
        self.backbone = dict(backbone or {})
        self.exits = None if exits is None else [int(i) for i in exits]
        self.exit_dropout = exit_dropout
        self.gradient_equilibrium = gradient_equilibrium
        self.recommended_threshold = None if recommended_threshold is None else dict(recommended_threshold)
        self.training = None if training is None else dict(training)
        self.score_range = None if score_range is None else [float(score) for score in score_range]
        self.confidence = confidence
        super().__init__(**kwargs)

    def learned(self, confidence: str | None = None) -> bool:
        """Return whether a kind of confidence (default: the model's) is the learned one.

        Raises
        ------
        InputError
            If it is, and the model was trained without.
        """
        if confidence == "learned" and self.confidence != "learned":
            raise InputError(
                "this model has no learned confidence: train one with splitee train --confidence learned"
            )
        return (confidence or self.confidence) == "learned"

    @property
    def regresses(self) -> bool:
        """Whether the exits predict a score instead of a class."""
        return self.score_range is not None

    @property
    def class_names(self) -> list[str]:
        """The class names in the order of their numbers."""
        return [self.id2label[i] for i in range(self.num_labels)]


class MultiExitConfig(ExitConfig):
    """The configuration of a multi-exit encoder or decoder.

    Parameters
    ----------
    backbone : dict
        The encoder's configuration (with its ``model_type``).
    exits : list of int, optional
        The layers (1-based, ascending) that have an exit, the last layer among them. Default: all.
    pooling : {"first", "mean", "last"}
        Input of an exit: the state of the first or last token, or the mean over all tokens except padding.
    exit_dropout : float
        Dropout before the classifier of an exit.
    exit_dense : bool
        Whether an exit has a dense layer before its tanh, as BERT's pooler; COST-EFF's exits have none.
    gradient_equilibrium : bool
        Whether the gradient that reaches a layer is the mean instead of the sum over the exits above it
        (Li et al. 2019, as used by ElasticBERT).
    recommended_threshold : dict, optional
        The threshold α chosen on the source domain's validation split, and the rule that chose it.
    training : dict, optional
        Record of the training: data and options.
    max_tokens : int
        Number of tokens that texts are truncated to.
    score_range : pair of float, optional
        Lowest and highest score of a regression model; None for a classifier.
    confidence : {"softmax", "learned"}
        What traces and early exit take as an exit's confidence: the largest softmax probability (for
        regression, closeness to the exit before), or BERxiT's learned certainty, for which the model then has
        a `CertaintyHead`.
    exit_states : int
        Number N of last states that an exit reads, the embedding's among them, as COST-EFF's
        ``last_n_hidden``; the first exits read as many as there are.
    exit_join : {"concat", "mean"}
        How these states are joined (COST-EFF's ``hidden_mode``).
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        backbone: Mapping[str, Any] | None = None,
        exits: Sequence[int] | None = None,
        pooling: str = "mean",
        exit_dropout: float = 0.1,
        exit_dense: bool = True,
        gradient_equilibrium: bool = True,
        recommended_threshold: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        max_tokens: int = 128,
        score_range: Sequence[float] | None = None,
        confidence: str = "softmax",
        exit_states: int = 1,
        exit_join: str = "concat",
        **kwargs: Any,
    ) -> None:
        self.pooling = pooling
        self.exit_dense = exit_dense
        self.max_tokens = max_tokens
        self.exit_states = exit_states
        self.exit_join = exit_join
        super().__init__(
            backbone,
            exits,
            exit_dropout,
            gradient_equilibrium,
            recommended_threshold,
            training,
            score_range,
            confidence,
            **kwargs,
        )

    def check(self) -> None:
        """Raise InputError if the exits' options are invalid or do not fit each other."""
        for name, choices in (("pooling", POOLINGS), ("confidence", CONFIDENCES), ("exit_join", JOINS)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        if (self.num_labels == 1) != self.regresses:
            raise InputError(
                f"num_labels is {self.num_labels}, score_range is {self.score_range}: a regression model "
                "has one output and a range, such as (0, 5); a classifier has several outputs and no range"
            )

    def backbone_config(self) -> PretrainedConfig:
        """Return the encoder's configuration as an instance of the library's class."""
        options = dict(self.backbone)
        if "model_type" not in options:
            raise InputError("this configuration names no backbone: it is not a multi-exit checkpoint")
        return AutoConfig.for_model(options.pop("model_type"), **options)


class StagedConfig(ExitConfig):
    """The configuration of a network of stages; see `ExitConfig` for the options that are not listed.

    Parameters
    ----------
    backbone : dict
        Either ``{"stages": NAME, "options": {...}}``, a function registered with
        `splitee.models.staged.register_stages`, or the configuration of a vision backbone of transformers
        (with its ``model_type``).
    pooling : str, or a list of one per exit
        What an exit reads of a state, one of `STAGE_POOLINGS`: see `splitee.models.staged.pool_state`.
    image_size : int
        Pixels per side; images are resized to a square.
    image_mean, image_std : sequence of float, one per channel
        Pixels, 0 to 255, become (pixel − mean) / std.
    """

    model_type = STAGED_TYPE

    def __init__(
        self,
        backbone: Mapping[str, Any] | None = None,
        exits: Sequence[int] | None = None,
        pooling: str | Sequence[str] = "avg+max",
        exit_dropout: float = 0.0,
        gradient_equilibrium: bool = True,
        image_size: int = 224,
        image_mean: Sequence[float] = (127.5, 127.5, 127.5),
        image_std: Sequence[float] = (127.5, 127.5, 127.5),
        **kwargs: Any,
    ) -> None:
        self.pooling = pooling if isinstance(pooling, str) else list(pooling)
        self.image_size = image_size
        self.image_mean = [float(value) for value in image_mean]
        self.image_std = [float(value) for value in image_std]
        super().__init__(backbone, exits, exit_dropout, gradient_equilibrium, **kwargs)

    def check(self) -> None:
        """Raise InputError if an option is invalid."""
        for pooling in [self.pooling] if isinstance(self.pooling, str) else self.pooling:
            if pooling not in STAGE_POOLINGS:
                raise InputError(f"pooling {pooling!r}: choose one of {', '.join(STAGE_POOLINGS)}")
        if self.confidence != "softmax":
            raise InputError(f"confidence {self.confidence!r}: a network of stages has softmax only")
        if self.num_labels < 2 or self.regresses:
            raise InputError(f"num_labels is {self.num_labels}: a network of stages has at least two classes")
        if not 1 <= self.image_size <= MOST_PIXELS:
            raise InputError(f"image_size is {self.image_size}: give 1 to {MOST_PIXELS:,} pixels per side")
        if len(self.image_mean) != len(self.image_std) or len(self.image_mean) not in (1, 3):
            raise InputError(
                "image_mean and image_std: give one value per channel, 3 of colours or 1 of grey"
            )
        if not all(value > 0 for value in self.image_std):
            raise InputError("image_std holds a value that is not above 0")

    def poolings(self, exits: int) -> list[str]:
        """Return the pooling of each of so many exits.

        Raises
        ------
        InputError
            If the configuration gives another number.
        """
        if isinstance(self.pooling, str):
            return [self.pooling] * exits
        if len(self.pooling) != exits:
            raise InputError(f"pooling names {len(self.pooling)} exits, the model has {exits}")
        return list(self.pooling)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return len(self.image_mean), self.image_size, self.image_size


def layers_from(first: int, depth: int) -> list[int]:
    """Return the layers from `first` to the last, where exits shall be.

    Raises
    ------
    InputError
        If there is no such layer.
    """
    if not 1 <= first <= depth:
        raise InputError(f"the first exit is at layer {first}: give a layer from 1 to {depth}")
    return list(range(first, depth + 1))
