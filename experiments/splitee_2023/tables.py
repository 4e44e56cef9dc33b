"""The tables of the evaluation: all numbers as CSV, what is to be read also as Markdown and LaTeX."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from scenarios import PAIRS, PAPER_OFFLOAD

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from writing import points, write_csv, write_readable  # noqa: E402  # the experiments'

NAMES = {"imdb": "IMDb", "yelp_sentences": "Yelp", "scitail": "SciTail", "qqp": "QQP", "snli": "SNLI"}
MAIN = (  # rows of the main table, in order; a name that begins so
    *("final-exit", "exit 12", "source exit", "ElasticBERT", "DeeBERT", "PABEE", "cloud-only", "random"),
    *("source split", "cascade split", "SplitEE", "SplitEE-S (causal)", "SplitEE-S (published)", "UCB-tuned"),
    *("Thompson", "explore-then-commit 200", "best split (hindsight)", "oracle (per sample)"),
)


def write_tables(tables: dict[str, pd.DataFrame], out: Path) -> None:
    """Write every table below `out`: the numbers, and of the numbers as written what is to be read."""
    folder = out / "tables"
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    write_readable_tables({name: pd.read_csv(folder / f"{name}.csv") for name in tables}, folder)


def write_readable_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write the Markdown and LaTeX tables."""
    curves = tables["curves"]
    for half in (False, True):
        name = "main_half" if half else "main"
        device = "half of the layers" if half else "all layers"
        write_readable(
            main_table(curves, half),
            folder / name,
            f"Accuracy (%) [Δ points against final-exit, 95 % data interval], cost (λ a sample) and its change, at "
            f"o = {PAPER_OFFLOAD:g} λ, μ = 0.1; the device holds {device}. "
            + (
                ""
                if half
                else "Below: the authors' numbers (theirs: another backbone, other splits and sizes). "
            )
            + "* reads what no device could; † not on this device.",
        )
    write_readable(
        short_table(curves),
        folder / "readme",
        "Cost (λ a sample), Δ accuracy (points against final-exit), μ = 0.1; α, source exit and source split are chosen on the "
        "source. Bold: the cheapest "
        "of these that loses at most a point (lower end of the data interval). † cannot be run on this device.",
    )
    write_readable(
        released_table(tables["as_released"]),
        folder / "as_released",
        f"As released against as written, at the authors' α and o = {PAPER_OFFLOAD:g} λ: Δ points / change of cost "
        "against final-exit. The last rows are the authors' own.",
    )
    write_readable(
        counts_table(curves),
        folder / "counts",
        f"Samples answered on the device / offloaded, and the layer settled on, at o = {PAPER_OFFLOAD:g} λ.",
    )
    write_readable(
        regret_table(tables["regrets"]),
        folder / "regret",
        f"Regret after 2,000 samples and after the whole stream, at o = {PAPER_OFFLOAD:g} λ, mean of 20 orders: common "
        "(against the best split with one exit evaluated) and own (at the policy's own price, as in the paper).",
    )
    write_readable(
        threshold_table(tables["thresholds"]),
        folder / "thresholds",
        f"Accuracy (%) / cost (λ a sample) at each α, o = {PAPER_OFFLOAD:g} λ, all layers on the device.",
    )
    write_readable(
        stream_table(tables["other_streams"]),
        folder / "streams",
        "Regret by segment of the stream (each against its own best split; mean of 20 orders, of one where it is as it "
        "is), accuracy (%) and cost (λ a sample) over the whole stream; o = 12 λ, all layers on the device. α and the "
        "source split were chosen on the very samples of a source's segment.",
    )
    write_readable(
        side_table(tables["side_information"]),
        folder / "side_information",
        "How far the mean reward that side information suggests lies from the arm's own (points of confidence), were "
        "every sample run to layer 6; and the share of samples whose C_L it would need (C_j < α) and does not see.",
    )
    write_readable(
        calibration_table(tables["calibration"]),
        folder / "calibration",
        "Temperatures fitted on the source's validation trace: calibration error on the target before → after, and "
        "the share of samples with C ≥ α, each at its own α.",
    )
    write_readable(
        phase_table(tables["phases"]),
        folder / "phases",
        "Share of the phase map (21 prices × 12 drops) in which a class of policies is the cheapest (%).",
    )


def _pairs(table: pd.DataFrame) -> list[str]:
    return [pair for pair in PAIRS if pair in set(table["pair"])]


