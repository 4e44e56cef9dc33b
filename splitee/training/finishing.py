"""Common first and last steps of trainings: encode examples; write the checkpoint with its trace."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from splitee._internal.checksums import write_fingerprints
from splitee._internal.files import refuse_existing
from splitee._internal.folders import claimed_folder, put_in_place
from splitee._internal.leftovers import FINAL
from splitee.models.inputs import Inputs, Samples
from splitee.models.network import ExitNetwork
from splitee.models.precompute import compute_trace
from splitee.trace import Trace
from splitee.trace.threshold import recommend_threshold
from splitee.training.loop import Report
from splitee.training.trainer import Example


def examples(inputs: Inputs, rows: Samples, size: int | None = None) -> list[Example]:
    """Encode labelled samples as training examples."""
    assert rows.label is not None
    encoded = inputs.encode(rows, size)
    return [one | {"labels": y} for one, y in zip(encoded, rows.label.tolist(), strict=True)]


def report_note(
    inputs: Inputs, rows: Samples, encoded: Sequence[Example], size: int | None, report: Report
) -> None:
    """Report how many texts were truncated, if any was."""
    if note := inputs.note(rows, encoded, size):
        report(f"{rows.name}: {note}")


def finish(
    model: ExitNetwork,
    inputs: Inputs,
    validation: Samples,
    alpha_rule: str,
    work: Path,
    out: Path,
    overwrite: bool,
    report: Report,
) -> None:
    """Write the model, what its inputs need, and the validation trace, with the α chosen on it, to `out`.

    The folder is written atomically, and the partial folder `work` is removed. A model with a single exit
    gets no trace.
    """
    trace = None if len(model.exits) < 2 else _validation_trace(model, inputs, validation, alpha_rule, report)
    _put(model, inputs, trace, work, out, overwrite)


def write_checkpoint(model: ExitNetwork, inputs: Inputs, out: Path, overwrite: bool) -> None:
    """Write model, and what its inputs need, to the folder `out` in one step."""
    with claimed_folder(out) as work:
        _put(model, inputs, None, work, out, overwrite)


def _put(
    model: ExitNetwork, inputs: Inputs, trace: Trace | None, work: Path, out: Path, overwrite: bool
) -> None:
    final = work / FINAL
    shutil.rmtree(final, ignore_errors=True)
    model.save_pretrained(final)
    inputs.save_pretrained(final)
    if trace is not None:
        trace.save(final / "validation.parquet")
    write_fingerprints(final)
    refuse_existing(out, overwrite)  # it may have appeared in the meantime
    put_in_place(final, out, work)


def _validation_trace(
    model: ExitNetwork, inputs: Inputs, validation: Samples, alpha_rule: str, report: Report
) -> Trace:
    trace = compute_trace(model, inputs, validation)
    if validation.regression:
        return trace  # scores have no confidence to compare with α
    recommended = recommend_threshold(trace, alpha_rule)
    model.config.recommended_threshold = recommended.to_dict()
    how = f"{recommended.rule}, {recommended.samples} samples"
    report(f"recommended threshold α = {recommended.value} ({how})")
    return trace.replace(manifest=trace.manifest | {"recommended_threshold": recommended.to_dict()})
