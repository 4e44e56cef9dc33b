"""A live pair of toys for tests: texts, the device's half, and what a run of it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import toys

from splitee.runtime.connection import Connection
from splitee.runtime.device import Device
from splitee.runtime.halves import Half
from splitee.runtime.interfaces import interface_of
from splitee.runtime.journal import Journal
from splitee.runtime.records import Record
from splitee.runtime.setting import Rules, Setting


def sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Texts of 1 to 15 words of the toys."""
    rng = np.random.default_rng(seed)
    return [[" ".join(rng.choice(toys.WORDS, rng.integers(1, 16)))] for _ in range(count)]


def setting_of(half: Half, policy: str = "splitee-s", **changes: Any) -> Setting:
    """A setting under constant costs."""
    given = {"threshold": 0.8, "costs": {"offload": 3.0}, **changes}
    return Setting(model=dict(half.facts), policy=policy, **given)


def opened(
    half: Half,
    setting: Setting,
    journal: Path,
    url: str | None = None,
    say: Callable[[str], object] = lambda line: None,
    **options: Any,
) -> Device:
    """A device; the caller ends it with `shut`."""
    connection = None if url is None else Connection(url, interface_of(half.facts), say=say, **options)
    head = {"setting": setting.to_dict(), "input": "test"}
    return Device(half, Rules(setting), connection, Journal(journal, head))


def shut(device: Device) -> None:
    if device.connection is not None:
        device.connection.close()
    device.journal.close()


def play(device: Device, texts: list[list[str]]) -> list[Record]:
    """One at a time, from where the journal ends."""
    device.finish()
    for row in range(len(device.records), len(texts)):
        device.wait(device.take(texts[row], str(row)))
    return device.records


def decisions(records: list[Record]) -> list[tuple[Any, ...]]:
    return [(one.id, one.exits, one.offloaded) for one in records]
