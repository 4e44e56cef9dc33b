"""Croissant metadata of a trace file: a JSON-LD document that data-set search engines and loaders read.

Format: Croissant 1.1, https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitee._internal.checksums import file_sha256
from splitee._internal.errors import InputError, suggest
from splitee.data import BUNDLED, origins
from splitee.data.origins import Origin
from splitee.trace.bundled import bundled_traces, find_trace
from splitee.trace.file import read_manifest
from splitee.trace.trace import Trace, load_trace

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
REQUIRED = ("license", "url", "creator", "datePublished")  # and what every trace file says by itself
FACTS = (*REQUIRED, "citeAs", "description", "version")
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")  # registered, and what loaders know
FILE, ROWS, CLASSES = "file", "samples", "classes"  # ids in the document

_TERMS = (
    *(
        "annotation",
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "excludes",
        "extract",
    ),
    *("field", "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "recordSet", "references", "regex", "readLines", "sdVersion"),
    *(
        "path",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
        "unArchive",
    ),
    "value",
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    **{term: f"cr:{term}" for term in _TERMS},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
_MEANING = {
    "id": "Name of the sample.",
    "confidence": "Confidence of each exit, in order: {confidence}.",
    "entropy": "Entropy of each exit's class probabilities, in nats.",
    "prediction": "Class that each exit predicts, from 0.",
    "label": "The right class, from 0.",
    "length": "Number of tokens of the sample.",
    "input_bytes": "Size of the sample's input in bytes.",
    "group": "Group of the sample, such as its domain.",
    "text_hash": "Hash of the sample's text or image file.",
    "logits": "Logits of every exit, one after the other: {layers} exits × {classes} classes.",
    "cloud_confidence": "Confidence of the model in the cloud.",
    "cloud_prediction": "Class that the model in the cloud predicts, from 0.",
    "value": "Score that each exit predicts.",
    "target": "The right score.",
}


def croissant(
    trace: str | Path, facts: Mapping[str, Any] | None = None, *, content_url: str | None = None
) -> dict[str, Any]:
    """Return the Croissant document of a trace file, whose every byte is verified first.

    Parameters
    ----------
    trace : str or Path
        A trace file, or the name of a bundled trace.
    facts : mapping, optional
        What the file does not say, under Croissant's names: ``license`` (a URL or a list of them), ``url``,
        ``creator``, ``datePublished`` (YYYY-MM-DD), ``citeAs``, ``description``, ``version``. A manifest may
        hold them under the same names; `facts` take precedence. Those of bundled traces are known.
    content_url : str, optional
        Where the file can be downloaded. Default: its name, relative to the document.

    Returns
    -------
    dict
        JSON-LD: the file with its SHA-256, a record set with one field per column, and the class names.

    Raises
    ------
    InputError
        If there is no such trace, a name or a date is wrong, or Croissant requires a fact that neither the
        manifest nor `facts` have.

    Examples
    --------
    >>> document = croissant("rte_validation")
    >>> document["name"], document["distribution"][0]["encodingFormat"]
    ('rte_validation', ['application/vnd.apache.parquet', 'application/x-parquet'])
    >>> [field["name"] for field in document["recordSet"][0]["field"]]
    ['id', 'confidence', 'prediction', 'label', 'length']
    """
    file = find_trace(trace)
    loaded = load_trace(trace)
    given = dict(facts or {})
    if wrong := [name for name in given if name not in FACTS]:
        raise InputError(f"Croissant has no fact {wrong[0]!r} of a trace: {suggest(wrong[0], FACTS)}")
    known = _known(file, loaded) | {name: value for name, value in given.items() if value is not None}
    if missing := [name for name in REQUIRED if not known.get(name)]:
        raise InputError(
            f"{file}: Croissant requires {', '.join(missing)}, which the trace does not say: "
            f"give {', '.join(map(option, missing))}, or write it to the manifest"
        )
    _check_date(known["datePublished"])
    creator = known["creator"]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": loaded.name,
        **known,
        "creator": {"@type": "sc:Person", "name": creator} if isinstance(creator, str) else creator,
        "keywords": ["early exit", "split computing", "multi-exit model", "confidence trace"],
        **_derived_from(loaded),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": FILE,
                "name": file.name,
                "description": "A trace file of splitee: Parquet, one row per sample, sealed by a checksum.",
                "contentUrl": content_url or file.name,
                "contentSize": f"{file.stat().st_size} B",
                "encodingFormat": list(PARQUET),
                "sha256": file_sha256(file),
            }
        ],
        "recordSet": _record_sets(file, loaded),
    }


def option(fact: str) -> str:
    """Return the option of `splitee trace croissant` that gives a fact.

    Examples
    --------
    >>> option("datePublished")
    '--date-published'
    """
    return "--" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in fact)


def data_set(trace: Trace) -> Origin | None:
    """Return the data set whose samples and labels a trace has, if it is one of the bundled traces'."""
    manifest = trace.manifest
    task = _entry(manifest, "data", "task")
    held_out = _entry(manifest, "data", "sha256")
    if task is None and held_out and held_out == _entry(manifest, "training", "validation", "sha256"):
        task = _entry(manifest, "training", "train", "task")  # a part of what the model was trained on
    return origins.DATA_SETS.get(task) if isinstance(task, str) else None


def weights(trace: Trace) -> list[Origin]:
    """Return the pretrained weights of a trace's model, and of the one in the cloud, as far as known."""
    backbones = [_entry(trace.manifest, "training", "backbone")]
    cloud = _entry(trace.manifest, "cloud", "name")
    if cloud in bundled_traces():
        other = read_manifest(find_trace(cloud))
        if _entry(other, "model") == _entry(trace.manifest, "cloud", "model"):
            backbones.append(_entry(other, "training", "backbone"))
    return [origins.WEIGHTS[name] for name in backbones if name in origins.WEIGHTS]


