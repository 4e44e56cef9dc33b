"""CertifiedSplit equals its specification, decision for decision, also with delay, drift and live."""

import math

import naive
import naive_certified
import numpy as np
import pytest
from audited import check_in_a_system
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import easy, harmless
from strategies import Case, cases, worlds
from systems import SystemCase, system_cases
from twins import check, replayed, trace_of

import splitee
from splitee.policies import drift
from splitee.policies.loop import DeviceLoop, Feedback
from splitee.policies.problem import Problem

DELAYS = st.sampled_from([0, 0, 1, 3, 40, 1000])
CLASSES = 4  # of `trace_of`
SETTINGS = st.fixed_dictionaries(
    {
        "max_disagreement": st.sampled_from([0.05, 0.2, 0.5]),
        "failure": st.sampled_from([0.05, 0.5]),
        "drift": st.booleans(),
        "known": st.sampled_from([None, "length", "samples"]),
        "sourced": st.booleans(),
        "delay": DELAYS,
        "alarm": st.sampled_from([20.0, 1e6]),
        "disagreement": st.sampled_from([0.0, 0.02, 0.3, 1.0]),
        "labels": st.sampled_from([None, 0, 3, 1000]),
    }
)


def of(world: naive.World, case: Case, given: dict, seed: int) -> tuple:
    """Return the case with a longer stream, its source, and how the policy and the twin are called."""
    rng = np.random.default_rng(seed)
    long = rng.integers(len(world.confidence), size=rng.integers(1, 500)).tolist()
    if seed % 3 == 0:  # sorted by confidence at some exit: drift
        long.sort(key=lambda s: world.confidence[s][seed % world.layers])
    last = [naive.cloud_answer(world, s) for s in range(len(world.confidence))]
    for s, row in enumerate(world.prediction):  # most agree with the last exit, as in life
        for i in range(world.layers):
            if rng.random() >= given["disagreement"]:
                row[i] = last[s]
    case = Case(world, long, case.threshold, 1.0, False, [], 1)
    source = None
    if given["sourced"]:
        source = naive.World(world.confidence, world.prediction, world.label, offload=world.offload)
    common = {"drift": given["drift"], "failure": given["failure"]}
    common["horizon"] = len(long) if given["known"] else None
    common["without_replacement"] = given["known"] == "samples"
    if world.label is not None and given["labels"] is not None and given["known"] != "samples":
        common |= {"loss": "error", "labels": given["labels"], "label_cost": 0.7}
    twin = common | {"classes": CLASSES, "delta": given["max_disagreement"], "source": source}
    ours = common | {"max_disagreement": given["max_disagreement"]}
    ours["source"] = source and trace_of(source).replace(manifest=trace_of(world).manifest)
    return case, ours, twin


def coins(rounds: int) -> list[tuple[float, float]]:
    """What the policy's own generator of repeat 0 draws."""
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0))).random((rounds, 2)).tolist()


def journal(result: splitee.Result) -> list[tuple[int, int, int]]:
    table = result.certificate()
    return list(zip(table["t"], table["alarms"], table["layer"], strict=True))


@settings(max_examples=15)
@given(cases(worlds(max_layers=5, exit_layers=None)), SETTINGS, st.integers(0, 1000))
def test_it_is_the_specification(case: Case, given: dict, seed: int) -> None:
    case, ours, twin = of(case.world, case, given, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "ALARM", given["alarm"])
        patch.setattr(naive_certified, "ALARM", given["alarm"])
        result = replayed(case, splitee.CertifiedSplit(**ours), given["delay"])
        rounds, changes = naive_certified.certified_split(
            case.world, case.order, coins(len(case.order)), delay=given["delay"], **twin
        )
    check(result, rounds, case, has_arms=False)
    error = twin.get("loss") == "error"
    paths = naive_certified.Setting(case.world, CLASSES, twin["delta"], twin["source"], error).paths
    assert journal(result) == [(t, a, paths[p][0] if p >= 0 else 0) for t, a, p, _ in changes]


