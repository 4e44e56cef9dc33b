"""The compiled replay against plain Python loops and other libraries; writes the table of the docs.

python benchmarks/engine.py [--quick]     (make bench)

A replay is all of it: checks of the orders, decisions, and every round counted. Orders are given; what
follows from the counts (regret, and the reference all are compared with) is in the summary, which is made
afterwards; each is timed on its own. Every line is measured in a process of its own: first once with an
empty cache of compiled code (that is the time of compilation), then the median of nine, each that of three
replays in a row, as a study has them. What is compared is measured in turn, since a machine's speed changes
from minute to minute, and ratios, per decision, are medians of ratios of neighbours: one thread against two,
and against "specification" (tests/naive.py, on Python lists), "NumPy loop" (the same algorithm as one writes
it over arrays, a round a turn), river and mabwiser, which choose among the same arms for the same rewards.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from timing import clock
from worlds import made_up, shuffles

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "benchmarks.md"
LINES = [  # samples, layers, repeats
    (25_000, 12, 40),
    (25_000, 12, 160),
    (25_000, 6, 40),
    (25_000, 24, 40),
    (3_000, 12, 40),
    (1_000_000, 12, 8),
]
TIMES = 9


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
    from numba import config

    sys.path.insert(0, str(HERE.parent / "tests"))
    import naive

    import splitee

    trace, made = made_up(samples, layers), lambda: shuffles(samples, repeats)
    prediction, orders = trace.prediction, made()
    told: dict[str, float] = {"orders": clock(made)}
    few, decisions = min(samples, 25_000), samples * repeats
    first = orders[0][:few].tolist()
    world = naive.World(trace.confidence.tolist(), prediction.tolist(), offload=[5.0] * layers)
    policies = {
        "SplitEE": (splitee.SplitEE(0.8), lambda: naive.split_ee(world, first, 0.8)),
        "SplitEE-S": (splitee.SplitEES(0.8), lambda: naive.split_ee_s(world, first, 0.8)),
    }

    def seconds(policy, threads=1):  # type: ignore[no-untyped-def]
        config.NUMBA_NUM_THREADS = threads
        replay = lambda: splitee.replay(trace, policy, mu=0.1, orders=orders).totals  # noqa: E731
        return median(clock(replay) for _ in range(3)) / decisions

    for name, (policy, plain) in policies.items():
        first_call = lambda policy=policy: splitee.replay(trace, policy, orders=orders).totals  # noqa: E731
        told[f"{name} compiled"] = clock(first_call)
        turns = [(seconds(policy), seconds(policy, 2), clock(plain) / few) for _ in range(TIMES)]
        told[f"{name} rate"] = 1 / median(one for one, _, _ in turns)
        told[f"{name} two"] = median(one / two for one, two, _ in turns)
        told[f"{name} specification"] = median(slow / one for one, _, slow in turns)
        result = splitee.replay(trace, policy, mu=0.1, orders=orders)
        told[f"{name} same"] = result.split[0][:few].tolist() == [played.split for played in plain()]
        splitee.replay(trace, policy, mu=0.1, orders=orders[:1]).summary()  # compiles, and imports pandas
        told[f"{name} summary"] = clock(result.summary)
    wide = trace.confidence.astype(float)
    gamma = splitee.CostModel().device(layers)
    gone = (wide < 0.8) & (np.arange(layers) < layers - 1)
    rewards = np.where(gone, wide[:, -1:] - 0.1 * (gamma + 5.0), wide - 0.1 * gamma)
    rivals = {
        "NumPy loop": lambda: clock(lambda: numpy_loop(rewards, gone, first)) / few,
        "river": lambda: _river(rewards, first[:10_000]),
        "mabwiser": lambda: _mabwiser(rewards, first[:1_000]),
    }
    for name, rival in rivals.items():
        told[name] = median(rival() / seconds(policies["SplitEE"][0]) for _ in range(3))
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


def table(lines: list[tuple[tuple[int, int, int], dict[str, float]]]) -> str:
    """The measurements as Markdown."""
    heads = ["n", "L", "repeats", "SplitEE, M/s", "× specification", "two threads", "× NumPy loop", "× river"]
    heads += ["× mabwiser", "SplitEE-S, M/s", "× specification", "two threads", "orders, s", "summary, s"]
    heads += ["compiled, s"]
    rows = [
        [
            *(f"{number:,}" for number in shape),
            f"{told['SplitEE rate'] / 1e6:.1f}",
            f"{told['SplitEE specification']:,.0f}",
            f"{told['SplitEE two']:.2f} ×",
            *(f"{told[rival]:,.0f}" for rival in ("NumPy loop", "river", "mabwiser")),
            f"{told['SplitEE-S rate'] / 1e6:.1f}",
            f"{told['SplitEE-S specification']:,.0f}",
            f"{told['SplitEE-S two']:.2f} ×",
            f"{told['orders']:.2f}",
            f"{told['SplitEE summary']:.2f}",
            f"{told['SplitEE compiled']:.1f}",
        ]
        for shape, told in lines
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---:"] * len(heads), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the first line only; writes nothing")
    parser.add_argument("--line", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.line:
        print(json.dumps(measure(*given.line)))
        return
    lines = []
    for line in LINES[:1] if given.quick else LINES:
        with tempfile.TemporaryDirectory() as cache:
            words = [sys.executable, __file__, "--line", *map(str, line)]
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True, text=True)
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
