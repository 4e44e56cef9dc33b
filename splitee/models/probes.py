"""What a profile is measured with: texts of chosen token counts, or images, and samples to check it with."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from splitee._internal.errors import InputError
from splitee.data.images import Images
from splitee.data.pictures import content, need_pillow
from splitee.models.encode import check_tokens, encode, load_tokenizer, pad
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import MultiExitModel
from splitee.models.staged import StagedModel

TOKENS = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # as far as the model was trained for
_QUALITY = 90  # of the JPEG image that is read where none is given


@dataclass
class Probe:
    """A sample of one size, and the nanoseconds of every step of its passes.

    Attributes
    ----------
    given : object
        Columns of one text; or image files, of which each pass takes the next.
    tokens : int
        Its size; 1 for images.
    states : list of (int, int)
        Positions and width of the states that codecs are timed with: of a text one, of an image one per exit.
    ns : list
    """

    given: Any
    tokens: int
    states: list[tuple[int, int]]
    ns: list[Any] = field(default_factory=list)


@dataclass
class Sample:
    """A sample whose whole inference is timed: nanoseconds and the exit that answered, per pass."""

    given: Any
    tokens: int
    ns: list[Any] = field(default_factory=list)


class Probes(Protocol):
    """What is measured of one kind of model.

    Attributes
    ----------
    probes : list of Probe
    samples : list of Sample
        Empty if there is nothing to check the profile with.
    tokens : list of int or None
        The sizes of the probes; None if all samples have one size.
    hidden : int or None
        Width of the state, if it is the same at every exit.
    """

    probes: list[Probe]
    samples: list[Sample]
    tokens: list[int] | None
    hidden: int | None

    def batch(self, job: Probe | Sample) -> dict[str, Tensor]:
        """Return the batch of one sample: tokenise a text, decode and resize an image."""
        ...


class TextProbes:
    """Texts of some token counts.

    Parameters
    ----------
    model : MultiExitModel
    folder : path
        With its tokenizer.
    tokens : sequence of int, optional
        Default: `TOKENS`, up to the model's ``max_tokens``.
    texts : one or two lists of str, optional
        To check the profile with.

    Raises
    ------
    InputError
        If a token count is beyond what the model takes.
    """

    def __init__(
        self,
        model: MultiExitModel,
        folder: Path,
        tokens: Sequence[int] | None,
        texts: Sequence[list[str]] | None,
    ) -> None:
        self.tokenizer = tokenizer = load_tokenizer(folder)
        self.hidden: int | None = int(model.backbone.config.hidden_size)
        self.tokens: list[int] | None = (counts := _token_counts(model, tokenizer, tokens))
        self.probes = [
            Probe([[text]], count, [(count, self.hidden)])
            for text, count in zip(_texts(tokenizer, counts), counts, strict=True)
        ]
        self.samples = _samples(model, tokenizer, texts, counts[-1])

    def batch(self, job: Probe | Sample) -> dict[str, Tensor]:
        """Tokenise a text."""
        return pad(encode(self.tokenizer, job.given, job.tokens), self.tokenizer.pad_token_id)


class ImageProbes:
    """Images, which all become one size.

    Parameters
    ----------
    model : StagedModel
    images : Images, optional
        To read, and to check the profile with. Default: one JPEG file of the model's size is read.
    """

    tokens: list[int] | None = None
    hidden: int | None = None

    def __init__(self, model: StagedModel, images: Images | None) -> None:
        self._batch = ImageInputs(model.config).batch
        size = model.config.image_size
        found = [("the image", _picture(size))]
        if images is not None:
            named = zip(images.id, images.data, strict=True)
            found = [(name, content(one, name)) for name, one in named]
        self.probes = [Probe(itertools.cycle(found), 1, model.state_sizes(size))]
        self.samples = [] if images is None else [Sample(itertools.repeat(one), 1) for one in found]

    def batch(self, job: Probe | Sample) -> dict[str, Tensor]:
        """Decode an image, and resize and scale it."""
        return self._batch([{"image": next(job.given)}])


def probes_of(
    model: Any,
    folder: Path,
    tokens: Sequence[int] | None,
    texts: Sequence[list[str]] | None,
    images: Images | None,
) -> Probes:
    """Return what a model is measured with.

    Raises
    ------
    InputError
        If images are given to a model of texts, or texts or token counts to one of images.
    """
    if isinstance(model, MultiExitModel):
        if images is not None:
            raise InputError(f"{folder} reads texts, {images.name} holds images: give texts")
        return TextProbes(model, folder, tokens, texts)
    if texts is not None or tokens is not None:
        what = "texts" if texts is not None else "token counts"
        raise InputError(f"{folder} reads images, all of one size: leave the {what} out")
    return ImageProbes(model, images)


def _picture(size: int) -> bytes:
    """Return a smooth JPEG image."""
    pillow, file = need_pillow(), io.BytesIO()
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pillow.fromarray(small).resize((size, size), pillow.Resampling.BICUBIC).save(
        file, "JPEG", quality=_QUALITY
    )
    return file.getvalue()


def _token_counts(model: MultiExitModel, tokenizer: Any, given: Sequence[int] | None) -> list[int]:
    most = model.config.max_tokens
    if given is None:
        least = 1 + tokenizer.num_special_tokens_to_add(pair=False)
        counts = [count for count in TOKENS if least <= count < most]
        return [*counts, most]
    if list(given) != sorted(set(given)) or not given:
        raise InputError(f"tokens {', '.join(map(str, given))}: give ascending token counts")
    check_tokens([], max(given), model.backbone.config.vocab_size, model.positions)
    if max(given) > max(most, model.positions or 2**20):
        raise InputError(f"tokens {max(given)}: the model takes at most {most}")
    return list(given)


def _texts(tokenizer: Any, counts: Sequence[int]) -> list[str]:
    """Return, per token count, a text of whole words of the tokenizer that has at least so many tokens."""
    order = random.Random(0)
    tokens = [token for token in tokenizer.get_vocab().values() if token not in tokenizer.all_special_ids]
    words: list[str] = []
    for token in order.sample(sorted(tokens), min(len(tokens), 50 * max(counts))):
        word = tokenizer.decode([token]).strip()
        if word.isalpha():
            words.append(word)
        if len(words) > max(counts):
            break
    words = words or ["a"]
    found = []
    for count in counts:
        size = max(1, count - tokenizer.num_special_tokens_to_add(pair=False))
        while True:  # a word may have no token of its own where another stands before it
            text = " ".join((words * (size // len(words) + 1))[:size])
            if len(encode(tokenizer, [[text]], count)[0]["input_ids"]) == count:
                break
            size += 1 + size // 8
            if size > 100 * count:
                raise InputError(f"tokens {count}: no text of so many tokens could be made")
        found.append(text)
    return found


def _samples(
    model: MultiExitModel, tokenizer: Any, texts: Sequence[list[str]] | None, most: int
) -> list[Sample]:
    if texts is None:
        return []
    longest = min(most, model.config.max_tokens)
    encoded = encode(tokenizer, texts, longest)
    check_tokens(encoded, longest, model.backbone.config.vocab_size, model.positions)
    return [
        Sample([[column[row]] for column in texts], len(one["input_ids"])) for row, one in enumerate(encoded)
    ]
