"""SplitEE against cloud-only, fixed exits and fixed splits, on the bundled traces: who wins where.

python experiments/splitee_2023/compare.py

Writes comparison.csv (every policy, both intervals are of `splitee.Results.summary`) and comparison.md (one row a
setting) beside this file.
"""

from pathlib import Path

import pandas as pd

import splitee
from splitee.files import write_text
from splitee.policies.named import DEFAULT, make_policies
from splitee.report.tables import usable

HERE = Path(__file__).parent
OFFLOADS = (1, 3, 5, 8, 12)
DROP = 1.0  # points of accuracy that the "cheapest" may lose, at the lower end of the data interval


def setting(trace: splitee.Trace, device_layers: int, offload: float) -> pd.DataFrame:
    alpha = trace.recommended_threshold
    policies = make_policies(DEFAULT, trace.layers, device_layers, alpha)
    costs = splitee.CostModel(offload=offload, device_layers=device_layers)
    summary = splitee.replay(trace, policies, costs, mu=0.1, repeats=20, seed=0).summary("data")
    facts = {"trace": trace.name, "device_layers": device_layers, "offload": offload, "threshold": alpha}
    return pd.concat([pd.DataFrame([facts] * len(summary)), summary], axis=1)


def cell(row: pd.Series) -> str:
    return f"{row['cost']:.2f} λ, {100 * row['accuracy_delta']:+.2f}"


def compact(table: pd.DataFrame) -> str:
    """One row a setting: cost and points against final-exit."""
    lines = [
        "| trace | layers on device | o | SplitEE | SplitEE-S (causal) | cloud-only | best split (hindsight) "
        f"| cheapest fixed exit within {DROP:g} point | cheapest fixed split within {DROP:g} point "
        f"| cheapest of all within {DROP:g} point |",
        "|---|---:|---:|---|---|---|---|---|---|---|",
    ]
    for (name, device, offload), rows in table.groupby(["trace", "device_layers", "offload"], sort=False):
        at = rows.set_index("policy")
        fit = rows[usable(rows) & (100 * rows["accuracy_delta_low"] >= -DROP)]

        def cheapest(of: pd.DataFrame) -> str:
            if of.empty:
                return "none"
            best = of.sort_values("cost").iloc[0]
            return f"{best['policy']}: {cell(best)}"

        cells = [
            name,
            str(device),
            f"{offload:g}",
            *(
                cell(at.loc[p])
                for p in ("SplitEE", "SplitEE-S (causal)", "cloud-only", "best split (hindsight)")
            ),
            cheapest(fit[fit["policy"].str.startswith("exit ")]),
            cheapest(fit[fit["policy"].str.startswith("split ")]),
            cheapest(fit),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    traces = [splitee.load_trace(name) for name in ("imdb", "yelp_sentences")]
    table = pd.concat(
        [
            setting(trace, device_layers, offload)
            for trace in traces
            for device_layers in (trace.layers, trace.layers // 2)
            for offload in OFFLOADS
        ],
        ignore_index=True,
    )
    write_text(HERE / "comparison.csv", table.to_csv(index=False, float_format="%.6g"), overwrite=True)
    write_text(HERE / "comparison.md", compact(table), overwrite=True)
    print(compact(table))


if __name__ == "__main__":
    main()
