"""Policy files in a process of their own: good ones decide as here, bad ones are reported."""

import numpy as np
import pytest
from policy_files import BAD, COMPILED, GOOD, MEMBERS

from splitee._internal.errors import InputError
from splitee.bench import host
from splitee.bench.referee import PolicyError, Referee
from splitee.bench.running import Item, _dismiss, checked_cells, work
from splitee.bench.suite import TRACKS, cells, ready
from splitee.policies.ucb import SplitEE

FAST = ("raises", "no_syntax", "hides_it", "peeks", "never", "ends")  # the others are slow: a process each
CELL = next(c for c in cells() if c.trace == "mrpc_validation" and not c.half_device)


def written(tmp_path, text: str, name: str = "mine"):
    file = tmp_path / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in BAD]
)
def test_a_bad_file_is_reported(tmp_path, name: str) -> None:
    text, said = BAD[name]
    file = written(tmp_path, text, name)
    done = work(None, Item("check", 0, str(file), 4.0 if name == "never" else 60.0))
    assert said in done.failed, done.failed
    assert "\n" not in done.failed
    assert not done.rows
    _dismiss(str(file))


def test_a_device_loop_of_a_file_decides_as_it_does_here(tmp_path) -> None:
    file = written(tmp_path, MEMBERS)
    space: dict = {}
    exec(GOOD, space)
    half = ready(CELL, judge=True)
    referee = Referee(file)
    try:
        policies = referee.policies(half.task)
        for policy, alpha in zip(policies, (half.task.threshold, 0.99), strict=True):
            for cell in (CELL, next(c for c in cells() if c.track == "system")):
                half = ready(cell, judge=True)
                direct = half.play({"it": space["Mine"](alpha)}, 1, 200)["it"]
                whole = half.play({"it": policy}, 1, 200)["it"]
                shown = half.play({"it": policy.live()}, 1, 200)["it"]
                for what in ("split", "offloaded", "evaluated", "cost"):
                    assert (getattr(direct, what) == getattr(whole, what)).all(), what
                    assert (getattr(direct, what) == getattr(shown, what)).all(), what
    finally:
        referee.close()


@pytest.mark.slow
def test_a_compiled_policy_of_a_file_decides_as_it_does_here(tmp_path) -> None:
    referee = Referee(written(tmp_path, COMPILED))
    try:
        for cell in checked_cells():
            half = ready(cell, judge=True)
            [policy] = referee.policies(half.task)
            ours = half.play({"it": SplitEE(half.task.threshold)}, 2)["it"]
            theirs = half.play({"it": policy}, 2)["it"]
            assert (ours.split == theirs.split).all()
            assert np.allclose(ours.cost, theirs.cost, rtol=1e-12)
            assert np.allclose(ours.reward, theirs.reward, rtol=1e-12)
    finally:
        referee.close()


def test_what_is_checked_and_what_may_be_opened(tmp_path) -> None:
    assert {cell.track for cell in checked_cells()} == set(TRACKS)
    assert host._may_open("/usr/lib/python3/x.py", "r")
    assert not host._may_open(str(tmp_path / "labels.csv"), "r")
    assert not host._may_open("/home/me/results.txt", "w")
    import splitee

    bundled = splitee.__file__.replace("__init__.py", "data/imdb.parquet")
    assert not host._may_open(bundled, "rb")


def test_no_such_file(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Referee(tmp_path / "none.py")
    assert issubclass(PolicyError, Exception)
