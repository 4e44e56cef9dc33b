"""ELUE on real models: scores, tables and figures from the committed traces and answers, without torch.

python experiments/elue_2022/evaluate.py [--draws 1000]

A minute on two cores. Running it twice gives identical files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import splitee
from splitee.elue.metrics import get_task
from splitee.elue.predictions import Method
from splitee.elue.reference import Reference, read_reference
from splitee.elue.replayed import replayed, setting_name
from splitee.elue.score import average, score
from splitee.policies import Policy
from splitee.report.figures.pareto import pareto
from splitee.report.figures.style import write_figure
from splitee.trace import Trace

HERE = Path(__file__).parent
RESULTS = HERE / "results"
sys.path.append(str(HERE.parent))
from writing import write_csv, write_readable  # noqa: E402  # the experiments'

TASKS = {"sst2": "sst-2", "mrpc": "mrpc", "stsb": "sts-b", "snli": "snli", "scitail": "scitail"}
WAYS = ("joint", "depth-weighted", "two-stage", "alternating", "self-distillation")
THRESHOLDS = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995)
NEARNESS = (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)  # of scores
ENTROPIES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)


def methods_of(trace: Trace) -> dict[str, list[Policy]]:
    """The ways to use one model with exits, each over its settings."""
    layers = range(1, trace.layers + 1)
    alphas = NEARNESS if trace.value is not None else THRESHOLDS
    found: dict[str, list[Policy]] = {
        "joint model, cut at l": [splitee.FixedExit(i) for i in layers],
        "confidence": [splitee.ElasticBERT(alpha) for alpha in alphas],
        "patience": [splitee.PABEE(p) for p in range(1, trace.layers - 1)],
        "SplitEE": [splitee.SplitEE(alpha) for alpha in alphas],
        "SplitEE-S": [splitee.SplitEES(alpha) for alpha in alphas],
        "cascade split": [splitee.CascadeSplit(-(-trace.layers // 2), alpha) for alpha in alphas],
    }
    if trace.entropy is not None:
        found["entropy"] = [splitee.DeeBERT(nats) for nats in ENTROPIES]
    return found


def answers(task: str, backbone: str) -> list[Method]:
    """Every method's answers, of every seed that was trained."""
    files = sorted((RESULTS / "traces").glob(f"{task}-{backbone}*.parquet"))
    made = []
    for file in files:
        kind = file.stem.removeprefix(f"{task}-{backbone}")
        if kind and not kind.startswith("-seed"):
            continue
        seed = int(kind.removeprefix("-seed") or 0)
        trace = splitee.load_trace(file)
        for name, policies in methods_of(trace).items():
            named = {setting_name(policy): policy for policy in policies}
            made.append(replayed(trace, named, name, TASKS[task], seed=seed))
    return made


def scored(backbone: str, draws: int) -> tuple[pd.DataFrame, list[Method], Reference] | None:
    """Score one backbone's methods on all tasks that have a reference; None where there is none."""
    folder = RESULTS / "reference" / backbone
    tables, methods, curves, name = [], [], {}, ""
    for task in TASKS:
        mine = answers(task, backbone)
        if not mine or len(list((folder / task).glob("first-*"))) < 2:
            continue
        reference = read_reference(folder / task)
        tables.append(score(mine, reference, draws=draws))
        methods += mine
        curves |= reference.curves
        name = reference.name
    if not tables:
        return None
    return pd.concat(tables, ignore_index=True), methods, Reference(name, curves, {})


