"""A network of stages in the live pair: decisions and answers of a replay on its trace, and it resumes."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pairs
import photos
import pytest
import serving
import torch
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

import splitee
from splitee._internal.errors import InputError
from splitee.models.config import STAGE_POOLINGS
from splitee.models.half import ImageHalf, load_half
from splitee.models.inputs import ImageInputs
from splitee.models.multi_exit import load_checkpoint
from splitee.models.onnx import _exported, _quiet
from splitee.models.precompute import compute_trace
from splitee.models.staged import StageHead
from splitee.runtime import log as live_log
from splitee.runtime.exporting import export_half
from splitee.runtime.halves import Half, open_half, said
from splitee.runtime.interfaces import interface_of
from splitee.runtime.journal import read_lines
from splitee.runtime.onnx_half import ImageOnnx
from splitee.runtime.predicting import measured, predicted
from splitee.runtime.records import CLOUD, Record
from splitee.runtime.replaying import replay
from splitee.runtime.running import Stop, endpoint, run_stream
from splitee.runtime.setting import Rules
from splitee.system.codec import as_rows, decode, encode, from_rows, rows_shape, state_bytes
from splitee.trace import load_trace

IMAGES = photos.images(40)
LINK = splitee.Link(1.0, 5.0)
SYSTEM = splitee.System(splitee.DeviceProfile(layer_ms=2.0, exit_ms=0.5), LINK, codec="int8")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos.checkpoint(tmp_path_factory.mktemp("photos") / "model")


@pytest.fixture(scope="module")
def half(checkpoint: Path) -> Half:
    return open_half(checkpoint, 2)


@pytest.fixture(scope="module")
def trace(checkpoint: Path) -> splitee.Trace:
    model = load_checkpoint(checkpoint)
    return compute_trace(model, ImageInputs(model.config), IMAGES)


@pytest.fixture(scope="module")
def url(checkpoint: Path):
    with serving.serving(checkpoint) as server:
        yield server.url


@torch.no_grad()
def after_codec(checkpoint: Path, layer: int, codec: str) -> np.ndarray:
    """Logits of the last exit where the state after a stage went through a codec, without the live pair."""
    model = load_checkpoint(checkpoint)
    inputs = ImageInputs(model.config)
    cut = model.run_layers(model.start(**inputs.batch(inputs.encode(IMAGES))), layer)
    rows = as_rows(cut.hidden).numpy()
    sent = np.stack([decode(codec, encode(codec, one), one.shape[1]) for one in rows])
    cut.hidden = torch.from_numpy(from_rows(sent, model.shapes[layer - 1]).copy())
    return model.exit_logits(model.run_layers(cut, 3)).numpy()


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("sends", ["float32", "int8", "input"])
def test_every_split_decides_and_answers_as_a_replay(
    layer: int, sends: str, checkpoint: Path, half: Half, url: str, trace: splitee.Trace, tmp_path: Path
) -> None:
    state, alpha = sends != "input", float(np.median(trace.confidence[:, layer - 1]))
    how = {"sends": "state", "codec": sends} if state else {"sends": "input"}
    setting = pairs.setting_of(half, f"split:{layer}", threshold=alpha, **how)
    device = pairs.opened(half, setting, tmp_path / "journal", url)
    records = pairs.play(device, IMAGES.data)
    pairs.shut(device)
    costs = splitee.CostModel(offload=3.0, device_layers=2)
    policy = splitee.FixedSplit(layer, threshold=alpha)
    result = splitee.replay(trace, policy, costs, repeats=1, orders=[range(len(trace))])
    assert [one.layer for one in records] == result.split[0].tolist()
    assert [one.offloaded for one in records] == result.offloaded[0].tolist()
    final = after_codec(checkpoint, layer, sends if state else "float32")
    shape = (36, (6, 8)[layer - 1])
    for row, one in enumerate(records):
        assert one.sends == (("state" if state else "input") if one.offloaded else "")
        if one.offloaded:
            assert (one.by, one.lost) == (CLOUD, "")
            assert one.prediction == final[row].argmax()
            chance = torch.softmax(torch.from_numpy(final[row]), 0).max()
            assert one.confidence == pytest.approx(float(chance), abs=1e-4)
            size = int(state_bytes(sends, *shape)) if state else len(IMAGES.data[row]) + 4
            assert size < one.bytes < size + 600  # the file as it lies, or the state, and the JSON head
        else:
            assert one.prediction == trace.prediction[row, layer - 1]
            assert one.confidence == pytest.approx(float(trace.confidence[row, layer - 1]), abs=1e-4)
    assert any(one.offloaded for one in records)
    assert not all(one.offloaded for one in records)


@pytest.mark.parametrize("policy", ["splitee", "splitee-s", "certified:0.3", "cloud-only", "deebert:0.3"])
def test_a_log_replays_to_the_same_decisions(
    policy: str, checkpoint: Path, half: Half, url: str, trace: splitee.Trace, tmp_path: Path
) -> None:
    """Under constant costs and in a system, from the device and from the log's file, which is a trace."""
    for name, changes in (
        ("costs", {"sends": "state"}),
        ("system", {"costs": None, "system": SYSTEM.to_dict(), "typical_bytes": 500}),
    ):
        setting = pairs.setting_of(half, policy, every_exit=True, **changes)
        device = pairs.opened(half, setting, tmp_path / name, url)
        records = pairs.play(device, IMAGES.data)
        pairs.shut(device)
        assert not any(one.lost for one in records)
        assert [one.input_bytes for one in records] == IMAGES.sizes.tolist()
        assert replay(device.rules, records) is None
        out = tmp_path / f"{name}.parquet"
        live_log.write_log(setting, records, out, overwrite=False)
        read = live_log.load_log(out)
        assert replay(device.rules, read.records) is None
        assert [one.input_bytes for one in read.records] == IMAGES.sizes.tolist()
        if any(one.by == CLOUD for one in records):
            log = load_trace(out)
            assert log.length is None
            rows = [int(one) for one in log.id]
            assert log.input_bytes.tolist() == IMAGES.sizes[rows].tolist()
            assert log.manifest["hidden_state_bytes"]["by_exit_shape"] == [[36, 6], [36, 8], [9, 12]]
            assert np.abs(log.confidence[:, :2] - trace.confidence[rows, :2]).max() < 1e-4


