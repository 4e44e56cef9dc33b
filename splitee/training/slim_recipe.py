"""Options of slimming (compression by pruning and distillation), its events and stages (COST-EFF)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch

from splitee._internal.errors import InputError, suggest
from splitee._internal.numbers import layer_count
from splitee.models.config import MultiExitConfig
from splitee.models.multi_exit import MultiExitModel
from splitee.models.slender import KINDS, Widths, check_slimmable
from splitee.trace.threshold import check_rule
from splitee.training.distill import AVERAGES
from splitee.training.importance import FORMS
from splitee.training.recipe import mixed_precision
from splitee.training.task_recipes import TASK_RECIPES, released


@dataclass(frozen=True)
class Event:
    """The size of every layer after one pruning step."""

    heads: int
    units: int
    rank: int | None


def slimming_events(before: Event, after: Event) -> Sequence[Event]:
    """Return the sizes between `before` and `after`: one head fewer per step, units and rank linearly.

    This is COST-EFF's schedule. If no head is removed, there is one step.

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
            raise InputError(f"{name}: cannot keep {wanted} of {was}, give 1 to {was}")
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


_CHOICES = {
    "importance_loss": ("states+predictions", "predictions"),
    "event_order": ("train-first", "prune-first"),
    "states_average": AVERAGES,
    "assistant_start": ("encoder", "teacher"),
    "teacher_layers": ("spread", "first"),
}


