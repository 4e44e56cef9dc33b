"""Running a model over data once, and keeping what every exit said: the trace.

Texts are sorted by length and cut into batches that depend on the data and the options only. Consecutive
batches form shards; a finished shard is a file, so a run that was killed goes on where it stopped and ends in
the very trace that an undisturbed run writes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import splitee
from splitee.errors import InputError
from splitee.files import atomic_path, claim_folder, refuse_existing
from splitee.models.encode import check_tokens, encode, load_tokenizer, pad
from splitee.models.flops import count_flops
from splitee.models.multi_exit import MultiExitModel, load_checkpoint
from splitee.tasks import Rows
from splitee.trace import Trace
from splitee.trace.columns import read_logits

Advance = Callable[[int, int], None]  # is told (samples, tokens) that were just done
Encoded = list[dict[str, list[int]]]


@dataclass(frozen=True)
class PrecomputeOptions:
    """How to run the model.

    Parameters
    ----------
    batch_size : int
        Texts a forward pass.
    shard_size : int
        Texts a shard, rounded up to whole batches: what is at most done again after an interruption.
    max_tokens : int, optional
        Tokens a text is cut to; default: what the model was trained with.
    precision : {"float32", "bfloat16"}
        Of the encoder; exits are always float32.
    device : str, optional
        A torch device; default: a GPU where there is one.
    logits : bool, optional
        Whether to keep the logits; default: with more than two classes.
    """

    batch_size: int = 32
    shard_size: int = 256
    max_tokens: int | None = None
    precision: str = "float32"
    device: str | None = None
    logits: bool | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise InputError(f"precision {self.precision!r}: choose float32 or bfloat16")
        for name in ("batch_size", "shard_size", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")


def precompute(
    checkpoint: str | Path,
    rows: Rows,
    out: str | Path,
    options: PrecomputeOptions | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda line: None,
    advance: Advance = lambda samples, tokens: None,
    begin: Advance = lambda samples, tokens: None,
) -> Trace:
    """Run a checkpoint over `rows` and write the trace to `out`; go on where an earlier call stopped.

    Parameters
    ----------
    checkpoint : path
        A folder written by `splitee train`.
    rows : Rows
        The data; labels, where there are any, are in the model's class order.
    out : path
        The trace's file. ``OUT.partial`` holds the shards until it is finished.
    name : str, optional
        The trace's name; default: the file's stem.
    report, advance, begin : callable
        Progress: lines; work just done; all the work there is (each as samples and tokens).

    Raises
    ------
    FileExistsError
        Where `out` exists and `overwrite` is false; nothing is computed then.
    InputError
        Where the checkpoint is none, or ``OUT.partial`` belongs to another run.
    """
    options = options or PrecomputeOptions()
    out = Path(out)
    refuse_existing(out, overwrite)
    device = _device(options)
    model = load_checkpoint(checkpoint).to(device)
    tokenizer = load_tokenizer(checkpoint)
    identity = {
        "name": Path(checkpoint).resolve().name,
        "backbone": model.config.backbone.get("model_type"),
        "sha256": _file_sha256(Path(checkpoint) / "model.safetensors"),
    }
    encoded = _encode(model, tokenizer, rows, options)
    batches = plan_batches(_lengths(encoded), options.batch_size)
    shards = list(_group(batches, options))
    work = claim_folder(
        out,
        {
            "model": identity,
            "data": rows.identity,
            "options": asdict(options) | {"device": str(model.device)},
            "threads": torch.get_num_threads(),
            "libraries": _libraries(),
        },
    )
    files = [work / f"shard-{number:06d}.npy" for number in range(len(shards))]
    if found := sum(file.exists() for file in files):
        report(f"{found} of {len(shards)} shards are there from an earlier run")
    begin(len(rows), int(_lengths(encoded).sum()))
    logits = np.empty((len(rows), len(model.exits), model.config.num_labels), dtype=np.float32)
    for file, shard in zip(files, shards, strict=True):
        done = file.exists()
        if done:
            values = np.load(file, allow_pickle=False)
        else:
            values = np.concatenate([_forward(model, tokenizer, encoded, b, options) for b in shard])
            with atomic_path(file) as temporary, temporary.open("wb") as handle:
                np.save(handle, values, allow_pickle=False)
        members = np.concatenate(shard)
        logits[members] = values
        advance(0 if done else len(members), int(_lengths(encoded)[members].sum()))
    trace = _assemble(model, rows, encoded, logits, options, identity, name or out.stem)
    trace.save(out, overwrite=overwrite)
    shutil.rmtree(work)
    return trace


def compute_trace(
    model: MultiExitModel, tokenizer: Any, rows: Rows, options: PrecomputeOptions | None = None
) -> Trace:
    """Run a model over `rows` in memory (small data: a validation split)."""
    options = options or PrecomputeOptions()
    encoded = _encode(model, tokenizer, rows, options)
    logits = np.empty((len(rows), len(model.exits), model.config.num_labels), dtype=np.float32)
    for batch in plan_batches(_lengths(encoded), options.batch_size):
        logits[batch] = _forward(model, tokenizer, encoded, batch, options)
    return _assemble(model, rows, encoded, logits, options, {}, rows.name)


def plan_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Cut samples, longest first (what does not fit fails at once), into batches of like length.

    Parameters
    ----------
    lengths : ndarray of int, shape (n,)
        Tokens a sample; of equal lengths the earlier sample comes first.

    Returns
    -------
    list of ndarray of int
        0-based sample indices; every sample is in exactly one batch.

    Examples
    --------
    >>> [batch.tolist() for batch in plan_batches(np.array([3, 9, 3, 5]), 2)]
    [[1, 3], [0, 2]]
    """
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def _forward(
    model: MultiExitModel,
    tokenizer: Any,
    encoded: Encoded,
    batch: NDArray[np.int64],
    options: PrecomputeOptions,
) -> NDArray[np.float32]:
    inputs = pad([encoded[i] for i in batch], tokenizer.pad_token_id)
    inputs = {key: value.to(model.device) for key, value in inputs.items()}
    half = options.precision == "bfloat16"
    cast = torch.autocast(model.device.type, torch.bfloat16) if half else nullcontext()
    with torch.inference_mode(), cast:
        values: NDArray[np.float32] = model(**inputs).logits.float().cpu().numpy()
    finite = np.isfinite(values).all(axis=-1)
    if not finite.all():
        row, exit_ = (int(i[0]) for i in np.nonzero(~finite))
        raise InputError(f"row {batch[row]}: exit {exit_ + 1} of the model says NaN: its weights are broken")
    return values


