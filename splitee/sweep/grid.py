"""What a sweep is of: a grid, read from YAML, checked key by key, and cut into cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from itertools import product
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from splitee._internal.errors import InputError, suggest
from splitee.costs import CostModel
from splitee.policies.base import Policy
from splitee.policies.named import DEFAULT, OPTIONAL, make_policies
from splitee.replay.scene import DEFAULT_THRESHOLD
from splitee.trace import Trace

ALL, HALF = "all", "half"


@dataclass(frozen=True)
class Cell:
    """One trace under one set of prices on one device: what is replayed, with all policies, at once.

    Attributes
    ----------
    number : int
        From 0, in the grid's order.
    trace : str
        As the grid names it.
    device_layers : int or str
        m, "all" or "half".
    layer_cost : float
        λ₁ in λ; an exit costs the rest, λ₂ = 1 − λ₁.
    mu, offload : float
        μ and o.
    """

    number: int
    trace: str
    device_layers: int | str
    layer_cost: float
    mu: float
    offload: float

    def holds(self, layers: int) -> int:
        """Return m, the layers that the device holds of `layers`."""
        held = {ALL: layers, HALF: max(1, layers // 2)}.get(str(self.device_layers), self.device_layers)
        if int(held) > layers:
            raise InputError(f"device_layers {held}: trace {self.trace} has {layers} layers")
        return int(held)

    def costs(self, layers: int, offload_input: float | None = None) -> CostModel:
        """Return its prices."""
        exit_cost = 1 / 6 if self.layer_cost == 5 / 6 else 1.0 - self.layer_cost
        held = self.holds(layers)
        return CostModel(self.layer_cost, exit_cost, self.offload, offload_input, device_layers=held)


@dataclass(frozen=True)
class Grid:
    """All combinations of these.

    Parameters
    ----------
    traces : sequence of str
        Bundled names or files.
    policies : sequence of str
        As `splitee run --policy` names them.
    offload, mu, layer_cost : sequence of float
        o; μ; λ₁ (λ₂ is the rest of 1 λ).
    device_layers : sequence of int or str
        m, "all" or "half".
    threshold : sequence of float or str
        α; "recommended" is what the trace recommends, else 0.7.
    exploration : sequence of float
        β, of the policies that have one.
    repeats, seed : int
        How many orders, and of what seed.
    offload_input : float, optional
        Price of sending the input. Default: o.
    send_input : bool
        Whether learners may send the input.
    source : str, optional
        Validation trace for "source-split". Default: the bundled one of the same model.
    interval : sequence of str
        What intervals are over: "data" (slower), "run", or both; each gives rows of its own.

    Examples
    --------
    >>> grid = Grid(traces=["imdb"], policies=["splitee", "cloud-only"], offload=[1, 5], threshold=[0.7, 0.9])
    >>> len(grid.cells())
    2
    """

    traces: Sequence[str]
    policies: Sequence[str] = DEFAULT
    offload: Sequence[float] = (5.0,)
    mu: Sequence[float] = (0.1,)
    layer_cost: Sequence[float] = (5 / 6,)
    device_layers: Sequence[int | str] = (ALL,)
    threshold: Sequence[float | str] = ("recommended",)
    exploration: Sequence[float] = (1.0,)
    repeats: int = 20
    seed: int = 0
    offload_input: float | None = None
    send_input: bool = False
    source: str | None = None
    interval: Sequence[str] = ("data",)

    def __post_init__(self) -> None:
        for key in _LISTS:
            object.__setattr__(self, key, _listed(key, getattr(self, key)))
        for key, least in (("repeats", 1), ("seed", 0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise InputError(f"{key} is {value!r}: give a whole number, at least {least}")
            object.__setattr__(self, key, int(value))
        if self.offload_input is not None:
            object.__setattr__(self, "offload_input", _number("offload_input", self.offload_input))
        if not isinstance(self.send_input, bool):
            raise InputError(f"send_input is {self.send_input!r}: give true or false")
        if self.source is not None and not isinstance(self.source, str):
            raise InputError(f"source is {self.source!r}: give a trace's name or file")

    def to_dict(self) -> dict[str, Any]:
        """As plain types."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def cells(self) -> list[Cell]:
        """Return what is replayed at once, in the order of the results."""
        every = product(self.traces, self.device_layers, self.layer_cost, self.mu, self.offload)
        return [Cell(number, *values) for number, values in enumerate(every)]

    def members(
        self, cell: Cell, layers: int, recommended: float | None, source: Trace | None
    ) -> list[Policy]:
        """Return the policies of a cell: of those without α, or without β, one whatever the grid lists.

        Parameters
        ----------
        cell : Cell
        layers : int
            L of its trace.
        recommended : float, optional
            α that its trace recommends.
        source : Trace, optional
            For "source-split", which is left out without it.
        """
        names = [name for name in self.policies if source is not None or name not in OPTIONAL]
        held = cell.holds(layers)
        made: dict[Policy, None] = {}
        for alpha in self.alphas(recommended):
            for beta in self.exploration:
                several = make_policies(names, layers, held, alpha, beta, self.send_input, source)
                made |= dict.fromkeys(several)
        return list(made)

    def alphas(self, recommended: float | None) -> list[float]:
        """Return the values of α for a trace that recommends one, or none."""
        own = DEFAULT_THRESHOLD if recommended is None else recommended
        return list(dict.fromkeys(own if isinstance(alpha, str) else alpha for alpha in self.threshold))


