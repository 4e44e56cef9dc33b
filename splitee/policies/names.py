"""Policies by name: the one parser of the command line, of sweeps and of `splitee.replay`.

A name is written in any case, with or without hyphens, or as its class: ``splitee-s``, ``SplitEE-S`` and
``SplitEES`` are one policy. A parameter follows a colon: ``deebert:0.3``, ``exit:half``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import walk_packages
from types import ModuleType
from typing import Any, TypeVar

from splitee import policies
from splitee._internal.errors import InputError
from splitee._internal.numbers import items
from splitee.costs import CostModel
from splitee.policies.base import Policy
from splitee.policies.problem import DEFAULT_THRESHOLD
from splitee.policies.setting import Name, Setting
from splitee.trace import Trace, load_trace
from splitee.trace.bundled import find_source

PAPER = (
    "splitee",
    "splitee-s",
    "splitee-s-published",
    "final-exit",
    "elasticbert",
    "cloud-only",
    "random",
    "best-split",
    "exits",
)
DEFAULT = (
    "splitee",
    "splitee-s",
    "splitee-s-published",
    "splitee-s-skip",
    "ucb-tuned",
    "thompson",
    "explore-then-commit",
    "source-split",
    "final-exit",
    "cloud-only",
    "random",
    "best-split",
    "oracle",
    "elasticbert",
    "pabee",
    "exits",
    "splits",
    "cascade-splits",
)
IN_A_SYSTEM = (*(name for name in DEFAULT if name != "oracle"), "link-aware", "best-rule")
OPTIONAL = ("source-split", "link-aware")  # left out of the lists above if the source is not known
_FIRST = (
    "ucb",
    "variance",
    "commit",
    "certified",
    "stopping",
    "fixed",
    "hindsight",
    "adaptive",
    "cascades",
    "released",
)  # modules whose names are listed first; the others follow by name


def _squeezed(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


P = TypeVar("P")


@cache
def _modules() -> tuple[ModuleType, ...]:
    """Return the modules of the package and of the packages inside it, in a fixed order."""
    found = [info.name for info in walk_packages(policies.__path__, f"{policies.__name__}.")]
    shown = {f"{policies.__name__}.{name}": place for place, name in enumerate(_FIRST)}
    found.sort(key=lambda name: (shown.get(name, len(shown)), name))
    return tuple(import_module(name) for name in found if name != __name__)


@cache
def _declared() -> tuple[dict[str, Name], dict[str, Name]]:
    """Return what the modules declare in `NAMES`, by name: without a parameter, and with one."""
    alone: dict[str, Name] = {}
    given: dict[str, Name] = {}
    for module in _modules():
        for name in getattr(module, "NAMES", ()):
            names = given if name.parameter else alone
            assert name.kind not in names, f"two policies are called {name.name}"
            names[name.kind] = name
    return alone, given


@cache
def _known() -> dict[str, str]:
    """Return the names by all ways to write them, as `_squeezed` has these."""
    every = [name for names in _declared() for name in names.values()]
    return {_squeezed(name.kind): name.kind for name in every} | {
        _squeezed(cls): name.kind for name in every for cls in name.classes
    }


def all_names() -> tuple[str, ...]:
    """Return the names of all policies of the package.

    Examples
    --------
    >>> all_names()[:3], "exit:LAYER" in all_names()
    (('splitee', 'splitee-s', 'splitee-s-published'), True)
    """
    return tuple(name.name for names in _declared() for name in names.values())


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the policies that other packages add by the entry point ``splitee.policies``.

    An entry point names a function that takes a `Setting`, and a text if a parameter is given
    (``name:parameter``), and returns a policy: a device loop, or a `Policy`.
    """
    return {_squeezed(plugin.name): plugin for plugin in entry_points(group="splitee.policies")}


def canonical(name: object) -> str:
    """Return a policy's name as tables of names have it, with its parameter.

    Raises
    ------
    InputError
        If no policy has the name (the line suggests the nearest), or a parameter is missing or surplus.

    Examples
    --------
    >>> canonical("SplitEE-S"), canonical("UCBTuned"), canonical("DeeBERT: 0.3")
    ('splitee-s', 'ucb-tuned', 'deebert:0.3')
    """
    if not isinstance(name, str):
        raise InputError(f"{name!r} is not a policy's name: give a text such as 'splitee'")
    kind, colon, parameter = name.partition(":")
    known, parameter = _known().get(_squeezed(kind)), parameter.strip()
    if known is None and (plugin := installed().get(_squeezed(kind))) is not None:
        return f"{plugin.name}:{parameter}" if colon else plugin.name
    if known is None:
        names = _known() | {squeezed: plugin.name for squeezed, plugin in installed().items()}
        near = difflib.get_close_matches(_squeezed(kind), names, n=1)
        others = sorted(plugin.name for plugin in installed().values())
        every = f"there are {', '.join((*all_names(), *others))}"
        hint = f"did you mean {names[near[0]]}?" if near else every
        raise InputError(f"no policy is called {name!r}: {hint}")
    alone, given = _declared()
    if not colon and known not in alone:
        raise InputError(f"policy {known} needs a parameter: write {given[known].name}")
    if colon and known not in given:
        raise InputError(f"policy {known} takes no parameter: write {known}")
    return f"{known}:{parameter}" if colon else known


