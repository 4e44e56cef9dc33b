"""Common first and last steps of trainings: encode examples; write the checkpoint with its trace."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from splitee._internal.checksums import write_fingerprints
from splitee._internal.files import refuse_existing
from splitee._internal.folders import claimed_folder, put_in_place
from splitee._internal.leftovers import FINAL
from splitee.data.rows import Rows
from splitee.models.encode import check_tokens, encode, truncation_note
from splitee.models.multi_exit import MultiExitModel
from splitee.models.precompute import compute_trace
from splitee.trace import Trace
from splitee.trace.threshold import recommend_threshold
from splitee.training.loop import Report
from splitee.training.trainer import Example


def examples(model: MultiExitModel, tokenizer: Any, rows: Rows, max_tokens: int) -> list[Example]:
    """Encode labelled rows as training examples, without padding."""
    assert rows.label is not None
    encoded = encode(tokenizer, rows.text, max_tokens)
    check_tokens(encoded, max_tokens, model.backbone.config.vocab_size, model.positions)
    return [one | {"labels": y} for one, y in zip(encoded, rows.label.tolist(), strict=True)]


def report_truncated(
    tokenizer: Any, rows: Rows, encoded: Sequence[Example], max_tokens: int, report: Report
) -> None:
    """Report how many texts were truncated, if any was."""
    if note := truncation_note(tokenizer, rows.text, encoded, max_tokens):
        report(f"{rows.name}: {note}")


def finish(
    model: MultiExitModel,
    tokenizer: Any,
    validation: Rows,
    alpha_rule: str,
    work: Path,
    out: Path,
    overwrite: bool,
    report: Report,
) -> None:
    """Write model, tokenizer and the validation trace, with the α chosen on it, to `out`.

    The folder is written atomically, and the partial folder `work` is removed. A model with a single exit
    gets no trace.
    """
    trace = (
        None if len(model.exits) < 2 else _validation_trace(model, tokenizer, validation, alpha_rule, report)
    )
    _put(model, tokenizer, trace, work, out, overwrite)


def write_checkpoint(model: MultiExitModel, tokenizer: Any, out: Path, overwrite: bool) -> None:
    """Write model and tokenizer to the folder `out` in one step."""
    with claimed_folder(out) as work:
        _put(model, tokenizer, None, work, out, overwrite)


def _put(
    model: MultiExitModel, tokenizer: Any, trace: Trace | None, work: Path, out: Path, overwrite: bool
) -> None:
    final = work / FINAL
    shutil.rmtree(final, ignore_errors=True)
    model.save_pretrained(final)
    tokenizer.save_pretrained(final)
    if trace is not None:
        trace.save(final / "validation.parquet")
    write_fingerprints(final)
    refuse_existing(out, overwrite)  # it may have appeared in the meantime
    put_in_place(final, out, work)


def _validation_trace(
    model: MultiExitModel, tokenizer: Any, validation: Rows, alpha_rule: str, report: Report
) -> Trace:
    trace = compute_trace(model, tokenizer, validation)
    if validation.regression:
        return trace  # scores have no confidence to compare with α
    recommended = recommend_threshold(trace, alpha_rule)
    model.config.recommended_threshold = recommended.to_dict()
    how = f"{recommended.rule}, {recommended.samples} samples"
    report(f"recommended threshold α = {recommended.value} ({how})")
    return trace.replace(manifest=trace.manifest | {"recommended_threshold": recommended.to_dict()})
