"""What the commands of the live pair share: addresses, the token, the log."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import click

from splitee._internal.errors import InputError
from splitee._internal.reading import read_bytes
from splitee.cli.options import Decorator

VARIABLE = "SPLITEE_TOKEN"
_MOST_TOKEN = 4096  # bytes


def host(help: str) -> Decorator[Any]:
    """--host: the address to listen on."""
    return click.option("--host", default="127.0.0.1", show_default=True, help=help)


def port(help: str, default: int | None) -> Decorator[Any]:
    """--port: the port to listen on."""
    shown = default is not None
    return click.option(
        "--port", type=click.IntRange(0, 65535), default=default, show_default=shown, help=help
    )


def token_file(help: str) -> Decorator[Any]:
    """--token-file; see `read_token`."""
    return click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        help=f"{help}  [default: the variable {VARIABLE}, else none]",
    )


def log_level() -> Decorator[Any]:
    """--log-level."""
    return click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="Events from this level on; warning: no line per request.",
    )


def read_token(file: Path | None) -> str | None:
    """Return the token in a file, else that of the environment, else None.

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold one line of printable ASCII.
    """
    if file is None:
        found, where = os.environ.get(VARIABLE), VARIABLE
        if found is None:
            return None
    else:
        found, where = read_bytes(file, _MOST_TOKEN).decode("latin-1"), str(file)
    token = found.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{where} holds no token: give one line of printable ASCII without blanks")
    return token


def need(extra: str, *modules: str) -> None:
    """Raise InputError if a module of an extra is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"this command needs {' and '.join(missing)}: pip install 'splitee[{extra}]'")
