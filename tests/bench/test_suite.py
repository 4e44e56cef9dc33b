"""The cells: what is sealed, and what a cell replays."""

import numpy as np
import pytest

import splitee
from splitee.bench import suite
from splitee.bench.suite import TRACKS, Cell, cells, ready, seal, systems


def a_cell(**wanted: object) -> Cell:
    return next(c for c in cells() if all(getattr(c, name) == value for name, value in wanted.items()))


def test_every_track_has_cells_and_numbers_are_places() -> None:
    assert {cell.track for cell in cells()} == set(TRACKS)
    assert [cell.number for cell in cells()] == list(range(len(cells())))
    assert len({cell.title for cell in cells()}) == len(cells())
    assert {cell.stream for cell in cells()} >= {"sudden", "gradual", "recurring", "bursts", "label-shift"}


def test_the_seal_speaks_of_numbers_and_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    before = seal()
    suite._seal.cache_clear()
    assert seal() == before
    monkeypatch.setattr(suite, "MU", 0.2)
    suite._seal.cache_clear()
    assert seal() != before
    monkeypatch.undo()
    suite._seal.cache_clear()
    assert seal() == before


def test_a_cell_is_a_replay() -> None:
    cell = a_cell(trace="rte_validation", half_device=False)
    half = ready(cell, judge=True)
    costs = splitee.CostModel(offload=cell.offload)
    ours = half.play(["splitee"])["SplitEE"]
    direct = splitee.replay(half.trace, "splitee", costs, 0.1, repeats=suite.REPEATS, seed=2)
    assert (ours.split == direct.split).all()
    assert half.task.threshold == half.trace.recommended_threshold


def test_short_streams_and_late_feedback() -> None:
    short = ready(a_cell(track="short", trace="caltech101"), judge=True).play(["splitee"])["SplitEE"]
    assert short.split.shape == (suite.REPEATS, suite.SHORT)
    late = ready(a_cell(track="delay", trace="caltech101"), judge=True)
    known = ready(a_cell(track="constant", trace="caltech101", offload=12.0), judge=True)
    assert (late.play(["splitee"])["SplitEE"].split != known.play(["splitee"])["SplitEE"].split).any()
    few = late.play(["splitee"], 1, 50)["SplitEE"]
    assert few.split.shape == (1, 50)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_systems_measure_energy_and_bytes(kind: str) -> None:
    trace = "qqp" if kind == "text" else "caltech101"
    for name in systems(kind):
        half = ready(a_cell(track="system", trace=trace, system=name), judge=False)
        result = half.play(["cloud-only"], 1)["cloud-only"]
        assert np.isfinite(result.energy).all()
        assert (result.kilobytes > 0).all()
        assert half.task.mu > 0


def test_half_a_device() -> None:
    half = ready(a_cell(trace="caltech101", half_device=True, track="constant"), judge=True)
    assert (half.task.layers, half.task.arms) == (7, 3)


def test_shifted_cells_choose_on_other_data_and_never_on_what_is_judged() -> None:
    for cell in (c for c in cells() if c.track == "shift"):
        choose, judge = ready(cell, judge=False), ready(cell, judge=True)
        assert choose.task.calibration is choose.trace
        assert choose.trace.name != judge.trace.name
        images = {str(sample).rpartition("/")[2] for sample in judge.trace.id}
        if cell.trace.startswith("caltech101"):
            assert not images & {str(sample) for sample in choose.trace.id}
        assert choose.trace.layers == judge.trace.layers
