"""`splitee run`: traces in, one table per scenario out, results and figures on request."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError
from splitee._internal.numbers import ALL, HALF
from splitee.cli import options, system_options, systems

if TYPE_CHECKING:
    from splitee.cli.scenarios import Scenario
    from splitee.results.results import Results
    from splitee.trace import Trace

DEFAULT_TRACE = "imdb"
STREAMS = ("shuffled", "own", "bootstrap", "sudden", "gradual", "recurring", "label-shift", "bursts")


@click.command("run")
@click.argument("traces", nargs=-1, metavar="[TRACE]...")
@options.policy("Policies, separated by commas; repeatable.  [default: all]")
@options.threshold(
    options.THRESHOLDS,
    "α, the confidence from which the device answers; a list gives one scenario per α."
    "  [default: the trace's recommended α, else 0.7]",
)
@options.offload(options.NUMBERS, "o, the cost of an offload in λ; lists too: 1,3,5.")
@options.mu(options.NUMBERS, "μ, the confidence that one λ is worth; lists too.")
@options.exploration()
@options.device_layers(
    "m, the layers on the device: a number, half or all; lists too.  [default: all,half]",
    options.LAYER_COUNTS,
)
@options.layer_cost()
@options.exit_cost()
@click.option(
    "--offload-input", type=options.NUMBER, help="Cost of offloading the input itself, in λ.  [default: o]"
)
@options.send_input()
@system_options.system
@options.source(
    "The source's validation trace, for source-split, link-aware, certified.  [default: the bundled one]"
)
@click.option("--repeats", default=20, show_default=True, help="Number of random orders of the samples.")
@click.option(
    "--stream",
    type=click.Choice(STREAMS),
    default="shuffled",
    show_default=True,
    help="Random orders; the trace's own order once (own); or streams that drift.",
)
@click.option(
    "--delay",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Rounds after which the feedback of an offloaded sample arrives.",
)
@options.seed("Seed of the orders and of random policies.")
@click.option(
    "--interval",
    type=click.Choice(["data", "run"]),
    default="data",
    show_default=True,
    help="95 % intervals over samples (data: for claims) or over orders (run: the learner's luck).",
)
@options.max_drop(click.FLOAT, None, "Name the cheapest policy that loses at most this much accuracy.")
@click.option("--preset", type=click.Choice(["paper"]), help="Scenario and policies of the SplitEE paper.")
@click.option("--all-rows", is_flag=True, help="Show every fixed exit and split, dominated ones too.")
@click.option(
    "--by",
    type=click.Choice(["group", "class"]),
    multiple=True,
    help="More tables: results by group of samples; macro-F1 and balanced accuracy (class). Repeatable.",
)
@options.out("Folder for results (Parquet, CSV) and figures.", required=False)
@click.option("--choices", is_flag=True, help="With --out: save every single decision too (large).")
@options.overwrite("Replace results in --out.")
@options.as_json()
def command(
    traces: tuple[str, ...],
    policies: tuple[str, ...],
    threshold: tuple[float | str, ...] | None,
    offload: tuple[float, ...],
    mu: tuple[float, ...],
    exploration: float,
    device_layers: tuple[int | str, ...] | None,
    layer_cost: float,
    exit_cost: float,
    offload_input: float | None,
    send_input: bool,
    given: dict[str, Any],
    source: str | None,
    repeats: int,
    stream: str,
    delay: int,
    seed: int,
    interval: str,
    max_drop: float | None,
    preset: str | None,
    all_rows: bool,
    by: tuple[str, ...],
    out: Path | None,
    choices: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Replay policies over traces and print their accuracy and cost.

    TRACE is a file, a bundled trace such as imdb (the default), or - for standard input.

    With --device or --layer-ms costs are measured in ms, mJ and KB on a device, a link and a cloud. Then
    --offload, --layer-cost and --exit-cost are left out, and --mu is 0.1 per layer unless given.

    \b
    Policies: splitee, splitee-s, splitee-s-published, splitee-s-skip, ucb-tuned, thompson,
    explore-then-commit[:SAMPLES], source-split, certified[:SHARE], audited-stopping[:SHARE], link-aware,
    final-exit, cloud-only, random, best-split, best-rule, oracle, elasticbert[:ALPHA,...], deebert:NATS,
    pabee[:PATIENCE], exits, splits, cascade-splits, exit:LAYER, split:LAYER, exit-or-input:LAYER,
    cascade-split:LAYER; and, as their authors released them, splitee-released, splitee-s-released,
    elasticbert-released. LAYER is a number, half or all; SHARE is the disagreement with the last exit,
    such as 0.01.

    \b
    Examples:
      splitee run
      splitee run mine.parquet --offload 3,8 --device-layers 6 --max-drop 1 --out results
      splitee run imdb,yelp_sentences --policy splitee,splits --threshold 0.7,0.8 --json
    """
    from splitee.cli.meter import announce_compiling, working
    from splitee.cli.output import scenario_folders, write_scenarios
    from splitee.cli.scenarios import folder_names, scenarios_of
    from splitee.cli.traces import read_traces, source_of
    from splitee.costs import CostModel
    from splitee.policies.names import (
        DEFAULT,
        IN_A_SYSTEM,
        OPTIONAL,
        PAPER,
        canonical,
        parse_policies,
        policy_items,
    )
    from splitee.policies.setting import Setting
    from splitee.replay.orders import stream_of
    from splitee.replay.replay import replay
    from splitee.report.notes import remarks
    from splitee.results.breakdown import check_breakdown
    from splitee.results.results import BREAKDOWNS

    if max_drop is not None and not 0 <= max_drop <= 100:
        raise InputError(f"--max-drop {max_drop:g} is not in points of accuracy: give 0 to 100")
    _check_out(out, choices, overwrite)
    timed = systems.is_given(given)
    if timed and (
        extra := systems.set_by_hand("offload", "layer_cost", "exit_cost", "offload_input", "delay")
    ):
        raise InputError(f"--{extra.replace('_', '-')} is for constant costs: leave it out with a device")
    asked = list(dict.fromkeys(canonical(name) for name in policy_items(policies)))
    loaded = read_traces(traces or (DEFAULT_TRACE,))
    if device_layers is None:
        device_layers = (ALL,) if preset == "paper" else (ALL, HALF)
    for what, trace in product(by, loaded):
        check_breakdown(what, trace)
    alphas = {trace.name: _thresholds(trace, threshold, preset) for trace in loaded}
    scenarios = scenarios_of(loaded, alphas, offload, mu, device_layers)
    folders = folder_names([scenario.facts for scenario in scenarios])
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise InputError(f"two scenarios are called {twice[0]}: give values that differ more")
    sources = {trace.name: source_of(trace, source) for trace in loaded}
    every: tuple[str, ...] = PAPER if preset == "paper" else DEFAULT
    if timed:
        every = IN_A_SYSTEM
    policies_of = []  # of each scenario; a name that does not fit is refused before anything is replayed
    for scenario in scenarios:
        trace, known = scenario.trace, sources[scenario.trace.name]
        names = asked or [name for name in every if known or name not in OPTIONAL]
        setting = Setting(trace.layers, scenario.device_layers, scenario.threshold, exploration, send_input)
        setting = replace(setting, source=known, classes=trace.classes)
        policies_of.append(parse_policies(names, setting))

    if stream == "own":
        repeats = 1
    announce_compiling()
    document: list[dict[str, Any]] = []
    done: list[tuple[Scenario, Results]] = []

    def show(scenario: Scenario, results: Results, described: dict[str, Any]) -> None:
        _show(scenario, results, described["remarks"], interval, all_rows)
        for what in by:
            _show_by(what, described[f"by_{what}"])

    # the folder is claimed before the work, so that a second run to it is refused at once
    with nullcontext() if out is None else scenario_folders(out, folders, overwrite) as made:
        for scenario, members in zip(scenarios, policies_of, strict=True):
            trace = scenario.trace
            costs = CostModel(
                layer_cost, exit_cost, scenario.offload, offload_input, device_layers=scenario.device_layers
            )
            known = sources[trace.name]
            system = systems.system_of(given, trace, scenario.device_layers) if timed else None
            by_hand = not timed or systems.set_by_hand("mu")
            with working(f"replaying {scenario.title}"):
                results = replay(
                    trace,
                    members,
                    system or costs,
                    scenario.mu if by_hand else "auto",
                    repeats=repeats,
                    seed=seed,
                    orders=stream_of(stream, trace, repeats, seed),
                    threshold=scenario.threshold,
                    delay=delay,
                )
                lines = remarks(results, scenario.threshold, interval, max_drop)
            done.append((scenario, results))
            document.append(
                {
                    "trace": trace.name,
                    "fingerprint": trace.fingerprint,
                    "samples": trace.samples,
                    "layers": trace.layers,
                    "device_layers": scenario.device_layers,
                    "offload": scenario.offload,
                    "mu": scenario.mu if by_hand else results.facts["mu"],
                    **({} if system is None else {"system": system.to_dict()}),
                    "threshold": scenario.threshold,
                    "layer_cost": layer_cost,
                    "exit_cost": exit_cost,
                    "offload_input": offload_input,
                    "send_input": send_input,
                    "exploration": exploration,
                    "repeats": repeats,
                    "stream": stream,
                    "delay": delay,
                    "seed": seed,
                    "interval": interval,
                    "max_drop": max_drop,
                    "policy": asked,
                    "preset": preset,
                    "source": known.name if known and source else None,
                    "policies": _plain(results.rows(interval)),
                    **{f"by_{what}": _plain(BREAKDOWNS[what](results)) for what in by},
                    "remarks": lines,
                }
            )
            if not as_json and out is None:
                show(scenario, results, document[-1])
        if made is not None:
            with working("drawing figures and writing files"):
                write_scenarios(made, folders, [results for _, results in done], choices, document)
    if out is not None and not as_json:  # printing comes last: it may fail
        with suppress(SystemExit):  # rich, if the reader has closed the pipe
            for (scenario, results), described in zip(done, document, strict=True):
                show(scenario, results, described)
    if as_json:
        click.echo(json.dumps({"scenarios": document}, allow_nan=False))
    elif out is not None:
        click.echo(f"wrote {out}: tables and figures of {len(done)} scenario{'s' * (len(done) > 1)}")


