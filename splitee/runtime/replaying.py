"""Replay the policy on what the device saw, in the order in which feedback arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splitee._internal.errors import InputError
from splitee.policies.loop import Context, DeviceLoop, decide_round
from splitee.runtime.records import Record
from splitee.runtime.setting import Rules


@dataclass(frozen=True)
class Difference:
    """The first round in which the policy decides otherwise than the device did.

    Attributes
    ----------
    t : int
    policy, device : str
        What each did.
    """

    t: int
    policy: str
    device: str

    def __str__(self) -> str:
        return f"in round {self.t} the policy {self.policy}, the device {self.device}"


class _OtherExitError(Exception):
    """The policy asks for an exit that the device did not evaluate then."""


def replay(rules: Rules, records: Sequence[Record], loop: DeviceLoop | None = None) -> Difference | None:
    """Replay the policy, and return the first difference; None if every decision is the same.

    Parameters
    ----------
    rules : Rules
    records : sequence of Record
        In the order of the rounds.
    loop : DeviceLoop, optional
        A policy at the start of a stream; it is left as it was when the last round began.
    """
    loop = rules.loop() if loop is None else loop
    arrived = sorted((one for one in records if one.order), key=lambda one: one.order)
    entropies, learned = bool(getattr(loop, "needs_entropy", False)), 0
    for record in records:
        if record.known > len(arrived):
            return Difference(record.t, "cannot have", f"had the feedback of {record.known} samples")
        for one in arrived[learned : record.known]:
            loop.learn(one.t, rules.feedback(one))
        learned = record.known
        asked: list[int] = []

        def see(exit_: int, record: Record = record, asked: list[int] = asked) -> tuple[Any, ...]:
            place = len(asked)
            asked.append(exit_)
            if asked != list(record.exits[: place + 1]):
                raise _OtherExitError
            more = (record.entropies[place],) if entropies else ()
            return record.confidences[place], record.predictions[place], *more

        timed = rules.problem.timed
        context = Context(
            record.tokens or None, *((record.began, record.rate / 1e3, record.waiting) if timed else ())
        )
        try:
            exits, offloaded = decide_round(loop, rules.problem, record.t, context, see, rules.name)
        except _OtherExitError:
            return Difference(record.t, f"evaluates {_exits(asked)}", f"evaluated {_exits(record.exits)}")
        except (InputError, LookupError) as error:
            return Difference(record.t, f"fails ({error})", "did not")
        if (tuple(exits), offloaded) != (record.exits, record.offloaded):
            return Difference(
                record.t,
                f"evaluates {_exits(exits)} and {'offloads' if offloaded else 'answers'}",
                f"evaluated {_exits(record.exits)} and {'offloaded' if record.offloaded else 'answered'}",
            )
    return None


def _exits(exits: Sequence[int]) -> str:
    if not exits:
        return "no exit"
    return f"exit{'s' if len(exits) > 1 else ''} {', '.join(map(str, exits))}"
