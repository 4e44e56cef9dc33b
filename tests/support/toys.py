"""Toy encoders and tokenizers on disk, made in code, nothing fetched."""

import os
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from splitee.models.multi_exit import MultiExitConfig, MultiExitModel

torch.set_num_threads(1)  # as the commands that tests start: traces say how many threads made them

WORDS = ("good", "fine", "great", "bad", "dull", "poor", *(f"w{i}" for i in range(40)))
SPECIAL = ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")  # the place of [PAD] suits RoBERTa and MPNet too
LAYERS = 4

_SIZES = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}


def config(kind: str, **changes: object) -> PretrainedConfig:
    """Of a toy encoder that can be cut."""
    sizes = _SIZES | changes
    if kind == "distilbert":
        names = {
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
        }
        return DistilBertConfig(**{names.get(key, key): value for key, value in sizes.items()})
    if kind == "electra":
        sizes = {"embedding_size": 10, **sizes}
    kinds = {"bert": BertConfig, "mpnet": MPNetConfig, "roberta": RobertaConfig, "electra": ElectraConfig}
    return kinds[kind](**sizes)


KINDS = ("bert", "mpnet", "roberta", "distilbert", "electra")


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def backbone(folder: Path, kind: str = "bert", **changes: object) -> Path:
    """A pretrained encoder's folder, as the library writes it."""
    torch.manual_seed(0)
    AutoModel.from_config(config(kind, **changes)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def model(kind: str = "bert", classes: int = 2, seed: int = 1, **options: object) -> MultiExitModel:
    """A multi-exit model of weights large enough that its exits disagree."""
    settings = MultiExitConfig(config(kind).to_dict(), num_labels=classes, **options)
    made = MultiExitModel(settings).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in made.named_parameters():
            if "LayerNorm" not in name:
                values.normal_(0, 0.35, generator=generator)
    return made


def checkpoint(folder: Path, kind: str = "bert", classes: int = 2, **options: object) -> Path:
    """A folder as `splitee train` leaves it."""
    options = {"max_tokens": 20, **options}
    model(kind, classes, **options).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def assert_same_model(model: torch.nn.Module, other: torch.nn.Module) -> None:
    """Assert that two models have the same weights, to the bit.

    What they compute is the same to the last digit only: a loaded file's weights lie elsewhere in memory, and
    vector instructions begin and end their sums where memory does.
    """
    ours, theirs = model.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert torch.equal(values, theirs[name]), name
