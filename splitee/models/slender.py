"""Slender encoders: all layers kept, each with its own heads and units, the embedding factorised.

COST-EFF's model (Shen et al. 2022; arXiv 2210.15523): slender, not squat. BERT, RoBERTa, ElasticBERT and
MPNet can be slimmed; what comes out is saved, loaded, cut and run as every other encoder.
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
    """What a slender encoder keeps.

    Attributes
    ----------
    heads : tuple of tuples of int
        Of each layer, the attention heads of the full encoder that are kept (0-based, ascending).
    units : tuple of int
        Of each layer, how many feed-forward units.
    rank : int, optional
        Of the word embedding; None: it is not factorised.
    """

    heads: tuple[tuple[int, ...], ...]
    units: tuple[int, ...]
    rank: int | None = None

    @classmethod
    def of(cls, config: PretrainedConfig) -> Widths:
        """Read them from an encoder's configuration; a full encoder keeps all."""
        told: Mapping[str, Any] | None = getattr(config, "slender", None)
        if told is None:
            depth, every = config.num_hidden_layers, tuple(range(config.num_attention_heads))
            return cls((every,) * depth, (config.intermediate_size,) * depth)
        heads = tuple(tuple(int(head) for head in layer) for layer in told["heads"])
        return cls(heads, tuple(int(units) for units in told["units"]), told["rank"])

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a configuration."""
        return {"heads": [list(layer) for layer in self.heads], "units": list(self.units), "rank": self.rank}

    def check(self, config: PretrainedConfig) -> None:
        """Raise InputError where an encoder of this configuration cannot have them."""
        depth, all_heads = config.num_hidden_layers, config.num_attention_heads
        if len(self.heads) != depth or len(self.units) != depth:
            raise InputError(f"widths of {len(self.heads)} layers were given, the encoder has {depth}")
        for layer, (heads, units) in enumerate(zip(self.heads, self.units, strict=True), 1):
            if not heads or list(heads) != sorted(set(heads)) or heads[0] < 0 or heads[-1] >= all_heads:
                raise InputError(
                    f"layer {layer} keeps heads {list(heads)}: give some of 0 to {all_heads - 1}, ascending"
                )
            if not 1 <= units <= config.intermediate_size:
                raise InputError(
                    f"layer {layer} keeps {units} feed-forward units: it has {config.intermediate_size}"
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
    """MPNet's attention, which reads of the bias that all layers share the columns of the heads it kept."""

    kept: list[int]

    def forward(  # type: ignore[no-untyped-def]
        self, hidden_states, attention_mask=None, position_bias=None, output_attentions=False, **kwargs
    ):
        bias = None if position_bias is None else position_bias[:, self.kept]
        return super().forward(hidden_states, attention_mask, bias, output_attentions, **kwargs)


@dataclass(frozen=True)
class LayerParts:
    """Where an encoder layer has what can be slimmed: (module, attribute) of each linear map."""

    attention: nn.Module
    into: tuple[str, str, str]  # query, key and value of `attention`
    out_of: tuple[nn.Module, str]
    up: tuple[nn.Module, str]
    down: tuple[nn.Module, str]


def layer_parts(layer: nn.Module) -> LayerParts:
    """Find a layer's linear maps."""
    attention = cast(Any, layer).attention
    up, down = (cast(Any, layer).intermediate, "dense"), (cast(Any, layer).output, "dense")
    if hasattr(attention, "attn"):  # MPNet
        return LayerParts(attention.attn, ("q", "k", "v"), (attention.attn, "o"), up, down)
    into = ("query", "key", "value")
    return LayerParts(attention.self, into, (attention.output, "dense"), up, down)


def _narrow(model: Any, widths: Widths) -> None:
    """Give a full encoder of any weights the modules of a slender one."""
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
    """BERT's configuration, and ``slender``, its `Widths`."""

    model_type = "slender_bert"
    slender: dict[str, Any] | None = None


class SlenderRobertaConfig(RobertaConfig):
    """RoBERTa's configuration, and ``slender``, its `Widths`."""

    model_type = "slender_roberta"
    slender: dict[str, Any] | None = None


class SlenderMPNetConfig(MPNetConfig):
    """MPNet's configuration, and ``slender``, its `Widths`."""

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
    "elasticbert": (SlenderBertConfig, SlenderBertModel),  # without its poolers a BERT
    "roberta": (SlenderRobertaConfig, SlenderRobertaModel),
    "mpnet": (SlenderMPNetConfig, SlenderMPNetModel),
}
for _config, _model in set(KINDS.values()):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)


def check_slimmable(config: PretrainedConfig) -> None:
    """Raise InputError unless an encoder of this configuration can be slimmed."""
    if config.model_type.removeprefix("slender_") not in KINDS:
        raise InputError(
            f"an encoder of type {config.model_type!r} cannot be slimmed: "
            "BERT, RoBERTa, ElasticBERT and MPNet can"
        )


@torch.no_grad()
def slim(
    backbone: PreTrainedModel,
    heads: Sequence[Sequence[int]],
    units: Sequence[Sequence[int]],
    rank: int | None = None,
) -> PreTrainedModel:
    """Make a slender encoder of a full, or a less slender, one.

    Parameters
    ----------
    backbone : PreTrainedModel
        A BERT, RoBERTa, ElasticBERT or MPNet encoder; it stays as it is.
    heads : sequence of sequences of int
        Of each layer, the heads to keep, as they are numbered in the full encoder.
    units : sequence of sequences of int
        Of each layer, the feed-forward units to keep, as they are numbered in `backbone` (0-based).
    rank : int, optional
        Of the word embedding: the best approximation of that rank, by its singular values. Default: as it is.

    Raises
    ------
    InputError
        Where the encoder is of another kind, or has not what is to be kept.
    """
    config = backbone.config
    check_slimmable(config)
    before = Widths.of(config)
    kept = tuple(tuple(sorted(layer)) for layer in heads)
    chosen = tuple(tuple(sorted(layer)) for layer in units)
    widths = Widths(kept, tuple(map(len, chosen)), before.rank if rank is None else rank)
    widths.check(config)
    for layer, (now, then, of) in enumerate(zip(kept, before.heads, chosen, strict=True), 1):
        if gone := sorted(set(now) - set(then)):
            raise InputError(f"layer {layer} has no head {gone[0]}: it has {', '.join(map(str, then))}")
        if of[-1] >= before.units[layer - 1] or of[0] < 0 or len(set(of)) < len(of):
            raise InputError(f"layer {layer} has the feed-forward units 0 to {before.units[layer - 1] - 1}")
    if before.rank is not None and rank is not None and rank > before.rank:
        raise InputError(f"rank {rank}: the embedding has rank {before.rank} already")
    config_class, model_class = KINDS[config.model_type.removeprefix("slender_")]
    described = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    made: Any = model_class(config_class(**(described | {"slender": widths.to_dict()})))
    source = cast(Any, backbone)
    size = config.hidden_size // config.num_attention_heads
    ours, theirs = made.encoder.layer, source.encoder.layer
    for new, old, now, then, of in zip(ours, theirs, kept, before.heads, chosen, strict=True):
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
        # the right singular vectors V of a table T are eigenvectors of TᵀT, which is small; U·S is T·V
        table = table.double()
        v = torch.linalg.eigh(table.T @ table).eigenvectors.flip(1)[:, :rank]
        to.word_embeddings.words.weight.copy_(table @ v)
        to.word_embeddings.up.weight.copy_(v)
