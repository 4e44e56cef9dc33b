"""Texts from rows that arrive over time, from an HTTP endpoint, and a stop in order."""

import http.client
import json
import threading
import time
from pathlib import Path

import pairs
import pytest
import toys

from splitee._internal.errors import InputError
from splitee.runtime.halves import Half, open_half
from splitee.runtime.replaying import replay
from splitee.runtime.running import Stop, endpoint, run_rows, run_stream


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Half:
    return open_half(toys.checkpoint(tmp_path_factory.mktemp("toy") / "model"), 2)


def test_rows_arrive_when_they_do(half: Half, tmp_path: Path) -> None:
    device = pairs.opened(half, pairs.setting_of(half, "exit:2", one_at_a_time=False), tmp_path / "journal")
    texts = pairs.sentences(20)
    arrivals = [3.0 * (row // 4) for row in range(20)]
    run_rows(device, texts, [str(row) for row in range(20)], None, arrivals, Stop())
    assert [one.arrived for one in device.records] == arrivals
    assert device.records[0].waiting >= 0
    assert all(one.began >= one.arrived for one in device.records)
    assert replay(device.rules, device.records) is None
    pairs.shut(device)


def test_a_stop_finishes_the_sample_at_hand(half: Half, tmp_path: Path) -> None:
    device, stop = pairs.opened(half, pairs.setting_of(half, "exit:1"), tmp_path / "journal"), Stop()

    def reply(record) -> None:
        stop.asked = record.t == 3

    run_rows(device, pairs.sentences(9), list("abcdefghi"), None, None, stop, reply)
    assert [one.id for one in device.records] == ["a", "b", "c"]
    pairs.shut(device)


def ask(port: int, method: str, path: str, body: bytes | str = b"", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_the_endpoint_answers_texts_and_refuses_the_rest(half: Half, tmp_path: Path) -> None:
    device, stop = pairs.opened(half, pairs.setting_of(half, "cloud-only"), tmp_path / "journal"), Stop()
    with endpoint(device, "127.0.0.1", 0) as (source, port):
        thread = threading.Thread(target=run_stream, args=(device, source, stop))
        thread.start()
        until = time.monotonic() + 20
        while ask(port, "POST", "/", "good w1")[0] == 503:
            assert time.monotonic() < until
        status, found = ask(
            port, "POST", "/", json.dumps({"text": ["good", "w3"]}), Content_Type="application/json"
        )
        assert (status, found["by"], found["lost"], found["exit"]) == (200, "device", "cut", 2)
        for body, kind in (
            (b"\xff\xfe", "text/plain"),
            (b"{", "application/json"),
            (b"[1]", "application/json"),
        ):
            assert ask(port, "POST", "/", body, Content_Type=kind)[0] == 400
        assert ask(port, "POST", "/", b" ")[0] == 400
        assert ask(port, "POST", "/", b"x", Content_Length="9" * 8)[0] == 413
        assert ask(port, "GET", "/nothing")[0] == 404
        assert ask(port, "GET", "/status")[1]["cloud"] == "gone"
        with pytest.raises(InputError, match="cannot be listened on"), endpoint(device, "127.0.0.1", port):
            pass
        stop.asked = True
        stop.wake()
        thread.join(30)
        assert not thread.is_alive()
    assert [one.by for one in device.records] == ["device"] * len(device.records)
    pairs.shut(device)
