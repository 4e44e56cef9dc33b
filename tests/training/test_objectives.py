"""Ways to train exits: each loss by hand, who learns in which half, scores, first layers."""

import commands
import numpy as np
import pandas as pd
import pytest
import torch
import toys
from safetensors.torch import load_file
from torch.nn import functional

import splitee.training.finetune as finetune
import splitee.training.loop as loop
from splitee._internal.errors import InputError
from splitee.data.rows import Rows
from splitee.data.tasks import load_task
from splitee.models.encode import encode
from splitee.models.inputs import TextInputs
from splitee.models.precompute import compute_trace
from splitee.trace import load_trace
from splitee.training import objectives
from splitee.training.objectives import OBJECTIVES
from splitee.training.recipe import Recipe

LOGITS = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
EACH = [functional.cross_entropy(LOGITS[:, i], LABELS) for i in range(4)]


@pytest.mark.parametrize(
    ("loss", "step", "expected"),
    [
        (objectives.joint, 1, sum(EACH)),
        (objectives.depth_weighted, 1, sum((i + 1) * one for i, one in enumerate(EACH)) / 10),
        (objectives.last, 1, EACH[3]),
        (objectives.others, 1, sum(EACH[:3])),
        (objectives.alternating, 1, EACH[3]),
        (objectives.alternating, 2, sum(EACH)),
    ],
)
def test_losses_by_hand(loss, step, expected):
    assert float(loss(LOGITS, LABELS, step)) == pytest.approx(float(expected), rel=1e-6)


def test_distillation_is_torchs_divergence_and_teaches_nobody_above():
    logits = LOGITS.clone().requires_grad_()
    loss = objectives.distilled(logits, LABELS)
    teacher = functional.log_softmax(LOGITS[:, -1], -1)
    students = [functional.log_softmax(LOGITS[:, i], -1) for i in range(3)]
    # torch's kl_div(input, target) is KL(target ‖ input): the student is the target here
    each = [functional.kl_div(teacher, one, log_target=True, reduction="batchmean") for one in students]
    expected = sum(each)
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[:, :3].abs().sum() > 0
    assert not gradient[:, 3].any()


def test_the_released_direction_is_the_other_divergence():
    logits = LOGITS.clone().requires_grad_()
    loss = objectives.distilled_released(logits, LABELS)
    teacher = LOGITS[:, -1].log_softmax(-1)
    students = [LOGITS[:, i].log_softmax(-1) for i in range(3)]
    each = [functional.kl_div(one, teacher, log_target=True, reduction="batchmean") for one in students]
    assert float(loss.detach()) == pytest.approx(float(sum(each)), rel=1e-5)
    assert not torch.autograd.grad(loss, logits)[0][:, 3].any()


def test_joint_distillation_adds_the_cross_entropy_with_the_last_exit():
    teacher = LOGITS[:, -1].softmax(-1)
    # torch's cross entropy takes probabilities as targets
    each = [functional.cross_entropy(LOGITS[:, i], teacher) for i in range(3)]
    mean = float(objectives.joint_distilled(LOGITS, LABELS))
    total = float(objectives.joint_distilled_released(LOGITS, LABELS))
    assert mean == pytest.approx(float(sum(EACH) + sum(each)), rel=1e-6)
    assert total == pytest.approx(float(sum(EACH) + len(LABELS) * sum(each)), rel=1e-6)
    logits = LOGITS.clone().requires_grad_()
    (distilled,) = torch.autograd.grad(objectives.joint_distilled(logits, LABELS), logits)
    (joint,) = torch.autograd.grad(objectives.joint(logits, LABELS), logits)
    torch.testing.assert_close(distilled[:, 3], joint[:, 3])  # the last exit learns from labels alone
    assert not torch.allclose(distilled[:, :3], joint[:, :3])


