"""The texts that a command reads: a file of the user, with how it is written, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError
from splitee.cli import options

if TYPE_CHECKING:
    from splitee.data.images import Images
    from splitee.data.rows import Rows
    from splitee.data.tables import Reading


_kept: list[str] = []


@dataclass(frozen=True)
class Texts:
    """The values of `options.text`."""

    data_root: str | None
    text_file: str | None
    text_columns: tuple[str, ...]
    label_columns: tuple[str, ...]
    class_names: str | None
    no_label: str | None
    sep: str | None
    decimal: str | None
    encoding: str | None
    quoting: bool | None

    @property
    def of_text(self) -> dict[str, object]:
        """The options that go with --text only, by name."""
        return {
            "--text-column": self.text_columns,
            "--label-column": self.label_columns,
            "--class-names": self.class_names,
            "--no-label": self.no_label,
            "--sep": self.sep,
            "--decimal": self.decimal,
            "--encoding": self.encoding,
            "--quoting": self.quoting is not None,
        }

    @property
    def label_column(self) -> str | None:
        """The column of labels; several are refused."""
        from splitee.data.rows import MULTI_LABEL

        if len(self.label_columns) > 1:
            raise InputError(f"--label-column is given {len(self.label_columns)} times: {MULTI_LABEL}")
        return self.label_columns[0] if self.label_columns else None

    def load(self, regression: bool, file: str | None = None, names: Any = None) -> Rows:
        """Read --text, or another file of the same kind; its notes are kept for `flush`."""
        from splitee.data.rows import load_file

        path = file or self.text_file
        assert path is not None
        rows = load_file(
            path,
            self.text_columns or ("text",),
            self.label_column,
            names or options.names_list(self.class_names),
            regression,
            no_label=marks(self.no_label),
            reading=reading(self.sep, self.decimal, self.encoding, self.quoting),
        )
        keep(path, rows)
        return rows


def texts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `options.text` to a command, which gets them as one argument, `texts`."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        _kept.clear()
        found = Texts(**{field.name: given.pop(field.name) for field in fields(Texts)})
        return command(texts=found, **given)

    return options.text(gathered)


def keep(where: str, rows: Rows | Images) -> None:
    """Keep the notes on how rows were read until the work begins: an error is to be the only line."""
    _kept.append(f"{where}: {'; '.join(rows.notes)}")


def hold(line: str) -> None:
    """Keep a line for `flush`, after those that are kept."""
    _kept.append(line)


def flush(say: Callable[[str], object] | None = None) -> None:
    """Print the lines that are kept, on standard error."""
    while _kept:
        line = _kept.pop(0)
        say(line) if say is not None else click.echo(line, err=True)


def report(line: str) -> None:
    """Print a line of progress on standard error, after the notes."""
    flush()
    click.echo(line, err=True)


def reading(
    sep: str | None, decimal: str | None, encoding: str | None, quoting: bool | None = None
) -> Reading:
    """Return what the options of `options.reading` say about a text file."""
    from splitee.data.tables import Reading

    return Reading(sep, decimal, encoding, quoting)


def marks(no_label: str | None) -> list[str]:
    """Return the marks of no label in the value of --no-label; an empty value is the empty cell."""
    if no_label is None:
        return []
    return [mark or "empty" for mark in (options.names_list(no_label) or [""])]
