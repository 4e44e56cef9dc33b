"""COST-EFF on real models: tables and figures from the committed traces, answers and times, without torch.

python experiments/cost_eff_2022/evaluate.py

Seconds. Running it twice gives identical files.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import splitee
from splitee.elue.flops import Flops
from splitee.elue.predictions import Method, read_method
from splitee.elue.reference import Reference
from splitee.elue.replayed import replayed, setting_name
from splitee.report.figures.pareto import pareto
from splitee.report.figures.style import write_figure
from splitee.results.intervals import bootstrap_means, data_interval
from splitee.trace import Trace

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path.append(str(HERE.parent))
from writing import write_csv, write_readable  # noqa: E402  # the experiments'

TASKS = {"sst2": "sst-2", "mrpc": "mrpc"}
BACKBONES = {"minilm": "all-MiniLM-L6-v2", "mpnet": "all-mpnet-base-v2"}
MPNET = HERE.parent / "elue_2022" / "results" / "traces" / "sst2-mpnet.parquet"  # the teacher of its student
WAYS = {
    "slender": "slender (COST-EFF)",
    "last-exit": "only the last exit's say",
    "random": "random heads and units",
    "labels": "labels teach, not the teacher",
    "depth": "first l layers, no fewer FLOPs",
    "depth-svd": "first l layers, SVD, as many parameters",
    "bundled": "4 heads, 192 units, rank 32 (comes with splitee)",
}
NAME = re.compile(
    r"(?P<task>[a-z0-9]+)-(?P<backbone>minilm|mpnet)(-((?P<ratio>\d+)-)?(?P<way>[a-z-]+?)(-seed(?P<seed>\d+))?)?"
)
ALPHAS = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)


@dataclass
class Model:
    """One model's answers on a test split."""

    task: str
    backbone: str
    ratio: int  # of the parameters, one in so many; 1 is the teacher, 0 none that was asked for
    way: str
    seed: int
    right: NDArray[np.float64]  # of every exit, shape (n, exits)
    parameters: int
    flops: float  # a sample through the last exit
    trace: Trace | None = field(default=None, repr=False)


def models() -> list[Model]:
    """All that was predicted, teachers first."""
    found = []
    files = sorted((RESULTS / "traces").glob("*.parquet"))
    if any("-mpnet-" in file.name for file in files):
        files.append(MPNET)
    for file in files:
        trace = splitee.load_trace(file)
        facts: dict[str, Any] = dict(trace.manifest)
        assert trace.label is not None
        assert trace.length is not None
        flops = Flops.from_manifest(facts).at(trace.length)[:, -1].mean()
        right = (trace.prediction == trace.label[:, None]).astype(np.float64)
        found.append(Model(*_named(file.stem), right, int(facts["parameters"]), float(flops), trace))
    for folder in sorted(path for path in (RESULTS / "answers").glob("*") if path.is_dir()):
        method = read_method(folder)
        (said,) = method.settings.values()
        right = (said.prediction == method.label).astype(np.float64)[:, None]
        size = int(method.facts["parameters"])
        found.append(Model(*_named(folder.name), right, size, float(said.flops.mean())))
    return sorted(
        found,
        key=lambda one: (
            one.backbone,
            one.task,
            one.ratio or 99,
            [*WAYS, "teacher"].index(one.way),
            one.seed,
        ),
    )


def _named(name: str) -> tuple[str, str, int, str, int]:
    told = NAME.fullmatch(name)
    assert told is not None, name
    seed = int(told["seed"] or 0)
    way = told["way"] or "teacher"
    return told["task"], told["backbone"], int(told["ratio"] or (way == "teacher")), way, seed


