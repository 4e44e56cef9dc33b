"""Results by group and by class, against the rounds counted one by one."""

import json

import commands
import numpy as np
import pytest
from hypothesis import given
from strategies import Case, cases, worlds
from twins import EXAMPLES, costs_of, trace_of

import splitee
from splitee.results.breakdown import by_class, by_group
from splitee.results.intervals import bootstrap_means, bootstrap_sums
from splitee.trace.quality import balanced_accuracy, macro_f1


@EXAMPLES
@given(cases(worlds()))
def test_every_round_counts_once(case: Case) -> None:
    trace = trace_of(case.world)
    groups = ["even" if i % 2 == 0 else "odd" for i in range(len(trace))]
    label = np.arange(len(trace)) % trace.classes
    trace = trace.replace(group=groups, label=label)
    policies = [splitee.SplitEE(case.threshold), splitee.ElasticBERT(case.threshold)]
    results = splitee.replay(trace, policies, costs_of(case.world), orders=[case.order, case.order])
    rows = {(row["policy"], row["group"]): row for row in by_group(results)}
    scores = {row["policy"]: row for row in by_class(results)}
    order = np.array([case.order, case.order])
    for name, result in results.items():
        answer = np.where(
            result.offloaded,
            (trace.cloud_prediction if trace.cloud_prediction is not None else trace.prediction[:, -1])[
                order
            ],
            trace.prediction[order, np.maximum(result.split, 1) - 1],
        )
        right = answer == trace.label[order]
        for group in ("even", "odd"):
            here = np.array(groups)[order] == group
            if not here.any():
                assert (name, group) not in rows
                continue
            row = rows[name, group]
            assert row["samples"] == len(set(order[here].tolist()))
            assert row["accuracy"] == pytest.approx(right[here].mean())
            assert row["exited"] == pytest.approx(1 - result.offloaded[here].mean())
            assert row["mean_layer"] == pytest.approx(result.split[here].mean())
        parts = [rows[name, group] for group in ("even", "odd") if (name, group) in rows]
        share = [(np.array(groups)[order] == row["group"]).mean() for row in parts]
        assert sum(w * row["cost"] for w, row in zip(share, parts, strict=True)) == pytest.approx(
            result.cost.mean()
        )
        assert scores[name]["macro_f1"] == pytest.approx(macro_f1(answer.ravel(), trace.label[order].ravel()))
        assert scores[name]["balanced_accuracy"] == pytest.approx(
            balanced_accuracy(answer.ravel(), trace.label[order].ravel())
        )


def test_sums_and_means_have_the_same_resamples() -> None:
    values = np.random.default_rng(0).random((50, 3))
    (sums,) = bootstrap_sums([values])
    (means,) = bootstrap_means([values], np.ones(50))
    np.testing.assert_allclose(sums / 50, means)


def test_balanced_accuracy_of_the_right_answers() -> None:
    trace = splitee.load_trace("rte_validation")
    results = splitee.replay(trace, [splitee.FinalExit()], repeats=1)
    row = results.summary(by="class").iloc[0]
    assert row["macro_f1"] == pytest.approx(macro_f1(trace.prediction[:, -1], trace.label))
    assert row["macro_f1_low"] < row["macro_f1"] < row["macro_f1_high"]


def test_what_is_not_known_is_said(tmp_path) -> None:
    trace = splitee.load_trace("rte_validation")
    results = splitee.replay(trace, ["final-exit"], repeats=1)
    with pytest.raises(splitee.InputError, match="no groups"):
        results.summary(by="group")
    with pytest.raises(splitee.InputError, match="group or class"):
        results.summary(by="id")
    with pytest.raises(splitee.InputError, match="no labels"):
        by_class(splitee.replay(trace.replace(label=None), ["final-exit"], repeats=1))
    results.save(tmp_path / "r")
    with pytest.raises(splitee.InputError, match="loaded from a file"):
        splitee.load_results(tmp_path / "r").summary(by="class")


def test_run_prints_them(tmp_path) -> None:
    trace = splitee.load_trace("rte_validation")
    trace.replace(group=["a", "b"] * 138 + ["a"]).save(tmp_path / "t.parquet")
    args = (
        "run",
        tmp_path / "t.parquet",
        "--policy",
        "final-exit",
        "--repeats",
        "1",
        "--by",
        "group",
        "--by",
        "class",
    )
    done = commands.run(*args)
    assert "by group" in done.stdout
    assert "macro-F1" in done.stdout
    (scenario, _) = json.loads(commands.run(*args, "--json").stdout)["scenarios"]
    assert [row["group"] for row in scenario["by_group"]] == ["a", "b"]
    assert [row["samples"] for row in scenario["by_group"]] == [139, 138]
    assert scenario["by_class"][0]["classes"] == 2
