"""Kill -9 on either half: no acknowledged answer is lost or given twice, and decisions go on as before."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pairs
import photos
import pytest
import serving
import toys
from commands import environment

from splitee.data.images import load_images
from splitee.runtime.exporting import export_half
from splitee.runtime.halves import open_half
from splitee.runtime.log import load_log
from splitee.runtime.records import CLOUD
from splitee.runtime.replaying import replay
from splitee.runtime.serving import Listening
from splitee.runtime.setting import Rules

TEXTS = 120
KILLS = int(os.environ.get("SPLITEE_KILLS", "2"))  # docs/live.md has what 20 gave


def command(half: Path, url: str, source: list[str], out: Path, policy: str) -> list[str]:
    return [
        *(sys.executable, "-m", "splitee", "device", str(half), "--cloud", url, "--policy", policy, *source),
        *("--out", str(out), "--threshold", "0.8", "--offload", "1", "--sends", "state", "--json"),
    ]


def run_killed(words: list[str], kills: int, seed: int) -> list[dict]:
    """Run a device, kill it so often while it works, and run it again; return what it acknowledged."""
    rng, told = random.Random(seed), []
    for killing in [True] * kills + [False]:
        running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
        until = rng.randrange(1, 2 * TEXTS // (kills + 1)) if killing else TEXTS + 1
        for count, line in enumerate(running.stdout, 1):
            told.append(json.loads(line))
            if count == until and killing:
                time.sleep(rng.random() * 0.003)  # in the midst of a later sample
                os.kill(running.pid, signal.SIGKILL)
                told += [json.loads(line) for line in running.stdout if line.endswith("}\n")]
                break
        running.stdout.close()
        assert running.wait() == (-signal.SIGKILL if killing else 0)
    return told


def texts(folder: Path) -> tuple[Path, list[Any], list[str]]:
    """A model, the samples, and the options that name them."""
    found = pairs.sentences(TEXTS)
    lines = "\n".join(text for (text,) in found)
    (folder / "t.csv").write_text(f"text\n{lines}\n")
    return toys.checkpoint(folder / "model"), found, ["--text", str(folder / "t.csv")]


def images(folder: Path) -> tuple[Path, list[Any], list[str]]:
    """The same of images."""
    found = load_images(photos.folder(folder / "pets", TEXTS))
    return photos.resnet(folder / "model"), list(found.data), ["--images", str(folder / "pets")]


def killed_device(folder: Path, policy: str, kills: int, kind: Callable[[Path], Any] = texts) -> None:
    model, samples, source = kind(folder)
    export_half(model, folder / "half", 2)
    with serving.serving(model) as server:
        words = command(folder / "half", server.url, source, folder / "killed.parquet", policy)
        told = run_killed([*words, "--cloud-model", "model"], kills, 1)
        log = load_log(folder / "killed.parquet")
        device = pairs.opened(open_half(folder / "half"), log.setting, folder / "journal", server.url)
        whole = pairs.decisions(pairs.play(device, samples))
        pairs.shut(device)
    assert [one[1:] for one in pairs.decisions(log.records)] == [one[1:] for one in whole]  # ids differ
    answers = {one["id"]: one for one in told if "id" in one}
    assert len([one for one in told if "id" in one]) == len(answers)  # none twice
    classes = log.setting.model["classes"]
    for one in log.records:
        assert one.by
        if one.id in answers:
            assert answers[one.id]["class"] == classes[one.prediction]
            assert answers[one.id]["by"] == one.by
    assert replay(Rules(log.setting), log.records) is None


def killed_cloud(folder: Path, kills: int, seed: int) -> list[float]:
    """Kill the cloud at random moments and start it again; return the seconds until it answers again."""
    model = toys.checkpoint(folder / "model")
    half, rng, back = open_half(model, 3), random.Random(seed), []
    answered: dict[str, int] = {}

    def reply(record) -> None:
        answered[record.id] = answered.get(record.id, 0) + 1

    with serving.process(folder, model) as first:
        port = int(first.url.rpartition(":")[2])
        device = pairs.opened(
            half, pairs.setting_of(half, "split:2", threshold=1.0), folder / "journal", first.url
        )
        texts, server, running, row = pairs.sentences(50), first, [], 0

        def go_on(until) -> None:
            nonlocal row
            while not until():
                device.wait(device.take(texts[row % 50], str(row), reply=reply))
                row += 1

        for _ in range(kills):
            at = row + rng.randrange(5, 30)
            go_on(lambda: row >= at)  # noqa: B023
            server.popen.kill()  # while the device works
            go_on(lambda: device.connection.gone)
            server.popen.wait()
            again = serving.process(folder, model, port=port)
            server = again.__enter__()
            running.append(again)
            ready = time.monotonic()
            go_on(lambda: device.records[-1].by == CLOUD)
            back.append(time.monotonic() - ready)
        go_on(lambda: row >= at + 30)
        device.finish()
        for one in running:
            one.__exit__(None, None, None)
    assert answered == {str(k): 1 for k in range(row)}
    assert all(one.by for one in device.records)
    assert replay(device.rules, device.records) is None
    pairs.shut(device)
    return back


def test_a_cloud_that_stops_and_comes_back(tmp_path: Path) -> None:
    model = toys.checkpoint(tmp_path / "model")
    half, said, row = open_half(model, 3), [], 0
    with serving.serving(model) as server:
        url, port = server.url, int(server.url.rpartition(":")[2])
        setting = pairs.setting_of(half, "split:2", threshold=1.0)
        device = pairs.opened(half, setting, tmp_path / "journal", url, said.append)
        assert [device.wait(device.take(text, "a")).by for text in pairs.sentences(5)] == [CLOUD] * 5
    records = [device.wait(device.take(text, "b")) for text in pairs.sentences(5)]
    assert {(one.by, one.lost) for one in records} == {("device", "cut")}
    with serving.serving(model, Listening(port=port)):
        while device.records[-1].by != CLOUD:
            device.wait(device.take(pairs.sentences(1)[0], "c"))
            row += 1
            time.sleep(0.01)
    pairs.shut(device)
    assert ["is gone" in line or "is back" in line for line in said] == [True] * 2
    assert replay(device.rules, device.records) is None


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["splitee", "certified:0.3"])
@pytest.mark.parametrize("kind", [texts, images])
def test_a_device_killed_several_times(kind: Callable[[Path], Any], policy: str, tmp_path: Path) -> None:
    killed_device(tmp_path, policy, KILLS, kind)


@pytest.mark.slow
def test_a_cloud_killed_several_times(tmp_path: Path) -> None:
    back = killed_cloud(tmp_path, KILLS, 1)
    print("seconds until the cloud answers again:", [round(one, 2) for one in back])
