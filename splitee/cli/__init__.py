"""The command line: `splitee COMMAND`. A command's module is imported when the command is used."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys

import click

from splitee._internal.errors import InputError, suggest
from splitee.cli.printing import printable, printable_output

_COMMANDS = {  # name: (module in splitee.cli, line in `splitee --help`)
    "run": ("run", "Replay policies over traces; print the table; write results and figures."),
    "bench": ("bench", "Compare a policy with the field on EE-Bench, a sealed suite: one table."),
    "sweep": ("sweep", "Replay a grid of settings, resumable, on this machine or on Ray."),
    "report": ("report", "Write results of `splitee run` as one HTML page."),
    "trace": ("trace", "List, show, verify, import, export, calibrate and join traces; choose α."),
    "train": ("train", "Fine-tune a backbone with an exit after every layer."),
    "precompute": ("precompute", "Run a checkpoint over data once and write the trace."),
    "slim": ("slim", "Compress a checkpoint by pruning and distillation."),
    "plan": ("plan", "Find the cheapest cut for a device, a link and limits."),
    "explore": ("explore", "Write a page that finds the cheapest cut as sliders are moved."),
    "profile": ("profile", "Measure a checkpoint on this machine: ms and mJ per layer, exit and codec."),
    "device": ("device", "Run the device half of the live pair: it exits early, offloads, learns, logs."),
    "verify-log": ("verify_log", "Replay the policy on a device's log: are its decisions the same?"),
    "export": ("export", "Write the device's half of a checkpoint as ONNX, to run without torch."),
    "serve": ("serve", "Serve a checkpoint to devices: the cloud half of the live pair."),
    "link": ("link", "Show what a link carries: rates, fades, outages."),
    "convert": ("convert", "Convert a checkpoint of COST-EFF's or ElasticBERT's authors."),
    "elue": ("elue", "Performance against FLOPs: predictions as files, and the ELUE score."),
}


class Group(click.Group):
    """A group whose error for an unknown command suggests the closest name and lists all."""

    def resolve_command(  # noqa: D102
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        unknown = not args[0].startswith("-") and self.get_command(ctx, args[0]) is None
        if unknown and not ctx.resilient_parsing:  # resilient: a shell completes a line
            known = suggest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no command is called '{args[0]}': {known}", ctx)
        return super().resolve_command(ctx, args)


class _Lazy(Group):
    """The group of all commands: it lists them without importing their modules."""

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


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Shell completion: eval "$(_SPLITEE_COMPLETE=bash_source splitee)" in bash; zsh_source in zsh.',
)
@click.version_option(package_name="splitee")
def cli() -> None:
    """Where to cut a multi-exit transformer between a device and the cloud.

    A trace holds the outputs of every exit of a model for every sample. `splitee run` replays SplitEE and
    other policies over it and reports accuracy, cost and regret. `splitee train` and `splitee precompute`
    make traces from models (extra `models`).
    """


def main() -> None:
    """Run the command line; bad input is one line on standard error and exit code 2."""
    # imported libraries are 250,000 objects that stay: scanning them for garbage again and again, and once
    # more at exit, would take a fifth of a short command's time (so files must be closed, not left to exit)
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        with printable_output():
            _check_environment()
            code = cli(prog_name="splitee", standalone_mode=False)
        sys.exit(code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        known = [word for word in sys.argv[1:2] if word in _COMMANDS]  # if click does not name the command
        command = error.ctx.command_path if error.ctx else " ".join(["splitee", *known])
        click.echo(f"splitee: {message} (see {command} --help)", err=True)
        sys.exit(2)
    except click.Abort:
        click.echo("splitee: interrupted", err=True)
        sys.exit(130)  # the shells' exit code of Ctrl-C
    except (InputError, OSError) as error:
        click.echo(f"splitee: {printable(_one_line(error))}", err=True)
        sys.exit(2)
    except MemoryError:
        click.echo("splitee: there is not enough memory: give less at once", err=True)
        sys.exit(2)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def _check_environment() -> None:
    """Raise InputError if numba would fail on a variable that is set; compile, whatever it says."""
    if os.environ.pop("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        click.echo("splitee: NUMBA_DISABLE_JIT is ignored: replays need compiled functions", err=True)
    threads = os.environ.get("NUMBA_NUM_THREADS")
    if threads is not None and not (threads.isdecimal() and int(threads) > 0):
        raise InputError(f"NUMBA_NUM_THREADS is {threads!r}: give a whole number above 0, or unset it")
