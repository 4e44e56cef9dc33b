"""ELUE: metrics and FLOPs against other people's code, the score by hand, files that say the same as runs."""

import json
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import toys
from hypothesis import assume, given
from hypothesis import strategies as st

import splitee
from splitee._internal.errors import InputError
from splitee.elue.flops import Flops
from splitee.elue.metrics import accuracy, accuracy_and_f1, pearson_and_spearman
from splitee.elue.predictions import Method, Setting, read_method, read_methods, write_method
from splitee.elue.reference import OWN, Reference, read_reference
from splitee.elue.replayed import replayed, setting_name
from splitee.elue.score import at, average, common_range, published_score, score, track
from splitee.models.checkpoints import parameters_of
from splitee.models.flops import count_flops
from splitee.report.scores import score_notes

# Metrics

labels = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


@given(labels)
def test_accuracy_and_f1_by_counting(pairs):
    said, right = (list(column) for column in zip(*pairs, strict=True))
    true = sum(s == 1 and r == 1 for s, r in pairs)
    wrong = sum(s != r for s, r in pairs)
    f1 = 2 * true / (2 * true + wrong) if 2 * true + wrong else 0.0
    assert accuracy(said, right) == pytest.approx(1 - wrong / len(pairs))
    assert accuracy_and_f1(said, right) == pytest.approx((1 - wrong / len(pairs) + f1) / 2)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=30))
def test_correlations_are_scipys(pairs):
    said, score_ = np.array(pairs, dtype=float).T
    assume(said.std() and score_.std())
    expected = scipy.stats.pearsonr(said, score_).statistic + scipy.stats.spearmanr(said, score_).statistic
    assert pearson_and_spearman(said, score_) == pytest.approx(expected / 2, abs=1e-9)


def test_what_does_not_vary_correlates_with_nothing():
    assert pearson_and_spearman([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]) == 0.0


# FLOPs


@pytest.mark.parametrize("exits", [None, [2, 4]])
@pytest.mark.parametrize("kind", toys.KINDS)
@pytest.mark.parametrize("tokens", [1, 7, 19])
def test_flops_from_shapes_are_torchs_count(kind, exits, tokens):
    model = toys.model(kind, classes=3, exits=exits)
    counted = count_flops(model, tokens)
    closed = Flops.from_config(model.config.to_dict())
    layers = np.cumsum(counted["layers"])[[layer - 1 for layer in model.exits]]
    np.testing.assert_allclose(closed.at(tokens), layers + counted["exits"], rtol=1e-12)
    every = closed.at(tokens, every_exit=True)
    np.testing.assert_allclose(every, layers + np.cumsum(counted["exits"]), rtol=1e-12)
    manifest = {
        "flops": {"mean_length": count_flops(model, 5), "max_length": count_flops(model, 16)},
        "exit_layers": list(model.exits),
    }
    np.testing.assert_allclose(Flops.from_manifest(manifest).at(tokens), closed.at(tokens), rtol=1e-9)


def test_flops_of_lengths_of_any_shape():
    flops = Flops.from_shapes(layers=3, hidden=8, intermediate=16, classes=2)
    assert flops.at([[1, 2], [3, 4]]).shape == (2, 2, 3)
    assert (flops.at([[1, 2], [3, 4]])[1, 0] == flops.at(3)).all()


def test_bert_base_has_the_flops_that_are_known():
    bert = Flops.from_shapes(layers=12, hidden=768, intermediate=3072, classes=2)
    # FACTS C: 22,366 MFLOPs for 12 layers of 128 tokens with layer normalisation; one exit 1.18
    assert bert.at(128)[-1] / 1e6 == pytest.approx(22_366 + 1.18, rel=1e-2)
    assert bert.exits[0] == 1_182_720


@pytest.mark.parametrize(
    "manifest",
    [{}, {"flops": None}, {"flops": {"mean_length": {"tokens": 3}, "max_length": {}}}],
)
def test_a_trace_without_flops(manifest):
    with pytest.raises(InputError, match="has no FLOPs"):
        Flops.from_manifest(manifest)


# Replayed


