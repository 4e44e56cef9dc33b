"""`splitee run`: traces in, one table a scenario out, results and figures on request."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError

if TYPE_CHECKING:
    from splitee.results.results import Results
    from splitee.trace import Trace

DEFAULT_TRACE = "imdb"
_ASKED = ("interval", "max_drop", "policy", "preset", "source")  # told in run.json only


def folder_name(trace: str, offload: float, mu: float, device_layers: int) -> str:
    """Return the folder that --out holds for a scenario."""
    return f"{trace}_o{offload:g}_mu{mu:g}_m{device_layers}".replace("/", "-")


@dataclass(frozen=True)
class _Scenario:
    """One trace under one set of prices."""

    trace: Trace
    offload: float
    mu: float
    device_layers: int
    threshold: float

    @property
    def folder(self) -> str:
        return folder_name(self.trace.name, self.offload, self.mu, self.device_layers)

    @property
    def title(self) -> str:
        t = self.trace
        holds = "all" if self.device_layers == t.layers else "the first"
        layers = "layers" if t.exit_layers == tuple(range(1, t.layers + 1)) else "exits"
        return (
            f"{t.name}: {t.samples:,} samples, "
            f"the device holds {holds} {self.device_layers} of {t.layers} {layers}, "
            f"o = {self.offload:g} λ, μ = {self.mu:g}, α = {self.threshold:g}"
        )


@click.command("run")
@click.argument("traces", nargs=-1, metavar="[TRACE]...")
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="Repeatable.  [default: all]")
@click.option(
    "--threshold",
    type=float,
    help="α, the confidence from which the device answers.  [default: the trace's recommended α, else 0.7]",
)
@click.option(
    "--offload", default="5", show_default=True, help="o in λ, what sending costs; a list is 1,3,5."
)
@click.option("--mu", default="0.1", show_default=True, help="μ, confidence that one λ is worth; lists too.")
@click.option("--exploration", default=1.0, show_default=True, help="β of SplitEE and SplitEE-S.")
@click.option(
    "--device-layers",
    help="m, the layers the device holds; lists too.  [default: all of them, and half of them]",
)
@click.option("--layer-cost", default=5 / 6, show_default="5/6", help="λ₁ in λ, the price of one layer.")
@click.option("--exit-cost", default=1 / 6, show_default="1/6", help="λ₂ in λ, the price of one exit.")
@click.option("--offload-input", type=float, help="Price in λ of sending the input itself.  [default: o]")
@click.option("--send-input", is_flag=True, help="Let the learners send the input too (layer 0).")
@click.option(
    "--source", help="Validation trace of the model's own data, for source-split.  [default: as bundled]"
)
@click.option("--repeats", default=20, show_default=True, help="Random orders of the samples.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--interval",
    type=click.Choice(["data", "run"]),
    default="data",
    show_default=True,
    help="What the intervals are over: samples (for claims), or orders (the learner's luck).",
)
@click.option("--max-drop", type=float, metavar="POINTS", help="Name the cheapest policy that loses no more.")
@click.option("--preset", type=click.Choice(["paper"]), help="The SplitEE paper's scenario and policies.")
@click.option("--all-rows", is_flag=True, help="Show every fixed exit and split, beaten ones too.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results (Parquet, CSV) and figures.")
@click.option("--choices", is_flag=True, help="With --out: save every single choice too (large).")
@click.option("--overwrite", is_flag=True, help="Replace results in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(
    traces: tuple[str, ...],
    policies: tuple[str, ...],
    threshold: float | None,
    offload: str,
    mu: str,
    exploration: float,
    device_layers: str | None,
    layer_cost: float,
    exit_cost: float,
    offload_input: float | None,
    send_input: bool,
    source: str | None,
    repeats: int,
    seed: int,
    interval: str,
    max_drop: float | None,
    preset: str | None,
    all_rows: bool,
    out: Path | None,
    choices: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Replay policies over traces (files or bundled names; default: imdb); print what they cost and answer.

    \b
    Policies: splitee, splitee-s, splitee-s-published, splitee-s-skip, ucb-tuned, thompson,
    explore-then-commit[:SAMPLES], source-split, final-exit, cloud-only, random, best-split, oracle,
    elasticbert[:ALPHA], deebert:NATS, pabee[:PATIENCE], exits, splits, cascade-splits, exit:LAYER,
    split:LAYER, cascade-split:LAYER; and, as the authors released them, splitee-released,
    splitee-s-released, elasticbert-released.

    \b
    Examples:
      splitee run
      splitee run mine.parquet --offload 3,8 --device-layers 6 --max-drop 1 --out results
      splitee run imdb yelp_sentences --policy splitee --policy splits --json
    """
    from splitee._internal.files import refuse_no_folder
    from splitee.cli.meter import tell_of_compiling
    from splitee.costs import CostModel
    from splitee.policies.named import DEFAULT, OPTIONAL, PAPER, make_policies
    from splitee.replay.replay import replay
    from splitee.report.notes import remarks
    from splitee.trace import load_trace

    if out is None and (choices or overwrite):
        raise InputError(f"--{'choices' if choices else 'overwrite'} is of what is written: give --out, too")
    if out is not None:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out} is a file: give a folder")
        refuse_no_folder(out)
    for option, price in (("--layer-cost", layer_cost), ("--exit-cost", exit_cost)):
        if not price >= 0:
            raise InputError(f"{option} {price:g}: give a price in λ, at least 0")
    loaded = [load_trace(name) for name in traces or (DEFAULT_TRACE,)]
    alphas = [_threshold(trace, threshold, preset) for trace in loaded]
    sources = {trace.name: _source(trace, source) for trace in loaded}
    every = PAPER if preset == "paper" else DEFAULT
    scenarios = [
        _Scenario(trace, o, m, layers, alpha)
        for trace, alpha in zip(loaded, alphas, strict=True)
        for o in _numbers("--offload", offload)
        for m in _numbers("--mu", mu)
        for layers in _device_layers(device_layers, trace.layers, preset)
    ]
    folders = [scenario.folder for scenario in scenarios]
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if folders.count(folder) > 1)
        raise InputError(
            f"two scenarios are called {twice}: give traces of different names, and each price once"
        )
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise InputError(f"--max-drop {max_drop:g}: give points of accuracy, 0 to 100")
    if out is not None and not overwrite:
        for name in ("summary.csv", "run.json", *folders):
            if (out / name).exists():
                raise FileExistsError(f"{out / name} exists already: choose another --out, or --overwrite")

    tell_of_compiling()
    document: list[dict[str, Any]] = []
    done: list[tuple[_Scenario, Results]] = []
    for scenario in scenarios:
        trace = scenario.trace
        costs = CostModel(
            layer_cost, exit_cost, scenario.offload, offload_input, device_layers=scenario.device_layers
        )
        known = sources[trace.name]
        names = policies or [name for name in every if known or name not in OPTIONAL]
        made = make_policies(
            names, trace.layers, scenario.device_layers, scenario.threshold, exploration, send_input, known
        )
        results = replay(
            trace, made, costs, scenario.mu, repeats=repeats, seed=seed, threshold=scenario.threshold
        )
        said = remarks(results, scenario.threshold, interval, max_drop)
        done.append((scenario, results))
        document.append(
            {
                "trace": trace.name,
                "fingerprint": trace.fingerprint,
                "samples": trace.samples,
                "layers": trace.layers,
                "device_layers": scenario.device_layers,
                "offload": scenario.offload,
                "mu": scenario.mu,
                "threshold": scenario.threshold,
                "layer_cost": layer_cost,
                "exit_cost": exit_cost,
                "offload_input": offload_input,
                "send_input": send_input,
                "exploration": exploration,
                "repeats": repeats,
                "seed": seed,
                "interval": interval,
                "max_drop": max_drop,
                "policy": list(policies),
                "preset": preset,
                "source": known.name if known and source else None,
                "policies": _plain(results.rows(interval)),
                "remarks": said,
            }
        )
        if not as_json:
            try:
                _show(scenario, results, said, interval, all_rows)
            except SystemExit:  # nobody reads any more: rich sends what follows nowhere, and ends
                if out is None:
                    raise
    if out is not None:
        _write(out, done, choices, document)
    if as_json:
        click.echo(json.dumps({"scenarios": document}, allow_nan=False))
    elif out is not None:
        click.echo(f"wrote {out}: tables and figures of {len(done)} scenario{'s' if len(done) > 1 else ''}")


