"""Read YAML that anyone may have made: bounded size, depth and aliases; a key given twice is refused."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import yaml

from splitee._internal.errors import InputError
from splitee._internal.reading import read_bytes

MOST_BYTES = 2**18
MOST_NODES = 50_000  # counted as often as an alias repeats them
MOST_DEPTH = 50
_LARGEST = 2**63
_BROKEN = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where it was built


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of plain values.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML, gives a key twice, or is larger or deeper than a
        file of settings needs to be.
    """
    try:
        text = _decoded(read_bytes(path, MOST_BYTES))
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_nodes(node)
            found = loader.construct_document(node)
        finally:
            loader.dispose()
    except InputError as error:
        raise InputError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
    except _BROKEN as error:  # ValueError: not UTF-8, or a date such as 2001-99-99
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}") from error
    _check_numbers(found, path)
    return found


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _check_depth(text: str) -> None:
    """Raise InputError if the text is nested deeply; what follows recurses."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise InputError(f"it is nested more than {MOST_DEPTH} levels deep: write plain keys and lists")


def _check_nodes(root: yaml.Node) -> None:
    """Raise InputError if a key is given twice, or aliases make more nodes than a file needs."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MOST_NODES  # an alias of a node in itself finds this
            inner = []
            if isinstance(node, yaml.MappingNode):
                _check_keys(node)
                inner = [one for pair in node.value for one in pair]
            elif isinstance(node, yaml.SequenceNode):
                inner = node.value
            sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    if size(root) > MOST_NODES:
        raise InputError(
            f"it holds more than {MOST_NODES:,} values, with those that aliases repeat: give fewer"
        )


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (name := (key.tag, key.value)) in seen:
                line = key.start_mark.line + 1
                raise InputError(f"line {line}: the key {key.value[:60]!r} is given twice: give it once")
            seen.add(name)


def _check_numbers(value: Any, path: str | Path) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_numbers(key, path)
            _check_numbers(inner, path)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            _check_numbers(inner, path)
    elif isinstance(value, int) and abs(value) >= _LARGEST:
        raise InputError(f"{path} holds a whole number beyond 2**63: give a smaller one")
