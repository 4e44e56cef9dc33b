"""The options that two commands share, each declared here once, and the types that read their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from splitee._internal import numbers
from splitee._internal.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


class Read(click.ParamType[Any]):
    """A type of option whose text is read by a function that raises InputError.

    Parameters
    ----------
    name : str
        The type's name in a help page.
    read : callable
        A function of a text or value, such as `splitee._internal.numbers.number`.
    """

    def __init__(self, name: str, read: Callable[[Any], Any]) -> None:
        self.name, self.read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; the line of an InputError starts with the option."""
        if isinstance(value, tuple):
            return value  # click converts defaults more than once
        try:
            return self.read(value)
        except InputError as error:
            where = "" if param is None else f"{(param.opts or [param.name])[0]} "
            raise InputError(f"{where}{error}") from error


NUMBER = Read("number", numbers.number)
NUMBERS = Read("numbers", partial(numbers.listed, read=numbers.number))
THRESHOLD = Read("alpha", numbers.threshold)
THRESHOLDS = Read("alphas", partial(numbers.listed, read=numbers.threshold))
LAYER_COUNT = Read("layers", numbers.layer_count)
LAYER_COUNTS = Read("layers", partial(numbers.listed, read=numbers.layer_count))
LAYERS = Read("layers", partial(numbers.listed, read=partial(numbers.whole, least=1)))
SEED = click.IntRange(min=0)
MAX_DROP = "Points of accuracy that may be lost against the last exit (without labels, of agreement with it)."
DATA_SET = "Named data set, such as sst2_sentences, imdb or snli."


def names_list(names: str | None) -> list[str] | None:
    """Return the names in a text with commas."""
    return None if not names else numbers.items(names)


def pairs(values: Sequence[str], option: str, form: str) -> dict[str, str]:
    """Return A=B options as a dict; `form` is how the error writes one, such as "THEIRS=OURS"."""
    for value in values:
        if "=" not in value:
            raise InputError(f"{option} {value!r} has no =: write it as {form}")
    return dict(value.split("=", 1) for value in values)


# where results go


def out(help: str, *, required: bool = True) -> Decorator[Any]:
    """--out: the file or folder that a command writes."""
    return click.option("--out", required=required, type=click.Path(path_type=Path), help=help)


def overwrite(help: str = "Replace --out if it exists.") -> Decorator[Any]:
    """--overwrite."""
    return click.option("--overwrite", is_flag=True, help=help)


