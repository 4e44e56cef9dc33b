"""The device: the policy's loop on real layers. It offloads, learns, and keeps the journal."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from splitee._internal.errors import InputError
from splitee.policies.loop import Context, decide_round
from splitee.runtime.connection import Connection, Outcome
from splitee.runtime.halves import Encoded, Half, Said, said
from splitee.runtime.interfaces import interface_of
from splitee.runtime.journal import Journal
from splitee.runtime.protocol import Request, write_request
from splitee.runtime.records import CLOUD, CUT, DEVICE, LATE, Record
from splitee.runtime.replaying import replay
from splitee.runtime.setting import Rules
from splitee.runtime.view import View


class Device:
    """One device: `take` decides on a sample, `wait` returns when it is answered.

    One thread calls `take`, `wait` and `settle`; answers of the cloud arrive in the connection's thread.

    Parameters
    ----------
    half : Half
    rules : Rules
    connection : Connection or None
        None: there is no cloud, and every offload is lost.
    journal : Journal
        What it holds is replayed first: the policy then knows what it knew, and samples without an answer are
        answered.
    """

    def __init__(
        self,
        half: Half,
        rules: Rules,
        connection: Connection | None,
        journal: Journal,
    ) -> None:
        self.half, self.rules, self.connection, self.journal = half, rules, connection, journal
        self.interface, self.deadline = interface_of(half.facts), rules.setting.deadline
        self.records, self.view = journal.records, View()
        self.loop, self.learned = rules.loop(), 0
        self.needs_entropy = bool(getattr(self.loop, "needs_entropy", False))
        self.rate = self.records[-1].rate if self.records else rules.rate
        self._arrived: list[Record] = []  # answered, in order of arrival
        self._jobs: deque[Record] = deque()  # offloaded inputs whose answer was lost
        self._places: dict[int, Any] = {}  # of samples without an answer: where to go on from
        self._news = threading.Condition()  # guards what both threads change
        self._wrote = 0.0  # ms of writes to the journal since the last sample
        self._replies: dict[int, Callable[[Record], object]] = {}
        self.wake: Callable[[], object] = lambda: None  # called when `settle` has something to do
        self._start = time.perf_counter() - self._resume()

    def now(self) -> float:
        """Return ms since the start of the stream; the time between a kill and the next start is left out."""
        return 1e3 * (time.perf_counter() - self._start)

    def take(
        self, sample: Any, id_: str, *, arrived: float | None = None, label: int | None = None,
        waiting: int = 0, reply: Callable[[Record], object] | None = None,
    ) -> Record:  # fmt: skip
        """Decide on a sample; on return it is answered, or its request is on the way.

        Parameters
        ----------
        sample : sequence of str, or bytes or Path
            One text, or a pair; an image file.
        id_ : str
        arrived : float, optional
            When it arrived, ms. Default: now.
        label : int, optional
            For the log.
        waiting : int
            How many samples wait behind it.
        reply : callable, optional
            Called with the record once its answer is in the journal, in either thread.

        Raises
        ------
        InputError
            If the text has no tokens, or the image cannot be read.
        """
        begin = self.now()
        self.settle()
        self._learn()
        start = self.now()
        encoded = self.half.encode(sample, f"sample {id_}")
        tokenized = self.now()
        (tokens, size), timed = self.interface.size(encoded), self.rules.problem.timed
        arrived = begin if arrived is None else arrived
        record = Record(len(self.records) + 1, id_, tokens, arrived, start, self.learned, label=label)
        record.waiting, record.input_bytes = waiting, size
        if reply is not None:
            self._replies[record.t] = reply
        record.rate = self.rate
        record.ms = {"tokenize": tokenized - start, "compute": 0.0, "encode": 0.0, "own": 0.0}
        place, spent, seen = encoded, 0.0, {}

        def see(exit_: int) -> tuple[Any, ...]:
            nonlocal place, spent
            at = time.perf_counter()
            place = self.half.advance(place, exit_)
            seen[exit_] = found = said(self.half, place)
            spent += 1e3 * (time.perf_counter() - at)
            one = found.confidence, found.prediction
            return (*one, found.entropy) if self.needs_entropy else one

        context = Context(tokens or None, *((start, self.rate / 1e3, waiting) if timed else ()))
        exits, record.offloaded = decide_round(
            self.loop, self.rules.problem, record.t, context, see, self.rules.name
        )
        _fill(record, exits, seen, self.needs_entropy)
        record.ms["compute"] = spent
        if record.offloaded:
            self._offload(record, encoded, place, begin)
        else:
            record.by, record.confidence = DEVICE, record.confidences[-1]
            record.prediction = record.predictions[-1]
            record.latency = self.now() - arrived
            record.ms["own"] = self._own(begin, record)
            with self._news:
                self.records.append(record)
                self._write(self.journal.decided, record, None)
                self._enter(record)
        if self.rules.setting.every_exit:
            self._complete(record, encoded)
        return record

    def wait(self, record: Record) -> Record:
        """Return when the sample is answered."""
        while True:
            self.settle()
            with self._news:  # also to be sure that the answer is in the order of arrival
                self._news.wait_for(lambda: record.by or self._jobs)
                if record.by:
                    return record

    def settle(self) -> None:
        """Answer samples whose input was offloaded and whose answer was lost: compute to the last exit."""
        while self._jobs:
            with self._news:
                record = self._jobs.popleft()
            at, last = self.now(), self.rules.held
            found = said(self.half, self.half.advance(self._places[record.t], last))
            record.late = last, found.confidence, found.prediction
            took = self.now() - at
            weights = self.rules.world.weights
            record.paid += float(weights[0] * took) if self.rules.problem.timed else 0.0
            self._answer(record, DEVICE, found.confidence, found.prediction)

    def finish(self) -> None:
        """Return when every sample is answered."""
        for record in self.records:
            self.wait(record)

    # the cloud

    def _offload(self, record: Record, encoded: Encoded, place: Any, begin: float) -> None:
        """Write what was decided, and let the request go."""
        at = self.now()
        state = self.rules.sends_state(record)
        record.sends = "state" if state else "input"
        headers, body = write_request(self._request(record, encoded, place))
        record.bytes, record.ms["encode"] = len(body), self.now() - at
        record.ms["own"] = self._own(begin, record)
        with self._news:
            self.records.append(record)
            self._places[record.t] = place
            self._write(self.journal.decided, record, self.interface.noted(encoded))
        self._ask(record, headers, body)

    def _request(self, record: Record, encoded: Encoded, place: Any) -> Request:
        if record.sends == "input":
            return self.interface.input_request(encoded)
        hidden, recent = self.half.state(place)
        layer = self.interface.exits[record.layer - 1]
        return self.interface.state_request(layer, hidden, codec=self.rules.codec, recent=recent)

    def _ask(self, record: Record, headers: dict[str, str], body: bytes) -> None:
        at = self.now()
        left = None if self.deadline is None else self.deadline - (at - record.arrived)

        def done(outcome: Outcome) -> None:
            self._back(record, outcome, at)

        if left is not None and left <= 0:
            done(Outcome(None, LATE))
        elif self.connection is None or self.connection.gone:
            done(Outcome(None, CUT))
        else:
            self.connection.ask(headers, body, None if left is None else left / 1e3, done)

    def _back(self, record: Record, outcome: Outcome, asked: float) -> None:
        """Take an answer of the cloud, or its loss; in the connection's thread, or the device's."""
        record.lost, record.net_ms, record.cloud_ms = outcome.lost, outcome.net_ms, outcome.cloud_ms
        back = record.ms.get("encode", 0.0) + self.now() - asked
        record.paid = self.rules.offload_paid(record, back)
        if outcome.response is not None:
            self._measure(record)
            found = outcome.response.outputs
            self._answer(record, CLOUD, float(found["confidence"][0]), int(found["prediction"][0]))
        elif record.exits:
            self._answer(record, DEVICE, record.confidences[-1], record.predictions[-1])
        else:
            with self._news:
                self._jobs.append(record)
                self._news.notify_all()
            self.wake()

    def _measure(self, record: Record) -> None:
        """Estimate the rate of a link whose rate changes: bits by the time left for the transfer."""
        system = self.rules.system
        if system is not None and not system.link.constant:
            transfer = record.net_ms - record.cloud_ms - system.link.rtt
            if transfer > 0:
                self.rate = 8.0 * record.bytes / transfer

    def _answer(self, record: Record, by: str, confidence: float, prediction: int) -> None:
        """Write an answer, then let it be seen."""
        record.confidence, record.prediction = confidence, prediction
        record.latency = self.now() - record.arrived
        with self._news:
            self._write(self.journal.answered, {**record.answer(), "by": by})
            record.by = by
            self._places.pop(record.t, None)
            self._enter(record)
            self._news.notify_all()

    def _own(self, begin: float, record: Record) -> float:
        """Return the ms of policy, log and bookkeeping since `begin`, with writes since the last sample."""
        others = record.ms["tokenize"] + record.ms["compute"] + record.ms["encode"]
        wrote, self._wrote = self._wrote, 0.0
        return self.now() - begin - others + wrote

    def _write(self, write: Callable[..., object], *given: Any) -> None:
        """Write to the journal, and count how long it takes."""
        at = time.perf_counter()
        write(*given)
        self._wrote += 1e3 * (time.perf_counter() - at)

    # learning

    def _enter(self, record: Record) -> None:
        """Put an answered sample in the order of arrival."""
        self._arrived.append(record)
        record.order = len(self._arrived)
        self.view.add(record)
        if (reply := self._replies.pop(record.t, None)) is not None:
            reply(record)

    def _learn(self) -> None:
        """Let the policy learn from all that has arrived, in the order of arrival."""
        while self.learned < len(self._arrived):
            record = self._arrived[self.learned]
            self.loop.learn(record.t, self.rules.feedback(record))
            self.learned += 1

    def _complete(self, record: Record, encoded: Encoded) -> None:
        """Evaluate the other exits, for the log only."""
        place: Any = encoded
        for exit_ in range(1, self.rules.held + 1):
            place = self.half.advance(place, exit_)
            if exit_ not in record.exits:
                found = said(self.half, place)
                record.others[exit_] = found.confidence, found.prediction
        if record.others:
            with self._news:
                self.journal.others(record)

    def _resume(self) -> float:
        """Bring the policy to where it was, and take up what has no answer; return the stream's age in s."""
        if not self.records:
            return 0.0
        if (found := replay(self.rules, self.records, self.loop)) is not None:
            raise InputError(f"{self.journal.path} cannot be continued: {found}")
        self._arrived = sorted((one for one in self.records if one.by), key=lambda one: one.order)
        self.learned = self.records[-1].known
        for record in self._arrived:
            self.view.add(record)
        age = max(one.arrived + one.latency for one in self.records)
        self._start = time.perf_counter() - age / 1e3
        for record in [one for one in self.records if not one.by]:
            self._take_up(record)
        return age / 1e3

    def _take_up(self, record: Record) -> None:
        """Offload again what a killed process had on the way; the journal holds its input."""
        encoded = self.interface.resumed(self.journal.inputs[record.t])
        place = self.half.advance(encoded, record.layer) if record.layer else encoded
        self._places[record.t] = place
        self._ask(record, *write_request(self._request(record, encoded, place)))


def _fill(record: Record, exits: list[int], seen: dict[int, Said], entropies: bool) -> None:
    record.exits = tuple(exits)
    record.confidences = tuple(seen[i].confidence for i in exits)
    record.predictions = tuple(seen[i].prediction for i in exits)
    record.entropies = tuple(seen[i].entropy for i in exits) if entropies else ()