def main_table(curves: pd.DataFrame, half: bool) -> pd.DataFrame:
    at = curves[curves["offload"] == PAPER_OFFLOAD]
    layers = at.groupby("pair")["device_layers"].transform("min" if half else "max")
    at = at[at["device_layers"] == layers]
    rows = []
    for start in MAIN:
        row: dict[str, str] = {}
        for pair in _pairs(at):
            mine = at[at["pair"] == pair]
            exact = mine[mine["policy"] == start]
            found = exact if len(exact) else mine[mine["policy"].str.startswith(f"{start} ")]
            one = found.iloc[0]
            marks = ("*" if one["sees_final"] else "") + ("" if one["on_device"] else "†")
            delta = points(tuple(one[f"accuracy_delta{end}"] for end in ("", "_low", "_high")))
            row[f"{NAMES[pair]} accuracy"] = f"{100 * one['accuracy']:.2f} ({delta})"
            row[f"{NAMES[pair]} cost"] = f"{one['cost']:.2f} ({100 * one['cost_change']:+.1f} %){marks}"
        rows.append({"policy": start, **row})
    if not half:
        rows += authors_rows(_pairs(at))
    return pd.DataFrame(rows).fillna("")


SHORT = (
    "source exit",
    "ElasticBERT",
    "cloud-only",
    "source split",
    "SplitEE",
    "SplitEE-S (causal)",
)
SHORT += ("Thompson", "best split (hindsight)")


def short_table(curves: pd.DataFrame) -> pd.DataFrame:
    """The README's: the paper's price on the whole device, and a dear one on half of it."""
    rows = []
    for price, half in ((PAPER_OFFLOAD, False), (12.0, True)):
        at = curves[curves["offload"] == price]
        held = at.groupby("pair")["device_layers"].transform("min" if half else "max")
        at = at[at["device_layers"] == held]
        block = []
        for start in SHORT:
            row = {"o, device": f"{price:g} λ, {'half' if half else 'all'}", "policy": start}
            for pair in _pairs(at):
                mine = at[at["pair"] == pair]
                one = mine[(mine["policy"] == start) | mine["policy"].str.startswith(f"{start} ")].iloc[0]
                usable = one["on_device"] and not one["hindsight"]
                row[NAMES[pair]] = f"{one['cost']:.2f}, {100 * one['accuracy_delta']:+.2f}" + (
                    "" if usable else "†"
                )
                good = usable and 100 * one["accuracy_delta_low"] >= -1
                row[f"{pair} rank"] = one["cost"] if good else float("inf")
            block.append(row)
        for pair in _pairs(at):
            best = min(block, key=lambda row: row[f"{pair} rank"])
            best[NAMES[pair]] = f"**{best[NAMES[pair]]}**"
            for row in block:
                del row[f"{pair} rank"]
        rows += block
    return pd.DataFrame(rows)


def authors_rows(pairs: list[str]) -> list[dict[str, str]]:
    """The authors' numbers at o = 5 λ; their cost is of a whole stream in 10⁴ λ, a change needs no size."""
    theirs = pd.read_csv(HERE / "authors.csv").set_index(["method", "pair"])
    rows = []
    for method in ("Final-exit", "ElasticBERT", "SplitEE", "SplitEE-S"):
        row = {"policy": f"authors: {method}"}
        for pair in pairs:
            one, final = theirs.loc[(method, pair)], theirs.loc[("Final-exit", pair)]
            gap, change = one["accuracy"] - final["accuracy"], one["cost"] / final["cost"] - 1
            row[f"{NAMES[pair]} accuracy"] = f"{one['accuracy']:.2f} ({gap:+.2f})"
            row[f"{NAMES[pair]} cost"] = f"{one['cost']:.2f}·10⁴ ({100 * change:+.1f} %)"
        rows.append(row)
    return rows


def released_table(released: pd.DataFrame) -> pd.DataFrame:
    at = released[released["offload"] == PAPER_OFFLOAD]
    rows = []
    for policy in at["policy"].unique():
        row = {"policy": policy}
        for pair in _pairs(at):
            one = at[(at["pair"] == pair) & (at["policy"] == policy)].iloc[0]
            row[NAMES[pair]] = f"{100 * one['accuracy_delta']:+.2f} / {100 * one['cost_change']:+.1f} %"
        rows.append(row)
    theirs = pd.read_csv(HERE / "authors.csv").set_index(["method", "pair"])
    for method in ("ElasticBERT", "SplitEE", "SplitEE-S"):
        row = {"policy": f"authors: {method}"}
        for pair in _pairs(at):
            one, final = theirs.loc[(method, pair)], theirs.loc[("Final-exit", pair)]
            gap, change = one["accuracy"] - final["accuracy"], one["cost"] / final["cost"] - 1
            row[NAMES[pair]] = f"{gap:+.2f} / {100 * change:+.1f} %"
        rows.append(row)
    return pd.DataFrame(rows)


