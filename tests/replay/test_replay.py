"""`splitee.replay` and what it gives: one's own policies, orders, devices, tables, files."""

import gc
import json
import math
import pickle
import time
import weakref
from pathlib import Path

import naive
import numpy as np
import pandas as pd
import pytest
from made_up import random_trace

import splitee
import splitee.results.regret
from splitee.policies.base import AnyPolicy
from splitee.results.setup import SEED_SCHEME

ALPHA = 0.75


class EpsilonGreedy:
    """A custom policy, as the CONTRIBUTING page shows it."""

    def __init__(self, epsilon: float, threshold: float) -> None:
        self.epsilon, self.threshold, self.name = epsilon, threshold, "epsilon-greedy"

    def start(self, problem, rng):
        self.rng, self.mu = rng, problem.mu
        self.total, self.count = np.zeros(problem.device_exits), np.zeros(problem.device_exits)

    def begin(self, t, context):
        if self.rng.random() < self.epsilon or not self.count.all():
            return int(self.rng.integers(1, len(self.total) + 1))
        return 1 + int(np.argmax(self.total / self.count))

    def decide(self, exit, confidence, prediction):
        return splitee.ANSWER if confidence >= self.threshold else splitee.OFFLOAD

    def learn(self, t, feedback):
        assert len(feedback.exits) == 1
        self.total[feedback.layer - 1] += feedback.reward(self.mu)
        self.count[feedback.layer - 1] += 1


class Watcher:
    """Splits at one layer, evaluating every exit on the way or only that one, and records its feedback."""

    def __init__(self, every_exit: bool, layer: int, threshold: float = ALPHA) -> None:
        self.every_exit, self.layer, self.threshold = every_exit, layer, threshold

    def start(self, problem, rng):
        self.seen, self.problem = [], problem

    def choose(self, t):
        return self.layer

    def begin(self, t, context):
        self.split = self.choose(t)
        return min(self.split, 1) if self.every_exit else self.split

    def decide(self, exit, confidence, prediction):
        if exit < self.split:
            return exit + 1
        return splitee.OFFLOAD if confidence < self.threshold else splitee.ANSWER

    def learn(self, t, feedback):
        self.seen.append((t, feedback))


def test_ones_own_policy_runs_beside_ours_and_repeats() -> None:
    trace = random_trace()
    policies = {"mine": EpsilonGreedy(0.1, ALPHA), "theirs": splitee.SplitEE(ALPHA)}
    first, again = (splitee.replay(trace, policies, repeats=3, seed=4) for _ in range(2))
    assert first["mine"].split.tolist() == again["mine"].split.tolist()
    assert set(np.unique(first["mine"].split)) <= set(range(1, 6))
    alone = splitee.replay(trace, EpsilonGreedy(0.1, ALPHA), repeats=3, seed=4)
    assert alone.split.tolist() == first["mine"].split.tolist()
    assert list(first.summary()["policy"]) == ["mine", "theirs"]


@pytest.mark.parametrize("every_exit", [False, True])
@pytest.mark.parametrize("layer", [0, 1, 3, 5])
def test_a_policy_sees_what_a_device_sees(every_exit: bool, layer: int) -> None:
    trace = random_trace(30)
    order = np.arange(30)[::-1]
    watcher = Watcher(every_exit, layer)
    result = splitee.replay(trace, watcher, orders=[order])
    assert (watcher.problem.exits, watcher.problem.device_exits, watcher.problem.mu) == (5, 5, 0.1)
    for t, (seen_t, feedback) in enumerate(watcher.seen, 1):
        s = order[t - 1]
        row, answers = trace.confidence[s].astype(float), trace.prediction[s].tolist()
        assert (seen_t, feedback.layer) == (t, layer)
        exits = tuple(range(1 if every_exit else max(layer, 1), layer + 1))
        assert feedback.exits == exits
        assert feedback.confidences == tuple(row[i - 1] for i in exits)
        assert feedback.predictions == tuple(answers[i - 1] for i in exits)
        assert feedback.offloaded == (layer == 0 or (layer < 5 and row[layer - 1] < ALPHA))
        assert feedback.cloud_confidence == (row[-1] if feedback.offloaded else None)
        assert feedback.cloud_prediction == (answers[-1] if feedback.offloaded else None)
        gamma = naive.device_cost_of(naive.World([row], [answers], offload=[5.0] * 5), layer, len(exits))
        assert feedback.cost == gamma + 5.0 * feedback.offloaded
    assert result.offloaded[0].tolist() == [feedback.offloaded for _, feedback in watcher.seen]
    assert result.evaluated[0].tolist() == [len(feedback.exits) for _, feedback in watcher.seen]