def read_grid(path: str | Path) -> Grid:
    """Read a grid from a YAML file.

    Raises
    ------
    InputError
        Where the file is no grid; for an unknown key, the line names the nearest.
    """
    data = Path(path).read_bytes()
    try:
        found = yaml.safe_load(data.decode())
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or such a date as 2001-99-99
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds no grid: give keys and lists, such as 'traces: [imdb]'")
    known = [field.name for field in fields(Grid)]
    for key in found:
        if key not in known:
            raise InputError(f"{path}: no key is called {key!r}: {suggest(key, known)}")
    if "traces" not in found:
        raise InputError(f"{path}: say which traces, such as 'traces: [imdb]'")
    try:
        return Grid(**found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_LISTS = (
    *("traces", "policies", "offload", "mu", "layer_cost", "device_layers", "threshold", "exploration"),
    "interval",
)


def _listed(key: str, given: object) -> tuple[Any, ...]:
    """Return a key's values: a list, or one value for short; each once."""
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not listed:
        raise InputError(f"{key} is an empty list: give at least one value")
    values = [_READ.get(key, _number)(key, value) for value in listed]
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise InputError(f"{key} has {twice!r} twice")
    return tuple(values)


def _number(key: str, value: object) -> float:
    """Return a number, or a fraction given as text, such as 5/6."""
    try:
        number = float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError, OverflowError):
        number = None
    if isinstance(number, bool) or not isinstance(number, Real) or not 0 <= float(number) < math.inf:
        raise InputError(f"{key} is {value!r}: give finite numbers that are not negative")
    return float(number)


def _share(key: str, value: object) -> float:
    if (number := _number(key, value)) > 1:
        raise InputError(f"{key} is {value!r}: give numbers between 0 and 1")
    return number


def _alpha(key: str, value: object) -> float | str:
    return value if value == "recommended" else _share(key, value)


def _device(key: str, value: object) -> int | str:
    if value in (ALL, HALF):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{key} is {value!r}: give a whole number of layers, all, or half")
    return int(value)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{key} is {value!r}: give names")
    return value


def _interval(key: str, value: object) -> str:
    if value not in ("data", "run"):
        raise InputError(f"{key} is {value!r}: choose data or run")
    return str(value)


_READ = {
    "traces": _text,
    "policies": _text,
    "layer_cost": _share,
    "threshold": _alpha,
    "device_layers": _device,
    "interval": _interval,
}