def test_scores_are_regressed():
    scores, values = torch.tensor([1.0, 4.5]), torch.tensor([[[1.0], [2.0]], [[4.0], [4.5]]])
    assert float(objectives.joint(values, scores)) == pytest.approx(0.125 + 0.5)
    assert float(objectives.distilled(values, scores)) == pytest.approx((1 + 0.25) / 2)
    joint = float(objectives.joint(values, scores))
    assert float(objectives.joint_distilled(values, scores)) == pytest.approx(joint + (1 + 0.25) / 2)


def test_a_frozen_encoder_gets_no_gradient():
    model = toys.model("mpnet", gradient_equilibrium=False).train()
    ids = torch.tensor([[0, 7, 8, 2], [0, 9, 10, 2]])
    logits = model(ids, frozen=True).logits
    objectives.others(logits, torch.tensor([0, 1])).backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    heads = [any(p.grad is not None for p in head.parameters()) for head in model.exit_heads]
    assert heads == [True, True, True, False]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Whoever says good, fine or great likes it; the more of them, the better the score."""
    folder = tmp_path_factory.mktemp("objectives")
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(120):
        words = list(rng.choice(toys.WORDS, rng.integers(2, 9)))
        balance = sum(w in toys.WORDS[:3] for w in words) - sum(w in toys.WORDS[3:6] for w in words)
        rows.append((" ".join(words), int(balance > 0), float(np.clip(2.5 + balance, 0, 5))))
    frame = pd.DataFrame(rows, columns=["text", "label", "score"])
    frame.iloc[:80].to_csv(folder / "train.csv", index=False)
    frame.iloc[80:].to_csv(folder / "validation.csv", index=False)
    toys.backbone(folder / "toy-bert")
    return folder


def train(place, out, *options, label="label"):
    return commands.splitee(
        *("train", "--backbone", place / "toy-bert", "--text", place / "train.csv", "--out", out),
        *("--validation-text", place / "validation.csv", "--label-column", label, "--max-tokens", 16),
        *("--batch-size", 8, "--learning-rate", 0.006, "--checkpoint-steps", 3, *options),
    )


def parts(folder):
    found = load_file(folder / "model.safetensors")
    heads = [{k: v for k, v in found.items() if k.startswith(f"exit_heads.{i}.")} for i in range(toys.LAYERS)]
    return {k: v for k, v in found.items() if k.startswith("backbone.")}, heads


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


SLOW = ("joint+distillation-released", "self-distillation-released", "depth-weighted")


@pytest.mark.parametrize(
    "objective", [pytest.param(one, marks=pytest.mark.slow) if one in SLOW else one for one in OBJECTIVES]
)
def test_every_way_trains(objective, place, tmp_path):
    ran = train(place, tmp_path / "model", "--objective", objective, "--epochs", 2)
    assert ran.code == 0, ran
    assert load_trace(tmp_path / "model" / "validation.parquet").layers == toys.LAYERS


@pytest.mark.parametrize(("objective", "trained"), [("joint", 4), ("alternating", 2), ("two-stage", 2)])
def test_certainty_is_learned_in_the_steps_that_train_all_exits(objective, trained, monkeypatch, tmp_path):
    """Four steps: of two epochs, two steps each."""
    model = toys.model(confidence="learned", max_tokens=16)
    texts = ["good w1", "bad w2", "fine w3", "dull w4"] * 4
    rows = [one | {"labels": i % 2} for i, one in enumerate(encode(toys.tokenizer(), (texts,), 16))]
    moved = []

    def step(self, *arguments, real=loop._Trainer.training_step, **options):
        result = real(self, *arguments, **options)
        gradient = self.model.certainty_head.linear.weight.grad
        moved.append(gradient is not None and bool(gradient.any()))
        return result

    monkeypatch.setattr(loop._Trainer, "training_step", step)
    recipe = Recipe(objective=objective, epochs=2, patience=2, batch_size=8, max_tokens=16)
    state = loop.train_model(
        model, TextInputs(toys.tokenizer(), model), rows, rows[:4], recipe, tmp_path, lambda line: None
    )
    assert state.global_step == 4
    assert sum(moved) == trained
    if objective == "two-stage":
        assert moved == [False, False, True, True]


def test_a_learned_confidence_is_the_traces_confidence(place, tmp_path):
    options = ("--objective", "alternating", "--confidence", "learned", "--epochs", 1)
    ran = train(place, tmp_path / "model", *options)
    assert ran.code == 0, ran
    trace = load_trace(tmp_path / "model" / "validation.parquet")
    assert (trace.softmax, trace.manifest["confidence_from"]) == (False, "learned certainty (BERxiT)")
    out = tmp_path / "plain.parquet"
    data = ("--text", place / "validation.csv", "--label-column", "label", "--confidence", "softmax")
    ran = commands.splitee("precompute", tmp_path / "model", *data, "--out", out)
    assert ran.code == 0, ran
    plain = load_trace(out)
    assert plain.softmax
    assert plain.recommended_threshold is None, "α was chosen for the learned confidence"
    np.testing.assert_array_equal(plain.prediction, trace.prediction)


def test_exits_from_a_layer_on_that_read_several_states(place, tmp_path):
    options = ("--first-exit", 2, "--exit-states", 3, "--no-exit-dense", "--epochs", 1)
    ran = train(place, tmp_path / "model", *options)
    assert ran.code == 0, ran
    trace = load_trace(tmp_path / "model" / "validation.parquet")
    assert trace.exit_layers == (2, 3, 4)
    heads = load_file(tmp_path / "model" / "model.safetensors")
    assert heads["exit_heads.0.classifier.weight"].shape == (2, 48)


@pytest.mark.parametrize("objective", ["two-stage", "self-distillation"])
def test_the_second_half_leaves_encoder_and_last_exit_alone(objective, place, tmp_path, monkeypatch):
    saved = {}
    real = finetune.load_checkpoint

    def seen(folder):
        for path in folder.parent.glob("checkpoint-*"):
            saved[int(path.name.split("-")[1])] = parts(path)
        return real(folder)

    monkeypatch.setattr(finetune, "load_checkpoint", seen)
    options = ("--epochs", 2, "--patience", 9, "--checkpoint-steps", 100)
    ran = train(place, tmp_path / "model", "--objective", objective, *options)
    assert ran.code == 0, ran
    first, second = saved[10], saved[20]  # ten steps an epoch
    assert same(first[0], second[0])
    assert same(first[1][-1], second[1][-1])
    assert not any(same(a, b) for a, b in zip(first[1][:-1], second[1][:-1], strict=True))


@pytest.mark.slow
def test_scores_are_learned_and_precomputed(place, tmp_path):
    model = tmp_path / "model"
    ran = train(place, model, "--regression", "--epochs", 6, "--patience", 6, label="score")
    assert ran.code == 0, ran
    assert "validation correlation by exit" in ran.err
    trace = load_trace(model / "validation.parquet")
    assert np.corrcoef(trace.value[:, -1], trace.target)[0, 1] > 0.5
    assert not trace.softmax
    assert trace.confidence[:, 0].max() == 0
    apart = np.abs(np.diff(trace.value.astype(float), axis=1))
    low, high = trace.manifest["class_names"][0], trace.manifest["class_names"][-1]
    span = max(pd.read_csv(place / "train.csv")["score"]) - min(pd.read_csv(place / "train.csv")["score"])
    np.testing.assert_allclose(trace.confidence[:, 1:], np.clip(1 - apart / span, 0, 1), atol=1e-6)
    assert float(high) - float(low) <= span
    out = tmp_path / "again.parquet"
    ran = commands.splitee(
        *("precompute", model, "--text", place / "validation.csv", "--label-column", "score", "--out", out)
    )
    assert ran.code == 0, ran
    again = load_trace(out)
    np.testing.assert_array_equal(again.value, trace.value)
    np.testing.assert_array_equal(again.target, trace.target)
    assert commands.splitee("trace", "verify", out).code == 0
    assert commands.splitee("run", out, "--repeats", 2, "--policy", "pabee", "--policy", "splitee").code == 0


def test_the_first_layers_with_one_exit(place, tmp_path):
    model = tmp_path / "model"
    ran = train(place, model, "--layers", 2, "--exits", 2, "--epochs", 2)
    assert ran.code == 0, ran
    assert not (model / "validation.parquet").exists(), "a trace needs two exits"
    backbone, _ = parts(model)
    assert {int(k.split(".")[3]) for k in backbone if ".layer." in k} == {0, 1}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--layers", 5), "has 4 layers"),
        (("--layers", 0), "not a number of layers"),
        (("--layers", 2, "--exits", "4"), "exits [4]"),
        (("--objective", "two-stage", "--epochs", 1), "at least 2 epochs"),
        (("--first-exit", 5), "give a layer from 1 to 4"),
        (("--first-exit", 2, "--exits", "2,4"), "not both"),
        (("--exit-states", 6), "give 1 to 5"),
        (("--exit-start", "pooler", "--exit-states", 2), "pooler reads one state"),
        (("--objective", "two-stage", "--layers", 2, "--exits", 2), "trains the exits before the last"),
        (("--learning-rate", "1e9", "--regression"), "diverged"),
    ],
)
def test_bad_input(options, word, place, tmp_path):
    label = "score" if "--regression" in options else "label"
    ran = train(place, tmp_path / "model", *options, label=label)
    if word == "diverged":  # found after some steps, which have been reported
        assert (ran.code, word in ran.err.splitlines()[-1]) == (2, True), ran
        return
    assert word in ran.complaint
    assert not list(tmp_path.iterdir())


def test_a_label_that_is_no_number(place, tmp_path):
    ran = train(place, tmp_path / "model", "--regression", label="text")
    assert "regression needs numbers" in ran.complaint


@pytest.mark.parametrize(
    ("low", "high", "classes"), [(0.0, 5.0, 6), (-0.1, 0.2, 2), (1e6 - 3e3, 1e6 + 3e3, 101), (-2.0, 1.0, 4)]
)
def test_scores_of_other_ranges(low, high, classes):
    model = toys.model(classes=1, score_range=(low, high), max_tokens=16)
    texts = ["good", "bad w1", "w2 w3 w4"]
    rows = Rows("texts", (texts,), np.array([low, high, (low + high) / 2]), None, list("abc"), {})
    trace = compute_trace(model, TextInputs(toys.tokenizer(), model), rows)
    assert trace.classes == classes == len(set(trace.manifest["class_names"]))
    assert trace.label[:2].tolist() == [0, classes - 1]


def test_labels_of_another_kind():
    rows = Rows("texts", (["good"],), np.array([1]), ("a", "b"), ["0"], {})
    model = toys.model(classes=1, score_range=(0, 5), max_tokens=16)
    with pytest.raises(InputError, match="labelled with classes, but the model predicts scores"):
        compute_trace(model, TextInputs(toys.tokenizer(), model), rows)
    with pytest.raises(InputError, match="one output and a range"):
        toys.model(classes=1)


def test_scores_outside_of_the_tasks_range_are_none(tmp_path):
    (tmp_path / "stsb").mkdir()
    frame = pd.DataFrame({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [-1.0, -1.0]})
    frame.to_parquet(tmp_path / "stsb" / "test.parquet")
    assert load_task("stsb", "test", tmp_path).label is None
    frame["label"] = [-1.0, 3.8]
    frame.to_parquet(tmp_path / "stsb" / "test.parquet")
    rows = load_task("stsb", "test", tmp_path)
    assert (rows.label.tolist(), rows.id) == ([3.8], ["1"])


def test_an_objective_that_is_none():
    with pytest.raises(InputError, match="choose one of joint"):
        Recipe(objective="jiont")
