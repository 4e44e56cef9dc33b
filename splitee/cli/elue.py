"""`splitee elue`: FLOPs, predictions as files, and the score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError
from splitee.cli import Group, options
from splitee.cli.models_extra import need_models_extra
from splitee.cli.texts import Texts, keep, report, texts
from splitee.cli.traces import read_trace, threshold_of

if TYPE_CHECKING:
    from splitee.elue.flops import Flops
    from splitee.elue.predictions import Method
    from splitee.policies import Policy


@click.group("elue", cls=Group)
def command() -> None:
    """Measure performance against FLOPs, as the ELUE benchmark does.

    \b
    Example:
      splitee elue predict model --task sst-2 --data-root data --policy exits --out results/joint
      splitee elue score results --reference reference.csv
    """


@command.command("flops", short_help="Count the FLOPs of every exit.")
@click.argument("source", type=click.Path(path_type=Path))
@options.tokens("Length of the text.")
@options.as_json()
def flops(source: Path, tokens: int, as_json: bool) -> None:
    """Count the FLOPs of each exit of SOURCE, a checkpoint or a trace, for one text.

    Matrix products count two operations per multiply-add, with eager attention.
    """
    import numpy as np

    from splitee.elue.score import track
    from splitee.models.checkpoints import find_checkpoint, parameters_of

    counted = _flops_of(source, tokens)
    is_model = find_checkpoint(source).is_dir()
    size: int | None = parameters_of(source) if is_model else read_trace(source).manifest.get("parameters")
    alone, every = counted.at(tokens), counted.at(tokens, every_exit=True)
    document = {
        "tokens": tokens,
        "parameters": size,
        "track": None if size is None else track(size),
        "exit_layers": list(counted.exit_layers),
        "flops": alone.tolist(),
        "flops_with_exits_before": every.tolist(),
    }
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(f"{source}: MFLOPs for a text of {tokens} tokens")
    click.echo(" layer     this exit alone   with those before")
    for layer, one, all_ in zip(counted.exit_layers, alone / 1e6, every / 1e6, strict=True):
        click.echo(f"{layer:6d} {one:19,.1f} {all_:19,.1f}")
    if size is not None:
        fits = track(size)
        where = "on no track of ELUE" if fits is None else f"on ELUE's track of {fits} M"
        click.echo(f"{np.round(size / 1e6, 1)} M parameters: {where}")


@command.command("predict", short_help="Write the answers of a method as files.")
@click.argument("source", type=click.Path(path_type=Path))
@options.task("Task of ELUE: sst-2, imdb, mrpc, sts-b, snli or scitail.", required=True)
@options.split("With a checkpoint: split of the task's data.  [default: test]")
@texts
@options.policy(
    "Policies as in splitee run, such as exits,elasticbert,deebert:0.3,pabee:3; repeatable. "
    "A checkpoint runs policies that stay on the device.  [default: exits]"
)
@options.threshold(options.THRESHOLDS, "α of the policies that have one; lists too: 0.8,0.9.", "0.9")
@options.name("Name of the method in tables.  [default: the name of SOURCE]")
@options.seed("Seed of the order of a trace's samples; seeds of one method are averaged.")
@options.offload(options.NUMBER, "With a trace: o, the cost of an offload in λ.")
@options.mu(options.NUMBER, "With a trace: μ, the confidence that one λ is worth.")
@options.batch_size("With a checkpoint: texts per batch.")
@options.out("Folder of the method.")
@options.overwrite()
@options.as_json()
def predict(
    source: Path,
    task: str,
    texts: Texts,
    split: str | None,
    policies: tuple[str, ...],
    threshold: tuple[float | str, ...],
    name: str | None,
    seed: int,
    offload: float,
    mu: float,
    batch_size: int,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the answers of SOURCE under each policy, with their FLOPs.

    SOURCE is a trace, over which policies are replayed, or a checkpoint, which runs on the task's texts with
    early exit in batches (extra `models`).

    \b
    Examples:
      splitee elue predict sst2.parquet --task sst-2 --policy elasticbert --threshold 0.8,0.9 --out elastic
      splitee elue predict sst2-model --task sst-2 --data-root data --policy pabee:3 --out pabee
    """
    from splitee._internal.files import refuse_existing, refuse_no_folder
    from splitee.elue.metrics import get_task
    from splitee.elue.predictions import write_method
    from splitee.models.checkpoints import find_checkpoint

    refuse_no_folder(out)
    refuse_existing(out, overwrite)
    get_task(task)
    names = policies or ("exits",)
    if find_checkpoint(source).is_dir():
        method = _run(source, task, texts, split, names, threshold, name, batch_size, seed)
    else:
        others = {"--split": split, "--text": texts.text_file, **texts.of_text}
        for option, value in others.items():
            if value:
                raise InputError(f"{option} does not go with a trace, which holds its samples: leave it out")
        from splitee.costs import CostModel
        from splitee.elue.replayed import replayed

        trace = read_trace(source)
        alphas = [threshold_of(trace, alpha)[0] for alpha in threshold]
        made = _policies(names, alphas, trace.layers, trace.classes)
        costs = CostModel(offload=offload)
        method = replayed(trace, made, name or trace.name, task, costs=costs, mu=mu, seed=seed)
    write_method(method, out, overwrite=overwrite)
    known = method.label is not None
    points = [
        {"setting": setting, "mflops": float(one.flops.mean()) / 1e6, "layers": float(one.exit_layer.mean()),
         "performance": 100 * method.about.metric(one.prediction, method.right) if known else None}
        for setting, one in method.settings.items()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps({"out": str(out), "task": task, "name": method.name, "points": points}))
        return
    measured = f"%: {method.about.measured}" if known else "no labels: a submission, which ELUE scores"
    click.echo(f"{method.name} on {task}, {len(method):,} samples, {measured}")
    click.echo(" setting                     MFLOPs    layers    performance")
    for point in points:
        click.echo(
            f" {point['setting']:22s} {point['mflops']:11,.1f} {point['layers']:9.2f}"
            + (f" {point['performance']:14.2f}" if known else "")
        )
    click.echo(f"wrote {out}")


