"""Any network given as consecutive stages, with exits after some of them: the image models.

A stage maps one tensor to one tensor, for each sample of a batch alone. Nothing else is asked: that the
stages compose, and that other samples of a batch do not change a sample's state, is checked when a model is
made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

from splitee._internal.errors import InputError, suggest
from splitee.models.config import StagedConfig
from splitee.models.cutting import evaluating
from splitee.models.network import ExitNetwork, MultiExitOutput, State, check_exits
from splitee.models.vision import VISION, stages_of
from splitee.system.codec import as_rows

Build = Callable[..., Sequence[nn.Module]]
BUILDERS: dict[str, Build] = {}
_GROUP = "splitee.stages"  # entry points of other packages
# what foreign code raises on inputs that it was not made for
_FOREIGN = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


def register_stages(name: str, build: Build) -> None:
    """Name a function that builds stages, so that checkpoints of them can be loaded.

    Parameters
    ----------
    name : str
        As in ``config.backbone["stages"]``. Other packages register by the entry point ``splitee.stages``.
    build : callable
        Returns the stages, with any weights, for the keyword arguments in ``config.backbone["options"]``.

    Examples
    --------
    >>> register_stages("two-layers", lambda width: [nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3)])
    >>> config = StagedConfig({"stages": "two-layers", "options": {"width": 4}}, num_labels=2, image_size=8)
    >>> [tuple(shape) for shape in StagedModel(config).shapes]
    [(4, 6, 6), (4, 4, 4)]
    """
    BUILDERS[name] = build


class StageHead(nn.Module):
    """The exit of a stage: what is pooled side by side, dropout, a linear classifier.

    Parameters
    ----------
    width : int
        Channels of the state.
    classes : int
    pooling : str
        One of `splitee.models.config.STAGE_POOLINGS`; see `pool_state`.
    dropout : float
    """

    def __init__(self, width: int, classes: int, pooling: str = "avg+max", dropout: float = 0.0) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width * sum(_PARTS[part] for part in pooling.split("+")), classes)

    def pooled(self, hidden: Tensor) -> Tensor:
        """Return what the classifier reads of states, shape (batch, features)."""
        return pool_state(hidden, self.pooling)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map states to logits, shape (batch, classes)."""
        logits: Tensor = self.classifier(self.dropout(self.pooled(hidden)))
        return logits


def pool_state(hidden: Tensor, pooling: str = "avg+max") -> Tensor:
    """Reduce states to vectors, shape (batch, features).

    Parameters
    ----------
    hidden : Tensor
        Maps of shape (batch, width, rows, columns), or states of shape (batch, tokens, width) or
        (batch, width).
    pooling : str
        Parts joined by "+": "avg" and "max", over all positions; "grid" and "grid2", the averages over 3 × 3
        or 2 × 2 fields of a map, which keep where something is (of other states: 9 or 4 equal runs of the
        tokens).

    Examples
    --------
    >>> pool_state(torch.tensor([[[[1.0, 3.0]]]])).tolist()
    [[2.0, 3.0]]
    """
    places = as_rows(hidden)  # (batch, positions, width)
    found = []
    for part in pooling.split("+"):
        if (side := _SIDES.get(part)) is not None:
            maps = hidden if hidden.ndim == 4 else places.transpose(1, 2).unsqueeze(2)
            size = (side, side) if hidden.ndim == 4 else (1, side * side)
            found.append(nn.functional.adaptive_avg_pool2d(maps, size).flatten(1))
        else:
            found.append(places.mean(1) if part == "avg" else places.amax(1))
    return torch.cat(found, dim=-1)


_SIDES = {"grid": 3, "grid2": 2}  # fields per side
_PARTS = {"avg": 1, "max": 1} | {part: side * side for part, side in _SIDES.items()}  # numbers per channel


