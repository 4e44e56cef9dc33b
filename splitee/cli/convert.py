"""`splitee convert`: a checkpoint of another project in, a multi-exit checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.models_extra import need_models_extra
from splitee.models.checkpoints import check_out


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@options.out("Folder of the checkpoint.")
@options.class_names("Names of the model's classes, in order.  [default: those in SOURCE]")
@click.option("--score-range", type=options.NUMBERS, help="Of a regression model: lowest and highest score.")
@options.max_tokens("Truncate texts to this many tokens.", 128)
@options.overwrite()
@options.as_json("Print one JSON document at the end.")
def command(
    source: Path,
    out: Path,
    class_names: str | None,
    score_range: tuple[float, ...] | None,
    max_tokens: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE, a folder of the authors' code of COST-EFF or ElasticBERT (fine-tuned).

    --out is a checkpoint as splitee train and splitee slim write them, but without a validation trace and
    recommended threshold, which need data.

    \b
    Example:
      splitee convert costeff_model/SST-2/a2_l12_f512_e128 --class-names negative,positive --out slender
    """
    need_models_extra()
    check_out(out, overwrite)
    if score_range is not None and len(score_range) != 2:
        raise InputError("--score-range: give two numbers, the lowest and the highest score")

    from splitee._internal.reading import read_json
    from splitee.models import cost_eff, elasticbert_tuned
    from splitee.models.checkpoints import MOST_CONFIG
    from splitee.models.inputs import load_inputs
    from splitee.training.finishing import write_checkpoint

    file = source / "config.json"
    if not file.is_file():
        raise InputError(f"{source}: no checkpoint there (config.json is missing)")
    config = read_json(file, MOST_CONFIG)
    more: dict[str, Any] = {"max_tokens": max_tokens}
    names = options.names_list(class_names)
    if names is not None:
        classes = len(config.get("id2label") or "ab") if isinstance(config, dict) else 0
        if len(names) != classes:
            raise InputError(f"--class-names has {len(names)} names, {source} has {classes} classes")
        more |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    if score_range is not None:
        more["score_range"] = score_range
    kind = config.get("model_type") if isinstance(config, dict) else None
    if isinstance(config, dict) and cost_eff.is_cost_eff(config):
        model = cost_eff.to_multi_exit(source, **more)
    elif kind == "elasticbert":
        model = elasticbert_tuned.to_multi_exit(source, **more)
    else:
        raise InputError(
            f"{source} is neither COST-EFF's nor a fine-tuned ElasticBERT (type {kind!r}); an encoder "
            f"without exits gets them by splitee train --backbone {source}"
        )
    model.config.training = {"converted_from": source.resolve().name}
    write_checkpoint(model, load_inputs(source, model), out, overwrite)
    summary = {
        "checkpoint": str(out),
        "exits": list(model.exits),
        "classes": None if model.config.regresses else model.config.class_names,
        "parameters": model.num_parameters(),
    }
    named = "scores" if model.config.regresses else f"classes {', '.join(model.config.class_names)}"
    line = f"wrote {out}: {len(model.exits)} exits, {model.num_parameters() / 1e6:.2f} M parameters, {named}"
    click.echo(json.dumps(summary) if as_json else line)
