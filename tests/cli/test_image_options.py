"""--images, --distort and --stages: networks of stages by command, and what is refused in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import photos
import pytest
import serving
import toys

import splitee
from splitee.cli import image_options
from splitee.runtime.log import load_log
from splitee.system.profile import DeviceProfile
from splitee.trace import load_trace

CODE = """
from torch import nn
from splitee.models.staged import register_stages

def build(width):
    return [nn.Conv2d(3, width, 3, 2), nn.Sequential(nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2))]

register_stages("test-stages", build)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos.resnet(tmp_path_factory.mktemp("resnet") / "model")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    photos.folder(tmp_path / "pets", 20)
    return tmp_path


def test_a_run_and_its_proof(model: Path, place: Path) -> None:
    """Precompute, export, device, verify-log; the log decides as the trace of the same distorted images."""
    noisy = ("--images", "pets", "--distort", "clean,noise1", "--seed", 3)
    assert commands.splitee("precompute", model, *noisy, "--out", "trace.parquet").code == 0
    trace = load_trace("trace.parquet")
    alpha = float(np.median(trace.confidence[:, 1]))
    made = commands.splitee("export", "onnx", model, "--device-layers", 2, "--out", "half", "--json")
    assert json.loads(made.out)["difference"] < 1e-4
    with serving.serving(model) as server:
        to = ("--cloud", server.url, "--cloud-model", "model", "--policy", "split:2", "--threshold", alpha)
        for half, out in ((model, "a.parquet"), ("half", "b.parquet")):
            given = (
                *to,
                *noisy,
                "--device-layers",
                2,
                "--sends",
                "state",
                "--complete-log",
                "--out",
                out,
                "--json",
            )
            ran = commands.splitee("device", half, *given)
            assert ran.code == 0, ran.err
            *answers, summary = map(json.loads, ran.out.splitlines())
            assert summary["answered"] == 20
            assert [one["id"] for one in answers] == list(trace.id)
            found = json.loads(commands.splitee("verify-log", out, "--json").out)
            assert found["same"]
            assert found["lost"] == 0
            costs = splitee.CostModel(device_layers=2)
            policy = splitee.FixedSplit(2, threshold=alpha)
            result = splitee.replay(trace, policy, costs, repeats=1, orders=[range(20)])
            assert [one["offloaded"] for one in answers] == result.offloaded[0].tolist()
        log = load_trace("a.parquet")
        assert len(log.input_bytes) == found["offloaded"]
        place_of = {name: row for row, name in enumerate(trace.id)}
        assert log.label.tolist() == [int(trace.label[place_of[name]]) for name in log.id]
        shutil.rmtree("pets/cat")  # the labels of the others stay those of the model
        shutil.copytree("pets/dog", "pets/x")
        ran = commands.splitee("device", "half", *to, "--images", "pets", "--out", "x.parquet")
        assert "no class 'x'" in ran.err
        shutil.rmtree("pets/x")
        ran = commands.splitee("device", "half", *to, "--images", "pets", "--out", "d.parquet")
        assert ran.code == 0, ran.err
        assert {one.label for one in load_log("d.parquet").records} == {1}
        timed = ("--layer-ms", 1, "--arrivals", 5, "--uplink", 1, "--out", "c.parquet")
        ran = commands.splitee("device", model, *to, "--images", "pets", *timed)
        assert ran.code == 0, ran.err
    found = json.loads(commands.splitee("verify-log", "c.parquet", "--json").out)
    assert found["same"]
    assert found["predicted"]["latency_p50"] > 0


