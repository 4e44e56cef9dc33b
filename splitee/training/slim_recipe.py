"""How to slim: the recipe, its schedule of events, and the stages they make (COST-EFF, Shen et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import torch

from splitee._internal.errors import InputError
from splitee.models.config import MultiExitConfig
from splitee.models.multi_exit import MultiExitModel
from splitee.models.slender import KINDS, Widths, check_slimmable
from splitee.trace.threshold import check_rule
from splitee.training.importance import FORMS
from splitee.training.recipe import mixed_precision


@dataclass(frozen=True)
class Event:
    """What every layer has after one step of slimming."""

    heads: int
    units: int
    rank: int | None


def slimming_events(before: Event, after: Event) -> Sequence[Event]:
    """Return the steps from one size to another: a head at a time, units and rank linearly beside it.

    COST-EFF's schedule. Where no head goes, all is one step.

    Examples
    --------
    >>> for event in slimming_events(Event(4, 100, 64), Event(2, 40, 16)):
    ...     print(event)
    Event(heads=3, units=70, rank=40)
    Event(heads=2, units=40, rank=16)
    """
    for name in ("heads", "units", "rank"):
        was, wanted = getattr(before, name), getattr(after, name)
        if was is not None and wanted is not None and not 1 <= wanted <= was:
            raise InputError(f"{name}: {wanted} cannot be kept of {was}")
    steps = max(1, before.heads - after.heads)
    events = []
    for step in range(1, steps + 1):
        share = step / steps
        rank = after.rank
        if rank is not None and before.rank is not None:
            rank = round(before.rank + share * (rank - before.rank))
        events.append(
            Event(
                before.heads - step if before.heads > after.heads else after.heads,
                round(before.units + share * (after.units - before.units)),
                rank,
            )
        )
    return events


@dataclass(frozen=True)
class SlimRecipe:
    """How to slim; the defaults are COST-EFF's for SST-2 at two heads of twelve.

    Parameters
    ----------
    heads, units : int
        To keep in every layer.
    rank : int, optional
        Of the word embedding; None: it stays as it is.
    prune_epochs : float
        Training between the events, over all of them together.
    representation_share : float
        The first part of the training after an event, which is on the teacher's states alone.
    representation_epochs, prediction_epochs : float
        Training afterwards: on states; on states and answers.
    growth : float
        The learning rate of event k is prune_rate·(1 + growth)^(k − 1).
    importance : {"absolute", "signed", "random"}
        By what is kept; "random" draws, for comparison.
    importance_share : float
        Over how much of the training rows it is taken, before every event.
    every_exit : bool
        Whether every exit has a say in what is kept, or only the last.
    distill : bool
        Whether the teacher teaches; else the labels do, also what is kept, for comparison.
    layers : int, optional
        Keep only the first so many layers too (squat, not slender, for comparison); the last of them learns
        from the teacher's last exit.
    assistant_epochs : float
        Of a full-size teaching assistant, first: a third of them on the checkpoint's states, then each of its
        exits on the mean of labels and the checkpoint's final answers. It then teaches. 0: the checkpoint
        does.
    """

    heads: int
    units: int
    rank: int | None = None
    prune_epochs: float = 5
    representation_share: float = 0.5
    representation_epochs: float = 8
    prediction_epochs: float = 6
    batch_size: int = 32
    prune_rate: float = 1e-5
    representation_rate: float = 3e-5
    prediction_rate: float = 2e-5
    growth: float = 0.12
    weight_decay: float = 0.01
    warmup: float = 0.1
    temperature: float = 1.0
    importance: str = "absolute"
    importance_share: float = 1.0
    every_exit: bool = True
    distill: bool = True
    layers: int | None = None
    assistant_epochs: float = 0
    assistant_rate: float = 2e-5
    precision: str = "auto"
    seed: int = 0
    alpha_rule: str = "within:0.5"
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        """Refuse at once what would else fail after hours."""
        for name in ("heads", "units", "batch_size", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.layers is not None and self.layers < 1:
            raise InputError(f"layers must be at least 1, not {self.layers}")
        for name in ("assistant_epochs", "prune_epochs", "representation_epochs", "prediction_epochs"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be at least 0, not {getattr(self, name)}")
        rates = ("assistant_rate", "prune_rate", "representation_rate", "prediction_rate")
        for name in (*rates, "temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 < self.importance_share <= 1:
            raise InputError(f"importance_share must be above 0 and at most 1, not {self.importance_share}")
        for name in ("representation_share", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is a share, 0 to 1, not {getattr(self, name)}")
        if self.importance not in (*FORMS, "random"):
            raise InputError(f"importance {self.importance!r}: choose one of {', '.join(FORMS)}, random")
        check_rule(self.alpha_rule)
        mixed_precision(self.precision)


@dataclass(frozen=True)
class Stage:
    """One part of the whole: what is taken away first, if anything, and the steps that follow."""

    name: str
    event: Event | None
    steps: int
    on_states: int  # so many of the steps are on the teacher's states alone
    rate: float
    judged_every: int | None = None  # steps after which the student is judged; the best is kept
    assistant: bool = False  # exits learn from labels and the teacher's final answers


def assistant_stage(recipe: SlimRecipe, steps_an_epoch: int) -> Stage | None:
    """The stage that makes a teaching assistant, where there is one."""
    steps = round(recipe.assistant_epochs * steps_an_epoch)
    if not steps:
        return None
    return Stage("assistant", None, steps, steps // 3, recipe.assistant_rate, steps_an_epoch, assistant=True)


def plan(before: Event, recipe: SlimRecipe, steps_an_epoch: int) -> list[Stage]:
    """Lay out the stages; their steps do not depend on what is kept."""
    events = slimming_events(before, Event(recipe.heads, recipe.units, recipe.rank))
    each = max(1, round(recipe.prune_epochs * steps_an_epoch / len(events)))
    stages = [
        Stage(
            f"event-{number:02d}",
            event,
            each,
            round(recipe.representation_share * each),
            recipe.prune_rate * (1 + recipe.growth) ** (number - 1),
        )
        for number, event in enumerate(events, 1)
    ]
    states = round(recipe.representation_epochs * steps_an_epoch)
    answers = round(recipe.prediction_epochs * steps_an_epoch)
    if states:
        stages.append(Stage("representation", None, states, states, recipe.representation_rate))
    if answers:
        stages.append(Stage("prediction", None, answers, 0, recipe.prediction_rate, steps_an_epoch))
    return stages


def size_for(config: MultiExitConfig, share: float) -> Event:
    """Find the largest even slimming with at most a share of a model's parameters.

    Heads, units and rank all shrink alike (COST-EFF has FFN 256·h and rank 64·h at h of BERT-base's twelve
    heads, and below one head in each layer, so do units and rank); what is left of the budget goes to
    feed-forward units.

    Raises
    ------
    InputError
        Where the share is none, or less than one head and one unit in each layer and a rank of 1 have.
    """
    if not 0 < share <= 1:
        raise InputError(f"params {share}: give a share of the parameters, above 0 and at most 1")
    backbone = config.backbone_config()
    check_slimmable(backbone)
    before = Widths.of(backbone)
    heads, units = min(map(len, before.heads)), min(before.units)
    rank = before.rank or backbone.hidden_size
    budget = share * parameters_at(config, Event(heads, units, before.rank))
    whole = Event(heads, units, before.rank)

    def event(part: float) -> Event:
        least = (max(1, round(part * each)) for each in (heads, units, rank))
        return whole if part == 1 else Event(*least)

    parts = [kept / heads for kept in range(heads, 0, -1)]
    parts += [kept / rank for kept in range(ceil(rank / heads) - 1, -1, -1)]
    found = next((size for size in map(event, parts) if parameters_at(config, size) <= budget), None)
    if found is None:
        least = parameters_at(config, event(0)) / (budget / share)
        raise InputError(f"params {share}: the smallest that there is has {least:.3f} of the parameters")
    # a unit has a row, a column and a bias in every layer
    a_unit = backbone.num_hidden_layers * (2 * backbone.hidden_size + 1)
    more = (budget - parameters_at(config, found)) // a_unit
    return replace(found, units=min(units, found.units + int(more)))


def parameters_at(config: MultiExitConfig, event: Event) -> int:
    """Count the parameters that a model would have at a size, without making its weights."""
    backbone = config.backbone_config()
    before = Widths.of(backbone)
    widths = Widths(
        tuple(heads[: event.heads] for heads in before.heads),
        (event.units,) * len(before.units),
        event.rank,
    )
    kind = KINDS[backbone.model_type.removeprefix("slender_")][0].model_type
    described = config.to_dict()
    described.pop("model_type", None)
    described["backbone"] = config.backbone | {"model_type": kind, "slender": widths.to_dict()}
    with torch.device("meta"):
        return int(MultiExitModel(MultiExitConfig(**described)).num_parameters())
