"""Start a network of stages with new exits, from a vision backbone or from a checkpoint of stages."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from splitee._internal.errors import InputError
from splitee._internal.reading import read_json
from splitee.models.checkpoints import STAGED_TYPE
from splitee.models.config import StagedConfig, layers_from
from splitee.models.multi_exit import load_checkpoint, load_config
from splitee.models.staged import StagedModel
from splitee.models.vision import image_form, load_vision, stages_of
from splitee.training.recipe import Recipe

# options that say how exits read a token sequence, or what only encoders have
_OF_TEXTS = (
    *("layers", "exit_start", "exit_dense", "exit_states", "exit_join", "confidence"),
    "max_tokens",
)


def start_stages(backbone: str | Path, names: tuple[str, ...], recipe: Recipe) -> StagedModel:
    """Return a network of stages with exits for these classes.

    Parameters
    ----------
    backbone : str or path
        A vision backbone of transformers (a folder, or a name on the hub), which gets new exits; or a
        checkpoint of stages, whose exits are kept if it has the same classes and the recipe names no others.
    names : tuple of str
        The classes.
    recipe : Recipe
        Its exits, first_exit, pooling, equilibrium and image_size.

    Raises
    ------
    InputError
        If the recipe has an option of texts, the backbone cannot be loaded, or the stages do not take images
        of this size.
    """
    check_stages(recipe)
    classes: dict[str, Any] = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    described: dict[str, Any]
    if is_staged(backbone):
        model: StagedModel = load_checkpoint(backbone)
        config = model.config
        same = tuple(config.class_names) == names and recipe.pooling == "auto"
        if same and (recipe.exits, recipe.first_exit, recipe.image_size) == (None, None, None):
            config.gradient_equilibrium = recipe.equilibrium
            return model
        stages, described = list(model.stages), dict(config.backbone)
        form: dict[str, Any] = {
            name: getattr(config, name) for name in ("image_size", "image_mean", "image_std")
        }
        form["image_size"] = recipe.image_size or form["image_size"]
        exits = recipe.exits or (None if recipe.first_exit else config.exits)
    else:
        form = image_form(backbone, recipe.image_size)
        loaded = load_vision(backbone)
        stages, described, exits = stages_of(loaded), loaded.config.to_dict(), recipe.exits
        described.pop("_name_or_path", None)  # a local path
    if recipe.first_exit is not None:
        exits = layers_from(recipe.first_exit, len(stages))
    config = StagedConfig(
        described,
        exits,
        pooling="avg+max" if recipe.pooling == "auto" else recipe.pooling,
        gradient_equilibrium=recipe.equilibrium,
        **form,
        **classes,
    )
    try:
        return StagedModel(config, stages)
    except InputError as error:
        raise InputError(f"{backbone}: {error}") from error


def check_stages(recipe: Recipe) -> None:
    """Raise InputError if a recipe has an option that networks of stages do not have."""
    for part in fields(Recipe):
        if part.name in _OF_TEXTS and getattr(recipe, part.name) != part.default:
            raise InputError(f"{part.name} is for encoders of texts: leave it out for images")


def stages_size(backbone: str | Path, recipe: Recipe) -> int:
    """Return the pixels per side of the images that `start_stages` would take."""
    if recipe.image_size is not None:
        return recipe.image_size
    return int(
        load_config(backbone).image_size if is_staged(backbone) else image_form(backbone)["image_size"]
    )


def is_staged(backbone: str | Path) -> bool:
    """Return whether a folder holds a checkpoint of stages."""
    file = Path(backbone) / "config.json"
    return file.is_file() and read_json(file).get("model_type") == STAGED_TYPE
