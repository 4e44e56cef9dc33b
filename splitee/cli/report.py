"""`splitee report`: a folder of results in, one HTML page out."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError
from splitee.cli import options

if TYPE_CHECKING:
    from splitee.report.html import Section
    from splitee.results.results import Results

_FACTS: dict[str, type | tuple[type, ...]] = {  # facts of a scenario in run.json, and their types
    "trace": str,
    "fingerprint": str,
    "layers": int,
    "offload": (int, float),
    "mu": (int, float),
    "device_layers": int,
    "threshold": (int, float),
    "layer_cost": (int, float),
    "exit_cost": (int, float),
    "offload_input": (int, float, type(None)),
    "send_input": bool,
    "exploration": (int, float),
    "repeats": int,
    "seed": int,
    "interval": str,
    "policies": list,
    "remarks": list,
}
_LISTS = ("offload", "mu", "device_layers", "threshold")  # options with lists, in the order of scenarios
_ALWAYS = ("threshold", "offload", "mu", "device_layers", "repeats", "seed")  # written even if default
_ELSE = (
    *("exploration", "layer_cost", "exit_cost", "offload_input", "send_input", "interval", "max_drop"),
    "preset",
    "stream",
    "delay",
)
_NAMES = ("policy", "source")  # written in other ways


@dataclass(frozen=True)
class _Found:
    """A folder of one scenario, and its facts in run.json (None for a folder of `Results.save`)."""

    folder: Path
    facts: dict[str, Any] | None = None


@click.command("report")
@click.argument("folder", metavar="RESULTS", type=click.Path(path_type=Path))
@options.out("The page to write.  [default: RESULTS/report.html]", required=False)
@options.overwrite("Replace the page if it exists.")
@options.as_json()
def command(folder: Path, out: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write RESULTS, a folder of `splitee run --out` or `Results.save`, as one HTML page.

    The page is a single file that loads nothing else: tables, remarks, figures, and the commands that made
    the numbers. The same results give the same bytes.

    \b
    Examples:
      splitee run imdb --offload 5,12 --out results
      splitee report results
    """
    from splitee._internal.files import refuse_place, write_text

    out = out or folder / "report.html"
    found = _find(folder)
    refuse_place(out, overwrite)

    from splitee.cli.meter import working
    from splitee.report.html import page

    with working(f"drawing {len(found)} scenario{'s' * (len(found) != 1)}"):
        sections = [_section(one) for one in found]
    facts = [one.facts for one in found if one.facts is not None]
    _check_fingerprints(folder)
    write_text(out, page(sections, _commands(facts) if len(facts) > 1 else []), overwrite=overwrite)
    if as_json:
        scenarios = [
            {"folder": str(one.folder), "title": made.title}
            for one, made in zip(found, sections, strict=True)
        ]
        click.echo(json.dumps({"path": str(out), "scenarios": scenarios}))
    else:
        click.echo(f"wrote {out}: {len(found)} scenario{'s' * (len(found) != 1)}")


def _find(folder: Path) -> list[_Found]:
    """Return the scenarios in a folder."""
    from splitee._internal.reading import read_json
    from splitee.cli.scenarios import folder_names
    from splitee.results.files import REMEDY

    if not folder.is_dir():
        raise InputError(
            f"{folder} is {'a file' if folder.exists() else 'not there'}: give a folder of results"
        )
    note = folder / "run.json"
    if not note.is_file():
        if (folder / "manifest.json").is_file():
            return [_Found(folder)]
        raise InputError(
            f"{folder} holds no results: neither the run.json of `splitee run --out` "
            "nor the manifest.json of `Results.save`"
        )
    try:
        scenarios = read_json(note)["scenarios"]
        whole = all(isinstance(s[key], kind) for s in scenarios for key, kind in _FACTS.items())
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{note} is damaged, or not of `splitee run` ({type(error).__name__}: {error}): {REMEDY}"
        ) from error
    if not scenarios or not whole:
        raise InputError(f"{note} is damaged, or not of `splitee run`: it does not tell of scenarios")
    return [_Found(folder / name, s) for name, s in zip(folder_names(scenarios), scenarios, strict=True)]


def _check_fingerprints(folder: Path) -> None:
    """Raise InputError if the run.json of a folder was changed; the scenarios check their own files."""
    from splitee._internal.checksums import first_changed, read_fingerprints
    from splitee.results.files import REMEDY

    written = read_fingerprints(folder)  # None: from before there were fingerprints
    if written is not None and first_changed(folder, written, "run.json"):
        raise InputError(f"{folder / 'run.json'} is damaged: it does not match its checksum: {REMEDY}")