def made_trace(n=60, exits=(1, 2, 3, 4), seed=0, **changes):
    rng = np.random.default_rng(seed)
    layers = len(exits)
    label = rng.integers(2, size=n)
    right = rng.random((n, layers)) < np.linspace(0.55, 0.95, layers)
    manifest = {
        "flops": {
            part: {
                "tokens": tokens,
                "layers": [100 * tokens + tokens**2] * exits[-1],
                "exits": [float(10 + i) for i in range(layers)],
            }
            for part, tokens in (("mean_length", 4), ("max_length", 9))
        },
        "exit_layers": list(exits),
    }
    columns = {
        "confidence": 0.5 + 0.5 * rng.random((n, layers)),
        "prediction": np.where(right, label[:, None], 1 - label[:, None]),
        "label": label,
        "length": rng.integers(1, 20, n),
        "manifest": manifest,
    }
    return splitee.Trace(**{**columns, **changes}, name="made")


@pytest.mark.parametrize("exits", [(1, 2, 3, 4), (2, 3, 6, 7)])
@pytest.mark.parametrize(
    "policy",
    [
        splitee.SplitEE(0.8),
        splitee.SplitEES(0.8),
        splitee.ElasticBERT(0.8),
        splitee.PABEE(1),
        splitee.FixedExit(2),
        splitee.FixedSplit(2, 0.8),
        splitee.CascadeSplit(3, 0.8),
        splitee.CloudOnly(),
    ],
    ids=lambda policy: policy.label,
)
def test_what_an_answer_computes(policy, exits):
    trace = made_trace(exits=exits)
    method = replayed(trace, {"it": policy}, "m", "sst-2", seed=3)
    one = method.settings["it"]
    order = np.random.default_rng(np.random.SeedSequence(3)).permutation(60)
    result = splitee.replay(trace, policy, orders=[order], seed=3)
    for t, sample in enumerate(order):
        split, sent = int(result.split[0, t]), bool(result.offloaded[0, t])
        answer = 4 if sent else split
        s = int(trace.length[sample])
        layers = exits[answer - 1] * (100 * s + s * s)
        asked = range(1, split + 1) if policy.every_exit else [split] if split else []
        heads = sum(10 + (i - 1) for i in asked) + (13 if sent else 0)
        assert one.prediction[sample] == trace.prediction[sample, answer - 1]
        assert one.exit_layer[sample] == exits[answer - 1]
        assert one.flops[sample] == pytest.approx(layers + heads)
    assert method.points()[0, 1] == pytest.approx(100 * result.accuracy[0])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"length": None}, "no lengths"),
        ({"manifest": {}}, "has no FLOPs"),
        ({"cloud_confidence": np.full(60, 0.9), "cloud_prediction": np.zeros(60)}, "cloud"),
    ],
)
def test_traces_that_cannot_be_scored(changes, word):
    with pytest.raises(InputError, match=word):
        replayed(made_trace(**changes), {"it": splitee.FixedExit(1)}, "m", "sst-2")
    with pytest.raises(InputError, match="sts-b needs scores"):
        replayed(made_trace(), {"it": splitee.FixedExit(1)}, "m", "sts-b")


# The score


def method(points, name="m", task="sst-2", n=1000, seed=None, **facts):
    """Settings of these (FLOPs, percent)."""
    label = np.zeros(n, dtype=np.int64)
    settings = {}
    for i, (flops, percent) in enumerate(points):
        wrong = np.arange(n) >= round(n * percent / 100)
        settings[f"s{i}"] = Setting(wrong.astype(np.int64), np.ones(n, np.int64), np.full(n, float(flops)))
    return Method(name, task, label, settings, facts | ({} if seed is None else {"seed": seed}))


CURVE = [(1.0, 70.0), (2.0, 80.0), (4.0, 90.0)]


def reference(name="R"):
    return Reference(name, {"sst-2": np.array(CURVE)}, {})


def test_the_score_by_hand():
    # at 1.5: 75; at 3: 85; 5 lies outside
    scores = score([method([(1.5, 76.0), (3.0, 88.0), (5.0, 99.0)])], reference(), grid=3, draws=0)
    row = scores.iloc[0]
    assert row["score"] == pytest.approx((1 + 3) / 2)
    assert row["outside"] == 1
    assert (row["grid_from"], row["grid_to"]) == (1.5, 4.0)
    # at 1.5, 2.75, 4: the method 76, 86, 93.5, the reference 75, 83.75, 90
    assert row["grid_score"] == pytest.approx((1 + 2.25 + 3.5) / 3)
    assert row["best"] == pytest.approx(99)


