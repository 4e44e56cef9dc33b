"""One self-contained HTML page in which the rules of a plan can be tried on other devices, links and limits.

The page holds what decides: for each sample of both halves its length and which thresholds each exit passes,
for each rule the points it loses, and what a System adds per length. Its scripts choose as `planning` does.
"""

from __future__ import annotations

import base64
import json
import shlex
import zlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.policies.cascades import CascadeSplit
from splitee.policies.fixed import CloudOnly, FixedExit, FixedSplit
from splitee.policies.problem import as_alpha
from splitee.report.planning import ALPHAS, Judged, Limits, halves, plan
from splitee.system.system import System, SystemOn
from splitee.trace import Trace

_TEMPLATES = Path(__file__).parent / "explore"
_FAMILIES = (CloudOnly, FixedExit, FixedSplit, CascadeSplit)  # the numbers 0..3 in the page
_MOST_KINDS = 4096  # counts by length and size take the browser some MB
_DIGITS = 10  # of points lost; a plan allows 1e-9 more than its limit


def explore_page(trace: Trace, system: System, limits: Limits, command: Sequence[str] = ()) -> str:
    """Return a page that plans for other numbers than those given, without a network.

    Parameters
    ----------
    trace : Trace
    system : System
        Where the page begins. One sample at a time, a constant link, no outage, no deadline; costs are ms.
    limits : Limits
        The limits that the page begins with.
    command : sequence of str
        Words of a `splitee plan` to which the page adds its numbers, such as the trace and --sends.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the system is of another kind, or vl-convert-python is missing.
    """
    need_explore_extra()
    document = contents(trace, system, limits)
    document["command"] = shlex.join(command or ["splitee", "plan", trace.name])
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    scripts = [(_TEMPLATES / name).read_text(encoding="utf-8") for name in ("choose.js", "page.js")]
    return environment.get_template("page.html.jinja").render(
        trace=trace,
        vega=Markup(_vega()),
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        data=Markup(_in_html(document)),
        charts=Markup(_in_html({name: _chart(name) for name in ("frontier", "map")})),
        scripts=[Markup(script) for script in scripts],
        vega_version=_vega_version(),
        version=version("splitee"),
    )


def need_explore_extra() -> None:
    """Raise InputError if the library that holds Vega is not installed."""
    if find_spec("vl_convert") is None:
        raise InputError("this command needs vl-convert-python: pip install 'splitee[explore]'")


def contents(trace: Trace, system: System, limits: Limits) -> dict[str, Any]:
    """Return what the page computes with, in plain types.

    Parameters
    ----------
    trace : Trace
    system : System
    limits : Limits

    Returns
    -------
    dict
        Lengths are rows k; `halves` holds zlib-compressed bytes in base64: uint16 k of each sample, then for
        each layer and sample the number of thresholds that its confidence reaches.
    """
    _refuse_unsteady(system, limits)
    on = system.on(trace)
    held = on.arms
    every = plan(trace, replace(system, device_layers=None), limits).every
    kinds, kind = _kinds(on)
    device, world = system.device, on.world
    length = kinds[:, 0].astype(np.intp)
    alphas = [alpha for alpha in ALPHAS if alpha > 1 / trace.classes]
    state = world.state_bits[length, -1]
    regular = device.regular
    cloud = world.cloud_ms[length]
    return {
        "trace": trace.name,
        "labelled": trace.has_labels,
        "layers": trace.layers,
        "exit_layers": list(trace.exit_layers),
        "alphas": alphas,
        "sends": system.sends,
        "settings": {
            "uplink": system.link.mean,
            "rtt": system.link.rtt,
            **(
                {"speed": 1.0}
                if regular is None
                else dict(zip(("layer_ms", "exit_ms"), regular, strict=True))
            ),
            "layers": held,
            "max_drop": limits.max_drop,
            "max_p95": limits.max_p95,
        },
        "profile": None if regular is not None else device.name or "the profile",
        "device": None if regular is not None else world.device_ms[:, length].tolist(),
        "tokenize_ms": device.at(_tokens(on), trace.exit_layers).tokenize_ms[length].tolist(),
        "encode_ms": world.encode_ms[length].tolist(),
        "state_bits": [None if np.isinf(bits) else bits for bits in state.tolist()],
        "input_bits": kinds[:, 1].tolist(),
        "cloud_ms": (cloud[:1] if (cloud == cloud[0]).all() else cloud).tolist(),
        "names": [family.name for family in _FAMILIES],
        "rules": [_rule(one, alphas) for one in every],
        "lost": {
            name: [
                [round(value, _DIGITS) for value in (row.drop, row.drop_low, row.drop_high)]
                for row in (getattr(one, half) for one in every)
            ]
            for name, half in (("chosen", "chosen_on"), ("judged", "judged_on"))
        },
        "halves": {
            name: {"samples": len(half), "packed": _packed(trace, kind, half, alphas)}
            for name, half in zip(("chosen", "judged"), halves(trace.samples), strict=True)
        },
    }


