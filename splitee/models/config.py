"""What a multi-exit checkpoint says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from splitee._internal.errors import InputError
from splitee.models.checkpoints import MODEL_TYPE


class MultiExitConfig(PretrainedConfig):
    """What a multi-exit model is made of.

    Parameters
    ----------
    backbone : dict
        The encoder's own configuration (with its ``model_type``).
    exits : list of int, optional
        The layers (1-based) that have an exit, ascending; the last layer always has one. Default: all.
    pooling : {"first", "mean"}
        What an exit reads: the first token's state, or the mean over the tokens that are no padding.
    exit_dropout : float
        Dropout before an exit's classifier.
    exit_dense : bool
        Whether an exit has a dense layer before its tanh (BERT's pooler); COST-EFF's have none.
    gradient_equilibrium : bool
        Whether the gradient that reaches a layer is the mean, not the sum, over the exits above it
        (Li et al. 2019, as ElasticBERT uses it).
    recommended_threshold : dict, optional
        The threshold α chosen on the source's validation split, and the rule that chose it.
    training : dict, optional
        What the checkpoint was trained on and how.
    max_tokens : int
        Tokens a text is cut to.
    score_range : pair of float, optional
        Lowest and highest score it was trained on, where the model regresses.
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
        """Whether the exits give a score, not classes."""
        return self.score_range is not None

    @property
    def class_names(self) -> list[str]:
        """The classes' names, in the order of their numbers."""
        return [self.id2label[i] for i in range(self.num_labels)]

    def backbone_config(self) -> PretrainedConfig:
        """The encoder's configuration as the library's own class."""
        options = dict(self.backbone)
        if "model_type" not in options:
            raise InputError("this configuration names no backbone: it is not a multi-exit checkpoint")
        return AutoConfig.for_model(options.pop("model_type"), **options)
