"""The System equals its event-by-event twin: fixed actions, learners, queues, outages, deadlines."""

import math

import naive
import naive_system
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, cases, worlds
from systems import SystemCase, system_cases
from twins import trace_of

import splitee
from splitee.policies.timed import rewards_in_time
from splitee.results.timed import MEASURED
from splitee.system.world import new_lane

EXAMPLES = settings(max_examples=30)


def replayed(one: SystemCase, policy: object) -> splitee.Result:
    return splitee.replay(
        one.trace,
        policy,
        one.system,
        mu=one.case.world.mu,
        orders=[one.case.order],
        threshold=one.case.threshold,
    )


def check(one: SystemCase, result: splitee.Result, rounds: list[naive_system.Measured]) -> None:
    """The result has the twin's decisions and, to the bit, its latencies, energies and bytes."""
    last, world = one.physics.device_layers, one.case.world
    ((_, played),) = result.measures.rounds.blocks
    assert played.measured is not None
    here = (
        one.case.order if result.measures.rounds.by_sample else slice(None)
    )  # it was played once per sample
    assert result.split[0].tolist() == [r.layer or (last if r.lost else 0) for r in rounds]
    assert result.offloaded[0].tolist() == [r.offloaded and not r.lost for r in rounds]
    for k, name in enumerate(("latency", "energy", "kilobytes")):
        assert played.measured[k, here, 0].tolist() == [getattr(r, name) for r in rounds], name
    assert played.lost[here, 0].tolist() == [("", "late", "cut").index(r.lost) for r in rounds]
    missed = [r.latency > one.physics.deadline or r.lost == "late" for r in rounds]
    assert result.missed[0] == pytest.approx(np.mean(missed))
    w = one.physics.weights
    costs = [w[0] * r.latency + w[1] * r.energy + w[2] * r.kilobytes for r in rounds]
    assert result.cost[0] == pytest.approx(np.mean(costs), rel=1e-12)
    ordered = sorted(r.latency for r in rounds)
    p95 = ordered[math.ceil(0.95 * len(rounds)) - 1]
    assert result.measures.quantiles["data"]["latency_p95"][0] == p95
    confidence = [
        naive.cloud_confidence(world, r.sample)
        if r.offloaded and not r.lost
        else world.confidence[r.sample][(r.layer or last) - 1]
        for r in rounds
    ]
    expected = np.mean([c - world.mu * cost for c, cost in zip(confidence, costs, strict=True)])
    assert result.reward[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@EXAMPLES
@given(system_cases())
def test_a_fixed_split(one: SystemCase) -> None:
    i = one.case.layer
    actions = [(i, False, not naive.exits(one.case.world, s, i, one.case.threshold)) for s in one.case.order]
    rounds = naive_system.fixed(one.physics, one.case.order, one.arrivals, actions)
    check(one, replayed(one, splitee.FixedSplit(i, one.case.threshold)), rounds)


@EXAMPLES
@given(system_cases())
def test_the_cloud_alone(one: SystemCase) -> None:
    actions = [(0, False, True)] * len(one.case.order)
    rounds = naive_system.fixed(one.physics, one.case.order, one.arrivals, actions)
    check(one, replayed(one, splitee.CloudOnly()), rounds)


@EXAMPLES
@given(system_cases(), st.sampled_from([None, "causal", "skip", "published"]))
def test_splitee(one: SystemCase, side: str | None) -> None:
    case = one.case
    given_ = case.threshold, case.exploration
    if side is None:
        policy: object = splitee.SplitEE(*given_, case.send_input)
    else:
        policy = splitee.SplitEES(*given_, side, case.send_input)
    rounds = naive_system.split_ee(
        one.physics, case.world, case.order, one.arrivals, *given_, side, case.send_input
    )
    check(one, replayed(one, policy), rounds)


@EXAMPLES
@given(system_cases(), st.booleans())
def test_ucb_tuned_and_thompson(one: SystemCase, tuned: bool) -> None:
    case, m = one.case, one.physics.device_layers
    on = one.system.on(one.trace)
    r = 1.0 + case.world.mu * float(np.asarray(on.costs.offload)[:m].max())
    arms = naive.arms_of(case.world, case.send_input)
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
    noise = rng.standard_normal((len(case.order), len(arms)))

    def index(i: int, t: int, q: float, spread: float, n: int) -> float:
        if tuned:
            variance = spread / n / (r * r) + math.sqrt(2.0 * math.log(t) / n)
            return q + r * math.sqrt(math.log(t) / n * min(0.25, variance))
        return q + float(noise[t - 1, arms.index(i)]) * math.sqrt((0.25 * (r * r) + spread) / n / n)

    policy = (splitee.UCBTuned if tuned else splitee.ThompsonSplit)(case.threshold, case.send_input)
    rounds = naive_system.by_index(
        one.physics, case.world, case.order, one.arrivals, case.threshold, index, case.send_input
    )
    check(one, replayed(one, policy), rounds)


@EXAMPLES
@given(
    system_cases(),
    st.sampled_from(
        [
            lambda c: splitee.SplitEE(c.threshold, c.exploration, c.send_input),
            lambda c: splitee.SplitEES(c.threshold, c.exploration, "causal", c.send_input),
            lambda c: splitee.SplitEES(c.threshold, c.exploration, "skip", c.send_input),
            lambda c: splitee.UCBTuned(c.threshold, c.send_input),
            lambda c: splitee.ThompsonSplit(c.threshold, c.send_input),
            lambda c: splitee.ExploreThenCommit(c.threshold, 5),
        ]
    ),
)
def test_a_live_learner_decides_as_the_compiled_one(one: SystemCase, make) -> None:  # type: ignore[no-untyped-def]
    compiled = replayed(one, make(one.case))
    live = replayed(one, make(one.case).live())
    assert live.split.tolist() == compiled.split.tolist()
    assert live.offloaded.tolist() == compiled.offloaded.tolist()


class AsSplit:
    """A fixed split, or a cascade up to it, as a custom policy; remembers what it was shown."""

    def __init__(self, layer: int, threshold: float, every: bool) -> None:
        self.layer, self.threshold, self.every = layer, threshold, every

    def start(self, problem, rng) -> None:  # type: ignore[no-untyped-def]
        self.learnt, self.last, self.now = [], problem.exits, 0
        self.context = []

    def begin(self, t, context) -> int:  # type: ignore[no-untyped-def]
        self.now = t
        self.context.append(context)
        return 1 if self.every and self.layer else self.layer

    def decide(self, exit, confidence, prediction) -> int:  # type: ignore[no-untyped-def]
        if exit < self.layer:
            return exit + 1
        return splitee.ANSWER if confidence >= np.float32(self.threshold) else splitee.OFFLOAD

    def learn(self, t, feedback) -> None:  # type: ignore[no-untyped-def]
        self.learnt.append((t, self.now, feedback))


@EXAMPLES
@given(system_cases(), st.booleans())
def test_custom_policies_meet_the_same_world(one: SystemCase, every: bool) -> None:
    case, i = one.case, one.case.layer if not one.case.send_input else 0
    custom = AsSplit(i, case.threshold, every)
    actions = [(i, every, i == 0 or not naive.exits(case.world, s, i, case.threshold)) for s in case.order]
    rounds = naive_system.fixed(one.physics, case.order, one.arrivals, actions)
    check(one, replayed(one, custom), rounds)
    assert sorted(t for t, _, _ in custom.learnt) == list(range(1, len(rounds) + 1))
    for t, now, feedback in custom.learnt:
        played = rounds[t - 1]
        # feedback came when the first sample began after it was due
        assert all(rounds[k].start < played.due for k in range(t, now))
        assert now == len(rounds) or rounds[now].start >= played.due
        w = one.physics.weights
        spent = w[0] * one.physics.ms(played.sample, i, every) + w[1] * one.physics.mj(
            played.sample, i, every
        )
        assert feedback.cost == pytest.approx(spent + played.paid, rel=1e-12, abs=1e-12)
        assert (feedback.cloud_confidence is None) == (not played.offloaded or bool(played.lost))
    for t, (context, played) in enumerate(zip(custom.context, rounds, strict=True), start=1):
        assert context.clock == played.start
        assert context.link > 0
        if one.arrivals is not None:
            assert context.queue == max(sum(a <= played.start for a in one.arrivals) - t, 0)


@EXAMPLES
@given(
    cases(worlds(exit_layers=False, extras=False, send_input=True)),
    st.sampled_from(["SplitEE", "S", "tuned"]),
)
def test_constants_give_what_a_cost_model_gives(case: Case, which: str) -> None:
    """A system without a queue and with one rate is a `CostModel`: the same decisions, the same costs."""
    world = case.world
    object.__setattr__(world, "sample_offload", None)
    trace = trace_of(world)
    system = splitee.System(
        splitee.DeviceProfile(layer_ms=world.layer, exit_ms=world.exit),
        splitee.Link(uplink=4.0, rtt=world.offload[0]),
        sends="input",
        input_bytes=250.0,  # 0.5 ms at 4 Mbit/s
        device_layers=world.device_layers,
    )
    costs = splitee.CostModel(
        layer=world.layer, exit=world.exit, offload=0.5 + world.offload[0], device_layers=world.device_layers
    )
    policy = {
        "SplitEE": splitee.SplitEE(case.threshold, case.exploration, case.send_input),
        "S": splitee.SplitEES(case.threshold, case.exploration, "causal", case.send_input),
        "tuned": splitee.UCBTuned(case.threshold, case.send_input),
    }[which]
    kwargs = {"mu": world.mu, "orders": [case.order], "threshold": case.threshold}
    timed, constant = (splitee.replay(trace, policy, c, **kwargs) for c in (system, costs))
    assert timed.split.tolist() == constant.split.tolist()
    assert timed.offloaded.tolist() == constant.offloaded.tolist()
    assert timed.cost == pytest.approx(constant.cost, rel=1e-12, abs=1e-12)
    assert timed.reward == pytest.approx(constant.reward, rel=1e-12, abs=1e-12)
    for kind in ("common", "own"):
        assert timed.regret(kind) == pytest.approx(constant.regret(kind), rel=1e-9, abs=1e-9)


@settings(max_examples=15)
@given(system_cases(), st.integers(0, 10**6))
def test_no_decision_depends_on_what_had_not_arrived(one: SystemCase, seed: int) -> None:
    """Other answers of the cloud, from a round on, change no decision made before the first came back."""
    case, rng = one.case, np.random.default_rng(seed)
    world = case.world
    policies = {
        "a": splitee.SplitEE(case.threshold, case.exploration, case.send_input),
        "b": splitee.SplitEES(case.threshold, case.exploration, "causal", case.send_input),
        "c": splitee.UCBTuned(case.threshold, case.send_input),
    }
    order = list(dict.fromkeys(case.order))  # every sample once, so that a sample is a round
    cut = int(rng.integers(len(order)))
    cloud = rng.uniform(0.3, 1.0, (2, len(world.confidence))).astype(np.float32)
    cloud[1, order[:cut]] = cloud[0, order[:cut]]
    answers = [0] * len(world.confidence)
    traces = [
        splitee.Trace(
            world.confidence, world.prediction, classes=4, softmax=False, length=one.trace.length,
            cloud_confidence=c, cloud_prediction=answers,
        )
        for c in cloud
    ]  # fmt: skip
    kwargs = {"mu": world.mu, "orders": [order], "threshold": case.threshold}
    if one.arrivals is not None and len(one.arrivals) != len(order):
        return
    first, second = (splitee.replay(trace, policies, one.system, **kwargs) for trace in traces)
    for name in policies:
        ((_, played),) = first[name].measures.rounds.blocks
        arrived = len(order)
        late = np.flatnonzero(played.measured[2, cut:, 0] > 0)
        if len(late):
            arrived = cut + int(late[0]) + 1
        assert first[name].split[0, :arrived].tolist() == second[name].split[0, :arrived].tolist()


def small(**changes: object) -> splitee.System:
    given_ = {"device": splitee.DeviceProfile(layer_ms=15, exit_ms=1), "tokens": 20, **changes}
    return splitee.System(**given_)


TRACE = splitee.Trace([[0.6, 0.9, 0.95], [0.8, 0.9, 0.97]] * 5, [[0, 1, 1], [1, 1, 1]] * 5, [1, 1] * 5)


def test_by_hand() -> None:
    """15 ms a layer, 1 ms an exit, 80 bytes at 5 Mbit/s, 40 ms of round trip: 31 and 31 + 0.128 + 40 ms."""
    result = splitee.replay(TRACE, splitee.FixedSplit(2, 0.95), small(), repeats=1)
    assert result.latency == pytest.approx(31 + 0.128 + 40)
    assert result.kilobytes == pytest.approx(0.08)
    assert np.isnan(result.energy[0])  # the profile knows none
    exits = splitee.replay(TRACE, splitee.FixedSplit(2, 0.5), small(), repeats=1)
    assert exits.latency == pytest.approx(31)
    row = exits.summary().iloc[0]
    assert set(MEASURED) < set(row.index)
    assert row["latency_p50"] == row["latency_p99_high"] == 31.0


def test_mu_is_a_tenth_per_layer_by_default() -> None:
    results = splitee.replay(TRACE, ["splitee"], small(), repeats=1)
    assert results.facts["mu"] == pytest.approx(0.1 / 16)
    assert splitee.replay(TRACE, ["splitee"], repeats=1).facts["mu"] == 0.1


def test_a_queue_grows_if_samples_come_faster_than_the_device_works() -> None:
    calm = splitee.replay(TRACE, splitee.FixedExit(2), small(arrivals=31.0), repeats=2)
    busy = splitee.replay(TRACE, splitee.FixedExit(2), small(arrivals=21.0), repeats=2)
    assert calm.latency == pytest.approx(31)
    assert busy.latency == pytest.approx(31 + 10 * np.arange(10).mean())


def test_an_outage_and_a_deadline_leave_the_answer_to_the_device() -> None:
    down = splitee.replay(TRACE, splitee.CloudOnly(), small(link=splitee.Link(outages=[(0, 1e6)])), repeats=1)
    assert down.fallback == pytest.approx(1.0)
    assert down.offload_rate == pytest.approx(0.0)
    assert (down.split == 3).all()
    assert down.latency == pytest.approx(46)  # it is known at once, and the device computes to its last exit
    late = splitee.replay(TRACE, splitee.FixedSplit(1, 1.0), small(deadline=30.0), repeats=1)
    assert (late.split == 1).all()
    assert late.latency == pytest.approx(30)
    assert late.missed == pytest.approx(1.0)


def test_saved_results_keep_latencies(tmp_path) -> None:  # type: ignore[no-untyped-def]
    system = small(link=splitee.Link(time_s=[0, 1, 2], mbit_s=[5.0, 0.01, 2.0]), arrivals="10/s")
    results = splitee.replay(TRACE, ["splitee", "cloud-only"], system, repeats=3)
    results.save(tmp_path / "out")
    loaded = splitee.load_results(tmp_path / "out")
    for interval in ("data", "run"):
        for ours, theirs in zip(loaded.rows(interval), results.rows(interval), strict=True):
            assert {key: repr(value) for key, value in ours.items()} == {
                k: repr(v) for k, v in theirs.items()
            }


def test_how_rounds_are_shared_changes_nothing() -> None:
    system = small(link=splitee.Link(time_s=[0, 1, 2], mbit_s=[5.0, 0.01, 2.0]), arrivals="10/s")
    alone = splitee.replay(TRACE, splitee.SplitEE(0.9), system, repeats=20)
    among = splitee.replay(TRACE, ["random", splitee.SplitEE(0.9), "cloud-only"], system, repeats=20)
    assert (among["SplitEE"].split == alone.split).all()
    assert (among["SplitEE"].latency == alone.latency).all()


def test_the_best_fixed_split_is_best_in_this_system() -> None:
    system = small(link=splitee.Link(time_s=[0, 1, 2], mbit_s=[5.0, 0.01, 2.0]), arrivals=40.0)
    policies = [splitee.FixedSplit(i, 0.9) for i in (1, 2, 3)]
    results = splitee.replay(TRACE, [*policies, splitee.BestFixedSplit(0.9)], system, repeats=1)
    rewards = [results[i].reward[0] for i in range(4)]
    assert rewards[3] == max(rewards[:3])
    setup = results[0].setup
    assert setup is not None
    world, order = setup.world(setup.table, 0, 1), setup.streams.block(0, 1)
    each = rewards_in_time(setup.table, world, order, 0.9, 2, False)
    assert each.mean() == pytest.approx(rewards[1])


def test_delay_is_the_systems() -> None:
    with pytest.raises(splitee.InputError, match="in a System feedback arrives"):
        splitee.replay(TRACE, "splitee", small(), delay=3)
    assert len(new_lane(4).due) == 4


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"device": 15}, "device is 15: give a DeviceProfile"),
        ({"link": 5}, "link is 5: give a Link"),
        ({"cloud": -1}, "cloud is -1: give a number of at least 0"),
        ({"sends": "all"}, "sends is 'all': choose cheaper, state or input"),
        ({"codec": "zip"}, "no codec is called 'zip'"),
        ({"deadline": 0}, "deadline is 0: give a number above 0"),
        ({"weights": {"s": 1}}, "weights is"),
        ({"weights": {"ms": 0}}, "all weights are 0"),
        ({"weights": {"mJ": 1}}, "has none: give layer_mj and exit_mj"),
        ({"tokens": 0}, "tokens is 0"),
        ({"tokens": None}, "does not say how large an input is"),
        ({"sends": "state"}, "does not say how large a state is"),
        ({"device_layers": 4}, "device_layers is 4, the trace has 3 layers"),
        ({"input_bytes": [1.0, 2.0]}, "input_bytes has 2 sizes, the trace has 10 samples"),
        ({"input_bytes": -1}, "input_bytes must be numbers of at least 0"),
        ({"arrivals": "fast"}, "arrivals is 'fast'"),
        ({"arrivals": [3.0, 1.0]}, "arrivals are times in ms from 0, ascending"),
        ({"arrivals": [3.0, 4.0]}, "arrivals has 2 times, a stream has 10 rounds"),
        ({"device": splitee.DeviceProfile(layer_ms=[1.0, 2.0])}, "the trace has 3 exits"),
    ],
)
def test_bad_systems_are_one_line(changes: dict[str, object], line: str) -> None:
    with pytest.raises(splitee.InputError, match=line) as error:
        splitee.replay(TRACE, "splitee", small(**changes))
    assert "\n" not in str(error.value)


def test_mu_has_no_default_where_a_layer_costs_nothing() -> None:
    bytes_only = small(weights={"KB": 1.0})
    with pytest.raises(splitee.InputError, match="a layer costs nothing in KB, so that mu has no default"):
        splitee.replay(TRACE, "splitee", bytes_only)
    assert splitee.replay(TRACE, "splitee", bytes_only, mu=0.1, repeats=1).cost[0] >= 0


def test_what_knows_constant_costs_only_is_refused() -> None:
    for name in ("oracle", "splitee-released"):
        with pytest.raises(splitee.InputError, match="knows constant costs only"):
            splitee.replay(TRACE, name, small())