def _refuse_unsteady(system: System, limits: Limits) -> None:
    """Raise InputError if what happens depends on more than the sample, or costs are not ms."""
    arrivals: Any = system.arrivals
    wrong = {
        "a link whose rate changes (--link)": not system.link.constant,
        "outages (--outage)": len(system.link.outages_ms) > 0,
        "arrivals (--arrivals)": not arrivals.one_at_a_time,
        "a deadline (--deadline)": system.deadline is not None,
        "weights (--weights)": dict(system.weights) != {"ms": 1.0},
        "a limit of energy (--max-mj)": limits.max_mj is not None,
    }
    for what, given in wrong.items():
        if given:
            raise InputError(
                f"the page knows a constant link, one sample at a time, and costs in ms, not {what}: "
                "leave it out, or use `splitee plan`"
            )


def _tokens(on: SystemOn) -> NDArray[np.int64]:
    """Return the token counts that are the rows of a world."""
    length = on.trace.length
    return np.array([on.system.tokens or 1]) if length is None else np.unique(length).astype(np.int64)


def _kinds(on: SystemOn) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return pairs of a row of the world and bits of the input, shape (k, 2), and the pair of each sample."""
    pairs = np.column_stack([on.world.kind, on.world.input_bits])
    kinds, kind = np.unique(pairs, axis=0, return_inverse=True)
    if len(kinds) > _MOST_KINDS:
        raise InputError(
            f"the inputs have {len(kinds):,} different lengths and sizes, the page holds at most "
            f"{_MOST_KINDS:,}: round input_bytes"
        )
    return kinds, kind.ravel()


def _rule(one: Judged, alphas: Sequence[float]) -> list[int]:
    """Return the family of a rule, its layer and the place of its threshold (−1: none)."""
    threshold = getattr(one.policy, "threshold", None)
    place = -1 if threshold is None else alphas.index(threshold)
    return [_FAMILIES.index(type(one.policy)), getattr(one.policy, "layer", 0), place]


def _packed(trace: Trace, kind: NDArray[np.intp], half: NDArray[np.intp], alphas: Sequence[float]) -> str:
    """Return the samples of one half as compressed text; see `contents`."""
    reached = np.searchsorted([as_alpha(alpha) for alpha in alphas], trace.confidence[half], side="right")
    raw = kind[half].astype("<u2").tobytes() + np.ascontiguousarray(reached.T.astype(np.uint8)).tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _chart(name: str) -> Any:
    """Return the specification of a chart."""
    return json.loads((_TEMPLATES / f"{name}.vega.json").read_text(encoding="utf-8"))


def _vega() -> str:
    """Return Vega-Embed, with Vega in it, as a script."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def _vega_version() -> str:
    import vl_convert

    return str(vl_convert.get_vega_version())


def _in_html(value: Any) -> str:
    """Return JSON that may stand in a script element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