@pytest.mark.slow
@settings(max_examples=12)
@given(cases(worlds(max_layers=5, exit_layers=None)), SETTINGS, st.integers(0, 1000))
def test_live_it_decides_as_in_the_replay(case: Case, given: dict, seed: int) -> None:
    object.__setattr__(case.world, "sample_offload", None)  # a live device does not know a sample's cost
    case, ours, _ = of(case.world, case, given | {"labels": None}, seed)
    policy, delay = splitee.CertifiedSplit(**ours), given["delay"]
    live = policy.live()
    assert isinstance(live, DeviceLoop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "ALARM", given["alarm"])
        compiled, stepwise = replayed(case, policy, delay), replayed(case, live, delay)
    assert stepwise.split.tolist() == compiled.split.tolist()
    assert stepwise.offloaded.tolist() == compiled.offloaded.tolist()
    assert stepwise.evaluated.tolist() == compiled.evaluated.tolist()


HALF = splitee.CostModel(offload=12.0, device_layers=3)


def test_it_certifies_audits_less_and_keeps_the_promise() -> None:
    trace = easy()
    result = splitee.replay(trace, splitee.CertifiedSplit(0.02), HALF, repeats=8, seed=1)
    table = result.certificate()
    assert table["repeat"].unique().tolist() == list(range(1, 9))
    for _, rows in table.groupby("repeat"):
        assert rows["t"].is_monotonic_increasing
        assert rows["layer"].iloc[0] == 0
        assert np.isnan(rows["threshold"].iloc[0])
        assert (rows["layer"].iloc[1:] > 0).all()
        assert (rows["margin"].iloc[1:] >= 0).all()
    for row in table[table["layer"] > 0].itertuples():
        sure = trace.confidence[:, row.layer - 1].astype(float) >= row.threshold
        assert np.mean(sure & (trace.prediction[:, row.layer - 1] != trace.prediction[:, -1])) <= 0.02
    assert result.cost.max() < 0.75 * 12.0
    evaluated = result.evaluated
    assert (evaluated[:, :50] == 3).all()  # full audits
    assert (evaluated[:, -500:] == 3).mean() < 0.2
    kinds = {
        (e, o) for e, o in zip(evaluated.ravel().tolist(), result.offloaded.ravel().tolist(), strict=True)
    }
    assert {(1, False), (1, True), (3, True)} <= kinds


def test_the_source_adds_a_cascade_that_is_audited_too() -> None:
    trace, source = easy(), easy(seed=5)
    costs = splitee.CostModel(layer=2.0, exit=0.1, offload=12.0, device_layers=3)
    result = splitee.replay(trace, splitee.CertifiedSplit(0.02, source=source), costs, repeats=4)
    table = result.certificate()
    cascades = table[table["second_layer"] > 0]
    assert len(cascades)
    assert (cascades["second_layer"] > cascades["layer"]).all()
    assert (result.evaluated == 2).any()


@pytest.mark.parametrize("delay", [0, 30])
def test_no_decision_depends_on_what_was_not_observed(delay: int) -> None:
    """Where the last exit was not asked, its answer, and those of exits not evaluated, may be anything."""
    trace = easy(rate=0.01)
    policy = splitee.CertifiedSplit(0.05)
    order = [np.arange(trace.samples)]
    result = splitee.replay(trace, policy, HALF, orders=order, delay=delay)
    asked = result.offloaded[0]
    prediction, confidence = trace.prediction.copy(), trace.confidence.copy()
    prediction[~asked, -1] = 1 - prediction[~asked, -1]
    confidence[~asked, -1] = 0.5
    for s in np.flatnonzero(result.evaluated[0] == 1):
        others = np.arange(3) != result.split[0, s] - 1
        prediction[s, :3][others] = 1 - prediction[s, :3][others]
        confidence[s, :3][others] = 0.5
    changed = splitee.Trace(confidence, prediction, trace.label, "changed")
    again = splitee.replay(changed, policy, HALF, orders=order, delay=delay)
    assert again.split.tolist() == result.split.tolist()
    assert again.offloaded.tolist() == result.offloaded.tolist()
    late = prediction.copy()  # and what comes after the stream's middle teaches nothing before it
    late[2000 - delay :] = 1 - late[2000 - delay :]
    again = splitee.replay(
        splitee.Trace(trace.confidence, late, name="late"), policy, HALF, orders=order, delay=delay
    )
    assert again.split[0, :2000].tolist() == result.split[0, :2000].tolist()


