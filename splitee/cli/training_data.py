"""The options that say what `splitee train` and `splitee slim` learn from and are judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError
from splitee.cli.models_extra import check_source, data_options, names_list

if TYPE_CHECKING:
    from splitee.data.rows import Rows


HELD_OUT = 0  # draws the rows held out: of a teacher and its student, and of all seeds, they are the same


@dataclass(frozen=True)
class TrainingData:
    """What was given of these options."""

    task: str | None
    data_root: str | None
    text_file: str | None
    text_columns: tuple[str, ...]
    label_column: str | None
    class_names: str | None
    validation_text: str | None
    validation_rows: int | None
    train_rows: int | None

    def check(self, *, regression: bool = False) -> None:
        """Raise InputError unless one source of texts is named, with none of the other's options."""
        of_text = {
            "--text-column": self.text_columns,
            "--label-column": self.label_column,
            "--class-names": self.class_names,
            "--validation-text": self.validation_text,
            "--regression": regression,
        }
        check_source(self.task, self.text_file, of_text)

    def rows(self, seed: int, *, regression: bool) -> tuple[Rows, Rows]:
        """Read the rows to train on and those to judge by."""
        from splitee.data.tasks import check_learnable, hold_out, load_file, load_task

        if self.text_file is not None:
            columns, names = self.text_columns or ("text",), names_list(self.class_names)
            if self.label_column is None:
                raise InputError("--text needs --label-column: training needs labels")
            train = load_file(self.text_file, columns, self.label_column, names, regression)
            check_learnable(train)  # before its class names are asked of the validation rows
            if self.validation_text:
                known = train.label_names
                validation = load_file(self.validation_text, columns, self.label_column, known, regression)
            elif self.validation_rows:
                train, validation = hold_out(train, self.validation_rows, HELD_OUT)
            else:
                raise InputError("give --validation-text FILE, or --validation-rows N to hold some rows out")
        else:
            assert self.task is not None
            train = load_task(self.task, "train", self.data_root)
            if self.validation_rows:
                train, validation = hold_out(train, self.validation_rows, HELD_OUT)
            else:
                validation = load_task(self.task, "validation", self.data_root)
        if self.train_rows is not None and self.train_rows < len(train):
            train = hold_out(train, self.train_rows, seed)[1]
        return train, validation


def training_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as one argument, `data`."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        data = TrainingData(**{field.name: given.pop(field.name) for field in fields(TrainingData)})
        return command(data=data, **given)

    made: Callable[..., Any] = gathered
    for option in (
        click.option("--train-rows", type=int, help="Train on so many rows only (seeded)."),
        click.option(
            "--validation-rows",
            type=int,
            help="Hold out so many training rows, the same whatever the seed, instead of a validation split.",
        ),
        click.option("--validation-text", help="With --text: the file of the validation rows."),
        data_options,
    ):
        made = option(made)
    return made
