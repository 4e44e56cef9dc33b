"""Fine-tuned ElasticBERT checkpoints of the authors' code, and their conversion to a multi-exit model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from splitee._internal.errors import InputError
from splitee.models.config import MultiExitConfig
from splitee.models.elasticbert import ElasticBertConfig, ElasticBertModel, take_poolers
from splitee.models.exits import ExitHead
from splitee.models.loading import UNREADABLE
from splitee.models.multi_exit import MultiExitModel


@dataclass
class ElasticBertOutput(ModelOutput):
    """Logits of every exit, shape (batch, exits, classes)."""

    logits: Tensor | None = None


class ElasticBertForSequenceClassification(PreTrainedModel):
    """A fine-tuned ElasticBERT with ``classifier`` (static, one exit) or ``classifiers.{i}`` (dynamic)."""

    config_class = ElasticBertConfig
    base_model_prefix = "elasticbert"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: ElasticBertConfig) -> None:
        super().__init__(config)
        self.elasticbert = ElasticBertModel(config)
        if config.num_output_layers == 1:
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        else:
            self.classifiers = nn.ModuleList(
                nn.Linear(config.hidden_size, config.num_labels) for _ in config.output_layers
            )
        self.post_init()

    @property
    def heads(self) -> list[nn.Module]:
        """The classifiers of all exits, in order."""
        return [self.classifier] if self.config.num_output_layers == 1 else list(self.classifiers)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> ElasticBertOutput:
        """Run all layers and all exits; all inputs have shape (batch, tokens)."""
        states = self.elasticbert(
            input_ids, attention_mask, token_type_ids, output_hidden_states=True
        ).hidden_states[1:]
        pooled = self.elasticbert.pooled(states)
        logits = [head(one) for head, one in zip(self.heads, pooled, strict=True)]
        return ElasticBertOutput(logits=torch.stack(logits, dim=1))


def to_multi_exit(name: str | Path, **options: Any) -> MultiExitModel:
    """Convert an ElasticBERT that was fine-tuned with its authors' code to a multi-exit model.

    Parameters
    ----------
    name : str or path
        A folder, or a name on the hub, of a checkpoint with classifiers.
    **options
        Passed to `MultiExitConfig`.

    Raises
    ------
    InputError
        If the checkpoint cannot be loaded or lacks weights.
    """
    try:
        tuned, loading = ElasticBertForSequenceClassification.from_pretrained(
            str(name), dtype=torch.float32, output_loading_info=True
        )
    except UNREADABLE as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: no fine-tuned ElasticBERT could be loaded ({why})") from error
    if missing := sorted(loading["missing_keys"]):
        raise InputError(f"{name}: {len(missing)} weights are missing, such as {missing[0]}")
    described = tuned.config.to_dict()
    described.pop("_name_or_path", None)
    exits = list(tuned.config.output_layers)
    options = {"pooling": "first", "id2label": tuned.config.id2label, **options}
    config = MultiExitConfig(described, exits=exits, num_labels=tuned.config.num_labels, **options)
    poolers = take_poolers(tuned.elasticbert)
    model = MultiExitModel(config, tuned.elasticbert)
    with torch.no_grad():
        for head, classifier, layer in zip(model.exit_heads, tuned.heads, exits, strict=True):
            assert isinstance(head, ExitHead)
            head.dense.load_state_dict(poolers[layer].state_dict())
            head.classifier.load_state_dict(classifier.state_dict())
    model.eval()
    return model


AutoModelForSequenceClassification.register(
    ElasticBertConfig, ElasticBertForSequenceClassification, exist_ok=True
)
