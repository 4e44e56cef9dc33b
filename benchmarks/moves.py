"""How many files of the package `splitee run` passes through, from a loaded trace to the printed table.

python benchmarks/moves.py [ARGUMENTS OF splitee run]     (default: imdb --policy splitee --device-layers 6)

Counted by `sys.setprofile` from the call of `replay` to the end of the command: a move is a call from a
function in one file of the package into a function in another one, whatever libraries lie between. Compiled
code counts where Python calls it. PYTHONPATH chooses the checkout.
"""

import contextlib
import io
import os
import sys
from collections import Counter
from pathlib import Path

os.environ["NUMBA_NUM_THREADS"] = "1"  # other threads are not seen

import splitee
from splitee.cli import cli

PACKAGE = str(Path(splitee.__file__).parent)
files: Counter[str] = Counter()
moves: Counter[tuple[str, str]] = Counter()
counting = False


def watch(frame, event, _):  # type: ignore[no-untyped-def]
    """Count a call."""
    global counting
    file = frame.f_code.co_filename
    if event != "call" or not file.startswith(PACKAGE):
        return
    counting = counting or frame.f_code.co_name == "replay"
    if not counting or frame.f_code.co_name == "<module>":  # an import is no move
        return
    files[file] += 1
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.startswith(PACKAGE):
        caller = caller.f_back
    if caller is not None and caller.f_code.co_filename != file:
        moves[caller.f_code.co_filename, file] += 1


def run() -> None:
    """Run the command, its output thrown away."""
    words = sys.argv[1:] or ["imdb", "--policy", "splitee", "--device-layers", "6"]
    with contextlib.redirect_stdout(io.StringIO()):
        cli(["run", *words], standalone_mode=False)


run()  # compiles and imports what is needed
files.clear(), moves.clear()
counting = False
sys.setprofile(watch)
run()
sys.setprofile(None)
print(f"{len(files)} files, {sum(moves.values())} moves between them")
for (source, target), count in moves.most_common():
    print(f"{count:5}  {os.path.relpath(source, PACKAGE)} → {os.path.relpath(target, PACKAGE)}")