def test_after_a_change_it_falls_back_and_certifies_anew() -> None:
    """In the second half, exit 3 is seldom sure and often wrong."""
    before, after = easy(), easy(rate=0.15, seed=3)
    confidence = np.concatenate([before.confidence, np.clip(after.confidence * 0.95, 0.5, 1)])
    trace = splitee.Trace(confidence, np.concatenate([before.prediction, after.prediction]), name="both")
    result = splitee.replay(trace, splitee.CertifiedSplit(0.02), HALF, orders=[range(8000)])
    table = result.certificate()
    changed = table[table["alarms"] == 1]
    assert 4000 < changed["t"].min() < 4400
    assert changed["layer"].iloc[0] == 0
    assert changed["audits"].iloc[0] == 0
    steady = splitee.replay(trace, splitee.CertifiedSplit(0.02, drift=False), HALF, orders=[range(8000)])
    assert set(steady.certificate()["alarms"]) == {0}
    assert result.agreement[0] > steady.agreement[0]


def test_levels_sum_to_the_failure_probability() -> None:
    from splitee.policies.certificate import level_of

    every = [level_of(0.05, alarms, True) for alarms in range(100_000)]
    assert sum(every) == pytest.approx(0.05, abs=1e-6)
    assert sum(every) < 0.05
    assert level_of(0.05, 0, False) == 0.05


def test_lost_answers_are_counted_against_a_rule_or_not_at_all() -> None:
    live = splitee.CertifiedSplit(0.2, failure=0.5).live()
    costs = splitee.CostModel(offload=12.0, device_layers=2)
    live.start(Problem(3, 2, costs, 0.1, 2, 0.7), np.random.default_rng(0))
    full = Feedback((1, 2), (0.9, 0.9), (0, 0), True, 14.0, None, None)
    assert live.begin(1, None) == 1
    assert live.decide(1, 0.9, 0) == 2
    assert live.decide(2, 0.9, 0) == splitee.OFFLOAD
    live.learn(1, full)
    assert not live.learner.state.path[:, :4].any()
    live.begin(2, None), live.decide(1, 0.9, 0), live.decide(2, 0.9, 0)
    live.begin(3, None), live.decide(1, 0.9, 0), live.decide(2, 0.9, 0)
    answered = Feedback((1, 2), (0.9, 0.9), (0, 0), True, 14.0, 0.9, 0)
    live.learn(3, answered)  # waits for round 2
    assert not live.learner.state.path[:, :4].any()
    live.learn(2, answered)
    assert (live.learner.state.path[:, 3] == 2).all()