@dataclass(frozen=True)
class SlimRecipe:
    """Options of slimming; the defaults are those of COST-EFF's code for SST-2 at two of twelve heads.

    `for_task` gives the authors' epochs for the other tasks.

    Parameters
    ----------
    heads, units : int
        Numbers to keep in every layer.
    rank : int, optional
        Rank of the word embedding; None leaves it unchanged.
    prune_epochs : float
        Epochs of training between the events, all together.
    representation_share : float
        Share of the training after each event that uses only the loss on the teacher's states.
    representation_epochs, prediction_epochs : float
        Epochs of training afterwards: on states only; then on states and answers.
    batch_size : int
        Texts per step.
    prune_rate, representation_rate, prediction_rate : float
        Learning rates of the three kinds of stages.
    growth : float
        The learning rate of event k is prune_rate·(1 + growth)^(k − 1).
    weight_decay : float
        Option of AdamW.
    warmup : float
        Share of each stage's steps in which the learning rate rises.
    temperature : float
        Temperature of the distillation.
    importance : {"absolute", "signed", "random"}
        Score by which heads and units are kept; "random" is a baseline.
    importance_loss : {"states+predictions", "predictions"}
        The loss whose change is the importance: as in the authors' code, the loss on the teacher's states is
        added to that on its answers, or not.
    event_order : {"train-first", "prune-first"}
        Whether each event trains the student and then prunes it, as the authors' code, or prunes it first.
    states_average : {"sample", "token"}
        See `representation_loss`.
    importance_share : float
        Share of the training rows over which importance is computed before every event.
    every_exit : bool
        Whether importance uses the loss of all exits or only of the last.
    distill : bool
        Whether to learn from the teacher; False uses labels only, also for importance (a baseline).
    layers : int, "half" or "all", optional
        Also keep only this many first layers (a squat baseline, not a slender model). The last exit then
        learns from the teacher's last exit.
    teacher_layers : {"spread", "first"}
        The teacher's layers whose states a squat student learns: spread over all of them, as in the authors'
        code (see `spread_layers`), or the first ones, of which it is made.
    first_exit : int, optional
        Keep the exits of this and later layers only, in teacher, assistant and student; the authors'
        ``exit_start``. Default: all.
    attention_weight : float
        Weight of the loss on attention maps, added to the loss on states (`attention_loss`). 0, as in the
        authors' scripts: none.
    assistant_epochs : float
        Epochs of training a full-size teaching assistant first: each of its exits learns from labels and the
        checkpoint's final answers in equal parts. Before that it learns the checkpoint's states for a third
        as many whole epochs (1 + 5 for SST-2). The assistant becomes the teacher. With 0, the checkpoint is
        the teacher.
    assistant_start : {"encoder", "teacher"}
        Initial weights of the assistant: the pretrained encoder with new exits, as the authors' code, or the
        checkpoint's.
    assistant_rate : float
        Learning rate of the assistant.
    precision : {"auto", "float32", "bfloat16", "float16"}
        See `Recipe`.
    seed : int
        Seed of order, dropout and random draws.
    alpha_rule : str
        See `recommend_threshold`.
    checkpoint_steps : int
        Steps between checkpoints.
    """

    heads: int
    units: int
    rank: int | None = None
    prune_epochs: float = 5
    representation_share: float = 0.7
    representation_epochs: float = 10
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
    importance_loss: str = "states+predictions"
    event_order: str = "train-first"
    states_average: str = "sample"
    importance_share: float = 1.0
    every_exit: bool = True
    distill: bool = True
    layers: int | str | None = None
    teacher_layers: str = "spread"
    first_exit: int | None = None
    attention_weight: float = 0.0
    assistant_epochs: float = 5
    assistant_start: str = "encoder"
    assistant_rate: float = 2e-5
    precision: str = "auto"
    seed: int = 0
    alpha_rule: str = "within:0.5"
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        """Refuse values that would otherwise fail after hours."""
        for name in ("heads", "units", "batch_size", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.layers is not None:
            layer_count(self.layers)
        for name in ("assistant_epochs", "prune_epochs", "representation_epochs", "prediction_epochs"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be at least 0, not {getattr(self, name)}")
        rates = ("assistant_rate", "prune_rate", "representation_rate", "prediction_rate")
        for name in (*rates, "temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.attention_weight < float("inf"):
            raise InputError(f"attention_weight must be at least 0, not {self.attention_weight}")
        if not 0 < self.importance_share <= 1:
            raise InputError(f"importance_share must be above 0 and at most 1, not {self.importance_share}")
        for name in ("representation_share", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a share, 0 to 1")
        if self.importance not in (*FORMS, "random"):
            raise InputError(f"importance {self.importance!r}: choose one of {', '.join(FORMS)}, random")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        check_rule(self.alpha_rule)
        mixed_precision(self.precision)

    @classmethod
    def for_task(
        cls, task: str, heads: int, units: int, rank: int | None = None, **changes: Any
    ) -> SlimRecipe:
        """Return the authors' recipe for a task, one of `TASK_RECIPES`, with changes.

        Epochs depend on the number of heads (2 to 8 of BERT-base's twelve; the nearest of these for others).
        Learning rates and their growth depend on the batch size, 32 or 64.

        Raises
        ------
        InputError
            If the authors have no recipe for the task.

        Examples
        --------
        >>> SlimRecipe.for_task("cola", 2, 512, 128).prune_epochs
        20
        """
        if task not in TASK_RECIPES:
            raise InputError(f"no recipe of COST-EFF is called {task!r}: {suggest(task, TASK_RECIPES)}")
        by_task: dict[str, Any] = {**released(task, heads, changes.get("batch_size", 32))}
        return cls(heads, units, rank, **{**by_task, **changes})


@dataclass(frozen=True)
class Stage:
    """One stage of slimming: training steps, and a pruning event before or after them, or none."""

    name: str
    event: Event | None
    steps: int
    on_states: int  # number of first steps that use only the teacher's states
    rate: float
    evaluate_every: int | None = None  # steps between evaluations; the best student is kept
    assistant: bool = False  # exits learn from labels and the teacher's final answers


def assistant_stage(recipe: SlimRecipe, steps_per_epoch: int) -> Stage | None:
    """Return the stage that trains a teaching assistant, or None."""
    answers = round(recipe.assistant_epochs * steps_per_epoch)
    if not answers or not recipe.distill:
        return None
    states = int(recipe.assistant_epochs // 3) * steps_per_epoch
    steps = states + answers
    return Stage("assistant", None, steps, states, recipe.assistant_rate, steps_per_epoch, assistant=True)


def plan(before: Event, recipe: SlimRecipe, steps_per_epoch: int) -> list[Stage]:
    """Return the stages; their numbers of steps do not depend on which heads and units are kept."""
    events = slimming_events(before, Event(recipe.heads, recipe.units, recipe.rank))
    each = max(1, round(recipe.prune_epochs * steps_per_epoch / len(events)))
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
    states = round(recipe.representation_epochs * steps_per_epoch)
    answers = round(recipe.prediction_epochs * steps_per_epoch)
    if states:
        stages.append(Stage("representation", None, states, states, recipe.representation_rate))
    if answers:
        stages.append(Stage("prediction", None, answers, 0, recipe.prediction_rate, steps_per_epoch))
    return stages


WHY_NOT = "slimming removes attention heads and feed-forward units, as encoders of texts have them"


def size_for(config: MultiExitConfig, share: float) -> Event:
    """Return the largest even size with at most a share of a model's parameters.

    Heads, units and rank shrink in proportion, as in COST-EFF, which has 256·h units and rank 64·h at h of
    BERT-base's twelve heads. Below one head per layer, units and rank shrink further. The rest of the budget
    goes to feed-forward units.

    Parameters
    ----------
    config : MultiExitConfig
        Configuration of the model to compress.
    share : float
        Share of its parameters, above 0 and at most 1.

    Raises
    ------
    InputError
        If the share is invalid, or too small for one head and one unit per layer and a rank of 1.
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
        sizes = (max(1, round(part * each)) for each in (heads, units, rank))
        return whole if part == 1 else Event(*sizes)

    parts = [kept / heads for kept in range(heads, 0, -1)]
    parts += [kept / rank for kept in range(ceil(rank / heads) - 1, -1, -1)]
    found = next((size for size in map(event, parts) if parameters_at(config, size) <= budget), None)
    if found is None:
        least = parameters_at(config, event(0)) / (budget / share)
        raise InputError(f"params {share}: the smallest possible model has {least:.3f} of the parameters")
    # each unit has a row, a column and a bias in every layer
    a_unit = backbone.num_hidden_layers * (2 * backbone.hidden_size + 1)
    more = (budget - parameters_at(config, found)) // a_unit
    return replace(found, units=min(units, found.units + int(more)))


def parameters_at(config: MultiExitConfig, event: Event) -> int:
    """Count the parameters of a model at a size, without creating its weights."""
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
