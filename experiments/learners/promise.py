"""Is the promise of CertifiedSplit kept? Runs in which any rule ever in force was above δ, by simulation.

python experiments/learners/promise.py [--orders 20] [--out FOLDER]

A run is one stream of one trace under one setting. Every rule that was ever in force is judged on the whole
trace.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))

import common
from writing import write_csv

import splitee

HERE = Path(__file__).parent
SETTINGS = ((5.0, 6), (12.0, 6), (12.0, 8), (20.0, 4))  # o, m
FORMS = {
    "unknown length": {},
    "known length": {"horizon": True},
    "without replacement": {"horizon": True, "without_replacement": True},
}


def policy_of(form: str, delta: float, samples: int, source: splitee.Trace | None) -> splitee.CertifiedSplit:
    """Return the policy of a form."""
    given = dict(FORMS[form])
    if given.pop("horizon", False):
        given["horizon"] = samples
    return splitee.CertifiedSplit(delta, source=source, **given)


def judged(trace, source, delta, offload, held, form, streams, repeats, seed) -> dict:  # type: ignore[no-untyped-def]
    """Return one row: how many runs were above δ, and how far."""
    orders = common.orders_of(trace.samples, repeats, streams, seed)
    costs = splitee.CostModel(offload=offload, device_layers=held)
    result = splitee.replay(trace, policy_of(form, delta, trace.samples, source), costs, orders=orders)
    worst = common.worst_in_force(trace, result)
    return {
        "trace": trace.name,
        "delta": delta,
        "offload": offload,
        "device_layers": held,
        "form": form,
        "streams": streams,
        "runs": repeats,
        "above": int((worst > delta).sum()),
        "worst": worst.max() / delta,
        "certified": int((worst > 0).sum()),
        "alarms": int(result.certificate().groupby("repeat")["alarms"].max().sum()),
        "cost": result.cost.mean(),
    }


def real(orders: int) -> pd.DataFrame:
    """Bundled traces, permutations and bootstraps."""
    rows = []
    for name in common.TRACES:
        trace, source = common.loaded(name)
        for delta, (o, m), streams in product(common.DELTAS, SETTINGS, ("permutation", "bootstrap")):
            forms = FORMS if streams == "permutation" else ("unknown length", "known length")
            rows += [judged(trace, source, delta, o, m, form, streams, orders, 11) for form in forms]
        print(name, file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def adversarial(orders: int) -> pd.DataFrame:
    """Traces made to break it."""
    rows = []
    for kind, delta in product(common.ADVERSARIAL, common.DELTAS):
        trace = common.adversarial(kind, delta)
        forms = (
            ("unknown length", "permutation"),
            ("unknown length", "bootstrap"),
            ("without replacement", "permutation"),
        )
        rows += [judged(trace, None, delta, 12.0, 6, *form, orders, 12) for form in forms]
        print(kind, delta, file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    for name, table in (("coverage", real(given.orders)), ("adversarial", adversarial(5 * given.orders))):
        write_csv(table, given.out / f"{name}.csv")
        by = table.groupby(["form", "streams"])[["runs", "above", "certified", "alarms"]].sum()
        print(name, by.assign(share=by["above"] / by["runs"]).round(4).to_string(), sep="\n")


if __name__ == "__main__":
    main()
