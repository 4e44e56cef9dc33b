"""The phase map against a search written out, and what the figure shows."""

import matplotlib.patches
import numpy as np
import pytest
from matplotlib.collections import QuadMesh

import splitee
from splitee.report.figures.phase_map import phase_map_figure
from splitee.report.phase_map import CLASSES, phase_map
from splitee.trace.threshold import GRID

OFFLOADS, DROPS = (0.5, 4.0, 40.0), (0.5, 3.0, 20.0)


@pytest.fixture(scope="module")
def trace() -> splitee.Trace:
    """Deep exits are right more often, and surer where they are."""
    rng = np.random.default_rng(3)
    n, layers = 600, 4
    label = rng.integers(2, size=n)
    skill = np.clip(np.linspace(0.55, 0.95, layers) + rng.normal(0, 0.15, (n, 1)), 0, 1)
    right = rng.random((n, layers)) < skill
    sure = np.clip(0.5 + 0.5 * skill + rng.normal(0, 0.05, (n, layers)), 0.5, 1)
    return splitee.Trace(sure, np.where(right, label[:, None], 1 - label[:, None]), label, "made-up")


@pytest.fixture(scope="module")
def found(trace: splitee.Trace):
    return phase_map(trace, offloads=OFFLOADS, drops=DROPS, seed=1)


def test_the_cheapest_split_by_a_search_written_out(trace: splitee.Trace, found) -> None:
    shuffled = np.random.default_rng(np.random.SeedSequence(1, spawn_key=(5,))).permutation(trace.samples)
    halves = [trace.select(np.sort(part)) for part in np.array_split(shuffled, 2)]
    for offload in OFFLOADS:
        costs = splitee.CostModel(offload=offload)
        rows = []
        for layer in range(1, trace.layers + 1):
            for alpha in GRID:
                policy = splitee.FixedSplit(layer, alpha)
                told = [splitee.replay(half, policy, costs, repeats=1).summary().iloc[0] for half in halves]
                bound, cost = told[0]["accuracy_delta_low"], told[0]["cost"]
                rows.append((100 * bound, cost, told[1]["cost"], 100 * told[1]["accuracy_delta"]))
        for drop in DROPS:
            cell = found[(found["offload"] == offload) & (found["drop"] == drop)]
            mine = cell[cell["class"] == "fixed split"].iloc[0]
            allowed = [row for row in rows if row[0] >= -drop]
            expected = min(allowed, key=lambda row: row[1])
            if expected[3] >= -drop:
                assert mine["cost"] == pytest.approx(expected[2])
                assert mine["points"] == pytest.approx(expected[3])
            else:
                assert np.isnan(mine["cost"])


@pytest.mark.parametrize("offload", OFFLOADS)
def test_the_cheapest_learner_and_cascade_on_half_a_device(trace: splitee.Trace, offload: float) -> None:
    found = phase_map(trace, 2, offloads=(0.25, offload), drops=DROPS, mu=0.2, seed=4)
    found = found[found["offload"] == offload]
    shuffled = np.random.default_rng(np.random.SeedSequence(4, spawn_key=(5,))).permutation(trace.samples)
    halves = [trace.select(np.sort(part)) for part in np.array_split(shuffled, 2)]
    costs = splitee.CostModel(offload=offload, device_layers=2)
    learners = [
        make(alpha)
        for make in (
            splitee.SplitEE,
            splitee.SplitEES,
            splitee.UCBTuned,
            splitee.ThompsonSplit,
            splitee.ExploreThenCommit,
        )
        for alpha in GRID
    ]
    cascades = [*(splitee.ElasticBERT(alpha, last=2) for alpha in GRID), splitee.PABEE(1, last=2)]
    for name, members in (("learner", learners), ("device cascade", cascades)):
        told = [
            [splitee.replay(half, one, costs, 0.2, repeats=1, seed=4).summary().iloc[0] for one in members]
            for half in halves
        ]
        for drop in DROPS:
            mine = found[(found["drop"] == drop) & (found["class"] == name)].iloc[0]
            allowed = [k for k, row in enumerate(told[0]) if 100 * row["accuracy_delta_low"] >= -drop]
            if not allowed:
                assert np.isnan(mine["cost"])
                continue
            best = told[1][min(allowed, key=lambda k: told[0][k]["cost"])]
            if 100 * best["accuracy_delta"] >= -drop:
                assert mine["cost"] == pytest.approx(best["cost"])
            else:
                assert np.isnan(mine["cost"])


