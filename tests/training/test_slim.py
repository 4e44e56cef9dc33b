"""Slimming: what is asked for comes out, taught by the checkpoint, the same wherever it was stopped."""

import json

import commands
import numpy as np
import pandas as pd
import pytest
import torch
import toys
from safetensors.torch import load_file

import splitee.training.distill as distill
import splitee.training.pruning as pruning
import splitee.training.slim_stage as module
from splitee._internal.errors import InputError
from splitee.data.rows import load_file as load_rows
from splitee.models.config import MultiExitConfig
from splitee.models.encode import encode, pad
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.slender import Widths
from splitee.trace import load_trace
from splitee.training.assistant import new_assistant
from splitee.training.attention import attention_loss, recorded_attention
from splitee.training.pruning import exits_from, first_layers
from splitee.training.slim_recipe import (
    Event,
    SlimRecipe,
    assistant_stage,
    parameters_at,
    plan,
    size_for,
)
from splitee.training.slimming import slim_checkpoint
from splitee.training.task_recipes import TASK_RECIPES


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slim")
    rng = np.random.default_rng(0)
    texts, labels = [], []
    for _ in range(70):
        label = int(rng.integers(2))
        words = [
            *rng.choice(toys.WORDS[6:], rng.integers(1, 6)),
            rng.choice(toys.WORDS[:3] if label else toys.WORDS[3:6]),
        ]
        texts.append(" ".join(rng.permutation(words)))
        labels.append(label)
    frame = pd.DataFrame({"text": texts, "label": labels})
    frame.iloc[:48].to_csv(folder / "train.csv", index=False)
    frame.iloc[48:].to_csv(folder / "validation.csv", index=False)
    for kind in ("bert", "mpnet"):
        toys.backbone(folder / f"toy-{kind}", kind, num_attention_heads=4)
        ran = commands.splitee(
            *("train", "--backbone", folder / f"toy-{kind}", *data(folder), "--out", folder / kind),
            *("--epochs", 3, "--learning-rate", 0.006, "--max-tokens", 16, "--batch-size", 8),
        )
        assert ran.code == 0, ran
    return folder


def data(folder):
    return (
        *("--text", folder / "train.csv", "--label-column", "label"),
        *("--validation-text", folder / "validation.csv"),
    )


QUICK = (
    "--assistant-epochs",
    0,
    "--batch-size",
    8,
    "--prune-epochs",
    1,
    "--representation-epochs",
    1,
    "--prediction-epochs",
    2,
)
RATES = ("--prune-rate", 1e-3, "--representation-rate", 3e-3, "--prediction-rate", 3e-3)


@pytest.mark.parametrize("kind", ["bert", pytest.param("mpnet", marks=pytest.mark.slow)])
def test_what_is_asked_for_comes_out(kind, place, tmp_path):
    out = tmp_path / "slender"
    command = ("slim", place / kind, *data(place), "--heads", 2, "--ffn", 10, "--rank", 6, *QUICK, *RATES)
    ran = commands.splitee(*command, "--out", out, "--json")
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert [stage["stage"] for stage in document["stages"]] == [
        "event-01",
        "event-02",
        "representation",
        "prediction",
    ]
    model = load_checkpoint(out)
    widths = Widths.of(model.backbone.config)
    assert {len(heads) for heads in widths.heads} == {2}
    assert set(widths.units) == {10}
    assert widths.rank == 6
    assert document["parameters"] == model.num_parameters()
    kept = document["stages"]
    for first, second in zip(kept[0]["heads"], kept[1]["heads"], strict=True):
        assert len(first) == 3
        assert set(second) < set(first), "what is gone stays gone"
    trace = load_trace(out / "validation.parquet")
    assert trace.layers == toys.LAYERS
    assert trace.recommended_threshold is not None
    assert [path.name for path in tmp_path.iterdir()] == ["slender"]
    assert commands.splitee("elue", "flops", out, "--json").code == 0
    ran = commands.splitee(
        "precompute", out, "--text", place / "validation.csv", "--out", tmp_path / "t.parquet"
    )
    assert ran.code == 0, ran
    assert "slender exists already" in commands.splitee(*command, "--out", out).complaint