def _run(
    checkpoint: Path,
    elue_task: str,
    texts: Texts,
    split: str | None,
    names: tuple[str, ...],
    thresholds: Sequence[float | str],
    name: str | None,
    batch_size: int,
    seed: int,
) -> Any:
    need_models_extra()
    from splitee.data.tasks import load_task
    from splitee.elue.flops import Flops
    from splitee.elue.metrics import get_task
    from splitee.models.checkpoints import read_config
    from splitee.policies.rules import Rule

    about = get_task(elue_task)
    if batch_size < 1:
        raise InputError(f"--batch-size {batch_size}: give at least 1")
    config = read_config(checkpoint)
    alphas = []
    for alpha in thresholds:
        stored = config.get("recommended_threshold") or {}
        given = stored.get("value") if isinstance(alpha, str) else alpha
        if given is None:
            raise InputError(f"{checkpoint} recommends no threshold: give --threshold a number")
        alphas.append(float(given))
    policies = _policies(names, alphas, len(Flops.from_config(config).exit_layers))
    rules = {}
    for setting, policy in policies.items():
        rule = getattr(policy, "rule", None)
        if not isinstance(rule, Rule):
            raise InputError(
                f"policy {policy.label} does not stay on the device: replay it on a trace instead"
            )
        rules[setting] = rule

    if texts.text_file is None:
        rows = load_task(about.data, split or "test", texts.data_root)
        keep(rows.name, rows)
    else:
        if split is not None:
            raise InputError("--split does not go with --text: leave it out")
        rows = texts.load(about.regression)
    from splitee.elue.inferred import inferred

    return inferred(
        checkpoint,
        rows,
        rules,
        name or checkpoint.resolve().name,
        elue_task,
        batch_size=batch_size,
        facts={"seed": seed},
        report=report,
    )