def test_the_reference_scores_nothing_against_itself():
    itself = method(CURVE, name=OWN)
    own = Reference(OWN, {"sst-2": itself.points()}, {"sst-2": itself})
    row = score([itself], own, draws=50).iloc[0]
    for measure in ("score", "grid_score"):
        assert [row[measure], row[f"{measure}_low"], row[f"{measure}_high"]] == pytest.approx([0, 0, 0])
    assert own.score_name == "ELUE score"
    assert reference().score_name == "score against R"


def test_methods_share_one_grid():
    wide, narrow = method([(1.0, 71.0), (4.0, 91.0)], "wide"), method([(1.5, 80.0), (2.5, 80.0)], "narrow")
    together = score([wide, narrow], reference(), draws=0)
    assert set(together["grid_from"]) == {1.5}
    assert set(together["grid_to"]) == {2.5}
    single = method([(3.0, 90.0)], "single")  # no curve, so no say in the grid and no score on it
    row = score([wide, narrow, single], reference(), draws=0).set_index("method").loc["single"]
    assert row["score"] == pytest.approx(5)
    assert np.isnan(row["grid_score"])
    assert row["grid_from"] == 1.5


def test_curves_without_a_common_range():
    low, high = method([(1.0, 70.0), (1.5, 70.0)], "low"), method([(2.0, 70.0), (3.0, 70.0)], "high")
    scores = score([low, high], reference(), draws=0)
    assert scores["grid_score"].isna().all()
    assert scores["score"].notna().all()
    assert common_range([np.array(CURVE), low.points(), high.points()]) is None
    assert "low ends at" in score_notes(scores)[0]


def test_seeds_are_one_method():
    seeds = [method([(2.0, 80.0 + k), (3.0, 85.0 + k)], seed=k) for k in (0, 2, 4)]
    (row,) = score(seeds, reference(), draws=20).to_dict("records")
    assert row["seeds"] == 3
    assert row["score"] == pytest.approx(2)
    assert row["score_seeds"] == pytest.approx(2)
    assert row["score_low"] < 2 < row["score_high"]


def test_intervals_follow_the_samples():
    few, many = (score([method([(1.5, 80.0)], n=n)], reference(), draws=300).iloc[0] for n in (100, 10_000))
    for row, n in ((few, 100), (many, 10_000)):
        half = 1.96 * 100 * np.sqrt(0.8 * 0.2 / n)
        assert row["score_high"] - row["score_low"] == pytest.approx(2 * half, rel=0.25)
    again = score([method([(1.5, 80.0)], n=100)], reference(), draws=300).iloc[0]
    assert again["score_low"] == few["score_low"]


def test_a_resampled_curve_stands_over_the_same_flops():
    """What lies outside the reference's range stays outside, whoever is drawn."""
    rng = np.random.default_rng(0)
    n, flops = 400, rng.normal(1.0, 0.3, 400)
    one = Setting(np.zeros(n, np.int64), np.ones(n, np.int64), flops - flops.mean() + 0.999)
    row = score([Method("m", "sst-2", np.zeros(n, np.int64), {"a": one})], reference(), draws=50).iloc[0]
    assert row["outside"] == 1
    assert np.isnan([row["score"], row["score_low"], row["score_high"]]).all()


def test_the_average_is_over_methods_that_did_all_tasks():
    two = Reference("R", {"sst-2": np.array(CURVE), "imdb": np.array(CURVE)}, {})
    methods = [
        method([(2.0, 81.0)], "both"),
        method([(2.0, 84.0)], "both", "imdb"),
        method([(2.0, 99.0)], "one"),
    ]
    means = average(score(methods, two, draws=0))
    assert means["method"].tolist() == ["both"]
    assert means["score"].tolist() == pytest.approx([2.5])
    assert means["grid_score"].isna().all()
    outside = method([(9.0, 84.0)], "both", "imdb")
    means = average(score([methods[0], outside], two, draws=0))
    assert means["score"].isna().all(), "a task without a score leaves none"


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 100)), min_size=1, max_size=8))
def test_a_curve_is_not_prolonged_and_counts_equal_flops_once(points):
    points = np.array(sorted(points), dtype=float)
    for flops in np.unique(points[:, 0]):
        same = points[points[:, 0] == flops, 1]
        assert at(points, np.array([flops]))[0] == pytest.approx(same.mean())
    assert np.isnan(published_score(np.array([[0.5, 90.0], [9.5, 90.0]]), points))


