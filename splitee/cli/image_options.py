"""--images and --distort: the images that a command reads, a folder or a Parquet file of the user."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from splitee._internal.errors import InputError
from splitee.cli import options
from splitee.cli.texts import Texts, keep

if TYPE_CHECKING:
    from splitee.data.images import Images

_SHARED = ("--label-column", "--class-names")  # options of texts that images have too


@dataclass(frozen=True)
class Pictures:
    """The values of --images and --distort: where images are, and how to distort them."""

    path: str | None
    distort: str | None

    def check(self, texts: Texts, **others: Any) -> None:
        """Raise InputError if options of texts, or these others, are given beside --images.

        Parameters
        ----------
        others : mapping of str to value
            By the name of the option, with underscores.
        """
        if self.path is None:
            if self.distort:
                raise InputError("--distort goes with --images")
            return
        named = {f"--{name.replace('_', '-')}": value for name, value in others.items()}
        for option, value in {**named, "--text": texts.text_file, **texts.of_text}.items():
            if value and option not in _SHARED:
                raise InputError(f"{option} does not go with --images: leave it out")

    def load(
        self, texts: Texts, size: int, seed: int = 0, path: str | None = None, names: Any = None
    ) -> Images:
        """Read --images, or others of the same kind; the notes are kept for `flush`.

        Parameters
        ----------
        texts : Texts
            Holds the options --label-column and --class-names.
        size : int
            Pixels per side of distorted images.
        seed : int
            Of the noise and of the draw of distortions.
        path : str, optional
            Other images.
        names : sequence of str, optional
            The names of the classes.
        """
        from splitee.data.images import load_images

        where = path or self.path
        assert where is not None
        names = names or options.names_list(texts.class_names)
        images = load_images(where, label=texts.label_column, label_names=names)
        keep(where, images)
        if not self.distort:
            return images
        given = options.names_list(self.distort) or []
        return images.distorted(given[0] if len(given) == 1 else given, seed=seed, size=size)


def stages(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --stages to a command: it is imported before the command runs, which does not see it."""
    return click.option(
        "--stages",
        "stages_from",
        metavar="FILE.py",
        callback=_register,
        expose_value=False,
        help="For a network whose stages are built by a function of yours: Python code to run, which calls "
        "register_stages. Installed packages register by the entry point splitee.stages.",
    )(command)


def _register(context: click.Context, option: click.Parameter, file: str | None) -> None:
    """Run a file that registers stages."""
    if file is None or context.resilient_parsing:
        return
    from splitee.cli.models_extra import need_models_extra

    need_models_extra()
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"--stages {file}: no such file of Python")
    from splitee.models.staged import BUILDERS

    before = dict(BUILDERS)
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules.setdefault(path.stem, module)
    try:
        found.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise InputError(f"--stages {file}: {type(error).__name__}: {error}") from error
    if before == BUILDERS:
        raise InputError(f"--stages {file} registers no stages: call splitee.models.staged.register_stages")


def images(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --images and --distort to a command, which gets them as one argument, `pictures`."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        return command(pictures=Pictures(given.pop("images_path"), given.pop("distort")), **given)

    path = click.option(
        "--images",
        "images_path",
        metavar="PATH",
        help="For a network of stages: a folder of images, one folder per class, or a Parquet file.",
    )
    distort = click.option(
        "--distort",
        metavar="NAMES",
        help="With --images: distort them, such as blur2, noise1, jpeg3, brightness1 or resolution2 "
        "(levels 1 to 3), or clean; of several, separated by commas, one is drawn for each image.",
    )
    return path(distort(gathered))