def test_the_teacher_is_approached(place, tmp_path):
    """Trained on its states and answers, the student is nearer to the teacher than one that is only cut."""
    options = ("--heads", 1, "--ffn", 6, "--rank", 4, "--batch-size", 8, "--assistant-epochs", 0, *RATES)
    apart = {}
    teacher = load_checkpoint(place / "bert")
    rows = load_rows(place / "validation.csv", label="label")
    inputs = pad(encode(toys.tokenizer(), rows.text, 16), 1)
    for name, epochs in (("cut", 0), ("taught", 4)):
        ran = commands.splitee(
            *("slim", place / "bert", *data(place), *options, "--out", tmp_path / name),
            *("--prune-epochs", 0, "--representation-epochs", epochs, "--prediction-epochs", epochs),
        )
        assert ran.code == 0, ran
        student = load_checkpoint(tmp_path / name)
        record = distill.recorded_states
        with torch.no_grad(), record(student) as ours, record(teacher) as theirs:
            student(**inputs)
            teacher(**inputs)
            apart[name] = float(distill.representation_loss(ours, theirs, inputs["attention_mask"]))
    assert apart["taught"] < apart["cut"]


def test_the_best_epoch_is_kept(place, tmp_path):
    model = run(
        place, tmp_path / "out", kind="bert", distill=False, prediction_epochs=4, prediction_rate=6e-3
    )
    assert model.config.training["slimmed"]["recipe"]["distill"] is False
    judged = model.config.training["slimmed"]["stages"][-1]["judged"]
    assert [entry["step"] for entry in judged] == [6, 12, 18, 24]
    means = [np.mean(entry["exits"]) for entry in judged]
    assert max(means) > min(means), "else there is nothing to choose"
    trace = load_trace(tmp_path / "out" / "validation.parquet")
    assert trace.accuracy_per_exit().mean() == pytest.approx(max(means), abs=1e-6)


def test_fewer_layers(place, tmp_path):
    """Squat instead of slender: the first layers as they are, the last of them taught by the last."""
    out = tmp_path / "out"
    command = ("slim", place / "mpnet", *data(place), "--layers", 2, *QUICK, *RATES, "--out", out, "--json")
    ran = commands.splitee(*command)
    assert ran.code == 0, ran
    assert load_trace(out / "validation.parquet").layers == 2
    teacher, student = load_checkpoint(place / "mpnet"), load_checkpoint(out)
    ids = {"input_ids": torch.tensor([[2, 5, 6, 7]])}
    whole = teacher(**ids).logits
    with torch.no_grad():
        library = teacher.backbone(**ids, output_hidden_states=True).hidden_states
    for spread, layers in ((True, (0, 2, 4)), (False, (0, 1, 2))):  # of four
        taught = distill.Teacher(teacher, [], 0, cache=False, spread=spread).targets(ids, student)
        assert len(taught.states) == 3
        for found, layer in zip(taught.states, layers, strict=True):
            torch.testing.assert_close(found, library[layer], rtol=1e-4, atol=1e-5)
        assert torch.equal(taught.logits, whole[:, [0, -1]])
    cut = first_layers(teacher, 2)
    with torch.no_grad():
        assert torch.allclose(cut(**ids).logits, whole[:, :2], atol=1e-6)
    assert cut.num_parameters() < teacher.num_parameters()
    assert (
        "cannot keep 9"
        in commands.splitee(
            "slim", place / "mpnet", *data(place), "--layers", 9, "--out", tmp_path / "x"
        ).complaint
    )


@pytest.mark.slow
def test_attention_is_approached(place, tmp_path):
    """With its weight, the scores of the kept heads come nearer to the teacher's than without."""
    teacher = load_checkpoint(place / "bert")
    rows = load_rows(place / "validation.csv", label="label")
    inputs = pad(encode(toys.tokenizer(), rows.text, 16), 1)
    cut = {"heads": 2, "units": 6, "prune_epochs": 0, "representation_epochs": 3, "prediction_epochs": 0}
    apart = []
    for weight in (0.0, 20.0):
        student = run(place, tmp_path / str(weight), kind="bert", **cut, attention_weight=weight)
        targets = distill.Teacher(teacher, [], 1, attention=True).targets(inputs, student)
        with torch.no_grad(), recorded_attention(student) as own:
            student(**inputs)
        apart.append(float(attention_loss(own.scores(), targets.attention, inputs["attention_mask"])))
    assert apart[1] < 0.9 * apart[0]


