"""The Trace: the confidences and predictions of every exit of a model for every sample."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError
from splitee._internal.files import atomic_path, refuse_place
from splitee._internal.reading import read_bytes
from splitee.trace import columns as trace_columns
from splitee.trace import file as trace_file
from splitee.trace import manifest as trace_manifest
from splitee.trace.bundled import find_trace
from splitee.trace.columns import (
    Floats,
    Halves,
    Integers,
    Strings,
    floats,
    halves,
    integers,
    optional,
    strings,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_CLASSES = 2**20


class Trace:
    """Confidences and predictions of every exit for every sample, with labels if they are known.

    A trace is immutable: its arrays are read-only copies, and `replace` and `select` return new traces.

    Parameters
    ----------
    confidence : array_like, shape (n, L)
        Largest softmax probability C_i of each exit i, for n ≥ 1 samples and L ≥ 2 exits; rounded to float32.
    prediction : array_like, shape (n, L)
        The class that each exit predicts, 0..K-1; stored as int32.
    label : array_like, shape (n,), optional
        The right class of each sample; None if labels are unknown.
    name : str
        Name of the trace in tables and files.
    entropy : array_like, shape (n, L), optional
        Entropy of each exit's probabilities, in nats. With two classes it is derived from the confidence.
    classes : int, optional
        K. Default: the number of `class_names` in the manifest, else max(prediction, label) + 1, at least 2.
    id : sequence of str, optional
        Name of each sample. Default: "0", "1", ...
    length : array_like, shape (n,), optional
        Number of tokens of each sample.
    input_bytes : array_like, shape (n,), optional
        Size of each sample's input, such as an image file; a `System` reads it.
    sharpness, noise : array_like, shape (n,), optional
        What `splitee.data.measures` says of each image; `splitee.ByContext` reads it.
    group : sequence of str, optional
        Group of each sample, such as its domain.
    text_hash : sequence of str, optional
        A hash of each sample's text or image file, by which `with_cloud` matches samples.
    logits : array_like, shape (n, L, K), optional
        Logits of each exit; stored as float16.
    cloud_confidence, cloud_prediction : array_like, shape (n,), optional
        Confidence and class of another model, in the cloud, for each sample; both or neither.
    value : array_like, shape (n, L), optional
        Score of each exit of a regression model. `prediction` is then the score rounded to a class, and
        `confidence` the closeness to the exit before (see `read_scores`), with ``softmax=False``.
    target : array_like, shape (n,), optional
        The right scores; only together with `value`.
    softmax : bool
        False if the confidences are other scores in 0..1, which may lie below 1/K.
    manifest : mapping, optional
        Facts from the producer, JSON values only. splitee reads `class_names`, `exit_layers` and
        `recommended_threshold`; everything else is passed through.

    Raises
    ------
    InputError
        If a shape or a value is invalid; the message names the row (from 0) and the exit (from 1).

    Examples
    --------
    >>> trace = Trace([[0.6, 0.9], [0.8, 0.7]], [[0, 1], [1, 1]], label=[1, 1], name="tiny")
    >>> trace
    <Trace 'tiny': 2 samples × 2 exits, 2 classes, labels>
    >>> trace.accuracy_per_exit()
    array([0.5, 1. ])
    """

    name: str
    classes: int
    softmax: bool
    id: Strings
    confidence: Floats
    prediction: Integers
    label: Integers | None
    length: Integers | None
    input_bytes: Integers | None
    sharpness: Floats | None
    noise: Floats | None
    group: Strings | None
    text_hash: Strings | None
    logits: Halves | None
    cloud_confidence: Floats | None
    cloud_prediction: Integers | None
    value: Floats | None
    target: Floats | None
    exit_layers: tuple[int, ...]
    recommended_threshold: float | None
    _entropy: Floats | None
    _facts: dict[str, Any]

    def __init__(
        self,
        confidence: ArrayLike,
        prediction: ArrayLike,
        label: ArrayLike | None = None,
        name: str = "mine",
        *,
        entropy: ArrayLike | None = None,
        classes: int | None = None,
        id: Any = None,
        length: ArrayLike | None = None,
        input_bytes: ArrayLike | None = None,
        sharpness: ArrayLike | None = None,
        noise: ArrayLike | None = None,
        group: Any = None,
        text_hash: Any = None,
        logits: ArrayLike | None = None,
        cloud_confidence: ArrayLike | None = None,
        cloud_prediction: ArrayLike | None = None,
        value: ArrayLike | None = None,
        target: ArrayLike | None = None,
        softmax: bool = True,
        manifest: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(f"name must be a non-empty text, not {name!r}")
        facts = trace_manifest.producer_facts(manifest)
        confidences = floats("confidence", confidence)
        n, layers = confidences.shape
        predictions = integers("prediction", prediction, (n, layers))
        labels = None if label is None else integers("label", label, (n,))
        classes = _classes(classes, trace_manifest.class_names(facts), predictions, labels)
        if (cloud_confidence is None) != (cloud_prediction is None):
            raise InputError("cloud_confidence and cloud_prediction must be given together")
        if target is not None and value is None:
            raise InputError("target (the right scores) needs value (the scores of each exit)")
        # past __setattr__, which refuses every change
        self.__dict__.update(
            name=name,
            classes=classes,
            softmax=bool(softmax),
            id=strings("id", [str(i) for i in range(n)] if id is None else id, (n,)),
            confidence=confidences,
            prediction=predictions,
            label=labels,
            length=optional(integers, "length", length, (n,)),
            input_bytes=optional(integers, "input_bytes", input_bytes, (n,)),
            sharpness=optional(floats, "sharpness", sharpness, (n,)),
            noise=optional(floats, "noise", noise, (n,)),
            group=optional(strings, "group", group, (n,)),
            text_hash=optional(strings, "text_hash", text_hash, (n,)),
            logits=optional(halves, "logits", logits, (n, layers, classes)),
            cloud_confidence=optional(floats, "cloud_confidence", cloud_confidence, (n,)),
            cloud_prediction=optional(integers, "cloud_prediction", cloud_prediction, (n,)),
            value=optional(floats, "value", value, (n, layers)),
            target=optional(floats, "target", target, (n,)),
            exit_layers=trace_manifest.exit_layers(facts, layers),
            recommended_threshold=trace_manifest.recommended_threshold(facts),
            _entropy=optional(floats, "entropy", entropy, (n, layers)),
            _facts=facts,
        )
        self._check_values()

    @classmethod
    def from_logits(cls, logits: ArrayLike, label: ArrayLike | None = None, **others: Any) -> Trace:
        """Return the trace of a model whose exits give these logits, which are kept.

        Parameters
        ----------
        logits : array_like, shape (n, L, K)
            Logits of each exit.
        label : array_like, shape (n,), optional
            The right class of each sample.
        **others
            Other arguments of `Trace`, such as ``name``.

        Raises
        ------
        InputError
            If a logit is not a finite number, or the shape is another.

        Examples
        --------
        >>> trace = Trace.from_logits([[[0.0, 1.0], [0.0, 3.0]]], label=[1])
        >>> trace.confidence.round(3).tolist(), trace.prediction.tolist()
        ([[0.7310000061988831, 0.953000009059906]], [[1, 1]])
        """
        values = np.asarray(logits)
        trace_columns.check_per_class("logits", values)
        confidence, entropy, prediction = trace_columns.read_logits(values)
        derived = {"entropy": entropy, "logits": values, "classes": values.shape[2]}
        return cls(confidence, prediction, label, **{**derived, **others})

    @classmethod
    def from_probabilities(
        cls, probabilities: ArrayLike, label: ArrayLike | None = None, **others: Any
    ) -> Trace:
        """Return the trace of a model whose exits give these probabilities, shape (n, L, K).

        Logits, their logarithms, are kept if no probability is 0. See `from_logits`.

        Examples
        --------
        >>> Trace.from_probabilities([[[0.4, 0.6], [0.1, 0.9]]], label=[1]).confidence.round(2).tolist()
        [[0.6000000238418579, 0.8999999761581421]]
        """
        values = np.asarray(probabilities)
        confidence, entropy, prediction, logits = trace_columns.read_probabilities(values)
        derived = {"entropy": entropy, "logits": logits, "classes": values.shape[2]}
        return cls(confidence, prediction, label, **{**derived, **others})

    def _check_values(self) -> None:
        for name in ("confidence", "cloud_confidence"):
            if (values := self.columns.get(name)) is not None:
                trace_columns.check_confidence(name, values, self.classes, self.softmax)
        for name in ("prediction", "label", "cloud_prediction"):
            if (values := self.columns.get(name)) is not None:
                trace_columns.check_class(name, values, self.classes)
        if self._entropy is not None:
            trace_columns.check_entropy(self._entropy, self.classes)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Trace is read-only: trace.replace({name}=...) returns a changed copy")

    def __repr__(self) -> str:
        labels = "labels" if self.has_labels else "no labels"
        shape = f"{self.samples} samples × {self.layers} exits, {self.classes} classes"
        return f"<Trace {self.name!r}: {shape}, {labels}>"

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, some: ArrayLike | slice) -> Trace:
        """Return a trace of some samples: a slice, indices or a mask; see `select`."""
        return self.select(np.arange(self.samples)[some] if isinstance(some, slice) else np.atleast_1d(some))

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with one row per sample; columns by exit are called ``confidence_1``, ….

        Logits are left out. `splitee trace import` makes the same trace of such a table, written as CSV.

        Examples
        --------
        >>> Trace([[0.6, 0.9]], [[0, 1]], label=[1]).to_pandas().columns.tolist()
        ['id', 'confidence_1', 'confidence_2', 'prediction_1', 'prediction_2', 'label']
        """
        import pandas as pd

        columns: dict[str, Any] = {}
        for name, values in self.columns.items():
            if values.ndim == 1:
                columns[name] = values
            elif values.ndim == 2:
                columns |= {f"{name}_{i + 1}": values[:, i] for i in range(self.layers)}
        return pd.DataFrame(columns)

    @property
    def samples(self) -> int:
        """Number of samples n."""
        return int(self.confidence.shape[0])

    @property
    def layers(self) -> int:
        """Number of exits L."""
        return int(self.confidence.shape[1])

    @property
    def has_labels(self) -> bool:
        """Whether the trace has labels."""
        return self.label is not None

    @cached_property
    def entropy(self) -> Floats | None:
        """Entropy per exit in nats, shape (n, L): as given, else from two-class confidences, else None."""
        if self._entropy is not None or self.classes != 2 or not self.softmax:
            return self._entropy
        return trace_columns.two_class_entropy(self.confidence)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns that the trace holds, by name, in the file's order."""
        every = {
            "id": self.id,
            "confidence": self.confidence,
            "entropy": self._entropy,
            "prediction": self.prediction,
            "label": self.label,
            "length": self.length,
            "input_bytes": self.input_bytes,
            "sharpness": self.sharpness,
            "noise": self.noise,
            "group": self.group,
            "text_hash": self.text_hash,
            "logits": self.logits,
            "cloud_confidence": self.cloud_confidence,
            "cloud_prediction": self.cloud_prediction,
            "value": self.value,
            "target": self.target,
        }
        return {name: values for name, values in every.items() if values is not None}

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the columns, `classes` and `softmax`; name and manifest are not included."""
        return trace_columns.fingerprint(self.columns, self.classes, self.softmax)

    @property
    def manifest(self) -> dict[str, Any]:
        """A copy of the manifest as written to the file: the producer's facts and the trace's own."""
        own = {
            "schema": trace_manifest.SCHEMA,
            "name": self.name,
            "classes": self.classes,
            "layers": self.layers,
            "samples": self.samples,
            "confidence": "softmax" if self.softmax else "score",
            "fingerprint": self.fingerprint,
        }
        return {**copy.deepcopy(self._facts), **own}

    def accuracy_per_exit(self) -> NDArray[np.float64]:
        """Return the accuracy of each exit, shape (L,); NaN without labels."""
        if self.label is None:
            return np.full(self.layers, np.nan)
        right: NDArray[np.float64] = (self.prediction == self.label[:, None]).mean(axis=0)
        return right

    def agreement_per_exit(self) -> NDArray[np.float64]:
        """Return the share of samples on which each exit predicts the last exit's class, shape (L,)."""
        same: NDArray[np.float64] = (self.prediction == self.prediction[:, -1:]).mean(axis=0)
        return same

    def replace(self, **changes: Any) -> Trace:
        """Return a copy with some constructor arguments changed.

        Examples
        --------
        >>> Trace([[0.6, 0.9]], [[0, 1]], label=[1]).replace(name="unlabelled", label=None)
        <Trace 'unlabelled': 1 samples × 2 exits, 2 classes, no labels>
        """
        same = {key: getattr(self, key) for key in ("name", "classes", "softmax")}
        return Trace(**{**self.columns, **same, "manifest": self._facts, **changes})

    def select(self, indices: ArrayLike) -> Trace:
        """Return a trace of some samples, in the given order.

        Parameters
        ----------
        indices : array_like
            0-based sample numbers, which may repeat, or a boolean mask of shape (n,).

        Raises
        ------
        InputError
            If an index is out of range, or nothing is selected.
        """
        try:
            rows = np.arange(self.samples)[np.asarray(indices)]
        except IndexError as error:
            raise InputError(f"select: {error}") from error
        return self.replace(**{name: values[rows] for name, values in self.columns.items()})

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the trace file atomically; the same trace gives the same bytes.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is false.
        """
        refuse_place(Path(path), overwrite)  # before the work
        data = trace_file.encode(self.columns, self.manifest)
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(data)


def load_trace(path: str | Path) -> Trace:
    """Load a trace file or a bundled trace, and verify every byte and value.

    Parameters
    ----------
    path : str or Path
        A file, or one of `bundled_traces()`, such as "imdb".

    Raises
    ------
    InputError
        If there is no such file or name, or the file is damaged or invalid.
    """
    file = find_trace(path)
    data = read_bytes(file)
    try:
        return from_bytes(data)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def from_bytes(data: bytes) -> Trace:
    """Decode a trace from the content of a trace file.

    Raises
    ------
    InputError
        If the content is damaged, or the manifest contradicts the columns.
    """
    found, manifest = trace_file.decode(data)
    trace = Trace(
        **found,
        name=manifest.get("name", ""),
        classes=manifest.get("classes"),
        softmax=manifest.get("confidence") != "score",
        manifest=manifest,
    )
    del found
    trace_file.release_memory()
    computed = trace.manifest
    for key in trace_manifest.OWN:
        written = manifest.get(key)
        if written != computed[key]:
            raise InputError(f"the manifest says {key} = {written!r}, but the columns give {computed[key]!r}")
    return trace


def _classes(
    given: int | None,
    names: tuple[str, ...] | None,
    predictions: Integers,
    labels: Integers | None,
) -> int:
    """Return the number of classes K: as given, else from the names, else from the highest class."""
    if given is None:
        if names is not None:
            given = len(names)
        else:
            seen = predictions.max() if labels is None else max(predictions.max(), labels.max())
            given = max(2, int(seen) + 1)
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 2:
        raise InputError(f"classes must be a whole number of at least 2, not {given!r}")
    if given > MOST_CLASSES:
        raise InputError(f"classes is {given:.3g}: at most {MOST_CLASSES:,} are supported")
    if names is not None and len(names) != given:
        raise InputError(f"manifest: class_names holds {len(names)} names for {given} classes")
    return int(given)