def test_an_offload_sends_what_is_answered_first(half: Half, url: str, tmp_path: Path) -> None:
    """By the size of each file: a state of 9 × 12 (int8: 144 bytes) is nothing, one of 36 × 6 is 360."""
    small, large = photos.photo(1, (8, 8), "JPEG"), photos.photo(1, (200, 200))
    assert len(small) > 360  # the least JPEG is larger than the state
    flat = photos.photo(3, (8, 8))
    files = [large, flat] * 6
    system = replace(SYSTEM, link=splitee.Link(0.1, 0.0)).to_dict()
    setting = pairs.setting_of(half, "split:1", threshold=1.0, costs=None, system=system)
    device = pairs.opened(half, setting, tmp_path / "journal", url)
    records = pairs.play(device, files)
    pairs.shut(device)
    for one, file in zip(records, files, strict=True):
        assert one.offloaded
        assert one.sends == ("state" if len(file) > 360 else "input"), len(file)
    assert {one.sends for one in records} == {"state", "input"}


def test_a_given_size_takes_the_place_of_the_files(half: Half) -> None:
    """A system may say how large every input is; else costs and decisions are those of each file."""
    record = Record(1, "a", 0, 0.0, 0.0, 0, (1,), (0.5,), (0,), rate=1000.0, input_bytes=50_000)
    for size, sends in ((None, True), (10.0, False)):
        system = replace(SYSTEM, input_bytes=size).to_dict()
        rules = Rules(pairs.setting_of(half, "split:1", costs=None, system=system))
        assert rules.sends_state(record) is sends
        assert not rules.sends_state(replace(record, exits=()))
        costs = rules.feedback(replace(record, by="device")).offload_costs
        assert costs[0] == pytest.approx(8 * (size or 50_000) / 1000 + LINK.rtt)
        assert costs[1] == pytest.approx(min(8 * (36 * 6 + 36 * 4), 8 * (size or 50_000)) / 1000 + LINK.rtt)


def test_what_was_measured_beside_what_is_predicted(
    half: Half, url: str, trace: splitee.Trace, tmp_path: Path
) -> None:
    """The prediction knows every file's size and every stage's state; the cloud answers as the last exit."""
    system = replace(SYSTEM, sends="input").to_dict()
    setting = pairs.setting_of(half, "cloud-only", costs=None, system=system)
    device = pairs.opened(half, setting, tmp_path / "journal", url)
    records = pairs.play(device, IMAGES.data)
    pairs.shut(device)
    assert [one.prediction for one in records] == trace.prediction[:, -1].tolist()
    assert np.allclose([one.confidence for one in records], trace.confidence[:, -1], atol=1e-4)
    found = predicted(device.rules, device.rules.system, records, one_at_a_time=True)
    assert found["kilobytes"] == pytest.approx(IMAGES.sizes.mean() / 1e3)
    assert found["latency"] == pytest.approx((8 * IMAGES.sizes / 1e3 + 5).mean())  # 1 Mbit/s, 5 ms
    assert measured(records)["kilobytes"] == pytest.approx(found["kilobytes"], abs=0.4)
    states = replace(SYSTEM, sends="state").to_dict()
    setting = pairs.setting_of(half, "split:2", threshold=1.0, costs=None, system=states)
    device = pairs.opened(half, setting, tmp_path / "states", url)
    records = pairs.play(device, IMAGES.data)
    pairs.shut(device)
    found = predicted(device.rules, device.rules.system, records, one_at_a_time=True)
    share = np.mean([one.offloaded for one in records])  # a float32 confidence may be 1
    assert found["kilobytes"] == pytest.approx(share * (36 * 8 + 36 * 4) / 1e3)