def uses_source(name: str) -> bool:
    """Return whether the policy of a name uses the source's validation trace."""
    known = _known().get(_squeezed(name.partition(":")[0]))
    return any(names[known].source for names in _declared() if known in names)


def policy_items(given: object) -> list[Any]:
    """Return the entries of a list of policies, or of a text with commas: a name may have several numbers.

    Examples
    --------
    >>> policy_items("splitee, elasticbert:0.95,0.9,0.8, random")
    ['splitee', 'elasticbert:0.95,0.9,0.8', 'random']
    """
    entries: list[Any] = []
    for entry in items(given):
        follows = entries and isinstance(entries[-1], str) and ":" in entries[-1]
        if follows and isinstance(entry, str) and entry[:1].isdigit():
            entries[-1] += f",{entry}"
        else:
            entries.append(entry)
    return entries


def parse_policies(given: str | Iterable[str | P], setting: Setting) -> list[Policy | P]:
    """Return the policies that names stand for; entries that are not texts are kept as they are.

    Parameters
    ----------
    given : str, or iterable of str and policies
        Names of `all_names`, also several in one text: "splitee,thompson". "exits" stands for every fixed
        exit of the trace, "splits" and "cascade-splits" for all that the device can make.
    setting : Setting
        The trace, device and options they are made for.

    Raises
    ------
    InputError
        If a name is unknown (the line suggests the nearest), or a parameter does not fit.

    Examples
    --------
    >>> setting = Setting(layers=3, arms=3, threshold=0.7)
    >>> [policy.label for policy in parse_policies("SplitEE,exits,split:2", setting)]
    ['SplitEE', 'exit 1', 'exit 2', 'exit 3', 'split 2']
    """
    made: list[Policy | P] = []
    named: set[Policy] = set()  # a policy that two names stand for is made once
    for entry in [given] if isinstance(given, str) else given:
        if not isinstance(entry, str):
            made.append(entry)
            continue
        for name in policy_items(entry):
            new = [policy for policy in _made(canonical(name), setting) if policy not in named]
            named.update(new)
            made += new
    return made


def policy_named(
    name: str, trace: Trace, costs: CostModel | None = None, threshold: float | None = None
) -> Policy:
    """Return the one policy that a name stands for, made for a trace and its costs.

    Parameters
    ----------
    name : str
        One of `all_names`, such as "splitee-s" or "deebert:0.3".
    trace : Trace
        Its layers and classes limit the parameters; its model finds the bundled source of "source-split".
    costs : CostModel, optional
        Its `device_layers` limit cascades.
    threshold : float, optional
        α. Default: the trace's recommended α, else 0.7.

    Raises
    ------
    InputError
        If no policy has the name, its parameter does not fit, or it stands for several policies.

    Examples
    --------
    >>> trace = Trace([[0.6, 0.9], [0.8, 0.9]], [[0, 1], [1, 1]])
    >>> policy_named("SplitEE-S", trace).label, policy_named("exit:half", trace).label
    ('SplitEE-S (causal)', 'exit 1')
    """
    made = parse_policies(name, setting_of([name], trace, costs, threshold))
    if len(made) != 1:
        raise InputError(f"policy {name!r} stands for {len(made)} policies: give them in a list, [{name!r}]")
    return made[0]


def setting_of(
    given: Iterable[object],
    trace: Trace,
    costs: CostModel | None = None,
    threshold: float | None = None,
) -> Setting:
    """Return the setting of policies for a trace and its costs.

    Parameters
    ----------
    given : iterable
        The names that are asked for: the bundled source is loaded only if one of them uses it.
    trace, costs, threshold
        See `policy_named`.
    """
    if threshold is None:
        threshold = trace.recommended_threshold
    names = [name for entry in given if isinstance(entry, str) for name in policy_items(entry)]
    asked = any(uses_source(name) for name in names)
    source = find_source(trace.manifest) if asked else None
    return Setting(
        layers=trace.layers,
        arms=(costs or CostModel()).arms(trace.layers),
        threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        source=None if source is None else load_trace(source),
        classes=trace.classes,
    )


def _made(name: str, setting: Setting) -> Iterable[Policy]:
    """Make the policies of a canonical name."""
    kind, colon, parameter = name.partition(":")
    alone, given = _declared()
    if kind not in alone and kind not in given:
        return [installed()[_squeezed(kind)].load()(setting, *([parameter] if colon else []))]
    if not colon:
        made = alone[kind].make(setting)
        return [made] if isinstance(made, Policy) else made
    try:
        made = given[kind].make(setting, parameter)
    except InputError as error:
        raise InputError(f"policy {name}: {error}") from error
    return [made] if isinstance(made, Policy) else made
