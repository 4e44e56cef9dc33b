"""What the device itself takes per sample: policy, log and bookkeeping, without layers and without a network.

python benchmarks/device.py [TRACE] [SAMPLES]       (default: rte_validation 2000)

A half that answers from a trace, and a cloud that answers at once, stand for the real ones, so that what is
left is the device's own work: the policy's begin, decide and learn, the feedback with its costs, the bytes of
the request and the journal. Times are those of the processor (`time.thread_time`), the median over samples
after the first 200, best of three runs.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import splitee
from splitee.runtime.connection import Outcome
from splitee.runtime.device import Device
from splitee.runtime.journal import Journal
from splitee.runtime.protocol import Response
from splitee.runtime.setting import Rules, Setting

FIRST, RUNS, TOKENS, HIDDEN = 200, 3, 24, 384
POLICIES = ("splitee", "splitee-s", "thompson", "certified:0.02", "cascade-split:6", "cloud-only")


class Stored:
    """A half that answers from a trace."""

    def __init__(self, trace: splitee.Trace, held: int) -> None:
        self.trace, self.sample = trace, 0
        self.hidden = np.zeros((1, TOKENS, HIDDEN), np.float32)
        self.ids = list(range(1000, 1000 + TOKENS))
        layers, classes = list(range(1, trace.layers + 1)), [str(k) for k in range(trace.classes)]
        self.facts = {
            "name": "stored",
            "fingerprint": "0" * 64,
            "layers": trace.layers,
            "hidden": HIDDEN,
            "exits": layers,
            "device_exits": held,
            "classes": classes,
            "tokens": 128,
            "vocabulary": 30000,
            "token_types": 2,
            "states": 1,
            "confidence": "softmax",
        }
        wide = np.clip(trace.confidence.astype(np.float64), 0.5, 1 - 1e-9)
        margin = np.log(wide / (1 - wide))
        sign = np.where(trace.prediction == 1, 1.0, -1.0)
        self.logits = np.stack([-sign * margin / 2, sign * margin / 2], axis=-1).astype(np.float32)

    def encode(self, text, name=""):
        return {"input_ids": self.ids, "token_type_ids": [0] * TOKENS}

    def advance(self, place, exit):
        return exit

    def outputs(self, place):
        return self.logits[self.sample, place - 1], None

    def state(self, place):
        return self.hidden, None


class AtOnce:
    """A cloud that answers at once, in the device's thread."""

    gone = False

    def __init__(self, half: Stored) -> None:
        self.half = half

    def ask(self, headers, body, left, done):
        s, trace = self.half.sample, self.half.trace
        outputs = {
            "confidence": trace.confidence[s : s + 1, -1],
            "prediction": trace.prediction[s : s + 1, -1].astype(np.int64),
        }
        done(Outcome(Response(outputs), "", 1.0, 0.5))


def measure(trace: splitee.Trace, policy: str, samples: int, system: dict | None) -> tuple[float, float]:
    """Return the median microseconds per sample, and the share that was offloaded."""
    half = Stored(trace, trace.layers // 2)
    costs = {"offload": 3.0} if system is None else None
    setting = Setting(dict(half.facts), policy, 0.8, costs=costs, system=system, sends="input")
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal", {"setting": setting.to_dict()})
        device = Device(half, Rules(setting), AtOnce(half), journal)
        took = np.empty(samples)
        for t in range(samples):
            half.sample = t % trace.samples
            before = time.thread_time()
            device.take(["a text"], str(t))
            took[t] = time.thread_time() - before
        journal.close()
    return float(np.median(took[FIRST:]) * 1e6), float(np.mean([one.offloaded for one in device.records]))


def main() -> None:
    """Print one line per policy."""
    trace = splitee.load_trace(sys.argv[1] if len(sys.argv) > 1 else "rte_validation")
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    system = splitee.System(
        splitee.DeviceProfile(layer_ms=2.0, exit_ms=0.1), splitee.Link(5.0, 40.0)
    ).to_dict()
    print(f"{trace.name}, {samples} samples: µs per sample (median)")
    print(f"{'policy':<18}{'costs in λ':>12}{'a System':>12}{'offloaded':>12}")
    for policy in POLICIES:
        found = [min(measure(trace, policy, samples, of) for _ in range(RUNS)) for of in (None, system)]
        print(f"{policy:<18}{found[0][0]:>12.0f}{found[1][0]:>12.0f}{found[0][1]:>12.0%}")


if __name__ == "__main__":
    main()
