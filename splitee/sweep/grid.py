"""The grid of a sweep: read from YAML, checked key by key, and divided into cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitee._internal.errors import InputError, suggest
from splitee._internal.numbers import ALL, layers_held
from splitee._internal.yaml import read_yaml
from splitee.costs import CostModel
from splitee.policies.base import Policy
from splitee.policies.names import (
    DEFAULT,
    IN_A_SYSTEM,
    OPTIONAL,
    parse_policies,
)
from splitee.policies.problem import DEFAULT_THRESHOLD
from splitee.policies.setting import Setting
from splitee.sweep.keys import READ, NamedSystem
from splitee.trace import Trace

if TYPE_CHECKING:
    from splitee.system.system import System

MOST_CELLS, MOST_POLICIES = 100_000, 10_000  # of a grid, and of each of its cells
_BY_CELL = ("traces", "device_layers", "systems", "layer_cost", "mu", "offload", "stream")
_IN_LAMBDA: dict[str, Any] = {"layer_cost": (5 / 6,), "offload": (5.0,), "offload_input": None}
_BY_POLICY = ("policies", "threshold", "exploration")


@dataclass(frozen=True)
class Cell:
    """One trace, device and set of costs, on which all policies are replayed together.

    Attributes
    ----------
    number : int
        From 0, in the grid's order.
    trace : str
        Its bundled name or file, as in the grid.
    device_layers : int or str
        m, "all" or "half".
    layer_cost : float
        λ₁ in λ; an exit costs the rest, λ₂ = 1 − λ₁.
    mu : float or "auto"
        μ.
    offload : float
        o.
    stream : str
        Name of its orders.
    system : str, optional
        The name of its system; None: costs are constants.
    """

    number: int
    trace: str
    device_layers: int | str
    layer_cost: float
    mu: float | str
    offload: float
    stream: str = "shuffled"
    system: str | None = None

    def holds(self, layers: int) -> int:
        """Return m, the number of layers on the device, for a trace of L layers."""
        try:
            return layers_held(self.device_layers, layers)
        except InputError:
            raise InputError(
                f"device_layers {self.device_layers}: trace {self.trace} has {layers} layers"
            ) from None

    def costs(self, layers: int, offload_input: float | None = None) -> CostModel:
        """Return the constant costs of the cell for a trace of L layers."""
        exit_cost = 1 / 6 if self.layer_cost == 5 / 6 else 1.0 - self.layer_cost
        held = self.holds(layers)
        return CostModel(self.layer_cost, exit_cost, self.offload, offload_input, device_layers=held)


@dataclass(frozen=True)
class Grid:
    """Every combination of these settings. A list may also be one value, or a text with commas.

    Parameters
    ----------
    traces : sequence of str
        Bundled names or files.
    policies : sequence of str
        Names that `splitee run --policy` takes. Default: those of `splitee run`.
    systems : sequence of mapping
        Devices, links and clouds, in which costs are measured, instead of `offload` and `layer_cost`. Keys
        are the options of `splitee run` (see `splitee.system.settings.SystemSettings`), and `name`.
    offload, layer_cost : sequence of float
        o and λ₁ (λ₂ = 1 − λ₁). Fractions such as "5/6" are numbers too.
    mu : sequence of float or str
        μ; "auto" is 0.1, in a system 0.1 per layer with its exit on the device.
    device_layers : sequence of int or str
        m, "all" or "half".
    threshold : sequence of float or str
        α; "recommended" is the trace's recommended α, else 0.7.
    exploration : sequence of float
        β, of the policies that have one.
    repeats, seed : int
        Number of random orders, and their seed.
    stream : sequence of str
        "shuffled", or others of `splitee.streams.STREAMS`.
    offload_input : float, optional
        Cost of offloading the input. Default: o.
    send_input : bool
        Whether learners may offload the input.
    source : str, optional
        Validation trace for "source-split". Default: the bundled one of the same model.
    interval : sequence of str
        Intervals over samples ("data", slower), orders ("run") or both; each gives its own rows.

    Examples
    --------
    >>> grid = Grid(traces=["imdb"], policies=["splitee", "cloud-only"], offload=[1, 5], threshold=[0.7, 0.9])
    >>> len(grid.cells())
    2
    """

    traces: Sequence[str]
    policies: Sequence[str] = DEFAULT
    offload: Sequence[float] = _IN_LAMBDA["offload"]
    mu: Sequence[float | str] = ("auto",)
    layer_cost: Sequence[float] = _IN_LAMBDA["layer_cost"]
    device_layers: Sequence[int | str] = (ALL,)
    threshold: Sequence[float | str] = ("recommended",)
    exploration: Sequence[float] = (1.0,)
    repeats: int = 20
    seed: int = 0
    stream: Sequence[str] = ("shuffled",)
    offload_input: float | None = None
    send_input: bool = False
    source: str | None = None
    interval: Sequence[str] = ("data",)
    systems: Sequence[NamedSystem | Mapping[str, Any] | None] = (None,)

    def __post_init__(self) -> None:
        for key, read in READ.items():
            try:
                object.__setattr__(self, key, read(getattr(self, key)))
            except InputError as error:
                raise InputError(f"{key}: {error}") from error
        if self.timed and self.policies == DEFAULT:
            object.__setattr__(self, "policies", IN_A_SYSTEM)
        if not self.timed:
            object.__setattr__(self, "mu", tuple(0.1 if mu == "auto" else mu for mu in self.mu))
        for key, default in _IN_LAMBDA.items():
            if self.timed and getattr(self, key) != default:
                raise InputError(f"{key} is a constant cost: leave it out with systems")
        cells = math.prod(len(getattr(self, key)) for key in _BY_CELL)
        policies = math.prod(len(getattr(self, key)) for key in _BY_POLICY)
        for many, most, keys in ((cells, MOST_CELLS, _BY_CELL), (policies, MOST_POLICIES, _BY_POLICY)):
            if many > most:
                raise InputError(
                    f"{', '.join(keys)} have {many:,} combinations: at most {most:,} fit in a grid"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the grid in plain types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
        if self.stream == ("shuffled",):  # as in sweeps that were written before there were others
            del plain["stream"]
        if self.timed:
            plain["systems"] = [one.to_dict() for one in self.systems if isinstance(one, NamedSystem)]
            for key in _IN_LAMBDA:
                del plain[key]
        else:
            del plain["systems"]
        return plain

    @property
    def timed(self) -> bool:
        """Whether costs are measured in systems."""
        return self.systems != (None,)

    def loaded(self) -> dict[str, System]:
        """Return the systems by name, their files read; `device_layers` is left to the cells."""
        made = {}
        for one in self.systems:
            if isinstance(one, NamedSystem):
                try:
                    made[one.name] = one.settings.system()
                except InputError as error:
                    raise InputError(f"system {one.name}: {error}") from error
        return made

    def cells(self) -> list[Cell]:
        """Return the cells in the order of the results."""
        names = [one.name if isinstance(one, NamedSystem) else None for one in self.systems]
        costs = self.layer_cost, self.mu, self.offload
        every = product(self.traces, self.device_layers, *costs, self.stream, names)
        return [Cell(number, *values) for number, values in enumerate(every)]

    def members(
        self,
        cell: Cell,
        layers: int,
        recommended: float | None,
        source: Trace | None,
        classes: int | None = None,
    ) -> list[Policy]:
        """Return the policies of a cell. A policy without α or β occurs once, however many the grid lists.

        Parameters
        ----------
        cell : Cell
        layers : int
            L of its trace.
        recommended : float, optional
            Its trace's recommended α.
        source : Trace, optional
            For "source-split", which is left out without it.
        classes : int, optional
            K of its trace.
        """
        names = [name for name in self.policies if source is not None or name not in OPTIONAL]
        held = cell.holds(layers)
        made: dict[Policy, None] = {}
        for alpha in self.alphas(recommended):
            for beta in self.exploration:
                setting = Setting(layers, held, alpha, beta, self.send_input, source, classes)
                made |= dict.fromkeys(parse_policies(names, setting))
        return list(made)

    def alphas(self, recommended: float | None) -> list[float]:
        """Return the values of α for a trace, given its recommended α if it has one."""
        own = DEFAULT_THRESHOLD if recommended is None else recommended
        return list(dict.fromkeys(own if isinstance(alpha, str) else alpha for alpha in self.threshold))


def read_grid(path: str | Path) -> Grid:
    """Read a grid from a YAML file.

    Raises
    ------
    InputError
        If the file is not a grid. For an unknown key, the line suggests the nearest.
    """
    found = read_yaml(path)
    if not isinstance(found, Mapping):
        raise InputError(f"{path} is not a grid: give keys and lists, such as 'traces: [imdb]'")
    known = [field.name for field in fields(Grid)]
    for key in found:
        if key not in known:
            raise InputError(f"{path}: no key is called {key!r}: {suggest(key, known)}")
        if "systems" in found and key in _IN_LAMBDA:
            raise InputError(f"{path}: {key} is a constant cost: leave it out with systems")
    if "traces" not in found:
        raise InputError(f"{path} has no traces: name them, such as 'traces: [imdb]'")
    try:
        return Grid(**found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
