"""The look of figures: a colour and marker per policy, and labels that do not collide."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from splitee._internal.files import atomic_path
from splitee.policies.base import as_dict
from splitee.results.result import Result
from splitee.results.results import Results

INK, FAINT = "#262626", "#8c8c8c"

# independent of the user's matplotlibrc; fonts stay text in a PDF
paper = style.context(
    {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "text.parse_math": False,  # names may hold "$"
        "pdf.fonttype": 42,
        "svg.fonttype": "path",  # renders the same everywhere
        "svg.hashsalt": "splitee",  # reproducible ids
    },
    after_reset=True,
)
# formats with metadata that has no dates and versions: the same figure gives the same bytes
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # forbidden in XML and HTML


@dataclass(frozen=True)
class Look:
    """Colour, marker, marker size and line style of a policy; each distinguishes policies, in grey too."""

    colour: str
    marker: str
    size: float = 7.0
    line: Any = "-"


# Okabe and Ito's palette; sizes fall, so that markers at one point nest instead of hiding each other
LOOKS = (
    Look("#0072B2", "o", 11.5, "-"),
    Look("#D55E00", "^", 9.5, (0, (5, 1.5))),
    Look("#009E73", "D", 6.5, (0, (1, 1))),
    Look("#CC79A7", "v", 7.0, (0, (5, 1.5, 1, 1.5))),
    Look("#56B4E9", "s", 5.0, (0, (8, 2))),
    Look("#E69F00", "p", 6.0, (0, (3, 1, 1, 1, 1, 1))),
    Look("#7F3C8D", "<", 6.0, (0, (2, 2))),
    Look("#882255", ">", 6.0, (0, (1, 2.5))),
)
_STATIC = {
    "FinalExit": Look(INK, "P", 8.0),
    "CloudOnly": Look(INK, "s", 6.5),
    "RandomSplit": Look("#6b6b6b", "X", 7.5, (0, (1, 1))),
    "BestFixedSplit": Look(INK, "*", 10.0, (0, (6, 3))),
    "Oracle": Look("#b0b0b0", "8", 8.0),
    "SourceSplit": Look("#4d4d4d", "<", 6.5, (0, (3, 1, 1, 1))),
    "ElasticBERT": Look("#6b6b6b", "h", 7.5),
    "DeeBERT": Look("#8c8c8c", "H", 6.0),
    "PABEE": Look("#6b6b6b", "d", 6.5),
    "FixedExit": Look("#6b6b6b", "s", 3.2, (0, (3, 2))),
    "FixedSplit": Look("#4d4d4d", "o", 3.2, "-"),
    "CascadeSplit": Look("#4d4d4d", "^", 3.2, (0, (6, 2, 1, 2))),
}
_OTHER = Look("#6b6b6b", "D", 6.0, (0, (3, 1, 1, 1)))
_CURVES = {"FixedExit": "exit i", "FixedSplit": "split i", "CascadeSplit": "cascade split i"}


def described(result: Result) -> dict[str, Any]:
    """Return the class name (under "policy") and parameters of a policy; works for reloaded results."""
    return result.policy if isinstance(result.policy, dict) else as_dict(result.policy)


def looks(results: Results) -> dict[str, Look]:
    """Return the look of each policy by name; it is the same in every figure."""
    learners = [name for name, result in results.items() if result.learns]
    look = {name: LOOKS[k % len(LOOKS)] for k, name in enumerate(learners)}
    for name, result in results.items():
        if name not in look:
            look[name] = _STATIC.get(described(result)["policy"], _OTHER)
    splits = [names for curve, names in curves(results).items() if curve.startswith("split")]
    for k, names in enumerate(splits):  # one curve per α
        look |= {name: replace(look[name], line=LOOKS[k % len(LOOKS)].line) for name in names}
    return look


def curves(results: Results) -> dict[str, list[str]]:
    """Return the names of fixed exits and fixed splits in order of layers: one curve per family and α."""
    facts = {name: described(result) for name, result in results.items()}
    found: dict[tuple[str, float | None], list[str]] = {}
    for name in sorted(facts, key=lambda name: facts[name].get("layer") or 0):
        if facts[name]["policy"] in _CURVES:
            found.setdefault((facts[name]["policy"], facts[name].get("threshold")), []).append(name)
    kinds = [kind for kind, _ in found]
    return {
        _CURVES[kind] + (f" (α = {alpha:g})" if kinds.count(kind) > 1 else ""): names
        for (kind, alpha), names in sorted(found.items(), key=str)
    }


def shown_name(result: Result, width: int = 28) -> str:
    """Return the name, wrapped, with marks for policies that need more than the device has."""
    name = result.name + ("*" if result.sees_final else "")
    lines = textwrap.wrap(name, width) + ([] if result.on_device else ["(not on this device)"])
    return "\n".join(lines)


def dress(result: Result, look: Look) -> dict[str, Any]:
    """Return the marker style of a policy: hollow and grey if the device cannot run it."""
    if result.on_device:
        return {"marker": look.marker, "ms": look.size, "mfc": look.colour, "mec": "white", "mew": 0.6}
    return {"marker": look.marker, "ms": look.size, "mfc": "white", "mec": FAINT, "mew": 0.9}


def curve_entries(label: str, members: Sequence[Result], look: Look) -> list[Line2D]:
    """Return the legend entries of a curve over layers: one for layers on the device, one for the others."""
    entries = []
    for on_device in (True, False):
        part = [result for result in members if result.on_device == on_device]
        if part:
            layers = [described(result)["layer"] for result in part]
            first, last = layers[0], layers[-1]
            which = f"{first}–{last}" if len(layers) == last - first + 1 > 1 else ", ".join(map(str, layers))
            text = label.replace(" i", f" {which}") + ("" if on_device else "\n(not on this device)")
            colour = look.colour if on_device else FAINT
            line = {"ls": look.line, "color": colour, "lw": 0.9} if len(members) > 1 else {"ls": ""}
            entries.append(Line2D([], [], label=text, **line, **dress(part[0], look)))
    return entries


def setting(results: Results) -> str:
    """Return the trace and its costs in one line, or two if one is too narrow."""
    return textwrap.fill(setting_line(results), 60)


def setting_line(results: Results) -> str:
    """Return the trace and its costs in one line."""
    trace, costs = results.facts["trace"], results.facts["costs"]
    layers = trace["layers"]
    held = costs["device_layers"] or layers
    device = f"{held} of {layers}" if held < layers else f"all {layers}"
    return (
        f"{trace['name']}: o = {offload_cost(results.facts)}, μ = {results.facts['mu']:.3g}, "
        f"device holds {device} layers"
    )


def offload_cost(facts: Mapping[str, Any]) -> str:
    """Return o as text: one cost, or the range of costs by layer; in a System at the link's mean rate."""
    costs, offload = facts["costs"], np.unique(facts["costs"]["offload"])
    text = " to ".join(f"{o:.4g}" for o in offload[[0, -1][: len(offload)]]) + f" {facts.get('unit', 'λ')}"
    text = f"about {text}" if "system" in facts else text
    return text if costs["sample_offload"] is None else text + " + a cost per sample"