def test_a_killed_device_goes_on_where_it_was(half: Half, url: str, tmp_path: Path) -> None:
    """Whatever line the kill came after; the files of images on the way are in the journal."""
    for name, policy, sends in (("a", "certified:0.3", "state"), ("b", "cloud-only", "input")):
        setting = pairs.setting_of(half, policy, sends=sends)
        device = pairs.opened(half, setting, tmp_path / name, url)
        expected = pairs.decisions(pairs.play(device, IMAGES.data))
        answers = [one.prediction for one in device.records]
        pairs.shut(device)
        data = (tmp_path / name).read_bytes()
        ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
        waits = 0
        for cut in (ends[0], ends[3], ends[12], ends[-2], ends[20] - 7):
            journal = tmp_path / f"{name}-{cut}"
            journal.write_bytes(data[:cut])
            lines = read_lines(data[:cut], "it")[0]
            waits += len(lines) > 1 and "answer" not in lines[-1] and lines[-1]["event"] == "decided"
            device = pairs.opened(half, setting, journal, url)
            records = pairs.play(device, IMAGES.data)
            pairs.shut(device)
            assert pairs.decisions(records) == expected
            assert [one.prediction for one in records] == answers
            assert replay(device.rules, records) is None
        assert waits  # some cut left an image without its answer


def test_a_half_holds_the_first_stages_only(checkpoint: Path) -> None:
    whole, first = load_checkpoint(checkpoint), load_half(checkpoint, 2)
    assert (len(first.stages), first.exits, len(first.exit_heads)) == (2, (1, 2), 2)
    assert first.shapes == whole.shapes
    assert first.num_parameters() < whole.num_parameters()
    ours, theirs = open_half(checkpoint, 2), open_half(checkpoint)
    assert isinstance(ours, ImageHalf)
    assert interface_of(ours.facts) == interface_of(theirs.facts)
    for file in IMAGES.data[:5]:
        a, b = ours.encode(file), theirs.encode(file)
        for exit_ in (1, 2):
            a, b = ours.advance(a, exit_), theirs.advance(b, exit_)
            assert said(ours, a) == said(theirs, b)
    for listed, held in ((["avg", "max"], "half"), ("avg+max", 1)):
        some = photos.checkpoint(checkpoint.parent / f"some-{held}", exits=[2, 3], pooling=listed)
        assert load_half(some, held).exits == (2,)


@pytest.mark.parametrize("kind", ["toy", "resnet"])
def test_an_exported_half_runs_in_the_pair(kind: str, tmp_path: Path) -> None:
    """Compared with torch before it is written; decisions and answers are those of torch's half."""
    model = photos.checkpoint(tmp_path / "model") if kind == "toy" else photos.resnet(tmp_path / "model")
    done = export_half(model, tmp_path / "half", 2)
    assert done["difference"] < 1e-4
    names = {file.name for file in (tmp_path / "half").iterdir()}
    assert names == {
        *(f"{what}_{i}.onnx" for what in ("layers", "exit") for i in (1, 2)),
        "half.json",
        "fingerprints.json",
    }
    ours, theirs = open_half(tmp_path / "half"), open_half(model, 2)
    assert isinstance(ours, ImageOnnx)
    made = []
    with serving.serving(model) as server:
        for name, half in (("onnx", ours), ("torch", theirs)):
            setting = pairs.setting_of(half, "splitee-s", sends="state", threshold=0.7)
            device = pairs.opened(half, setting, tmp_path / name, server.url)
            records = pairs.play(device, IMAGES.data)
            pairs.shut(device)
            assert replay(device.rules, records) is None
            made.append((pairs.decisions(records), [one.prediction for one in records]))
    assert made[0] == made[1]
    with pytest.raises(InputError, match="holds 2 exits"):
        open_half(tmp_path / "half", 3)


