"""Where splitting pays, for text: the cheapest rule of every kind on devices, links and clouds.

python experiments/system/pays.py DATA_ROOT [--work FOLDER]

Five bundled traces × three device profiles × ten links × what is offloaded × half or all layers on the device × a cloud
that is free or a server. Larger states than int8's, and states to a free cloud, are offloaded on IMDb only, unless
--every says so. `splitee.report.planning.plan` chooses rules on one half of the samples (at most 1 point lost,
at the upper end of the interval) and judges them on the other. Then the round trip varies, on one link.

Every finished cell is a file in FOLDER, so that an interrupted run resumes. Writes results/pays.parquet (the links),
results/round_trips.csv and, to be read, tables in results/tables (`pays_tables.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from pays_tables import write_csv, write_tables

import splitee
from splitee._internal.files import atomic_path
from splitee.report.planning import Judged, Limits, cheapest, plan

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TRACES = ("imdb", "qqp", "snli", "scitail", "yelp_sentences")
DEVICES = ("pixel_4_bert_base", "mpnet_base_epyc_1_thread", "c5_9xlarge_bert_base")
SERVER = "c5_9xlarge_bert_base"
UPLINKS = (
    "tmobile-lte-short", "orange-4g-highway", "verizon-lte-short", "orange-4g-a", "att-lte-driving-2016",
    "tmobile-umts-driving", "att-lte-driving",
)  # fmt: skip
CONSTANT = {"Wi-Fi": 18.88, "4G": 5.85, "3G": 1.1}  # Mbit/s, mean uplinks of the literature
RTT = 85.0  # ms: the median of the 720 round trips in networks/rtt_5g.csv
ROUND_TRIPS = (2.5, 5.0, 10.0, 20.0, 40.0, 85.0, 160.0, 320.0, 640.0, 1280.0)
FIRST = [("input", "server"), ("int8", "server"), ("input", "free")]
REST = [
    ("float16", "server"),
    ("float32", "server"),
    ("int8", "free"),
    ("float16", "free"),
    ("float32", "free"),
]
ALPHAS = (0.7, 0.8, 0.9, 0.95, 0.99)
ROUNDS = 2000  # of each half
LIMITS = Limits(max_drop=1.0)


@dataclass(frozen=True)
class Cell:
    """What one plan is made for."""

    trace: str
    device: str
    link: str
    rtt: float
    payload: str
    cloud: str

    @property
    def file(self) -> str:
        """The name of the file that holds its result; it depends on every setting, and on the profiles."""
        profiles = [splitee.DeviceProfile.load(name).to_dict() for name in (self.device, SERVER)]
        setting = repr((self, ALPHAS, ROUNDS, LIMITS, profiles))
        key = hashlib.sha256(setting.encode()).hexdigest()[:8]
        return f"{self.trace}-{self.device}-{self.link}-{self.payload}-{key}.csv"


def cells(every: bool = False) -> Iterator[Cell]:
    """Return what is evaluated: the round trips, the links with the input or the smallest state, then the rest."""
    for trace, device, rtt in product(TRACES, DEVICES, ROUND_TRIPS):
        yield Cell(trace, device, "4G", rtt, "input", "server")
    for (payload, cloud), trace, device, link in product(
        FIRST + REST, TRACES, DEVICES, (*CONSTANT, *UPLINKS)
    ):
        if every or (payload, cloud) in FIRST or trace == TRACES[0]:
            yield Cell(trace, device, link, RTT, payload, cloud)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--work", type=Path, default=Path("out/pays"), help="default: out/pays")
    parser.add_argument(
        "--every", action="store_true", help="larger states, and states to a free cloud, on all texts"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    every = list(cells(given.every))
    for number, cell in enumerate(every, start=1):
        file = given.work / cell.file
        if not file.exists():
            rows = pd.DataFrame(evaluated(cell, given.data_root))
            with atomic_path(file, overwrite=True) as temporary:
                rows.to_csv(temporary, index=False, float_format="%.6g")
            print(f"{number} of {len(every)}: {cell.file}", flush=True)
    write_results(every, given.work)


def evaluated(cell: Cell, data_root: Path) -> list[dict[str, Any]]:
    """Return a row per number of layers on the device."""
    trace = splitee.load_trace(cell.trace)
    sizes = pd.read_parquet(RESULTS / "input_bytes" / f"{cell.trace}.parquet")["bytes"].to_numpy()
    link = _link(cell.link, cell.rtt, data_root)
    system = splitee.System(
        splitee.DeviceProfile.load(cell.device),
        link,
        splitee.DeviceProfile.load(SERVER) if cell.cloud == "server" else None,
        sends="input" if cell.payload == "input" else "state",
        codec="float16" if cell.payload == "input" else cell.payload,
        input_bytes=sizes,
    )
    found = plan(trace, system, LIMITS, rounds=ROUNDS, alphas=ALPHAS)
    setting = {"trace": cell.trace, "device": cell.device, "link": cell.link, "uplink": link.mean}
    setting |= {"rtt": cell.rtt, "cloud": cell.cloud, "payload": cell.payload}
    return [
        setting | {"device_layers": held} | compared(found.every, held)
        for held in (trace.layers, trace.layers // 2)
    ]


def compared(every: Sequence[Judged], held: int) -> dict[str, Any]:
    """Return the cheapest rule of every kind on a device with `held` layers.

    Kinds: the cloud alone, the device alone (an exit, or early exit through all layers), and a cut (what the
    first layers are sure of is answered there, the rest is offloaded). Samples come one at a time and no
    answer is lost, so the rules of a smaller device do the same as on a larger one.
    """
    on_device = [one for one in every if getattr(one.policy, "layer", 0) <= held]
    kinds: dict[str, list[Judged]] = {"cloud": [], "device": [], "cut": []}
    for one in on_device:
        inside = getattr(one.policy, "layer", 0) > 0
        kinds["cloud" if not inside else "cut" if one.chosen_on.offload_rate > 0 else "device"].append(one)
    row: dict[str, Any] = {}
    best = cheapest(on_device, LIMITS)
    for kind, rules in kinds.items():
        found = cheapest(rules, LIMITS)
        if found is best and best is not None:
            row["answer"] = kind
        row |= {f"{kind}_{name}": value for name, value in _numbers(found).items()}
    alone = [row[f"{kind}_ms"] for kind in ("cloud", "device") if not math.isnan(row[f"{kind}_ms"])]
    row["saved"] = 100 * (1 - row["cut_ms"] / min(alone))
    row["saved_cloud"] = 100 * (1 - row["cut_ms"] / row["cloud_ms"])
    row["saved_device"] = 100 * (1 - row["cut_ms"] / row["device_ms"])
    return row


def _numbers(one: Judged | None) -> dict[str, Any]:
    """Return a rule, and what it does on the half of the samples that judges it; latencies in ms."""
    names = {
        "ms": "latency",
        "p50": "latency_p50",
        "p95": "latency_p95",
        "drop": "drop",
        "drop_high": "drop_high",
    }
    names |= {"offload_rate": "offload_rate", "kilobytes": "kilobytes"}
    if one is None:
        return {"rule": "none", "layer": 0, "alpha": math.nan} | dict.fromkeys(names, math.nan)
    values = {name: getattr(one.judged_on, column) for name, column in names.items()}
    policy = one.policy
    return {
        "rule": type(policy).__name__,
        "layer": getattr(policy, "layer", 0),
        "alpha": getattr(policy, "threshold", math.nan),
    } | values


def _link(name: str, rtt: float, data_root: Path) -> splitee.Link:
    if name in CONSTANT:
        return splitee.Link(CONSTANT[name], rtt)
    return splitee.load_link(data_root / "networks" / f"{name}_up.csv", rtt)


def write_results(every: Sequence[Cell], work: Path) -> None:
    """Join the cells, and write the tables."""
    read = [pd.read_csv(work / cell.file) for cell in every]
    trips = len(TRACES) * len(DEVICES) * len(ROUND_TRIPS)
    with atomic_path(RESULTS / "pays.parquet", overwrite=True) as temporary:
        pd.concat(read[trips:], ignore_index=True).to_parquet(temporary, index=False, compression="zstd")
    write_csv(pd.concat(read[:trips], ignore_index=True), RESULTS / "round_trips.csv")
    write_tables(RESULTS)


if __name__ == "__main__":
    main()
