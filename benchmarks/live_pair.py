"""The live pair over three links: are decisions those of a replay, and latencies those of the System?

python benchmarks/live_pair.py TEXTS.csv [COUNT]      (a column "text"; default: 1000 of them)

`splitee profile` measures sst2_slender on this machine, one thread. `splitee serve` runs as a process of
its own behind a relay that is as slow as each link (`splitee link relay`). A device in this process
holds half of the layers and answers the texts one at a time with each policy. The log is replayed, and the
System (profile, link, the profile as the cloud's) plays the same decisions by its clock, shown in brackets.
Times of a busy machine say little.
"""

import csv
import sys
import tempfile
from pathlib import Path

import torch

import splitee
from splitee.runtime.halves import open_half
from splitee.runtime.log import load_log, write_log
from splitee.runtime.predicting import measured, predicted
from splitee.runtime.relay import relaying
from splitee.runtime.replaying import replay
from splitee.runtime.setting import Rules
from splitee.system.link_files import load_link

sys.path[:0] = [str(Path(__file__).parent.parent / "tests" / "support")]

import commands  # noqa: E402
import pairs  # noqa: E402
import serving  # noqa: E402

POLICIES = ("splitee", "splitee-s", "certified:0.02")
INPUT_BYTES = 950.0  # of a request with the tokens of a sentence: 16 per token, and the protocol's head


def links() -> dict[str, splitee.Link]:
    """Return the links: two of a constant rate, and one recorded on a bus."""
    return {
        "5 Mbit/s, 40 ms": splitee.Link(5.0, 40.0),
        "1 Mbit/s, 100 ms": splitee.Link(1.0, 100.0),
        "hsdpa_bus_1_down, 60 ms": load_link("hsdpa_bus_1_down", rtt=60.0),
    }


def main() -> None:
    """Print one line per link and policy."""
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf-8") as file:
        texts = [[row["text"]] for row in csv.DictReader(file)]
    texts = texts[: int(sys.argv[2]) if len(sys.argv) > 2 else 1000]
    half = open_half("sst2_slender", "half")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profile = folder / "profile.json"
        done = commands.splitee("profile", "sst2_slender", "--threads", "1", "--out", profile)
        assert done.code == 0, done.err
        device = splitee.DeviceProfile.load(profile)
        print(f"{'link':<25}{'policy':<16}{'decisions':<22}{'off.':>6}{'lost':>5}"
              f"{'p50 ms':>16}{'p95 ms':>16}{'KB':>14}")  # fmt: skip
        with serving.process(folder, "sst2_slender", "--threads", "1") as server:
            for link_name, link in links().items():
                for policy in POLICIES:
                    system = splitee.System(device, link, device, input_bytes=INPUT_BYTES)
                    line = run(half, texts, folder, server.url, system, policy)
                    print(f"{link_name:<25}{policy:<16}{line}", flush=True)


def run(half, texts, folder: Path, url: str, system: splitee.System, policy: str) -> str:  # type: ignore[no-untyped-def]
    """Answer the texts over a link; return what the log says: measured, and predicted in brackets."""
    setting = pairs.setting_of(half, policy, costs=None, system=system.to_dict(), typical_tokens=24)
    out = folder / "log.parquet"
    with relaying(url, system.link) as address:
        device = pairs.opened(half, setting, folder / "journal", address)
        records = pairs.play(device, texts)
        pairs.shut(device)
    (folder / "journal").unlink()
    write_log(setting, records, out, overwrite=True)
    log = load_log(out)
    difference = replay(Rules(log.setting), log.records)
    ours, theirs = measured(log.records), predicted(Rules(log.setting), system, log.records, True)
    said = "all the same" if difference is None else f"differ at {difference.t}"
    offloaded, lost = sum(one.offloaded for one in records), sum(bool(one.lost) for one in records)
    shown = [f"{ours[k]:.1f} ({theirs[k]:.1f})" for k in ("latency_p50", "latency_p95")]
    kilobytes = f"{ours['kilobytes']:.2f} ({theirs['kilobytes']:.2f})"
    return f"{said:<22}{offloaded:>6}{lost:>5}{shown[0]:>16}{shown[1]:>16}{kilobytes:>14}"


if __name__ == "__main__":
    main()