def test_bad_parameters_and_traces_are_refused() -> None:
    for wrong, words in (
        ({"max_disagreement": 0.0}, "max_disagreement is 0.0: give a share from 0.0001 to 0.5"),
        ({"max_disagreement": 1}, "max_disagreement is 1"),
        ({"failure": math.nan}, "failure is nan"),
        ({"horizon": 0}, "horizon is 0: give a whole number"),
        ({"source": "imdb"}, "source is 'imdb'"),
        ({"drift": 1}, "drift is 1: give True or False"),
        ({"without_replacement": True}, "without_replacement needs the number of samples: give horizon"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            splitee.CertifiedSplit(**wrong)
    other = splitee.Trace([[0.6, 0.9]], [[0, 1]])
    with pytest.raises(splitee.InputError, match="give one of the same model"):
        splitee.replay(easy(n=10), splitee.CertifiedSplit(source=other))
    scores = splitee.Trace([[0.5, 0.5]] * 3, [[0, 0]] * 3, value=[[1.0, 2.0]] * 3)
    with pytest.raises(splitee.InputError, match="certified needs classes"):
        splitee.replay(scores, splitee.CertifiedSplit())
    result = splitee.replay(easy(n=10), splitee.SplitEE(0.7), repeats=1)
    with pytest.raises(splitee.InputError, match="SplitEE reports no certificate"):
        result.certificate()


def test_in_a_system_feedback_comes_when_the_answer_is_back() -> None:
    """Where every sample waits for the one before it, a System decides as costs without a clock do."""
    trace = easy(n=1500)
    profile = splitee.DeviceProfile(layer_ms=1.0, exit_ms=0.2)
    system = splitee.System(
        profile, splitee.Link(uplink=1.0, rtt=10.0), sends="input", input_bytes=250.0, device_layers=3
    )
    costs = splitee.CostModel(layer=1.0, exit=0.2, offload=12.0, device_layers=3)
    policy = splitee.CertifiedSplit(0.05)
    timed, plain = (splitee.replay(trace, policy, c, repeats=2) for c in (system, costs))
    assert timed.split.tolist() == plain.split.tolist()
    assert timed.offloaded.tolist() == plain.offloaded.tolist()
    assert timed.certificate().equals(plain.certificate())
    crowded = splitee.System(
        profile, splitee.Link(uplink=1.0, rtt=100.0), sends="input", input_bytes=250.0, device_layers=3,
        arrivals=5.0, deadline=120.0,
    )  # fmt: skip
    late = splitee.replay(trace, policy, crowded, repeats=1)
    assert late.certificate()["audits"].max() > 0
    assert len(set(late.split[0].tolist())) > 1


def test_labels_license_an_exit_that_disagrees_harmlessly() -> None:
    trace = harmless()
    silent = splitee.replay(trace, splitee.CertifiedSplit(0.05), HALF, repeats=4)
    policy = splitee.CertifiedSplit(0.05, loss="error", labels=500, label_cost=2.0)
    result = splitee.replay(trace, policy, HALF, repeats=4)
    assert (result.certificate().groupby("repeat")["layer"].last() == 3).sum() >= 3
    assert result.cost.mean() < 0.9 * silent.cost.mean()
    assert (result.cost_labels > 0).all()
    assert (result.cost_labels * trace.samples / 2.0 <= 500 + 1e-6).all()
    parts = result.cost_layers + result.cost_exits + result.cost_offload + result.cost_labels
    assert result.cost == pytest.approx(parts)
    assert result.per_sample[:, 2].sum() == pytest.approx(result.cost.sum() * trace.samples)
    few = splitee.replay(trace, splitee.CertifiedSplit(0.05, loss="error", labels=3), HALF, repeats=4)
    assert (few.cost_labels * trace.samples <= 3 + 1e-6).all()
    assert result.name == "certified (δ = 0.05, error, ≤ 500 labels)"


def test_bad_losses_are_refused() -> None:
    for wrong, words in (
        ({"loss": "error", "horizon": 9, "without_replacement": True}, "not available without replacement"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            splitee.CertifiedSplit(**wrong)


@settings(max_examples=25)
@given(system_cases(), st.sampled_from([0.05, 0.2, 0.5]), st.sampled_from([20.0, 1e6]), st.booleans())
def test_in_a_system_it_decides_as_its_device_loop(
    one: SystemCase, delta: float, alarm: float, sourced: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "ALARM", alarm)
        check_in_a_system(one, splitee.CertifiedSplit(delta, 0.5, source=one.trace if sourced else None))
