"""What the commands that need torch share: the data options, and a clear word where torch is missing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from splitee._internal.errors import InputError


def need_models_extra() -> None:
    """Raise InputError where torch or transformers is not installed; else keep transformers' chatter down."""
    names = ("torch", "transformers", "safetensors", "accelerate")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"this command needs {' and '.join(missing)}: pip install 'splitee[models]' "
            "(the core, with splitee run and splitee trace, does without)"
        )
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where texts come from."""
    named = click.option("--task", help="Named data set, such as sst2_sentences, imdb or snli.")
    return named(text_options(command))


def text_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where texts come from, but for the name of a task."""
    for option in reversed(
        (
            click.option(
                "--data-root",
                envvar="SPLITEE_DATA_ROOT",
                help="Folder of local files, ROOT/TASK/SPLIT.parquet (or .csv, .jsonl); default: the hub.",
            ),
            click.option("--text", "text_file", help="Your own .parquet, .csv or .jsonl file instead."),
            click.option(
                "--text-column",
                "text_columns",
                multiple=True,
                help="Its text column; twice for pairs.  [default: text]",
            ),
            click.option("--label-column", help="Its label column."),
            click.option("--class-names", help="Names of its labels in order, separated by commas."),
        )
    ):
        command = option(command)
    return command


def check_source(
    task: str | None,
    text_file: str | None,
    of_text: Mapping[str, object],
    of_task: Mapping[str, object] | None = None,
) -> None:
    """Raise InputError unless one source of texts is named, with none of the other's options."""
    if (task is None) == (text_file is None):
        raise InputError("give either --task NAME or --text FILE, to say where the texts are")
    given, other = ("--task", of_text) if task is not None else ("--text", of_task or {})
    for option, value in other.items():
        if value:
            raise InputError(f"{option} does not go with {given}: leave it out")


def names_list(names: str | None) -> Sequence[str] | None:
    """Split a comma-separated option."""
    return [name.strip() for name in names.split(",")] if names else None


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Split A=B options."""
    for value in values:
        if "=" not in value:
            raise InputError(f"{option} {value!r}: write it as THEIRS=OURS")
    return dict(value.split("=", 1) for value in values)