def _known(file: Path, trace: Trace) -> dict[str, Any]:
    """Return the facts that a trace has by itself."""
    manifest = trace.manifest
    described = {"description": _description(trace)}
    if file.resolve().parent == BUNDLED.resolve():
        return described | _bundled(file.stem, trace)
    return described | {name: manifest[name] for name in FACTS if manifest.get(name)}


def _bundled(name: str, trace: Trace) -> dict[str, Any]:
    import splitee

    data = data_set(trace)
    licences = [origins.APACHE, *([data.licence_url] if data and data.licence_url else [])]
    cite = f"{origins.CREATOR}, splitee {splitee.__version__}, {origins.REPOSITORY}"
    return {
        "license": list(dict.fromkeys(licences)),
        "url": f"{origins.REPOSITORY}/blob/main/splitee/data/{name}.md",
        "creator": {"@type": "sc:Organization", "name": origins.CREATOR, "url": origins.REPOSITORY},
        "datePublished": origins.published(name),
        "citeAs": f"{cite}. Data: {data.citation}." if data else f"{cite}.",
        "version": splitee.__version__,
    }


def _description(trace: Trace) -> str:
    """Describe a trace by what its manifest says."""
    manifest = trace.manifest
    labels = "with" if trace.has_labels else "without"
    parts = [
        "The outputs of every exit of a multi-exit model, cached once, for policies of early exit and split "
        f"computing: {trace.samples:,} samples × {trace.layers} exits, {trace.classes} classes, {labels} "
        "labels; no text and no image."
    ]
    if (task := _entry(manifest, "data", "task")) is not None:
        split = _entry(manifest, "data", "split")
        parts.append(f"Data: {task}" + (f", split {split}." if split else "."))
    if origin := data_set(trace):
        parts.append(f"The labels are those of {origin.name}, whose licence is: {origin.licence}.")
    if (name := _entry(manifest, "model", "name")) is not None:
        backbone = _entry(manifest, "training", "backbone")
        parts.append(f"Model: {name}" + (f", fine-tuned from {backbone}." if backbone else "."))
    if (cloud := _entry(manifest, "cloud", "model", "name")) is not None:
        parts.append(f"Model in the cloud: {cloud}.")
    if trace.recommended_threshold is not None:
        parts.append(f"Recommended threshold of the confidence: {trace.recommended_threshold:g}.")
    return " ".join(parts)


def _derived_from(trace: Trace) -> dict[str, Any]:
    """Return the data set and the weights that a trace was computed from, where they are known."""
    data = data_set(trace)
    found = [*([data] if data else []), *weights(trace)]
    if not found:
        return {}
    return {
        "prov:wasDerivedFrom": [
            {
                "@id": origin.url,
                "@type": "prov:Entity",
                "name": origin.name,
                "citation": origin.citation,
                "license": origin.licence_url or origin.licence,
            }
            for origin in found
        ]
    }


def _record_sets(file: Path, trace: Trace) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows = pq.read_metadata(file).num_rows  # the log of a device may hold more than its trace
    unique = rows == trace.samples == len(set(trace.id))
    samples = {
        "@type": "cr:RecordSet",
        "@id": ROWS,
        "name": ROWS,
        "description": f"One record per sample, {rows:,} in all.",
        **({"key": {"@id": f"{ROWS}/id"}} if unique else {}),
        "field": [_field(field.name, field.type, trace) for field in pq.read_schema(file)],
    }
    names = trace.manifest.get("class_names")
    if not names:
        return [samples]
    classes = {
        "@type": "cr:RecordSet",
        "@id": CLASSES,
        "name": CLASSES,
        "description": "Numbers and names of the classes.",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{CLASSES}/number"},
        "field": [
            {"@type": "cr:Field", "@id": f"{CLASSES}/{name}", "name": name, "dataType": kind}
            for name, kind in (("number", "sc:Integer"), ("name", "sc:Text"))
        ],
        "data": [{f"{CLASSES}/number": i, f"{CLASSES}/name": name} for i, name in enumerate(names)],
    }
    return [samples, classes]


def _field(name: str, kind: Any, trace: Trace) -> dict[str, Any]:
    """Return the field of a column of this Arrow type."""
    import pyarrow as pa

    means = _MEANING.get(name, "Another column of the file.").format(
        confidence="the largest softmax probability" if trace.softmax else "a score in 0..1",
        layers=trace.layers,
        classes=trace.classes,
    )
    element, stored, shape = kind, "", {}
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        element = kind.value_type
        size = getattr(kind, "list_size", -1)
        stored = f"a list of {size} " if size >= 0 else "a list of "
        shape = {"isArray": True, "arrayShape": str(size)}
    data_type: str | list[str] = _data_type(element)
    return {
        "@type": "cr:Field",
        "@id": f"{ROWS}/{name}",
        "name": name,
        "description": f"{means} Stored as {stored}{element}.",
        "dataType": [data_type, "cr:Label"] if name in ("label", "target") else data_type,
        **shape,
        "source": {"fileObject": {"@id": FILE}, "extract": {"column": name}},
    }


def _data_type(kind: Any) -> str:
    import pyarrow as pa

    for is_kind, name in (
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
    ):
        if is_kind(kind):
            return name
    return "sc:Text"


def _check_date(given: Any) -> None:
    try:
        datetime.date.fromisoformat(given)
    except (TypeError, ValueError):
        raise InputError(f"datePublished is {given!r}: give a date as YYYY-MM-DD") from None


def _entry(facts: Any, *path: str) -> Any:
    """Return what is under nested keys of a manifest; None if there is nothing."""
    for key in path:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts
