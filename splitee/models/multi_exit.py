"""Encoders and decoders of transformers with a classifier (exit) after some or all layers, run one by one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.modeling_utils import PreTrainedModel

import splitee.models.slender  # noqa: F401  # registers its classes with the Auto classes
from splitee._internal.checksums import check_files
from splitee._internal.errors import InputError
from splitee.models.checkpoints import find_checkpoint, read_config
from splitee.models.config import ExitConfig, MultiExitConfig, StagedConfig, layers_from
from splitee.models.cutting import Cut, Stack, first_layer, position_table, prepared, run_layers
from splitee.models.elasticbert import pretrained_pooler, take_poolers
from splitee.models.encode import padding_without_mask
from splitee.models.exits import CertaintyHead, ExitHead, joined, pool
from splitee.models.loading import WRONG_VALUES, check_weights, load_backbone, start_exits
from splitee.models.network import ExitNetwork, MultiExitOutput, check_exits
from splitee.models.opening import find_layers, open_backbone
from splitee.models.staged import StagedModel

EXIT_STARTS = ("new", "pooler")


class MultiExitModel(ExitNetwork):
    """An encoder with exits.

    Parameters
    ----------
    config : MultiExitConfig
        The configuration.
    backbone : PreTrainedModel, optional
        The encoder. Default: a new one of ``config.backbone``, with random weights.

    Raises
    ------
    InputError
        If exits, pooling, classes or the encoder are invalid.

    Examples
    --------
    >>> from transformers import BertConfig
    >>> config = MultiExitConfig(
    ...     BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
    ...                intermediate_size=16).to_dict(), num_labels=2)
    >>> model = MultiExitModel(config).eval()
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> cut = model.run_layers(model.start(ids), 2)        # layers 1 and 2, on the device
    >>> answer = model.exit_logits(cut)                    # exit 2, shape (1, 2)
    >>> final = model.exit_logits(model.run_layers(cut, 3))  # layer 3, elsewhere
    >>> torch.equal(final, model(ids).logits[:, 2])
    True
    """

    config_class = MultiExitConfig
    base_model_prefix = "backbone"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules: ClassVar[list[str]] = []

    def __init__(self, config: MultiExitConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        config.check()
        if backbone is None:
            backbone = AutoModel.from_config(config.backbone_config())
        self.backbone = backbone
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # each exit pools by itself
        take_poolers(backbone)
        self._stack: Stack | None = None
        self._warned = False
        depth = len(self.stack.order)  # the check, but on "meta" (see `from_pretrained`)
        self.exits = check_exits(tuple(config.exits or range(1, depth + 1)), depth)
        width = backbone.config.hidden_size
        if not 1 <= config.exit_states <= depth + 1:
            raise InputError(
                f"exit_states is {config.exit_states}: give 1 to {depth + 1}, the states of the embedding "
                f"and of {depth} layers"
            )
        concatenated = config.exit_states > 1 and config.exit_join == "concat"
        self.exit_heads = nn.ModuleList(
            ExitHead(
                width,
                config.num_labels,
                config.exit_dropout,
                config.exit_dense,
                min(config.exit_states, layer + 1) if concatenated else 1,
            )
            for layer in self.exits
        )
        if config.confidence == "learned":
            if concatenated and not config.exit_dense:
                raise InputError(
                    "a learned confidence is one map for all exits, which must be of one width: "
                    "give them a dense layer, or exit_join 'mean'"
                )
            self.certainty_head = CertaintyHead(width)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> Any:
        """Load a checkpoint as the library does, and check its backbone."""
        loaded = super().from_pretrained(*arguments, **options)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        assert model.stack is not None  # checked now that the weights are there
        return loaded

    @property
    def stack(self) -> Stack:
        """The layers, checked once; on the device "meta", without weights, nothing can be checked."""
        if self.backbone.device.type == "meta":
            return find_layers(self.backbone)
        if self._stack is None:
            self._stack = open_backbone(self.backbone)
            if self._stack.causal and self.config.pooling == "first":
                raise InputError(
                    f"pooling 'first' with a backbone of type {self.backbone.config.model_type!r}: in a "
                    "decoder the first token sees no other, use 'last' (or 'mean')"
                )
        return self._stack

    @classmethod
    def from_backbone(
        cls,
        name: str | Path,
        num_labels: int,
        *,
        layers: int | str | None = None,
        exit_start: str = "new",
        first_exit: int | None = None,
        **options: Any,
    ) -> MultiExitModel:
        """Add new exits to a pretrained encoder or decoder.

        Parameters
        ----------
        name : str or path
            A folder, or a name on the hub, that ``AutoModel.from_pretrained`` accepts.
        num_labels : int
            Number of classes; 1, with the option ``score_range``, for regression.
        layers : int, "half" or "all", optional
            Keep only this many layers, counted from the first.
        exit_start : {"new", "pooler"}
            Initial dense layers of the exits: random, or the backbone's pretrained pooler (as DeeBERT and
            BERxiT). The exits of an ElasticBERT always start from the pooler of their layer.
        first_exit : int, optional
            The first layer with an exit, if all later ones have one too (instead of ``exits``).
        **options
            Passed to `MultiExitConfig`.

        Raises
        ------
        InputError
            If the encoder cannot be loaded, cannot be run layer by layer, or has no pretrained pooler to
            start from.
        """
        if exit_start not in EXIT_STARTS:
            raise InputError(f"exit_start {exit_start!r}: choose one of {', '.join(EXIT_STARTS)}")
        backbone, missing = load_backbone(name, layers)
        needed = missing if exit_start == "pooler" else {k for k in missing if not k.startswith("pooler.")}
        check_weights(name, backbone, needed)
        poolers = take_poolers(backbone)
        every: nn.Linear | None = None
        if exit_start == "pooler" and not poolers:
            every = pretrained_pooler(backbone)
            if every is None:
                raise InputError(f"{name}: it has no pretrained pooler that exits could start from")
        stack = open_backbone(backbone)
        described = backbone.config.to_dict()
        described.pop("_name_or_path", None)  # a local path
        if "pooling" not in options:
            # ElasticBERT's poolers were pretrained on the first token; in a decoder only the last sees all
            options["pooling"] = "first" if poolers or every else "last" if stack.causal else "mean"
        if first_exit is not None:
            options["exits"] = layers_from(first_exit, len(stack.order))
        config = MultiExitConfig(described, num_labels=num_labels, **options)
        model = cls(config, backbone)
        if config.exit_dense:
            start_exits(name, zip(model.exits, model.exit_heads, strict=True), poolers, every)
        return model

    @property
    def positions(self) -> int | None:
        """Number of positions of the encoder's position embeddings; None if it has no such table."""
        table = position_table(self.backbone)
        return None if table is None else table[0] - table[1]

    @property
    def layers(self) -> list[nn.Module]:
        """The encoder's layers, in order (ALBERT: one layer, L times)."""
        return self.stack.layers

    def start(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Cut:
        """Run the embeddings and layer 1; all inputs have shape (batch, tokens).

        Raises
        ------
        InputError
            If the batch is padded on the left and the backbone would answer otherwise than without padding.
        """
        stack = self.stack
        if attention_mask is None:
            if not self._warned and padding_without_mask(input_ids, self.backbone.config):
                self._warned = True
                warnings.warn(
                    f"input_ids hold the padding token ({self.backbone.config.pad_token_id}) but no "
                    "attention_mask is given, so padding is read as text: give attention_mask",
                    stacklevel=3,
                )
            attention_mask = torch.ones_like(input_ids)
        elif not stack.pads_left and bool((attention_mask[:, 0] == 0).any()):
            raise InputError(
                f"padding on the left changes the answers of a backbone of type "
                f"{self.backbone.config.model_type!r}: pad on the right"
            )
        inputs = prepared(self.backbone, input_ids, attention_mask, token_type_ids)
        cut = first_layer(self.backbone, stack, inputs)
        (embedded,) = cut.recent
        kept = self.config.exit_states > 1
        return replace(cut, recent=(self._pooled(embedded, cut.mask),) if kept else ())

    def run_layers(self, cut: Cut, until: int) -> Cut:
        """Run further layers up to `until` (1-based)."""
        if self.config.exit_states == 1:
            return run_layers(self.stack, cut, until)
        while cut.layer < until:
            recent = (*cut.recent, self._pooled(cut.hidden, cut.mask))[1 - self.config.exit_states :]
            cut = run_layers(self.stack, replace(cut, recent=recent), cut.layer + 1)
        return cut

    def probe(self, size: int) -> dict[str, Tensor]:
        """Return the batch of one text of `size` tokens."""
        ids = torch.full((1, size), min(5, self.backbone.config.vocab_size - 1), device=self.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    @contextmanager
    def eager_attention(self) -> Iterator[None]:
        """Let attention run as separate products for a while."""
        before = self.backbone.config._attn_implementation
        self.backbone.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.backbone.set_attn_implementation(before)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        frozen: bool = False,
        **ignored: Any,
    ) -> MultiExitOutput:
        """Run all layers and all exits; of each layer's state, only the pooled one is kept.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids : Tensor, shape (batch, tokens)
            Inputs of the encoder.
        labels : Tensor, shape (batch,), optional
            Classes, or scores for regression.
        frozen : bool
            Whether to train only the exits before the last: no gradient reaches the encoder or the last exit.

        Returns
        -------
        MultiExitOutput
            ``logits`` of shape (batch, exits, classes); ``loss``, if `labels` are given, is the sum of
            `exit_losses`, with `certainty_loss` if the confidence is learned.
        """
        batch = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
        return self.every_exit(batch, labels, frozen)

    def _pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return pool(hidden.float(), mask, self.config.pooling)

    def _exit(self, cut: Cut, frozen: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return logits and certainties; if `frozen`, only the certainty head gets a gradient."""
        head = self.exit_heads[self.exits.index(cut.layer)]
        assert isinstance(head, ExitHead)
        # float32 also under autocast: bfloat16 logits would give confidences in steps of one per cent
        with torch.autocast(cut.hidden.device.type, enabled=False):
            states = [*cut.recent, self._pooled(cut.hidden, cut.mask)]
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                pooled = joined(states, self.config.exit_join)
                logits, features = head(pooled.to(next(self.exit_heads.parameters()).dtype))
            learned = self.config.confidence == "learned"
            return logits, self.certainty_head(features) if learned else None


def load_config(folder: str | Path) -> ExitConfig:
    """Read the configuration of a multi-exit checkpoint.

    Raises
    ------
    InputError
        If the folder holds no multi-exit checkpoint, or its configuration is damaged.
    """
    folder = find_checkpoint(folder)
    kind = read_config(folder)["model_type"]
    if not (folder / "model.safetensors").is_file():
        raise InputError(f"{folder}: model.safetensors is missing (no other format is supported)")
    try:
        found: ExitConfig = _CLASSES[kind].config_class.from_pretrained(folder)
        if isinstance(found, MultiExitConfig):
            found.backbone_config()
    except InputError:
        raise
    except WRONG_VALUES as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{folder / 'config.json'} is damaged: {why}") from error
    return found


def load_checkpoint(folder: str | Path) -> Any:
    """Load a checkpoint with exits, a `MultiExitModel` or a `StagedModel`, for inference in float32.

    Parameters
    ----------
    folder : str or path
        A folder written by `splitee train` or `splitee slim`, or the bundled "sst2_slender".

    Raises
    ------
    InputError
        If the folder holds no multi-exit checkpoint, or its weights are damaged or incomplete.
    """
    folder = find_checkpoint(folder)
    config = load_config(folder)
    check_files(folder)
    model: ExitNetwork
    try:
        model, loading = _CLASSES[config.model_type].from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except WRONG_VALUES as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: its weights cannot be read: {why}") from error
    check_weights(folder, model, loading["missing_keys"])
    model.eval()
    return model


def load_encoder(folder: str | Path, why: str = "this is for models of texts") -> MultiExitModel:
    """Load as `load_checkpoint`, for what works on texts only.

    Raises
    ------
    InputError
        If the model reads images; the line says why that does not do.
    """
    check_encoder(folder, why)
    model: MultiExitModel = load_checkpoint(folder)
    return model


def check_encoder(folder: str | Path, why: str) -> None:
    """Raise InputError if a checkpoint is a network of stages; the line says why that does not do."""
    if not isinstance(load_config(folder), MultiExitConfig):
        raise InputError(f"{folder} is a network of stages, which reads images: {why}")


_CLASSES: dict[str, type[Any]] = {
    MultiExitConfig.model_type: MultiExitModel,
    StagedConfig.model_type: StagedModel,
}

AutoConfig.register(MultiExitConfig.model_type, MultiExitConfig, exist_ok=True)
AutoModelForSequenceClassification.register(MultiExitConfig, MultiExitModel, exist_ok=True)