def test_fewer_exits_several_states_and_a_learned_confidence(place, tmp_path):
    toys.checkpoint(
        tmp_path / "teacher", id2label={0: "0", 1: "1"}, confidence="learned", exit_states=2, exit_join="mean"
    )
    options = ("--heads", 1, "--ffn", 12, "--first-exit", 2, *QUICK, *RATES)
    ran = commands.splitee("slim", tmp_path / "teacher", *data(place), *options, "--out", tmp_path / "out")
    assert ran.code == 0, ran
    student, teacher = load_checkpoint(tmp_path / "out"), load_checkpoint(tmp_path / "teacher")
    assert student.exits == (2, 3, 4)
    assert (student.config.exit_states, student.config.exit_join) == (2, "mean")
    assert not torch.equal(student.certainty_head.linear.bias, teacher.certainty_head.linear.bias)
    trace = load_trace(tmp_path / "out" / "validation.parquet")
    assert (trace.exit_layers, trace.softmax) == ((2, 3, 4), False)
    few = exits_from(teacher, 3)
    with torch.no_grad():
        ids = torch.tensor([[2, 5, 6, 7]])
        ours, theirs = few(ids), teacher(ids)
    torch.testing.assert_close(ours.logits, theirs.logits[:, 2:])
    torch.testing.assert_close(ours.certainty, theirs.certainty[:, 2:])
    for layer in (0, 5):
        with pytest.raises(InputError, match=f"first exit is at layer {layer}"):
            exits_from(teacher, layer)


