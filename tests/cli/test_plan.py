"""`splitee plan`: the answer keeps the limits, its numbers are those of a replay, bad input is one line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import splitee
from splitee._internal.errors import InputError
from splitee.cli import cli
from splitee.report.planning import Limits, cheapest, halves, plan

DEVICE = ("--layer-ms", "15", "--exit-ms", "1")


def run(*arguments: str) -> dict:  # type: ignore[type-arg]
    done = CliRunner().invoke(cli, ["plan", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_the_answer_is_what_a_replay_measures() -> None:
    found = run("sst2_validation", *DEVICE, "--uplink", "0.2", "--rtt", "300", "--max-drop", "2")
    answer = found["answer"]
    assert {"policy", "latency_p50", "latency_p95", "energy", "kilobytes", "drop"} <= answer.keys()
    trace = splitee.load_trace("sst2_validation")
    judged = halves(trace.samples)[1]
    system = splitee.System(splitee.DeviceProfile(15, 1), splitee.Link(0.2, 300))
    name = answer["policy"]
    kind = splitee.CascadeSplit if name.startswith("cascade") else splitee.FixedSplit
    policy = splitee.FixedExit(answer["layer"])
    if answer["threshold"] is not None:
        policy = kind(answer["layer"], answer["threshold"])
    results = splitee.replay(trace.select(judged), [policy, splitee.FinalExit()], system, repeats=1)
    row = results.rows()[0]
    assert policy.label == name
    for column in ("latency_p50", "latency_p95", "latency", "kilobytes", "offload_rate"):
        assert answer[column] == pytest.approx(row[column], rel=1e-9)
    assert answer["drop"] == pytest.approx(-100 * row["accuracy_delta"], abs=1e-9)
    assert answer["energy"] is None


def test_no_other_rule_within_the_limits_is_cheaper() -> None:
    trace = splitee.load_trace("sst2_validation")
    system = splitee.System(splitee.DeviceProfile(15, 1, 40, 3), splitee.Link(1, 200), device_layers=6)
    limits = Limits(3.0, max_p95=300.0, max_mj=260.0)
    found = plan(trace, system, limits)
    assert found.answer is not None
    for one in found.every:
        if one.chosen_on.within(limits):
            assert one.chosen_on.cost >= found.answer.chosen_on.cost
    assert found.answer.chosen_on.energy <= 260
    for name in limits.given:
        other = cheapest(found.every, limits.without(name))
        assert other is not None
        assert other.chosen_on.cost <= found.answer.chosen_on.cost
    assert found.answer in found.table


def test_halves_are_disjoint_and_whole() -> None:
    first, second = halves(101)
    assert sorted(np.concatenate([first, second]).tolist()) == list(range(101))
    with pytest.raises(InputError, match="at least 4"):
        halves(3)


def test_few_rounds_are_spread_over_the_whole_trace() -> None:
    """Traces are often sorted by class: the first rows of a half would be one class."""
    for half in halves(10_000, rounds=500):
        assert len(half) == 500
        assert (np.diff(half) > 0).all()
        assert half.mean() == pytest.approx(5000, abs=500)


def test_a_plan_of_few_rounds_and_thresholds() -> None:
    trace = splitee.load_trace("sst2_validation")
    system = splitee.System(splitee.DeviceProfile(15, 1), splitee.Link(1, 200))
    found = plan(trace, system, Limits(3.0), rounds=100, alphas=(0.8, 0.9))
    assert {getattr(one.policy, "threshold", 0.8) for one in found.every} == {0.8, 0.9}
    assert len(found.every) == 1 + 12 + 2 * 11 + 2 * 11


def test_a_fading_link_queues_and_outages(tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "plan"
    found = run(
        "rte_validation", *DEVICE, "--link", "hsdpa_bus_1_down", "--arrivals", "3/s", "--outage", "5:20",
        "--deadline", "500", "--device-layers", "half", "--max-drop", "30", "--out", str(out),
    )  # fmt: skip
    assert found["answer"]["latency_p95"] >= found["answer"]["latency_p50"]
    assert json.loads((out / "plan.json").read_text()) == found
    assert {file.name for file in out.iterdir()} == {"plan.json", "frontier.png", "latencies.png", "link.png"}


def test_it_says_what_cannot_be_had_and_what_cannot_be_told() -> None:
    none = run("rte_validation", *DEVICE, "--max-p95", "0.001")
    assert none["answer"] is None
    assert none["sentences"][0] == "No rule keeps --max-drop 1, --max-p95 0.001."
    few = run("rte_validation", *DEVICE, "--rtt", "5000", "--max-drop", "1")
    assert any("The data cannot tell whether it keeps --max-drop" in line for line in few["sentences"])
    shown = CliRunner().invoke(cli, ["plan", "rte_validation", *DEVICE])
    assert shown.exit_code == 0
    assert "Cut before layer 1" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "give either --device FILE or --layer-ms"),
        ([*DEVICE, "--device", "x.json"], "give either --device FILE or --layer-ms"),
        ([*DEVICE, "--uplink", "-3"], "--uplink '-3' is not a finite number of at least 0"),
        ([*DEVICE, "--uplink", "0"], "uplink"),
        ([*DEVICE, "--uplink", "3", "--link", "hsdpa_bus_1_down"], "leave one out"),
        ([*DEVICE, "--link", "nowhere.csv"], "nowhere.csv"),
        ([*DEVICE, "--outage", "3"], "outage"),
        ([*DEVICE, "--outage", "a:b"], "write it as FROM:TO"),
        ([*DEVICE, "--arrivals", "0/s"], "arrivals"),
        ([*DEVICE, "--weights", "ms"], "write it as ms=1"),
        ([*DEVICE, "--weights", "mJ=1"], "give layer_mj and exit_mj"),
        ([*DEVICE, "--device-layers", "13"], "13"),
        (["--device", "sst2_slender_epyc_1_thread"], "has 6 layers"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], line: str) -> None:
    done = CliRunner().invoke(cli, ["plan", "rte_validation", *arguments])
    assert isinstance(done.exception, InputError), done.output
    assert line in str(done.exception)
    assert "\n" not in str(done.exception)
