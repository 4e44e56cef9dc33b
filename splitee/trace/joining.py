"""Join traces: concatenate domains in time, or add the answers of a second model in the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
        The trace of the model in the cloud, on the same samples (matched by id, in any order) and classes.

    Returns
    -------
    Trace
        The device's trace with `cloud_confidence` and `cloud_prediction`.

    Raises
    ------
    InputError
        If samples, labels or classes differ, ids repeat, or a trace holds regression scores.

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
    for one in (trace, cloud):
        if len(set(one.id)) < one.samples:
            raise InputError(f"{one.name}: sample ids repeat, so samples cannot be matched: make ids unique")
    place = {id_: i for i, id_ in enumerate(cloud.id)}
    missing = [id_ for id_ in trace.id if id_ not in place]
    if missing or len(cloud.id) != len(trace.id):
        reason = f"the cloud's lacks {missing[0]!r}" if missing else "the cloud's has more"
        raise InputError(
            f"{trace.name} and {cloud.name} hold different samples ({reason}): precompute both from one file"
        )
    order = np.array([place[id_] for id_ in trace.id])
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
