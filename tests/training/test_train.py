"""Training: a toy learns, is stored whole, and ends the same however often it is interrupted."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
import torch
import toys
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import splitee.training.finetune
import splitee.training.finishing
import splitee.training.loop
import splitee.training.trainer
from splitee._internal.checksums import write_fingerprints
from splitee._internal.errors import InputError
from splitee.data.tasks import load_file as load_rows
from splitee.trace import load_trace
from splitee.trace.threshold import recommend_threshold
from splitee.training.finetune import Recipe, finetune

GOOD, BAD, OTHER = toys.WORDS[:3], toys.WORDS[3:6], toys.WORDS[6:]
STEPS = 20  # an epoch


def reviews(path: Path, count: int, seed: int) -> Path:
    """Whoever says good, fine or great likes it."""
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=count)
    texts = []
    for y in label:
        words = [*rng.choice(OTHER, rng.integers(1, 9)), *rng.choice(GOOD if y else BAD, 2)]
        texts.append(" ".join(rng.permutation(words)))
    pd.DataFrame({"text": texts, "label": np.where(label, "like", "dislike")}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    reviews(folder / "train.csv", 8 * STEPS - 3, 0)
    reviews(folder / "validation.csv", 60, 1)
    toys.backbone(folder / "toy-bert")
    return folder


def command(place: Path, out: Path, **changes: object) -> list[str]:
    options = {
        "--backbone": place / "toy-bert",
        "--text": place / "train.csv",
        "--validation-text": place / "validation.csv",
        "--label-column": "label",
        "--out": out,
        "--epochs": 3,
        "--patience": 3,
        "--batch-size": 8,
        "--learning-rate": 0.006,
        "--max-tokens": 16,
        "--checkpoint-steps": 4,
        **{"--" + name.replace("_", "-"): value for name, value in changes.items()},
    }
    return ["train", *(str(x) for pair in options.items() if pair[1] is not None for x in pair)]


@pytest.fixture(scope="module")
def trained(place):
    """The undisturbed run, and what it printed."""
    ran = commands.splitee(*command(place, place / "undisturbed" / "model"), "--json")
    assert ran.code == 0, ran
    return place / "undisturbed" / "model", ran


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_checkpoint(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    names = sorted(file.name for file in one.iterdir())
    assert names == sorted(file.name for file in other.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_it_learns_what_can_be_learned(trained):
    folder, _ = trained
    trace = load_trace(folder / "validation.parquet")
    assert trace.accuracy_per_exit()[-1] > 0.95
    assert trace.samples == 60
    assert commands.splitee("trace", "verify", folder / "validation.parquet").code == 0
    history = json.loads((folder / "config.json").read_text())["training"]["history"]
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    best = max(history, key=lambda entry: entry["accuracy"][-1])
    assert len(best["accuracy"]) == toys.LAYERS
    # what the Trainer judged is what the stored model does
    assert trace.accuracy_per_exit() == pytest.approx(best["accuracy"], abs=1e-6)


def test_what_is_stored(trained, place):
    folder, ran = trained
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json",
        "fingerprints.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "validation.parquet",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing else is left"
    config = json.loads((folder / "config.json").read_text())
    trace = load_trace(folder / "validation.parquet")
    recommended = config["recommended_threshold"]
    assert recommended == recommend_threshold(trace, "within:0.5").to_dict()
    assert sum(recommended["picked"].values()) == pytest.approx(1)
    assert trace.recommended_threshold == recommended["value"]
    assert trace.manifest["class_names"] == ["dislike", "like"]
    assert config["id2label"] == {"0": "dislike", "1": "like"}
    assert config["training"]["train"]["rows"] == 8 * STEPS - 3
    assert config["training"]["best_step"] % STEPS == 0
    assert config["max_tokens"] == 16
    assert str(place) not in json.dumps(trace.manifest)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)(
        ["w1 great w2", "w3 poor"], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        assert model(**inputs).logits[:, -1].argmax(-1).tolist() == [1, 0]
    document = json.loads(ran.out)  # one JSON document and nothing else
    assert document["checkpoint"] == str(folder)
    assert document["recommended_threshold"] == recommended
    lines = ran.err.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("epoch")] == [
        "epoch 1",
        "epoch 2",
        "epoch 3",
    ]
    assert all(line.count(" ") < 40 and "{" not in line for line in lines), "no chatter of the libraries"
    assert len(lines) <= 8


def test_precompute_goes_on_from_there(trained, place, tmp_path):
    folder, _ = trained
    out = tmp_path / "t.parquet"
    arguments = ("--text", place / "validation.csv", "--label-column", "label", "--out", out)
    ran = commands.splitee("precompute", folder, *arguments)
    assert ran.code == 0, ran
    trace, stored = load_trace(out), load_trace(folder / "validation.parquet")
    np.testing.assert_array_equal(trace.confidence, stored.confidence)
    np.testing.assert_array_equal(trace.prediction, stored.prediction)
    assert trace.label.tolist() == stored.label.tolist()
    assert trace.recommended_threshold == stored.recommended_threshold


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_checkpoint(trained, place, tmp_path):
    out = tmp_path / "model"
    work = tmp_path / "model.partial"
    process = subprocess.Popen(
        [sys.executable, "-m", "splitee", *command(place, out)],
        env=commands.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def steps() -> int:
        return max((int(f.parent.name.split("-")[1]) for f in work.glob("*/trainer_state.json")), default=0)

    while process.poll() is None and steps() < STEPS + 2:  # in the midst of the second epoch
        time.sleep(0.005)
    process.kill()
    complaint = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, complaint
    assert not out.exists()
    assert STEPS < steps() < 3 * STEPS
    ran = commands.splitee(*command(place, out))
    assert ran.code == 0, ran
    assert ran.err.startswith(f"resuming from step {steps()}") or "resuming from step" in ran.err
    # on the CPU the Trainer's own checkpoints (weights, optimizer, random states) resume bit for bit
    assert_same_checkpoint(trained[0], out)


class Interruption(BaseException):
    pass


def interrupt(monkeypatch, owner, name: str, at: int) -> None:
    """Let the `at`-th call of a function be the last thing that happens."""
    real, calls = getattr(owner, name), []

    def wrapped(*arguments, **options):
        calls.append(1)
        if len(calls) == at:
            raise Interruption
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize(
    ("what", "at"),
    [
        ("evaluate", 2),  # a whole epoch is trained, its judgement is missing
        pytest.param("evaluate", 3, marks=pytest.mark.slow),  # ... the last epoch
        pytest.param("training_step", STEPS + 7, marks=pytest.mark.slow),
        pytest.param("compute_trace", 1, marks=pytest.mark.slow),  # trained, but nothing stored
        ("refuse_existing", 1),  # about to be put in its place
    ],
)
def test_interrupted_anywhere_it_is_the_same_checkpoint(what, at, trained, place, tmp_path, monkeypatch):
    # checkpoints fall on the ends of epochs, too
    arguments = command(place, tmp_path / "model", checkpoint_steps=5)
    with monkeypatch.context() as patch:
        if what in ("compute_trace", "refuse_existing"):
            interrupt(patch, splitee.training.finishing, what, at)
        else:
            interrupt(patch, splitee.training.loop._Trainer, what, at)
        with pytest.raises(Interruption):
            commands.splitee(*arguments)
    assert not (tmp_path / "model").exists()
    ran = commands.splitee(*arguments)
    assert ran.code == 0, ran
    if what in ("compute_trace", "refuse_existing"):
        assert f"finished earlier, at step {3 * STEPS}" in ran.err
    else:
        assert "resuming from step" in ran.err
    a, b = weights(trained[0]), weights(tmp_path / "model")
    assert all(torch.equal(a[key], b[key]) for key in a)
    configs = [
        json.loads((f / "config.json").read_text())["training"] for f in (trained[0], tmp_path / "model")
    ]
    assert configs[0]["history"] == configs[1]["history"]


def test_a_half_written_checkpoint_is_passed_over(trained, place, tmp_path, monkeypatch):
    arguments = command(place, tmp_path / "model")
    with monkeypatch.context() as patch:
        interrupt(patch, splitee.training.loop._Trainer, "training_step", 2 * STEPS)
        with pytest.raises(Interruption):
            commands.splitee(*arguments)
    for name, content in (("checkpoint-38", '{"global_st'), ("checkpoint-39", None)):
        torn = tmp_path / "model.partial" / name
        torn.mkdir()
        (torn / "model.safetensors").write_bytes(b"half")
        if content:
            (torn / "trainer_state.json").write_text(content)
    ran = commands.splitee(*arguments)
    assert ran.code == 0, ran
    assert "\nresuming from step 36 " in ran.err
    assert_same_checkpoint(trained[0], tmp_path / "model")


def test_patience_ends_it_and_a_resumed_run_ends_there_too(place, tmp_path, monkeypatch):
    # nothing is learned at such a rate, so that no epoch after the first is better
    arguments = command(place, tmp_path / "model", learning_rate=1e-12, patience=1, epochs=6)
    with monkeypatch.context() as patch:
        interrupt(patch, splitee.training.finishing, "compute_trace", 1)
        with pytest.raises(Interruption):
            commands.splitee(*arguments)
    ran = commands.splitee(*arguments)
    assert f"finished earlier, at step {2 * STEPS}" in ran.err
    training = json.loads((tmp_path / "model" / "config.json").read_text())["training"]
    assert len(training["history"]) == 2
    assert training["best_step"] == STEPS


def test_chosen_exits_seeds_and_plain_gradients(place, trained, tmp_path):
    changed = command(
        place, tmp_path / "model", exits="2,4", epochs=1, seed=3, pooling="first", alpha_rule="best"
    )
    ran = commands.splitee(*changed, "--no-gradient-equilibrium")
    assert ran.code == 0, ran
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["exits"] == [2, 4]
    assert config["pooling"] == "first"
    assert config["gradient_equilibrium"] is False
    assert config["recommended_threshold"]["rule"] == "best"
    trace = load_trace(tmp_path / "model" / "validation.parquet")
    assert trace.exit_layers == (2, 4)
    assert ran.out == f"wrote {tmp_path / 'model'}\n"


def test_the_order_of_an_epoch_is_fixed_and_all_of_it():
    lengths = np.random.default_rng(0).integers(3, 30, 50).tolist()
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        sampler = splitee.training.trainer.ByLength(lengths, 4, seed)
        sampler.set_epoch(epoch)
        torch.rand(3)  # whatever else draws random numbers
        orders.append(list(sampler))
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_rows_held_out_and_fewer_rows(place, tmp_path):
    arguments = command(
        place, tmp_path / "model", validation_text=None, validation_rows=20, train_rows=40, epochs=1
    )
    ran = commands.splitee(*arguments)
    assert ran.code == 0, ran
    training = json.loads((tmp_path / "model" / "config.json").read_text())["training"]
    assert training["train"]["rows"] == 40
    assert training["validation"]["rows"] == 20
    assert training["best_step"] == 5


def test_a_named_task(place, tmp_path):
    folder = tmp_path / "rte"
    folder.mkdir()
    frame = pd.read_csv(place / "train.csv")[:24]
    pairs = pd.DataFrame({"sentence1": frame["text"], "sentence2": frame["text"], "label": [0, 1] * 12})
    for split in ("train", "validation"):
        pairs.to_parquet(folder / f"{split}.parquet")
    arguments = command(
        place, tmp_path / "model", text=None, validation_text=None, label_column=None, epochs=1
    )
    ran = commands.splitee(*arguments, "--task", "rte", "--data-root", tmp_path)
    assert ran.code == 0, ran
    trace = load_trace(tmp_path / "model" / "validation.parquet")
    assert trace.manifest["class_names"] == ["entailment", "not_entailment"]


# Bad input


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"text": None}, "--task NAME or --text FILE"),
        ({"task": "sst2"}, "--task NAME or --text FILE"),
        ({"label_column": None}, "--text needs --label-column"),
        ({"label_column": "stars"}, "no column 'stars'"),
        ({"text_column": "review"}, "no column 'review'"),
        ({"validation_text": None}, "--validation-rows"),
        ({"validation_text": None, "validation_rows": 1000}, "cannot hold out 1000"),
        ({"validation_text": "nowhere.csv"}, "no such file"),
        ({"text": "one-class.csv"}, "all 3 labels are the same"),
        ({"validation_text": "one-class.csv"}, "all 3 labels are the same"),
        ({"text": "unlabelled.csv"}, "has no labels"),
        ({"validation_text": "other-labels.csv"}, "'superb'"),
        ({"backbone": "./nowhere"}, "no such folder"),
        ({"backbone": "."}, "no encoder could be loaded"),
        ({"exits": "2,9"}, "from 1 to 4"),
        ({"exits": "2;4"}, "such as 1,3,7,12"),
        ({"alpha_rule": "worst"}, "alpha rule 'worst'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"checkpoint_steps": 0}, "checkpoint_steps must be at least 1"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"warmup": 6}, "warmup"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2}, "leaves no room"),
        ({"max_tokens": 41}, "40 positions"),
    ],
)
def test_bad_input(changes, word, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one-class.csv").write_text("text,label\na,like\nb,like\nc,like\n")
    Path("unlabelled.csv").write_text("text,label\na,-1\nb,-1\n")
    Path("other-labels.csv").write_text("text,label\na,like\nb,superb\n")
    ran = commands.splitee(*command(place, tmp_path / "model", **changes))
    assert word in ran.complaint
    assert not list(tmp_path.glob("model*")), "a refused call leaves nothing behind"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_float16_needs_a_gpu(place, tmp_path):
    ran = commands.splitee(*command(place, tmp_path / "model", precision="float16"))
    assert "float16 needs a GPU" in ran.complaint


def test_a_diverged_training_is_told(place, tmp_path, monkeypatch):
    real = splitee.training.finetune.train_model

    def diverge(model, tokenizer, train, validation, recipe, work, report):
        state = real(model, tokenizer, train, validation, recipe, work, report)
        checkpoint = work / f"checkpoint-{state.best_global_step}" / "model.safetensors"
        content = load_file(checkpoint)
        content["exit_heads.0.dense.bias"][:] = float("nan")
        save_file(content, checkpoint, metadata={"format": "pt"})
        write_fingerprints(checkpoint.parent)  # as the training that diverged would
        return state

    monkeypatch.setattr(splitee.training.finetune, "train_model", diverge)
    ran = commands.splitee(*command(place, tmp_path / "model", epochs=1))
    assert ran.code == 2
    assert "exit_heads.0.dense.bias holds NaN" in ran.err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_existing_output_is_never_lost(place, trained, tmp_path, monkeypatch):
    out = tmp_path / "model"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with monkeypatch.context() as patch:
        patch.setattr(splitee.training.finetune, "train_model", lambda *_: pytest.fail("work was begun"))
        assert f"{out} exists already" in commands.splitee(*command(place, out)).complaint
        assert "is not a checkpoint" in commands.splitee(*command(place, out), "--overwrite").complaint
    assert (out / "thesis.tex").read_text() == "precious"
    file = tmp_path / "file"
    file.write_text("precious")
    assert "is not a checkpoint" in commands.splitee(*command(place, file), "--overwrite").complaint
    assert file.read_text() == "precious"
    # what appears while it trains is not lost either
    late = tmp_path / "late"
    real = splitee.training.finishing.compute_trace

    def appear(*arguments):
        late.mkdir()
        (late / "config.json").write_text("{}")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(splitee.training.finishing, "compute_trace", appear)
        ran = commands.splitee(*command(place, late, epochs=1))
    assert ran.code == 2
    assert "exists already" in ran.err.splitlines()[-1]
    assert [file.name for file in late.iterdir()] == ["config.json"]
    # with the work done, overwriting takes it from where it is
    ran = commands.splitee(*command(place, late, epochs=1), "--overwrite")
    assert ran.code == 0, ran
    assert "finished earlier" in ran.err
    assert (late / "validation.parquet").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_another_run_is_not_mixed_into_an_unfinished_one(place, tmp_path, monkeypatch):
    out = tmp_path / "model"
    with monkeypatch.context() as patch:
        interrupt(patch, splitee.training.loop._Trainer, "training_step", 6)
        with pytest.raises(Interruption):
            commands.splitee(*command(place, out))
    for changes, what in (({"seed": 1}, "recipe.seed is 0 there, 1 here"), ({"train_rows": 50}, "data")):
        complaint = commands.splitee(*command(place, out, **changes)).complaint
        assert "model.partial holds another unfinished run" in complaint
        assert what in complaint


def test_labels_must_be_the_same_on_both_sides(place, tmp_path):
    train = load_rows(place / "train.csv", label="label")
    validation = load_rows(place / "validation.csv", label="label", label_names=("like", "dislike"))
    with pytest.raises(InputError, match=r"has the labels like, dislike, but train has dislike, like"):
        finetune(place / "toy-bert", train, validation, tmp_path / "model")
    with pytest.raises(InputError, match="pooling 'min'"):
        Recipe(pooling="min")
    with pytest.raises(InputError, match="precision 'int8'"):
        Recipe(precision="int8")


@pytest.mark.parametrize("arguments", [["train", "--backbone", "b"], ["precompute", "c"]])
def test_without_torch_it_is_one_line(arguments, tmp_path):
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'safetensors', 'accelerate'): sys.modules[name] = None\n"
        f"sys.argv = {['splitee', *arguments, '--text', 'a.csv', '--out', str(tmp_path / 'o')]!r}\n"
        "from splitee.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=commands.environment(), capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert "needs torch" in ran.stderr
    assert "pip install 'splitee[models]'" in ran.stderr


def test_the_example_in_the_help_is_left_as_it_is():
    for name in ("train", "precompute"):
        ran = commands.splitee(name, "--help")
        assert "\\b" not in ran.out
        assert any(line.strip().startswith(f"splitee {name} ") for line in ran.out.splitlines()[2:])


def test_help_needs_no_torch():
    code = (
        "import sys\n"
        "sys.argv = ['splitee', 'train', '--help']\n"
        "from splitee.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'numba', 'pandas', 'matplotlib'} & set(sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=commands.environment(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "--alpha-rule" in ran.stdout
    assert ran.stderr == ""