def test_a_policy_that_leaves_the_device_is_refused() -> None:
    costs = splitee.CostModel(device_layers=3)
    with pytest.raises(splitee.InputError, match=r"began round 1 with 5: begin returns 1 to 3"):
        splitee.replay(random_trace(), Watcher(False, 5), costs)
    with pytest.raises(splitee.InputError, match=r"decided 4 after exit 3 in round 1: .* up to 3"):
        splitee.replay(random_trace(), Watcher(True, 5), costs)


def test_orders_are_permutations_that_depend_on_seed_and_repeat_only() -> None:
    trace = random_trace(50)
    result = splitee.replay(trace, splitee.SplitEE(ALPHA), repeats=3, seed=9)
    orders = result.setup.streams.block(0, 3).T.tolist()
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    more = splitee.replay(trace, splitee.SplitEE(ALPHA), repeats=5, seed=9)
    assert more.split[:3].tolist() == result.split.tolist()
    given = splitee.replay(trace, splitee.SplitEE(ALPHA), orders=orders)
    assert given.split.tolist() == result.split.tolist()
    several = splitee.replay(trace, [splitee.SplitEE(ALPHA)], repeats=1)
    assert several.facts["seed_scheme"] == SEED_SCHEME


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orders": [[0, 50]]}, "sample 50"),
        ({"orders": [[0.5]]}, "whole numbers"),
        ({"orders": [0, 1]}, "shape"),
        ({"orders": np.empty((2, 0), dtype=int)}, "shape"),
        ({"repeats": 0}, "repeats"),
        ({"seed": -1}, "seed"),
        ({"mu": -0.1}, "mu"),
        ({"mu": math.nan}, "mu"),
        ({"policies": []}, "at least one policy"),
        ({"policies": [splitee.SplitEE(0.7), splitee.SplitEE(0.7)]}, "two policies"),
        ({"policies": object()}, "no start and no begin and no decide and no learn"),
        ({"policies": splitee.SplitEE}, "is a class"),
        ({"repeats": 2.5}, "whole number"),
        ({"mu": "a"}, "mu"),
        ({"costs": 5.0}, "CostModel"),
        ({"policies": {"": splitee.SplitEE(0.7)}}, "another name"),
        ({"policies": {"final-exit (reference)": splitee.SplitEE(0.7)}}, "another name"),
        ({"policies": splitee.FixedExit(6)}, "needs layer 6"),
        ({"costs": splitee.CostModel(device_layers=6)}, "device_layers is 6"),
        ({"costs": splitee.CostModel(offload=[1, 2])}, "2 costs"),
        ({"costs": splitee.CostModel(sample_offload=[1, 2])}, "2 costs"),
        (
            {"policies": splitee.CloudOnly(), "costs": splitee.CostModel(offload=[1.0] * 5)},
            "offload_input",
        ),
        (
            {
                "policies": splitee.SplitEE(0.7, send_input=True),
                "costs": splitee.CostModel(offload=[1.0] * 5),
            },
            "offload_input",
        ),
    ],
)
def test_what_does_not_fit_is_one_clear_line(change: dict, message: str) -> None:
    options = {"policies": splitee.SplitEE(ALPHA), "costs": None} | change
    with pytest.raises(ValueError, match=message) as caught:
        splitee.replay(random_trace(50), options.pop("policies"), options.pop("costs"), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: splitee.SplitEE(1.2),
        lambda: splitee.SplitEE("high"),
        lambda: splitee.SplitEE(0.7, exploration=-1),
        lambda: splitee.SplitEES(0.7, side_information="oracle"),
        lambda: splitee.FixedSplit(0, 0.7),
        lambda: splitee.FixedExit(1.5),
        lambda: splitee.CostModel(offload=-1),
        lambda: splitee.CostModel(layer=math.inf),
        lambda: splitee.CostModel(offload=[[1.0]]),
        lambda: splitee.CostModel(offload="free"),
        lambda: splitee.CostModel(device_layers=0),
        lambda: splitee.CostModel(device_layers=math.inf),
        lambda: splitee.CostModel(device_layers=[1]),
        lambda: splitee.CostModel(offload=1e300),
        lambda: splitee.CostModel(exit_layers=[5, 1]),
        lambda: splitee.CostModel(layer="much"),
        lambda: splitee.SplitEE(0.7, exploration=None),
        lambda: splitee.SplitEES(0.7, side_information=["causal"]),
    ],
)
def test_bad_policies_and_prices_are_refused(make) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_two_of_a_kind_in_a_list_are_told_apart() -> None:
    results = splitee.replay(random_trace(), [splitee.SplitEE(0.6), splitee.SplitEE(0.9)], repeats=1)
    assert list(results) == [
        "SplitEE SplitEE(threshold=0.6, exploration=1.0, send_input=False)",
        "SplitEE SplitEE(threshold=0.9, exploration=1.0, send_input=False)",
    ]


