"""Files are written whole or not at all, and a partial folder belongs to one run."""

import os
from pathlib import Path

import pytest

from splitee._internal.errors import InputError
from splitee._internal.files import (
    atomic_path,
    claimed_folder,
    discard,
    put_in_place,
    refuse_place,
    write_text,
)


def test_a_file_that_could_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "α")
    with pytest.raises(OSError, match="full"), atomic_path(path, overwrite=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise OSError("full")
    assert path.read_text(encoding="utf-8") == "α"
    assert list(path.parent.iterdir()) == [path]
    write_text(path, "β", overwrite=True)
    assert path.read_text(encoding="utf-8") == "β"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(FileExistsError, match=r"a\.txt"), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_files_get_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_places_that_are_refused_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("read")
    with pytest.raises(InputError, match="folder"):
        refuse_place(tmp_path, True)
    with pytest.raises(InputError, match=r"a\.txt"):
        refuse_place(file / "below" / "b.txt", True)
    with pytest.raises(FileExistsError):
        refuse_place(file, False)
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(InputError, match="link"):
        refuse_place(tmp_path / "link", True, None, file)
    refuse_place(file, True, tmp_path / "other")
    refuse_place(tmp_path / "new" / "b.txt", False, file)


def test_a_partial_folder_is_its_own_runs_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = {"options": {"mu": 0.1}, "seed": 0}
    with claimed_folder(out, run) as folder:
        (folder / "piece").write_text("done")
        with pytest.raises(InputError, match="out"), claimed_folder(out, run):
            pass
    with claimed_folder(out, run) as again:
        assert (again / "piece").read_text() == "done"
    with (
        pytest.raises(InputError, match=r"options\.mu is 0\.1 there, 0\.2 here"),
        claimed_folder(out, run | {"options": {"mu": 0.2}}),
    ):
        pass
    (folder / "run.json").unlink()
    with pytest.raises(InputError, match=r"run\.json"), claimed_folder(out, run):
        pass
    assert (folder / "piece").read_text() == "done"


def test_what_is_made_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
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
