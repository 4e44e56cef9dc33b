"""What this machine is, and the energy that its processor has used, as far as the system reports them."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
POWERCAP = Path("/sys/class/powercap")


def describe_machine(cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """Return the processor's name, its cores, and their mean frequency in MHz; None if unknown."""
    text = ""
    with suppress(OSError):
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    named = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    mhz = [float(found) for found in re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", text, re.MULTILINE)]
    return {
        "processor": (named[1].strip() if named else platform.processor()) or platform.machine(),
        "cores": os.cpu_count(),
        "mhz": round(sum(mhz) / len(mhz)) if mhz else None,
    }


class EnergyCounter:
    """The energy of all processor packages since the counter was made, from RAPL (Linux, mostly root only).

    Parameters
    ----------
    folder : Path
        Where the system shows RAPL's counters.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._used = 0.0
        self._last: dict[Path, int] = {}
        self._range: dict[Path, int] = {}
        packages = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        try:
            for zone in packages:
                file = zone / "energy_uj"
                self._range[file] = int((zone / "max_energy_range_uj").read_text())
                self._last[file] = int(file.read_text())
        except (OSError, ValueError):
            self._last = {}

    @property
    def readable(self) -> bool:
        """Whether there are counters that this process may read."""
        return bool(self._last)

    def joules(self) -> float:
        """Return the joules since the counter was made.

        A counter that wraps is recognised if this is called at least once per wrap (a minute or more).
        """
        for file, before in self._last.items():
            now = int(file.read_text())
            self._used += (now - before) % (self._range[file] + 1) / 1e6
            self._last[file] = now
        return self._used