def sizes(all_models: list[Model]) -> pd.DataFrame:
    """Every model beside its teacher: size, accuracy, and how much of the teacher's is kept, with its interval."""
    teachers = {(one.task, one.backbone): one for one in all_models if one.way == "teacher"}
    groups: dict[tuple[str, str, int, str], list[Model]] = {}
    for one in all_models:
        groups.setdefault((one.backbone, one.task, one.ratio, one.way), []).append(one)
    rows = []
    for (backbone, task, ratio, way), seeds in groups.items():
        teacher = teachers[task, backbone]
        whole, last = teacher.right[:, -1], np.mean([one.right[:, -1] for one in seeds], axis=0)
        (drawn,) = bootstrap_means([np.stack([last, whole], axis=1)], np.ones(len(last)), 2000)
        low, high = data_interval(drawn[:, :1] / drawn[:, 1:])
        rows.append(
            {
                "backbone": backbone,
                "task": TASKS[task],
                "ratio": ratio,
                "way": way,
                "seeds": len(seeds),
                "parameters": seeds[0].parameters,
                "parameters_share": seeds[0].parameters / teacher.parameters,
                "gflops": seeds[0].flops / 1e9,
                "flops_share": seeds[0].flops / teacher.flops,
                "accuracy": 100 * last.mean(),
                "kept": 100 * last.mean() / whole.mean(),
                "kept_low": 100 * float(np.squeeze(low)),
                "kept_high": 100 * float(np.squeeze(high)),
                "seeds_spread": 100 * np.std([one.right[:, -1].mean() for one in seeds], ddof=1)
                if len(seeds) > 1
                else np.nan,
                "mean_over_exits": 100 * np.mean([one.right.mean() for one in seeds]),
            }
            | _beside(last, groups.get((backbone, task, ratio, "slender"), []) if way in WAYS else [])
            | _early(seeds, teacher)
        )
    return pd.DataFrame(rows)


def _beside(last: NDArray[np.float64], slender: list[Model]) -> dict[str, float]:
    """Accuracy less that of the slender model of the same ratio, in points, with its interval; NaN where none is."""
    if not slender:
        return dict.fromkeys(("beside_slender", "beside_low", "beside_high"), np.nan)
    theirs = np.mean([one.right[:, -1] for one in slender], axis=0)
    (drawn,) = bootstrap_means([(last - theirs)[:, None]], np.ones(len(last)), 2000)
    low, high = (100 * float(np.squeeze(end)) for end in data_interval(drawn))
    return {"beside_slender": 100 * float((last - theirs).mean()), "beside_low": low, "beside_high": high}