@pytest.mark.parametrize("pooling", STAGE_POOLINGS)
@pytest.mark.parametrize("shape", [(4, 7, 5), (9, 6), (5,)])
def test_every_pooling_is_exported(pooling: str, shape: tuple[int, ...]) -> None:
    """Also over fields of different sizes, which ONNX has no operator for."""
    head = StageHead(shape[0] if len(shape) == 3 else shape[-1], 3, pooling).eval()
    state = torch.randn(2, *shape)
    with torch.no_grad():
        expected = head(state)
        with _quiet():
            assert torch.allclose(head(state), expected, atol=1e-5)
            graph = _exported(head, (state[:1],), ["hidden"], ["logits"])
    session = onnxruntime.InferenceSession(graph)
    (found,) = session.run(None, {"hidden": state[:1].numpy()})
    assert np.allclose(found, expected[:1], atol=1e-5)


def test_bad_images_are_one_line(half: Half, url: str, checkpoint: Path, tmp_path: Path) -> None:
    """On the device, and at the cloud, which answers others of the same batch."""
    device = pairs.opened(half, pairs.setting_of(half), tmp_path / "journal")
    with serving.serving(checkpoint) as server:
        cloud = server.cloud
        for file, line in photos.bad(tmp_path / "bad").values():
            with pytest.raises(InputError, match=line) as caught:
                device.take(file, file.name)
            assert f"sample {file.name}: " in str(caught.value)
            request = cloud.interface.files_request([IMAGES.data[0], file.read_bytes()])
            if line == "damaged":  # behind the header
                works = [cloud.interface.check(request), cloud.interface.check(request)]
                good = cloud.interface.check(cloud.interface.files_request(IMAGES.data[:3]))
                first, answer, second = cloud.run([works[0], good, works[1]])
                assert "image 1: the image is damaged" in str(first)
                assert first.status == second.status == 400
                assert len(answer.prediction) == 3
            else:
                with pytest.raises(InputError, match=line):
                    cloud.interface.check(request)
    device.take(IMAGES.data[0], "good")
    pairs.shut(device)
    assert [one.id for one in device.records] == ["good"]


def test_the_endpoint_takes_image_files(half: Half, tmp_path: Path) -> None:
    device, stop = pairs.opened(half, pairs.setting_of(half, "exit:1"), tmp_path / "journal"), Stop()
    with endpoint(device, "127.0.0.1", 0) as (source, port):
        thread = threading.Thread(target=run_stream, args=(device, source, stop))
        thread.start()
        address = f"http://127.0.0.1:{port}/"
        until = time.monotonic() + 20
        while (found := httpx.post(address, content=IMAGES.data[0])).status_code == 503:
            assert time.monotonic() < until
        assert found.json()["class"] in half.facts["classes"]
        for file, line in photos.bad(tmp_path / "bad").values():
            refused = httpx.post(address, content=file.read_bytes())
            assert refused.status_code == 400
            assert line in refused.json()["error"]
        assert httpx.post(address, content=b"").status_code == 400
        assert httpx.post(address, content=bytes(2**24 + 1)).status_code == 413
        stop.asked = True
        stop.wake()
        thread.join(30)
        assert not thread.is_alive()
    assert len(device.records) == 1
    pairs.shut(device)


def test_tritonclient_sends_files(url: str, trace: splitee.Trace) -> None:
    """NVIDIA's client, unchanged: image files as BYTES."""
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    files = np.array(IMAGES.data[:3], dtype=object)
    given = triton.InferInput("image", [3], "BYTES")
    given.set_data_from_numpy(files)
    found = client.infer("model", [given])
    assert found.as_numpy("prediction").tolist() == trace.prediction[:3, -1].tolist()
    assert np.allclose(found.as_numpy("confidence"), trace.confidence[:3, -1], atol=1e-5)
    given.set_data_from_numpy(np.array([b"no image", files[1], files[2]], dtype=object))
    with pytest.raises(InferenceServerException, match="image 0: not an image") as caught:
        client.infer("model", [given])
    assert caught.value.status() == "400"
    client.close()


def test_halves_of_other_stages(half: Half, url: str, tmp_path: Path) -> None:
    for changes, line in (
        ({"fingerprint": "0" * 64}, "need the same checkpoint"),
        ({"shapes": [[6, 6, 6], [4, 6, 12], [12, 3, 3]]}, "same weights in other layers"),
        ({"exits": [1, 3]}, "same weights in other layers"),
        ({"image_size": 16}, "same weights in other layers"),
    ):
        stranger = type("Other", (), {"facts": {**half.facts, **changes}})()
        with pytest.raises(InputError, match=line):
            pairs.opened(stranger, pairs.setting_of(stranger), tmp_path / "journal", url)


def test_rows_and_shapes() -> None:
    rng = np.random.default_rng(0)
    for shape in ((5, 2, 3), (4, 6), (7,)):
        state = rng.normal(size=(2, *shape)).astype(np.float32)
        rows = as_rows(state)
        assert rows.shape == (2, *rows_shape(shape))
        assert np.array_equal(from_rows(rows, shape), state)
        assert np.array_equal(as_rows(torch.from_numpy(state)).numpy(), rows)
