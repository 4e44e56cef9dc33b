"""AuditedStopping equals its specification, decision for decision, also with delay, drift and live."""

import naive
import naive_stopping
import numpy as np
import pytest
from audited import check_in_a_system
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import easy
from strategies import Case, cases, worlds
from systems import SystemCase, system_cases
from twins import check, replayed

import splitee
from splitee.policies import drift
from splitee.policies.loop import DeviceLoop

HALF = splitee.CostModel(offload=12.0, device_layers=3)
SETTINGS = st.fixed_dictionaries(
    {
        "max_disagreement": st.sampled_from([0.01, 0.05, 0.2]),
        "failure": st.sampled_from([0.05, 0.5]),
        "drift": st.booleans(),
        "delay": st.sampled_from([0, 0, 1, 3, 40, 1000]),
        "alarm": st.sampled_from([20.0, 1e6]),
        "disagreement": st.sampled_from([0.0, 0.02, 0.3, 1.0]),
        "labels": st.sampled_from([None, None, 0, 3, 1000]),
    }
)


def of(case: Case, given: dict, seed: int) -> Case:
    """Return the case with a longer stream, whose exits mostly agree with the last."""
    rng, world = np.random.default_rng(seed), case.world
    order = rng.integers(len(world.confidence), size=rng.integers(1, 500)).tolist()
    if seed % 3 == 0:  # sorted by confidence at some exit: drift
        order.sort(key=lambda s: world.confidence[s][seed % world.layers])
    for s, row in enumerate(world.prediction):
        for i in range(world.layers):
            if rng.random() >= given["disagreement"]:
                row[i] = naive.cloud_answer(world, s)
    return Case(world, order, case.threshold, 1.0, False, [], 1)


def coins(rounds: int) -> list[tuple[float, float, float, float]]:
    """What the policy's own generator of repeat 0 draws."""
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0))).random((rounds, 4)).tolist()


@settings(max_examples=15)
@given(cases(worlds(max_layers=5, exit_layers=None)), SETTINGS, st.integers(0, 1000))
def test_it_is_the_specification(case: Case, given: dict, seed: int) -> None:
    case = of(case, given, seed)
    ours = {name: given[name] for name in ("max_disagreement", "failure", "drift")}
    bought = {}
    if case.world.label is not None and given["labels"] is not None:
        bought = {"labels": given["labels"], "label_cost": 0.7}
        ours |= {"loss": "error", **bought}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "ALARM", given["alarm"])
        result = replayed(case, splitee.AuditedStopping(**ours), given["delay"])
    rounds, told = naive_stopping.audited_stopping(
        case.world,
        case.order,
        coins(len(case.order)),
        delta=given["max_disagreement"],
        failure=given["failure"],
        drift=given["drift"],
        delay=given["delay"],
        alarm=given["alarm"],
        **bought,
    )
    check(result, rounds, case, has_arms=False)
    for row in result.certificate().itertuples():
        account, bound = (x / row.t for x in told[row.t - 1])
        assert (row.account, row.bound) == pytest.approx((account, bound), rel=1e-9, abs=1e-9)


@pytest.mark.slow
@settings(max_examples=12)
@given(cases(worlds(max_layers=5, exit_layers=None)), SETTINGS, st.integers(0, 1000))
def test_live_it_decides_as_in_the_replay(case: Case, given: dict, seed: int) -> None:
    object.__setattr__(case.world, "sample_offload", None)  # a live device does not know a sample's cost
    case = of(case, given, seed)
    policy = splitee.AuditedStopping(given["max_disagreement"], drift=given["drift"])
    assert isinstance(policy.live(), DeviceLoop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "ALARM", given["alarm"])
        compiled = replayed(case, policy, given["delay"])
        stepwise = replayed(case, policy.live(), given["delay"])
    assert stepwise.split.tolist() == compiled.split.tolist()
    assert stepwise.offloaded.tolist() == compiled.offloaded.tolist()
    assert stepwise.evaluated.tolist() == compiled.evaluated.tolist()


def test_long_streams_fill_the_rings_as_in_the_specification() -> None:
    trace = easy(rate=0.01, n=2600)
    world = naive.World(
        trace.confidence.tolist(), trace.prediction.tolist(), offload=[3.0] * 4, offload_input=3.0, exit=0.01
    )
    costs = splitee.CostModel(exit=0.01, offload=3.0)
    order = np.random.default_rng(0).integers(trace.samples, size=5000)
    result = splitee.replay(trace, splitee.AuditedStopping(0.05), costs, orders=[order], delay=3)
    rounds, _ = naive_stopping.audited_stopping(world, order.tolist(), coins(5000), delta=0.05, delay=3)
    assert result.split[0].tolist() == [played.split for played in rounds]
    assert result.offloaded[0].tolist() == [played.offloaded for played in rounds]
    assert result.certificate()["audits"].max() > 85


