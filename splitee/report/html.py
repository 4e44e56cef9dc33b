"""One self-contained HTML page of results: tables, remarks, figures and the provenance of the numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from splitee.report.figures.curves import REFERENCES, accuracy_cost, layers_over_time, regret
from splitee.report.figures.style import NOT_XML, described, offload_cost, png, setting_line
from splitee.report.notes import answer, notes, remarks
from splitee.report.tables import FAMILIES, Rows, measure_of, one_line, table_cells, within, worth_showing
from splitee.results.results import Results

MAX_DROP = 1.0  # points of accuracy that a policy of the overview may lose, unless the run sets another bound
Cells = dict[str, str]


class Row(NamedTuple):
    """A row of the table of policies; `on_device`: whether the device can run the policy."""

    cells: Cells
    on_device: bool


class Image(NamedTuple):
    """A figure: its image as a data address, a description in words, and a caption."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One scenario as the page shows it. It holds texts only, so results need not stay in memory."""

    title: str
    answer: str
    setup: dict[str, str]
    labelled: bool
    headings: Cells
    shown: list[Row]
    beaten: list[Row]
    remarks: list[str]
    notes: list[str]
    figures: list[Image]
    provenance: list[tuple[str, list[str]]]
    commands: list[str]
    overview: dict[str, Cells | None]


def section(
    results: Results,
    interval: str = "data",
    stored_remarks: Sequence[str] | None = None,
    libraries: Mapping[str, str] | None = None,
    commands: Sequence[str] = (),
    max_drop: float = MAX_DROP,
) -> Section:
    """Render one scenario as texts, table cells and images.

    Parameters
    ----------
    results : Results
        The results of a replay, or reloaded results.
    interval : {"data", "run"}
        What the intervals of the table vary: samples or orders.
    stored_remarks : sequence of str, optional
        The remarks stored with the results. Default: the remarks that can be derived from `results`.
    libraries : mapping of str to str, optional
        The library versions that computed the results.
    commands : sequence of str
        Shell commands that reproduce the numbers.
    max_drop : float
        Points of accuracy that the cheapest policy of the overview may lose.

    Returns
    -------
    Section
    """
    rows = results.rows(interval)
    measure = measure_of(rows)
    headings, cells = table_cells(rows)
    by_name = {row["policy"]: Row(texts, row["on_device"]) for row, texts in zip(rows, cells, strict=True)}
    worth = {row["policy"] for row in worth_showing(rows)}
    below = notes(results, rows, interval)
    if stored_remarks is None:
        stored_remarks = remarks(results, results.facts["threshold"], interval, max_drop)
    by_kind = {
        described(result)["policy"]: place for place, result in reversed([*enumerate(results.values())])
    }
    cheapest = within(rows, max_drop)
    return Section(
        title=setting_line(results),
        answer=_capital(answer(rows, max_drop)),
        setup=_setup(results, interval, max_drop),
        labelled=measure == "accuracy",
        headings={key: one_line(heading) for key, heading in headings.items()},
        shown=[row for name, row in by_name.items() if name in worth],
        beaten=[row for name, row in by_name.items() if name not in worth],
        remarks=[line for line in stored_remarks if line not in (*below, answer(rows, max_drop))],
        notes=below,
        figures=_figures(results, rows, measure),
        provenance=_provenance(results, libraries or {}),
        commands=list(commands),
        overview={
            "cheapest": None if cheapest is None else by_name[cheapest["policy"]].cells,
            **{kind: cells[by_kind[kind]] if kind in by_kind else None for kind in ("SplitEE", "CloudOnly")},
        },
    )


def page(sections: Sequence[Section], commands: Sequence[str] = ()) -> str:
    """Return the whole page as HTML; the same sections give the same text.

    Parameters
    ----------
    sections : sequence of Section
        At least one.
    commands : sequence of str
        Shell commands that reproduce all sections at once.

    Returns
    -------
    str
        HTML that is also well-formed XML. It loads nothing and runs nothing.
    """
    setups = [one.setup for one in sections]
    values = {
        key: _listed([setup[key] for setup in setups], "and" if key in ("trace", "what") else "or")
        for key in setups[0]
    }
    template = templates().get_template("report.html.jinja")
    return template.render(sections=sections, values=values, commands=commands)


def templates(*folders: Path) -> Environment:
    """Return the environment of page templates: those of these folders, and the shared style."""
    return Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_allowed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _capital(line: str) -> str:
    return line[:1].upper() + line[1:]