def _check_out(out: Path | None, choices: bool, overwrite: bool) -> None:
    """Raise InputError if results cannot be written to --out, or options need one."""
    from splitee._internal.files import refuse_no_folder

    if out is None:
        if choices or overwrite:
            raise InputError(f"--{'choices' if choices else 'overwrite'} needs --out: give a folder")
        return
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder")
    refuse_no_folder(out)


def _show(scenario: Scenario, results: Results, lines: list[str], interval: str, all_rows: bool) -> None:
    from splitee.cli.printing import table_console
    from splitee.report.tables import WIDTH, measure_of, policy_table, worth_showing

    console = table_console(WIDTH, highlight=False)
    rows = results.rows(interval)
    shown = rows if all_rows else worth_showing(rows)
    console.print(policy_table(shown, _title(scenario, results), console.width))
    for line in lines:
        console.print(f"· {line}", soft_wrap=True, markup=False)
    if len(shown) < len(rows):
        console.print(
            f"· {len(rows) - len(shown)} fixed exits and splits are not shown: others are better in cost and "
            f"{measure_of(rows)} (--all-rows shows them).",
            soft_wrap=True,
        )
    console.print()


def _title(scenario: Scenario, results: Results) -> str:
    """Return the line above the table: of a system, what the device takes and what the link carries."""
    if "system" not in results.facts:
        return scenario.title
    system, before = results.facts["system"], scenario.title.partition(", o = ")[0]
    link = system["link"].get("name") or f"{system['link']['uplink']:g} Mbit/s"
    return (
        f"{before}, {system['device'].get('name') or 'device'}, {link}, {system['link']['rtt']:g} ms, "
        f"costs in {results.facts['unit']}, μ = {results.facts['mu']:.3g}, α = {scenario.threshold:g}"
    )


def _show_by(what: str, rows: list[dict[str, Any]]) -> None:
    from splitee.cli.printing import table_console
    from splitee.report.tables import WIDTH, breakdown_table

    console = table_console(WIDTH, highlight=False)
    console.print(breakdown_table(rows, f"by {what}"))
    console.print()


def _thresholds(trace: Trace, given: Sequence[float | str] | None, preset: str | None) -> list[float]:
    """Return the values of α for a trace: as given, by the paper's rule, or recommended."""
    from splitee.cli.traces import threshold_of

    grid = (trace.manifest.get("recommended_threshold") or {}).get("accuracy")
    if given is None and preset == "paper" and isinstance(grid, dict):
        return [float(max(grid, key=lambda alpha: (grid[alpha], -float(alpha))))]
    found = [threshold_of(trace, alpha) for alpha in given or (None,)]
    if given is None and trace.recommended_threshold is None:
        click.echo(
            f"warning: trace {trace.name} recommends no threshold; using α = {found[0][0]:g} "
            "(--threshold sets it)",
            err=True,
        )
    return [alpha for alpha, _ in found]


def _plain(rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """Return rows with None for NaN and infinity, which JSON does not have."""
    return [
        {str(k): None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in rows
    ]
