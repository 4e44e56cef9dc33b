"""The device decides as a replay does, answers every sample once, and resumes after a kill."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pairs
import pytest
import serving
import toys

import splitee
from splitee._internal.errors import InputError
from splitee.runtime.halves import Half, open_half
from splitee.runtime.records import CLOUD, CUT, DEVICE, LATE
from splitee.runtime.replaying import replay
from splitee.runtime.setting import Rules
from splitee.trace import Trace

SYSTEM = splitee.System(
    splitee.DeviceProfile(layer_ms=2.0, exit_ms=0.5), splitee.Link(2.0, 5.0), codec="float32"
)
POLICIES = (
    "splitee",
    "splitee-s",
    "certified:0.3",
    "thompson",
    "cascade-split:2",
    "cloud-only",
    "deebert:0.3",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.checkpoint(tmp_path_factory.mktemp("pair") / "model")


@pytest.fixture(scope="module")
def half(checkpoint: Path) -> Half:
    return open_half(checkpoint, 3)


@pytest.fixture(scope="module")
def url(checkpoint: Path):
    with serving.serving(checkpoint) as server:
        yield server.url


@pytest.mark.parametrize("policy", POLICIES)
def test_a_log_replays_to_the_same_decisions(policy: str, half: Half, url: str, tmp_path: Path) -> None:
    """Under constant costs and in a system; from the device, from its journal, and from the log's file."""
    for name, changes in (
        ("costs", {"sends": "state"}),
        ("system", {"costs": None, "system": SYSTEM.to_dict()}),
    ):
        setting = pairs.setting_of(half, policy, **changes)
        device = pairs.opened(half, setting, tmp_path / name, url)
        records = pairs.play(device, pairs.sentences(60))
        assert all(one.by for one in records)
        assert not any(one.lost for one in records)
        assert replay(device.rules, records) is None
        pairs.shut(device)
        if policy in ("splitee", "certified:0.3", "cloud-only"):
            assert any(one.by == CLOUD for one in records)


def test_the_answers_are_those_of_the_whole_model(
    checkpoint: Path, half: Half, url: str, tmp_path: Path
) -> None:
    """Decisions are those of a replay over the model's trace, answers those of its exits."""
    texts = pairs.sentences(80)
    whole = open_half(checkpoint)
    said = [[saying(whole, text, i) for i in range(1, 5)] for text in texts]
    trace = Trace([[c for c, _ in row] for row in said], [[p for _, p in row] for row in said])
    costs = splitee.CostModel(offload=3.0, device_layers=3)
    for sends in ("state", "input"):
        setting = pairs.setting_of(half, "splitee", sends=sends, codec="float32")
        device = pairs.opened(half, setting, tmp_path / sends, url)
        records = pairs.play(device, texts)
        pairs.shut(device)
        result = splitee.replay(
            trace, splitee.SplitEE(0.8), costs, mu=0.1, repeats=1, orders=[range(len(texts))]
        )
        assert [one.layer for one in records] == result.split[0].tolist()
        assert [one.offloaded for one in records] == result.offloaded[0].tolist()
        for one, row in zip(records, said, strict=True):
            confidence, prediction = row[3] if one.offloaded else row[one.layer - 1]
            assert one.prediction == prediction
            assert abs(one.confidence - confidence) < 1e-4
            assert one.sends == (sends if one.offloaded else "")


def saying(half: Half, text: list[str], exit_: int) -> tuple[float, int]:
    from splitee.runtime.halves import said

    found = said(half, half.advance(half.encode(text), exit_))
    return found.confidence, found.prediction


def test_a_changed_decision_is_the_first_that_differs(half: Half, url: str, tmp_path: Path) -> None:
    device = pairs.opened(half, pairs.setting_of(half), tmp_path / "journal", url)
    records = pairs.play(device, pairs.sentences(40))
    pairs.shut(device)
    at = next(row for row in range(20, 40) if not records[row].offloaded)
    for changed in (
        replace(records[at], offloaded=True),
        replace(records[at], exits=records[at].exits[:-1]),
        replace(records[at], confidences=(0.5,) * len(records[at].exits)),
        replace(records[at], known=99),
    ):
        found = replay(device.rules, [*records[:at], changed, *records[at + 1 :]])
        assert found is not None
        assert found.t == at + 1
    other = Rules(replace(device.rules.setting, threshold=0.55))
    assert "in round" in str(replay(other, records))