def _section(found: _Found) -> Section:
    from splitee.report.html import MAX_DROP, section

    facts = found.facts or {}
    results, libraries = _load(found)
    max_drop = facts.get("max_drop")
    return section(
        results,
        facts.get("interval", "data"),
        facts.get("remarks"),
        libraries,
        _commands([facts]) if facts else [],
        MAX_DROP if max_drop is None else max_drop,
    )


def _load(found: _Found) -> tuple[Results, dict[str, str]]:
    """Return the results of a scenario and the library versions that made them."""
    from splitee.report.figures.style import setting_line
    from splitee.results.files import REMEDY, read_manifest
    from splitee.results.results import load_results

    folder, facts = found.folder, found.facts
    try:
        results = load_results(folder)
        rows = results.rows(facts["interval"] if facts else "data")
        setting_line(results)
        libraries = read_manifest(folder)["libraries"]
    except (InputError, PermissionError):
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"{folder} is damaged ({type(error).__name__}: {error}): {REMEDY}") from error
    if facts and not _same(facts["policies"], rows):
        raise InputError(
            f"{folder} holds other numbers than the run.json beside it, so two runs wrote them: "
            "run again with --overwrite"
        )
    return results, libraries


def _same(noted: list[Any], rows: list[dict[Any, Any]]) -> bool:
    return len(noted) == len(rows) and all(
        isinstance(one, dict)
        and one.get("policy") == row["policy"]
        and isinstance(one.get("cost"), int | float)
        and math.isclose(one["cost"], row["cost"], rel_tol=1e-9)
        for one, row in zip(noted, rows, strict=True)
    )


def _commands(scenarios: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the `splitee run` that makes these scenarios; none if one run cannot."""
    from splitee.cli.run import command as run
    from splitee.trace import bundled_traces

    scenarios = [  # --stream was once called --order
        {"stream": "own" if each.get("order") == "as-is" else "shuffled"} | each for each in scenarios
    ]
    first = scenarios[0]
    single = [key for key in (*_ALWAYS, *_ELSE, *_NAMES) if key not in _LISTS]
    traces = list(dict.fromkeys(scenario["trace"] for scenario in scenarios))
    lists = {key: list(dict.fromkeys(scenario[key] for scenario in scenarios)) for key in _LISTS}
    made = [tuple(scenario[key] for key in ("trace", *_LISTS)) for scenario in scenarios]
    if (
        "policy" not in first  # a file from before this fact was written
        or any(scenario.get(key) != first.get(key) for scenario in scenarios for key in single)
        or made != list(itertools.product(traces, *lists.values()))
    ):
        return []
    words = ["splitee", "run"]
    comments = []
    for trace in traces:
        fingerprint = next(scenario["fingerprint"] for scenario in scenarios if scenario["trace"] == trace)
        if _is_bundled(trace, fingerprint):
            words.append(trace)
            continue
        words.append(f"{'./' * trace.startswith('-')}{trace}.parquet")  # its folder is not known
        comments.append(
            f"# {' '.join(words[-1].split())} is the trace file with the fingerprint {fingerprint}"
        )
    words += [word for name in first["policy"] for word in ("--policy", name)]
    default = {option.name: _default(option) for option in run.params}
    for key in (*_ALWAYS, *_ELSE):
        value, flag = first.get(key), "--" + key.replace("_", "-")
        if value is True:
            words.append(flag)
        elif key in _ALWAYS or (value is not None and value is not False and value != default[key]):
            words += [flag, ",".join(map(_typed, lists.get(key, [value])))]
    if first["source"]:
        bundled = first["source"] in bundled_traces()
        words += ["--source", first["source"] if bundled else f"{first['source']}.parquet"]
    return [*comments, shlex.join(words)]


def _default(option: click.Parameter) -> Any:
    """Return the value of an option that is not given."""
    if isinstance(option.type, options.Read) and isinstance(option.default, str):
        return option.type.read(option.default)
    return option.default


def _is_bundled(trace: str, fingerprint: str) -> bool:
    from splitee.trace import bundled_traces, load_trace

    return trace in bundled_traces() and load_trace(trace).fingerprint == fingerprint


def _typed(value: Any) -> str:
    """Return a number as text that is read back as the same number."""
    if isinstance(value, float) and float(f"{value:g}") != value:
        return repr(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
