"""What the commands of the extra `models` share: the check that torch is there, and the rows they read."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.image_options import Pictures
from splitee.cli.texts import Texts, keep, texts

if TYPE_CHECKING:
    from splitee.data.images import Images
    from splitee.data.rows import Rows

HELD_OUT = 0  # seed of the held-out rows: the same for a teacher and its student, and for all seeds


def need_models_extra() -> None:
    """Raise InputError if torch or transformers is not installed; else silence transformers."""
    names = ("torch", "transformers", "safetensors", "accelerate")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"this command needs {' and '.join(missing)}: pip install 'splitee[models]' "
            "(splitee run and splitee trace work without)"
        )
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def check_source(
    task: str | None,
    text_file: str | None,
    of_text: Mapping[str, object],
    of_task: Mapping[str, object] | None = None,
) -> None:
    """Raise InputError unless exactly one source of texts is given, without the other's options."""
    if (task is None) == (text_file is None):
        raise InputError("give either --task NAME or --text FILE for the texts")
    given, other = ("--task", of_text) if task is not None else ("--text", of_task or {})
    for option, value in other.items():
        if value:
            raise InputError(f"{option} does not go with {given}: leave it out")


@dataclass(frozen=True)
class TrainingData:
    """The values of `options.training_texts`, and the texts."""

    texts: Texts
    task: str | None
    validation_text: str | None
    validation_rows: int | None
    train_rows: int | None

    def check(self, *, regression: bool = False) -> None:
        """Raise InputError unless one source of texts is given, without the other's options."""
        of_text = {
            **self.texts.of_text,
            "--validation-text": self.validation_text,
            "--regression": regression,
        }
        check_source(self.task, self.texts.text_file, of_text)

    def rows(self, seed: int, *, regression: bool) -> tuple[Rows, Rows]:
        """Return the rows to train on and those to validate with."""
        from splitee.data.tasks import check_learnable, hold_out, load_task

        if self.texts.text_file is not None:
            if self.texts.label_column is None:
                raise InputError("--text needs --label-column: training needs labels")
            train = self.texts.load(regression)
            check_learnable(train)  # before its class names are needed for the validation rows
            if self.validation_text:
                validation = self.texts.load(regression, self.validation_text, train.label_names)
            elif self.validation_rows:
                train, validation = hold_out(train, self.validation_rows, HELD_OUT)
            else:
                raise InputError("give --validation-text FILE, or --validation-rows N to hold out rows")
        else:
            assert self.task is not None
            train = load_task(self.task, "train", self.texts.data_root)
            keep(train.name, train)
            if self.validation_rows:
                train, validation = hold_out(train, self.validation_rows, HELD_OUT)
            else:
                validation = load_task(self.task, "validation", self.texts.data_root)
                keep(validation.name, validation)
        if self.train_rows is not None and self.train_rows < len(train):
            train = hold_out(train, self.train_rows, seed)[1]
        return train, validation

    def images(
        self, pictures: Pictures, validation_path: str | None, size: int, seed: int
    ) -> tuple[Images, Images]:
        """Return the images to train on and those to validate with; `size` is that of distorted ones."""
        from splitee.data.tasks import check_learnable, hold_out

        train = pictures.load(self.texts, size, seed)
        check_learnable(train)
        if validation_path is not None:
            validation = pictures.load(self.texts, size, seed, validation_path, train.label_names)
        elif self.validation_rows:
            train, validation = hold_out(train, self.validation_rows, HELD_OUT)
        else:
            raise InputError("give --validation-images PATH, or --validation-rows N to hold out images")
        if self.train_rows is not None and self.train_rows < len(train):
            train = hold_out(train, self.train_rows, seed)[1]
        return train, validation


def training_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that locate training rows to a command, which gets them as one argument, `data`."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        data = TrainingData(**{field.name: given.pop(field.name) for field in fields(TrainingData)})
        return command(data=data, **given)

    return options.training_texts(texts(gathered))
