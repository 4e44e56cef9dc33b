"""Toy backbones of every kind that can be cut, and the library's own states of them."""

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from splitee.models.config import MultiExitConfig
from splitee.models.multi_exit import MultiExitModel

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
_DECODER = SIZES | {"num_key_value_heads": 1, "head_dim": 8, "bos_token_id": 0, "eos_token_id": 2}
_DEBERTA = SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
_DEBERTA_V3 = _DEBERTA | {
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
}
_MODERN = {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
_GPT2 = {"vocab_size": 60, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40}
ENCODERS = {
    "bert": SIZES,
    "mpnet": SIZES,
    "roberta": SIZES,
    "albert": SIZES | {"embedding_size": 8},
    "albert groups": SIZES | {"embedding_size": 8, "num_hidden_groups": 2},
    "deberta": _DEBERTA,
    "deberta-v2": _DEBERTA_V3,
    "deberta-v2 convolution": _DEBERTA_V3 | {"conv_kernel_size": 3, "conv_act": "gelu"},
    "modernbert": SIZES | _MODERN | {"num_hidden_layers": 4, "local_attention": 4},
    "eurobert": _DECODER,
    "xlm-roberta-xl": SIZES,
    "esm": SIZES | {"mask_token_id": 4, "position_embedding_type": "rotary"},
    "esm absolute": SIZES | {"mask_token_id": 4, "position_embedding_type": "absolute"},
    "nomic_bert": SIZES,
    "rembert": SIZES | {"input_embedding_size": 10, "output_embedding_size": 12},
    "roberta-prelayernorm": SIZES,
}
DECODERS = {
    "llama": _DECODER,
    "qwen2": _DECODER,
    "qwen3": _DECODER,
    "gemma2": _DECODER | {"sliding_window": 4, "query_pre_attn_scalar": 8},
    "gpt2": _GPT2,
}
WORK = ENCODERS | DECODERS


def config(name: str, sizes: dict) -> PretrainedConfig:
    return AutoConfig.for_model(name.split()[0], **sizes)


def model(name: str, **options: object) -> MultiExitModel:
    """Of weights large enough that every token matters."""
    torch.manual_seed(0)
    options = {"pooling": "last" if name in DECODERS else "first", **options}
    made = MultiExitModel(MultiExitConfig(config(name, WORK[name]).to_dict(), num_labels=3, **options)).eval()
    with torch.no_grad():
        for key, values in made.named_parameters():
            if "norm" not in key.lower():
                values.normal_(0, 0.3)
    return made


def librarys_own(made: MultiExitModel) -> PreTrainedModel:
    """The library's model of the same weights."""
    theirs = AutoModel.from_config(made.config.backbone_config()).eval()
    left = theirs.load_state_dict(made.backbone.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all("pooler" in key for key in left.missing_keys)
    return theirs


def library(made: MultiExitModel, ids: Tensor) -> list[Tensor]:
    """The states of one text after every layer, as the library's own model of these weights gives them."""
    output = librarys_own(made)(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    return [*output.hidden_states[1:-1], output.last_hidden_state]
