"""The tables of where splitting pays, to be read, from results/pays.parquet and results/round_trips.csv.

python experiments/system/pays_tables.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from writing import write_csv, write_readable  # noqa: E402  # the experiments'

DEVICES = {
    "pixel_4_bert_base": "phone (Pixel 4, quoted)",
    "mpnet_base_epyc_1_thread": "server core (EPYC, measured)",
    "c5_9xlarge_bert_base": "edge server (c5.9xlarge, quoted)",
}
# mW per Mbit/s, and mW, while the radio sends: power models of Huang et al., MobiSys 2012
RADIO = {"3G": (868.98, 817.88), "4G": (438.39, 1288.04), "Wi-Fi": (283.17, 132.86)}
PAYLOADS = ("input", "int8", "float16", "float32")


def write_tables(folder: Path) -> None:
    """Write the tables of `folder`, that of the results, to `folder`/tables."""
    links, trips = pd.read_parquet(folder / "pays.parquet"), pd.read_csv(folder / "round_trips.csv")
    tables = folder / "tables"
    for name, (table, caption) in made(links, trips).items():
        write_csv(table, tables / f"{name}.csv")
        write_readable(_text(table), tables / name, caption)


def made(links: pd.DataFrame, trips: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, str]]:
    """Return the tables with their captions, by name."""
    samples = "Rules are chosen on half of the samples and judged on the other."
    rtt = f"round trip {links['rtt'].iloc[0]:g} ms"
    return {
        "answers": (
            answers(links),
            f"Which kind of rule has the lowest mean latency within 1 point of accuracy, and on how many links; and what "
            f"the best cut saves against the better of the cloud alone and the device alone (%, lowest to highest over "
            f"links). The input is offloaded, {rtt}, server in the cloud. {samples}",
        ),
        "winners": (
            winners(links),
            f"Which rule is the cheapest in mean latency within 1 point of accuracy: cells of texts × 10 links × "
            f"clouds (5 texts with the input and, to a server, with int8; else IMDb), {rtt}; and how much lower the latency "
            f"of the best cut is (%) than that of the better of the cloud alone and the device alone, than the cloud's, and than the device's: median (lowest to highest). "
            f"{samples}",
        ),
        "links": (
            by_link(links),
            f"Latency in ms on a phone that holds half of the layers, {rtt}, server in the cloud; medians over 5 texts: "
            "the cloud alone, and the best cut with the input or the int8 state; mean / p50 / p95.",
        ),
        "payloads": (
            payloads(links),
            "Mean latency of the best cut that offloads a state, relative to the best cut that offloads the input: "
            f"median (lowest to highest) over texts, 3 devices, clouds, half and all layers; {rtt}. float16 and float32: "
            "IMDb only.",
        ),
        "round_trips": (
            round_trips(trips),
            "From which round trip on (ms, of those tried) the best cut or the device alone has a lower mean latency "
            "than the cloud alone (–: for some text at none); for how many texts a cut is the cheapest at some round trip; "
            "and what the best cut saves against the better of both. The input is offloaded, "
            f"{trips['uplink'].iloc[0]:g} Mbit/s, server in the cloud; lowest to highest over 5 texts. {samples}",
        ),
        "radio": (
            radio(links),
            "Energy of the radio for one offload (mJ) by the power models of Huang et al. (MobiSys 2012), without the "
            "tail after a transfer; means over 5 texts. And the power (mW) at which computing on the device takes as "
            "much as offloading the input: whole model of the phone.",
        ),
    }  # fmt: skip


def answers(links: pd.DataFrame) -> pd.DataFrame:
    rows = []
    some = links[(links["payload"] == "input") & (links["cloud"] == "server")]
    for device, title in DEVICES.items():
        for held in sorted(some["device_layers"].unique(), reverse=True):
            row = {"device": title, "layers held": held}
            for trace in some["trace"].unique():
                part = some[
                    (some["device"] == device) & (some["device_layers"] == held) & (some["trace"] == trace)
                ]
                kinds = ", ".join(f"{_KINDS[kind]} {n}" for kind, n in part["answer"].value_counts().items())
                row[trace] = f"{kinds}; {_short(part['saved'].min())} to {_short(part['saved'].max())}"
            rows.append(row)
    return pd.DataFrame(rows)


def winners(links: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for device, held, payload, part in _parts(links):
        counts = part["answer"].value_counts()
        row = {"device": device, "layers held": held, "offloads": payload, "cells": len(part)}
        row |= {name: int(counts.get(kind, 0)) for kind, name in _KINDS.items()}
        for column, name in (("saved", "both"), ("saved_cloud", "cloud"), ("saved_device", "device")):
            row |= _spread(part[column], f"saved of {name}")
        rows.append(row | {"judged drop > 1": int((_of_answer(part, "drop") > 1).sum())})
    return pd.DataFrame(rows)


_KINDS = {"cloud": "cloud alone", "device": "device alone", "cut": "cut"}


def by_link(links: pd.DataFrame) -> pd.DataFrame:
    some = links[
        (links["device"] == "pixel_4_bert_base") & (links["cloud"] == "server")
        & (links["device_layers"] == links["device_layers"].min())
    ]  # fmt: skip
    rows = []
    order = some.groupby("link")["uplink"].first().sort_values(ascending=False)
    for link, uplink in order.items():
        part = some[some["link"] == link]
        row = {"link": link, "Mbit/s": uplink} | _latency(
            part[part["payload"] == "input"], "cloud", "cloud alone"
        )
        for payload in ("input", "int8"):
            row |= _latency(part[part["payload"] == payload], "cut", f"cut, {payload}")
        rows.append(row)
    return pd.DataFrame(rows)


def payloads(links: pd.DataFrame) -> pd.DataFrame:
    where = ["trace", "device", "link", "cloud", "device_layers"]
    wide = links.pivot(index=where, columns="payload", values="cut_ms")
    rows = []
    order = links.groupby("link")["uplink"].first().sort_values(ascending=False)
    for link, uplink in order.items():
        part = wide.xs(link, level="link")
        row = {"link": link, "Mbit/s": uplink}
        for payload in PAYLOADS[1:]:
            row |= _spread(part[payload] / part["input"], payload)
        rows.append(row)
    return pd.DataFrame(rows)


def round_trips(trips: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for device, title in DEVICES.items():
        for held in sorted(trips["device_layers"].unique(), reverse=True):
            part = trips[(trips["device"] == device) & (trips["device_layers"] == held)]
            row = {"device": title, "layers held": held}
            for kind, name in (("cut", "cut ahead from"), ("device", "device ahead from")):
                ahead = part[part[f"{kind}_ms"] < part["cloud_ms"]]
                first = ahead.groupby("trace")["rtt"].min().reindex(part["trace"].unique())
                row |= {
                    f"{name} low": first.min(),
                    f"{name} high": first.max() if first.notna().all() else np.nan,
                }
            row["texts where a cut is the answer"] = part[part["answer"] == "cut"]["trace"].nunique()
            for rtt in (20.0, 85.0, 320.0):
                at = part[part["rtt"] == rtt]["saved"]
                row |= {f"saved % at {rtt:g} ms low": at.min(), f"saved % at {rtt:g} ms high": at.max()}
            rows.append(row)
    return pd.DataFrame(rows)


def radio(links: pd.DataFrame) -> pd.DataFrame:
    phone = links[(links["device"] == "pixel_4_bert_base") & (links["cloud"] == "server")]
    rows = []
    for link, (by_rate, constant) in RADIO.items():
        part = phone[(phone["link"] == link) & (phone["device_layers"] == phone["device_layers"].max())]
        rate = part["uplink"].iloc[0]
        mj_per_kb = 8e-3 * (by_rate + constant / rate)
        row = {"link": link, "Mbit/s": rate, "radio mW": by_rate * rate + constant}
        for payload in ("input", "int8"):
            of = part[part["payload"] == payload]
            sizes = of["cloud_kilobytes"] if payload == "input" else _state(of)
            row[f"{payload} mJ"] = float((mj_per_kb * sizes).mean())
        whole = part[part["payload"] == "input"]
        row["break-even mW"] = float(
            (1e3 * mj_per_kb * whole["cloud_kilobytes"] / whole["device_ms"]).median()
        )
        rows.append(row)
    return pd.DataFrame(rows)


def _state(part: pd.DataFrame) -> pd.Series:
    """Return the KB of a state: what a cut transfers per offloaded sample."""
    return part["cut_kilobytes"] / part["cut_offload_rate"]


def _parts(links: pd.DataFrame):  # type: ignore[no-untyped-def]
    for device, name in DEVICES.items():
        for held in sorted(links["device_layers"].unique(), reverse=True):
            for payload in PAYLOADS:
                part = links[
                    (links["device"] == device)
                    & (links["device_layers"] == held)
                    & (links["payload"] == payload)
                ]
                yield name, held, payload, part


def _of_answer(part: pd.DataFrame, column: str) -> pd.Series:
    return part.apply(lambda row: row[f"{row['answer']}_{column}"], axis=1)


def _spread(values: pd.Series, name: str) -> dict[str, float]:
    return {name: values.median(), f"{name} low": values.min(), f"{name} high": values.max()}


def _latency(part: pd.DataFrame, kind: str, name: str) -> dict[str, float]:
    return {f"{name} {column}": part[f"{kind}_{column}"].median() for column in ("ms", "p50", "p95")}


def _text(table: pd.DataFrame) -> pd.DataFrame:
    """Join columns that belong together: "X", "X low", "X high"; "X ms", "X p50", "X p95"."""
    shown = {}
    for column in table:
        base, _, last = column.rpartition(" ")
        if last in ("low", "high", "p50", "p95") and not (last == "low" and base not in table):
            continue
        values = table[column]
        if f"{column} low" in table:
            low, high = table[f"{column} low"], table[f"{column} high"]
            shown[column] = [
                f"{_short(v)} ({_short(a)} to {_short(b)})" for v, a, b in zip(values, low, high, strict=True)
            ]
        elif last == "low":
            shown[base] = [
                f"{_short(a)} to {_short(b)}" for a, b in zip(values, table[f"{base} high"], strict=True)
            ]
        elif last == "ms" and f"{base} p50" in table:
            triple = zip(values, table[f"{base} p50"], table[f"{base} p95"], strict=True)
            shown[base] = [" / ".join(map(_short, three)) for three in triple]
        else:
            shown[column] = [value if isinstance(value, str) else _short(value) for value in values]
    return pd.DataFrame(shown)


def _short(value: float) -> str:
    """Return three digits of a number, with a true minus; "–" if there is none."""
    if value != value:
        return "–"
    digits = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return digits.replace("-", "−")


if __name__ == "__main__":
    write_tables(HERE / "results")
