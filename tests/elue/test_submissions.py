"""ELUE's own files: label numbers, predictions without FLOPs, submissions without labels."""

import json

import commands
import numpy as np
import pandas as pd
import pytest
import toys

from splitee._internal.errors import InputError
from splitee.data.tasks import TASKS, load_task
from splitee.elue.metrics import class_numbers, get_task
from splitee.elue.predictions import Method, Setting, read_method, write_method


def folder(root, name, split, content, mark=""):
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / f"{split}.tsv").write_bytes((mark + content).encode())


def test_scitails_numbers_are_elues_whatever_the_model_calls_its_classes():
    scitail = get_task("scitail")
    assert class_numbers(scitail, ["entails", "neutral"]).tolist() == [1, 0]
    assert class_numbers(scitail, ["entailment", "not_entailment"]).tolist() == [1, 0]
    assert class_numbers(scitail, ["neutral", "entails"]).tolist() == [0, 1]
    assert class_numbers(scitail, ["0", "1"]).tolist() == [0, 1]
    assert class_numbers(get_task("snli"), TASKS["snli"].label_names).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="numbers in scitail are unknown: name them neutral, entails"):
        class_numbers(scitail, ["yes", "no"])


def test_glues_tasks_by_name(tmp_path):
    for name, text, label in (
        ("cola", ["sentence"], "unacceptable"),
        ("qnli", ["question", "sentence"], "entailment"),
        ("mnli_mm", ["premise", "hypothesis"], "entailment"),
    ):
        (tmp_path / name).mkdir()
        frame = pd.DataFrame({column: ["a", "b"] for column in text} | {"label": [0, 1]})
        frame.to_parquet(tmp_path / name / "validation.parquet")
        rows = load_task(name, "validation", tmp_path)
        assert rows.label_names[rows.label[0]] == label
    assert TASKS["mnli_mm"].hub_splits["validation"] == "validation_mismatched"


def test_an_unlabelled_test_file_becomes_a_submission(tmp_path):
    checkpoint = tmp_path / "toy"
    model = toys.model("bert", max_tokens=20)
    names = ["entails", "neutral"]
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
    model.save_pretrained(checkpoint)
    toys.tokenizer().save_pretrained(checkpoint)
    lines = "".join(f"{i}\tw{i} good\tbad w{i % 7}\n" for i in range(30))
    folder(tmp_path, "SciTail", "test", "index\tpremise\thypothesis\n" + lines)
    ran = commands.splitee(
        *("elue", "predict", checkpoint, "--task", "scitail", "--data-root", tmp_path, "--policy", "exits"),
        *("--policy", "elasticbert", "--threshold", "0.6", "--out", tmp_path / "out"),
    )
    assert ran.code == 0, ran
    assert "no labels: a submission" in ran.out
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert "gold.tsv" not in files
    assert {"scitail_exit-1.tsv", "scitail_infer_exit_layer_exit-1.tsv"} <= files
    told = pd.read_csv(tmp_path / "out" / "scitail_exit-2.tsv", sep="\t")
    assert told.columns.tolist() == ["index", "prediction", "modules"]
    assert told["modules"][0] == "(7),emb; (7,16),layer_1; (7,16),layer_2; (16),exit_2"
    cascade = next(one for name, one in read_method(tmp_path / "out").settings.items() if "0.6" in name)
    for exit_, modules in zip(cascade.exit_layer, cascade.modules, strict=True):
        assert modules.count("exit_") == modules.count("layer_") == exit_
    ran = commands.splitee("elue", "score", tmp_path / "out", "--reference", reference(tmp_path))
    assert "has no gold.tsv" in ran.complaint
    # the same answers under the model's other order of names
    from splitee.elue.inferred import inferred
    from splitee.policies.rules import AtExit

    rows = load_task("scitail", "test", tmp_path)
    method = inferred(checkpoint, rows, {"exit-4": AtExit(4)}, "m", "scitail")
    stored = pd.read_csv(tmp_path / "out" / "scitail_exit-4.tsv", sep="\t")["prediction"]
    np.testing.assert_array_equal(stored, method.settings["exit-4"].prediction)
    assert set(stored) <= {0, 1}


def reference(place):
    path = place / "reference.csv"
    rows = "".join(f"base,mrpc,{i},{i}e9,{70 + i}\nbase,scitail,{i},{i}e9,{70 + i}\n" for i in range(1, 13))
    path.write_text("reference,task,layers,flops,performance\n" + rows)
    return path


@pytest.mark.parametrize("described", [True, False])
def test_predictions_as_elues_authors_write_them(described, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "gold.tsv").write_text("index\tlabel\n0\t1\n1\t0\n2\t1\n3\t1\n")
    (place / "mrpc_3.tsv").write_text("index\tprediction\n0\t1\n1\t0\n2\t1\n3\t0\n")
    exits = place / "mrpc_infer_exit_layer_3.tsv"
    exits.write_text("index\texit_layer\n0\t4\n1\t6\n2\t4\n3\t12\n")
    if described:
        (place / "method.json").write_text('{"name": "mine", "task": "mrpc"}')
    ran = commands.splitee("elue", "score", place, "--reference", reference(tmp_path), "--draws", 0, "--json")
    assert ran.code == 0, ran
    (row,) = json.loads(ran.out)["scores"]
    assert row["method"] == "mine"
    assert row["flops_low"] == pytest.approx(6.5e9)  # (4 + 6 + 4 + 12) / 4 layers
    without = tmp_path / "without.csv"
    without.write_text("reference,task,flops,performance\nbase,mrpc,1e3,70\nbase,mrpc,12e9,80\n")
    arguments = ("elue", "score", place, "--reference", without, "--draws", 0, "--json")
    assert (
        "give a reference with the column layers, or the model with --flops-of"
        in commands.splitee(*arguments).complaint
    )
    toys.checkpoint(tmp_path / "toy")
    ran = commands.splitee(*arguments, "--flops-of", tmp_path / "toy")
    assert "answers of layer 6" in ran.complaint
    exits.write_text("index\texit_layer\n0\t4\n1\t1\n2\t4\n3\t2\n")
    ran = commands.splitee(*arguments, "--flops-of", tmp_path / "toy", "--tokens", 9)
    assert ran.code == 0, ran
    counted = commands.splitee("elue", "flops", tmp_path / "toy", "--tokens", 9, "--json")
    every = json.loads(counted.out)["flops_with_exits_before"]
    (row,) = json.loads(ran.out)["scores"]
    assert row["flops_low"] == pytest.approx(np.mean([every[3], every[0], every[3], every[1]]))


def test_modules_survive_a_round_trip(tmp_path):
    ran = ["(3),emb; (3,8),layer_1", "(4),emb; (4,8),layer_1; (4,8),layer_2"]
    setting = Setting(np.array([1, 0]), np.array([1, 2]), np.array([1.0, 2.0]), ran)
    write_method(Method("m", "mrpc", None, {"a": setting}), tmp_path / "m")
    again = read_method(tmp_path / "m")
    assert again.label is None
    assert again.settings["a"].modules == setting.modules
    with pytest.raises(InputError, match=r"has no gold\.tsv"):
        again.points()
