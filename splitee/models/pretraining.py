"""ElasticBERT's pre-training objectives at every layer: masked words and sentence order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel
from transformers.models.bert.modeling_bert import BertPredictionHeadTransform
from transformers.utils import ModelOutput

from splitee._internal.errors import InputError
from splitee.models.cutting import Stack, first_layer, run_layers
from splitee.models.elasticbert import ElasticBertConfig, ElasticBertModel
from splitee.models.equilibrium import after_exit, before_exit

IGNORED = -100  # label of tokens that are not to be predicted


@dataclass
class PretrainingOutput(ModelOutput):
    """The loss and its parts per exit, shape (exits,) each: masked language model and sentence order."""

    loss: Tensor | None = None
    mlm: Tensor | None = None
    order: Tensor | None = None


class ElasticBertForPreTraining(PreTrainedModel):
    """An ElasticBERT with two pre-training heads at every layer.

    The loss is Σ_l (L_MLM^l + L_SOP^l) with equal weights (Liu et al. 2022, section 3), over all exits or the
    exits of a group. With gradient equilibrium, the gradient that reaches a layer is the mean over the exits
    above it. Every layer has its own transform and sentence-order classifier. Word scores use the word
    embeddings of the encoder; which weights the authors share is not known. ``elasticbert`` is saved in the
    authors' layout.

    Examples
    --------
    >>> config = ElasticBertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
    ...                            intermediate_size=16, num_output_layers=3)
    >>> model = ElasticBertForPreTraining(config)
    >>> ids = torch.tensor([[2, 7, 3]])
    >>> output = model(ids, labels=torch.tensor([[-100, 9, -100]]), order=torch.tensor([0]), group=[1, 3])
    >>> output.mlm.shape
    torch.Size([2])
    """

    config_class = ElasticBertConfig
    base_model_prefix = "elasticbert"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: ElasticBertConfig) -> None:
        super().__init__(config)
        self.elasticbert = ElasticBertModel(config)
        if config.num_output_layers < config.num_hidden_layers:
            raise InputError(
                f"num_output_layers is {config.num_output_layers}: pre-training needs an exit at each of the "
                f"{config.num_hidden_layers} layers"
            )
        layers = range(config.num_hidden_layers)
        self.transforms = nn.ModuleList(BertPredictionHeadTransform(config) for _ in layers)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.orders = nn.ModuleList(nn.Linear(config.hidden_size, 2) for _ in layers)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        order: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        group: Sequence[int] | None = None,
    ) -> PretrainingOutput:
        """Run all layers up to the last exit of the group.

        Parameters
        ----------
        input_ids, labels, attention_mask, token_type_ids : Tensor, shape (batch, tokens)
            ``labels`` hold the masked words, and -100 elsewhere.
        order : Tensor, shape (batch,)
            1 if the two segments were swapped, else 0.
        group : sequence of int, optional
            Layers (1-based, ascending) whose exits take part. Default: all.
        """
        at = tuple(range(1, self.config.num_hidden_layers + 1)) if group is None else tuple(group)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        encoder = self.elasticbert.encoder
        stack = Stack(encoder, "layer", tuple(range(len(encoder.layer))))
        cut = first_layer(self.elasticbert, stack, inputs)
        masked = labels != IGNORED
        mlm, sop = [], []
        for index, layer in enumerate(at):
            cut = run_layers(stack, cut, layer)
            above = len(at) - index
            hidden = before_exit(cut.hidden, above)
            transformed = self.transforms[layer - 1](hidden[masked])
            words = functional.linear(
                transformed, self.elasticbert.embeddings.word_embeddings.weight, self.bias
            )
            summed = functional.cross_entropy(words.float(), labels[masked], reduction="sum")
            mlm.append(summed / max(1, int(masked.sum())))  # a small batch may have no masked word
            pooled = encoder.pooler[layer - 1](hidden)
            sop.append(functional.cross_entropy(self.orders[layer - 1](pooled).float(), order))
            cut.hidden = after_exit(hidden, above)
        losses = torch.stack(mlm), torch.stack(sop)
        return PretrainingOutput(
            loss=losses[0].sum() + losses[1].sum(), mlm=losses[0].detach(), order=losses[1].detach()
        )


def groups_of(layers: int) -> tuple[tuple[int, ...], ...]:
    """Return the two groups of exits that alternate by batch: odd and even layers, the last one in both.

    Examples
    --------
    >>> groups_of(12)
    ((1, 3, 5, 7, 9, 11, 12), (2, 4, 6, 8, 10, 12))
    """
    halves = (tuple(range(first, layers + 1, 2)) for first in (1, 2))
    return tuple(half if layers in half else (*half, layers) for half in halves if half)
