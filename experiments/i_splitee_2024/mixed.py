"""Streams that mix or change their distortions: learners, and a measured context, beside every fixed rule."""

from __future__ import annotations

import numpy as np
import pandas as pd
from levels import DELTA, MIXED, MU, OFFLOAD, SOURCE, mixture, policies, trace_of
from rules import fixed_rules, quartiles, recommended

import splitee
from splitee import streams
from splitee.policies.arms.forgetting import DiscountedUCB, SlidingWindowUCB
from splitee.policies.arms.restarts import RestartingUCB
from splitee.policies.arms.tables import TableUCB
from splitee.policies.thresholds.exits import DEE

UNSEEN = ("clean", "blur3", "noise1", "jpeg2")  # distortions at levels of which the source has no image
SETTINGS = [
    (o, device) for o in (OFFLOAD, 12.0) for device in (7, 5)
]  # exits on the device: all 7, or up to stage 12
LOSSES = (0.0, 0.02, 0.05)


def learners(alpha: float) -> dict[str, object]:
    """Learners that notice a change, or learn when an exit may answer."""
    return {
        "certified, no alarm": splitee.CertifiedSplit(DELTA, drift=False),
        "certified, 10 %": splitee.CertifiedSplit(0.10),
        "certified, labels": splitee.CertifiedSplit(DELTA, loss="error", labels=1000),
        "audited stopping": splitee.AuditedStopping(DELTA),
        "audited stopping, labels": splitee.AuditedStopping(DELTA, loss="error", labels=1000),
        "D-UCB": DiscountedUCB(alpha),
        "SW-UCB": SlidingWindowUCB(alpha),
        "GLR-UCB": RestartingUCB(alpha, "glr"),
        "restart by confidence": RestartingUCB(alpha, "confidence"),
        "restart by share": RestartingUCB(alpha, "share"),
        "UCB by confidence": TableUCB(alpha, "confidence"),
        "tracked threshold, exit 5": splitee.TrackedThreshold(5, DELTA),
        "HI-LCB": splitee.HILCB(),
        "CeeBERT": splitee.CeeBERT(),
        "DEE": DEE(),
        "PCEE online": splitee.PCEEOnline(1 - DELTA),
    }


def by_noise(source: splitee.Trace, costs: splitee.CostModel, device: int, alpha: float) -> dict[str, object]:
    """A measured context: each quarter of the noise has its own rule or learner; and one rule for all beside it."""
    edges = quartiles(source, "noise")
    bins = np.digitize(source.noise, edges)
    found: dict[str, object] = {}
    for loss in LOSSES:
        one = recommended(source, costs, device, np.zeros(len(source), dtype=np.intp), loss)[0]
        found[f"source rule, {100 * loss:g} points"] = one
        each = recommended(source, costs, device, bins, loss)
        found[f"source rules by noise, {100 * loss:g} points"] = splitee.ByContext(each, "noise", edges)
    per_bin = {
        "I-SplitEE corrected": splitee.SplitEES(alpha),
        "certified": splitee.CertifiedSplit(DELTA),
        "audited stopping": splitee.AuditedStopping(DELTA),
        "audited stopping, labels": splitee.AuditedStopping(DELTA, loss="error", labels=250),
    }
    return found | {f"{name}, by noise": splitee.ByContext(p, "noise", edges) for name, p in per_bin.items()}


def mixed(repeats: int) -> pd.DataFrame:
    """Return a row per setting, stream and policy, beside the cheapest fixed rule of no lower accuracy."""
    alpha, source = trace_of("clean").recommended_threshold, splitee.load_trace(SOURCE)
    trace, unseen = mixture(), mixture(UNSEEN)
    parts = streams.parts_of(trace)
    played = {
        "mixed": (trace, None),
        "sudden": (trace, streams.sudden(parts, repeats)),
        "gradual": (trace, streams.gradual(parts, repeats)),
        "recurring": (trace, streams.recurring(parts, 3, repeats)),
        "mixed, unseen levels": (unseen, None),
    }
    rows = []
    for o, device in SETTINGS:
        costs = splitee.CostModel(offload=o, device_layers=device)
        rules = {id(one): fixed_rules(one, costs) for one in (trace, unseen)}
        chosen = policies(alpha) | learners(alpha) | by_noise(source, costs, device, alpha)
        if device < trace.layers:
            del chosen["cascade"], chosen["last exit"]
        for name, (one, order) in played.items():
            results = splitee.replay(one, chosen, costs, mu=MU, repeats=repeats, orders=order)
            known = rules[id(one)]
            known = known[known["layer"] <= device]
            for _, row in results.summary().iterrows():
                fits = known[known["accuracy"] >= row["accuracy"] - 1e-12]
                best = fits["cost"].min() if len(fits) else np.nan
                rows.append(
                    {
                        "offload": o,
                        "device_exits": device,
                        "stream": name,
                        "policy": row["policy"],
                        "accuracy": 100 * row["accuracy"],
                        "loss": 100 * (one.accuracy_per_exit()[-1] - row["accuracy"]),
                        "agreement": 100 * row["agreement"],
                        "cost": row["cost"],
                        "cheapest_fixed_rule": best,  # of no lower accuracy, known in hindsight
                        "above_it": 100 * (row["cost"] / best - 1),
                    }
                )
    return pd.DataFrame(rows)


def context() -> pd.DataFrame:
    """Return what knowing the distortion would be worth: the best rule by mean reward for each level, and one for all."""
    costs = splitee.CostModel(offload=OFFLOAD)
    tables = {level: fixed_rules(trace_of(level), costs) for level in MIXED}
    mean = sum(table["reward"] for table in tables.values()) / len(tables)
    rows = []
    for level, table in tables.items():
        own, common = table.loc[table["reward"].idxmax()], table.loc[mean.idxmax()]
        for kind, row in (("own", own), ("common", common)):
            rows.append({"level": level, "rule": kind, **row.to_dict()})
    return pd.DataFrame(rows)


def measured() -> pd.DataFrame:
    """Return how well the bins of the source separate the distortions of the test images: shares of each level by bin."""
    source, rows = splitee.load_trace(SOURCE), []
    for by in ("noise", "sharpness"):
        edges = quartiles(source, by)
        for level in dict.fromkeys((*MIXED, *UNSEEN)):
            values = getattr(trace_of(level), by)
            shares = np.bincount(np.digitize(values, edges), minlength=4) / len(values)
            bins = {f"bin_{b + 1}": 100 * share for b, share in enumerate(shares)}
            rows.append({"measure": by, "level": level, "median": float(np.median(values)), **bins})
        rows.append(
            {"measure": by, "level": "edges", **{f"bin_{b + 1}": edge for b, edge in enumerate(edges)}}
        )
    return pd.DataFrame(rows)
