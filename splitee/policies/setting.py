"""What named policies are made for, and how a family declares its names.

A module of `splitee.policies`, or of a package inside it, lists its names in a constant ``NAMES``;
`splitee.policies.names` finds them there. Nothing else has to be changed to add a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from splitee._internal.errors import InputError
from splitee._internal.numbers import layer_count, layers_held
from splitee.policies.base import Policy
from splitee.trace import Trace


@dataclass(frozen=True)
class Setting:
    """The trace, device and options that named policies are made for.

    Attributes
    ----------
    layers, arms : int
        L of the trace and m of the device.
    threshold : float
        α.
    exploration : float
        β of SplitEE and SplitEE-S.
    send_input : bool
        Whether learners may offload the input.
    source : Trace, optional
        The source's validation trace, for "source-split", "link-aware" and "certified".
    classes : int, optional
        K of the trace. If given, entropy thresholds above ln K are refused.
    """

    layers: int
    arms: int
    threshold: float
    exploration: float = 1.0
    send_input: bool = False
    source: Trace | None = None
    classes: int | None = None

    @property
    def last(self) -> int | None:
        """The last layer of a cascade on the device; None: L."""
        return self.arms if self.arms < self.layers else None

    def layer(self, text: str) -> int:
        """Return a layer that a parameter names, such as "half"; InputError unless the trace has it."""
        return layers_held(layer_count(text), self.layers)

    def source_of(self, name: str) -> Trace:
        """Return the source's validation trace, which the policy `name` needs; InputError if missing."""
        if self.source is None:
            raise InputError(
                f"policy {name} needs the source's validation trace: give --source, a trace that the same "
                "model wrote of labelled data like its training data"
            )
        return self.source


@dataclass(frozen=True)
class Name:
    """One name of a policy on the command line, in sweeps and in `splitee.replay`.

    Attributes
    ----------
    name : str
        In small letters with hyphens: ``"splitee-s"``. With a parameter, what it is: ``"exit:LAYER"``.
    make : callable
        Takes a `Setting`, and the parameter as a text if there is one; returns a policy, or several.
    classes : tuple of str
        Names of classes that are more than the name without its hyphens, such as ``"FixedExit"`` for "exit".
    source : bool
        Whether the policy uses the source's validation trace, which is loaded only then.

    Examples
    --------
    >>> from splitee.policies.fixed import FixedExit
    >>> Name("exit:LAYER", lambda setting, layer: FixedExit(setting.layer(layer)), ("FixedExit",)).kind
    'exit'
    """

    name: str
    make: Callable[..., Policy | Iterable[Policy]]
    classes: tuple[str, ...] = ()
    source: bool = False

    @property
    def kind(self) -> str:
        """The name without a parameter."""
        return self.name.partition(":")[0]

    @property
    def parameter(self) -> str:
        """What the parameter is; empty if the name takes none."""
        return self.name.partition(":")[2]