def test_half_the_device_marks_what_it_cannot_run() -> None:
    policies = [splitee.FinalExit(), splitee.FixedExit(4), splitee.FixedSplit(4, ALPHA)]
    policies += [splitee.FixedExit(2), splitee.SplitEE(ALPHA)]
    results = splitee.replay(random_trace(), policies, splitee.CostModel(device_layers=3), repeats=2)
    assert results.summary()["on_device"].tolist() == [False, False, False, True, True]
    assert results["SplitEE"].split.max() == 3


def test_exits_at_some_layers_only_cost_those_layers() -> None:
    trace = random_trace(60, layers=3).replace(manifest={"exit_layers": [2, 5, 12]})
    result = splitee.replay(trace, splitee.FixedExit(2), repeats=1)
    assert result.cost[0] == pytest.approx(5 * 5 / 6 + 1 / 6)
    assert splitee.replay(trace, splitee.FinalExit(), repeats=1).cost[0] == pytest.approx(10 + 3 / 6)


def test_without_labels_agreement_is_reported() -> None:
    results = splitee.replay(
        random_trace(labels=False), [splitee.FinalExit(), splitee.FixedExit(1)], repeats=2
    )
    table = results.summary()
    assert table["accuracy"].isna().all()
    assert table["utility"].isna().all()
    assert table["agreement"][0] == 1
    assert table["agreement"][1] < 1


@pytest.mark.parametrize("interval", ["data", "run"])
def test_the_summary_compares_with_final_exit(interval: str) -> None:
    trace = random_trace(400)
    results = splitee.replay(trace, [splitee.FixedSplit(2, ALPHA), splitee.SplitEE(ALPHA)], repeats=6)
    table = results.summary(interval).set_index("policy")
    accuracy = trace.accuracy_per_exit()[-1]
    row = table.loc["split 2"]
    assert row["accuracy_delta"] == pytest.approx(row["accuracy"] - accuracy)
    assert row["cost_change"] == pytest.approx(row["cost"] / 5 - 1)
    assert row["interval"] == interval
    assert row["samples"] == 400
    widths = {
        k: table.loc["SplitEE", f"{k}_high"] - table.loc["SplitEE", f"{k}_low"] for k in ("cost", "accuracy")
    }
    assert all(width > 0 for width in widths.values())
    if interval == "run":  # a fixed split does the same to every permutation
        assert row["cost_high"] - row["cost_low"] == pytest.approx(0, abs=1e-9)
    else:
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