def _allowed(value: Any) -> Any:
    """Replace control characters, which HTML forbids but names of data may hold."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


def _listed(texts: Sequence[str], word: str) -> str:
    """Join distinct texts in their order, the last two by `word`."""
    *most, last = dict.fromkeys(texts)
    return f"{', '.join(most)} {word} {last}" if most else last


def _setup(results: Results, interval: str, max_drop: float) -> dict[str, str]:
    """Return what was replayed, as texts that the page joins over scenarios."""
    facts = results.facts
    trace, costs = facts["trace"], facts["costs"]
    layers = trace["layers"]
    held = costs["device_layers"] or layers
    word = "layers" if _at_every_layer(costs, layers) else "exits"
    alphas = {
        facts["threshold"] for facts in map(described, results.values()) if facts.get("threshold") is not None
    }
    seen = "" if results.samples == trace["samples"] else f"{results.samples:,} of "
    samples = f"{seen}{trace['samples']:,} sample{'s' * (trace['samples'] != 1)}"
    repeats = facts["repeats"]
    shuffled = "random orders" if facts["orders"] == "permutations" else "given orders"
    return {
        "trace": trace["name"],
        "what": f"{trace['name']} ({samples}, {layers} {word})",
        "device": f"all {layers} {word}" if held == layers else f"the first {held} of {layers} {word}",
        "offload": offload_cost(facts),
        "mu": f"{facts['mu']:g}",
        "alpha": _listed([f"{alpha:g}" for alpha in sorted(alphas) or [facts["threshold"]]], "or"),
        "orders": f"{repeats} {shuffled if repeats != 1 else shuffled.removesuffix('s')}",
        "seed": str(facts["seed"]),
        "interval": "samples (data intervals)" if interval == "data" else "orders (run intervals)",
        "max_drop": f"{max_drop:g} point{'s' * (max_drop != 1)}",
    }


def _at_every_layer(costs: Mapping[str, Any], layers: int) -> bool:
    return costs["exit_layers"] in (None, list(range(1, layers + 1)))


def _figures(results: Results, rows: Rows, measure: str) -> list[Image]:
    """Draw the figures that can be drawn from these results, with descriptions and captions."""
    points = [
        f"{row['policy']} {row['cost']:.2f} {row['unit']} and {100 * row[measure]:.2f} %"
        for row in rows
        if not row["policy"].startswith(FAMILIES)
    ]
    if family := [row for row in rows if row["policy"].startswith(FAMILIES)]:
        cost, share = ([row[column] for row in family] for column in ("cost", measure))
        points.append(
            f"fixed exits and splits {min(cost):.2f} to {max(cost):.2f} {family[0]['unit']} and "
            f"{100 * min(share):.2f} to {100 * max(share):.2f} %"
        )
    named = "accuracy" if measure == "accuracy" else "agreement with the last exit"
    drawn = [
        Image(
            address(png(accuracy_cost(results))),
            f"Chart of cost per sample against {named}: {'; '.join(points)}.",
            f"Cost and {named} of every policy: the best are at the upper left.",
        )
    ]
    for against, column in (("common", "regret"), ("own", "regret_own")):
        if (figure := regret(results, against)) is None:
            continue
        ends = [
            f"{name} {row[column]:,.1f}"
            for (name, result), row in zip(results.items(), rows, strict=True)
            if result.learns or described(result)["policy"] in REFERENCES
        ]
        rival = (
            "the best split with one exit evaluated" if against == "common" else "each policy's own best arm"
        )
        drawn.append(
            Image(
                address(png(figure)),
                f"Chart of cumulative regret over the stream; at its end: {'; '.join(ends)}.",
                f"Regret against {rival} ({against}): flat where a learner plays the best arm.",
            )
        )
    if (figure := layers_over_time(results)) is not None:
        learners = [f"{row['policy']} layer {row['layer']}" for row in rows if row["learns"]]
        drawn.append(
            Image(
                address(png(figure)),
                "Maps of the layers that each learner plays over the stream; most frequent in the second "
                f"half: {'; '.join(learners)}.",
                "Layers that the learners play: darker is more often.",
            )
        )
    return drawn


def address(drawing: bytes) -> str:
    """Return an image as a data address."""
    return "data:image/png;base64," + base64.b64encode(drawing).decode()


def _provenance(results: Results, libraries: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return terms, each with lines of facts about it."""
    facts = results.facts
    trace, costs = facts["trace"], facts["costs"]
    unit = facts.get("unit", "λ")
    at_input = "as o" if costs["offload_input"] is None else f"{costs['offload_input']:.4g} {unit}"
    cost_lines = [
        f"one layer λ₁ = {_range(costs['layer'])} {unit}, one exit λ₂ = {costs['exit']:.4g} {unit}",
        f"offloading o = {offload_cost(facts)}, offloading the input {at_input}",
        f"the device holds {costs['device_layers'] or trace['layers']} of {trace['layers']}",
    ]
    if not _at_every_layer(costs, trace["layers"]):
        cost_lines.append(f"exits at layers {', '.join(map(str, costs['exit_layers']))}")
    learners = []
    for name, result in results.items():
        settings = [f"{k} = {v}" for k, v in described(result).items() if k not in _FLAGS and v is not False]
        if result.learns:
            learners.append(f"{name}: {', '.join(settings)}" if settings else name)
    found = {
        "Trace": [trace["name"], f"fingerprint {trace['fingerprint']}", f"{trace['classes']} classes"],
        "Model": _flat(trace.get("model")),
        "Data": _flat(trace.get("data")),
        "Costs": cost_lines,
        "Reward": [f"μ = {facts['mu']:g}", f"α = {facts['threshold']:g} for policies without one"],
        "Learners": learners,
        "Orders": [f"{facts['repeats']}, {facts['orders']}", f"seed {facts['seed']}", facts["seed_scheme"]],
        "Versions": [", ".join(f"{name} {version}" for name, version in libraries.items())]
        if libraries
        else [],
    }
    return [(term, lines) for term, lines in found.items() if lines]


_FLAGS = ("policy", "on_device", "sees_final", "hindsight", "learns", "varies", "regret_threshold")


def _range(cost: float | Sequence[float]) -> str:
    """Return a cost, or the range of the costs by layer."""
    low, high = np.min(cost), np.max(cost)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _flat(value: Any, name: str = "") -> list[str]:
    """Return the entries of a manifest value of any depth, one line each."""
    if isinstance(value, Mapping):
        return [
            line
            for key, inner in value.items()
            for line in _flat(inner, f"{name}.{key}" if name else str(key))
        ]
    return [] if value is None else [f"{name} {value}".strip()]