def _early(seeds: list[Model], teacher: Model) -> dict[str, float]:
    """Leaving at the recommended α: accuracy, and FLOPs beside the teacher's full pass."""
    answers = []
    for one in seeds:
        if one.trace is None or one.trace.recommended_threshold is None:
            return {"early_accuracy": np.nan, "early_flops_share": np.nan}
        policy = splitee.ElasticBERT(one.trace.recommended_threshold)
        method = replayed(one.trace, {"early": policy}, one.way, TASKS[one.task])
        said = method.settings["early"]
        answers.append(((said.prediction == method.label).mean(), said.flops.mean() / teacher.flops))
    accuracy, share = np.mean(answers, axis=0)
    return {"early_accuracy": 100 * accuracy, "early_flops_share": share}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as one reads it."""

    def kept(row: pd.Series) -> str:
        if row["way"] == "teacher":
            return "100"
        spread = "" if np.isnan(row["seeds_spread"]) else f" ± {row['seeds_spread']:.1f}"
        return f"{row['kept']:.1f} [{row['kept_low']:.1f}, {row['kept_high']:.1f}]{spread}"

    def beside(row: pd.Series) -> str:
        if np.isnan(row["beside_slender"]) or row["way"] == "slender":
            return "—"
        return f"{row['beside_slender']:+.1f} [{row['beside_low']:+.1f}, {row['beside_high']:+.1f}]"

    def percent(value: float, digits: int = 1) -> str:
        return "—" if np.isnan(value) else f"{value:.{digits}f}"

    return pd.DataFrame(
        {
            "task": table["task"],
            "size": ["1" if way == "teacher" else f"1/{1 / share:.3g}" for way, share in zip(table["way"], table["parameters_share"], strict=True)],
            "model": [WAYS.get(way, "teacher, full size") for way in table["way"]],
            "seeds": table["seeds"],
            "parameters, M (%)": [f"{a / 1e6:.2f} ({100 * b:.1f})" for a, b in zip(table["parameters"], table["parameters_share"], strict=True)],
            "FLOPs, %": [percent(100 * share) for share in table["flops_share"]],
            "last exit, %": [percent(value) for value in table["accuracy"]],
            "kept, %": [kept(row) for _, row in table.iterrows()],
            "− slender, points": [beside(row) for _, row in table.iterrows()],
            "mean over exits, %": [percent(value) for value in table["mean_over_exits"]],
            "early exit: accuracy, %": [percent(value) for value in table["early_accuracy"]],
            "FLOPs then, %": [percent(100 * share) for share in table["early_flops_share"]],
        }
    )  # fmt: skip


def figure_methods(all_models: list[Model]) -> tuple[list[Method], Reference]:
    """Early exit over its thresholds, for the models of seed 0, and the teacher cut at l."""
    methods, curves = [], {}
    for one in all_models:
        if one.backbone != "minilm" or one.seed or (one.way not in ("teacher", "slender", "depth")):
            continue
        task = TASKS[one.task]
        name = (
            "teacher"
            if one.way == "teacher"
            else f"1/{one.ratio}, {'slender' if one.way == 'slender' else 'first l layers'}"
        )
        if one.trace is None:
            answers = read_method(RESULTS / "answers" / f"{one.task}-minilm-{one.ratio}-{one.way}")
            methods.append(Method(name, task, answers.label, answers.settings, {}))
            continue
        policies = {setting_name(policy): policy for policy in map(splitee.ElasticBERT, ALPHAS)}
        methods.append(replayed(one.trace, policies, name, task))
        if one.way == "teacher":
            cuts = {f"cut-{i}": splitee.FixedExit(i) for i in range(1, one.trace.layers + 1)}
            points = np.array(replayed(one.trace, cuts, "cut", task).points())
            curves[task] = points[np.argsort(points[:, 0])]
    return methods, Reference("teacher, cut at l", curves, {})


def joined(all_models: list[Model]) -> pd.DataFrame:
    """SplitEE with the full model, the slender one, and the slender one under the full one in the cloud.

    λ is what one layer of the full model, with its exit, costs in FLOPs at the mean length; o is 5 λ.
    """
    rows = []
    for task in TASKS:
        by_way = {
            (one.way, one.ratio): one
            for one in all_models
            if one.task == task and one.backbone == "minilm" and not one.seed
        }
        full = by_way.get(("teacher", 1))
        if full is None or full.trace is None:
            continue
        unit = sum(_prices(full.trace))
        for ratio in (1, 2, 4, 8):
            one = by_way.get(("slender", ratio)) if ratio > 1 else full
            if one is None or one.trace is None:
                continue
            layer, exit_ = (price / unit for price in _prices(one.trace))
            costs = splitee.CostModel(layer=layer, exit=exit_, offload=5.0)
            name = "full" if ratio == 1 else f"slender 1/{ratio}"
            systems = {name: one.trace}
            if ratio > 1:
                systems[f"{name}, full in the cloud"] = splitee.with_cloud(one.trace, full.trace)
            alphas = dict.fromkeys((one.trace.recommended_threshold, full.trace.recommended_threshold))
            for (system, trace), alpha in product(systems.items(), alphas):
                rows += _played(
                    trace,
                    costs,
                    alpha,
                    next(iter(alphas)),
                    {"task": TASKS[task], "system": system, "alpha": alpha},
                )
    return pd.DataFrame(rows)


def _played(
    trace: Trace, costs: splitee.CostModel, alpha: float, first: float, told: dict[str, Any]
) -> list[dict[str, Any]]:
    policies = {
        "all on the device": splitee.FinalExit(),
        "all to the cloud": splitee.CloudOnly(),
        "ElasticBERT": splitee.ElasticBERT(alpha),
        "SplitEE": splitee.SplitEE(alpha),
        "SplitEE-S": splitee.SplitEES(alpha),
    }
    if trace.cloud_confidence is not None:  # what no cloud takes part in is told without one
        del policies["all on the device"], policies["ElasticBERT"]
    if alpha != first:  # what knows no α is told once
        policies = {name: policy for name, policy in policies.items() if hasattr(policy, "threshold")}
    table = splitee.replay(trace, policies, costs, mu=0.1, repeats=20, seed=0).summary()
    return [
        told
        | {
            "policy": policy,
            "accuracy": 100 * row["accuracy"],
            "cost": row["cost"],
            "offloaded": 100 * row["offload_rate"],
        }
        for policy, (_, row) in zip(policies, table.iterrows(), strict=True)
    ]


def latencies() -> pd.DataFrame:
    """What latency.py measured, a row a model and batch size, beside the teacher's full pass."""
    told = pd.read_csv(RESULTS / "latency.csv")
    wide = told.pivot_table(
        index=["batch", "model"], columns="early_exit", values=["milliseconds", "mean_layer"], sort=False
    )
    rows = []
    for (batch, model), row in wide.iterrows():
        task, backbone, ratio, way, _ = _named(model)
        whole = wide.loc[(batch, f"{task}-{backbone}"), ("milliseconds", "no")]
        full, early = row["milliseconds", "no"], row.get(("milliseconds", "yes"), np.nan)
        alone = np.isnan(early)
        rows.append(
            {
                "batch": batch,
                "model": "teacher, full size" if way == "teacher" else f"{f'1/{ratio}, ' if ratio else ''}{WAYS[way]}",
                "all layers, ms": f"{full:.3g}",
                "× as fast": f"{whole / full:.2f}",
                "early exit, ms": "—" if alone else f"{early:.3g}",
                "then × as fast": "—" if alone else f"{whole / early:.2f}",
                "layers run then": "—" if alone else f"{row['mean_layer', 'yes']:.2f}",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _prices(trace: Trace) -> tuple[float, float]:
    """FLOPs of a layer and of an exit, at the mean length."""
    flops = Flops.from_manifest(trace.manifest)
    assert trace.length is not None
    tokens = float(trace.length.mean())
    layers = flops.linear * tokens + flops.quadratic * tokens**2
    return float(layers.mean()), float(flops.exits.mean())


def main() -> None:
    tables, figures = RESULTS / "tables", RESULTS / "figures"
    for folder in (tables, figures):
        folder.mkdir(parents=True, exist_ok=True)
    every = models()
    table = sizes(every)
    write_csv(table, tables / "sizes.csv")
    for backbone, model in BACKBONES.items():
        mine = table[table["backbone"] == backbone]
        if len(mine):
            caption = (
                f"{model} slimmed, and rivals with the same teacher and steps, on the test split. Kept: of the teacher's "
                "accuracy at the last exit [95 % over samples, paired] ± standard deviation over seeds, where there are "
                "several. − slender: less the slender model's of that size [paired]. Early exit: by confidence at each model's own recommended α. FLOPs: of the teacher's full pass."
            )
            write_readable(shown(mine), tables / f"sizes_{backbone}", caption)
    methods, reference = figure_methods(every)
    figure = pareto(methods, reference)
    for kind in ("png", "pdf"):
        write_figure(figure, figures / f"pareto.{kind}", True)
    systems = joined(every)
    write_csv(systems, tables / "joined.csv")
    readable = systems.assign(
        **{
            name: systems[name].map(f"{{:.{digits}f}}".format)
            for name, digits in (("accuracy", 2), ("cost", 3), ("offloaded", 1))
        }
    ).rename(
        columns={
            "accuracy": "accuracy, %",
            "cost": "cost, λ a sample",
            "offloaded": "offloaded, %",
            "alpha": "α",
        }
    )
    caption = (
        "Full model, slender model, and slender model with the full one in the cloud, under the same policies (20 orders, "
        "o = 5 λ; λ: a layer of the full model with its exit, in FLOPs)."
    )
    write_readable(readable, tables / "joined", caption)
    if (RESULTS / "latency.csv").exists():
        threads = pd.read_csv(RESULTS / "latency.csv")["threads"].iloc[0]
        caption = (
            f"Milliseconds a batch of SST-2's test sentences, float32, {threads} threads, all in one run (latency.py); × as fast "
            "as the teacher's full pass. Early exit by confidence at each model's own recommended α."
        )
        write_readable(latencies(), tables / "latency", caption)


if __name__ == "__main__":
    main()
