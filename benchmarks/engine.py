"""The compiled replay against plain Python loops and other libraries; writes the table of the docs.

python benchmarks/engine.py [--quick]     (make bench)

A replay is all of it: checks of the orders, decisions, accounting, regret, and the reference it is compared
with; orders are given and summaries are made afterwards, each timed on its own. Every line is measured in a
process of its own, with so many threads as it says: first once with an empty cache of compiled code (that is
the time of compilation), then the median of nine. Ratios are per decision, in the same process:
"specification" is tests/naive.py, on Python lists; "NumPy loop" is the same algorithm as one writes it over
arrays, a round a turn; river and mabwiser choose among the same arms for the same rewards.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "benchmarks.md"
LINES = [  # samples, layers, repeats, threads
    (25_000, 12, 40, 1),
    (25_000, 12, 40, 2),
    (25_000, 6, 40, 1),
    (25_000, 24, 40, 1),
    (3_000, 12, 40, 1),
    (1_000_000, 12, 8, 1),
    (1_000_000, 12, 8, 2),
]


def clock(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def numpy_loop(rewards, gone, order, exploration=1.0):  # type: ignore[no-untyped-def]
    """SplitEE as one writes it over arrays: one argmax over the arms a round, and what happened, in lists."""
    import numpy as np

    layers = rewards.shape[1]
    total, count = np.zeros(layers), np.zeros(layers)
    splits, sent, earned = [], [], []
    for t, sample in enumerate(order, start=1):
        if t <= layers:
            arm = t - 1
        else:
            arm = int(np.argmax(total / count + exploration * np.sqrt(np.log(t) / count)))
        reward = rewards[sample, arm]
        total[arm] += reward
        count[arm] += 1
        splits.append(arm + 1)
        sent.append(gone[sample, arm])
        earned.append(reward)
    return splits, np.mean(sent), np.mean(earned)


def measure(samples: int, layers: int, repeats: int) -> dict[str, float]:
    """Measure one line, in this process."""
    import numpy as np

    sys.path.insert(0, str(HERE.parent / "tests"))
    import naive

    import splitee

    rng = np.random.default_rng(0)
    depth = np.linspace(-0.2, 0.1, layers)
    confidence = np.clip(rng.uniform(0.5, 1, (samples, layers)) + depth, 0.5, 1).astype(np.float32)
    prediction = (rng.random((samples, layers)) > confidence).astype(int)
    trace = splitee.Trace(confidence, prediction, np.zeros(samples, dtype=int))
    told: dict[str, float] = {}
    made = lambda: np.array([np.random.default_rng(r).permutation(samples) for r in range(repeats)])  # noqa: E731
    orders = made()
    told["orders"] = clock(made)
    few = min(samples, 25_000)
    first = orders[0][:few].tolist()
    world = naive.World(trace.confidence.tolist(), prediction.tolist(), offload=[5.0] * layers)
    policies = {
        "SplitEE": (splitee.SplitEE(0.8), lambda: naive.split_ee(world, first, 0.8)),
        "SplitEE-S": (splitee.SplitEES(0.8), lambda: naive.split_ee_s(world, first, 0.8)),
    }
    for name, (policy, plain) in policies.items():
        go = lambda policy=policy: splitee.replay(trace, policy, mu=0.1, orders=orders)  # noqa: E731
        told[f"{name} compiled"] = clock(go)
        fast = median(clock(go) for _ in range(9)) / (samples * repeats)
        slow = median(clock(plain) for _ in range(3)) / few
        same = go().split[0][:few].tolist() == [played.split for played in plain()]
        told |= {f"{name} rate": 1 / fast, f"{name} specification": slow / fast, f"{name} same": same}
        told[f"{name} summary"] = clock(lambda go=go: go().summary()) - fast * samples * repeats
    fast = 1 / told["SplitEE rate"]
    wide = trace.confidence.astype(float)
    gamma = splitee.CostModel().device(layers)
    gone = (wide < 0.8) & (np.arange(layers) < layers - 1)
    rewards = np.where(gone, wide[:, -1:] - 0.1 * (gamma + 5.0), wide - 0.1 * gamma)
    told["NumPy loop"] = clock(lambda: numpy_loop(rewards, gone, first)) / few / fast
    told["river"] = _river(rewards, first[:10_000]) / fast
    told["mabwiser"] = _mabwiser(rewards, first[:1_000]) / fast
    return told


def _river(rewards, order) -> float:  # type: ignore[no-untyped-def]
    """Seconds a decision of river's UCB, pulling and updating."""
    from river import bandit

    arms = list(range(rewards.shape[1]))
    policy = bandit.UCB(delta=1, burn_in=0, seed=0)
    values = rewards.tolist()

    def play() -> None:
        for sample in order:
            arm = policy.pull(arms)
            policy.update(arm, values[sample][arm])

    return clock(play) / len(order)