def test_the_data_interval_of_a_learner_is_wider_than_that_over_orders() -> None:
    results = splitee.replay(random_trace(1000), [splitee.SplitEE(ALPHA)], repeats=20)
    data, run = (results.summary(kind).iloc[0] for kind in ("data", "run"))
    assert data["accuracy_high"] - data["accuracy_low"] > 2 * (run["accuracy_high"] - run["accuracy_low"])


def test_results_are_saved_tidy_and_reloaded(tmp_path) -> None:
    trace = random_trace(40)
    policies = [
        splitee.SplitEE(ALPHA),
        splitee.SplitEES(ALPHA, side_information="published"),
        splitee.CloudOnly(),
    ]
    results = splitee.replay(trace, policies, repeats=3)
    results.save(tmp_path / "r", choices=True)
    again = splitee.load_results(tmp_path / "r")
    for kind in ("data", "run"):
        pd.testing.assert_frame_equal(again.summary(kind), results.summary(kind))
    assert again["SplitEE"].split.tolist() == results["SplitEE"].split.tolist()
    assert again["SplitEE"].offloaded.tolist() == results["SplitEE"].offloaded.tolist()
    choices = pd.read_parquet(tmp_path / "r" / "choices.parquet")
    first = choices[(choices["policy"] == "SplitEE") & (choices["repeat"] == 1)]
    assert first["id"].tolist() == [f"sample-{i}" for i in results["SplitEE"].setup.streams.block(0, 1)[:, 0]]
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["trace"]["fingerprint"] == trace.fingerprint
    assert manifest["policies"]["SplitEE"]["threshold"] == ALPHA
    assert {"numpy", "numba", "splitee", "python"} <= set(manifest["libraries"])
    assert pd.read_csv(tmp_path / "r" / "summary.csv")["policy"].nunique() == 3
    with pytest.raises(FileExistsError):
        results.save(tmp_path / "r")
    results.save(tmp_path / "r", overwrite=True)
    bare = splitee.load_results(tmp_path / "r")
    with pytest.raises(ValueError, match="choices of SplitEE were not saved"):
        _ = bare["SplitEE"].split
    assert bare.summary().equals(again.summary())
    bare.save(tmp_path / "copy")  # what was reloaded can be saved again
    pd.testing.assert_frame_equal(splitee.load_results(tmp_path / "copy").summary(), results.summary())