@pytest.mark.parametrize(
    ("parameters", "limit"), [(40_000_000, 40), (40_000_001, 55), (109e6, 110), (2e8, None)]
)
def test_tracks(parameters, limit):
    assert track(int(parameters)) == limit


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: score([method(CURVE, task="imdb")], reference()), "no common task"),
        (lambda: score([method(CURVE)], reference(), grid=1), "grid is 1"),
        (lambda: score([method(CURVE), method(CURVE, "other", n=999)], reference()), "different samples"),
        (lambda: method(CURVE, task="sst2"), "did you mean sst-2"),
        (lambda: method([]), "no predictions"),
        (lambda: Method("m", "imdb", np.zeros(2), {"a/b": method(CURVE).settings["s0"]}), "names a file"),
        (lambda: Method("m", "imdb", np.zeros(2), {"a": method(CURVE).settings["s0"]}), "for 2 samples"),
    ],
)
def test_what_cannot_be_scored(make, word):
    with pytest.raises(InputError, match=word):
        make()


# Files


@pytest.mark.parametrize("task", ["sst-2", "sts-b"])
def test_files_say_the_same(task, tmp_path):
    rng = np.random.default_rng(0)
    kind = rng.random if task == "sts-b" else lambda n: rng.integers(2, size=n)
    settings = {
        f"elasticbert-0.{i}": Setting(kind(9), rng.integers(1, 5, 9), rng.random(9) * 1e12) for i in (7, 9)
    }
    told = Method("name ✓", task, kind(9), settings, {"seed": 1, "parameters": 7})
    write_method(told, tmp_path / "m")
    found = read_method(tmp_path / "m")
    assert (found.name, found.task, found.facts) == (told.name, told.task, told.facts)
    np.testing.assert_array_equal(found.label, told.label)
    for name, one in settings.items():
        for column in ("prediction", "exit_layer", "flops"):
            np.testing.assert_array_equal(getattr(found.settings[name], column), getattr(one, column))
    file = pd.read_csv(tmp_path / "m" / f"{task}_infer_exit_layer_elasticbert-0.7.tsv", sep="\t")
    assert file.columns.tolist() == ["index", "exit_layer", "flops"]
    with pytest.raises(FileExistsError):
        write_method(told, tmp_path / "m")
    assert read_method(tmp_path / "m").settings.keys() == settings.keys()


def test_scores_are_the_same_in_float32_and_float64(tmp_path):
    """A trace holds right scores in float32, a table of labels in float64 (2.8 is not the same in both)."""
    right = np.array([2.8, 3.8, 0.4, 5.0, 1.25])
    said = Setting(right, np.ones(5, np.int64), np.full(5, 2.0))
    methods = [
        Method(name, "sts-b", right.astype(kind), {"a": said})
        for name, kind in (("trace", np.float32), ("table", np.float64))
    ]
    for one in methods:
        write_method(one, tmp_path / one.name)
    against = Reference("R", {"sts-b": np.array([[1.0, 50.0], [3.0, 60.0]])}, {"sts-b": methods[1]})
    assert len(score(read_methods([tmp_path]), against, draws=2)) == 2


def test_classes_are_numbered_as_elue_does_by_name():
    trace = made_trace()
    swapped = trace.replace(
        prediction=1 - trace.prediction,
        label=1 - trace.label,
        manifest=trace.manifest | {"class_names": ["equivalent", "not_equivalent"]},
    )
    named = trace.replace(manifest=trace.manifest | {"class_names": ["not_equivalent", "equivalent"]})
    policies = {"it": splitee.FixedExit(2)}
    points = [replayed(one, policies, "m", "mrpc").points()[0, 1] for one in (trace, named, swapped)]
    assert points[0] == points[1] == points[2]
    other = trace.replace(manifest=trace.manifest | {"class_names": ["no", "yes"]})
    with pytest.raises(InputError, match="name them not_equivalent, equivalent"):
        replayed(other, policies, "m", "mrpc")
    with pytest.raises(InputError, match="name them negative, positive"):
        replayed(other, policies, "m", "sst-2")  # accuracy would not ask, but ELUE's server does