def _show(scenario: _Scenario, results: Results, said: list[str], interval: str, all_rows: bool) -> None:
    from rich.console import Console

    from splitee.report.tables import WIDTH, measure_of, policy_table, worth_showing

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)  # a pipe has no width: keep rows whole
    rows = results.rows(interval)
    shown = rows if all_rows else worth_showing(rows)
    console.print(policy_table(shown, scenario.title, console.width))
    for line in said:
        console.print(f"· {line}", soft_wrap=True, markup=False)
    if len(shown) < len(rows):
        console.print(
            f"· {len(rows) - len(shown)} fixed exits and splits that others beat in cost and "
            f"{measure_of(rows)} are left out (--all-rows shows them).",
            soft_wrap=True,
        )
    console.print()


def _write(
    out: Path,
    done: list[tuple[_Scenario, Results]],
    choices: bool,
    document: list[dict[str, Any]],
) -> None:
    import pandas as pd

    from splitee._internal.files import write_text
    from splitee.report.figures.curves import save_figures

    tables = []
    for (scenario, results), described in zip(done, document, strict=True):
        folder = out / scenario.folder
        results.save(folder, choices=choices, overwrite=True)
        save_figures(results, folder)
        facts = {
            k: v
            for k, v in described.items()
            if k not in ("policies", "remarks", "repeats", "samples", *_ASKED)
        }
        both = pd.concat([results.summary("data"), results.summary("run")], ignore_index=True)
        tables.append(pd.concat([pd.DataFrame([facts] * len(both)), both], axis=1))
    write_text(out / "summary.csv", pd.concat(tables, ignore_index=True).to_csv(index=False), overwrite=True)
    write_text(out / "run.json", json.dumps({"scenarios": document}, indent=1) + "\n", overwrite=True)
    if (page := out / "report.html").exists():  # made by splitee report of what was there before
        page.unlink()
        click.echo(f"removed {page}, which showed the results before: splitee report {out}", err=True)