@command.command("score", short_help="Score methods against a reference's curve.")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    required=True,
    type=click.Path(path_type=Path),
    help="A CSV file (reference, task, flops, performance) or the folder of a method.",
)
@click.option("--grid", default=32, show_default=True, help="Points of the FLOPs grid of all methods.")
@click.option("--draws", default=1000, show_default=True, help="Resamples for the 95 % intervals; 0: none.")
@click.option(
    "--flops-of",
    metavar="MODEL",
    type=click.Path(path_type=Path),
    help="Checkpoint or trace with the FLOPs by layer that RESULTS lack.  [default: the reference's]",
)
@options.tokens("With --flops-of: length of the texts.")
@options.seed("Seed of the resamples.")
@options.out("Folder for scores.csv and the Pareto figure.", required=False)
@options.overwrite("Replace files in --out.")
@options.as_json()
def score(
    results: tuple[Path, ...],
    reference: Path,
    grid: int,
    draws: int,
    flops_of: Path | None,
    tokens: int,
    seed: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score every method in or below RESULTS against the performance–FLOPs curve of a reference.

    The result is called the ELUE score if the reference is ElasticBERT-base. Needs no torch.
    """
    from splitee._internal.files import refuse_no_folder, write_text
    from splitee._internal.folders import new_folder, refuse_entries
    from splitee.elue.predictions import read_methods
    from splitee.elue.reference import read_reference
    from splitee.elue.score import average
    from splitee.elue.score import score as compute
    from splitee.report.scores import score_notes, score_table

    figures = ("pareto.png", "pareto.pdf")
    own = ("scores.csv", *figures)
    if out is not None:
        refuse_no_folder(out)
        refuse_entries(out, own, overwrite)
    against = read_reference(reference)
    methods = [_filled(method, against.by_layer, flops_of, tokens) for method in read_methods(results)]
    scores = compute(methods, against, grid=grid, draws=draws, seed=seed)
    means = average(scores)
    if out is not None:
        from splitee.report.figures.pareto import pareto
        from splitee.report.figures.style import write_figure
        from splitee.results.files import csv_text

        figure = pareto(methods, against)
        with new_folder(out, own=own, overwrite=overwrite) as made:
            write_text(made / "scores.csv", csv_text(scores))
            for file in figures:
                write_figure(figure, made / file, overwrite)
    if as_json:
        records = [json.loads(table.to_json(orient="records")) for table in (scores, means)]
        click.echo(json.dumps({"name": against.score_name, "scores": records[0], "average": records[1]}))
        return
    click.echo(f"{against.score_name}, in points; [95 % over samples, paired]\n")
    click.echo(score_table(scores))
    if (tasks := scores["task"].nunique()) > 1:
        click.echo(f"\nmean over {tasks} tasks")
        click.echo(score_table(means))
    for line in score_notes(scores):
        click.echo(f"· {line}")
    if out is not None:
        click.echo(f"wrote {out}")


def _flops_of(source: Path, tokens: int) -> Flops:
    """Return the FLOPs of a checkpoint or a trace."""
    from splitee.elue.flops import Flops
    from splitee.models.checkpoints import find_checkpoint, read_config

    if tokens < 1:
        raise InputError(f"--tokens {tokens}: give at least 1")
    if find_checkpoint(source).is_dir():
        return Flops.from_config(read_config(source))
    return Flops.from_manifest(read_trace(source).manifest)


def _filled(
    method: Method, known: Mapping[str, Mapping[int, float]], source: Path | None, tokens: int
) -> Method:
    """Return a method with FLOPs by exit layer where its files have none, as those of ELUE's authors."""
    from splitee.elue.predictions import with_flops

    by_layer = known.get(method.task, {})
    if source is not None:
        counted = _flops_of(source, tokens)
        each = counted.at(tokens, every_exit=True).tolist()
        by_layer = dict(zip(counted.exit_layers, each, strict=True))
    return with_flops(method, by_layer) if by_layer else method


def _policies(
    names: Sequence[str], thresholds: Sequence[float], exits: int, classes: int | None = None
) -> dict[str, Policy]:
    """Return the policies by the names of their settings, which name files."""
    from splitee.elue.replayed import setting_name
    from splitee.policies.names import parse_policies
    from splitee.policies.setting import Setting

    found: dict[str, Policy] = {}
    for threshold in thresholds:
        for policy in parse_policies(names, Setting(exits, exits, threshold, classes=classes)):
            if found.setdefault(setting_name(policy), policy) != policy:
                raise InputError(f"policy {policy.label} would be written to the files of another")
    return found