def test_settings_are_named_by_all_that_is_not_default():
    policies = [
        splitee.SplitEES(0.9, side_information=kind, send_input=send)
        for kind in ("causal", "published", "skip")
        for send in (False, True)
    ]
    policies += [splitee.PABEE(2), splitee.PABEE(2, last=3), splitee.PABEE(2, tolerance=0.5)]
    policies += [splitee.SplitEE(0.9), splitee.SplitEE(0.9, exploration=0.3)]
    policies += [splitee.ElasticBERT(patience=2), splitee.ElasticBERT(entropy=0.2)]
    names = [setting_name(policy) for policy in policies]
    assert len(set(names)) == len(names), names


def test_parts_of_a_method_are_put_together(tmp_path):
    for i, points in enumerate(CURVE):
        one = method([points], parameters=10 * (i + 1))
        named = Method(one.name, one.task, one.label, {f"first-{i}": one.settings["s0"]}, one.facts)
        write_method(named, tmp_path / "all" / str(i))
    (whole,) = read_methods([tmp_path])
    assert whole.points().tolist() == [list(point) for point in CURVE]
    assert whole.parameters == 30
    against = read_reference(tmp_path / "all")
    assert against.name == "m"
    assert against.curves["sst-2"].tolist() == whole.points().tolist()
    write_method(named, tmp_path / "again")
    with pytest.raises(InputError, match="twice"):
        read_methods([tmp_path])


def spoil(file, content):
    def of(folder):
        (folder / "fingerprints.json").unlink()  # files of other programs have none
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(content)

    return of


def test_a_changed_file_does_not_match_its_checksum(tmp_path):
    write_method(method([(1.0, 50.0), (2.0, 60.0)]), tmp_path / "m")
    (tmp_path / "m" / EXITS).write_text((tmp_path / "m" / EXITS).read_text().replace("\t1\t", "\t2\t", 1))
    with pytest.raises(InputError, match=f"{EXITS} does not match its checksum"):
        read_method(tmp_path / "m")


EXITS = "sst-2_infer_exit_layer_s0.tsv"


@pytest.mark.parametrize(
    ("spoiled", "word"),
    [
        (spoil("method.json", "{"), "damaged"),
        (spoil("method.json", '{"name": "m"}'), "damaged"),
        (spoil("method.json", '{"name": "m", "task": "cola"}'), "no task 'cola'"),
        (spoil("gold.tsv", "index\tlabel\n0\t1\n"), "indices"),
        (spoil(EXITS, None), "no such file"),
        (spoil(EXITS, "index\texit_layer\tflops\n0\t1\t1\n1\t1\t\n2\t1\t1\n"), "row 1: column 'flops'"),
        (spoil("sst-2_s0.tsv", "index\tprediction\n0\t1\n1\tx\n2\t1\n"), "row 1"),
        (spoil("sst-2_s0.tsv", "index\tprediction\n0\t1\n1\t0.5\n2\t1\n"), "whole numbers"),
        (spoil("sst-2_s0.tsv", None), "no predictions"),
        (spoil("method.json", "[1]"), "damaged"),
        (spoil("method.json", '{"name": "m", "task": ["sst-2"]}'), "must be texts"),
        (spoil("method.json", '{"name": "m", "task": "sst-2", "parameters": "many"}'), "parameters is"),
        (spoil("method.json", '{"name": "m", "task": "sst-2", "seed": [1]}'), "seed is"),
        (spoil("gold.tsv", "index\tlabel\n0\t1\n1\t0.5\n2\t1\n"), "whole numbers from 0"),
        (spoil("gold.tsv", "index\tlabel\n"), "no rows"),
        (spoil(EXITS, "index\texit_layer\tflops\n0\t1\t1\n1\t0\t1\n2\t1\t1\n"), "whole numbers from 1"),
        (spoil(EXITS, "index\texit_layer\tflops\n0\t1\t1\n1\t1\t-1\n2\t1\t1\n"), "flops must be above 0"),
        (spoil("sst-2_s0.tsv", ""), "is empty"),
    ],
)
def test_damaged_folders(spoiled, word, tmp_path):
    write_method(method([(1.0, 50.0)], n=3), tmp_path / "m")
    spoiled(tmp_path / "m")
    with pytest.raises(InputError, match=word):
        read_methods([tmp_path / "m"])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "no such reference"),
        ("reference,task,flops\nR,sst-2,1\n", "no column 'performance'"),
        ("reference,task,flops,performance\nR,sst-2,1,x\n", "row 0"),
        ("reference,task,flops,performance\nR,sst-2,1,70\n", "one point only"),
        ("reference,task,flops,performance\nR,sst-2,1,70\nS,sst-2,2,80\n", "one reference per file"),
        ("reference,task,flops,performance\nR,sst,1,70\nR,sst,2,80\n", "no task 'sst'"),
        ("reference,task,flops,performance\n", "no rows"),
        ("reference,task,flops,performance\nR,sst-2,-1,70\nR,sst-2,2,80\n", "above 0"),
        ("reference,task,flops,performance\n,sst-2,1,70\n,sst-2,2,80\n", "is empty in some rows"),
        ("", "CSV"),
    ],
)
def test_bad_references(content, word, tmp_path):
    write_method(method([(1.0, 50.0), (2.0, 60.0)]), tmp_path / "m")
    if content is not None:
        (tmp_path / "r.csv").write_text(content)
    ran = commands.splitee("elue", "score", tmp_path / "m", "--reference", tmp_path / "r.csv")
    assert word in ran.complaint


