"""The journal: an append-only file of what happened, which outlives a killed process.

Every line is a CRC-32 and a JSON document. The first line is the head: the setting and the input. A line
"decided" is written before a request leaves the device, a line "answered" before an answer is returned, so
what was acknowledged is in the file. A line is one write: a killed process leaves at most the last one torn,
and that one is dropped. The operating system may still lose lines if the whole machine loses its power.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.locks import locked
from splitee._internal.reading import read_bytes
from splitee.runtime.records import Record

SCHEMA = 1
DECIDED, ANSWERED, OTHERS = "decided", "answered", "others"
_MOST = 2**40


class Journal:
    """An open journal.

    Parameters
    ----------
    file : path
        It is created, or continued if its head is the same.
    head : mapping
        JSON values that say what the run is: another run's journal is refused.

    Raises
    ------
    InputError
        If the file is of another run or damaged, or another process has it open.

    Attributes
    ----------
    records : list of Record
        What the file held, in the order of the rounds.
    inputs : dict of int to dict
        What was kept of the samples that have no answer yet, by round: tokens, or an image file.
    """

    def __init__(self, file: str | Path, head: Mapping[str, Any]) -> None:
        self.path = Path(file)
        self._file = self.path.open("ab", buffering=0)
        try:
            if not locked(self._file):
                raise InputError(f"{file} is in use: another splitee device writes it")
            found, end = read_lines(read_bytes(self.path, _MOST), str(file))
            wanted = json.loads(json.dumps({"splitee_journal": SCHEMA, **head}))
            if found and found[0] != wanted:
                raise InputError(f"{file} is of another run ({_difference(found[0], wanted)}): remove it, "
                                 "choose another --out, or give the options of that run")  # fmt: skip
            os.truncate(self.path, end)
            self.records, self.inputs = records_of(found[1:], str(file))
            if not found:
                self._write(wanted)
        except BaseException:
            self._file.close()
            raise

    def decided(self, record: Record, noted: Mapping[str, Any] | None) -> None:
        """Write what was decided, with the answer of a sample that has one, else with its input."""
        line: dict[str, Any] = {"event": DECIDED, **record.decided()}
        if record.by:
            line["answer"] = record.answer()
        else:
            line["input"] = noted
        self._write(line)

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Write an answer that came later; see `Record.answer`."""
        self._write({"event": ANSWERED, **answer})

    def others(self, record: Record) -> None:
        """Write the exits that were evaluated to complete the log."""
        self._write({"event": OTHERS, "t": record.t, "seen": [[i, *one] for i, one in record.others.items()]})

    def close(self) -> None:
        """Close the file; its lock ends."""
        self._file.close()

    def _write(self, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        if self._file.write(line) != len(line):
            raise OSError(28, "no space is left for the log", str(self.path))


def read_lines(data: bytes, name: str) -> tuple[list[dict[str, Any]], int]:
    """Return the documents of a journal, and where the last whole line ends.

    Raises
    ------
    InputError
        If a line before the last is damaged.
    """
    found: list[dict[str, Any]] = []
    at, end = 0, len(data)
    while at < end:
        until = data.find(b"\n", at)
        line = data[at : until if until >= 0 else end]
        whole = until >= 0 and len(line) > 9 and line[:8] == b"%08x" % zlib.crc32(line[9:])
        if not whole:
            if until >= 0 and until + 1 < end:
                raise InputError(f"{name} is damaged in line {len(found) + 1}")
            return found, at
        found.append(json.loads(line[9:]))
        at = until + 1
    return found, at


def records_of(lines: list[dict[str, Any]], name: str) -> tuple[list[Record], dict[int, dict[str, Any]]]:
    """Return the records of a journal's lines after its head, and the inputs of what has no answer."""
    records: list[Record] = []
    waiting: dict[int, dict[str, Any]] = {}
    order = 0
    try:
        for line in lines:
            if line["event"] == DECIDED:
                record = Record.of(line)
                if record.t != len(records) + 1:
                    raise InputError(f"{name} is damaged: round {record.t} follows round {len(records)}")
                records.append(record)
                answer = line.get("answer")
                if answer is None:
                    waiting[record.t] = line["input"]
            else:
                record = records[line["t"] - 1]
                answer = line if line["event"] == ANSWERED else None
                if line["event"] == OTHERS:
                    record.others = {int(i): (c, p) for i, c, p in line["seen"]}
            if answer is not None:
                order += 1
                record.set_answer(answer)
                record.order = order
                waiting.pop(record.t, None)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is damaged: {type(error).__name__} {error}") from error
    return records, waiting


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str = "") -> str:
    """Return the first entry in which two heads differ."""
    for key in sorted({*found, *wanted}):
        one, other = found.get(key), wanted.get(key)
        if one != other:
            if isinstance(one, dict) and isinstance(other, dict):
                return _difference(one, other, f"{where}{key}.")
            return f"{where}{key} is {str(one)[:60]} there, {str(other)[:60]} here"
    return "its head differs"
