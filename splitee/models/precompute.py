"""Run a model once over data and store the outputs of every exit as a trace.

Samples are sorted by size and divided into batches that depend on data and options only. Consecutive batches
form shards, and every finished shard is a file. A run that was killed resumes where it stopped, and writes
the same trace as an undisturbed run.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import splitee
from splitee._internal.checksums import file_sha256, piece_path, read_piece, whole_piece
from splitee._internal.errors import InputError
from splitee._internal.files import refuse_place
from splitee._internal.folders import claimed_folder, put_in_place
from splitee._internal.leftovers import FINAL
from splitee.models.checkpoints import find_checkpoint
from splitee.models.exits import CONFIDENCES
from splitee.models.inputs import Inputs, Samples, load_inputs
from splitee.models.multi_exit import load_checkpoint
from splitee.models.network import ExitNetwork
from splitee.models.passes import Encoded, Passes, Shard, plan_batches, plan_shards
from splitee.trace import Trace
from splitee.trace.columns import read_logits, read_scores, round_scores, score_classes

if TYPE_CHECKING:
    from splitee._internal.ray import Cluster

Advance = Callable[[int, int], None]  # called with the numbers of samples and tokens just done
Run = Callable[[Passes, Sequence[Shard]], Iterable[tuple[Shard, NDArray[np.float32]]]]


@dataclass(frozen=True)
class PrecomputeOptions:
    """Options for running the model.

    Parameters
    ----------
    batch_size : int
        Samples per forward pass.
    shard_size : int
        Samples per shard, rounded up to whole batches; at most one shard is repeated after an interruption.
    max_tokens : int, optional
        Number of tokens that texts are truncated to. Default: as in training.
    precision : {"float32", "bfloat16"}
        Precision of the encoder; exits always compute in float32.
    device : str, optional
        A torch device. Default: a GPU if there is one.
    logits : bool, optional
        Whether to store logits. Default: only with more than two classes.
    confidence : {"softmax", "learned"}, optional
        The trace's confidence: see `MultiExitConfig`. Default: as in training.
    """

    batch_size: int = 32
    shard_size: int = 256
    max_tokens: int | None = None
    precision: str = "float32"
    device: str | None = None
    logits: bool | None = None
    confidence: str | None = None

    def __post_init__(self) -> None:
        if self.confidence not in (None, *CONFIDENCES):
            raise InputError(f"confidence {self.confidence!r}: choose one of {', '.join(CONFIDENCES)}")
        if self.precision not in ("float32", "bfloat16"):
            raise InputError(f"precision {self.precision!r}: choose float32 or bfloat16")
        for name in ("batch_size", "shard_size", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")


def precompute(
    checkpoint: str | Path,
    rows: Samples,
    out: str | Path,
    options: PrecomputeOptions | None = None,
    *,
    name: str | None = None,
    run: Run | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda line: None,
    advance: Advance = lambda samples, tokens: None,
    begin: Advance = lambda samples, tokens: None,
) -> Trace:
    """Run a checkpoint over `rows` and write the trace to `out`; resume where an earlier call stopped.

    Parameters
    ----------
    checkpoint : str or path
        A folder written by `splitee train` or `splitee slim`, or the bundled "sst2_slender".
    rows : Rows or Images
        The data; labels, if any, must be in the model's class order.
    out : path
        The trace file. ``OUT.partial`` holds the shards until the run is finished.
    options : PrecomputeOptions, optional
        How to run the model.
    name : str, optional
        Name of the trace. Default: the file's stem.
    run : callable, optional
        Runs the shards, for instance on a cluster (`run_on`). Default: in this process.
    overwrite : bool
        Whether an existing file may be replaced.
    report : callable
        Called with lines of progress.
    advance, begin : callable
        Called with the numbers of samples and tokens just done, and with those of the whole run.

    Returns
    -------
    Trace

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false; nothing is computed then.
    InputError
        If the checkpoint cannot be loaded, or ``OUT.partial`` belongs to another run.
    """
    options = options or PrecomputeOptions()
    checkpoint, out = find_checkpoint(checkpoint), Path(out)
    refuse_place(out, overwrite)
    device = _device(options)
    model = load_checkpoint(checkpoint).to(device)
    inputs = load_inputs(checkpoint, model)
    identity = {
        "name": Path(checkpoint).resolve().name,
        "backbone": model.config.backbone.get("model_type") or model.config.backbone.get("stages"),
        "sha256": file_sha256(Path(checkpoint) / "model.safetensors"),
    }
    learned = model.config.learned(options.confidence)
    encoded = inputs.encode(rows, options.max_tokens)
    lengths = inputs.sizes(encoded)
    shards = _shards(encoded, lengths, options)
    claim = {
        "model": identity,
        "data": rows.identity,
        "options": asdict(options) | {"device": str(model.device)},
        "threads": torch.get_num_threads(),
        "libraries": _libraries(),
    }
    with claimed_folder(out, claim) as work:
        files = [work / f"shard-{shard.number:06d}.npy" for shard in shards]
        found = [whole_piece(file) for file in files]
        missing = [shard for shard, whole in zip(shards, found, strict=True) if not whole]
        begin(len(rows), int(lengths.sum()))
        if note := inputs.note(rows, encoded, options.max_tokens):
            report(note)
        if damaged := found.count(False):
            report(f"{damaged} of {len(shards)} shards are damaged: they are computed again")
        if len(missing) < len(shards):
            report(f"{len(shards) - len(missing)} of {len(shards)} shards are there from an earlier run")
            advance(0, int(lengths.sum()) - sum(int(lengths[shard.members].sum()) for shard in missing))
        passes = Passes(model, inputs.batch, options.precision, learned)
        for shard, values in (run or run_here)(passes, missing):
            with piece_path(files[shard.number]) as temporary, temporary.open("wb") as handle:
                np.save(handle, values, allow_pickle=False)
            advance(len(shard.members), int(lengths[shard.members].sum()))
        outputs = _room(model, len(rows), learned)
        for shard, file in zip(shards, files, strict=True):
            outputs[shard.members] = np.load(io.BytesIO(read_piece(file)), allow_pickle=False)
        trace = _assemble(model, inputs, rows, encoded, outputs, options, identity, name or out.stem)
        trace.save(work / FINAL, overwrite=True)
        refuse_place(out, overwrite)  # it may have appeared in the meantime
        put_in_place(work / FINAL, out, work)
        return trace


def run_here(passes: Passes, shards: Sequence[Shard]) -> Iterator[tuple[Shard, NDArray[np.float32]]]:
    """Run shards one after the other in this process."""
    for shard in shards:
        yield shard, passes.outputs(shard)


def run_on(cluster: Cluster) -> Run:
    """Return a function that runs shards on a cluster, one task per shard; the model is transferred once.

    Each task uses as many threads as it has processors. Confidences equal those of a local run bit for bit if
    the number of threads and the type of processor are the same.
    """

    def run(passes: Passes, shards: Sequence[Shard]) -> Iterator[tuple[Shard, NDArray[np.float32]]]:
        threads = cluster.cpus
        return cluster.map(_run_task, shards, lambda shard: ("model", lambda: (passes, threads)))

    return run


def _run_task(common: tuple[Passes, int], shard: Shard) -> NDArray[np.float32]:
    passes, threads = common
    torch.set_num_threads(threads)
    return passes.outputs(shard)


def _shards(encoded: Encoded, sizes: NDArray[np.int64], options: PrecomputeOptions) -> list[Shard]:
    batches = plan_batches(sizes, options.batch_size)
    planned = plan_shards(batches, options.batch_size, options.shard_size)
    return [
        Shard(number, [(members, [encoded[i] for i in members]) for members in shard])
        for number, shard in enumerate(planned)
    ]


def compute_trace(
    model: ExitNetwork, inputs: Inputs, rows: Samples, options: PrecomputeOptions | None = None
) -> Trace:
    """Compute a trace in memory (for small data, such as a validation split)."""
    options = options or PrecomputeOptions()
    encoded = inputs.encode(rows, options.max_tokens)
    learned = model.config.learned(options.confidence)
    outputs = _room(model, len(rows), learned)
    passes = Passes(model, inputs.batch, options.precision, learned)
    for shard, values in run_here(passes, _shards(encoded, inputs.sizes(encoded), options)):
        outputs[shard.members] = values
    return _assemble(model, inputs, rows, encoded, outputs, options, {}, rows.name)


def _room(model: ExitNetwork, samples: int, learned: bool) -> NDArray[np.float32]:
    """Return an array for logits and, if wanted, learned certainties; shape (n, exits, classes or more)."""
    return np.empty((samples, len(model.exits), model.config.num_labels + learned), dtype=np.float32)


def _assemble(
    model: ExitNetwork,
    inputs: Inputs,
    rows: Samples,
    encoded: Encoded,
    values: NDArray[np.float32],
    options: PrecomputeOptions,
    identity: dict[str, Any],
    name: str,
) -> Trace:
    logits, certainty = np.split(values, [model.config.num_labels], axis=-1)
    outputs = _read(model, rows, logits)
    if certainty.size:
        outputs |= {"confidence": certainty[..., 0], "softmax": False}
        if not model.config.regresses:
            outputs["entropy"] = read_logits(logits)[1]  # not derived from this confidence
    manifest: dict[str, Any] = {
        "model": identity,
        "data": rows.identity,
        "class_names": outputs.pop("class_names"),
        "exit_layers": list(model.exits),
        "pooling": model.config.pooling,
        **({"confidence_from": "learned certainty (BERxiT)"} if certainty.size else {}),
        "parameters": model.num_parameters(),
        **inputs.facts(model, encoded, options.max_tokens),
        "dtype": options.precision,
        "device": _device_name(model.device),
        "threads": torch.get_num_threads(),
        "batch_size": options.batch_size,
        "libraries": _libraries(),
    }
    as_trained = options.confidence in (None, model.config.confidence)
    if model.config.recommended_threshold and as_trained:  # α of another confidence means nothing
        manifest["recommended_threshold"] = model.config.recommended_threshold
    if model.config.training:
        manifest["training"] = model.config.training
    many = len(manifest["class_names"]) > 2 and not model.config.regresses
    keep_logits = many if options.logits is None else options.logits
    if keep_logits and not model.config.regresses:
        outputs["logits"] = logits.astype(np.float16)
    outputs |= {"id": rows.id, **inputs.columns(rows, encoded)}
    return Trace(**outputs, name=name, manifest=manifest)


def _read(model: ExitNetwork, rows: Samples, logits: NDArray[np.float32]) -> dict[str, Any]:
    """Convert logits to columns of a trace: classes with confidences, or scores."""
    if rows.label is not None and rows.regression != model.config.regresses:
        kinds = ("classes", "scores")
        raise InputError(
            f"{rows.name} is labelled with {kinds[rows.regression]}, but the model predicts "
            f"{kinds[model.config.regresses]}"
        )
    if model.config.regresses:
        low, high = model.config.score_range
        values = logits[..., 0]
        confidence, prediction = read_scores(values, low, high)
        return {
            "confidence": confidence,
            "prediction": prediction,
            "label": None if rows.label is None else round_scores(rows.label, low, high),
            "class_names": [repr(score) for score in score_classes(low, high)],
            "softmax": False,
            "value": values,
            "target": rows.label,
        }
    confidence, entropy, prediction = read_logits(logits)
    names = model.config.class_names
    return {
        "confidence": confidence,
        "prediction": prediction,
        "label": rows.label,
        "class_names": names,
        "entropy": entropy if len(names) > 2 else None,  # derived from the confidence with two classes
    }


def _device(options: PrecomputeOptions) -> torch.device:
    name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: torch without CUDA
        why = " ".join(str(error).split())[:120]
        raise InputError(f"device {name!r} cannot be used here ({why}): give another, such as cpu") from error
    return device


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _libraries() -> dict[str, str]:
    return {
        "splitee": splitee.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }
