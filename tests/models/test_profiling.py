"""Profiles of a checkpoint, measured by a clock that moves only where the tests say: every step is exact."""

import json
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
import toys

import splitee
from splitee.models import probes, profiling
from splitee.models.early_exit import infer
from splitee.models.encode import load_tokenizer, pad
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.models.profiling import ProfileOptions, measure
from splitee.policies.rules import AtExit, Confidence
from splitee.system.machine import EnergyCounter
from splitee.system.profile import DeviceProfile

MS = 1_000_000  # ns
ALPHA = 0.745


class Clock:
    """Time and energy pass in the steps of a model, by layer and token."""

    def __init__(self, patch: pytest.MonkeyPatch, watts: float | None = None) -> None:
        self.now, self.watts, self.readable = 0, watts, watts is not None
        patch.setattr(profiling, "perf_counter_ns", lambda: self.now)
        self.around(patch, MultiExitModel, "start", lambda _, ids, *rest: 5 * MS + MS * ids.shape[1])
        self.around(
            patch,
            MultiExitModel,
            "run_layers",
            lambda _, cut, until: MS * sum(range(cut.layer + 1, until + 1)) * cut.hidden.shape[1],
        )
        self.around(patch, MultiExitModel, "exit_outputs", lambda _, cut: MS * 10 * cut.layer)
        self.around(patch, profiling, "encode_state", lambda codec, state: MS * len(codec) * len(state))
        self.around(patch, profiling, "decode", lambda codec, parts, hidden: 3 * MS)
        self.around(patch, probes, "pad", lambda encoded, _: 2 * MS * len(encoded[0]["input_ids"]))

    def around(self, patch: pytest.MonkeyPatch, owner: object, name: str, cost) -> None:
        real = getattr(owner, name)

        def timed(*given, **named):
            self.now += cost(*given, **named) if not named else cost(*given, *named.values())
            return real(*given, **named)

        patch.setattr(owner, name, timed)

    def joules(self) -> float:
        return self.now / 1e9 * (self.watts or 0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.checkpoint(tmp_path_factory.mktemp("profiled"), recommended_threshold={"value": ALPHA})


TEXTS = [[" ".join(["good", "bad", "w1", "w2", "fine"] * 4)[: 4 * size] for size in range(1, 16)]]


def test_every_step_is_timed_where_it_happens(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, watts=7.0)
    tokens = (4, 8, 20)
    device, check = measure(
        checkpoint, ProfileOptions(tokens, repeats=2, threads=1, codecs=("int8", "float16")), texts=TEXTS,
        counter=clock,  # type: ignore[arg-type]
    )  # fmt: skip
    count = np.array(tokens)
    assert np.allclose(device.tokenize_ms, 2 * count)
    layers = count[:, None] * [1, 2, 3, 4] + np.array([5, 0, 0, 0])
    assert np.allclose(device.layer_ms, layers)
    assert np.allclose(device.exit_ms, [[10, 20, 30, 40]] * 3)
    assert np.allclose(device.encode_ms["int8"], 4 * count)
    assert np.allclose(device.encode_ms["float16"], 7 * count)
    assert np.allclose(device.facts["decode_ms"]["int8"], 3)
    assert np.allclose(device.layer_mj, 7 * layers)  # 7 W times ms
    assert np.allclose(device.tokenize_mj, 14 * count)
    assert device.facts["energy"].startswith("rapl: 7 W")
    assert device.facts["bytes"]["int8"] == (count * (16 + 4)).tolist()
    assert (device.kind, device.hidden, device.tokens.tolist()) == ("measured", 16, [4, 8, 20])

    # what inference does with a text: tokenise, layers 1..e, exits 1..e; linear in tokens, so exact
    model, tokenizer = load_checkpoint(checkpoint), load_tokenizer(checkpoint)
    assert check is not None
    for row, text in enumerate(TEXTS[0]):
        batch = pad([tokenizer(text, truncation=True, max_length=20)], tokenizer.pad_token_id)
        stop = int(infer(model, batch, Confidence(ALPHA)).exit[0])
        size = max(4, batch["input_ids"].shape[1])  # below the first token count: that of the first
        assert check.exit[row] == stop
        right = 2 * size + 5 + sum(i * size + 10 * i for i in range(1, stop + 1))
        assert check.predicted[row] == pytest.approx(right)
        if batch["input_ids"].shape[1] >= 4:
            assert check.measured[row] == pytest.approx(right)
    assert len(set(check.exit.tolist())) > 1


def test_steps_add_up_to_the_median_of_passes(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise that hits one step in two of three passes, a different one in each, is in no step's median."""
    clock, turn = Clock(monkeypatch), 0
    real = MultiExitModel.exit_outputs

    def noisy(model: MultiExitModel, cut):
        nonlocal turn
        turn += 1
        measured = turn - 3 * 4  # after three passes of four exits that warm up
        clock.now += 100 * MS if measured in (1, 6) else 0  # exit 1 of pass 1, exit 2 of pass 2
        return real(model, cut)

    monkeypatch.setattr(MultiExitModel, "exit_outputs", noisy)
    device, _ = measure(checkpoint, ProfileOptions((8,), repeats=3), counter=EnergyCounter(checkpoint))
    whole = 2 * 8 + 5 + 10 * 8 + 100  # ms of a pass: tokenise, layers, exits
    total = device.tokenize_ms + device.layer_ms.sum(axis=1) + device.exit_ms.sum(axis=1)
    assert np.allclose(total, whole + 100)
    assert np.allclose(device.exit_ms / total, np.array([[10, 20, 30, 40]]) / whole)


def test_exits_after_some_layers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toys.checkpoint(tmp_path / "toy", exits=[2, 4])
    Clock(monkeypatch)
    device, check = measure(folder, ProfileOptions((5,), repeats=1), counter=EnergyCounter(tmp_path))
    assert check is None
    assert np.allclose(device.layer_ms, [[5 + 5 * 3, 5 * 7]])
    assert np.allclose(device.exit_ms, [[20, 40]])
    assert device.layer_mj is None
    assert device.facts["energy"] == "unknown"
    assert device.at(np.array([5]), (2, 4)).layer_ms.tolist() == [[20, 35]]


def test_a_real_clock_and_a_profile_of_this_model(checkpoint: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    device, _ = measure(checkpoint, ProfileOptions(repeats=2, watts=2.0), counter=EnergyCounter(tmp_path))
    assert torch.get_num_threads() == threads
    assert device.tokens.tolist() == [4, 8, 16, 20]  # as far as the model was trained for
    for values in (device.layer_ms, device.exit_ms, device.tokenize_ms):
        assert (np.asarray(values) > 0).all()
    assert np.allclose(device.layer_mj, 2 * np.asarray(device.layer_ms), atol=1e-4)
    assert device.facts["energy"] == "assumed 2 W"
    low, high = (np.array(part) for part in device.facts["quartiles"]["layer_ms"])
    assert low.shape == high.shape == device.layer_ms.shape
    assert (low <= high).all()
    (folder := tmp_path / "other").mkdir()
    toys.checkpoint(folder, kind="roberta")
    device.save(tmp_path / "a.json")
    with pytest.raises(splitee.InputError, match="another model"):
        DeviceProfile.load(tmp_path / "a.json").check_model({"model": {"sha256": "0" * 64}})


def test_infer_marks_layers_and_exits() -> None:
    model, marks = toys.model(), []
    batch = {"input_ids": torch.tensor([[0, 5, 6, 2]])}
    infer(model, batch, AtExit(3), mark=lambda: marks.append(1))
    assert len(marks) == 3 + 1  # three layers, one exit
    marks.clear()
    infer(model, batch, Confidence(0.0), mark=lambda: marks.append(1))
    assert len(marks) == 2


def test_the_command_writes_prints_and_checks(checkpoint: Path, tmp_path: Path) -> None:
    out, texts = tmp_path / "device.json", tmp_path / "texts.csv"
    texts.write_text("text\n" + "\n".join(f"good w{i} bad" for i in range(9)) + "\n")
    common = ("profile", checkpoint, "--tokens", "4,20", "--passes", 2, "--watts", "5/2", "--out", out)
    done = commands.splitee(*common, "--text", texts, "--check", 4, "--name", "toy")
    assert done.code == 0, done.err
    assert "check: 4 samples" in done.out
    assert "assumed 2.5 W" in done.out
    device = DeviceProfile.load(out)
    assert (device.name, device.kind, device.facts["repeats"]) == ("toy", "measured", 2)
    assert "exists already" in commands.splitee(*common).complaint
    done = commands.splitee(*common, "--overwrite", "--json", "--codec", "int8")
    found = json.loads(done.out)
    assert found["check"] is None
    assert found["profile"] == DeviceProfile.load(out).to_dict()
    assert list(found["profile"]["encode_ms"]) == ["int8"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tokens", "8,4"), "ascending"),
        (("--tokens", "8,80"), "positions"),
        (("--tokens", "0"), "--tokens"),
        (("--tokens", "2"), "no room"),
        (("--codec", "int4"), "int4"),
        (("--watts", "-1"), "--watts"),
        (("--watts", "0"), "watts is 0"),
        (("--threads", "0"), "--threads"),
        (("--passes", "0"), "--passes"),
        (("--check", "5"), "--check needs texts"),
        (("--split", "test"), "--split needs texts"),
        (("--text", "none.csv"), "no such file"),
        (("--text", "none.csv", "--task", "imdb"), "either"),
    ],
)
def test_bad_input_is_one_line(checkpoint: Path, options: tuple[str, ...], words: str) -> None:
    assert words in commands.splitee("profile", checkpoint, *options).complaint


def test_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    assert "no checkpoint" in commands.splitee("profile", tmp_path).complaint