def _assemble(
    model: MultiExitModel,
    rows: Rows,
    encoded: Encoded,
    logits: NDArray[np.float32],
    options: PrecomputeOptions,
    identity: dict[str, Any],
    name: str,
) -> Trace:
    confidence, entropy, prediction = read_logits(logits)
    classes = logits.shape[-1]
    lengths = _lengths(encoded)
    longest = options.max_tokens or model.config.max_tokens
    manifest: dict[str, Any] = {
        "model": identity,
        "data": rows.identity,
        "class_names": [model.config.id2label[i] for i in range(classes)],
        "exit_layers": list(model.exits),
        "pooling": model.config.pooling,
        "flops": {
            "counter": "torch.utils.flop_counter, eager attention",
            "mean_length": count_flops(model, max(1, round(float(lengths.mean())))),
            "max_length": count_flops(model, longest),
        },
        "hidden_state_bytes": {
            "per_token_float32": 4 * model.backbone.config.hidden_size,
            "mean_length_float32": round(4 * model.backbone.config.hidden_size * float(lengths.mean())),
            "max_length_float32": 4 * model.backbone.config.hidden_size * longest,
        },
        "dtype": options.precision,
        "device": _device_name(model.device),
        "threads": torch.get_num_threads(),
        "max_tokens": longest,
        "reach_max_tokens": int((lengths == longest).sum()),  # cut, or just that long
        "batch_size": options.batch_size,
        "libraries": _libraries(),
    }
    if model.config.recommended_threshold:
        manifest["recommended_threshold"] = model.config.recommended_threshold
    if model.config.training:
        manifest["training"] = model.config.training
    keep_logits = classes > 2 if options.logits is None else options.logits
    return Trace(
        confidence,
        prediction,
        rows.label,
        name,
        entropy=entropy if classes > 2 else None,  # with two classes it follows from the confidence
        classes=classes,
        id=rows.id,
        length=lengths,
        logits=logits.astype(np.float16) if keep_logits else None,
        manifest=manifest,
    )


def _group(
    batches: Sequence[NDArray[np.int64]], options: PrecomputeOptions
) -> Iterator[Sequence[NDArray[np.int64]]]:
    per_shard = -(-options.shard_size // options.batch_size)
    for first in range(0, len(batches), per_shard):
        yield batches[first : first + per_shard]


def _lengths(encoded: Encoded) -> NDArray[np.int64]:
    return np.array([len(one["input_ids"]) for one in encoded], dtype=np.int64)


def _encode(model: MultiExitModel, tokenizer: Any, rows: Rows, options: PrecomputeOptions) -> Encoded:
    longest = options.max_tokens or model.config.max_tokens
    encoded = encode(tokenizer, rows.text, longest)
    check_tokens(encoded, longest, model.backbone.config.vocab_size, model.positions)
    return encoded


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


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
