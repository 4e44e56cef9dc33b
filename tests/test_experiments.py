"""The committed evaluation is of one piece: what is to be read is what the committed numbers say."""

import importlib
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

import splitee

ROOT = Path(__file__).parents[1]
HERE = ROOT / "experiments" / "splitee_2023"
WRITTEN = HERE / "results" / "tables"


@pytest.fixture(scope="module")
def modules():
    """The scripts, which import each other by their bare names."""
    names = ("writing", "scenarios", "tables")
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        for folder in (HERE, HERE.parent):
            sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)


def test_readable_tables_are_those_of_the_numbers(modules, tmp_path: Path) -> None:
    numbers = {path.stem: pd.read_csv(path) for path in WRITTEN.glob("*.csv")}
    modules["tables"].write_readable_tables(numbers, tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (WRITTEN / path.name).read_text(), path.name
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in WRITTEN.iterdir() if path.suffix != ".csv"
    }


def test_every_bundled_target_is_evaluated(modules) -> None:
    texts = {name for name in splitee.bundled_traces() if not name.startswith(("caltech", "slender"))}
    targets = {name for name in texts if not name.endswith("_validation")}
    assert set(pd.read_csv(WRITTEN / "curves.csv")["pair"]) == targets <= set(modules["scenarios"].PAIRS)


def test_numbers_are_what_a_replay_gives(modules) -> None:
    """A smaller target, whole: the same policies and prices, through the package alone."""
    curves = pd.read_csv(WRITTEN / "curves.csv")
    at = curves[(curves["pair"] == "scitail") & (curves["offload"] == 8) & (curves["device_layers"] == 6)]
    at = at.set_index("policy")
    trace = splitee.load_trace("scitail")
    alpha = trace.recommended_threshold
    costs = splitee.CostModel(offload=8.0, device_layers=6)
    policies = [splitee.SplitEE(alpha), splitee.SplitEES(alpha), splitee.CloudOnly()]
    told = splitee.replay(trace, policies, costs, mu=0.1, repeats=20, seed=0).summary().set_index("policy")
    for name, row in told.iterrows():
        for column in ("accuracy", "cost", "cost_low", "cost_high", "regret"):
            assert at.loc[name, column] == pytest.approx(row[column], rel=1e-5), (name, column)


def test_the_readme_shows_the_table_and_the_figure() -> None:
    readme = (HERE / "README.md").read_text()
    table = (WRITTEN / "readme.md").read_text().split("\n\n", 1)[1]
    assert table.strip() in readme
    figures = re.findall(r"!\[[^]]*\]\((results/[^)]*)\)", readme)
    assert figures
    assert all((HERE / figure).exists() for figure in figures)


def test_authors_numbers_are_marked_as_theirs() -> None:
    theirs = pd.read_csv(HERE / "authors.csv")
    main = (WRITTEN / "main.md").read_text()
    for method in theirs["method"].unique():
        assert f"authors: {method}" in main
    for name in ("main", "as_released", "counts"):
        text = (WRITTEN / f"{name}.md").read_text()
        assert "authors" in text


ELUE = ROOT / "experiments" / "elue_2022"


COST_EFF = ROOT / "experiments" / "cost_eff_2022"


def evaluation(folder: Path):
    """Import a script of that name, and forget it."""
    before = sys.modules.pop("evaluate", None)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("evaluate")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("evaluate", None)
        if before is not None:
            sys.modules["evaluate"] = before


@pytest.fixture(scope="module")
def elue():
    """The script of ELUE's evaluation."""
    return evaluation(ELUE)


@pytest.fixture(scope="module")
def cost_eff():
    """The script of COST-EFF's."""
    return evaluation(COST_EFF)


def test_elues_tables_are_what_traces_and_answers_say(elue) -> None:
    tables = ELUE / "results" / "tables"
    told = pd.read_csv(tables / "references.csv")
    pd.testing.assert_frame_equal(told, elue.references(), rtol=1e-5)
    shown = (tables / "objectives.md").read_text()
    for cells in elue.objectives().to_numpy():
        assert f"| {' | '.join(cells)} |" in shown


def test_elues_scores_are_the_packages_own(elue) -> None:
    """Without intervals, which take minutes."""
    tables = ELUE / "results" / "tables"
    files = list(tables.glob("scores_*.csv"))
    assert files
    for file in files:
        told = pd.read_csv(file)
        again = elue.scored(file.stem.removeprefix("scores_"), draws=0)[0]
        for column in ("task", "method", "seeds", "settings", "outside"):
            assert told[column].tolist() == again[column].tolist()
        for column in ("best", "score", "grid_score", "flops_low", "flops_high"):
            assert told[column].tolist() == pytest.approx(again[column].tolist(), rel=1e-4, nan_ok=True)


def test_the_router_agrees_with_the_replay_on_real_models() -> None:
    agreement = pd.read_csv(ELUE / "results" / "agreement.csv")
    assert len(agreement) >= 8
    assert (agreement["other_exit"] + agreement["other_answer"]).sum() <= 1e-3 * agreement["samples"].sum()