def test_every_cell_has_one_winner_and_it_is_the_cheapest(found) -> None:
    assert len(found) == len(OFFLOADS) * len(DROPS) * len(CLASSES)
    for _, cell in found.groupby(["offload", "drop"]):
        assert cell["cheapest"].sum() == 1
        assert cell.loc[cell["cheapest"], "cost"].iloc[0] == cell["cost"].min()
        # who sends everything loses nothing
        assert cell.loc[cell["class"] == "cloud-only", "cost"].iloc[0] == cell["offload"].iloc[0]
        assert (cell["points"].isna() | cell["cost"].isna() | (cell["points"] >= -cell["drop"] - 1e-6)).all()


def test_cheap_sending_is_for_the_cloud_and_dear_sending_for_the_device(found) -> None:
    won = found[found["cheapest"]].set_index(["offload", "drop"])["class"]
    assert won[(0.5, 0.5)] == "cloud-only"
    assert won[(40.0, 20.0)] in ("fixed exit", "device cascade")


def test_half_a_device_has_no_deeper_exits(trace: splitee.Trace) -> None:
    half = phase_map(trace, 2, offloads=(4.0,), drops=(1.0,))
    assert half["device_layers"].unique().tolist() == [2]
    assert not half["policy"].str.contains("exit 3|exit 4|split 3|split 4").any()


def test_twice_is_the_same(trace: splitee.Trace, found) -> None:
    assert phase_map(trace, offloads=OFFLOADS, drops=DROPS, seed=1).equals(found)


def test_what_it_needs(trace: splitee.Trace) -> None:
    with pytest.raises(splitee.InputError, match="no labels"):
        phase_map(trace.replace(label=None))
    with pytest.raises(splitee.InputError, match="give a Trace"):
        phase_map("imdb")
    for nothing in ({"offloads": ()}, {"drops": ()}):
        with pytest.raises(splitee.InputError, match="at least one"):
            phase_map(trace, **nothing)
    with pytest.raises(splitee.InputError, match="at least 4"):
        phase_map(trace.select([0, 1, 2]))


def test_figure_where_no_class_will_do(found) -> None:
    lost = found.assign(cheapest=found["cheapest"] & (found["drop"] > 1))
    lost.loc[lost["drop"] < 1, "cost"] = np.nan
    figure = phase_map_figure([lost])
    (mesh,) = (item for item in figure.axes[0].collections if isinstance(item, QuadMesh))
    assert len(np.unique(mesh.get_array().reshape(len(DROPS), -1)[0])) == 1


def test_figure_shows_the_winners(found) -> None:
    figure = phase_map_figure([found, found.assign(device_layers=2)])
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left").split(", ")[1].split()[0] for axes in panels] == ["4", "2"]
    (mesh,) = (item for item in panels[0].collections if isinstance(item, QuadMesh))
    shown = mesh.get_array().reshape(len(DROPS), len(OFFLOADS))
    won = found[found["cheapest"]].pivot(index="drop", columns="offload", values="class").to_numpy()
    for kind in np.unique(won):
        assert len(np.unique(shown[won == kind])) == 1  # one colour a class
    assert len(np.unique(shown)) == len(np.unique(won))
    learner = found[found["class"] == "learner"].set_index(["offload", "drop"])["cost"]
    least = found[found["cheapest"]].set_index(["offload", "drop"])
    near = (learner <= 1.05 * least["cost"]) & (least["class"] != "learner")
    hatched = [p for p in panels[0].patches if isinstance(p, matplotlib.patches.Rectangle) and p.get_hatch()]
    assert len(hatched) == near.sum()