def shown(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores as one reads them."""

    def measure(row: pd.Series, name: str) -> str:
        if np.isnan(row[name]):
            return "—"
        text = f"{row[name]:+.2f} [{row[f'{name}_low']:+.2f}, {row[f'{name}_high']:+.2f}]"
        return text if row["seeds"] == 1 else f"{text} ± {row[f'{name}_seeds']:.2f}"

    return pd.DataFrame(
        {
            "task": scores["task"],
            "method": scores["method"],
            "seeds": scores["seeds"],
            "settings (outside)": [f"{a} ({b})" for a, b in zip(scores["settings"], scores["outside"], strict=True)],
            "GFLOPs": [f"{a / 1e9:.2f}–{b / 1e9:.2f}" for a, b in zip(scores["flops_low"], scores["flops_high"], strict=True)],
            "best, %": scores["best"].map("{:.2f}".format),
            "score": [measure(row, "score") for _, row in scores.iterrows()],
            "on the grid": [measure(row, "grid_score") for _, row in scores.iterrows()],
        }
    )  # fmt: skip


def objectives() -> pd.DataFrame:
    """Accuracy of every exit by the way it was trained: the same steps, SST-2, MiniLM."""
    rows = []
    for way in WAYS:
        file = RESULTS / "traces" / f"sst2-minilm{'' if way == 'joint' else f'-{way}'}.parquet"
        if not file.exists():
            continue
        trace = splitee.load_trace(file)
        accuracy = 100 * trace.accuracy_per_exit()
        half = 100 * 1.96 * np.sqrt(accuracy / 100 * (1 - accuracy / 100) / trace.samples)
        rows.append(
            {"trained": way}
            | {f"exit {i}": f"{a:.1f} ± {h:.1f}" for i, (a, h) in enumerate(zip(accuracy, half, strict=True), 1)}
            | {"mean": f"{accuracy.mean():.1f}"}
        )  # fmt: skip
    return pd.DataFrame(rows)


def references() -> pd.DataFrame:
    """Every l-layer model beside the joint model cut there."""
    rows = []
    for backbone in ("minilm", "mpnet"):
        for task, name in TASKS.items():
            for folder in sorted((RESULTS / "reference" / backbone / task).glob("first-*"), key=_layers):
                reference_points = read_points(folder)
                layers = _layers(folder)
                trace_file = RESULTS / "traces" / f"{task}-{backbone}.parquet"
                joint = float("nan")
                if trace_file.exists():
                    trace = splitee.load_trace(trace_file)
                    joint = 100 * performance(trace, layers, name)
                rows.append(
                    {
                        "backbone": backbone,
                        "task": name,
                        "layers": layers,
                        "gflops": reference_points[0] / 1e9,
                        "fine_tuned_alone": reference_points[1],
                        "joint_model": joint,
                    }
                )
    return pd.DataFrame(rows)


def read_points(folder: Path) -> tuple[float, float]:
    """FLOPs and performance of a method with one setting."""
    from splitee.elue.predictions import read_method

    flops, percent = read_method(folder).points()[0]
    return float(flops), float(percent)


def performance(trace: Trace, exit_: int, task: str) -> float:
    """The metric of one exit."""
    about = get_task(task)
    said = trace.value if about.regression else trace.prediction
    right = trace.target if about.regression else trace.label
    assert said is not None
    assert right is not None
    return about.metric(said[:, exit_ - 1], right)


def _layers(folder: Path) -> int:
    return int(folder.name.removeprefix("first-"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    tables = RESULTS / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    (RESULTS / "figures").mkdir(exist_ok=True)
    for backbone, model in (("minilm", "all-MiniLM-L6-v2"), ("mpnet", "all-mpnet-base-v2")):
        found = scored(backbone, given.draws)
        if found is None:
            continue
        scores, methods, reference = found
        figure = pareto(methods, reference)
        for kind in ("png", "pdf"):
            write_figure(figure, RESULTS / "figures" / f"pareto_{backbone}.{kind}", True)
        write_csv(scores, tables / f"scores_{backbone}.csv")
        caption = (
            f"Score of ways to use one {model} with an exit after every layer, against models of its first l layers "
            "fine-tuned by themselves, in points on the test split; [95 % over samples, paired] ± standard deviation "
            "over seeds. Not the ELUE score: that is against ElasticBERT-base."
        )
        write_readable(shown(scores), tables / f"scores_{backbone}", caption)
        write_csv(average(scores), tables / f"average_{backbone}.csv")
    ways = objectives()
    if len(ways):
        caption = (
            "SST-2 test accuracy (%, ± 95 % of the binomial) by exit of all-MiniLM-L6-v2, four epochs each, "
            "one seed, by the way its exits were trained."
        )
        write_readable(ways, tables / "objectives", caption)
    known = references()
    write_csv(known, tables / "references.csv")
    known = known.assign(
        gflops=known["gflops"].map("{:.2f}".format),
        fine_tuned_alone=known["fine_tuned_alone"].map("{:.2f}".format),
        joint_model=known["joint_model"].map(lambda p: "—" if np.isnan(p) else f"{p:.2f}"),
    ).rename(columns={"fine_tuned_alone": "fine-tuned alone, %", "joint_model": "joint model cut at l, %"})
    write_readable(
        known,
        tables / "references",
        "The first l layers, fine-tuned alone with one exit, and the joint model's exit l.",
    )


if __name__ == "__main__":
    main()
