"""The command line, run in this process or started."""

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from splitee.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error of a command that was given bad input."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        assert self.err.startswith("splitee: ")
        assert self.err.count("\n") == 1, self.err
        assert self.out == ""
        return self.err


def splitee(*arguments: object, stdin: str | bytes = "") -> Ran:
    """Run the command line in this process."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    into, code = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"), 0
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch.object(sys, "argv", ["splitee", *map(str, arguments)]),
        mock.patch.object(sys, "stdin", into),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Ran(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def run(*arguments: object, cwd: Path | None = None, stdin: str | bytes = "") -> CompletedProcess[str]:
    """Run the command line in this process, and report it as `subprocess.run` reports a started one."""
    with contextlib.chdir(cwd or "."):
        ran = splitee(*arguments, stdin=stdin)
    return CompletedProcess(["splitee", *map(str, arguments)], ran.code, ran.out, ran.err)


def refused(done: CompletedProcess[str]) -> str:
    """Return the line of a command that was given bad input: exit code 2, and no traceback."""
    return Ran(done.returncode, done.stdout, done.stderr).complaint


def environment() -> dict[str, str]:
    """For commands that are started: as this process."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