def test_the_bound_holds_and_it_is_cheaper_than_the_cloud() -> None:
    above = 0
    for rate in (0.002, 0.05):
        trace = easy(rate=rate)
        policy = splitee.AuditedStopping(0.01, failure=0.2)
        result = splitee.replay(trace, policy, HALF, repeats=20)
        wrong = result.agreement
        last = result.certificate().groupby("repeat")["bound"].last().to_numpy()
        above += int((1 - wrong > last).sum())
        assert (last < 0.2).all()
        assert result.cost.mean() < 11.5
    assert above <= 0.2 * 40


def test_no_decision_depends_on_what_was_not_observed() -> None:
    trace, policy = easy(rate=0.01), splitee.AuditedStopping(0.03)
    for delay in (0, 30):
        order = [np.arange(trace.samples)]
        result = splitee.replay(trace, policy, HALF, orders=order, delay=delay)
        asked, split = result.offloaded[0], result.split[0]
        prediction, confidence = trace.prediction.copy(), trace.confidence.copy()
        prediction[~asked, -1] = 1 - prediction[~asked, -1]
        confidence[~asked, -1] = 0.5
        deeper = np.arange(1, 4) > split[:, None]
        confidence[:, :3][deeper] = 0.5
        prediction[:, :3][deeper] = 1 - prediction[:, :3][deeper]
        again = splitee.replay(
            splitee.Trace(confidence, prediction, name="changed"), policy, HALF, orders=order, delay=delay
        )
        assert again.split.tolist() == result.split.tolist()
        assert again.offloaded.tolist() == result.offloaded.tolist()


def test_pieces_of_a_stream_are_played_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from splitee.policies import stopping

    trace, policy = easy(n=1500), splitee.AuditedStopping(0.05)
    whole = splitee.replay(trace, policy, HALF, repeats=2, delay=5)
    monkeypatch.setattr(stopping, "CHUNK", 97)
    pieces = splitee.replay(trace, policy, HALF, repeats=2, delay=5)
    assert pieces.split.tolist() == whole.split.tolist()
    assert pieces.offloaded.tolist() == whole.offloaded.tolist()


def test_after_a_change_it_audits_anew() -> None:
    before, after = easy(), easy(rate=0.15, seed=3)
    confidence = np.concatenate([before.confidence, np.clip(after.confidence * 0.95, 0.5, 1)])
    trace = splitee.Trace(confidence, np.concatenate([before.prediction, after.prediction]), name="both")
    result = splitee.replay(trace, splitee.AuditedStopping(0.02), HALF, orders=[range(8000)])
    changed = result.certificate().query("alarms == 1")
    assert 4000 < changed["t"].min() < 4600
    assert (
        splitee.replay(trace, splitee.AuditedStopping(0.02, drift=False), HALF, orders=[range(8000)])
        .certificate()["alarms"]
        .tolist()[-1]
        == 0
    )


def test_bad_parameters_are_refused() -> None:
    for wrong, words in (
        ({"max_disagreement": 0.7}, "max_disagreement is 0.7: give a share from 0.0001 to 0.5"),
        ({"failure": "x"}, "failure is 'x'"),
        ({"drift": 1}, "drift is 1: give True or False"),
    ):
        with pytest.raises(splitee.InputError, match=words):
            splitee.AuditedStopping(**wrong)
    scores = splitee.Trace([[0.5, 0.5]] * 3, [[0, 0]] * 3, value=[[1.0, 2.0]] * 3)
    with pytest.raises(splitee.InputError, match="audited stopping needs classes"):
        splitee.replay(scores, splitee.AuditedStopping())


def test_the_account_and_the_bound_are_fair_whatever_the_loss() -> None:
    """Their means over the coin are those of the realised loss, and 1."""
    from splitee.policies.stopping_rounds import LEAST_ASKED, STAKES, asked_factor

    for q in (LEAST_ASKED, 0.1, 0.5):
        for expected in (0.0, 0.01, 1.0):
            for loss in (-1.0, 0.0, 1.0):
                account = expected * (1 - q) + q * (loss - expected) * (1 - q) / q
                assert account == pytest.approx(loss * (1 - q))
                for stake in STAKES:
                    unseen = (1 - q) * np.exp(stake * loss - stake * expected)
                    seen = q * np.exp(-asked_factor.py_func(stake, expected, q, loss))
                    assert unseen + seen == pytest.approx(1)


def test_in_a_system_feedback_comes_when_the_answer_is_back() -> None:
    """Where every sample waits for the one before it, a System decides as costs without a clock do."""
    trace = easy(n=1500)
    profile = splitee.DeviceProfile(layer_ms=1.0, exit_ms=0.2)
    system = splitee.System(
        profile, splitee.Link(uplink=1.0, rtt=10.0), sends="input", input_bytes=250.0, device_layers=3
    )
    costs = splitee.CostModel(layer=1.0, exit=0.2, offload=12.0, device_layers=3)
    policy = splitee.AuditedStopping(0.05)
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


@settings(max_examples=15)
@given(system_cases(), st.sampled_from([0.05, 0.2, 0.5]), st.sampled_from([20.0, 1e6]))
def test_in_a_system_it_decides_as_its_device_loop(one: SystemCase, delta: float, alarm: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "ALARM", alarm)
        check_in_a_system(one, splitee.AuditedStopping(delta))
