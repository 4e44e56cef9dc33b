"""Every option is declared in one place, and every command's help is complete."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import commands
import pytest

import splitee.cli
from splitee.cli import cli, options

FOLDER = Path(splitee.cli.__file__).parent


def declared() -> Iterator[tuple[str, str]]:
    """Yield every option string of every click.option call below splitee/cli, and where it stands."""
    for file in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.option", "option")):
                continue
            for argument in node.args:
                if isinstance(argument, ast.Constant) and str(argument.value).startswith("-"):
                    for flag in str(argument.value).split("/"):
                        yield flag.strip(), f"{file.name}:{node.lineno}"


def leaves(command: click.Command = cli, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is not a group, by the words that call it."""
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, *words, name)


LEAVES = dict(leaves())


def test_an_option_is_declared_in_one_call() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for flag, place in declared():
        places[flag].append(place)
    assert {flag: where for flag, where in places.items() if len(where) > 1} == {}
    used = {
        flag
        for command in LEAVES.values()
        for option in command.params
        if isinstance(option, click.Option)
        for flag in (*option.opts, *option.secondary_opts)
    }
    assert used == set(places), "the walk over the source finds every option, and every option is used"


def test_options_of_two_commands_are_in_options() -> None:
    users: dict[str, set[str]] = defaultdict(set)
    for words, command in LEAVES.items():
        for option in command.params:
            if isinstance(option, click.Option):
                users[option.opts[0]].add(words)
    shared = {flag for flag, commands_ in users.items() if len(commands_) > 1}
    assert {"--out", "--overwrite", "--json", "--seed", "--threshold", "--offload", "--layers"} <= shared
    elsewhere = {flag: place for flag, place in declared() if flag in shared and "options.py" not in place}
    assert elsewhere == {}


@pytest.mark.parametrize("words", LEAVES)
def test_every_option_has_help(words: str) -> None:
    for option in LEAVES[words].params:
        if isinstance(option, click.Option):
            assert option.help, f"{words} {option.opts[0]}"
            assert option.help[0].isupper() or option.help[0] in "αβμλmo9", option.help
            assert option.help.rstrip("])").rstrip().endswith(".") or "[default" in option.help, option.help


PRIVATE = r"\b(told|tells?|prices?|whoever|one's own|so many|a sample|a text|sending)\b"


@pytest.mark.parametrize("words", ["", "trace", "elue", *LEAVES])
def test_help_is_plain(words: str) -> None:
    ran = commands.splitee(*words.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "\b" not in ran.out
    assert not re.search(PRIVATE, ran.out), re.search(PRIVATE, ran.out)


def test_completion_is_documented() -> None:
    assert "_SPLITEE_COMPLETE=bash_source" in commands.splitee("--help").out


def test_an_error_of_a_value_names_the_option() -> None:
    line = commands.splitee("run", "--offload", "1,x").complaint
    assert line == "splitee: --offload 'x' is not a finite number of at least 0: write it as 5, 0.7 or 5/6\n"


def test_small_parsers() -> None:
    assert options.names_list("a, b") == ["a", "b"]
    assert options.names_list(None) is None
    assert options.pairs(("a=b=c",), "--map", "A=B") == {"a": "b=c"}
