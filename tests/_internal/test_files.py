"""Files are written whole or not at all, where links point to, and what was left behind is swept up."""

import errno
import os
from pathlib import Path

import pytest

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, real_path, refuse_no_folder, refuse_place, write_text


def test_a_file_that_could_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "α")
    with pytest.raises(InputError, match=r"a\.txt: no space"), atomic_path(path, overwrite=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
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


def test_new_files_get_the_usual_mode_and_others_keep_theirs(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    (tmp_path / "a.txt").chmod(0o600)
    write_text(tmp_path / "a.txt", "again", overwrite=True)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("dangling", [False, True])
def test_links_are_followed(tmp_path: Path, dangling: bool) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    if not dangling:
        target.write_text("before")
    write_text(link, "after", overwrite=True)
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_temporaries_of_dead_processes_are_swept_up(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    (tmp_path / ".a.txt.dead.tmp").touch()
    (tmp_path / ".b.txt.dead.tmp").touch()  # of another output
    with atomic_path(path) as temporary:  # alive
        assert not (tmp_path / ".a.txt.dead.tmp").exists()
        write_text(path, "meanwhile")
        assert temporary.exists()
        path.unlink()
    assert {one.name for one in tmp_path.iterdir()} == {"a.txt", ".b.txt.dead.tmp"}


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
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        refuse_place(tmp_path / "pipe", True)
    refuse_place(file, True, tmp_path / "other")
    refuse_place(tmp_path / "new" / "b.txt", False, file)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "a" * 300 + "/b"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    for check in (refuse_no_folder, lambda path: refuse_place(path, True), lambda path: write_text(path, "")):
        with pytest.raises(InputError, match=r"too long|cannot be the name"):
            check(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_circle_of_links_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    with pytest.raises(InputError, match="leads to itself"):
        real_path(tmp_path / "one")
    with pytest.raises(InputError, match="leads to itself"):
        write_text(tmp_path / "one", "", overwrite=True)
