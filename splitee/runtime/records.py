"""What happened to one sample on the device: what was evaluated, decided, sent, timed and answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEVICE, CLOUD = "device", "cloud"
LATE, CUT, REFUSED = "late", "cut", "refused"
# late: the deadline passed; cut: the cloud was gone or busy; refused: it did not take the request


@dataclass
class Record:
    """One sample; times are ms, counted from the start of the stream.

    Attributes
    ----------
    t : int
        The round, from 1.
    id : str
    tokens : int
        0 for an image.
    input_bytes : int
        Of the image file; 0 for a text.
    label : int or None
        For judging the log: no policy sees it.
    arrived, began : float
    known : int
        How many samples' feedback the policy had learned from when this one began.
    waiting : int
        How many samples waited for the device then.
    exits, confidences, predictions, entropies : tuple
        Of the exits that the policy asked for, in order.
    offloaded : bool
    sends : str
        "state" or "input" if it was offloaded, else "".
    bytes : int
        Of the request's body.
    rate : float
        Bits per ms that the device took for the link's rate.
    ms : dict
        ``tokenize``, ``compute`` (layers and exits), ``encode`` (the request), ``own`` (policy, log and
        bookkeeping).
    by : str
        Who answered: "device" or "cloud"; "" while no answer has come.
    confidence, prediction : float, int
        The answer.
    lost : str
        Why an offload brought no answer: "late", "cut", "refused", else "".
    latency : float
        From the arrival of the sample to its answer.
    paid : float
        What the offload cost, in the unit of costs.
    net_ms, cloud_ms : float
        Of an answered request: between request and answer, and the cloud's part of it.
    late : tuple of (int, float, int) or None
        If the input was offloaded and the answer was lost: the exit that the device then computed.
    order : int
        The place of its feedback in the order of arrival, from 1; 0 before.
    others : dict of int to (float, int)
        Exits that the device evaluated after it had answered, to complete the log.
    """

    t: int
    id: str
    tokens: int
    arrived: float
    began: float
    known: int
    exits: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()
    predictions: tuple[int, ...] = ()
    entropies: tuple[float, ...] = ()
    offloaded: bool = False
    label: int | None = None
    waiting: int = 0
    sends: str = ""
    bytes: int = 0
    rate: float = 0.0
    ms: dict[str, float] = field(default_factory=dict)
    by: str = ""
    confidence: float = 0.0
    prediction: int = 0
    lost: str = ""
    latency: float = 0.0
    paid: float = 0.0
    net_ms: float = 0.0
    cloud_ms: float = 0.0
    late: tuple[int, float, int] | None = None
    input_bytes: int = 0
    order: int = 0
    others: dict[int, tuple[float, int]] = field(default_factory=dict)

    @property
    def layer(self) -> int:
        """Where the device stopped; 0 if the input was offloaded."""
        return self.exits[-1] if self.exits else 0

    def decided(self) -> dict[str, Any]:
        """Return the part that is known when the device has decided, for the journal."""
        return {name: getattr(self, name) for name in _DECIDED}

    def answer(self) -> dict[str, Any]:
        """Return the part that the answer adds."""
        return {"t": self.t, **{name: getattr(self, name) for name in _ANSWERED}}

    def set_answer(self, found: dict[str, Any]) -> None:
        """Take over what `answer` returned."""
        for name in _ANSWERED:
            setattr(self, name, found[name])
        self.late = None if self.late is None else tuple(self.late)  # type: ignore[assignment]

    @classmethod
    def of(cls, found: dict[str, Any]) -> Record:
        """Read what `decided` returned."""
        tuples = {name: tuple(found[name]) for name in ("exits", "confidences", "predictions", "entropies")}
        plain = {name: found[name] for name in _DECIDED if name in found or name != "input_bytes"}
        return cls(**{**plain, **tuples})  # journals of texts have no input_bytes

    def seen(self) -> dict[int, tuple[float, int]]:
        """Return confidence and prediction of every exit that is known, by its number."""
        known = dict(self.others)
        if self.late is not None:
            known[self.late[0]] = self.late[1:]
        known |= {i: (c, p) for i, c, p in zip(self.exits, self.confidences, self.predictions, strict=True)}
        return known


_DECIDED = (
    *(
        "t",
        "id",
        "tokens",
        "label",
        "arrived",
        "began",
        "known",
        "waiting",
        "exits",
        "confidences",
        "predictions",
    ),
    *("entropies", "offloaded", "sends", "bytes", "rate", "ms", "input_bytes"),
)
_ANSWERED = (*("by", "confidence", "prediction", "lost", "latency", "paid", "net_ms", "cloud_ms", "late"),)
