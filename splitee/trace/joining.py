"""Join traces: concatenate domains in time, or add the answers of a second model in the cloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitee._internal.errors import InputError
from splitee.trace.bundled import same_model
from splitee.trace.trace import Trace

_SHARED = ("exit_layers", "class_names", "model", "training", "recommended_threshold")


def concatenate(traces: Sequence[Trace], name: str | None = None) -> Trace:
    """Concatenate traces of one model.

    Parameters
    ----------
    traces : sequence of Trace
        At least one; all with the same exits and classes, each with its own name.
    name : str, optional
        Name of the result. Default: the names joined by "+".

    Returns
    -------
    Trace
        Its `group` is the name of the trace that each sample comes from, and its ids start with that name.
        Columns that some traces lack are left out, as are manifest entries that differ.

    Raises
    ------
    InputError
        If there are no traces, two share a name, or exits, classes or models differ.

    Examples
    --------
    >>> one = Trace([[0.6, 0.9]], [[0, 1]], name="one")
    >>> two = Trace([[0.8, 0.7], [0.9, 0.9]], [[1, 1], [0, 1]], name="two")
    >>> both = concatenate([one, two])
    >>> both
    <Trace 'one+two': 3 samples × 2 exits, 2 classes, no labels>
    >>> both.group.tolist(), both.id.tolist()
    (['one', 'two', 'two'], ['one/0', 'two/0', 'two/1'])
    """
    if isinstance(traces, Trace) or not len(traces):
        raise InputError("concatenate: give at least one trace, in a list")
    first = traces[0]
    if not all(isinstance(trace, Trace) for trace in traces):
        raise InputError("concatenate: give a list of traces")
    names = [trace.name for trace in traces]
    if len(set(names)) < len(names):
        raise InputError(f"concatenate: two traces are called {max(names, key=names.count)}: rename one")
    for trace in traces[1:]:
        for what in ("exit_layers", "classes", "softmax"):
            if getattr(trace, what) != getattr(first, what):
                raise InputError(
                    f"concatenate: {first.name} has {what} = {getattr(first, what)}, {trace.name} "
                    f"{getattr(trace, what)}: they must be of one model"
                )
        if same_model(first.manifest, trace.manifest) is False:
            raise InputError(
                f"concatenate: {first.name} and {trace.name} differ in their model: they must be of one model"
            )
    columns: dict[str, Any] = {
        key: np.concatenate([trace.columns[key] for trace in traces])
        for key in first.columns
        if key not in ("id", "group") and all(key in trace.columns for trace in traces)
    }
    manifests = [trace.manifest for trace in traces]
    shared = {
        key: manifests[0][key]
        for key in _SHARED
        if all(key in facts and facts[key] == manifests[0][key] for facts in manifests)
    }
    return Trace(
        **columns,
        name=name or "+".join(names),
        classes=first.classes,
        softmax=first.softmax,
        id=[f"{trace.name}/{i}" for trace in traces for i in trace.id],
        group=np.repeat(names, [trace.samples for trace in traces]).tolist(),
        manifest={**shared, "joined": [{k: m[k] for k in ("name", "fingerprint")} for m in manifests]},
    )


def with_cloud(trace: Trace, cloud: Trace) -> Trace:
    """Add the last exit of another model as the cloud's answers to offloaded samples.

    Parameters
    ----------
    trace : Trace
        The trace of the model on the device.
    cloud : Trace
        The trace of the model in the cloud, on the same samples and classes. Samples are matched by id or, if
        ids are row numbers or differ, by the hash of their text, in any order.

    Returns
    -------
    Trace
        The device's trace with `cloud_confidence` and `cloud_prediction`.

    Raises
    ------
    InputError
        If samples, labels or classes differ, samples cannot be matched, or a trace holds regression scores.

    Examples
    --------
    >>> small = Trace([[0.6, 0.7], [0.9, 0.9]], [[0, 1], [1, 1]], id=["a", "b"], name="small")
    >>> large = Trace([[0.7, 0.99], [0.8, 0.95]], [[1, 1], [1, 1]], id=["b", "a"], name="large")
    >>> with_cloud(small, large).cloud_confidence.tolist()
    [0.949999988079071, 0.9900000095367432]
    """
    if trace.value is not None or cloud.value is not None:
        raise InputError(
            f"{trace.name} and {cloud.name}: traces of regression scores cannot have cloud columns"
        )
    for what in ("classes", "softmax"):
        if getattr(trace, what) != getattr(cloud, what):
            raise InputError(
                f"{trace.name} and {cloud.name} differ in {what}: both models must solve the same task"
            )
    names, others = trace.manifest.get("class_names"), cloud.manifest.get("class_names")
    if names and others and list(names) != list(others):
        raise InputError(
            f"{trace.name} has the classes {', '.join(names)}, {cloud.name} {', '.join(others)}:"
            " both models must solve the same task"
        )
    order = _matched(trace, cloud)
    if trace.label is not None and cloud.label is not None and (trace.label != cloud.label[order]).any():
        raise InputError(
            f"{trace.name} and {cloud.name} label the same samples differently: use one set of labels"
        )
    return trace.replace(
        cloud_confidence=cloud.confidence[order, -1],
        cloud_prediction=cloud.prediction[order, -1],
        manifest=trace.manifest
        | {"cloud": {key: cloud.manifest.get(key) for key in ("name", "fingerprint", "model")}},
    )


def _matched(trace: Trace, cloud: Trace) -> NDArray[np.int64]:
    """Return the row of `cloud` that has the text, or else the id, of each sample of `trace`."""
    together = f"{trace.name} and {cloud.name}"
    if trace.text_hash is not None and cloud.text_hash is not None:
        own, other = trace.text_hash.tolist(), cloud.text_hash.tolist()
        if sorted(own) != sorted(other):
            absent = sum((Counter(own) - Counter(other)).values())
            raise InputError(
                f"{together} hold different samples ({absent:,} of {trace.samples:,} texts are not in the"
                " cloud's): "
                "precompute both from one file"
            )
        by_text = np.empty(trace.samples, dtype=np.int64)  # equal texts in the order of the files
        by_text[np.argsort(own, kind="stable")] = np.argsort(other, kind="stable")
        if sorted(trace.id) != sorted(cloud.id) or len(set(trace.id)) < trace.samples:
            return by_text
        by_id = _by_id(trace, cloud)
        return by_id if [other[row] for row in by_id] == own else by_text
    for one in (trace, cloud):
        if len(set(one.id)) < one.samples:
            raise InputError(f"{one.name}: sample ids repeat, so samples cannot be matched: make ids unique")
    if _other_data(trace, cloud):
        raise InputError(
            f"{together} were computed from different texts or from the same in another order (the"
            " SHA-256 of their "
            "data differ), and their ids are row numbers: precompute both from one file, or give it a"
            " column id"
        )
    missing = sorted(set(trace.id) - set(cloud.id), key=trace.id.tolist().index)
    if missing or cloud.samples != trace.samples:
        reason = f"the cloud's lacks {missing[0]!r}" if missing else "the cloud's has more"
        raise InputError(f"{together} hold different samples ({reason}): precompute both from one file")
    return _by_id(trace, cloud)


def _by_id(trace: Trace, cloud: Trace) -> NDArray[np.int64]:
    place = {id_: i for i, id_ in enumerate(cloud.id)}
    return np.array([place[id_] for id_ in trace.id])


def _other_data(trace: Trace, cloud: Trace) -> bool:
    """Return whether the manifests say that texts or their order differ, and ids only number the rows."""
    rows = [str(row) for row in range(trace.samples)]
    if trace.id.tolist() != rows or cloud.id.tolist() != rows[: cloud.samples]:
        return False
    if trace.has_labels != cloud.has_labels:  # the SHA-256 is of texts and labels
        return False
    one, other = (facts.get("data") for facts in (trace.manifest, cloud.manifest))
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    return bool(one.get("sha256") and other.get("sha256") and one["sha256"] != other["sha256"])
