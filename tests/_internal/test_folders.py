"""Folders are exchanged in one step, belong to one process, and what kills leave is used or swept up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import commands
import pytest

from splitee._internal import swapping
from splitee._internal.errors import InputError
from splitee._internal.files import write_text
from splitee._internal.folders import claimed_folder, new_folder, put_in_place
from splitee._internal.leftovers import discard, tidy


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_partial_folder_is_its_own_runs_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = {"options": {"mu": 0.1}, "seed": 0}
    with claimed_folder(out, run) as folder:
        (folder / "piece").write_text("done")
        with pytest.raises(InputError, match="another run is writing"), claimed_folder(out, run):
            pass
    with claimed_folder(out, run) as again:
        assert (again / "piece").read_text() == "done"
    with (
        pytest.raises(InputError, match=r"options\.mu is 0\.1 there, 0\.2 here"),
        claimed_folder(out, run | {"options": {"mu": 0.2}}),
    ):
        pass
    with pytest.raises(InputError, match="unfinished run"), new_folder(out, own=()):
        pass
    (folder / "run.json").unlink()
    with pytest.raises(InputError, match=r"run\.json"), claimed_folder(out, run):
        pass
    assert (folder / "piece").read_text() == "done"


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_is_made_takes_the_place_of_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:

        def cannot(one: Path, other: Path) -> None:
            raise OSError("Invalid argument")

        monkeypatch.setattr(swapping, "exchange", cannot)
    out = tmp_path / "out"
    for content in ("old", "new"):
        with claimed_folder(out, {"content": content}) as folder:
            (folder / "made").mkdir()
            (folder / "made" / "file").write_text(content)
            put_in_place(folder / "made", out, folder)
        assert (out / "file").read_text() == content
        assert list(tmp_path.iterdir()) == [out]
    discard(out)
    assert not list(tmp_path.iterdir())


def test_other_entries_and_modes_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "notes").mkdir(parents=True)
    (out / "notes" / "a.txt").write_text("mine")
    (out / "link").symlink_to("notes")
    out.chmod(0o750)
    with new_folder(out, own=["x", "y"]) as made:
        (made / "x").write_text("1")
        (made / "y").write_text("1")
    (out / "x").chmod(0o600)
    with pytest.raises(FileExistsError, match="x exists already"), new_folder(out, own=["x", "y"]):
        pass
    with new_folder(out, own=["x", "y"], overwrite=True) as made:
        (made / "x").write_text("2")
    assert names(out) == ["link", "notes", "x"]
    assert (out / "x").read_text() == "2"
    assert (out / "link" / "a.txt").read_text() == "mine"
    assert (out.stat().st_mode & 0o777, (out / "x").stat().st_mode & 0o777) == (0o750, 0o600)
    assert names(tmp_path) == ["out"]


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="full"), new_folder(tmp_path / "out", own=()) as made:  # noqa: PT012
        (made / "half").touch()
        raise OSError("full")
    assert not names(tmp_path)


def test_the_current_folder_is_filled_but_not_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").touch()
    monkeypatch.chdir(tmp_path)
    with new_folder(".", own=["x"]) as made:
        (made / "x").touch()
    assert names(tmp_path) == ["mine", "x"]
    assert Path.cwd().samefile(tmp_path)
    with pytest.raises(InputError, match="current folder"), new_folder(".", own=["x"], overwrite=True):
        pass


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from splitee._internal.folders import new_folder\n"
        "with new_folder(Path(sys.argv[1]), own=()) as made:\n"
        "    (made / 'half').touch(); print('locked', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "out")]
    process = subprocess.Popen(words, env=commands.environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(InputError, match="another run is writing"), new_folder(tmp_path / "out", own=()):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with new_folder(tmp_path / "out", own=()) as made:
        (made / "whole").touch()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["whole"]


def test_a_finished_working_folder_is_swept_up(tmp_path: Path) -> None:
    out, part = tmp_path / "out", tmp_path / "out.partial"
    with claimed_folder(out, {}) as folder:
        (folder / "final").mkdir()
        os.rename(folder / "final", out)
        (folder / "piece").touch()
    tidy(out)
    assert "piece" in names(part)  # not finished: it may be continued
    found = out.stat()
    write_text(part / "finished", f"{found.st_dev}:{found.st_ino}")
    tidy(out)
    assert names(tmp_path) == ["out"]