def as_json(help: str = "Print one JSON document and nothing else.") -> Decorator[Any]:
    """--json, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def name(help: str) -> Decorator[Any]:
    """--name: the name of what is written."""
    return click.option("--name", help=help)


def format_(choices: Sequence[str], default: str) -> Decorator[Any]:
    """--format, as the argument `format_`."""
    return click.option(
        "--format", "format_", type=click.Choice(choices), default=default, show_default=True,
        help="Layout of the table.",
    )  # fmt: skip


def seed(help: str) -> Decorator[Any]:
    """--seed."""
    return click.option("--seed", type=SEED, default=0, show_default=True, help=help)


def on_ray(what: str) -> Callable[[Command], Command]:
    """--ray and --ray-address, as the arguments `on_ray` and `ray_address`."""
    return _all(
        click.option(
            "--ray", "on_ray", is_flag=True, help=f"Run {what} on Ray (extra ray), on this machine."
        ),
        click.option(
            "--ray-address", metavar="ADDRESS", help=f"Run {what} on this Ray cluster, such as auto."
        ),
    )


# the setting of a replay


def policy(help: str) -> Decorator[Any]:
    """--policy, as the argument `policies`: texts that `splitee.policies.names` reads."""
    return click.option("--policy", "policies", multiple=True, metavar="NAMES", help=help)


def threshold(type_: Read, help: str, default: str | None = None) -> Decorator[Any]:
    """--threshold: α."""
    shown = default is not None
    return click.option("--threshold", type=type_, default=default, show_default=shown, help=help)


def offload(type_: Read, help: str) -> Decorator[Any]:
    """--offload: o."""
    return click.option("--offload", type=type_, default="5", show_default=True, help=help)


def mu(type_: Read, help: str, default: str | None = "0.1") -> Decorator[Any]:
    """--mu: μ."""
    return click.option("--mu", type=type_, default=default, show_default=default is not None, help=help)


def exploration() -> Decorator[Any]:
    """--exploration: β."""
    return click.option(
        "--exploration", type=NUMBER, default="1", show_default=True,
        help="β, the exploration of SplitEE and SplitEE-S.",
    )  # fmt: skip


def send_input() -> Decorator[Any]:
    """--send-input."""
    return click.option(
        "--send-input", is_flag=True, help="Let the learners offload the input too (layer 0)."
    )


def device_layers(help: str, type_: Read | None = None) -> Decorator[Any]:
    """--device-layers: m, as numbers of layers, "half" or "all"."""
    return click.option("--device-layers", type=type_ or LAYER_COUNT, help=help)


def layer_cost() -> Decorator[Any]:
    """--layer-cost: λ₁."""
    return click.option(
        "--layer-cost", type=NUMBER, default="5/6", show_default=True, help="λ₁, the cost of one layer in λ."
    )


def exit_cost() -> Decorator[Any]:
    """--exit-cost: λ₂."""
    return click.option(
        "--exit-cost", type=NUMBER, default="1/6", show_default=True, help="λ₂, the cost of one exit in λ."
    )


def source(help: str) -> Decorator[Any]:
    """--source: the validation trace of the source."""
    return click.option("--source", metavar="TRACE", help=help)


# texts


def data_root(help: str) -> Decorator[Any]:
    """--data-root: the folder of data sets and links."""
    return click.option(
        "--data-root", metavar="FOLDER", envvar="SPLITEE_DATA_ROOT", show_envvar=True, help=help
    )


def task(help: str, *, required: bool = False) -> Decorator[Any]:
    """--task: a named data set."""
    return click.option("--task", required=required, help=help)


def split(help: str) -> Decorator[Any]:
    """--split: the split of a named data set."""
    return click.option("--split", help=help)


def class_names(help: str) -> Decorator[Any]:
    """--class-names: a text with commas, see `names_list`."""
    return click.option("--class-names", metavar="A,B,...", help=help)


def reading(command: Command) -> Command:
    """Add the options that say how a text file is written, as arguments of `texts.reading`."""
    return _all(
        click.option(
            "--sep",
            metavar="MARK",
            help="Separator of CSV: a character, comma, semicolon, tab, pipe, space.  [default: found]",
        ),
        click.option(
            "--decimal", type=click.Choice([".", ","]), help="Decimal mark in text files.  [default: found]"
        ),
        click.option(
            "--encoding",
            metavar="NAME",
            help="Encoding of text files, such as cp1252 or utf-16.  [default: by its mark, else UTF-8]",
        ),
        click.option(
            "--quoting/--no-quoting",
            default=None,
            help="Whether cells of a CSV file may be in quotation marks.  [default: yes, but not in TSV]",
        ),
    )(command)


def no_label(command: Command) -> Command:
    """Add --no-label, a text with commas; see `texts.marks`."""
    return click.option(
        "--no-label",
        metavar="MARKS",
        help="Labels that mean none, such as -1 or -, or empty; their rows are left out.",
    )(command)


def text(command: Command) -> Command:
    """Add the options that locate texts, except --task."""
    return _all(
        data_root(
            "Folder of data sets, FOLDER/TASK/SPLIT.parquet (or .csv, .tsv, .jsonl, .json)."
            "  [default: the hub]"
        ),
        click.option(
            "--text",
            "text_file",
            metavar="FILE",
            help="Read texts from a table: CSV, TSV, JSON, JSON Lines or Parquet.",
        ),
        click.option(
            "--text-column",
            "text_columns",
            metavar="COLUMN",
            multiple=True,
            help="With --text: the column of texts; give it twice for pairs.  [default: text]",
        ),
        click.option(
            "--label-column",
            "label_columns",
            metavar="COLUMN",
            multiple=True,
            help="With --text, or --images of Parquet: the column of labels.",
        ),
        class_names("With --text or --images: names of the labels 0, 1, …, separated by commas."),
        no_label,
        reading,
    )(command)


# devices and links


def device(help: str, metavar: str | None = None) -> Decorator[Any]:
    """--device: where a model runs, or the profile of a device."""
    return click.option("--device", metavar=metavar, help=help)


def cloud(help: str, metavar: str) -> Decorator[Any]:
    """--cloud: the profile of the cloud, or its address."""
    return click.option("--cloud", metavar=metavar, help=help)


def rtt(default: float = 40.0) -> Decorator[Any]:
    """--rtt."""
    return click.option(
        "--rtt", type=NUMBER, default=f"{default:g}", show_default=True, help="Round trip in ms."
    )


def outages() -> Decorator[Any]:
    """--outage, as the argument `outages`."""
    return click.option(
        "--outage",
        "outages",
        multiple=True,
        metavar="FROM:TO",
        help="The link is down from FROM to TO, in seconds; repeatable.",
    )


def max_drop(type_: click.ParamType[Any], default: str | None, help: str) -> Decorator[Any]:
    """--max-drop: points of accuracy that may be lost."""
    return click.option(
        "--max-drop",
        type=type_,
        default=default,
        show_default=default is not None,
        metavar="POINTS",
        help=help,
    )


def max_p95() -> Decorator[Any]:
    """--max-p95."""
    return click.option("--max-p95", type=NUMBER, metavar="MS", help="Latency that 95 % of the samples keep.")


def codec(type_: click.ParamType[Any], default: str, help: str) -> Decorator[Any]:
    """--codec: how states are encoded."""
    return click.option("--codec", type=type_, default=default, show_default=True, help=help)


# models


def batch_size(help: str) -> Decorator[Any]:
    """--batch-size."""
    return click.option("--batch-size", default=32, show_default=True, help=help)


def max_tokens(help: str, default: int | None = None) -> Decorator[Any]:
    """--max-tokens."""
    shown = default is not None
    return click.option("--max-tokens", type=int, default=default, show_default=shown, help=help)


def tokens(help: str, type_: Any = int, default: int | None = 128) -> Decorator[Any]:
    """--tokens: the length of texts whose FLOPs are counted, or the lengths that are timed."""
    shown = default is not None
    return click.option("--tokens", type=type_, default=default, show_default=shown, help=help)


def precision(choices: Sequence[str], help: str) -> Decorator[Any]:
    """--precision; the first choice is the default."""
    return click.option(
        "--precision", type=click.Choice(choices), default=choices[0], show_default=True, help=help
    )


def threads() -> Decorator[Any]:
    """--threads."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        help="Threads of the model.  [default: the library's choice]",
    )


