"""Of the checkpoints of a training, the newest that is complete and not damaged is used."""

import json
from pathlib import Path

import pytest

from splitee._internal.checksums import write_fingerprints
from splitee.training.loop import _last_checkpoint
from splitee.training.trainer import newest_checkpoint


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for step in (5, 10, 15):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        log = [{"step": at, "eval_score": 1} for at in (10,) if at <= step]
        state = {"global_step": step, "max_steps": 20, "num_train_epochs": 2, "log_history": log}
        best = {"best_global_step": 10} if step >= 10 else {}
        (folder / "trainer_state.json").write_text(json.dumps(state | best))
        (folder / "optimizer.pt").write_bytes(b"moments")
        write_fingerprints(folder)
    return tmp_path


def newest(work: Path) -> tuple[str | None, list[str]]:
    said: list[str] = []
    found = newest_checkpoint(work, said.append)
    return found and found.name, said


def test_the_newest_is_used(work: Path) -> None:
    assert newest(work) == ("checkpoint-15", [])


@pytest.mark.parametrize("file", ["optimizer.pt", "trainer_state.json", "fingerprints.json"])
def test_a_damaged_one_is_reported_and_the_one_before_is_used(work: Path, file: str) -> None:
    path = work / "checkpoint-15" / file
    path.write_bytes(path.read_bytes()[:-3])
    name, (line,) = newest(work)
    assert name == "checkpoint-10"
    assert f"checkpoint-15 is damaged ({file}): continuing from the one before" in line
    assert newest(work) == ("checkpoint-10", [])


def test_one_that_was_not_finished_is_left_out(work: Path) -> None:
    (work / "checkpoint-15" / "fingerprints.json").unlink()
    assert newest(work) == ("checkpoint-10", [])
    for step in (5, 10):
        (work / f"checkpoint-{step}" / "fingerprints.json").unlink()
    assert newest(work) == (None, [])
    assert not list(work.iterdir())


def test_without_the_best_epoch_a_later_checkpoint_is_not_used(work: Path) -> None:
    (work / "checkpoint-10" / "optimizer.pt").write_bytes(b"others")
    said: list[str] = []
    assert _last_checkpoint(work, said.append) == work / "checkpoint-5"
    assert "the best epoch (checkpoint-10) is damaged (optimizer.pt): checkpoint-15 is not used" in said