# The command line


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Checkpoints, their traces, and a reference."""
    folder = tmp_path_factory.mktemp("elue")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(toys.WORDS, rng.integers(1, 25))) for _ in range(50)]
    texts[3:5] = ["", "good"]
    label = [f"LABEL_{i}" for i in rng.integers(2, size=50)]
    frame = pd.DataFrame({"text": texts, "label": label, "score": rng.random(50) * 5})
    frame.to_csv(folder / "texts.csv", index=False)
    toys.checkpoint(folder / "classes", "mpnet")
    toys.checkpoint(folder / "scores", "bert", classes=1, score_range=(0, 5))
    for name, label in (("classes", "label"), ("scores", "score")):
        ran = commands.splitee(
            *("precompute", folder / name, "--text", folder / "texts.csv", "--label-column", label),
            *("--out", folder / f"{name}.parquet"),
        )
        assert ran.code == 0, ran
    (folder / "r.csv").write_text(
        "reference,task,layers,flops,performance\nR,sst-2,1,30000,50\nR,sst-2,4,2000000,60\n"
        "R,sts-b,1,30000,0\nR,sts-b,4,2000000,10\n"
    )
    return folder


POLICIES = ("--policy", "exits", "--policy", "elasticbert", "--policy", "pabee:1", "--threshold", "0.7,0.8")


@pytest.mark.parametrize(("name", "task"), [("classes", "sst-2"), ("scores", "sts-b")])
def test_a_replayed_trace_and_a_running_model_write_the_same_files(name, task, place, tmp_path):
    label = "score" if name == "scores" else "label"
    ran = commands.splitee(
        *("elue", "predict", place / f"{name}.parquet", "--task", task, *POLICIES),
        *("--out", tmp_path / "replayed", "--name", "m", "--json"),
    )
    assert ran.code == 0, ran
    assert len(json.loads(ran.out)["points"]) == toys.LAYERS + 3
    ran = commands.splitee(
        *(
            "elue",
            "predict",
            place / name,
            "--task",
            task,
            *POLICIES,
            "--out",
            tmp_path / "run",
            "--name",
            "m",
        ),
        *("--text", place / "texts.csv", "--label-column", label, "--batch-size", 7),
    )
    assert ran.code == 0, ran
    assert "texts are truncated at 20 tokens" in ran.err
    replayed_, run = (read_method(tmp_path / kind) for kind in ("replayed", "run"))
    assert replayed_.settings.keys() == run.settings.keys()
    for setting, one in replayed_.settings.items():
        other = run.settings[setting]
        np.testing.assert_array_equal(one.exit_layer, other.exit_layer)
        np.testing.assert_allclose(one.prediction, other.prediction, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.flops, other.flops, rtol=1e-9)
    assert run.parameters == replayed_.parameters == parameters_of(place / name)


def test_score_prints_and_writes(place, tmp_path):
    for name, task in (("classes", "sst-2"), ("scores", "sts-b")):
        ran = commands.splitee(
            *("elue", "predict", place / f"{name}.parquet", "--task", task, *POLICIES),
            *("--out", tmp_path / "results" / task, "--name", "joint"),
        )
        assert ran.code == 0, ran
    command = ("elue", "score", tmp_path / "results", "--reference", place / "r.csv", "--draws", 20)
    ran = commands.splitee(*command, "--out", tmp_path / "out")
    assert ran.code == 0, ran
    assert ran.out.startswith("score against R, in points")
    assert "mean over 2 tasks" in ran.out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "pareto.pdf",
        "pareto.png",
        "scores.csv",
    ]
    document = json.loads(commands.splitee(*command, "--json").out)
    assert document["name"] == "score against R"
    assert [row["task"] for row in document["scores"]] == ["sst-2", "sts-b"]
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert scores["score"].tolist() == pytest.approx([row["score"] for row in document["scores"]])
    before = (tmp_path / "out" / "scores.csv").read_bytes()
    assert "exists already" in commands.splitee(*command, "--out", tmp_path / "out", "--seed", 1).complaint
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before


def test_seeds_with_other_settings_are_drawn(place, tmp_path):
    """Of the settings that all seeds have; and seeds of a checkpoint can be told."""
    for seed, policies in ((0, POLICIES), (1, ("--policy", "exits"))):
        ran = commands.splitee(
            *("elue", "predict", place / "classes", "--task", "sst-2", *policies, "--name", "m"),
            *("--text", place / "texts.csv", "--label-column", "label", "--seed", seed),
            *("--out", tmp_path / "results" / str(seed)),
        )
        assert ran.code == 0, ran
    command = ("elue", "score", tmp_path / "results", "--reference", place / "r.csv", "--draws", 2)
    ran = commands.splitee(*command, "--out", tmp_path / "out", "--json")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["scores"][0]["seeds"] == 2


def test_scoring_needs_no_torch(place, tmp_path):
    write_method(method([(1e6, 50.0), (1.5e6, 60.0)]), tmp_path / "m")
    code = (
        "import sys\nfor name in ('torch', 'transformers', 'safetensors'): sys.modules[name] = None\n"
        "from splitee.cli import main\nsys.argv = ['splitee', *sys.argv[1:]]\nmain()"
    )
    arguments = ["elue", "score", tmp_path / "m", "--reference", place / "r.csv", "--draws", "5"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=commands.environment(),
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_flops_of_a_checkpoint_and_of_its_trace(place):
    documents = [
        json.loads(commands.splitee("elue", "flops", place / name, "--tokens", 11, "--json").out)
        for name in ("classes", "classes.parquet")
    ]
    assert documents[0] == documents[1]
    assert documents[0]["track"] == 40
    assert "on ELUE's track of 40 M" in commands.splitee("elue", "flops", place / "classes").out


PREDICT = ("elue", "predict")
OF_TEXTS = ("--text", "texts.csv", "--label-column")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((*PREDICT, "classes.parquet", "--task", "sst2"), "did you mean sst-2"),
        ((*PREDICT, "classes.parquet", "--task", "sst-2", "--policy", "pabe:3"), "did you mean"),
        ((*PREDICT, "classes.parquet", "--task", "sst-2", "--threshold", "a"), "--threshold 'a'"),
        ((*PREDICT, "classes.parquet", "--task", "sts-b"), "sts-b needs scores"),
        ((*PREDICT, "classes.parquet", "--task", "snli"), "snli has 3 classes"),
        ((*PREDICT, "snli", "--task", "sst-2"), "sst-2 has 2 classes"),
        ((*PREDICT, "classes.parquet", "--task", "sst-2", "--split", "test"), "--split does not go"),
        ((*PREDICT, "nothing.parquet", "--task", "sst-2"), "nothing.parquet"),
        ((*PREDICT, "classes.parquet", "--task", "sst-2", "--label-column", "x"), "--label-column"),
        ((*PREDICT, "classes", "--task", "sst-2", "--policy", "splitee"), "replay it on a trace"),
        ((*PREDICT, "classes", "--task", "sts-b", *OF_TEXTS, "score"), "predicts classes"),
        ((*PREDICT, "classes", "--task", "sst-2", "--data-root", "nowhere"), "nowhere"),
        ((*PREDICT, "classes", "--task", "sst-2", "--batch-size", 0, "--data-root", "."), "at least 1"),
        (("elue", "flops", "classes", "--tokens", 0), "at least 1"),
        (("elue", "flops", "nothing.parquet"), "nothing.parquet"),
        (("elue", "score", "classes", "--reference", "r.csv"), "no method of ELUE"),
    ],
)  # fmt: skip
def test_bad_input(arguments, word, place, monkeypatch):
    monkeypatch.chdir(place)
    out = ("--out", "made") if arguments[1] == "predict" else ()
    ran = commands.splitee(*arguments, *out)
    assert word in ran.complaint
    assert not (place / "made").exists()
