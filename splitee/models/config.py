"""The configuration of a multi-exit checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from splitee._internal.errors import InputError
from splitee.models.checkpoints import MODEL_TYPE


class MultiExitConfig(PretrainedConfig):
    """The configuration of a multi-exit model.

    Parameters
    ----------
    backbone : dict
        The encoder's configuration (with its ``model_type``).
    exits : list of int, optional
        The layers (1-based, ascending) that have an exit, the last layer among them. Default: all.
    pooling : {"first", "mean"}
        Input of an exit: the state of the first token, or the mean over all tokens except padding.
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
    """

    model_type = MODEL_TYPE
    has_no_defaults_at_init = True

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
        **kwargs: Any,
    ) -> None:
        self.backbone = dict(backbone or {})
        self.exits = None if exits is None else [int(i) for i in exits]
        self.pooling = pooling
        self.exit_dropout = exit_dropout
        self.exit_dense = exit_dense
        self.gradient_equilibrium = gradient_equilibrium
        self.recommended_threshold = None if recommended_threshold is None else dict(recommended_threshold)
        self.training = None if training is None else dict(training)
        self.max_tokens = max_tokens
        self.score_range = None if score_range is None else [float(score) for score in score_range]
        super().__init__(**kwargs)

    @property
    def regresses(self) -> bool:
        """Whether the exits predict a score instead of a class."""
        return self.score_range is not None

    @property
    def class_names(self) -> list[str]:
        """The class names in the order of their numbers."""
        return [self.id2label[i] for i in range(self.num_labels)]

    def backbone_config(self) -> PretrainedConfig:
        """Return the encoder's configuration as an instance of the library's class."""
        options = dict(self.backbone)
        if "model_type" not in options:
            raise InputError("this configuration names no backbone: it is not a multi-exit checkpoint")
        return AutoConfig.for_model(options.pop("model_type"), **options)
