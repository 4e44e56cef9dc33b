"""`splitee trace threshold`: choose α, or one α per exit for a budget."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.traces import read_trace
from splitee.costs import CostModel
from splitee.trace import Trace
from splitee.trace.risk import LOSSES, RISK_RULES, RiskThreshold, threshold_for_risk
from splitee.trace.threshold import (
    BudgetThresholds,
    RecommendedThreshold,
    recommend_threshold,
    thresholds_for_budget,
)


@click.command("threshold", short_help="Choose α on TRACE: one for all exits, or one per exit for a budget.")
@click.argument("trace")
@click.option(
    "--rule",
    help="Rule for one α: best accuracy (best), the least α within some points of it (within:POINTS), or the"
    " least at which at most POINTS % of the answers differ from the last exit's (agree:POINTS, without"
    " labels); or risk control: naive, crc, ltt, ucb-wsr.  [default: within:0.5, or agree:1 without labels]",
)
@click.option("--risk", type=options.NUMBER, help="The risk ε of risk control, such as 0.02.")
@click.option("--failure", type=options.NUMBER, help="Probability that ltt or ucb-wsr fails.  [default: 0.1]")
@click.option(
    "--loss",
    type=click.Choice(LOSSES),
    help="The loss of risk control: answers that differ from the last exit's, or how much more often the"
    " answer is wrong.  [default: error, or disagreement without labels]",
)
@click.option(
    "--budget",
    type=options.NUMBER,
    metavar="COST",
    help="Choose one α per exit instead, for this mean cost in λ.",
)
@options.layer_cost()
@options.exit_cost()
@options.as_json()
def command(
    trace: str,
    rule: str | None,
    risk: float | None,
    failure: float | None,
    loss: str | None,
    budget: float | None,
    layer_cost: float,
    exit_cost: float,
    as_json: bool,
) -> None:
    """Choose the confidence threshold α on TRACE, a validation trace of the model's source.

    A threshold chosen on the data that it is judged on looks better than it is.

    \b
    Examples:
      splitee trace threshold rte_validation --rule best
      splitee trace threshold rte_validation --rule ltt --risk 0.02
      splitee trace threshold rte_validation --budget 6
    """
    if budget is not None and rule is not None:
        raise InputError("--rule and --budget are two ways to choose: give one")
    controlled = rule in RISK_RULES
    if controlled != (risk is not None):
        raise InputError(f"--rule {', '.join(RISK_RULES)} and --risk go together: give both or neither")
    if not controlled and (failure is not None or loss is not None):
        raise InputError("--failure and --loss are of risk control: give --rule and --risk too")
    loaded = read_trace(trace)
    if rule is not None and risk is not None:
        found = threshold_for_risk(loaded, rule, risk, failure=0.1 if failure is None else failure, loss=loss)
        click.echo(json.dumps(found.to_dict())) if as_json else _print_risk(loaded, found)
        return
    if budget is not None:
        costs = CostModel(layer_cost, exit_cost, exit_layers=loaded.exit_layers)
        met = thresholds_for_budget(loaded, budget, costs.device(loaded.layers, every_exit=True).tolist())
        click.echo(json.dumps(asdict(met))) if as_json else _print_budget(loaded, met)
        return
    chosen = recommend_threshold(loaded, rule or ("within:0.5" if loaded.has_labels else "agree:1"))
    click.echo(json.dumps(chosen.to_dict())) if as_json else _print_rule(loaded, chosen)


def _print_rule(trace: Trace, chosen: RecommendedThreshold) -> None:
    measure = "agreement" if chosen.rule.startswith("agree") else "accuracy"
    click.echo(f"{trace.name}, {chosen.samples:,} samples: a confidence cascade over all exits")
    table = Table()
    for heading in ("α", measure, "chosen in"):
        table.add_column(heading, justify="right")
    for alpha, share in chosen.accuracy.items():
        mark = " ←" if float(alpha) == chosen.value else ""
        table.add_row(f"{alpha}{mark}", f"{share:.2%}", f"{chosen.picked[alpha]:.0%}")
    Console(highlight=False).print(table)
    click.echo(f"α = {chosen.value:g} by the rule {chosen.rule}: --threshold {chosen.value:g}")
    click.echo("chosen in: the share of resamples of these samples in which the rule chooses this α.")


def _print_risk(trace: Trace, found: RiskThreshold) -> None:
    says = {
        "disagreement": "answers that differ from the last exit's",
        "error": "wrong answers beyond those of the last exit",
    }[found.loss]
    click.echo(f"{trace.name}, {found.samples:,} samples: a confidence cascade over all exits")
    click.echo(f"risk ε = {found.risk:g} of {says}; rule {found.rule}{_promise(found)}")
    table = Table()
    for heading in ("α", "loss"):
        table.add_column(heading, justify="right")
    shown = [alpha for alpha in found.losses if float(alpha) * 20 % 1 < 1e-9 or float(alpha) == found.value]
    for alpha in shown:
        table.add_row(f"{alpha}{' ←' if float(alpha) == found.value else ''}", f"{found.losses[alpha]:.2%}")
    Console(highlight=False).print(table)
    if found.value is None:
        click.echo("no α is accepted: with these samples only the last exit may answer")
    else:
        click.echo(f"α = {found.value:g} by the rule {found.rule}: --threshold {found.value:g}")


def _promise(found: RiskThreshold) -> str:
    if found.rule == "naive":
        return ", which promises nothing"
    if found.rule == "crc":
        return ": the mean risk over calibration sets is at most ε"
    return f": the risk is at most ε with probability {1 - found.failure:g}"


def _print_budget(trace: Trace, met: BudgetThresholds) -> None:
    click.echo(f"{trace.name}, {trace.samples:,} samples: one α per exit")
    table = Table()
    for heading in ("exit", "α", "answers"):
        table.add_column(heading, justify="right")
    for i, share in enumerate(met.shares):
        alpha = "all" if i == len(met.thresholds) else f"{met.thresholds[i]:.4f}"
        table.add_row(str(i + 1), alpha, f"{share:.1%}")
    Console(highlight=False).print(table)
    right = "" if met.accuracy is None else f"accuracy {met.accuracy:.2%}, "
    click.echo(f"mean cost {met.cost:.3f} λ, {right}agreement with the last exit {met.agreement:.2%}")
    alphas = [str(np.float32(alpha)) for alpha in met.thresholds]  # all digits of a confidence
    click.echo(f"to replay it: --policy elasticbert:{','.join(alphas)}")
