"""Fit the exits of a network of stages to frozen features, and write the checkpoint; it can be interrupted.

What takes time is one pass over the images: its features are kept in the partial folder, piece by piece.
"""

from __future__ import annotations

import io
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from splitee._internal.checksums import piece_path, read_piece, whole_piece
from splitee._internal.folders import claimed_folder
from splitee.data.images import Images
from splitee.models.checkpoints import check_out
from splitee.models.inputs import load_inputs
from splitee.models.staged import StagedModel
from splitee.training.finetune import label_names, origin_of
from splitee.training.finishing import finish
from splitee.training.heads import POOLINGS, Compute, Features, Keep, choose_heads
from splitee.training.loop import Report
from splitee.training.recipe import Recipe
from splitee.training.stages import start_stages

_SECONDS = 10.0  # between two reports


def fit_frozen(
    backbone: str | Path,
    train: Images,
    validation: Images,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    overwrite: bool = False,
    report: Report = lambda line: None,
) -> StagedModel:
    """Fit linear exits to frozen features; write the model and its validation trace to the folder `out`.

    Parameters
    ----------
    backbone : str or path
        See `splitee.training.stages.start_stages`.
    train, validation : Images
        Labelled, with the same label names. Pooling and weight decay of each exit, and α, are chosen on
        `validation`.
    out : path
        Folder of the checkpoint. The same call resumes after an interruption.
    recipe : Recipe, optional
        Its exits, first_exit, pooling, image_size, batch_size and alpha_rule.
    overwrite : bool
        Whether an existing checkpoint may be replaced.
    report : callable
        Called with lines of progress.

    Raises
    ------
    FileExistsError
        If `out` exists and `overwrite` is false.
    InputError
        If the images have no labels or others, the backbone cannot be loaded, or ``OUT.partial`` belongs to
        another run.
    """
    recipe, out = recipe or Recipe(), Path(out)
    check_out(out, overwrite)
    names = label_names(train, validation)
    model = start_stages(backbone, names, recipe)
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    claim = {
        "backbone": str(backbone),
        "frozen": True,
        "recipe": asdict(recipe),
        "data": [train.identity, validation.identity],
    }
    poolings = POOLINGS if recipe.pooling == "auto" else (recipe.pooling,)
    with claimed_folder(out, claim) as work:
        report(f"reading {len(train)} images twice (as they are, mirrored) and {len(validation)} to validate")
        fits = choose_heads(
            model,
            train,
            validation,
            poolings=poolings,
            batch_size=recipe.batch_size,
            report=report,
            keep=_kept(work, report),
        )
        model.config.training = {
            **origin_of(backbone),
            "frozen": [asdict(fit) for fit in fits],
            "recipe": asdict(recipe),
            "train": train.identity | {"rows": len(train)},
            "validation": validation.identity | {"rows": len(validation)},
            "libraries": {"torch": torch.__version__, "transformers": transformers.__version__},
        }
        finish(model, load_inputs("", model), validation, recipe.alpha_rule, work, out, overwrite, report)
    return model


def _kept(work: Path, report: Report) -> Keep:
    """Return what keeps features in a folder, and reports how far it is."""
    shown, read = time.monotonic(), 0

    def keep(what: str, name: str, compute: Compute) -> Features:
        nonlocal shown, read
        file = work / f"features-{what}-{name}.npy"
        if not whole_piece(file):
            with piece_path(file) as temporary, temporary.open("wb") as handle:
                np.save(handle, compute(), allow_pickle=False)
        found: Any = np.load(io.BytesIO(read_piece(file)), allow_pickle=False)
        read += len(found)
        if time.monotonic() > shown + _SECONDS:
            shown = time.monotonic()
            report(f"{read} images read")
        return found  # type: ignore[no-any-return]

    return keep
