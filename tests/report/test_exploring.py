"""`splitee explore`: the page holds what a plan is made of, and answers what `splitee plan` prints."""

import base64
import json
import re
import shlex
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import collected
from click.testing import CliRunner

import splitee
from splitee._internal.errors import InputError
from splitee.cli import cli
from splitee.report import exploring
from splitee.report.exploring import contents, explore_page
from splitee.report.planning import Limits, halves, plan

DEVICE = splitee.DeviceProfile(15, 1)
STUB = """
const view = new Proxy({ container: () => document.body }, {
  get: (own, name) => own[name] ?? ((...given) => (name === "runAsync" ? Promise.resolve(view) : view)),
});
window.vegaEmbed = async () => ({ view });
"""


@pytest.fixture
def no_vega(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages whose charts draw nothing, made without the extra: Vega takes seconds to write."""
    monkeypatch.setattr(exploring, "need_explore_extra", lambda: None)
    monkeypatch.setattr(exploring, "_vega", lambda: STUB)
    monkeypatch.setattr(exploring, "_vega_version", lambda: "0")


def unpacked(document: dict[str, Any], half: str) -> tuple[np.ndarray, np.ndarray]:
    """Return k of each sample, and the thresholds reached by sample and layer."""
    raw = zlib.decompress(base64.b64decode(document["halves"][half]["packed"]))
    n = document["halves"][half]["samples"]
    levels = np.frombuffer(raw, np.uint8, offset=2 * n).reshape(document["layers"], n)
    return np.frombuffer(raw, "<u2", count=n), levels.T


def replayed(document: dict[str, Any], half: str, rule: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return latency and KB of each sample, from nothing but the page: an oracle for its scripts."""
    kind, levels = unpacked(document, half)
    family, layer, place = rule
    settings, layers = document["settings"], document["layers"]
    stop, offloaded = np.full(len(kind), layer), np.full(len(kind), family == 0)
    sure = levels > place
    if family == 3:
        before = np.column_stack([sure[:, : layer - 1], np.ones(len(kind), dtype=bool)])
        stop = before.argmax(axis=1) + 1
    if family >= 2 and layer < layers:
        offloaded = (stop == layer) & ~sure[:, layer - 1]
    if document["device"] is None:
        exits = stop if family == 3 else np.minimum(stop, 1)
        ms = np.append(0, document["exit_layers"])[stop] * settings["layer_ms"] + exits * settings["exit_ms"]
        ms = ms + (stop > 0) * np.array(document["tokenize_ms"])[kind]
    else:
        ms = np.array(document["device"])[int(family == 3), kind, stop]
    rate = settings["uplink"] * 1e3
    cloud = np.broadcast_to(np.array(document["cloud_ms"]), (len(document["input_bits"]), layers + 1))
    bits = np.array(document["input_bits"])[kind]
    back = bits / rate + cloud[kind, 0]
    state_bits = np.array([np.inf if b is None else b for b in document["state_bits"]])[kind]
    state = np.array(document["encode_ms"])[kind] + state_bits / rate + cloud[kind, stop]
    sent = (stop > 0) & ((document["sends"] == "state") | ((document["sends"] == "cheaper") & (state < back)))
    latency = ms + offloaded * (np.where(sent, state, back) + settings["rtt"])
    return latency, np.where(offloaded, np.where(sent, state_bits, bits), 0) / 8e3


@pytest.mark.parametrize(
    "system",
    [
        splitee.System(DEVICE, splitee.Link(50, 20), 400, device_layers=5),
        splitee.System(
            splitee.DeviceProfile.load("mpnet_base_epyc_1_thread"),
            splitee.Link(8, 60),
            sends="state",
            codec="int8",
        ),
    ],
    ids=["regular", "profile"],
)
def test_the_page_holds_what_a_plan_is_made_of(system: splitee.System) -> None:
    trace = splitee.load_trace("rte_validation")
    document = json.loads(json.dumps(contents(trace, system, Limits(2))))
    found = plan(trace, system, Limits(2))
    held = [n for n, rule in enumerate(document["rules"]) if rule[1] <= document["settings"]["layers"]]
    assert len(held) == len(found.every)
    for number, one in zip(held, found.every, strict=True):
        rule = document["rules"][number]
        name = document["names"][rule[0]] + (f" {rule[1]}" if rule[1] else "")
        alpha = document["alphas"][rule[2]] if rule[2] >= 0 else None
        assert (name, alpha) == (one.policy.label, getattr(one.policy, "threshold", None))
        for half, row in (("chosen", one.chosen_on), ("judged", one.judged_on)):
            latency, kilobytes = replayed(document, half, rule)
            assert latency.mean() == pytest.approx(row.latency, rel=1e-12)
            assert np.quantile(latency, 0.95, method="inverted_cdf") == pytest.approx(
                row.latency_p95, rel=1e-12
            )
            assert kilobytes.mean() == pytest.approx(row.kilobytes, rel=1e-12)
            assert document["lost"][half][number] == pytest.approx(
                [row.drop, row.drop_low, row.drop_high], abs=1e-9
            )
    assert [document["halves"][half]["samples"] for half in ("chosen", "judged")] == [
        len(half) for half in halves(trace.samples)
    ]


def test_a_trace_without_labels_and_lengths(no_vega: None) -> None:
    known = splitee.load_trace("rte_validation")
    trace = splitee.Trace(
        known.confidence,
        known.prediction,
        name="</script><b>",
        manifest={"exit_layers": [*range(2, 25, 2)]},
    )
    document = contents(trace, splitee.System(DEVICE, tokens=30), Limits())
    assert (document["labelled"], document["state_bits"], document["input_bits"]) == (False, [None], [960.0])
    page = explore_page(trace, splitee.System(DEVICE, tokens=30), Limits())
    assert "</script><b>" not in page


def test_the_page_loads_nothing(no_vega: None) -> None:
    page = explore_page(splitee.load_trace("rte_validation"), splitee.System(DEVICE), Limits())
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)\s*=|@import|url\(""", page)
    assert len(page) < 100_000


@pytest.mark.parametrize(
    ("options", "limits", "what"),
    [
        ({"link": splitee.Link(time_s=[0, 1], mbit_s=[1.0, 2.0])}, Limits(), "a link whose rate changes"),
        ({"link": splitee.Link(outages=[(1, 2)])}, Limits(), "outages"),
        ({"arrivals": "3/s"}, Limits(), "arrivals"),
        ({"arrivals": 50}, Limits(), "arrivals"),
        ({"deadline": 100}, Limits(), "a deadline"),
        ({"weights": {"ms": 1, "KB": 2}}, Limits(), "weights"),
        ({}, Limits(max_mj=3), "a limit of energy"),
    ],
)
def test_what_the_page_does_not_know_is_refused(options: dict[str, Any], limits: Limits, what: str) -> None:
    with pytest.raises(InputError, match=f"not {what}") as error:
        contents(splitee.load_trace("rte_validation"), splitee.System(DEVICE, **options), limits)
    assert "\n" not in str(error.value)


def test_too_many_sizes_are_refused() -> None:
    trace = splitee.load_trace("imdb")
    system = splitee.System(DEVICE, input_bytes=np.arange(trace.samples) + 100.0)
    with pytest.raises(InputError, match="25,000 different lengths and sizes, the page holds at most 4,096"):
        exploring._kinds(system.on(trace))


def test_without_the_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exploring, "find_spec", lambda name: None)
    done = CliRunner().invoke(
        cli, ["explore", "rte_validation", "--layer-ms", "1", "--out", str(tmp_path / "p.html")]
    )
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "this command needs vl-convert-python: pip install 'splitee[explore]'"


COLLECT = """out.push({
  command: document.getElementById("command").textContent,
  what: document.getElementById("what").firstChild.textContent,
  answer: JSON.parse(document.body.dataset.answer),
  layer_ms: document.getElementById("layer_ms_number").value,
});"""
FRAGMENTS = [
    "uplink=0.2&rtt=300&max_drop=4",
    "uplink=80&rtt=2&layer_ms=12.5&exit_ms=0.5&max_drop=3&layers=9",
    "layer_ms=1&layers=4&max_p95=3",
    "layers=12&layer_ms=60&max_p95=none&rtt=60&uplink=1&max_drop=12",
    "uplink=-1&rtt=zwei&layers=99&max_drop=&unknown=5",  # ignored
]


@pytest.mark.slow
def test_in_a_browser_it_answers_what_plan_prints(no_vega: None, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    made = CliRunner().invoke(
        cli,
        shlex.split(
            f"explore sst2_validation --layer-ms 15 --exit-ms 1 --cloud-ms 100 --max-drop 2 --out '{page}'"
        ),
        catch_exceptions=False,
    )
    assert made.exit_code == 0
    visited = "".join(f"location.hash = {json.dumps(one)}; await wait(); {COLLECT}" for one in FRAGMENTS)
    moved = """
    const slider = document.getElementById("layer_ms");
    slider.value = 150; slider.dispatchEvent(new Event("input")); await wait();"""
    first, *at_fragments, at_slider = collected(page, COLLECT + visited + moved + COLLECT, "#rtt=100")
    assert "--rtt 100 " in first["command"]
    assert at_fragments[-1] == at_fragments[-2]
    assert float(at_slider["layer_ms"]) != float(at_fragments[-1]["layer_ms"])
    assert at_slider["answer"] != at_fragments[-1]["answer"]
    answers = []
    for shown in (first, *at_fragments[:-1], at_slider):
        words = shlex.split(shown["command"])
        assert words[:5] == ["splitee", "plan", "sst2_validation", "--cloud-ms", "100"]
        done = CliRunner().invoke(cli, [*words[1:], "--json"], catch_exceptions=False)
        planned = json.loads(done.stdout)
        answers.append(planned["answer"])
        if planned["answer"] is None:
            assert shown["answer"] is None
            continue
        assert shown["answer"].keys() < planned["answer"].keys()
        expected = {name: planned["answer"][name] for name in shown["answer"]}
        for answer in (expected, shown["answer"]):
            assert answer.pop("policy") == planned["answer"]["policy"]
            assert answer.pop("threshold") == planned["answer"]["threshold"]
        assert shown["answer"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert planned["sentences"][0].startswith(shown["what"].rstrip(".") + ": ")
    assert len({json.dumps(answer and answer["policy"]) for answer in answers}) >= 4


@pytest.mark.slow
def test_in_a_browser_charts_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    device = splitee.DeviceProfile.load("mpnet_base_epyc_1_thread")
    system = splitee.System(device, splitee.Link(8, 60), cloud=30)
    trace = splitee.load_trace("sst2_validation")
    page = tmp_path / "page.html"
    page.write_text(explore_page(trace, system, Limits(2)), encoding="utf-8")
    assert page.stat().st_size < 1.5e6
    script = """
    await wait(); await wait(); await wait();
    const inks = () => [...document.querySelectorAll("canvas")].map((canvas) => {
      const { width, height } = canvas;
      const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      return { width, seen: pixels.filter((value, i) => i % 4 === 3 && value).length / (width * height),
               sum: pixels.reduce((sum, value) => sum + value, 0) };
    });
    out.push(inks());
    location.hash = "speed=0.2&max_drop=6";
    await wait(); await wait(); await wait(); await wait();
    out.push(inks(), JSON.parse(document.body.dataset.answer));
    const canvas = document.querySelector("#map canvas"), box = canvas.getBoundingClientRect();
    const at = { clientX: box.left + 0.3 * box.width, clientY: box.top + 0.2 * box.height, bubbles: true };
    for (const Kind of [PointerEvent, MouseEvent])
      for (const name of Kind === MouseEvent ? ["mousemove", "mousedown", "mouseup", "click"]
        : ["pointermove", "pointerdown", "pointerup"]) canvas.dispatchEvent(new Kind(name, at));
    await wait(); await wait();
    for (const name of ["uplink", "speed"]) out.push(document.getElementById(`${name}_number`).value);"""
    before, after, answer, *clicked = collected(page, script)
    uplink, speed = map(float, clicked)
    assert uplink < 5, "a click left of the middle"
    assert speed > 3, "and high up"
    assert len(before) == len(after) == 2
    for chart, later in zip(before, after, strict=True):
        assert chart["width"] > 250
        assert chart["seen"] > 0.05
        assert chart["sum"] != later["sum"]
    times = ("layer_ms", "exit_ms", "tokenize_ms")
    faster = replace(device, **{name: np.asarray(getattr(device, name)) * 0.2 for name in times})
    found = plan(trace, replace(system, device=faster), Limits(6))
    assert found.answer is not None
    assert (answer["policy"], answer["latency"]) == (
        found.answer.policy.label, pytest.approx(found.answer.judged_on.latency, rel=1e-9),
    )  # fmt: skip