def test_loading_no_results_says_so(tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no results"):
        splitee.load_results(tmp_path)


def test_damaged_results_are_told_with_what_to_do(tmp_path: Path) -> None:
    def shorten(folder: Path) -> None:
        file = folder / "regret.parquet"
        pd.read_parquet(file).iloc[:-1].to_parquet(file)

    def forget(folder: Path) -> None:
        facts = json.loads((folder / "manifest.json").read_text())
        del facts["policies"]
        (folder / "manifest.json").write_text(json.dumps(facts))

    for spoil, words in (
        (lambda folder: (folder / "samples.parquet").write_bytes(b"PAR1 not PAR1"), "samples.parquet does"),
        (lambda folder: (folder / "samples.parquet").unlink(), "samples.parquet is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (shorten, "regret.parquet does not match its checksum"),
        (forget, "manifest.json does not match its checksum"),
    ):
        splitee.replay(random_trace(20), splitee.SplitEE(ALPHA), repeats=2).save(
            tmp_path / "r", overwrite=True
        )
        spoil(tmp_path / "r")
        with pytest.raises(splitee.InputError, match=f"{words}.*overwrit") as raised:
            splitee.load_results(tmp_path / "r")
        assert "\n" not in str(raised.value)


def test_results_that_may_not_be_read_are_not_called_damaged(tmp_path: Path, monkeypatch) -> None:
    splitee.replay(random_trace(20), splitee.SplitEE(ALPHA), repeats=2).save(tmp_path / "r")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "samples.parquet")

    monkeypatch.setattr("splitee._internal.reading.os.open", refused)
    with pytest.raises(splitee.InputError, match="permission denied"):
        splitee.load_results(tmp_path / "r")


def test_counting_and_regret_wait_until_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    curve = splitee.results.regret.Regret.curve
    monkeypatch.setattr(splitee.results.regret.Regret, "curve", lambda *a: asked.append(a) or curve(*a))
    result = splitee.replay(random_trace(20), splitee.SplitEE(ALPHA), repeats=2)
    assert "totals" not in vars(result.measures)
    assert (result.accuracy >= 0).all()
    assert not asked
    _ = result.curve, result.curve
    assert len(asked) == 1


def test_entropies_are_computed_for_policies_that_need_them() -> None:
    trace = random_trace(20)
    splitee.replay(trace, [splitee.SplitEE(ALPHA), splitee.ElasticBERT(ALPHA)], repeats=1)
    assert "entropy" not in vars(trace)
    splitee.replay(trace, splitee.DeeBERT(0.3), repeats=1)
    assert "entropy" in vars(trace)


def test_where_a_still_policy_settles_survives_pickling() -> None:
    policies = [splitee.ElasticBERT(0.5), splitee.FixedSplit(2, ALPHA)]
    results = splitee.replay(random_trace(50), policies, repeats=10)
    again = pickle.loads(pickle.dumps(results))
    for name, result in results.items():
        assert again[name].settled.tolist() == result.settled.tolist()
        late = result.split[:, 25:]
        assert result.settled.tolist() == [np.bincount(row).argmax() for row in late]


def test_one_sample_many_repeats() -> None:
    trace = splitee.Trace([[0.6, 0.9]], [[0, 1]], [1])
    results = splitee.replay(trace, [splitee.SplitEES(ALPHA), splitee.RandomSplit(ALPHA)], repeats=1000)
    assert results["SplitEE-S (causal)"].split.tolist() == [[1]] * 1000
    assert 400 < results["random"].split.sum() - 1000 < 600
    results.summary()


class Changeable(Watcher):
    """Its threshold changes while it plays, and it keeps its state between repeats."""

    def start(self, problem, rng):
        super().start(problem, rng)
        self.started = getattr(self, "started", 0) + 1
        self.threshold = 0.95

    def choose(self, t):
        return 1 + (t + self.started) % 3


def test_what_a_policy_did_is_what_is_counted() -> None:
    trace, policy = random_trace(100), Changeable(False, 1, 0.6)
    result = splitee.replay(trace, policy, repeats=2)
    offloaded = [feedback.offloaded for _, feedback in policy.seen]  # of the last repeat
    assert result.offloaded[1].tolist() == offloaded
    assert result.offload_rate[1] == np.mean(offloaded)
    costs = [5 / 6 * layer for layer in range(6)]
    assert result.cost_layers == pytest.approx([np.mean([costs[i] for i in row]) for row in result.split])
    assert policy.started == 2  # asking for the choices plays nothing again
    # it does not decide by the α it said, so its regret is that of its own mean reward: a straight line
    assert np.ptp(np.diff(result.regret()[0])) == pytest.approx(0, abs=1e-9)


def test_a_policy_may_send_the_input_where_that_has_a_price() -> None:
    trace = random_trace(50)
    assert splitee.replay(trace, Watcher(False, 0), repeats=1).offload_rate[0] == 1
    with pytest.raises(ValueError, match="offloads the input in round 1, and its cost is not given"):
        splitee.replay(trace, Watcher(False, 0), splitee.CostModel(offload=[1.0] * 5), repeats=1)


def test_a_random_split_draws_anew_for_each_sample_and_uniformly() -> None:
    (splits,) = splitee.replay(random_trace(5000), splitee.RandomSplit(ALPHA), repeats=1).split
    counts = np.bincount(splits, minlength=6)[1:]
    assert (np.abs(counts - 1000) < 150).all()  # over five standard deviations
    assert len(set(zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True))) == 25


