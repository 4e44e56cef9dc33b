"""What holds of every command: help, output that a program can read, nothing lost."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import click
import commands
import pytest

from splitee.cli import Group, cli

MODULES = (
    "splitee.cli.bench",
    "splitee.cli.calibrate",
    "splitee.cli.convert",
    "splitee.cli.croissant",
    "splitee.cli.device",
    "splitee.cli.elue",
    "splitee.cli.explore",
    "splitee.cli.export",
    "splitee.cli.link",
    "splitee.cli.listing",
    "splitee.cli.plan",
    "splitee.cli.precompute",
    "splitee.cli.profile",
    "splitee.cli.report",
    "splitee.cli.run",
    "splitee.cli.serve",
    "splitee.cli.show",
    "splitee.cli.slim",
    "splitee.cli.sweep",
    "splitee.cli.threshold",
    "splitee.cli.trace",
    "splitee.cli.train",
    "splitee.cli.verify_log",
)


def leaves(command: click.Command) -> Iterator[click.Command]:
    """Commands that do something: those of a group, too."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from leaves(inner)
    else:
        yield command


EACH = [
    pytest.param(leaf, id=f"{name.rpartition('.')[2]}-{leaf.name}")
    for name in MODULES
    for leaf in leaves(importlib.import_module(name).command)
]


def options(command: click.Command) -> dict[str, click.Option]:
    return {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}


@pytest.mark.parametrize("command", EACH)
def test_every_command_has_help_and_one_line_of_it(command: click.Command) -> None:
    assert command.help
    assert command.get_short_help_str()


@pytest.mark.parametrize("command", EACH)
def test_a_program_can_read_what_it_makes_and_nothing_is_lost(command: click.Command) -> None:
    names = options(command)
    assert names.keys() & {"--json", "--out"}
    if "--out" in names:
        assert "--overwrite" in names, "what exists is replaced only where that is asked for"


def test_every_command_of_the_package_is_listed_here() -> None:
    folder = Path(importlib.import_module("splitee.cli").__file__).parent
    found = {
        f"splitee.cli.{path.stem}"
        for path in folder.glob("*.py")
        if "\ndef command(" in path.read_text("utf-8")
    }
    assert found == set(MODULES)
    names = {name.replace("-", "_") for name in cli.list_commands(click.Context(cli))}
    assert names <= {name.rpartition(".")[2] for name in MODULES}


def test_an_unknown_command_of_a_group_is_met_with_the_nearest() -> None:
    group = Group("tools", commands={"show": click.Command("show"), "verify": click.Command("verify")})
    with pytest.raises(click.UsageError, match=r"'shwo'.*show.*verify"):
        group.main(["shwo"], standalone_mode=False)
    assert group.main(["show"], standalone_mode=False) is None
    assert "'verfy'" in commands.splitee("trace", "verfy").complaint
