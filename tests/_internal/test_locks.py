"""A lock is held by one process, and a lock file that was removed is not held."""

from pathlib import Path

from splitee._internal.locks import locked, locked_file


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with locked_file(path) as held:
        assert held is not None
        with locked_file(path) as other:
            assert other is None
        with path.open("rb") as file:
            assert not locked(file)
        path.unlink()
        with locked_file(path) as new:
            assert new is not None
    with locked_file(path) as again:
        assert again is not None
