"""The pages are true: Python prints what they say, commands parse and run, links lead somewhere."""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from commands import environment
from pages import anchors

from splitee.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [
    p
    for p in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "notebooks" / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if p.exists()
]
LINKING = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "splitee" / "data").glob("*.md")),
    *sorted((ROOT / "experiments").glob("*/README.md")),
]
WALKED = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorial").glob("*.md"))]
TORCH = {"torch", "transformers", "safetensors", "datasets", "accelerate"}
TORCH_PAGES = ("models.md", "images.md")
NOT_OURS = {"duckdb", "polars"}  # a block that imports one of these is left out where it is not installed
COMMANDS = ("console", "sh", "bash", "shell")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int  # of its first line of text, from 1
    prints: str | None  # what the block right below it says that it prints


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page; a `text` block with nothing between it and Python is what that prints."""
    content = page.read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", content, re.MULTILINE | re.DOTALL))
    made = []
    for i, match in enumerate(found):
        below = found[i + 1] if i + 1 < len(found) else None
        follows = (
            below is not None and below[1] == "text" and not content[match.end() : below.start()].strip()
        )
        line = content.count("\n", 0, match.start(2)) + 1
        made.append(Block(match[1], match[2], line, below[2] if below is not None and follows else None))
    return made


def imported(code: str) -> set[str]:
    """Whole names of the modules that code imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.language != "python":
            continue
        if any(importlib.util.find_spec(name) is None for name in top(imported(block.text)) & NOT_OURS):
            continue
        capsys.readouterr()
        # empty lines in front, so that a traceback tells the page's own lines
        exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
        printed = capsys.readouterr().out
        if block.prints is not None:
            assert printed == block.prints, f"{name_of(page)}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_only_the_pages_on_models_need_torch(page: Path) -> None:
    if page.name in TORCH_PAGES:
        return
    for block in blocks(page):
        if block.language == "python":
            names = imported(block.text)
            assert not top(names) & TORCH, f"line {block.line}"
            assert not any(name.startswith(("splitee.models", "splitee.training")) for name in names)


def shown(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Every splitee command that a page shows: its line, and the words after `splitee`."""
    for block in blocks(page):
        if block.language not in COMMANDS:
            continue
        lines = block.text.replace("\\\n", "\0\n").splitlines()
        typed = ""
        for number, line in enumerate(lines, block.line):
            if not typed and block.language == "console":
                if not line.startswith("$ "):
                    continue  # what the command printed
                line = line.removeprefix("$ ")
            typed += line.removesuffix("\0") + " "
            if line.endswith("\0"):
                continue
            lexer = shlex.shlex(typed, posix=True, punctuation_chars="|;&<>")
            lexer.whitespace_split, typed = True, ""
            for part in _pieces(list(lexer)):
                if part and Path(part[0]).name == "splitee":
                    yield number, part[1:]


def _pieces(words: list[str]) -> list[list[str]]:
    """Cut a shell line at its pipes and the like."""
    made: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set("|;&<>"):
            made.append([])
        else:
            made[-1].append(word)
    return made


def parse(words: list[str]) -> None:
    """Parse a command line as click does, options and values, without running it."""
    command: click.Command = cli
    context = click.Context(cli, info_name="splitee")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"there is no command {words[0]!r}"
        context = click.Context(inner, context, info_name=words[0])
        command, words = inner, words[1:]
    try:
        if isinstance(command, click.Group):
            command.make_parser(context).parse_args(words)
        else:
            command.make_context(context.info_name, words, parent=context.parent)
    except click.exceptions.Exit:
        pass  # --help and --version


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(page: Path) -> None:
    for line, words in shown(page):
        try:
            parse(words)
        except click.ClickException as error:
            pytest.fail(f"{name_of(page)}, line {line}: splitee {' '.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("words", [["runn"], ["run", "--treshold", "1"], ["trace", "import", "x.csv"]])
def test_a_wrong_command_does_not_parse(words: list[str]) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse(words)


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """Every Python block of a page, and every line of its shell blocks with a splitee command, in order."""
    for block in blocks(page):
        if block.language == "python":
            yield "python", block.text
        elif block.language in COMMANDS and re.search("^splitee ", block.text, re.MULTILINE):
            for line in block.text.replace("\\\n", "").splitlines():
                yield "shell", line


@pytest.mark.slow
@pytest.mark.parametrize("page", WALKED, ids=name_of)
def test_a_page_runs_from_top_to_bottom_in_an_empty_folder(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = tmp_path / "bin" / "splitee"
    starter.parent.mkdir()
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m splitee "$@"\n')
    starter.chmod(0o755)
    variables = environment() | {"HF_HUB_OFFLINE": "1"}
    variables["PATH"] = f"{starter.parent}{os.pathsep}{variables['PATH']}"
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    namespace: dict[str, object] = {"__name__": "page"}
    ran = 0
    for language, text in steps(page):
        if language == "python":
            exec(text, namespace)
            continue
        if "--backbone" in text or ("precompute" in text and importlib.util.find_spec("torch") is None):
            break  # what follows needs a model from elsewhere, or the extra `models`
        done = subprocess.run(text, shell=True, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        ran += 1
    assert ran > 0 or page.name == "your_policy.md"


def test_the_readme_installs_what_there_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert text.count("\n") <= 130
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", text, re.MULTILINE)) == {"run", "test"} <= targets
    installs = re.findall(r"^pip install (.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert installs
    for line in installs:
        words = shlex.split(line)
        extra = re.fullmatch(r"\.(?:\[(\w+)\])?", words[-1])
        assert extra, f"not from this folder: {line}"
        assert extra[1] is None or extra[1] in project["optional-dependencies"]
        assert all((ROOT / word).exists() for word in words[:-1] if word != "-c")


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)}: {target}"
