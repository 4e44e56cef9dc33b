"""The scenarios of `splitee run`: a trace, its costs and α, and the folder of the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from splitee._internal.errors import InputError
from splitee._internal.numbers import layers_held

if TYPE_CHECKING:
    from splitee.trace import Trace

_SETTING = ("trace", "offload", "mu", "device_layers")  # what a folder's name always holds


@dataclass(frozen=True)
class Scenario:
    """One trace under one set of costs and one α."""

    trace: Trace
    offload: float
    mu: float
    device_layers: int
    threshold: float

    @property
    def facts(self) -> dict[str, Any]:
        """What `folder_names` needs, as run.json has it."""
        return {
            "trace": self.trace.name,
            "offload": self.offload,
            "mu": self.mu,
            "device_layers": self.device_layers,
            "threshold": self.threshold,
        }

    @property
    def title(self) -> str:
        """The line above the table."""
        t = self.trace
        holds = "all" if self.device_layers == t.layers else "the first"
        layers = "layers" if t.exit_layers == tuple(range(1, t.layers + 1)) else "exits"
        return (
            f"{t.name}: {t.samples:,} samples, "
            f"the device holds {holds} {self.device_layers} of {t.layers} {layers}, "
            f"o = {self.offload:g} λ, μ = {self.mu:g}, α = {self.threshold:g}"
        )


def scenarios_of(
    traces: Sequence[Trace],
    thresholds: Mapping[str, Iterable[float]],
    offload: Sequence[float],
    mu: Sequence[float],
    device_layers: Sequence[int | str],
) -> list[Scenario]:
    """Return all combinations, trace by trace.

    Parameters
    ----------
    traces : sequence of Trace
    thresholds : mapping of str to floats
        The values of α for each trace, by its name.
    offload, mu : sequence of float
        o and μ.
    device_layers : sequence of int or str
        m, "half" or "all"; for a trace, each number of layers is taken once.

    Raises
    ------
    InputError
        If two traces have one name, or a trace has too few layers.
    """
    names = [trace.name for trace in traces]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two traces are called {twice[0]}: give traces of different names")
    made = []
    for trace in traces:
        try:
            held = dict.fromkeys(layers_held(count, trace.layers) for count in device_layers)
        except InputError as error:
            raise InputError(f"--device-layers {error} (trace {trace.name})") from error
        alphas = dict.fromkeys(thresholds[trace.name])
        made += [Scenario(trace, *values) for values in product(offload, mu, held, alphas)]
    return made


def folder_names(scenarios: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the folder of each scenario below --out; it names α only if the run has several.

    Parameters
    ----------
    scenarios : sequence of mappings
        All scenarios of a run, as `Scenario.facts` or run.json has them.

    Examples
    --------
    >>> one = {"trace": "imdb", "offload": 5.0, "mu": 0.1, "device_layers": 12, "threshold": 0.7}
    >>> folder_names([one]), folder_names([one, one | {"threshold": 0.8}])
    (['imdb_o5_mu0.1_m12'], ['imdb_o5_mu0.1_m12_a0.7', 'imdb_o5_mu0.1_m12_a0.8'])
    """
    settings = [tuple(scenario[key] for key in _SETTING) for scenario in scenarios]
    names = []
    for scenario, setting in zip(scenarios, settings, strict=True):
        trace, offload, mu, layers = setting
        alpha = f"_a{scenario['threshold']:g}" if settings.count(setting) > 1 else ""
        names.append(f"{trace}_o{offload:g}_mu{mu:g}_m{layers}{alpha}".replace("/", "-"))
    return names
