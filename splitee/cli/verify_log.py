"""`splitee verify-log`: whether a device did what the policy does, and how long it took."""

from __future__ import annotations

import json
from typing import Any

import click

from splitee.cli import options, system_options, systems


@click.command("verify-log")
@click.argument("log")
@system_options.system
@options.as_json()
def command(log: str, given: dict[str, Any], as_json: bool) -> None:
    """Replay the policy on what a device saw, in the order in which feedback arrived.

    LOG is what `splitee device` wrote, or its journal. Exit code 1 says that a decision differs, and the line
    names the first. Latencies and bytes stand beside what the run's system predicts, or these options'.

    \b
    Example:
      splitee verify-log log.parquet
      splitee verify-log log.parquet --device raspberry_pi4 --uplink 5 --rtt 40
    """
    import numpy as np

    from splitee.runtime.log import load_log
    from splitee.runtime.predicting import measured, predicted
    from splitee.runtime.replaying import replay
    from splitee.runtime.setting import Rules

    found = load_log(log)
    rules = Rules(found.setting)
    records = found.records
    difference = replay(rules, records)
    answered = [one for one in records if one.by]
    system = rules.system
    if systems.is_given(given):
        system = systems.system_of(given, rules.stand_in(np.array([1]), np.array([1])), None)
    document: dict[str, Any] = {
        "log": log,
        "policy": rules.name,
        "samples": len(records),
        "same": difference is None,
        "first_difference": None if difference is None else vars(difference),
        "unanswered": len(records) - len(answered),
        "offloaded": sum(one.offloaded for one in records),
        "lost": sum(bool(one.lost) for one in records),
        "measured": measured(answered) if answered else None,
        "predicted": None
        if system is None or not answered
        else predicted(rules, system, answered, found.setting.one_at_a_time),
    }
    if as_json:
        click.echo(json.dumps(document))
    else:
        _print(document, str(difference))
    if difference is not None:
        raise SystemExit(1)


def _print(found: dict[str, Any], difference: str) -> None:
    from rich import box
    from rich.table import Table

    from splitee.cli.printing import table_console

    said = "every decision is the same" if found["same"] else f"decisions differ: {difference}"
    click.echo(f"{found['log']}: {found['policy']}, {found['samples']:,} samples: {said}")
    click.echo(
        f"{found['offloaded']:,} offloaded, {found['lost']:,} without the cloud's answer, "
        f"{found['unanswered']:,} not answered"
    )
    measured, predicted = found["measured"], found["predicted"]
    if measured is None:
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", justify="left")
    columns = {"measured": measured, **({} if predicted is None else {"predicted": predicted})}
    for name in columns:
        table.add_column(name, justify="right")
    for key, heading in _ROWS.items():
        table.add_row(heading, *(f"{of[key]:.3f}" if key in of else "" for of in columns.values()))
    table_console(100, highlight=False).print(table)
    if predicted is None:
        click.echo("· no prediction: the run had no system (--device or --layer-ms, --uplink, --rtt)")


_ROWS = {
    "latency_p50": "latency p50, ms",
    "latency_p95": "latency p95, ms",
    "latency": "mean latency, ms",
    "device_ms": "computing on the device, mean ms",
    "own_ms_p50": "policy, log and bookkeeping, p50 ms",
    "kilobytes": "sent per sample, mean KB",
}
