"""The sealed traces of the suite, in the forms that it plays, and their two halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from splitee.trace import Trace, load_trace
from splitee.trace.bundled import find_source
from splitee.trace.joining import concatenate
from splitee.trace.temperature import apply_temperatures, calibrate

MOST = 2_500  # samples of a half
CLEAN = ("clean", "blur2", "noise2", "jpeg3")  # what is mixed


@dataclass(frozen=True)
class Form:
    """A trace of the suite.

    Attributes
    ----------
    name : str
    files : tuple of str
        The bundled traces that it is made of; their fingerprints are sealed.
    make : callable
        Returns the trace, and the source's validation trace if there is one.
    kind : {"text", "image"}
    data : str
        The data set. Traces of one data set are not independent: see `splitee.bench.ranks`.
    """

    name: str
    files: tuple[str, ...]
    make: Callable[[], tuple[Trace, Trace | None]] = field(repr=False)
    kind: str = "text"
    data: str = ""


def _source_of(trace: Trace) -> Trace | None:
    source = find_source(trace.manifest)
    return None if source is None else load_trace(source)


def _bundled(name: str) -> tuple[Trace, Trace | None]:
    trace = load_trace(name)
    return trace, _source_of(trace)


def _calibrated(name: str) -> tuple[Trace, Trace | None]:
    trace, source = _bundled(name)
    assert source is not None
    made = calibrate(trace, source)
    fitted = made.manifest["calibration"]["temperatures"]
    chosen = {"recommended_threshold": made.manifest["recommended_threshold"]}
    warm = apply_temperatures(source, fitted)
    return made, warm.replace(manifest=warm.manifest | chosen)


def _mixed() -> tuple[Trace, Trace | None]:
    """Return the test images of Caltech-101, each clean or under one of three distortions."""
    levels = [load_trace("caltech101" if level == "clean" else f"caltech101_{level}") for level in CLEAN]
    drawn = np.random.default_rng(101).integers(len(levels), size=levels[0].samples)
    rows = [np.flatnonzero(drawn == k) for k in range(len(levels))]
    parts = [trace.select(some) for trace, some in zip(levels, rows, strict=True)]
    both = concatenate(parts, "caltech101 mixed")
    return both.select(np.argsort(np.concatenate(rows))), _source_of(levels[0])


def _two_domains() -> tuple[Trace, Trace | None]:
    """Return sentences of Yelp, then reviews of IMDb, as two groups of one trace."""
    yelp, imdb = (load_trace(name) for name in ("yelp_sentences", "imdb"))
    some = [trace.select(_drawn(trace, MOST)) for trace in (yelp, imdb)]
    return concatenate(some, "yelp + imdb"), _source_of(imdb)


def _drawn(trace: Trace, most: int) -> np.ndarray:
    """Return at most so many samples; the same of traces of as many, which are those of the same images."""
    return np.random.default_rng(trace.samples).permutation(trace.samples)[:most]


_PAIRS = ("imdb", "yelp_sentences", "scitail", "qqp", "snli")
_DATA = {"yelp_sentences": "yelp"}
_LEVELS = tuple(f"{kind}{level}" for kind in ("blur", "noise", "jpeg") for level in (1, 2, 3))
_ELUE = ("sst2", "mnli", "mrpc", "rte")
_SLENDER = {"sst2_validation": "sst2", "yelp_sentences": "yelp", "imdb": "imdb"}

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        *(Form(name, (name,), partial(_bundled, name), data=_DATA.get(name, name)) for name in _PAIRS),
        *(
            Form(f"{name} calibrated", (name,), partial(_calibrated, name), data=_DATA.get(name, name))
            for name in _PAIRS
        ),
        *(
            Form(
                f"{name}_validation",
                (f"{name}_validation",),
                partial(_bundled, f"{name}_validation"),
                data=name,
            )
            for name in _ELUE
        ),
        *(
            Form(f"slender_{name}", (f"slender_{name}",), partial(_bundled, f"slender_{name}"), data=data)
            for name, data in _SLENDER.items()
        ),
        Form("yelp + imdb", ("yelp_sentences", "imdb"), _two_domains, data="yelp"),
        Form("caltech101", ("caltech101",), partial(_bundled, "caltech101"), "image", "caltech101"),
        *(
            Form(
                f"caltech101_{level}",
                (f"caltech101_{level}",),
                partial(_bundled, f"caltech101_{level}"),
                "image",
                "caltech101",
            )
            for level in _LEVELS
        ),
        Form(
            "caltech101 mixed",
            ("caltech101", *(f"caltech101_{level}" for level in CLEAN[1:])),
            _mixed,
            "image",
            "caltech101",
        ),
    )
}


@dataclass(frozen=True)
class Halves:
    """A trace in two halves without a common sample.

    Attributes
    ----------
    choose, judge : Trace
        Settings are chosen on the one, and judged on the other.
    source : Trace, optional
        The source's validation trace.
    """

    choose: Trace
    judge: Trace
    source: Trace | None


@lru_cache(maxsize=3)
def halves(name: str) -> Halves:
    """Return the two halves of a trace of the suite, at most `MOST` samples each.

    Examples
    --------
    >>> both = halves("rte_validation")
    >>> both.choose.samples, both.judge.samples, bool(set(both.choose.id) & set(both.judge.id))
    (138, 139, False)
    """
    trace, source = FORMS[name].make()
    drawn = _drawn(trace, 2 * MOST)
    half = len(drawn) // 2
    first, second = (trace.select(np.sort(part)) for part in (drawn[:half], drawn[half:]))
    return Halves(first, second, source)