def _threshold(trace: Trace, given: float | None, preset: str | None) -> float:
    """α: as given; the paper's rule for its preset; the trace's recommended one; else 0.7 with a warning."""
    from splitee.policies.problem import check_threshold
    from splitee.results.setup import DEFAULT_THRESHOLD

    if given is not None:
        check_threshold(given)
        return given
    grid = (trace.manifest.get("recommended_threshold") or {}).get("accuracy")
    if preset == "paper" and isinstance(grid, dict):
        return float(max(grid, key=lambda alpha: (grid[alpha], -float(alpha))))
    if trace.recommended_threshold is not None:
        return trace.recommended_threshold
    click.echo(
        f"warning: trace {trace.name} recommends no threshold; using α = {DEFAULT_THRESHOLD} "
        "(--threshold sets it)",
        err=True,
    )
    return DEFAULT_THRESHOLD


def _source(trace: Trace, given: str | None) -> Trace | None:
    """Return the source's validation trace: as given, else the bundled one of the same model, if any."""
    from splitee.trace import load_trace
    from splitee.trace.bundled import find_source

    name = given or find_source(trace.manifest)
    return None if name is None else load_trace(name)


def _device_layers(given: str | None, layers: int, preset: str | None) -> list[int]:
    if given is None:
        return [layers] if preset == "paper" else list(dict.fromkeys([layers, max(1, layers // 2)]))
    values = _numbers("--device-layers", given)
    for value in values:
        if value != int(value) or not 1 <= value <= layers:
            raise InputError(f"--device-layers {value:g}: give whole numbers from 1 to {layers}")
    return [int(value) for value in values]


def _numbers(option: str, text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text!r}: give numbers separated by commas, such as 1,3,5") from error
    for value in values:
        if not math.isfinite(value) or value < 0:
            raise InputError(f"{option} {value:g}: give finite numbers that are not negative")
    return list(dict.fromkeys(values))


def _plain(rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """JSON has no NaN: what is not known is null."""
    return [
        {str(k): None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in rows
    ]