def test_where_a_policy_settles_is_told_by_the_second_half() -> None:
    class Late(Watcher):
        def choose(self, t):
            return 4 if t <= 60 else 2

    assert splitee.replay(random_trace(100), Late(False, 0), orders=[range(100)]).settled.tolist() == [2]


def test_numpy_scalars_are_as_good_as_numbers(tmp_path) -> None:
    policies = [splitee.SplitEE(np.float32(0.75)), splitee.FixedSplit(np.int64(2), 0.7)]
    costs = splitee.CostModel(layer=np.float32(0.8), device_layers=np.int64(3))
    splitee.replay(random_trace(20), policies, costs, repeats=np.int64(2)).save(tmp_path / "r")
    assert splitee.load_results(tmp_path / "r")[1].name == "split 2"


def test_regret_curves_are_held_thinned_only() -> None:
    result = splitee.replay(random_trace(3000), splitee.SplitEE(ALPHA), repeats=2)
    assert result.curve.common.shape == (2, 400)
    assert result.curve.rounds[[0, -1]].tolist() == [1, 3000]
    np.testing.assert_allclose(result.regret()[:, result.curve.rounds - 1], result.curve.common, rtol=1e-12)


def test_differences_are_paired() -> None:
    """A policy that answers as the last exit does has a difference of exactly zero, whatever is drawn."""
    table = splitee.replay(random_trace(300), [splitee.FixedExit(5)], repeats=2).summary().iloc[0]
    assert table["accuracy_high"] > table["accuracy_low"]
    assert table["accuracy_delta_low"] == table["accuracy_delta_high"] == 0


def test_what_a_replay_held_is_given_back_at_once() -> None:
    """Nothing waits for the cycle collector: replays in a loop take no more memory than one."""
    orders = np.array([np.random.default_rng(r).permutation(20) for r in range(2)])

    def held() -> list[weakref.ref[object]]:
        policies = [splitee.SplitEE(0.7), splitee.FixedExit(1)]
        results = splitee.replay(random_trace(20), policies, orders=orders)
        results.summary("run")
        assert results["SplitEE"].split.shape == (2, 20)
        assert results["SplitEE"].regret().shape == (2, 20)
        return [weakref.ref(thing) for thing in (results["SplitEE"], results["SplitEE"].setup, results)]

    held()  # the compiler, should it have to be called, keeps whoever calls it for a while
    gc.disable()
    try:
        things, end = held(), time.monotonic() + 60
        while any(thing() for thing in things) and time.monotonic() < end:
            time.sleep(0.01)  # a thread that has told its result may be about to forget its work
        assert [thing() for thing in things] == [None] * 3
    finally:
        gc.enable()


def test_one_result_is_told_and_saved_alone(tmp_path: Path) -> None:
    results = splitee.replay(random_trace(30), [splitee.SplitEE(0.7), splitee.FixedExit(1)], repeats=2)
    one, table = results["SplitEE"], results.summary()
    row = table[table["policy"] == "SplitEE"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one.summary(), row)
    one.save(tmp_path / "one")
    again = splitee.load_results(tmp_path / "one")
    assert list(again) == ["SplitEE"]
    pd.testing.assert_frame_equal(again.summary("run"), one.summary("run"))


