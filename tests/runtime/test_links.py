"""A device behind a slow link: the clock of the System is that of the wire, and an outage is answered."""

import time
from pathlib import Path

import numpy as np
import pairs
import serving
import toys

import splitee
from splitee.runtime.halves import open_half
from splitee.runtime.predicting import measured, predicted
from splitee.runtime.records import CLOUD, CUT
from splitee.runtime.relay import relaying
from splitee.runtime.replaying import replay
from splitee.runtime.setting import Rules


def test_a_slow_link_takes_as_long_as_the_system_says(tmp_path: Path) -> None:
    """At least as long: the relay's clock, to which a busy machine adds."""
    half = open_half(toys.checkpoint(tmp_path / "model"), 2)
    link = splitee.Link(0.1, 30.0)
    system = splitee.System(splitee.DeviceProfile(layer_ms=0.01), link, sends="state", codec="float32")
    setting = pairs.setting_of(half, "split:2", threshold=1.0, costs=None, system=system.to_dict())
    with serving.serving(tmp_path / "model") as server, relaying(server.url, link) as address:
        device = pairs.opened(half, setting, tmp_path / "journal", address)
        records = pairs.play(device, pairs.sentences(8))
        pairs.shut(device)
    assert {one.by for one in records} == {CLOUD}
    least = [30.0 + 8 * one.bytes / 100.0 for one in records]
    assert all(one.latency >= one_least for one, one_least in zip(records, least, strict=True))
    found = predicted(Rules(setting), system, records, one_at_a_time=True)
    assert found["latency_p50"] <= measured(records)["latency_p50"]
    assert found["latency_p50"] > 30.0
    assert replay(device.rules, records) is None


def test_an_outage_of_the_link(tmp_path: Path) -> None:
    half = open_half(toys.checkpoint(tmp_path / "model"), 2)
    link = splitee.Link(5.0, 2.0, [(0.0, 1.5)])
    with serving.serving(tmp_path / "model") as server, relaying(server.url, link) as address:
        setting = pairs.setting_of(half, "split:2", threshold=1.0)
        device = pairs.opened(half, setting, tmp_path / "journal", address)
        (first,) = pairs.play(device, pairs.sentences(1))
        assert first.lost == CUT
        while device.records[-1].by != CLOUD:
            device.wait(device.take(pairs.sentences(1)[0], str(len(device.records))))
            time.sleep(0.01)
        pairs.shut(device)
    orders = np.array([one.order for one in device.records])
    assert (orders == np.arange(1, len(orders) + 1)).all()
    assert replay(device.rules, device.records) is None