def test_without_a_cloud_the_device_answers(half: Half, tmp_path: Path) -> None:
    for policy in ("splitee", "cloud-only", "certified:0.2"):
        device = pairs.opened(half, pairs.setting_of(half, policy), tmp_path / policy)
        records = pairs.play(device, pairs.sentences(30))
        assert all(one.by == DEVICE for one in records)
        assert {one.lost for one in records if one.offloaded} == {CUT}
        assert all((one.late is not None) == (one.offloaded and not one.exits) for one in records)
        assert replay(device.rules, records) is None
        pairs.shut(device)


def test_an_answer_that_is_too_late_is_given_by_the_device(half: Half, url: str, tmp_path: Path) -> None:
    setting = pairs.setting_of(half, "cloud-only", deadline=1e-3)
    device = pairs.opened(half, setting, tmp_path / "journal", url)
    records = pairs.play(device, pairs.sentences(10))
    pairs.shut(device)
    assert {(one.by, one.lost, one.late[0]) for one in records} == {(DEVICE, LATE, 3)}


def test_a_killed_device_goes_on_where_it_was(half: Half, url: str, tmp_path: Path) -> None:
    """Whatever line the kill came after: nothing acknowledged is lost, later decisions are the same."""
    texts, setting = pairs.sentences(30), pairs.setting_of(half, "certified:0.3", sends="state")
    device = pairs.opened(half, setting, tmp_path / "whole", url)
    expected = pairs.decisions(pairs.play(device, texts))
    pairs.shut(device)
    data = (tmp_path / "whole").read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    cuts = [ends[0], ends[1], ends[12], ends[-2], *(ends[k] - 7 for k in (5, 20, 33))]
    for cut in (cut for cut in cuts if cut < len(data)):
        journal = tmp_path / f"cut-{cut}"
        journal.write_bytes(data[:cut])
        device = pairs.opened(half, setting, journal, url)
        acknowledged = {one.id: one.prediction for one in device.records if one.by}
        records = pairs.play(device, texts)
        pairs.shut(device)
        assert pairs.decisions(records) == expected
        assert all(one.by for one in records)
        assert {one.id: one.prediction for one in records if one.id in acknowledged} == acknowledged
        assert sorted(one.order for one in records) == list(range(1, len(texts) + 1))
        assert replay(device.rules, records) is None


def test_answers_that_come_in_another_order(half: Half, url: str, tmp_path: Path) -> None:
    """The device goes on while answers are on their way; every sample is answered once."""
    answered: list[str] = []
    guard = threading.Lock()

    def reply(record) -> None:
        with guard:
            answered.append(record.id)

    device = pairs.opened(
        half, pairs.setting_of(half, "splitee-s", exploration=3.0), tmp_path / "journal", url
    )
    for row, text in enumerate(pairs.sentences(60)):
        device.take(text, str(row), reply=reply)
    device.finish()
    pairs.shut(device)
    assert sorted(map(int, answered)) == list(range(60))
    assert [one.id for one in sorted(device.records, key=lambda one: one.order)] == answered
    assert replay(device.rules, device.records) is None


def test_what_does_not_fit_the_device(half: Half, url: str, checkpoint: Path, tmp_path: Path) -> None:
    for policy, line in (("exit:4", "needs exit 4"), ("exits", "stands for 4"), ("oracle", "cannot run")):
        with pytest.raises(InputError, match=line):
            pairs.opened(half, pairs.setting_of(half, policy), tmp_path / "journal")
    other = dict(half.facts, fingerprint="0" * 64)
    stranger = type("Other", (), {"facts": other})()
    with pytest.raises(InputError, match="need the same checkpoint"):
        pairs.opened(stranger, pairs.setting_of(stranger), tmp_path / "journal", url)
    with pytest.raises(InputError, match="give an address"):
        pairs.opened(half, pairs.setting_of(half), tmp_path / "journal", "localhost")


def test_the_rate_of_a_link_is_measured(half: Half, url: str, tmp_path: Path) -> None:
    link = splitee.Link(time_s=[0, 1], mbit_s=[1.0, 2.0], rtt=0.0)
    system = replace(SYSTEM, link=link, sends="state").to_dict()
    device = pairs.opened(
        half, pairs.setting_of(half, "split:2", costs=None, system=system), tmp_path / "j", url
    )
    records = pairs.play(device, pairs.sentences(20))
    pairs.shut(device)
    rates = np.array([one.rate for one in records])
    assert rates[0] == 1500.0
    assert len(set(rates.tolist())) > 1
    assert replay(device.rules, records) is None