def footnote(figure: Figure, results: Results, marks: str) -> None:
    """Write at the bottom what the marks mean, and the numbers of samples and orders."""
    repeats = results.facts["repeats"]
    orders = f"{repeats} order{'s' * (repeats != 1)}"
    text = f"{marks}; {results.samples:,} distinct sample{'s' * (results.samples != 1)}, {orders}."
    if any(result.sees_final for result in results.values()):
        text += " * reads confidences that no device could know."
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7, color=FAINT)


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self, 110)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches; it needs no display."""
    figure = ShownFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def freeze(figure: Figure) -> None:
    """Fix the layout: the same in every file, and labels can be placed by the pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


Sides = Sequence[tuple[int, int]]
_AROUND: Sides = ((0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0))


class Labels:
    """Places small texts beside points without overlap; a text without room is left out."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.taken: NDArray[np.float64] = np.empty((0, 4))  # left, bottom, right, top in pixels

    def block(self, x: ArrayLike, y: ArrayLike, radius: float) -> None:
        """Keep texts `radius` points away from the points (x, y) and from the line through them."""
        at = self.axes.transData.transform(np.column_stack([np.atleast_1d(x), np.atleast_1d(y)]))
        steps = [np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / 3)) for a, b in pairwise(at)]
        dense = np.concatenate([at, *steps])
        reach = radius * self._pixels
        self.taken = np.concatenate([self.taken, np.column_stack([dense - reach, dense + reach])])

    def put(self, text: str, x: float, y: float, gap: float, sides: Sides = _AROUND, **font: Any) -> bool:
        """Write `text` near (x, y), `gap` points away, on the first side (right, up) with room.

        Returns whether there was room.
        """
        frame = self.axes.get_window_extent()
        for right, up in sides:
            away = gap if right == 0 or up == 0 else 0.75 * gap
            written = self.axes.annotate(
                text,
                (x, y),
                (right * away, up * away),
                textcoords="offset points",
                ha=("center", "left", "right")[right],
                va=("center", "bottom", "top")[up],
                **font,
            )
            box = written.get_window_extent()
            left, bottom, far, top = self.taken.T
            free = not ((left < box.x1) & (box.x0 < far) & (bottom < box.y1) & (box.y0 < top)).any()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if free and inside:
                self.taken = np.concatenate([self.taken, [box.extents]])
                return True
            written.remove()
        return False

    @property
    def _pixels(self) -> float:
        figure = self.axes.get_figure(root=True)
        assert figure is not None
        return figure.dpi / 72


def together(points: NDArray[np.float64], distance: float) -> list[list[int]]:
    """Return the indices of points in groups: each is within `distance` of another of its group.

    Examples
    --------
    >>> together(np.array([[0.0, 0.0], [5.0, 0.0], [9.0, 0.0], [30.0, 0.0]]), 6.0)
    [[0, 1, 2], [3]]
    """
    near = np.hypot(*(points[:, None] - points[None, :]).T) <= distance
    groups: list[list[int]] = []
    left = set(range(len(points)))
    while left:
        group, new = {min(left)}, {min(left)}
        while new:
            new = {int(j) for i in new for j in np.flatnonzero(near[i])} - group
            group |= new
        groups.append(sorted(group))
        left -= group
    return groups


def pushed_apart(places: NDArray[np.float64], gaps: Sequence[float]) -> NDArray[np.float64]:
    """Return rising places moved as little as possible so that neighbours keep these gaps."""
    moved = places.copy()
    for _ in range(200):
        for i, gap in enumerate(gaps):
            lacking = max(0, gap - (moved[i + 1] - moved[i])) / 2
            moved[i : i + 2] += [-lacking, lacking]
    return moved


@paper
def write_figure(figure: Figure, path: Path, overwrite: bool) -> None:
    """Write a figure in the format of the file's suffix; the same figure gives the same bytes."""
    kind = path.suffix[1:]
    with atomic_path(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=kind, dpi=150, metadata=FORMATS[kind])


@paper
def png(figure: Figure, dpi: int = 120) -> bytes:
    """Return a figure as a small PNG image, of at most 128 colours; the same figure gives the same bytes."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, metadata=FORMATS["png"])
    few = Image.open(drawn).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(small, "PNG", optimize=True)
    return small.getvalue()
