"""`splitee export`: a model in a form that other libraries run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from splitee.cli import Group, image_options, live_options, options
from splitee.cli.models_extra import need_models_extra


@click.group("export", cls=Group)
def command() -> None:
    """Write a model in a form that other libraries run."""


@command.command("onnx")
@click.argument("model", type=click.Path(path_type=Path))
@options.device_layers("m, the layers that the device holds: a number, half or all.  [default: all]")
@image_options.stages
@options.out("The folder to write.")
@options.overwrite()
@options.as_json()
def onnx(model: Path, device_layers: int | str | None, out: Path, overwrite: bool, as_json: bool) -> None:
    """Write the device's half of MODEL, a checkpoint or sst2_slender, as ONNX.

    The folder holds the layers between exits and the exits as graphs, and the tokenizer of a model of texts.
    `splitee device` runs it on ONNX Runtime, without torch. Every graph is compared with torch before it is
    written.

    \b
    Example:
      splitee export onnx sst2_slender --device-layers half --out half
    """
    need_models_extra()
    live_options.need("models,device,export", "onnx", "onnxruntime", "tokenizers")
    from splitee.runtime.exporting import export_half

    done = export_half(model, out, device_layers or "all", overwrite=overwrite)
    line = {"out": str(out), **done}
    if as_json:
        click.echo(json.dumps(line))
        return
    click.echo(
        f"wrote {out}: {done['device_exits']} of {done['exits']} exits, {done['bytes'] / 1e6:.1f} MB; logits "
        f"and states differ from torch's by at most {done['difference']:.1g}"
    )
