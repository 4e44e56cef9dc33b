"""The stored field and the leaderboard: what `splitee bench` has played.

    splitee bench experiments/bench/policies/*.py --all --out FOLDER
    python experiments/bench/leaderboard.py FOLDER

Writes splitee/bench/field.parquet (the results that `splitee bench mine.py` ranks a policy among), docs/leaderboard.md
and docs/figures/leaderboard.png. Every number of the page comes from FOLDER.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

import splitee
from splitee.bench.figures import ranks
from splitee.bench.suite import TRACKS, cells
from splitee.bench.tables import store_field
from splitee.bench.words import TRACKS as IN_WORDS
from splitee.bench.words import cells_of
from splitee.report.figures.style import png

ROOT = Path(splitee.__file__).parents[1]
PAGE, FIGURE = ROOT / "docs" / "leaderboard.md", ROOT / "docs" / "figures" / "leaderboard.png"
FIELD_FORMS = ("published", "released", "corrected", "derived")
QUESTION = "drop 1"


def share_of(row: dict[str, Any]) -> float:
    """Return the cost in % of cloud-only."""
    return 100 * math.exp(row["score"] / 100)


def table(
    document: dict[str, Any], times: dict[str, Any], question: str, most: int | None = None
) -> list[str]:
    """Return the lines of a table of all cells."""
    forms = {one["name"]: one["form"] for one in document["entrants"]}
    score = "regret" if question == "regret" else "cost, %"
    lines = [
        f"| rank | policy | form | {score} | drop (worst) | broken, % | promise broken, % | fell back, % | λ | ms | mJ | KB | µs | state, KB |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in document["tables"][question]["all"][:most]:
        c = cells_of(row, times, question)
        lines.append(
            f"| {c['rank']} | {c['entrant']} | {forms[row['entrant']]} | {c['score']} | {c['drop']} ({c['worst_drop']}) | "
            f"{c['broken']} | {c['promise_broken']} | {c['fell_back']} | {c['cost']} | {c['ms']} | {c['mJ']} | {c['KB']} | "
            f"{c['seconds']} | {c['bytes']} |"
        )
    return lines


def by_track(document: dict[str, Any]) -> list[str]:
    """Return the lines of a table of cost and broken limits by track."""
    tables = document["tables"][QUESTION]
    lines = ["| policy | " + " | ".join(TRACKS) + " |", "|---|" + "---:|" * len(TRACKS)]
    rows = {track: {row["entrant"]: row for row in tables[track]} for track in TRACKS}
    for row in tables["all"]:
        if row["rank"] is None:
            continue
        told = []
        for track in TRACKS:
            of = rows[track][row["entrant"]]
            told.append(f"{share_of(of):.0f}" + (f" ({of['broken']:.0f})" if of["broken"] else ""))
        lines.append(f"| {row['entrant']} | {' | '.join(told)} |")
    return lines


def findings(document: dict[str, Any], frame: pd.DataFrame) -> list[str]:
    """Return what the numbers say, one sentence or two each."""
    tables = document["tables"]
    forms = {one["name"]: one["form"] for one in document["entrants"]}
    rows = {part: {row["entrant"]: row for row in tables[QUESTION][part]} for part in ("all", *TRACKS)}
    regret = {row["entrant"]: row for row in tables["regret"]["all"]}
    learners = [name for name, form in forms.items() if form in FIELD_FORMS and rows["all"][name]["rank"]]
    rule = rows["all"]["fixed rule"]
    dearer = [name for name in learners if rows["all"][name]["score"] > rule["score"]]
    apart = [name for name in learners if rows["all"][name]["best"] > rule["worst"]]
    beyond = [name for name in learners if rows["all"][name]["score"] >= 0]
    shift = rows["shift"]
    best = sorted((row for row in regret.values() if row["rank"]), key=lambda row: row["rank"])[:6]
    kept = [
        row
        for row in sorted(shift.values(), key=lambda row: row["score"])
        if row["rank"] and row["broken"] == 0 and row["score"] < 0
    ]
    splits = [rows["all"][name] for name in ("SplitEE", "SplitEE-S", "Thompson", "μLinUCB", "Bayes-UCB")]
    chosen = rows["all"]["SplitEE, α chosen"]
    asked = frame[(frame["question"] == QUESTION) & (frame["entrant"].isin(learners))]
    fell = asked.groupby("entrant", observed=True)["fell_back"].mean()
    never = sorted(str(name) for name, share in fell.items() if share == 1)
    return [
        f"**A fixed rule on labels beats the field.** {len(dearer)} of {len(learners)} published, released or derived policies "
        f"cost more than the cheapest rule (layer, threshold) on the half with labels ({share_of(rule):.0f} % of cloud-only); "
        f"{len(apart)} of them are significantly dearer. {len(beyond)} cost no less than offloading everything.",
        f"**It breaks its word if labels are of other data.** In the track *shift* the fixed rule breaks the limit in "
        f"{shift['fixed rule']['broken']:.0f} % of cells, ElasticBERT in {shift['ElasticBERT']['broken']:.0f} %, the CRC rule in "
        f"{shift['CRC rule']['broken']:.0f} %, LTT and UCB-WSR on agreement in {shift['LTT rule, unlabelled']['broken']:.0f} and "
        f"{shift['UCB-WSR rule, unlabelled']['broken']:.0f} %; the certified split in {shift['certified split']['broken']:.0f} %, audited "
        f"stopping in {shift['audited stopping']['broken']:.0f} %.",
        "**Who keeps the limit there and still saves**, the cheapest first: "
        + ", ".join(f"{row['entrant']} ({share_of(row):.0f} %)" for row in kept[:8])
        + ".",
        "**The least regret is the worst answer.** The first six by regret lose "
        + ", ".join(f"{row['drop']:.0f}" for row in best)
        + " points of accuracy: "
        + ", ".join(row["entrant"] for row in best)
        + ". With reward = confidence − μ · cost, a wrong answer at exit 1 is worth more than a dear right one.",
        "**Learners of the layer lie together.** SplitEE, SplitEE-S, Thompson, μLinUCB and Bayes-UCB cost "
        + ", ".join(f"{share_of(row):.0f}" for row in splits)
        + f" % of cloud-only at a limit of 1 point. With α chosen as well, SplitEE costs {share_of(chosen):.0f} %.",
        "**Promises.** Of the orders, the certified split breaks its δ in "
        f"{rows['all']['certified split']['promise_broken']:.1f} %. Audited stopping aims at δ, and exceeds it in "
        f"{rows['all']['audited stopping']['promise_broken']:.0f} %; what it guarantees is its own bound. Other policies promise nothing.",
        f"**Never within a point.** In every cell without a setting that keeps the limit: {', '.join(never) or 'none'}.",
    ]


def page(document: dict[str, Any], times: dict[str, Any], frame: pd.DataFrame) -> str:
    """Return the page in Markdown."""
    lines = [
        "# Leaderboard",
        "",
        f"{document['suite']}, seal `{document['seal'][:16]}…`: {len(document['entrants'])} policies in {len(cells())} cells on {document['traces']} traces.",
        "[EE-Bench](bench.md) says what is measured. This page is made by `splitee bench experiments/bench/policies/*.py --all",
        "--out FOLDER` and `python experiments/bench/leaderboard.py FOLDER`; no number or sentence of it is written by hand.",
        "",
        "## What is uncomfortable",
        "",
        *[f"- {sentence}" for sentence in findings(document, frame)],
        "",
        "## Least cost at a drop of at most 1 point",
        "",
        "Cost in % of cloud-only, geometric mean with its 95 % interval over traces; rank with its interval, all comparisons",
        "together. λ: cells with constant costs; ms, mJ, KB: cells with a device and a link; µs and state: as a device loop in Python.",
        "",
        *table(document, times, QUESTION),
        "",
        "![rank of each policy, and its interval](figures/leaderboard.png)",
        "",
        "## By track",
        "",
        "Cost in % of cloud-only at a drop of at most 1 point; in brackets the share of cells in which the limit is broken, %. "
        + "; ".join(f"*{track}*: {IN_WORDS[track]}" for track in TRACKS)
        + ".",
        "",
        *by_track(document),
        "",
        "## Least regret",
        "",
        "The first 25. Reward per round below that of the best fixed split in hindsight, in % of 1 + μ · (cost of cloud-only).",
        "",
        *table(document, times, "regret", 25),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    document = json.loads((given.folder / "bench.json").read_text(encoding="utf-8"))
    times = json.loads((given.folder / "times.json").read_text(encoding="utf-8"))
    frame = pd.read_parquet(given.folder / "cells.parquet")
    if document["field"] != "played":
        raise SystemExit("the package's policies were read, not played: run splitee bench with --all")
    field = frame[~frame["entrant"].isin(document["own"])].reset_index(drop=True)
    store_field(field.astype({"entrant": str}).astype({"entrant": "category"}))
    PAGE.write_text(page(document, times, frame), encoding="utf-8")
    FIGURE.write_bytes(png(ranks(document["tables"][QUESTION]["all"], [])))
    print(f"wrote {PAGE}, {FIGURE} and the stored field")


if __name__ == "__main__":
    main()