def layers(help: str) -> Decorator[Any]:
    """--layers: how many of a model's first layers are kept."""
    return click.option("--layers", type=Read("layers", numbers.layer_count), help=help)


def first_exit(help: str) -> Decorator[Any]:
    """--first-exit: the first layer with an exit."""
    return click.option("--first-exit", type=Read("layer", partial(numbers.whole, least=1)), help=help)


def confidence(help: str, default: str | None = None) -> Decorator[Any]:
    """--confidence: what is taken as an exit's confidence."""
    kinds = click.Choice(["softmax", "learned"])
    return click.option(
        "--confidence", type=kinds, default=default, show_default=default is not None, help=help
    )


def training_texts(command: Command) -> Command:
    """Add the options that locate the rows to train on and to validate with, except those of `text`."""
    return _all(
        task(DATA_SET),
        click.option(
            "--validation-text", metavar="FILE", help="With --text: the file of the validation rows."
        ),
        click.option(
            "--validation-rows",
            type=int,
            help="Hold out this many training rows for validation, the same rows for every seed.",
        ),
        click.option("--train-rows", type=int, help="Train on this many rows only, drawn by --seed."),
    )(command)


def training(command: Command) -> Command:
    """Add the options of every training, with --seed, --overwrite and --json."""
    return _all(
        batch_size("Texts per step."),
        precision(
            ("auto", "float32", "bfloat16", "float16"),
            "Precision of the encoder; auto: mixed bfloat16 on a GPU that has it, else float32.",
        ),
        click.option(
            "--checkpoint-steps", default=100, show_default=True, help="Steps between two saved checkpoints."
        ),
        seed("Seed of all random numbers."),
        overwrite(),
        as_json("Print one JSON document at the end."),
    )(command)


def _all(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return one decorator that adds several options, in this order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
