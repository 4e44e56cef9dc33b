"""Convert texts to token ids, identically for training and precomputing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    Decoders often have no padding token. Their end token is then used: masks tell padding from text.

    Raises
    ------
    InputError
        If there is no tokenizer, its files are damaged, or it has neither a padding nor an end token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(find_checkpoint(name)))
    except Exception as error:
        # damaged files raise various errors; the tokenizers library raises bare Exceptions
        if not isinstance(error, _DAMAGED) and type(error) is not Exception:
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{name}: no tokenizer could be loaded ({why}); "
            "the folder must hold tokenizer.json and tokenizer_config.json"
        ) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise InputError(f"{name}: its tokenizer has no padding token, which batches need")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def encode(tokenizer: Any, text: Sequence[list[str]], max_tokens: int) -> list[dict[str, list[int]]]:
    """Return the token ids of each text or pair of texts, truncated to `max_tokens`, without padding.

    Parameters
    ----------
    tokenizer : tokenizer
        From `load_tokenizer`.
    text : one or two lists of n str
        One or two text columns; of a pair, the longer text is truncated first.
    max_tokens : int
        Maximum number of tokens, special tokens included.

    Returns
    -------
    list of n dicts
        ``input_ids`` and, if the tokenizer provides them, ``token_type_ids``.

    Raises
    ------
    InputError
        If `max_tokens` leaves no room for text.
    """
    special = tokenizer.num_special_tokens_to_add(pair=len(text) == 2)
    if max_tokens <= special:
        raise InputError(
            f"max_tokens {max_tokens} leaves no room for text: the tokenizer adds {special} special tokens"
        )
    encoded = tokenizer(
        *text, truncation=True, max_length=max_tokens, padding=False, return_attention_mask=False
    )
    names = list(encoded.keys())
    return [
        dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)
    ]


def truncated(
    tokenizer: Any, text: Sequence[list[str]], encoded: Sequence[Mapping[str, Any]], max_tokens: int
) -> int:
    """Return how many texts `encode` truncated: those that have more tokens if one more is allowed."""
    full = [row for row, one in enumerate(encoded) if len(one["input_ids"]) >= max_tokens]
    if not full:
        return 0
    longer = encode(tokenizer, [[column[row] for row in full] for column in text], max_tokens + 1)
    return sum(len(one["input_ids"]) > max_tokens for one in longer)


def truncation_note(
    tokenizer: Any, text: Sequence[list[str]], encoded: Sequence[Mapping[str, Any]], max_tokens: int
) -> str | None:
    """Return a line on how many texts were truncated; None if none was."""
    count = truncated(tokenizer, text, encoded, max_tokens)
    if not count:
        return None
    return f"{count:,} of {len(encoded):,} texts are truncated at {max_tokens} tokens (--max-tokens)"


def check_tokens(
    encoded: Sequence[dict[str, list[int]]], max_tokens: int, vocabulary: int, positions: int | None
) -> None:
    """Raise InputError if the encoder lacks an embedding for a token or a position of these texts."""
    if positions is not None and max_tokens > positions:
        raise InputError(
            f"max_tokens {max_tokens}: the encoder has {positions} positions, "
            f"give at most --max-tokens {positions}"
        )
    for row, one in enumerate(encoded):
        if not one["input_ids"]:
            raise InputError(f"text {row} has no tokens: remove it (this tokenizer adds no special tokens)")
        if max(one["input_ids"]) >= vocabulary:
            raise InputError(
                f"the tokenizer gives token {max(one['input_ids'])}, but the encoder has {vocabulary}: "
                "use the encoder's own tokenizer"
            )


def pad(encoded: Sequence[dict[str, list[int]]], pad_id: int) -> dict[str, Tensor]:
    """Stack encoded texts to tensors, shape (batch, tokens of the longest), padded on the right."""
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


def padding_without_mask(ids: Tensor, config: Any) -> bool:
    """Return whether token ids, shape (batch, tokens), start or end with padding.

    Parameters
    ----------
    ids : Tensor
        Token ids that come without attention_mask.
    config : PretrainedConfig
        The backbone's configuration, which names the special tokens.
    """
    pad = getattr(config, "pad_token_id", None)
    if pad is None or ids.shape[1] < 2:
        return False
    is_pad = ids == pad
    first, last = is_pad[:, 0], is_pad[:, -1]
    if pad in [getattr(config, f"{name}_token_id", None) for name in ("bos", "eos", "cls", "sep")]:
        first, last = first & is_pad[:, 1], last & is_pad[:, -2]  # a single one is no padding
    return bool((first | last).any())