@pytest.mark.parametrize("kind", ["<i8", ">i8", "<u8", "<i4", ">u2", "u1"])
@pytest.mark.parametrize("layout", ["C", "F", "backwards", "every other"])
def test_orders_of_any_integers_however_they_lie(kind: str, layout: str) -> None:
    orders = np.array([np.random.default_rng(r).permutation(20) for r in range(3)] + [[5] * 20])
    given = np.array(orders, dtype=kind, order="F" if layout == "F" else "C")
    if layout == "backwards":
        given = given[:, ::-1].copy()[:, ::-1]
    if layout == "every other":
        given = np.repeat(given, 2, axis=1)[:, ::2]
    trace, policy = random_trace(20), splitee.SplitEE(ALPHA)
    result = splitee.replay(trace, policy, orders=given)
    given[:] = 0  # what is worked out later does not look at the caller's array
    expected = splitee.replay(trace, policy, orders=orders.tolist())
    assert result.split.tolist() == expected.split.tolist()
    assert np.array_equal(result.totals, expected.totals)
    assert not result.setup.streams.shuffled


@pytest.mark.parametrize(
    "policy",
    [
        splitee.SplitEE(ALPHA),
        splitee.FixedSplit(2, ALPHA),
        splitee.RandomSplit(ALPHA),
        EpsilonGreedy(0.1, ALPHA),
    ],
)
@pytest.mark.parametrize("shuffled", [True, False])
def test_orders_belong_to_whoever_gave_them_once_they_were_replayed(
    policy: AnyPolicy, shuffled: bool
) -> None:
    orders = np.array([np.random.default_rng(r).permutation(20) for r in range(50)])
    orders[49] = orders[49] if shuffled else 3
    kept, theirs = orders.copy(), weakref.ref(orders)
    result = splitee.replay(random_trace(20), policy, orders=orders)
    del orders
    assert theirs() is None
    assert result.setup.streams.block(0, 50).T.tolist() == kept.tolist()


@pytest.mark.parametrize(
    ("kind", "bad"), [("u8", 2**63), ("i8", -(2**63)), ("i8", 2**32), ("i4", -1), ("u1", 20)]
)
def test_orders_that_name_no_sample_are_told(kind: str, bad: int) -> None:
    orders = np.zeros((2, 5), dtype=kind)
    orders[1, 3] = bad
    with pytest.raises(splitee.InputError, match=f"orders name sample {bad}: the trace has samples 0 to 19"):
        splitee.replay(random_trace(20), splitee.SplitEE(ALPHA), orders=orders)


def test_orders_of_different_lengths_are_told() -> None:
    with pytest.raises(
        splitee.InputError,
        match=r"orders is not a table: give whole numbers, shape \(repeats, m\), the same m",
    ):
        splitee.replay(random_trace(20), splitee.SplitEE(ALPHA), orders=[[0, 1, 2], [3]])


@pytest.mark.parametrize("asked", [False, True])
def test_results_can_be_pickled(asked: bool) -> None:
    trace = splitee.Trace([[0.6, 0.9], [0.8, 0.9], [0.9, 0.95]], [[0, 1], [1, 1], [0, 0]], [1, 1, 0])
    results = splitee.replay(trace, [splitee.SplitEE(0.7), splitee.FixedSplit(1, 0.7)], repeats=3)
    if asked:
        results.summary()
    again = pickle.loads(pickle.dumps(results))
    pd.testing.assert_frame_equal(again.summary(), results.summary())
    one = pickle.loads(pickle.dumps(results["SplitEE"]))
    assert one.split.tolist() == results["SplitEE"].split.tolist()
    pd.testing.assert_frame_equal(one.summary(), results["SplitEE"].summary())


def test_a_summary_that_someone_changed_is_as_it_was() -> None:
    results = splitee.replay(random_trace(20), [splitee.SplitEE(ALPHA), splitee.CloudOnly()], repeats=2)
    first = results.summary()
    expected = first.copy()
    first["cost"] = 0.0
    del first["regret"]
    pd.testing.assert_frame_equal(results.summary(), expected)
    assert (results.summary("run")["interval"] == "run").all()
    assert (results.summary("data")["interval"] == "data").all()
