"""Precomputing: against one text at a time by hand, killed and resumed byte for byte, and on bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
import toys
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import splitee.models.precompute
from splitee._internal.errors import InputError
from splitee.cli.meter import Meter
from splitee.data.rows import Rows
from splitee.data.tasks import load_file as load_rows
from splitee.models.encode import load_tokenizer
from splitee.models.flops import count_flops
from splitee.models.multi_exit import load_checkpoint
from splitee.models.passes import Passes, plan_batches
from splitee.models.precompute import PrecomputeOptions
from splitee.trace import Trace, load_trace
from splitee.trace.columns import read_logits


def texts(count: int, seed: int = 0, longest: int = 30) -> list[str]:
    """Of all lengths, among them an empty one, one word, and more than fit."""
    rng = np.random.default_rng(seed)
    drawn = [" ".join(rng.choice(toys.WORDS, rng.integers(0, longest))) for _ in range(count - 3)]
    return ["", "good", *drawn, " ".join(toys.WORDS)]


def data(path: Path, count: int = 25, **columns: object) -> Path:
    frame = pd.DataFrame({"text": texts(count), "label": [i % 2 for i in range(count)], **columns})
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return toys.checkpoint(tmp_path_factory.mktemp("checkpoint") / "toy")


@pytest.fixture
def file(tmp_path):
    return data(tmp_path / "reviews.csv")


def precompute(checkpoint: Path, file: Path, out: Path, *options: object) -> Trace:
    ran = commands.splitee("precompute", checkpoint, "--text", file, "--out", out, *options)
    assert ran.code == 0, ran
    return load_trace(out)


def by_hand(checkpoint: Path, rows: list[tuple[str, ...]], max_tokens: int) -> np.ndarray:
    """Probabilities of every exit, shape (n, L, K): one text at a time, without padding, by the library."""
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    probabilities = []
    for row in rows:
        # as a batch of one: of a single pair the library forgets an empty second text
        inputs = tokenizer(
            *([text] for text in row), truncation=True, max_length=max_tokens, return_tensors="pt"
        )
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        probabilities.append(torch.softmax(logits.double(), -1).numpy())
    return np.stack(probabilities)


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_the_trace_is_what_one_text_at_a_time_gives(kind, pooling, tmp_path, file):
    folder = toys.checkpoint(tmp_path / "toy", kind, pooling=pooling)
    trace = precompute(folder, file, tmp_path / "a.parquet", "--label-column", "label", "--batch-size", 4,
                       "--label-map", "0=LABEL_0", "--label-map", "1=LABEL_1")  # fmt: skip
    expected = by_hand(folder, [(text,) for text in texts(25)], 20)
    np.testing.assert_allclose(trace.confidence, expected.max(-1), atol=1e-5)
    assert (trace.prediction == expected.argmax(-1)).all()
    assert trace.label.tolist() == [i % 2 for i in range(25)]
    np.testing.assert_allclose(trace.entropy, scipy.stats.entropy(expected, axis=-1), atol=1e-4)
    assert trace.length.tolist() == [min(20, 2 + len(text.split())) for text in texts(25)]
    assert trace.id.tolist() == [str(i) for i in range(25)]
    assert 0.05 < trace.prediction.mean() < 0.95, "the toy says one thing only: nothing would have been seen"
    assert np.unique(trace.confidence).size > 50
    assert trace.logits is None
    assert trace._entropy is None


def test_three_classes_keep_logits_and_entropy(tmp_path):
    folder = toys.checkpoint(tmp_path / "toy", classes=3)
    file = data(tmp_path / "a.csv", label=[("b", "c", "a")[i % 3] for i in range(25)])
    model = load_checkpoint(folder)
    model.config.id2label = {0: "c", 1: "x", 2: "a"}
    model.save_pretrained(folder)
    trace = precompute(folder, file, tmp_path / "a.parquet", "--label-column", "label", "--label-map", "b=x")
    expected = by_hand(folder, [(text,) for text in texts(25)], 20)
    assert trace.classes == 3
    assert trace.label.tolist() == [(1, 0, 2)[i % 3] for i in range(25)]
    assert trace.manifest["class_names"] == ["c", "x", "a"]
    np.testing.assert_allclose(trace.confidence, expected.max(-1), atol=1e-5)
    np.testing.assert_allclose(trace.entropy, scipy.stats.entropy(expected, axis=-1), atol=1e-5)
    shown = torch.softmax(torch.tensor(trace.logits).double(), -1).numpy()
    np.testing.assert_allclose(shown, expected, atol=5e-3)  # kept as float16
    bare = precompute(folder, file, tmp_path / "b.parquet", "--no-logits")
    assert bare.logits is None
    np.testing.assert_array_equal(bare.confidence, trace.confidence)


def test_pairs_carry_token_types(tmp_path):
    folder = toys.checkpoint(tmp_path / "toy", "bert")
    frame = pd.DataFrame({"a": texts(12), "b": texts(12, seed=5)[::-1]})
    frame.to_parquet(tmp_path / "pairs.parquet")
    columns = ("--text-column", "a", "--text-column", "b")
    trace = precompute(folder, tmp_path / "pairs.parquet", tmp_path / "t.parquet", *columns)
    expected = by_hand(folder, list(zip(frame["a"], frame["b"], strict=True)), 20)
    np.testing.assert_allclose(trace.confidence, expected.max(-1), atol=1e-5)
    assert (trace.prediction == expected.argmax(-1)).all()
    assert trace.label is None
    assert trace.length.max() == 20
    model = load_checkpoint(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("good w1", "bad w2", return_tensors="pt")
    assert inputs["token_type_ids"].max() == 1
    inputs["token_type_ids"] = torch.zeros_like(inputs["token_type_ids"])
    with torch.no_grad():  # the oracle would see it, were they forgotten
        blind = model(**inputs).logits
    assert not torch.allclose(blind, model(**tokenizer("good w1", "bad w2", return_tensors="pt")).logits)


def test_a_named_task_meets_the_models_classes_through_its_pair(tmp_path):
    frame = pd.DataFrame({"question1": texts(9), "question2": texts(9), "label": [0, 1, 1] * 3})
    (tmp_path / "qqp").mkdir()
    frame.to_parquet(tmp_path / "qqp" / "test.parquet")
    folder = toys.checkpoint(tmp_path / "toy", id2label={0: "equivalent", 1: "not_equivalent"})
    ran = commands.splitee(
        "precompute",
        folder,
        "--task",
        "qqp",
        "--data-root",
        tmp_path,
        "--out",
        tmp_path / "o.parquet",
        "--json",
    )
    assert ran.code == 0, ran
    assert json.loads(ran.out) == {
        "trace": str(tmp_path / "o.parquet"), "name": "o", "samples": 9, "layers": toys.LAYERS
    }  # fmt: skip
    assert ran.err.startswith("qqp/test: 9 rows read; labels: 'not_duplicate' 3, 'duplicate' 6; ")
    trace = load_trace(tmp_path / "o.parquet")
    assert trace.label.tolist() == [1, 0, 0] * 3  # another order of the classes
    assert trace.manifest["data"]["task"] == "qqp"


def test_what_batches_it_comes_in_matters_only_in_the_last_digits(checkpoint, file, tmp_path):
    one = precompute(checkpoint, file, tmp_path / "one.parquet", "--batch-size", 1)
    many = precompute(checkpoint, file, tmp_path / "many.parquet", "--batch-size", 7)
    np.testing.assert_allclose(one.confidence, many.confidence, atol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 20))
def test_batches_are_a_partition_by_length(lengths, size):
    batches = plan_batches(np.array(lengths), size)
    flat = [int(i) for batch in batches for i in batch]
    assert flat == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size


@given(
    st.lists(st.lists(st.floats(-200, 200, width=32), min_size=3, max_size=3), min_size=2, max_size=5),
)
def test_reading_logits_is_finite_and_agrees_with_scipy(rows):
    logits = np.array([rows], dtype=np.float32)
    confidence, entropy, prediction = read_logits(logits)
    probability = np.exp(scipy.special.log_softmax(logits.astype(np.float64), axis=-1))
    np.testing.assert_allclose(confidence, probability.max(-1), rtol=1e-6)
    np.testing.assert_allclose(entropy, scipy.stats.entropy(probability, axis=-1), atol=1e-6)
    assert (prediction == logits.argmax(-1)).all()
    assert confidence.dtype == entropy.dtype == np.float32


# Interruption


def start(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "splitee", *map(str, arguments)],
        env=commands.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_file(checkpoint, tmp_path, monkeypatch):
    file = data(tmp_path / "many.csv", 160)
    options = ("--batch-size", 2, "--shard-size", 3)  # rounded up to 4 texts: 40 shards
    precompute(checkpoint, file, tmp_path / "undisturbed" / "t.parquet", *options)
    undisturbed = (tmp_path / "undisturbed" / "t.parquet").read_bytes()

    out = tmp_path / "killed" / "t.parquet"
    arguments = ("precompute", checkpoint, "--text", file, "--out", out, *options)
    process = start(*arguments)
    work = out.with_name("t.parquet.partial")
    while process.poll() is None and len(list(work.glob("shard-*.npy"))) < 5:
        time.sleep(0.002)
    process.kill()
    complaint = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, complaint
    assert not out.exists()

    def stamps() -> dict[str, tuple[int, int]]:
        return {f.name: (f.stat().st_ino, f.stat().st_mtime_ns) for f in work.glob("shard-*.npy")}

    found = stamps()
    assert 5 <= len(found) < 40
    at_the_end = {}

    def put_in_place(*given):
        at_the_end.update(stamps())
        real(*given)

    real = splitee.models.precompute.put_in_place
    monkeypatch.setattr(splitee.models.precompute, "put_in_place", put_in_place)
    ran = commands.splitee(*arguments)
    assert ran.code == 0, ran
    assert f"\n{len(found)} of 40 shards are there from an earlier run\n" in ran.err
    assert len(at_the_end) == 40
    assert {name: at_the_end[name] for name in found} == found, "finished shards were written again"
    assert out.read_bytes() == undisturbed
    assert sorted(path.name for path in out.parent.iterdir()) == ["t.parquet"]


@pytest.fixture
def interrupted(checkpoint, file, tmp_path, monkeypatch):
    """A run that stopped after two batches, and the arguments that resume it."""
    real, calls = Passes.outputs, []

    def logits(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Passes, "outputs", logits)
        arguments = ["precompute", checkpoint, "--text", file, "--out", tmp_path / "t.parquet"]
        arguments += ["--batch-size", 4, "--shard-size", 4]
        assert commands.splitee(*arguments).code == 130
    assert len(list((tmp_path / "t.parquet.partial").glob("shard-*.npy"))) == 2
    return arguments


@pytest.mark.parametrize("suffix", ["", ".sha256"])
@pytest.mark.parametrize("bit", [1, 5000])
def test_a_damaged_shard_is_computed_again(suffix, bit, interrupted, tmp_path):
    whole = [*interrupted[:-6], "--out", tmp_path / "whole" / "t.parquet", *interrupted[-4:]]
    assert commands.splitee(*whole).code == 0
    shard = tmp_path / "t.parquet.partial" / f"shard-000001.npy{suffix}"
    data = bytearray(shard.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    shard.write_bytes(data)
    ran = commands.splitee(*interrupted)
    assert ran.code == 0, ran
    assert "shards are damaged: they are computed again" in ran.err
    assert (tmp_path / "t.parquet").read_bytes() == (tmp_path / "whole" / "t.parquet").read_bytes()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (["--batch-size", 5], "options.batch_size is 4 there, 5 here"),
        (["--shard-size", 8], "options.shard_size"),
        (["--max-tokens", 19], "options.max_tokens"),
        (["--precision", "bfloat16"], "options.precision"),
        (["--text-column", "label"], "data.sha256"),
    ],
)
def test_another_run_is_not_mixed_into_an_unfinished_one(change, what, interrupted, tmp_path):
    before = {f: f.read_bytes() for f in (tmp_path / "t.parquet.partial").iterdir()}
    ran = commands.splitee(*interrupted, *change)
    assert f"{tmp_path / 't.parquet.partial'} holds another unfinished run" in ran.complaint
    assert what in ran.complaint
    assert {f: f.read_bytes() for f in (tmp_path / "t.parquet.partial").iterdir()} == before
    assert not (tmp_path / "t.parquet").exists()


def test_another_checkpoint_or_other_data_is_not_mixed_in_either(interrupted, checkpoint, file, tmp_path):
    other = toys.checkpoint(tmp_path / checkpoint.name)
    weights = load_file(other / "model.safetensors")
    weights["exit_heads.0.classifier.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert "model.sha256" in commands.splitee(interrupted[0], other, *interrupted[2:]).complaint
    original = file.read_text()
    file.write_text(original.replace("good", "fine"))
    assert "data.sha256" in commands.splitee(*interrupted).complaint
    file.write_text(original)
    ran = commands.splitee(*interrupted)
    assert ran.code == 0
    assert "\n2 of 7 shards are there" in ran.err
    precompute(checkpoint, file, tmp_path / "u" / "t.parquet", *interrupted[6:])
    assert (tmp_path / "t.parquet").read_bytes() == (tmp_path / "u" / "t.parquet").read_bytes()


def test_existing_output_is_refused_before_anything_is_done(checkpoint, file, tmp_path, monkeypatch):
    out = tmp_path / "t.parquet"
    out.write_text("precious")
    with monkeypatch.context() as patch:
        patch.setattr(splitee.models.precompute, "load_checkpoint", lambda _: pytest.fail("work was begun"))
        ran = commands.splitee("precompute", checkpoint, "--text", file, "--out", out)
    assert f"{out} exists already" in ran.complaint
    assert out.read_text() == "precious"
    assert not list(tmp_path.glob("*.partial"))
    precompute(checkpoint, file, out, "--overwrite")


# The manifest


@pytest.mark.parametrize("tokens", [3, 17])
def test_flops_are_the_closed_form_for_bert(tokens):
    model = toys.model("bert", classes=3, exits=[2, 4])
    flops = count_flops(model, tokens)
    s, h, f = tokens, 16, 24
    assert flops["tokens"] == tokens
    assert flops["layers"] == [2 * (4 * s * h * h + 2 * s * s * h + 2 * s * h * f)] * toys.LAYERS
    assert flops["exits"] == [2 * (h * h + 3 * h)] * 2


@pytest.mark.parametrize("kind", toys.KINDS)
def test_flops_add_up_to_the_counters_own_count_of_a_whole_pass(kind):
    model = toys.model(kind)
    attention = model.backbone.config._attn_implementation
    flops = count_flops(model, 11)
    assert model.backbone.config._attn_implementation == attention
    model.backbone.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.full((1, 11), 7))
    assert sum(flops["layers"]) + sum(flops["exits"]) == counter.get_total_flops()
    assert len(flops["layers"]) == len(flops["exits"]) == toys.LAYERS


def test_the_manifest(tmp_path, file):
    chosen = {"value": 0.85, "rule": "best"}
    folder = toys.checkpoint(
        tmp_path / "secret-place" / "toy", exits=[1, 3, 4], pooling="first", recommended_threshold=chosen,
        training={"backbone": "toy-bert"},
    )  # fmt: skip
    trace = precompute(folder, file, tmp_path / "named.parquet", "--name", "reviews")
    manifest = trace.manifest
    assert trace.name == "reviews"
    assert trace.exit_layers == (1, 3, 4)
    assert trace.recommended_threshold == 0.85
    assert manifest["recommended_threshold"] == chosen
    assert manifest["training"] == {"backbone": "toy-bert"}
    mean = round(float(trace.length.mean()))
    model = load_checkpoint(folder)
    assert manifest["flops"]["mean_length"] == count_flops(model, mean)
    assert manifest["flops"]["max_length"] == count_flops(model, 20)
    assert len(manifest["flops"]["max_length"]["layers"]) == toys.LAYERS
    assert len(manifest["flops"]["max_length"]["exits"]) == 3
    assert "eager" in manifest["flops"]["counter"]
    assert manifest["hidden_state_bytes"]["max_length_float32"] == 4 * 16 * 20
    assert manifest["hidden_state_bytes"]["mean_length_float32"] == round(4 * 16 * float(trace.length.mean()))
    assert manifest["model"]["name"] == "toy"
    assert manifest["model"]["backbone"] == "bert"
    assert len(manifest["model"]["sha256"]) == len(manifest["data"]["sha256"]) == 64
    assert manifest["pooling"] == "first"
    assert manifest["dtype"] == "float32"
    assert manifest["device"] == "cpu"
    assert manifest["max_tokens"] == 20
    assert manifest["libraries"]["torch"] == torch.__version__
    text = json.dumps(manifest)
    for leak in (str(tmp_path), "secret-place", os.uname().nodename, time.strftime("%Y-%m-%d")):
        assert leak not in text


def test_nothing_depends_on_where_and_when(checkpoint, file, tmp_path):
    precompute(checkpoint, file, tmp_path / "a" / "t.parquet")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / checkpoint.name).symlink_to(checkpoint)
    (moved / file.name).write_bytes(file.read_bytes())
    precompute(moved / checkpoint.name, moved / file.name, tmp_path / "b" / "t.parquet")
    assert (tmp_path / "a" / "t.parquet").read_bytes() == (tmp_path / "b" / "t.parquet").read_bytes()


def test_bfloat16_is_near(checkpoint, file, tmp_path):
    full = precompute(checkpoint, file, tmp_path / "a.parquet")
    half = precompute(checkpoint, file, tmp_path / "b.parquet", "--precision", "bfloat16")
    assert half.manifest["dtype"] == "bfloat16"
    assert 0 < np.abs(full.confidence - half.confidence).max() < 0.1
    assert np.unique(half.confidence).size > 80, "exits must be evaluated in float32"


# Bad input


def _no_exits(folder):
    toys.backbone(folder)
    return "without exits"


def _no_config(folder):
    (folder / "config.json").unlink()
    return "config.json is missing"


def _nan(folder):
    weights = load_file(folder / "model.safetensors")
    weights["exit_heads.2.dense.weight"][3, 4] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return "exit_heads.2.dense.weight holds NaN"


def _huge(folder):  # finite, but what they say is not
    weights = load_file(folder / "model.safetensors")
    weights["exit_heads.1.classifier.weight"][:] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return "exit 2 of the model returns NaN"


def _incomplete(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["exit_heads.3.classifier.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return "exit_heads.3.classifier.bias"


def _truncated(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return "cannot be read"


def _no_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    return "no tokenizer could be loaded"


def _garbled_tokenizer(folder):
    (folder / "tokenizer.json").write_text("garbled")
    return "no tokenizer could be loaded"


def _odd_tokenizer(folder):
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model": {"type": "WordLevel"}}))
    return "no tokenizer could be loaded"


def _foreign_tokenizer(folder):
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"]["good"] = 400
    file.write_text(json.dumps(content))
    return "use the encoder's own tokenizer"


def _nothing(folder):
    folder.rename(folder.with_name("elsewhere"))
    return "no checkpoint there"


@pytest.mark.parametrize(
    "damage",
    [
        _no_exits,
        _no_config,
        _nan,
        _huge,
        _incomplete,
        _truncated,
        _no_tokenizer,
        _garbled_tokenizer,
        _odd_tokenizer,
        _foreign_tokenizer,
        _nothing,
    ],
)
def test_a_damaged_checkpoint(damage, tmp_path, file):
    folder = toys.checkpoint(tmp_path / "toy")
    word = damage(folder)
    ran = commands.splitee("precompute", folder, "--text", file, "--out", tmp_path / "t.parquet")
    assert word in ran.complaint
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--task NAME or --text FILE"),
        (["--text", "{file}", "--task", "imdb"], "--task NAME or --text FILE"),
        (["--text", "{file}x"], "no such file"),
        (["--text", "{file}", "--text-column", "review"], "no column 'review'"),
        (["--text", "{file}", "--label-column", "stars"], "no column 'stars'"),
        (["--text", "{file}", "--label-column", "label"], "--label-map 0=CLASS"),
        (["--text", "{file}", "--label-map", "0"], "THEIRS=OURS"),
        (["--task", "imbd", "--data-root", "."], "did you mean imdb"),
        (["--task", "imdb", "--data-root", "nowhere"], "no test.parquet"),
        (["--text", "{file}", "--device", "abacus"], "device 'abacus'"),
        (["--text", "{file}", "--device", "meta"], "device 'meta'"),
        (["--text", "{file}", "--batch-size", "0"], "batch_size must be at least 1"),
        (["--text", "{file}", "--shard-size", "-3"], "shard_size must be at least 1"),
        (["--text", "{file}", "--max-tokens", "0"], "max_tokens must be at least 1"),
        (["--text", "{file}", "--max-tokens", "2"], "leaves no room for text"),
        (["--text", "{file}", "--max-tokens", "41"], "40 positions"),
    ],
)
def test_bad_input(arguments, word, checkpoint, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPLITEE_DATA_ROOT", raising=False)
    filled = [argument.replace("{file}", str(file)) for argument in arguments]
    ran = commands.splitee("precompute", checkpoint, *filled, "--out", tmp_path / "t.parquet")
    assert word in ran.complaint
    assert not list(tmp_path.glob("t.parquet*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(checkpoint, file, tmp_path):
    ran = commands.splitee(
        "precompute", checkpoint, "--text", file, "--out", tmp_path / "t.parquet", "--device", "cuda"
    )
    assert "device 'cuda' cannot be used here" in ran.complaint


def test_progress_is_told_where_there_is_no_terminal(checkpoint, file, tmp_path, monkeypatch):
    monkeypatch.setattr(Meter.__init__, "__defaults__", (0.0,))
    ran = commands.splitee(
        "precompute", checkpoint, "--text", file, "--out", tmp_path / "t.parquet", "--batch-size", 5,
        "--shard-size", 5,
    )  # fmt: skip
    lines = [line for line in ran.err.splitlines() if line.startswith("t.parquet: ")]
    assert len(lines) == 5
    assert all(line.startswith("t.parquet: ") and " samples/s, " in line for line in lines)
    assert lines[-1].startswith("t.parquet: 100 %")
    told = f"wrote {tmp_path / 't.parquet'}: 25 samples, {toys.LAYERS} exits"
    assert ran.out == f"{told}, no labels (--label-column names them)\n"


def test_python_users_get_exceptions_not_lines(checkpoint, file, tmp_path):
    rows = load_rows(file)
    with pytest.raises(InputError, match="precision 'int8'"):
        PrecomputeOptions(precision="int8")
    told: list[tuple[int, int]] = []
    trace = splitee.models.precompute.precompute(
        checkpoint, rows, tmp_path / "t.parquet", advance=lambda *done: told.append(done)
    )
    assert sum(samples for samples, _ in told) == 25
    assert sum(tokens for _, tokens in told) == trace.length.sum()
    with pytest.raises(FileExistsError):
        splitee.models.precompute.precompute(checkpoint, rows, tmp_path / "t.parquet")


def test_truncated_texts_are_reported(tmp_path):
    folder = toys.checkpoint(tmp_path / "toy", max_tokens=6)
    texts = ["good", "w1 w2 w3 w4 bad", "", "w1 w2 w3 w4", "  ", "w1 w2 w3 w4 w5"]
    rows = Rows("mine", (texts,), None, None, [str(i) for i in range(6)], {})
    lines = []
    splitee.models.precompute.precompute(folder, rows, tmp_path / "mine.parquet", report=lines.append)
    assert lines == ["2 of 6 texts are truncated at 6 tokens (--max-tokens)"]
    lines.clear()
    rows = Rows("mine", (["good"],), None, None, ["0"], {})
    splitee.models.precompute.precompute(folder, rows, tmp_path / "two.parquet", report=lines.append)
    assert lines == []


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token(tmp_path):
    folder = toys.checkpoint(tmp_path / "toy")
    tokenizer = toys.tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match="no padding token"):
        load_tokenizer(folder)
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder)
    assert load_tokenizer(folder).pad_token == "[SEP]"
