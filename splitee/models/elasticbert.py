"""ElasticBERT in the layout of its authors' checkpoints: BERT with a pooler after every layer.

`MultiExitModel.from_backbone` accepts such a checkpoint like any other encoder, and its exits start from the
pretrained poolers. The authors call a model with fewer layers and one exit static, and one with all exits
dynamic (Liu et al. 2022: Towards Efficient NLP: A Standard Evaluation and A Strong Baseline; arXiv
2110.07038).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PretrainedConfig,
)
from transformers.models.bert.modeling_bert import BertPooler


class ElasticBertConfig(BertConfig):
    """BERT's configuration with the layers that have an exit.

    Parameters
    ----------
    max_output_layers : int
        Number of layers in pre-training.
    num_output_layers : int
        Number of layers, counted from the last, that have a pooler; 1 for static use.
    """

    model_type = "elasticbert"

    def __init__(self, max_output_layers: int = 12, num_output_layers: int = 12, **options: Any) -> None:
        super().__init__(**options)
        self.max_output_layers = max_output_layers
        self.num_output_layers = num_output_layers

    @property
    def output_layers(self) -> range:
        """The layers (1-based) that have a pooler."""
        return range(max(0, self.num_hidden_layers - self.num_output_layers) + 1, self.num_hidden_layers + 1)


class ElasticBertModel(BertModel):
    """The encoder: BERT with ``encoder.pooler.{i}`` (0-based) for layers that have an exit; others are None.

    Examples
    --------
    >>> config = ElasticBertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
    ...                            intermediate_size=16, num_output_layers=1)
    >>> [name for name, _ in ElasticBertModel(config).encoder.pooler.named_parameters()]
    ['2.dense.weight', '2.dense.bias']
    """

    config_class = ElasticBertConfig
    base_model_prefix = "elasticbert"

    def __init__(self, config: ElasticBertConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config, add_pooling_layer=False)
        self.encoder.pooler = nn.ModuleList()
        for layer in range(1, config.num_hidden_layers + 1):
            pooler = BertPooler(config) if layer in config.output_layers else None
            self.encoder.pooler.append(pooler)  # None keeps the numbering of the weights
        self.post_init()

    def pooled(self, states: tuple[Tensor, ...]) -> list[Tensor]:
        """Pool the states of layers 1, 2, … that have a pooler; each result has shape (batch, width)."""
        return [pooler(states[i]) for i, pooler in enumerate(self.encoder.pooler) if pooler is not None]


def take_poolers(backbone: nn.Module) -> dict[int, nn.Linear]:
    """Remove the poolers of an ElasticBERT and return their dense layers by layer (1-based); else {}."""
    if not isinstance(backbone, ElasticBertModel) or not hasattr(backbone.encoder, "pooler"):
        return {}
    poolers = {i: pooler.dense for i, pooler in enumerate(backbone.encoder.pooler, 1) if pooler is not None}
    del backbone.encoder.pooler
    return poolers


def stored_poolers(config: PretrainedConfig, unexpected: Collection[str]) -> int:
    """Return how many last layers have a pooler in an ElasticBERT checkpoint, without a gap; else 0.

    A checkpoint may hold more poolers than its ``num_output_layers`` says; their names are in `unexpected`.
    """
    if not isinstance(config, ElasticBertConfig):
        return 0
    found = {int(match[1]) + 1 for key in unexpected if (match := re.search(r"pooler\.(\d+)\.", key))}
    layer: int = config.output_layers.start
    while layer - 1 in found:
        layer -= 1
    return int(config.num_hidden_layers) + 1 - layer


def pretrained_pooler(backbone: nn.Module) -> nn.Linear | None:
    """Return the dense layer of a backbone's only pooler (BERT, RoBERTa, MPNet, ALBERT); None without one."""
    pooler = getattr(backbone, "pooler", None)
    dense = getattr(pooler, "dense", pooler)
    return dense if isinstance(dense, nn.Linear) else None


AutoConfig.register(ElasticBertConfig.model_type, ElasticBertConfig, exist_ok=True)
AutoModel.register(ElasticBertConfig, ElasticBertModel, exist_ok=True)
AutoTokenizer.register(ElasticBertConfig, fast_tokenizer_class=BertTokenizerFast, exist_ok=True)