def test_what_the_teacher_noted_is_what_it_says(place, monkeypatch):
    teacher = load_checkpoint(place / "mpnet")
    rng = np.random.default_rng(0)
    learned = [{"input_ids": rng.integers(2, 9, n).tolist(), "row": i} for i, n in enumerate([5, 2, 7, 3, 4])]
    batch = {
        "input_ids": torch.tensor([learned[3]["input_ids"] + [1, 1], learned[0]["input_ids"]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
        "rows": torch.tensor([3, 0]),
    }
    cached = distill.Teacher(teacher, learned, 1)
    monkeypatch.setattr(distill, "CACHE_BYTES", 0)
    live = distill.Teacher(teacher, learned, 1)
    assert cached.cached
    assert not live.cached
    noted, said = (one.targets(batch, teacher) for one in (cached, live))
    torch.testing.assert_close(noted.logits, said.logits, atol=1e-5, rtol=0)
    there = batch["attention_mask"].bool()
    assert len(noted.states) == len(said.states) == toys.LAYERS + 1
    for ours, theirs in zip(noted.states, said.states, strict=True):
        torch.testing.assert_close(ours[there].float(), theirs[there], atol=2e-3, rtol=1e-3)  # float16


@pytest.mark.slow
def test_a_teaching_assistant_comes_first(whole, place, tmp_path, monkeypatch):
    """Each of its exits learns from labels and the checkpoint's last answers; then it teaches."""
    taught = run(place, tmp_path / "taught", assistant_epochs=2, assistant_rate=3e-3)
    history = taught.config.training["slimmed"]["stages"]
    assert history[0]["stage"] == "assistant"
    assert history[0]["parameters"] == load_checkpoint(place / "mpnet").num_parameters()
    assert history[0]["steps"] == 12
    assert len(history[0]["judged"]) == 2
    plain = load_checkpoint(whole)
    assert not torch.equal(taught.exit_heads[0].classifier.weight, plain.exit_heads[0].classifier.weight)
    real, left = module._Judge, [15]  # in the stage after it

    class Interrupt(real):
        def on_step_begin(self, args, state, control, **_):
            if left[0] == 0:
                raise StopError
            left[0] -= 1

    monkeypatch.setattr(module, "_Judge", Interrupt)
    with pytest.raises(StopError):
        run(place, tmp_path / "again", assistant_epochs=2, assistant_rate=3e-3)
    monkeypatch.setattr(module, "_Judge", real)
    run(place, tmp_path / "again", assistant_epochs=2, assistant_rate=3e-3)
    for name in ("config.json", "model.safetensors", "validation.parquet"):
        assert (tmp_path / "taught" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_exits_without_a_dense_layer(place, tmp_path):
    ran = commands.splitee(
        *("train", "--backbone", place / "toy-bert", *data(place), "--out", tmp_path / "out"),
        *("--epochs", 1, "--max-tokens", 16, "--no-exit-dense"),
    )
    assert ran.code == 0, ran
    model = load_checkpoint(tmp_path / "out")
    assert not model.config.exit_dense
    assert not [name for name, _ in model.exit_heads.named_parameters() if "dense" in name]


class StopError(Exception):
    pass


def recipe(**changes):
    settings = {"heads": 3, "units": 12, "rank": 8, "prune_epochs": 1, "representation_epochs": 1}
    settings |= {"assistant_epochs": 0}
    more = {"prediction_epochs": 1, "batch_size": 8, "checkpoint_steps": 2, "prune_rate": 1e-3}
    return SlimRecipe(**{**settings, **more, **changes})


def run(place, out, kind="mpnet", **changes):
    train, validation = (load_rows(place / f"{name}.csv", label="label") for name in ("train", "validation"))
    return slim_checkpoint(place / kind, train, validation, out, recipe(**changes))


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def whole(place):
    """What the recipe gives where nothing interrupts it."""
    run(place, place / "whole")
    return place / "whole"


EPOCHS = 11 / 6  # of the last stage: its last checkpoint is within an epoch


@pytest.mark.slow
def test_stopped_after_its_last_checkpoint_a_stage_is_not_trained_on(place, tmp_path, monkeypatch):
    run(place, tmp_path / "whole", prediction_epochs=EPOCHS)
    real = module._save

    def stopped(student, folder, told=None):
        if folder.name == "done" and folder.parent.name.endswith("prediction"):
            raise StopError
        real(student, folder, told)

    monkeypatch.setattr(module, "_save", stopped)
    with pytest.raises(StopError):
        run(place, tmp_path / "again", prediction_epochs=EPOCHS)
    monkeypatch.setattr(module, "_save", real)
    run(place, tmp_path / "again", prediction_epochs=EPOCHS)
    for name in ("config.json", "model.safetensors", "validation.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_importance_is_taken_over_rows_of_all_lengths(place):
    rng = np.random.default_rng(0)
    learned = [
        {"input_ids": [3] * int(n), "labels": 0, "row": i} for i, n in enumerate(rng.integers(2, 60, 800))
    ]
    teacher = distill.Teacher(load_checkpoint(place / "bert"), [], 1, cache=False)
    lesson = module.Lesson(teacher, learned, [], 1, recipe(importance_share=0.25, batch_size=16), print)
    rows = np.concatenate([batch["rows"] for batch in lesson.batches()])
    assert len(set(rows)) == len(rows) == 200
    lengths = [len(learned[i]["input_ids"]) for i in rows]
    assert np.mean(lengths) == pytest.approx(30.5, abs=3)


@pytest.mark.parametrize(
    "steps",  # six per stage, three stages
    [[9, 2], *(pytest.param(steps, marks=pytest.mark.slow) for steps in ([0], [3], [6], [13], [17]))],
)
def test_stopped_anywhere_it_ends_the_same(steps, whole, place, tmp_path, monkeypatch):
    real = module._Judge
    for stop in steps:
        left = [stop]

        class Interrupt(real):
            def on_step_begin(self, args, state, control, left=left, **_):
                if left[0] == 0:
                    raise StopError
                left[0] -= 1

        monkeypatch.setattr(module, "_Judge", Interrupt)
        with pytest.raises(StopError):
            run(place, tmp_path / "again")
    monkeypatch.setattr(module, "_Judge", real)
    run(place, tmp_path / "again")
    one, other = weights(whole), weights(tmp_path / "again")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for name in ("config.json", "validation.parquet"):
        assert (whole / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.slow
def test_rivals_keep_something_else(place, tmp_path):
    cut = {"heads": 2, "prune_epochs": 0, "representation_epochs": 0, "prediction_epochs": 0}
    settings = {"importance": "random"}, {"every_exit": False}, {"importance": "signed"}, {}
    kept = []
    for number, changes in enumerate(settings):
        model = run(place, tmp_path / str(number), **cut, **changes)
        kept.append(Widths.of(model.backbone.config).heads)
    assert len(set(kept)) > 1
    again = run(place, tmp_path / "again", **cut, importance="random")
    assert Widths.of(again.backbone.config).heads == kept[0]


def test_the_authors_six_recipes():
    names = ("prune_epochs", "representation_epochs", "prediction_epochs")
    tasks = ("mrpc", "sst-2", "qnli", "mnli", "cola", "qqp")
    released = {  # rows of their run.sh, by the heads that are kept of twelve
        2: ((20, 5, 5, 3, 20, 3), (20, 10, 8, 5, 20, 5), (10, 6, 5, 3, 10, 3)),
        5: ((14, 4, 4, 2, 14, 2), (14, 9, 7, 4, 14, 4), (6, 4, 3, 2, 6, 2)),
        6: ((12, 3, 3, 2, 12, 2), (12, 8, 6, 3, 10, 3), (5, 3, 3, 2, 5, 2)),
        8: ((8, 2, 2, 1, 8, 1), (8, 6, 5, 2, 8, 2), (3, 3, 2, 1, 3, 1)),
    }
    assert tasks == TASK_RECIPES
    for heads, rows in released.items():
        for place, task in enumerate(tasks):
            made = SlimRecipe.for_task(task, heads, 256 * heads)
            assert tuple(getattr(made, name) for name in names) == tuple(row[place] for row in rows)
            assert made.assistant_epochs == (12, 5, 5, 3, 8, 3)[place]
            assert made.representation_share == (0.5 if task in ("mrpc", "cola") else 0.7)
            assert (made.prune_rate, made.growth) == (1e-5, 0.12)
    assert SlimRecipe.for_task("qqp", 12, 9).prune_epochs == SlimRecipe.for_task("qqp", 8, 9).prune_epochs
    large = SlimRecipe.for_task("mrpc", 2, 512, batch_size=64, prediction_rate=1e-4)
    assert (large.growth, large.representation_rate, large.prediction_rate) == (0.15, 4e-5, 1e-4)
    assert SlimRecipe(2, 512, 128) == SlimRecipe.for_task("sst-2", 2, 512, 128)
    assert SlimRecipe.for_task("cola", 2, 512, prune_epochs=3).prune_epochs == 3
    with pytest.raises(InputError, match=r"'sst2': did you mean sst-2"):
        SlimRecipe.for_task("sst2", 2, 512)
    stage = assistant_stage(SlimRecipe(2, 512), steps_per_epoch=100)
    assert (stage.on_states, stage.steps) == (100, 600)  # 1 + 5 epochs
    assert assistant_stage(SlimRecipe(2, 512, distill=False), 100) is None


def test_importance_as_released_adds_the_loss_on_states(place, monkeypatch):
    """Σ |w · Σ|g|| of the whole loss, computed with autograd alone."""
    model, rows = load_checkpoint(place / "bert"), load_rows(place / "validation.csv", label="label")
    taught = distill.Teacher(load_checkpoint(place / "bert"), [], 1, cache=False)
    torch.manual_seed(0)
    with torch.no_grad():
        for values in model.backbone.encoder.parameters():
            values.add_(0.05 * torch.randn_like(values))
    encoded = encode(toys.tokenizer(), rows.text, 16)[:12]
    batches = [
        pad(encoded[i : i + 4], 1) | {"labels": torch.tensor(rows.label[i : i + 4])} for i in (0, 4, 8)
    ]
    found, kept = {}, ([list(range(3))] * 4, [list(range(12))] * 4)
    for kind in ("states+predictions", "predictions"):

        def note(scores, *_, kind=kind):
            found[kind] = scores
            return kept

        monkeypatch.setattr(pruning, "keep_best", note)
        pruning.smaller(model, taught, Event(3, 12, 8), iter(batches), recipe(importance_loss=kind), 0)
    model.requires_grad_(True)
    weights = [layer.attention.output.dense.weight for layer in model.layers]
    for kind, scores in found.items():
        sums = [torch.zeros_like(weight) for weight in weights]
        for batch in batches:
            inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids")}
            output = model.backbone(**inputs, output_hidden_states=True).hidden_states
            with torch.no_grad():
                target = taught.model.backbone(**inputs, output_hidden_states=True).hidden_states
                likely = taught.model(**inputs).logits.softmax(-1)
            logits = model(**inputs).logits
            loss = -0.9 * (likely * logits.log_softmax(-1)).sum(-1).mean(0).sum()
            loss = loss + 0.1 * sum(
                torch.nn.functional.cross_entropy(logits[:, i], batch["labels"]) for i in range(4)
            )
            if kind == "states+predictions":
                for row, n in enumerate(inputs["attention_mask"].sum(1)):
                    for ours, theirs in zip(output, target, strict=True):
                        loss = loss + (ours[row, :n] - theirs[row, :n]).square().mean() / len(likely)
            for total, gradient in zip(sums, torch.autograd.grad(loss, weights), strict=True):
                total += gradient.abs()
        for head, weight, total in zip(scores.heads, weights, sums, strict=True):
            expected = (weight.detach() * total).abs().sum(0).view(4, 4).sum(1)
            np.testing.assert_allclose(head, expected.numpy(), rtol=1e-3)
    assert not np.allclose(found["predictions"].heads[0], found["states+predictions"].heads[0], rtol=1e-2)


@pytest.mark.slow
def test_the_order_of_events_by_name(place, tmp_path, monkeypatch):
    """As released an event trains what it then prunes; the other way round, it trains what is left."""
    trained = []
    real = module._Trainer

    def note(teacher, stage, given, model, **options):
        trained.append((stage.name, {len(heads) for heads in Widths.of(model.backbone.config).heads}))
        return real(teacher, stage, given, model=model, **options)

    monkeypatch.setattr(module, "_Trainer", note)
    cut = {"kind": "bert", "heads": 2, "prediction_epochs": 0}
    made = run(place, tmp_path / "out", **cut)
    assert trained == [("event-01", {4}), ("event-02", {3}), ("representation", {2})]
    assert {len(heads) for heads in Widths.of(made.backbone.config).heads} == {2}
    trained.clear()
    run(place, tmp_path / "other", **cut, event_order="prune-first")
    assert trained == [("event-01", {3}), ("event-02", {2}), ("representation", {2})]


def test_the_assistant_starts_from_the_encoder_if_it_is_known(place):
    teacher, lines = load_checkpoint(place / "bert"), []
    made = new_assistant(teacher, recipe(), place / "toy-bert", lines.append)
    stored = load_file(place / "toy-bert" / "model.safetensors")
    key = "encoder.layer.1.output.dense.weight"
    assert torch.equal(made.backbone.state_dict()[key], stored[key])
    assert (made.exits, made.config.pooling) == (teacher.exits, teacher.config.pooling)
    assert lines == []
    assert new_assistant(teacher, recipe(), None, lines.append) is teacher
    assert "--encoder names it" in lines[0]
    assert new_assistant(teacher, recipe(assistant_start="teacher"), place / "toy-bert", print) is teacher


def test_stages_and_their_rates():
    stages = plan(Event(12, 3072, 768), SlimRecipe(2, 512, 128), steps_per_epoch=215)
    assert [stage.name for stage in stages[-3:]] == ["event-10", "representation", "prediction"]
    assert stages[0].steps == round(5 * 215 / 10)
    assert stages[2].rate == pytest.approx(1e-5 * 1.12**2)
    assert stages[0].on_states == round(0.7 * stages[0].steps)
    assert stages[-2].on_states == stages[-2].steps == 10 * 215
    assert stages[-1].on_states == 0
    assert [stage.name for stage in plan(Event(4, 9, None), SlimRecipe(4, 9, None, 0, 0.5, 0, 0), 7)] == [
        "event-01"
    ]


@pytest.mark.parametrize("share", [1.0, 0.9, 0.7, 0.5])
def test_a_share_of_the_parameters_is_used_up(share):
    model = MultiExitModel(
        MultiExitConfig(toys.config("bert", num_attention_heads=4).to_dict(), num_labels=2, exit_dense=False)
    )
    config = model.config
    size = size_for(config, share)
    whole = parameters_at(config, Event(4, 24, None))
    assert whole == model.num_parameters()
    there = parameters_at(config, size)
    assert there <= share * whole
    if size.units < 24:
        assert there > share * whole - 4 * 33, "no unit more would fit"


def test_an_eighth_of_bert_base():
    base = {"model_type": "bert", "num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}
    config = MultiExitConfig(
        base | {"num_attention_heads": 12, "vocab_size": 30522}, num_labels=2, exit_dense=False
    )
    size = size_for(config, 0.125)
    assert size.heads in (1, 2)
    assert parameters_at(config, Event(2, 256, 128)) == pytest.approx(13.92e6, abs=5e3)


@pytest.mark.parametrize("share", [0.125, pytest.param(0.08, marks=pytest.mark.slow)])
def test_below_one_head_in_proportion_units_and_rank_shrink_on(share):
    """A dense layer in every exit, which cannot be slimmed, leaves less for the rest."""
    base = {"model_type": "bert", "num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}
    config = MultiExitConfig(base | {"num_attention_heads": 12, "vocab_size": 30522}, num_labels=2)
    size = size_for(config, share)
    assert (size.heads, size.rank < 32) == (1, True)
    whole = parameters_at(config, Event(12, 1536, None))
    larger = Event(1, round((size.rank + 1) / 384 * 1536), size.rank + 1)
    assert parameters_at(config, size) <= share * whole < parameters_at(config, larger)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "say how slender"),
        (("--params", 0.5, "--heads", 2), "leave out --heads"),
        (("--params", 0), "above 0 and at most 1"),
        (("--params", 1.5), "above 0 and at most 1"),
        (("--params", 0.01), "params 0.01: the smallest possible model has 0."),
        (("--heads", 5), "heads: cannot keep 5 of 4"),
        (("--ffn", 99), "units: cannot keep 99"),
        (("--rank", 99), "rank: cannot keep 99"),
        (("--heads", 0), "heads"),
        (("--heads", 2, "--batch-size", 0), "batch_size"),
        (("--heads", 2, "--prune-epochs", -1), "prune_epochs"),
        (("--heads", 2, "--importance-share", 0), "importance_share"),
    ],
)
def test_bad_input(options, word, place, tmp_path):
    ran = commands.splitee("slim", place / "bert", *data(place), *options, "--out", tmp_path / "out")
    assert word in ran.complaint
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_cannot_be_slimmed(place, tmp_path):
    toys.checkpoint(tmp_path / "distil", "distilbert")
    ran = commands.splitee("slim", tmp_path / "distil", *data(place), "--heads", 1, "--out", tmp_path / "out")
    assert "'distilbert' cannot be slimmed" in ran.complaint
    ran = commands.splitee(
        "slim", tmp_path / "nothing", *data(place), "--heads", 1, "--out", tmp_path / "out"
    )
    assert "no checkpoint there" in ran.complaint


def test_recipes_that_cannot_be():
    for changes, word in (
        ({"importance": "magic"}, "choose one of absolute"),
        ({"temperature": 0}, "temperature"),
        ({"representation_share": 2}, "representation_share"),
        ({"event_order": "none"}, "event_order 'none': choose one of train-first, prune-first"),
        ({"states_average": "row"}, "states_average"),
        ({"importance_loss": "all"}, "importance_loss"),
        ({"assistant_start": "x"}, "assistant_start"),
    ):
        with pytest.raises(InputError, match=word):
            recipe(**changes)