def counts_table(curves: pd.DataFrame) -> pd.DataFrame:
    at = curves[curves["offload"] == PAPER_OFFLOAD]
    rows = []
    for policy in ("SplitEE", "SplitEE-S (causal)", "SplitEE-S (published)", "Thompson"):
        for half in (False, True):
            row = {"policy": policy, "device": "half" if half else "all"}
            for pair in _pairs(at):
                mine = at[(at["pair"] == pair) & (at["policy"] == policy)]
                one = mine.sort_values("device_layers").iloc[0 if half else -1]
                sent = one["offload_rate"] * one["samples"]
                row[NAMES[pair]] = (
                    f"{one['samples'] - sent:,.0f} / {sent:,.0f}, layer {one['layer']} ({one['layer_repeats']}/20)"
                )
            rows.append(row)
    theirs = pd.read_csv(HERE / "authors_counts.csv").set_index(["policy", "pair"])
    for policy in ("SplitEE", "SplitEE-S"):
        row = {"policy": f"authors: {policy}", "device": "all"}
        for pair in _pairs(at):
            one = theirs.loc[(policy, pair)]
            row[NAMES[pair]] = f"{one['exits']:,} / {one['offloads']:,}, layer {one['layer']}"
        rows.append(row)
    return pd.DataFrame(rows)


def regret_table(regrets: pd.DataFrame) -> pd.DataFrame:
    last = regrets.groupby(["pair", "policy", "against", "part"], sort=False).tail(1)
    rows = []
    for policy in last["policy"].unique():
        row = {"policy": policy}
        for pair in _pairs(last):
            mine = last[(last["policy"] == policy) & (last["pair"] == pair)].set_index(["against", "part"])[
                "regret"
            ]
            for against in ("common", "own"):
                row[f"{NAMES[pair]} {against}"] = " / ".join(
                    f"{mine[(against, part)]:,.0f}" for part in ("first 2,000", "whole")
                )
        rows.append(row)
    return pd.DataFrame(rows)


def threshold_table(thresholds: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (pair, policy), mine in thresholds.groupby(["pair", "policy"], sort=False):
        row = {"pair": NAMES[pair], "policy": policy}
        for _, one in mine.iterrows():
            row[f"α = {one['threshold']:g}"] = f"{100 * one['accuracy']:.2f} / {one['cost']:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def stream_table(streams: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (pair, stream, policy), mine in streams[streams["offload"] == 12.0].groupby(
        ["pair", "stream", "policy"], sort=False
    ):
        rows.append(
            {
                "stream": f"{NAMES[pair]}: {stream}" if "→" not in stream else stream,
                "policy": policy,
                "regret by segment": " + ".join(f"{regret:,.0f}" for regret in mine["regret"]),
                "accuracy": f"{100 * mine['stream_accuracy'].iloc[0]:.2f}",
                "cost": f"{mine['stream_cost'].iloc[0]:.2f}",
            }
        )
    return pd.DataFrame(rows)


def side_table(side: pd.DataFrame) -> pd.DataFrame:
    at = side[side["played"] == 6]
    rows = []
    for arm in sorted(at["arm"].unique()):
        row = {"arm": arm}
        for pair in _pairs(at):
            one = at[(at["pair"] == pair) & (at["arm"] == arm)].iloc[0]
            row[NAMES[pair]] = (
                f"causal {100 * one['causal']:+.2f}, skip {100 * one['skip']:+.2f}, unseen {100 * one['unobserved']:.0f} %"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def calibration_table(calibration: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for exit_ in sorted(calibration["exit"].unique()):
        row = {"exit": exit_}
        for pair in _pairs(calibration):
            mine = calibration[(calibration["pair"] == pair) & (calibration["exit"] == exit_)].set_index(
                "trace"
            )
            old, new = mine.loc["as trained"], mine.loc["calibrated"]
            row[f"{NAMES[pair]} T"] = f"{new['temperature']:.2f}"
            row[f"{NAMES[pair]} error"] = f"{old['calibration_error']:.3f} → {new['calibration_error']:.3f}"
            row[f"{NAMES[pair]} ≥ α {old['threshold']:g} → {new['threshold']:g}"] = (
                f"{100 * old['share']:.0f} → {100 * new['share']:.0f} %"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def phase_table(phases: pd.DataFrame) -> pd.DataFrame:
    rows = []
    won = phases[phases["cheapest"]]
    for (pair, device), mine in won.groupby(["trace", "device_layers"], sort=False):
        shares = mine["class"].value_counts(normalize=True)
        row = {"pair": NAMES[pair], "layers on the device": device}
        rows.append(row | {name: f"{100 * shares.get(name, 0):.0f}" for name in phases["class"].unique()})
    return pd.DataFrame(rows)
