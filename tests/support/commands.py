"""The command line, run in this process or started."""

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
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


def splitee(*arguments: object) -> Ran:
    """Run the command line in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["splitee", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def environment() -> dict[str, str]:
    """For commands that are started: as this process."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
