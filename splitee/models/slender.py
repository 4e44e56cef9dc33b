"""Slender encoders: all layers are kept, each with fewer heads and units; the embedding may be factorised.

This is COST-EFF's model (Shen et al. 2022; arXiv 2210.15523). BERT, RoBERTa, ElasticBERT and MPNet can be
compressed to it by pruning; the result is saved, loaded, cut and run like any other encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetModel,
    PretrainedConfig,
    RobertaConfig,
    RobertaModel,
)
from transformers.modeling_utils import PreTrainedModel
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention

from splitee._internal.errors import InputError


@dataclass(frozen=True)
class Widths:
    """The widths of a slender encoder.

    Attributes
    ----------
    heads : tuple of tuples of int
        For each layer, the attention heads of the full encoder that are kept (0-based, ascending).
    units : tuple of int
        For each layer, the number of feed-forward units.
    rank : int, optional
        Rank of the word embedding; None if it is not factorised.
    """

    heads: tuple[tuple[int, ...], ...]
    units: tuple[int, ...]
    rank: int | None = None

    @classmethod
    def of(cls, config: PretrainedConfig) -> Widths:
        """Read the widths from an encoder's configuration; a full encoder keeps everything."""
        stored: Mapping[str, Any] | None = getattr(config, "slender", None)
        if stored is None:
            depth, every = config.num_hidden_layers, tuple(range(config.num_attention_heads))
            return cls((every,) * depth, (config.intermediate_size,) * depth)
        heads = tuple(tuple(int(head) for head in layer) for layer in stored["heads"])
        return cls(heads, tuple(int(units) for units in stored["units"]), stored["rank"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for a configuration."""
        return {"heads": [list(layer) for layer in self.heads], "units": list(self.units), "rank": self.rank}

    def check(self, config: PretrainedConfig) -> None:
        """Raise InputError if an encoder of this configuration cannot have these widths."""
        depth, all_heads = config.num_hidden_layers, config.num_attention_heads
        if len(self.heads) != depth or len(self.units) != depth:
            raise InputError(f"widths of {len(self.heads)} layers were given, but the encoder has {depth}")
        for layer, (heads, units) in enumerate(zip(self.heads, self.units, strict=True), 1):
            if not heads or list(heads) != sorted(set(heads)) or heads[0] < 0 or heads[-1] >= all_heads:
                raise InputError(
                    f"layer {layer} keeps heads {list(heads)}: give some of 0 to {all_heads - 1}, ascending"
                )
            if not 1 <= units <= config.intermediate_size:
                raise InputError(
                    f"layer {layer} keeps {units} feed-forward units: give 1 to {config.intermediate_size}"
                )
        if self.rank is not None and not 1 <= self.rank <= config.hidden_size:
            raise InputError(f"rank {self.rank} of the embedding: give 1 to {config.hidden_size}")


class FactorisedEmbedding(nn.Module):
    """A word embedding of lower rank: (words × rank) times (rank × width), without bias."""

    def __init__(self, words: int, rank: int, width: int, padding: int | None) -> None:
        super().__init__()
        self.words = nn.Embedding(words, rank, padding_idx=padding)
        self.up = nn.Linear(rank, width, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids, shape (batch, tokens), to shape (batch, tokens, width)."""
        embedded: Tensor = self.up(self.words(ids))
        return embedded


class _SlenderMPNetAttention(MPNetSelfAttention):
    """MPNet's attention with some of the heads: it selects their columns of the shared position bias."""

    kept: list[int]

    def forward(  # type: ignore[no-untyped-def]
        self, hidden_states, attention_mask=None, position_bias=None, output_attentions=False, **kwargs
    ):
        bias = None if position_bias is None else position_bias[:, self.kept]
        return super().forward(hidden_states, attention_mask, bias, output_attentions, **kwargs)


@dataclass(frozen=True)
class LayerParts:
    """The linear maps of an encoder layer that can be pruned, as (module, attribute)."""

    attention: nn.Module
    into: tuple[str, str, str]  # names of query, key and value in `attention`
    out_of: tuple[nn.Module, str]
    up: tuple[nn.Module, str]
    down: tuple[nn.Module, str]


def layer_parts(layer: nn.Module) -> LayerParts:
    """Return the linear maps of a layer."""
    attention = cast(Any, layer).attention
    up, down = (cast(Any, layer).intermediate, "dense"), (cast(Any, layer).output, "dense")
    if hasattr(attention, "attn"):  # MPNet
        return LayerParts(attention.attn, ("q", "k", "v"), (attention.attn, "o"), up, down)
    into = ("query", "key", "value")
    return LayerParts(attention.self, into, (attention.output, "dense"), up, down)


def _narrow(model: Any, widths: Widths) -> None:
    """Replace the modules of a full encoder by those of a slender one, with random weights."""
    config = model.config
    widths.check(config)
    hidden, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    for layer, heads, units in zip(model.encoder.layer, widths.heads, widths.units, strict=True):
        parts = layer_parts(layer)
        width = len(heads) * size
        attention: Any = parts.attention
        for name in parts.into:
            setattr(attention, name, nn.Linear(hidden, width))
        attention.num_attention_heads, attention.all_head_size = len(heads), width
        for (module, name), shape in (
            (parts.out_of, (width, hidden)),
            (parts.up, (hidden, units)),
            (parts.down, (units, hidden)),
        ):
            setattr(module, name, nn.Linear(*shape))
        if isinstance(attention, MPNetSelfAttention):
            attention.__class__ = _SlenderMPNetAttention
            attention.kept = list(heads)
    if widths.rank is not None:
        words: nn.Embedding = model.embeddings.word_embeddings
        model.embeddings.word_embeddings = FactorisedEmbedding(
            words.num_embeddings, widths.rank, hidden, words.padding_idx
        )


class SlenderBertConfig(BertConfig):
    """BERT's configuration with ``slender``, its `Widths`."""

    model_type = "slender_bert"
    slender: dict[str, Any] | None = None


class SlenderRobertaConfig(RobertaConfig):
    """RoBERTa's configuration with ``slender``, its `Widths`."""

    model_type = "slender_roberta"
    slender: dict[str, Any] | None = None


class SlenderMPNetConfig(MPNetConfig):
    """MPNet's configuration with ``slender``, its `Widths`."""

    model_type = "slender_mpnet"
    slender: dict[str, Any] | None = None


class SlenderBertModel(BertModel):
    """A slender BERT."""

    config_class = SlenderBertConfig

    def __init__(self, config: SlenderBertConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config, add_pooling_layer=False)
        _narrow(self, Widths.of(config))
        self.post_init()


class SlenderRobertaModel(RobertaModel):
    """A slender RoBERTa."""

    config_class = SlenderRobertaConfig

    def __init__(self, config: SlenderRobertaConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config, add_pooling_layer=False)
        _narrow(self, Widths.of(config))
        self.post_init()


class SlenderMPNetModel(MPNetModel):
    """A slender MPNet."""

    config_class = SlenderMPNetConfig

    def __init__(self, config: SlenderMPNetConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config, add_pooling_layer=False)
        _narrow(self, Widths.of(config))
        self.post_init()


KINDS: dict[str, tuple[type[PretrainedConfig], type[PreTrainedModel]]] = {
    "bert": (SlenderBertConfig, SlenderBertModel),
    "elasticbert": (SlenderBertConfig, SlenderBertModel),  # a BERT once its poolers are removed
    "roberta": (SlenderRobertaConfig, SlenderRobertaModel),
    "mpnet": (SlenderMPNetConfig, SlenderMPNetModel),
}
for _config, _model in set(KINDS.values()):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)


def check_slimmable(config: PretrainedConfig) -> None:
    """Raise InputError unless an encoder of this configuration can be compressed by pruning."""
    if config.model_type.removeprefix("slender_") not in KINDS:
        raise InputError(
            f"an encoder of type {config.model_type!r} cannot be slimmed (compressed by pruning): "
            "use BERT, RoBERTa, ElasticBERT or MPNet"
        )


@torch.no_grad()
def slim(
    backbone: PreTrainedModel,
    heads: Sequence[Sequence[int]],
    units: Sequence[Sequence[int]],
    rank: int | None = None,
) -> PreTrainedModel:
    """Prune an encoder to a slender one: keep some heads and units, factorise the word embedding.

    Parameters
    ----------
    backbone : PreTrainedModel
        A BERT, RoBERTa, ElasticBERT or MPNet encoder, full or slender; it is not changed.
    heads : sequence of sequences of int
        For each layer, the heads to keep, in the numbering of the full encoder.
    units : sequence of sequences of int
        For each layer, the feed-forward units to keep, in the numbering of `backbone` (0-based).
    rank : int, optional
        Rank of the word embedding, approximated by its singular value decomposition. Default: unchanged.

    Returns
    -------
    PreTrainedModel

    Raises
    ------
    InputError
        If the encoder is of another kind, or lacks heads, units or rank to keep.
    """
    config = backbone.config
    check_slimmable(config)
    before = Widths.of(config)
    kept = tuple(tuple(sorted(layer)) for layer in heads)
    chosen = tuple(tuple(sorted(layer)) for layer in units)
    widths = Widths(kept, tuple(map(len, chosen)), before.rank if rank is None else rank)
    widths.check(config)
    for layer, (now, then, of) in enumerate(zip(kept, before.heads, chosen, strict=True), 1):
        if lacking := sorted(set(now) - set(then)):
            raise InputError(f"layer {layer} has no head {lacking[0]}: it has {', '.join(map(str, then))}")
        if of[-1] >= before.units[layer - 1] or of[0] < 0 or len(set(of)) < len(of):
            raise InputError(f"layer {layer} has the feed-forward units 0 to {before.units[layer - 1] - 1}")
    if before.rank is not None and rank is not None and rank > before.rank:
        raise InputError(f"rank {rank}: the embedding has rank {before.rank} already, give at most that")
    config_class, model_class = KINDS[config.model_type.removeprefix("slender_")]
    described = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    made: Any = model_class(config_class(**(described | {"slender": widths.to_dict()})))
    source = cast(Any, backbone)
    size = config.hidden_size // config.num_attention_heads
    new_layers, old_layers = made.encoder.layer, source.encoder.layer
    for new, old, now, then, of in zip(new_layers, old_layers, kept, before.heads, chosen, strict=True):
        places = torch.tensor([then.index(head) for head in now])
        columns = (places[:, None] * size + torch.arange(size)).flatten()
        to, since = layer_parts(new), layer_parts(old)
        for name in to.into:
            _copy(getattr(to.attention, name), getattr(since.attention, name), rows=columns)
        _copy(getattr(*to.out_of), getattr(*since.out_of), columns=columns)
        _copy(getattr(*to.up), getattr(*since.up), rows=torch.tensor(of))
        _copy(getattr(*to.down), getattr(*since.down), columns=torch.tensor(of))
    names = dict(made.named_parameters())
    slimmed = (".attention.self.", ".attention.attn.", ".dense.", "word_embeddings")
    for name, values in backbone.named_parameters():
        if not any(part in name for part in slimmed) and name in names:
            names[name].copy_(values)
    _embed(made.embeddings, source.embeddings, widths.rank)
    made.train(backbone.training)
    return cast(PreTrainedModel, made)


def _copy(to: nn.Linear, of: nn.Linear, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    weight, bias = of.weight.data, of.bias.data
    if rows is not None:
        weight, bias = weight[rows], bias[rows]
    if columns is not None:
        weight = weight[:, columns]
    to.weight.copy_(weight)
    to.bias.copy_(bias)


def _embed(to: Any, of: Any, rank: int | None) -> None:
    words = of.word_embeddings
    if rank is None or (isinstance(words, FactorisedEmbedding) and words.up.in_features == rank):
        to.word_embeddings.load_state_dict(words.state_dict())
    else:
        table = words.weight if isinstance(words, nn.Embedding) else words.words.weight @ words.up.weight.T
        # the right singular vectors V of a table T are eigenvectors of TᵀT, a small matrix; U·S is T·V
        table = table.double()
        v = torch.linalg.eigh(table.T @ table).eigenvectors.flip(1)[:, :rank]
        to.word_embeddings.words.weight.copy_(table @ v)
        to.word_embeddings.up.weight.copy_(v)
