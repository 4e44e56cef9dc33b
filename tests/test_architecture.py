"""The drawing in docs/architecture.md is what the package imports; imports go one way; torch stays out."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "splitee"
TORCH = {"torch", "transformers", "safetensors", "accelerate"}


def modules() -> list[Path]:
    return [file for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE or file.name == "costs.py"]


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Return the modules that a file imports, at any place in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def drawn() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.search(r"```text\n(.*?)```", text, re.DOTALL)[1].splitlines()
    pairs = [line.partition(" → ") for line in lines]
    return {room: set(rooms.split(", ")) if rooms else set() for room, _, rooms in pairs}


def test_the_drawing_is_what_is_imported() -> None:
    arrows: dict[str, set[str]] = {room_of(file): set() for file in modules()}
    for file in modules():
        for name in imported(file):
            if name.startswith("splitee.") and (room := name.split(".")[1]) in arrows:
                arrows[room_of(file)].add(room)
    for room, rooms in arrows.items():
        rooms.discard(room)
    assert arrows == drawn()


def test_no_file_imports_upwards() -> None:
    """Module by module there is no circle, at the top of files; the two rooms of traces and data aside."""
    graph: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("splitee"):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[name] = names
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path, name))
        if name in done:
            return
        for other in graph[name] & graph.keys():
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_the_core_never_imports_torch() -> None:
    for file in modules():
        if room_of(file) not in ("models", "training", "cli") and file.name != "inferred.py":
            assert not {name.split(".")[0] for name in imported(file)} & TORCH, file