class StagedModel(ExitNetwork):
    """Consecutive stages with exits.

    Parameters
    ----------
    config : StagedConfig
        The configuration.
    stages : sequence of nn.Module, optional
        The stages. Default: built as ``config.backbone`` says.
    heads : mapping of int to nn.Module, optional
        Custom exits by stage (from 1); each maps a state to logits, shape (batch, classes).

    Attributes
    ----------
    shapes : list of torch.Size
        The shape of a sample's state after every stage.

    Raises
    ------
    InputError
        If exits are invalid, or the stages do not compose.

    Examples
    --------
    >>> stages = [nn.Conv2d(3, 4, 3, stride=2), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2))]
    >>> model = StagedModel(StagedConfig(num_labels=5, image_size=16), stages).eval()
    >>> pixels = torch.rand(2, 3, 16, 16)
    >>> cut = model.start(pixels)                       # stage 1, on the device
    >>> final = model.exit_logits(model.run_layers(cut, 2))  # stage 2, elsewhere
    >>> torch.equal(final, model(pixels).logits[:, 1])
    True
    """

    config_class = StagedConfig
    main_input_name = "pixel_values"
    size_unit = "pixels"
    base_model_prefix = "stages"
    supports_gradient_checkpointing = False
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules: ClassVar[list[str]] = []

    def __init__(
        self,
        config: StagedConfig,
        stages: Sequence[nn.Module] | None = None,
        heads: Mapping[int, nn.Module] | None = None,
    ) -> None:
        super().__init__(config)
        config.check()
        self.stages = nn.ModuleList(build_stages(config.backbone) if stages is None else stages)
        if not len(self.stages):
            raise InputError("there are no stages: give at least one")
        depth = len(self.stages)
        self.exits = check_exits(tuple(config.exits or range(1, depth + 1)), depth)
        if unknown := sorted(set(heads or {}) - set(self.exits)):
            raise InputError(f"a head is given for stage {unknown[0]}, which has no exit")
        self.shapes = self._run_once()
        self.exit_heads = nn.ModuleList(
            (heads or {}).get(layer)
            or StageHead(self.width(layer), config.num_labels, pooling, config.exit_dropout)
            for layer, pooling in zip(self.exits, config.poolings(len(self.exits)), strict=True)
        )
        self.post_init()
        if self.device.type != "meta":
            self.check_samples()

    @classmethod
    def from_pretrained(
        cls,
        folder: Any,
        *arguments: Any,
        config: Any = None,
        output_loading_info: bool = False,
        **ignored: Any,
    ) -> Any:
        """Load a checkpoint folder, in float32, and check its stages.

        The stages are built first, with the buffers that checkpoints do not hold, and the weights are then
        copied into them. `arguments` are those of the constructor after `config`.
        """
        config = config or StagedConfig.from_pretrained(folder)
        model = cls(config, *arguments)
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            missing = model._fill(file, file.keys())
        loading = {"missing_keys": missing, "unexpected_keys": set()}
        return (model, loading) if output_loading_info else model

    def first(self, exits: int, weights: Path) -> StagedModel:
        """Keep the stages up to an exit, and read their weights; `shapes` stay those of all stages.

        Parameters
        ----------
        exits : int
            m, the number of exits to keep.
        weights : Path
            The file ``model.safetensors`` of the whole model; the weights of later stages are not read.
        """
        self.exits = self.exits[:exits]
        self.stages = self.stages[: self.exits[-1]]
        self.exit_heads = self.exit_heads[:exits]
        own = tuple(f"{name}.{i}." for name, part in self.named_children() for i in range(len(part)))
        with safe_open(weights, "pt") as file:
            missing = self._fill(file, [name for name in file.keys() if name.startswith(own)])  # noqa: SIM118
        if missing:
            raise InputError(f"{len(missing)} weights are missing, such as {min(missing)}")
        return self

    def _fill(self, file: Any, names: Iterable[str]) -> set[str]:
        """Read these weights, check the stages with them, and return the names of those that lack."""
        found = {name: file.get_tensor(name) for name in names}
        missing, unexpected = self.load_state_dict(found, strict=False)
        if unexpected:
            raise InputError(f"the stages have no weights {unexpected[0]}: they are other stages")
        self.check_samples()
        self.eval()
        return set(missing)

    @property
    def layers(self) -> list[nn.Module]:
        """The stages, in order."""
        return list(self.stages)

    def start(self, pixel_values: Tensor) -> State:
        """Run stage 1 on images, shape (batch, channels, height, width).

        Raises
        ------
        InputError
            If the images have another shape than ``config.image_shape``.
        """
        if tuple(pixel_values.shape[1:]) != self.config.image_shape:
            raise InputError(
                f"images of shape {tuple(pixel_values.shape[1:])}: the model takes {self.config.image_shape}"
            )
        return State(self.stages[0](pixel_values), 1)

    def run_layers(self, cut: State, until: int) -> State:
        """Run further stages up to `until` (from 1)."""
        if not cut.layer <= until <= len(self.stages):
            raise InputError(
                f"layer {until} is not between {cut.layer} (already run) and {len(self.stages)} (the last)"
            )
        hidden = cut.hidden
        for stage in self.stages[cut.layer : until]:
            hidden = stage(hidden)
        return State(hidden, until)

    def probe(self, size: int) -> dict[str, Tensor]:
        """Return the batch of one grey image; `size` must be the model's."""
        return {"pixel_values": torch.zeros(1, *self.config.image_shape, device=self.device)}

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, frozen: bool = False, **ignored: Any
    ) -> MultiExitOutput:
        """Run all stages and all exits; see `MultiExitModel.forward`.

        Parameters
        ----------
        pixel_values : Tensor, shape (batch, channels, height, width)
        labels : Tensor, shape (batch,), optional
        frozen : bool
            Whether to train only the exits before the last.
        """
        return self.every_exit({"pixel_values": pixel_values}, labels, frozen)

    @contextmanager
    def eager_attention(self) -> Iterator[None]:
        """Let attention, where stages have it, run as separate products for a while."""
        parts: list[Any] = [part for part in self.stages.modules() if hasattr(part, "config")]
        configs = {id(part.config): part.config for part in parts}
        before = [(config, config._attn_implementation) for config in configs.values()]
        try:
            for config, _ in before:
                config._attn_implementation = "eager"
            yield
        finally:
            for config, kind in before:
                config._attn_implementation = kind

    def _init_weights(self, module: nn.Module) -> None:
        """Leave every module as it was made: stages come with their weights."""

    def _exit(self, cut: State, frozen: bool = False) -> tuple[Tensor, Tensor | None]:
        head = self.exit_heads[self.exits.index(cut.layer)]
        with (
            torch.autocast(cut.hidden.device.type, enabled=False),
            torch.set_grad_enabled(torch.is_grad_enabled() and not frozen),
        ):
            return head(cut.hidden.float()), None

    def width(self, layer: int) -> int:
        """Return the width (channels) of the state after a stage."""
        shape = self.shapes[layer - 1]
        return int(shape[0] if len(shape) == 3 else shape[-1])

    @torch.no_grad()
    def _run_once(self) -> list[torch.Size]:
        """Run every stage on one image, and return the shapes of the states."""
        first = next(self.stages.parameters(), None)
        device = torch.get_default_device() if first is None else first.device
        hidden = torch.zeros(1, *self.config.image_shape, device=device)
        shapes = []
        with evaluating(self.stages):
            for number, stage in enumerate(self.stages, 1):
                given = tuple(hidden.shape[1:])
                where = f"stage {number} ({type(stage).__name__})"
                try:
                    hidden = stage(hidden)
                except _FOREIGN as error:
                    why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
                    before = f"the state of stage {number - 1}" if number > 1 else "an image"
                    raise InputError(
                        f"the stages do not compose: {where} does not take {before}, of shape {given} ({why})"
                    ) from error
                if not isinstance(hidden, Tensor) or not hidden.is_floating_point():
                    raise InputError(
                        f"the stages do not compose: {where} returns {type(hidden).__name__} instead of one "
                        "tensor of floats"
                    )
                if not 2 <= hidden.ndim <= 4 or len(hidden) != 1:
                    raise InputError(
                        f"the stages do not compose: {where} returns {tuple(hidden.shape)} for an image: "
                        "give (batch, channels, height, width), (batch, tokens, width) or (batch, width)"
                    )
                shapes.append(hidden.shape[1:])
        return shapes

    @torch.no_grad()
    def check_samples(self) -> None:
        """Raise InputError if other images of a batch change an image's states, or states are not finite."""
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(2, *self.config.image_shape, generator=generator).to(self.device, self.dtype)
        both, alone = pixels, pixels[:1]
        with evaluating(self.stages):
            for number, stage in enumerate(self.stages, 1):
                both, alone = stage(both), stage(alone)
                where = f"stage {number} ({type(stage).__name__})"
                if not torch.isfinite(alone).all():
                    raise InputError(f"{where} returns NaN or infinite values: its weights are broken")
                scale = alone.float().square().mean().sqrt().clamp(min=1)
                if ((both[:1] - alone).abs() > 1e-3 * scale).any():
                    raise InputError(
                        f"{where}: other images of the batch, or chance, change the state of an image"
                    )


def build_stages(backbone: Mapping[str, Any]) -> Sequence[nn.Module]:
    """Return the stages that a configuration's ``backbone`` describes.

    Raises
    ------
    InputError
        If it names no registered function and no vision backbone.
    """
    options = dict(backbone)
    if (kind := options.pop("model_type", None)) in VISION:
        return stages_of(AutoModel.from_config(AutoConfig.for_model(kind, **options)))
    name = options.get("stages")
    if name not in BUILDERS:
        for entry in entry_points(group=_GROUP, name=str(name)):
            register_stages(entry.name, entry.load())
    if name not in BUILDERS:
        known = [*VISION, *BUILDERS]
        raise InputError(
            f"no stages are called {name!r}: {suggest(str(name), known)}; register_stages adds some"
        )
    return BUILDERS[name](**options.get("options", {}))


AutoConfig.register(StagedConfig.model_type, StagedConfig, exist_ok=True)
AutoModelForImageClassification.register(StagedConfig, StagedModel, exist_ok=True)