def _mabwiser(rewards, order) -> float:  # type: ignore[no-untyped-def]
    """Seconds a decision of mabwiser's UCB1, predicting and learning."""
    from mabwiser.mab import MAB, LearningPolicy

    arms = list(range(rewards.shape[1]))
    mab = MAB(arms, LearningPolicy.UCB1(alpha=1))
    mab.fit(arms, [float(rewards[order[arm], arm]) for arm in arms])
    values = rewards.tolist()

    def play() -> None:
        for sample in order:
            arm = mab.predict()
            mab.partial_fit([arm], [values[sample][arm]])

    return clock(play) / len(order)


def table(lines: list[tuple[tuple[int, int, int, int], dict[str, float]]]) -> str:
    """The measurements as Markdown."""
    heads = ["n", "L", "repeats", "threads", "SplitEE, M/s", "× specification", "× NumPy loop", "× river"]
    heads += ["× mabwiser", "SplitEE-S, M/s", "× specification", "orders, s", "summary, s", "compiled, s"]
    rows = [
        [
            f"{n:,}",
            str(layers),
            str(repeats),
            str(threads),
            f"{told['SplitEE rate'] / 1e6:.1f}",
            f"{told['SplitEE specification']:,.0f}",
            f"{told['NumPy loop']:,.0f}",
            f"{told['river']:,.0f}",
            f"{told['mabwiser']:,.0f}",
            f"{told['SplitEE-S rate'] / 1e6:.1f}",
            f"{told['SplitEE-S specification']:,.0f}",
            f"{told['orders']:.2f}",
            f"{told['SplitEE summary']:.2f}",
            f"{told['SplitEE compiled'] + told['SplitEE-S compiled']:.1f}",
        ]
        for (n, layers, repeats, threads), told in lines
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---:"] * len(heads), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the first two lines only; writes nothing")
    parser.add_argument("--line", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.line:
        print(json.dumps(measure(*given.line)))
        return
    lines = []
    for line in LINES[:2] if given.quick else LINES:
        with tempfile.TemporaryDirectory() as cache:
            *shape, threads = line
            pinned = {"NUMBA_NUM_THREADS": str(threads), "NUMBA_CACHE_DIR": cache}
            words = [sys.executable, __file__, "--line", *map(str, shape)]
            done = subprocess.run(
                words, env=os.environ | pinned, stdout=subprocess.PIPE, check=True, text=True
            )
        told = json.loads(done.stdout)
        assert told["SplitEE same"], "the engine does not decide as the specification does"
        assert told["SplitEE-S same"], "the engine does not decide as the specification does"
        lines.append((line, told))
        print(table(lines[-1:]).splitlines()[-1], flush=True)
    if not given.quick:
        text = DOCS.read_text(encoding="utf-8")
        head, _, rest = text.partition("<!-- engine -->\n")
        _, _, tail = rest.partition("<!-- end -->\n")
        machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
        body = f"\n{table(lines)}\n\n*Measured on {machine}.*\n\n"
        DOCS.write_text(f"{head}<!-- engine -->\n{body}<!-- end -->\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