def test_slender_models_tables_are_what_traces_and_answers_say(cost_eff) -> None:
    tables = COST_EFF / "results" / "tables"
    every = cost_eff.models()
    told, again = pd.read_csv(tables / "sizes.csv"), cost_eff.sizes(every)
    pd.testing.assert_frame_equal(told, again, rtol=1e-4, check_dtype=False)
    pd.testing.assert_frame_equal(
        pd.read_csv(tables / "joined.csv"), cost_eff.joined(every), rtol=1e-4, check_dtype=False
    )
    shown = (tables / "sizes_minilm.md").read_text()
    for cells in cost_eff.shown(again[again["backbone"] == "minilm"]).to_numpy():
        assert f"| {' | '.join(map(str, cells))} |" in shown


def test_an_eighth_keeps_what_was_asked_for() -> None:
    told = pd.read_csv(COST_EFF / "results" / "tables" / "sizes.csv")
    (row,) = told.query(
        "backbone == 'minilm' and task == 'sst-2' and ratio == 8 and way == 'slender'"
    ).to_dict("records")
    assert row["parameters_share"] <= 0.125
    assert row["kept"] >= 92


SYSTEM = ROOT / "experiments" / "system"


def test_tables_of_where_splitting_pays_are_those_of_the_numbers(tmp_path: Path) -> None:
    sys.path[:0] = [str(SYSTEM), str(SYSTEM.parent)]
    try:
        tables = importlib.import_module("pays_tables")
    finally:
        for folder in (SYSTEM, SYSTEM.parent):
            sys.path.remove(str(folder))
        for name in ("pays_tables", "writing"):
            sys.modules.pop(name, None)
    results = SYSTEM / "results"
    for name in ("pays.parquet", "round_trips.csv"):
        (tmp_path / name).write_bytes((results / name).read_bytes())
    tables.write_tables(tmp_path)
    written = list((tmp_path / "tables").iterdir())
    assert len(written) == 6 * 3
    for path in written:
        assert path.read_text() == (results / "tables" / path.name).read_text(), path.name
    links = pd.read_parquet(results / "pays.parquet")
    for kind in ("cloud", "device", "cut"):
        assert (links.loc[links["answer"] == kind, f"{kind}_drop"] <= 1).all()
    assert not ((links["device_layers"] == 12) & (links["answer"] == "cut")).any()


LEARNERS = ROOT / "experiments" / "learners"


@pytest.fixture(scope="module")
def learners():
    """What the scripts about learners share."""
    sys.path.insert(0, str(LEARNERS))
    try:
        yield importlib.import_module("common")
    finally:
        sys.path.remove(str(LEARNERS))
        sys.modules.pop("common", None)


def test_certified_costs_are_what_a_replay_gives(learners) -> None:
    written = pd.read_csv(LEARNERS / "results" / "costs.csv")
    at = written.query("trace == 'scitail' and offload == 12 and device_layers == 6 and delta == 0.01").iloc[
        0
    ]
    trace, source = learners.loaded("scitail")
    costs = splitee.CostModel(offload=12.0, device_layers=6)
    orders = learners.orders_of(trace.samples, 20, "permutation", 13)
    policy = splitee.CertifiedSplit(0.01, source=source)
    assert splitee.replay(trace, policy, costs, orders=orders).cost.mean() == pytest.approx(
        at["cost_unknown"], rel=1e-5
    )
    cost, rule = learners.hindsight(trace, costs, "disagreement", 0.01)
    assert cost == pytest.approx(at["observable"], rel=1e-5)
    assert learners.answered_wrongly(trace, rule) <= 0.01
    assert learners.cost_of(trace, costs, rule) == pytest.approx(cost)


def test_the_promise_was_kept_and_the_page_says_how_often() -> None:
    runs = {name: pd.read_csv(LEARNERS / "results" / f"{name}.csv") for name in ("coverage", "adversarial")}
    told = (ROOT / "docs" / "certified.md").read_text()
    for table in runs.values():
        above, every = table["above"].sum(), table["runs"].sum()
        assert above <= 0.05 * every
        assert f"{above} of {every:,}" in told
    bounds = pd.read_csv(LEARNERS / "results" / "bounds.csv")
    above, every = bounds["above_bound"].sum(), bounds["runs"].sum()
    assert above <= 0.05 * every
    assert f"all but {above} of {every:,} runs" in " ".join(
        (ROOT / "docs" / "stopping.md").read_text().split()
    )


@pytest.mark.parametrize("kind", ["just above", "top", "flat", "bands", "cliff", "alike"])
def test_adversarial_traces_have_rules_above_delta(learners, kind: str) -> None:
    trace = learners.adversarial(kind, 0.01, samples=4000, exits=4)
    shares = [learners.answered_wrongly(trace, (1, alpha, 0, float("nan"))) for alpha in (0.5, 0.88, 0.9999)]
    assert shares[0] > 0.01
    if kind in ("just above", "top", "alike"):
        assert min(shares) > 0.01
    if kind == "cliff":
        assert shares[2] == 0