@pytest.mark.slow
def test_an_exported_half_needs_no_torch(model: Path, place: Path) -> None:
    assert commands.splitee("export", "onnx", model, "--device-layers", 2, "--out", "half").code == 0
    code = """
import sys
for name in ("torch", "transformers", "safetensors"):
    sys.modules[name] = None
sys.argv = "splitee device half --policy exit:2 --images pets --out log.parquet".split()
from splitee.cli import main
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=commands.environment(), check=False
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (0, 1), ran.stderr
    assert "20 answered" in ran.stdout


def test_a_profile(model: Path, place: Path) -> None:
    given = ("profile", model, "--images", "pets", "--check", 3, "--passes", 2, "--watts", 2)
    done = commands.splitee(*given, "--out", "device.json")
    assert done.code == 0, done.err
    assert "check: 3 samples" in done.out
    assert "32 × 32 pixels" in done.out
    device = DeviceProfile.load("device.json")
    assert device.tokens is None
    assert device.layer_ms.shape == device.exit_mj.shape == (3,)
    assert device.tokenize_ms > 0
    assert device.facts["bytes"]["int8"] == [64 * (4 + 4), 16 * (6 + 4), 4 * (8 + 4)]
    assert device.facts["image_size"] == 32
    for codec, ms in device.encode_ms.items():
        assert ms == pytest.approx(sum(device.facts["encode_ms"][codec]) / 3, abs=1e-5)
    trace = commands.splitee("precompute", model, "--images", "pets", "--out", "trace.parquet")
    assert trace.code == 0
    system = splitee.System(device, splitee.Link(1.0, 10.0), codec="int8", sends="state")
    result = splitee.replay(load_trace("trace.parquet"), splitee.FixedSplit(1, threshold=1.0), system)
    assert result.summary()["kilobytes"].iloc[0] == pytest.approx(0.512)


def test_stages_of_a_file(place: Path) -> None:
    Path("mine.py").write_text(CODE)
    from splitee.models.config import StagedConfig
    from splitee.models.staged import BUILDERS, StagedModel

    described = {"stages": "test-stages", "options": {"width": 4}}
    load = ("--stages", "mine.py", "--images", "pets", "--out", "trace.parquet")
    assert "no checkpoint" in commands.splitee("precompute", "model", *load).complaint  # it was registered
    names = {0: "cat", 1: "dog"}
    config = StagedConfig(described, image_size=16, id2label=names, label2id={"cat": 0, "dog": 1})
    StagedModel(config).save_pretrained("model")
    BUILDERS.pop("test-stages")
    out = ("--out", "trace.parquet")
    assert "no stages are called" in commands.splitee("precompute", "model", *load[2:]).complaint
    assert "no stages are called" in commands.splitee("serve", "model", "--json").complaint
    done = commands.splitee("precompute", "model", *load)
    assert done.code == 0, done.err
    BUILDERS.pop("test-stages")
    done = commands.splitee("serve", "model", "--json", "--stages", "mine.py")
    assert json.loads(done.out)["parameters"]["shapes"] == "4,7,7;8,3,3"
    BUILDERS.pop("test-stages")
    Path("none.py").write_text("x = 1\n")
    Path("broken.py").write_text("import nothing_of_this_name\n")
    for file, line in (
        ("gone.py", "no such file of Python"),
        ("pets", "no such file of Python"),
        ("none.py", "registers no stages"),
        ("broken.py", "ModuleNotFoundError"),
    ):
        given = ("precompute", "model", "--images", "pets", "--stages", file, *out)
        assert line in commands.splitee(*given).complaint


def test_stages_that_do_not_compose(place: Path) -> None:
    Path("mine.py").write_text(CODE)
    photos.checkpoint(Path("model"))
    config = json.loads(Path("model/config.json").read_text())
    config["backbone"] = {"stages": "test-stages", "options": {"width": 4}}
    config["image_size"] = 5
    Path("model/config.json").write_text(json.dumps(config))
    Path("model/fingerprints.json").unlink(missing_ok=True)
    Path("flat").mkdir()
    Path("flat/a.png").write_bytes(photos.photo())
    common, images = ("--stages", "mine.py"), ("--images", "flat")
    for command in (
        ("precompute", "model", *images, "--out", "x.parquet"),
        ("serve", "model", "--json"),
        ("device", "model", *images, "--policy", "splitee", "--out", "x.parquet"),
        ("profile", "model"),
        ("export", "onnx", "model", "--out", "half"),
    ):
        assert "the stages do not compose: stage 2" in commands.splitee(*command, *common).complaint
        forget()


def forget() -> None:
    """Forget what a command registered: `image_options.stages` complains of a file that adds nothing."""
    from splitee.models.staged import BUILDERS

    assert callable(image_options.stages)
    BUILDERS.pop("test-stages")


def test_texts_and_images_are_not_mixed_up(model: Path, place: Path) -> None:
    texts = toys.checkpoint(Path("texts"))
    Path("t.csv").write_text("text\ngood\nbad\n")
    device, run = ("--policy", "splitee", "--out", "log.parquet"), ("--out", "x.parquet")
    for command, line in (
        (("device", model, "--text", "t.csv", *device), "--text: the model reads images"),
        (("device", model, "--text", "-", *device), "--text: the model reads images"),
        (("device", texts, "--images", "pets", *device), "--images: the model reads texts"),
        (("device", model, *device), "--images PATH"),
        (("device", model, "--images", "pets", "--text", "t.csv", *device), "does not go with --images"),
        (("device", model, "--images", "pets", "--listen", "localhost:0", *device), "either --text"),
        (("device", model, "--distort", "blur1", "--listen", "localhost:0", *device), "goes with --images"),
        (("precompute", texts, "--images", "pets", *run), "reads texts"),
        (("precompute", model, "--text", "t.csv", *run), "the model reads images"),
        (("profile", texts, "--images", "pets"), "holds images: give texts"),
        (("profile", model, "--text", "t.csv"), "reads images, all of one size: leave the texts out"),
        (("profile", model, "--tokens", "8,16"), "leave the token counts out"),
        (("profile", model, "--images", "pets", "--task", "imdb"), "--task does not go with --images"),
        (("serve", model, "--max-tokens", 9, "--json"), "--max-tokens is for texts"),
    ):
        assert line in commands.splitee(*command).complaint, command
    assert not Path("log.parquet").exists()


def test_bad_images_are_one_line_of_every_command(model: Path, place: Path) -> None:
    for name, (file, line) in photos.bad(place / "bad").items():
        alone = place / name.partition(".")[0]
        alone.mkdir()
        file.rename(alone / file.name)
        given = ("--images", alone)
        for command in (
            ("precompute", model, *given, "--out", "x.parquet"),
            ("device", model, *given, "--policy", "splitee", "--out", "x.parquet"),
            ("profile", model, *given, "--passes", 1),
        ):
            found = commands.splitee(*command).complaint
            assert line in found
            assert file.name in found
            Path("x.parquet.journal").unlink(missing_ok=True)
    assert not Path("x.parquet").exists()
