"""Text to token ids, the same way for training and for precomputing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from splitee._internal.errors import InputError
from splitee.models.checkpoints import find_checkpoint

_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError)


def load_tokenizer(name: str | Path) -> Any:
    """Return the tokenizer of a backbone or checkpoint.

    Raises
    ------
    InputError
        Where there is none, its files are damaged, or it cannot pad.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(find_checkpoint(name)))
    except Exception as error:
        # damaged files surface as whatever the parser stumbles over; tokenizers raises bare Exceptions
        if not isinstance(error, _DAMAGED) and type(error) is not Exception:
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{name}: no tokenizer could be loaded ({why}); "
            "tokenizer.json and tokenizer_config.json belong there"
        ) from error
    if tokenizer.pad_token_id is None:
        raise InputError(f"{name}: its tokenizer has no padding token")
    return tokenizer


def encode(tokenizer: Any, text: Sequence[list[str]], max_tokens: int) -> list[dict[str, list[int]]]:
    """Token ids of each text (or pair of texts), cut to `max_tokens`, without padding.

    Parameters
    ----------
    text : one or two lists of n str
        Of a pair, the longer text is cut first.

    Returns
    -------
    list of n dicts with ``input_ids`` and, where the tokenizer makes them, ``token_type_ids``

    Raises
    ------
    InputError
        Where `max_tokens` leaves no room for text.
    """
    own = tokenizer.num_special_tokens_to_add(pair=len(text) == 2)
    if max_tokens <= own:
        raise InputError(
            f"max_tokens {max_tokens} leaves no room for text: the tokenizer adds {own} tokens of its own"
        )
    encoded = tokenizer(
        *text, truncation=True, max_length=max_tokens, padding=False, return_attention_mask=False
    )
    names = list(encoded.keys())
    return [
        dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)
    ]


def check_tokens(
    encoded: Sequence[dict[str, list[int]]], max_tokens: int, vocabulary: int, positions: int | None
) -> None:
    """Raise InputError where the encoder has no embedding for a token or a position of these texts."""
    if positions is not None and max_tokens > positions:
        raise InputError(
            f"max_tokens {max_tokens}: the encoder has {positions} positions, "
            f"give at most as many (--max-tokens {positions})"
        )
    for row, one in enumerate(encoded):
        if not one["input_ids"]:
            raise InputError(f"text {row} has no tokens: this tokenizer adds none of its own")
        if max(one["input_ids"]) >= vocabulary:
            raise InputError(
                f"the tokenizer says token {max(one['input_ids'])}, the encoder knows {vocabulary}: "
                "they do not belong together"
            )


def pad(encoded: Sequence[dict[str, list[int]]], pad_id: int) -> dict[str, Tensor]:
    """Stack encoded texts into tensors, shape (batch, longest of them), padded on the right."""
    longest = max(len(one["input_ids"]) for one in encoded)
    batch = {"attention_mask": torch.zeros(len(encoded), longest, dtype=torch.long)}
    for name in encoded[0]:
        batch[name] = torch.full((len(encoded), longest), pad_id if name == "input_ids" else 0)
    for row, one in enumerate(encoded):
        length = len(one["input_ids"])
        batch["attention_mask"][row, :length] = 1
        for name, values in one.items():
            batch[name][row, :length] = torch.tensor(values)
    return batch
