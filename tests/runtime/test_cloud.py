"""The cloud half: standard clients work, answers are the bare model's, bad requests get one line."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import serving
import torch
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from splitee._internal.errors import InputError
from splitee.models.encode import encode as tokenize
from splitee.models.encode import load_tokenizer, pad
from splitee.models.multi_exit import MultiExitModel
from splitee.runtime import protocol
from splitee.runtime.cloud import Cloud, Limits
from splitee.runtime.protocol import HEAD_LENGTH, ProtocolError, Request, Response
from splitee.runtime.serving import Listening, Server
from splitee.system.codec import CODECS
from splitee.trace.columns import read_logits

NAME = "sst2_slender"
TEXTS = ["a wonderful, moving film", "dull", "one of the worst movies of the year, and far too long", "fine"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.serving(NAME, limits=Limits(rows=8)) as running:
        yield running


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    encoded = pad(tokenize(load_tokenizer(NAME), (TEXTS,), 128), 0)
    return {name: values.numpy() for name, values in encoded.items()}


@torch.inference_mode()
def after(model: MultiExitModel, batch: dict[str, np.ndarray], layer: int) -> np.ndarray:
    cut = model.start(torch.tensor(batch["input_ids"]), torch.tensor(batch["attention_mask"]))
    return model.run_layers(cut, layer).hidden.numpy()


@torch.inference_mode()
def bare(model: MultiExitModel, batch: dict[str, np.ndarray]) -> np.ndarray:
    """Logits of every exit."""
    return model(torch.tensor(batch["input_ids"]), torch.tensor(batch["attention_mask"])).logits.numpy()


def post(
    server: Server, body: bytes, headers: dict[str, str], path: str | None = None
) -> tuple[int, bytes, str | None]:
    connection = HTTPConnection("127.0.0.1", server.socket.getsockname()[1], timeout=60)
    try:
        connection.request("POST", f"/v2/models/{server.cloud.interface.name}/infer", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader(HEAD_LENGTH)
    finally:
        connection.close()


def infer(server: Server, request: Request) -> Response:
    headers, body = protocol.write_request(request)
    return protocol.read_response(*post(server, body, headers))


def get(server: Server, path: str, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.socket.getsockname()[1], timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# NVIDIA's client, unchanged


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    made = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield made
    made.close()


def given(name: str, array: np.ndarray, datatype: str, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_tritonclient_health_and_metadata(client: triton.InferenceServerClient, server: Server) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, "1")
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    found = client.get_model_metadata(NAME)
    assert found == server.cloud.interface.metadata()
    assert [one["name"] for one in found["outputs"]] == ["confidence", "prediction", "logits"]


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_infers(client, server: Server, batch, binary: bool) -> None:
    inputs = [given(name, batch[name], "INT64", binary) for name in ("input_ids", "attention_mask")]
    wanted = [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in ("logits", "prediction", "confidence")
    ]
    final = bare(server.cloud.model, batch)[:, -1]
    for outputs in (None, wanted):
        found = client.infer(NAME, inputs, outputs=outputs, request_id="17")
        assert found.get_response()["id"] == "17"
        np.testing.assert_allclose(found.as_numpy("logits"), final, atol=1e-5)
        np.testing.assert_array_equal(found.as_numpy("prediction"), final.argmax(1))
        np.testing.assert_allclose(found.as_numpy("confidence"), read_logits(final)[0], atol=1e-5)


def test_tritonclient_offloads_a_state(client, server: Server, batch) -> None:
    mark = {"layer": 3, "codec": "float16", "fingerprint": server.cloud.interface.fingerprint}
    state = after(server.cloud.model, batch, 3).astype(np.float16)
    inputs = [given("state", state, "FP16"), given("attention_mask", batch["attention_mask"], "INT64")]
    found = client.infer(NAME, inputs, parameters=mark)
    np.testing.assert_allclose(found.as_numpy("logits"), bare(server.cloud.model, batch)[:, -1], atol=0.02)


def test_tritonclient_learns_what_is_wrong(client, batch) -> None:
    ids = given("input_ids", batch["input_ids"], "INT64")
    with pytest.raises(InferenceServerException, match="attention_mask is missing") as caught:
        client.infer(NAME, [ids])
    assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        client.infer("other", [ids])
    with pytest.raises(InferenceServerException, match=r"give \[b, t\]"):
        client.infer(NAME, [given("input_ids", batch["input_ids"][0], "INT64")])
    with pytest.raises(InferenceServerException, match="compressed"):
        client.infer(NAME, [ids], request_compression_algorithm="gzip")


# the answers


@pytest.mark.parametrize("layer", range(6))
def test_answers_are_the_bare_models_from_every_layer(server: Server, batch, layer: int) -> None:
    cloud = server.cloud
    final = bare(cloud.model, batch)[:, -1]
    if layer:
        request = cloud.interface.state_request(
            layer, after(cloud.model, batch, layer), batch["attention_mask"]
        )
    else:
        request = cloud.interface.tokens_request(batch["input_ids"], batch["attention_mask"])
    found = infer(server, request)
    np.testing.assert_allclose(found.outputs["logits"], final, atol=1e-5)
    np.testing.assert_array_equal(found.outputs["prediction"], final.argmax(1))
    np.testing.assert_allclose(found.outputs["confidence"], read_logits(final)[0], atol=1e-5)
    assert (found.model, found.version, found.parameters["batch"]) == (NAME, "1", 4)
    assert found.parameters["waited_ms"] >= 0 < found.parameters["computed_ms"]


@pytest.mark.parametrize("codec", CODECS)
def test_codecs(server: Server, batch, codec: str) -> None:
    """The server continues from exactly what the codec leaves."""
    cloud, mask = server.cloud, batch["attention_mask"]
    request = cloud.interface.state_request(2, after(cloud.model, batch, 2), mask, codec)
    found = infer(server, request)
    (direct,) = cloud.run([cloud.interface.check(request)])
    np.testing.assert_allclose(found.outputs["logits"], direct.logits, atol=1e-5)


def test_many_clients_at_once_are_run_together_and_get_their_own_answers(server: Server, batch) -> None:
    cloud = server.cloud
    final = bare(cloud.model, batch)[:, -1]

    rows, requests = [i % 4 for i in range(60)], []
    for i, row in enumerate(rows):  # one after the other: a model runs in one thread at a time
        length, layer = int(batch["attention_mask"][row].sum()), i % 6
        part = {name: values[row : row + 1, :length] for name, values in batch.items()}
        if layer:
            state = after(cloud.model, part, layer)
            requests.append(cloud.interface.state_request(layer, state, part["attention_mask"]))
        else:
            requests.append(cloud.interface.tokens_request(part["input_ids"], part["attention_mask"]))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda request: infer(server, request), requests))
    for row, found in zip(rows, answers, strict=True):
        np.testing.assert_allclose(found.outputs["logits"][0], final[row], atol=1e-5)
    assert max(int(found.parameters["batch"]) for found in answers) > 1


# what is refused


def test_statuses(server: Server, batch) -> None:
    interface = server.cloud.interface
    good = interface.state_request(2, after(server.cloud.model, batch, 2), batch["attention_mask"])
    for parameters, status in (({"layer": 9}, 400), ({"codec": "zip"}, 400), ({"fingerprint": "no"}, 409)):
        with pytest.raises(ProtocolError) as caught:
            infer(server, Request(good.inputs, good.parameters | parameters))
        assert caught.value.status == status
    path = f"/v2/models/{NAME}"
    assert get(server, path + "/versions/2")[0] == get(server, "/v2/nothing")[0] == 404
    assert get(server, path + "/infer")[0] == 405
    status, body, _ = post(server, b"", {"Content-Length": str(10**12)})
    assert (status, "at most" in json.loads(body)["error"]) == (413, True)
    rows = np.ones((9, 1), np.int64)
    with pytest.raises(ProtocolError, match="at most 8 samples"):
        infer(server, interface.tokens_request(rows, rows))


def test_a_body_in_chunks_is_bounded_as_well(server: Server) -> None:
    with socket.create_connection(server.socket.getsockname()[:2], timeout=60) as raw:
        head = f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode())
        chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        try:
            for _ in range(2 + server.cloud.most // 2**20):
                raw.sendall(chunk)
        except OSError:  # it closes the connection
            pass
        answer = raw.recv(2**16)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_token() -> None:
    with serving.serving(NAME, token="s3cret") as server:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert get(server, path)[0] == 200
        for path in ("/v2", "/metrics", f"/v2/models/{NAME}", f"/v2/models/{NAME}/ready"):
            for wrong in (
                {},
                {"Authorization": "Bearer s3cre"},
                {"Authorization": "s3cret"},
                {"Authorization": "é"},
            ):
                status, body = get(server, path, **wrong)
                assert (status, json.loads(body)["error"].startswith("this server needs its token")) == (
                    401,
                    True,
                )
            assert get(server, path, Authorization="Bearer s3cret")[0] == 200
        assert post(server, b"{}", {})[0] == 401
        assert post(server, b"{}", {"Authorization": "Bearer s3cret"})[0] == 400


def test_a_request_on_which_the_model_fails_spoils_no_other(server: Server, batch, monkeypatch) -> None:
    run = server.cloud.resumer.finish

    def broken(parts):
        if any(len(part.mask) == 3 for part in parts):
            raise RuntimeError("boom")
        return run(parts)

    monkeypatch.setattr(server.cloud.resumer, "finish", broken)
    interface = server.cloud.interface
    bad = interface.tokens_request(batch["input_ids"][:3], batch["attention_mask"][:3])
    good = interface.tokens_request(batch["input_ids"], batch["attention_mask"])
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(infer, server, request) for request in (good, bad, good, bad, good)]
        for i, future in enumerate(futures):
            if i % 2:
                with pytest.raises(ProtocolError, match="the model fails on this request: boom") as caught:
                    future.result()
                assert caught.value.status == 500
            else:
                assert future.result().outputs["logits"].shape == (4, 2)


def test_metrics_count(server: Server, batch) -> None:
    def value(name: str) -> float:
        lines = get(server, "/metrics")[1].decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = value('splitee_samples_total{layer="0"}')
    infer(server, server.cloud.interface.tokens_request(batch["input_ids"], batch["attention_mask"]))
    assert value('splitee_samples_total{layer="0"}') == before + 4
    assert value("splitee_waiting_samples") == 0
    assert value("process_resident_memory_bytes") > 0


def test_the_log_says_what_each_request_was(server: Server, batch, caplog) -> None:
    caplog.set_level("INFO", "splitee.serve")
    infer(server, server.cloud.interface.tokens_request(batch["input_ids"], batch["attention_mask"]))
    with pytest.raises(ProtocolError):
        infer(server, Request({"x": np.zeros(1)}))
    good, bad = [record.fields for record in caplog.records if record.message == "infer"][-2:]
    assert (good["status"], good["layer"], good["samples"]) == (200, 0, 4)
    assert (bad["status"], bad["error"].startswith("no input is called 'x'")) == (400, True)


def test_too_many_waiting_samples_are_refused_for_now(batch) -> None:
    with serving.serving(NAME, limits=Limits(waiting=4, batch_rows=4)) as server:
        start, run = threading.Event(), server.cloud.resumer.finish
        server.cloud.resumer.finish = lambda parts: (start.wait(60), run(parts))[1]
        request = server.cloud.interface.tokens_request(batch["input_ids"], batch["attention_mask"])
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(infer, server, request) for _ in range(8)]
            serving.wait_for(lambda: sum(future.done() for future in futures) == 6)
            start.set()
            refused = [future.exception() for future in futures]
        assert sum(error is None for error in refused) == 2
        assert {error.status for error in refused if error is not None} == {503}


def test_an_open_request_is_answered_before_the_server_stops(batch) -> None:
    with serving.serving(NAME) as server:
        start, seen, run = threading.Event(), threading.Event(), server.cloud.resumer.finish

        def slow(parts):
            seen.set()
            start.wait(60)
            return run(parts)

        server.cloud.resumer.finish = slow
        request = server.cloud.interface.tokens_request(batch["input_ids"], batch["attention_mask"])
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(infer, server, request)
            assert seen.wait(60)
            server.should_exit = True
            start.set()
            assert future.result().outputs["logits"].shape == (4, 2)


@pytest.mark.slow
def test_the_command_serves_and_stops(tmp_path: Path) -> None:
    with serving.process(tmp_path) as running:
        assert running.interface().name == NAME
        assert running.stop() == 0
    assert running.lines()[-1]["level"] == "info"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = (
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2 -subj /CN=localhost"
    )
    made = subprocess.run([*words.split(), "-addext", "subjectAltName=IP:127.0.0.1"], capture_output=True)
    assert made.returncode == 0, made.stderr
    return cert, key


def test_tls(tmp_path: Path, server: Server) -> None:
    cert, key = certificate(tmp_path)
    cloud = Cloud(server.cloud.model, server.cloud.interface)
    with serving.serving(cloud, Listening(port=0, certificate=cert, key=key)) as secure:
        assert secure.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(f"{secure.url}/v2/health/ready", context=context) as answer:
            assert answer.status == 200
        with pytest.raises(OSError):
            get(secure, "/v2/health/ready")
    for wrong, line in (({"certificate": cert}, "give both"), ({"certificate": cert, "key": cert}, "in PEM")):
        with pytest.raises(InputError, match=line):
            Server(cloud, Listening(port=0, **wrong))
