"""The command line: `splitee COMMAND`. Each command's module is imported only when it is used."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys

import click

from splitee._internal.errors import InputError
from splitee.cli.group import Group

_COMMANDS = {  # name: (module in splitee.cli, the line that `splitee --help` shows)
    "run": ("run", "Replay policies over traces; print the table; write results and figures."),
    "sweep": ("sweep", "Replay a whole grid of settings, resumable, here or on Ray."),
    "report": ("report", "Make one HTML page of results that run wrote."),
    "trace": ("trace", "Show, verify, import, export, calibrate and join traces."),
    "train": ("train", "Fine-tune a backbone with an exit after every layer."),
    "precompute": ("precompute", "Run a checkpoint over data, once, and write the trace."),
    "slim": ("slim", "Make a checkpoint slender: fewer heads and units, step by step, taught by itself."),
    "elue": ("elue", "Performance against FLOPs: predictions as files, and the ELUE score."),
}


_FILE_ERRORS = (FileExistsError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


class _Lazy(Group):
    """One that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"splitee.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="splitee")
def cli() -> None:
    """Where to cut a multi-exit transformer between a device and the cloud.

    `splitee run` replays SplitEE and its rivals over a trace: what every exit of a model said about
    every sample. `train` and `precompute` make traces of your own (extra `models`).
    """


def main() -> None:
    """Run the command line; bad input is one line on standard error and exit code 2."""
    # libraries are a quarter of a million objects that stay: to look for garbage among them again and again,
    # and once more at the end, would take a fifth of a short command's time (so nothing may wait for the end
    # to be written: what is written is closed, or lost)
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        sys.exit(cli(prog_name="splitee", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        told = " ".join(error.format_message().split()).rstrip(".")
        known = [word for word in sys.argv[1:2] if word in _COMMANDS]  # where click does not say
        command = error.ctx.command_path if error.ctx else " ".join(["splitee", *known])
        click.echo(f"splitee: {told} (see {command} --help)", err=True)
        sys.exit(2)
    except click.Abort:
        click.echo("splitee: interrupted", err=True)
        sys.exit(130)  # as shells say of Ctrl-C
    except (InputError, *_FILE_ERRORS) as error:
        click.echo(f"splitee: {_one_line(error)}", err=True)
        sys.exit(2)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
    return " ".join(str(error).split())
