"""Hugging Face encoders with a classifier (exit) after some or all layers, run layer by layer."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

import splitee.models.slender  # noqa: F401  # registers its classes with the Auto classes
from splitee._internal.errors import InputError
from splitee.models.checkpoints import check_files, find_checkpoint, read_config
from splitee.models.config import MultiExitConfig
from splitee.models.cutting import Cut, check_cuttable, find_layers, first_layer, run_layers
from splitee.models.elasticbert import ElasticBertConfig, take_poolers
from splitee.models.equilibrium import after_exit, before_exit

# errors of damaged weights: RuntimeError for shapes that differ, UnpicklingError for a git-lfs pointer
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError)
# what the library raises for values of wrong types in a configuration
_WRONG_VALUES = (
    *UNREADABLE,
    StrictDataclassError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)
POOLINGS = ("first", "mean")


@dataclass
class MultiExitOutput(ModelOutput):
    """Logits of every exit, shape (batch, exits, classes), and the joint loss if labels were given."""

    loss: Tensor | None = None
    logits: Tensor | None = None


class ExitHead(nn.Module):
    """One exit: dense layer, tanh, dropout, classifier, as BERT's pooler and classifier.

    With ``dense=False`` the dense layer is left out, as in COST-EFF's exits.
    """

    def __init__(self, width: int, classes: int, dropout: float, dense: bool = True) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width) if dense else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map a pooled state, shape (batch, width), to logits, shape (batch, classes)."""
        logits: Tensor = self.classifier(self.dropout(torch.tanh(self.dense(pooled))))
        return logits


class MultiExitModel(PreTrainedModel):
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
        if config.pooling not in POOLINGS:
            raise InputError(f"pooling {config.pooling!r}: choose one of {', '.join(POOLINGS)}")
        if (config.num_labels == 1) != config.regresses:
            raise InputError(
                f"num_labels is {config.num_labels}, score_range is {config.score_range}: a regression model "
                "has one output and a range, such as (0, 5); a classifier has several outputs and no range"
            )
        if backbone is None:
            backbone = AutoModel.from_config(config.backbone_config())
        self.backbone = backbone
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # each exit pools by itself
        take_poolers(backbone)
        self._layers_at = find_layers(backbone)
        depth = len(self.layers)
        self.exits = tuple(config.exits or range(1, depth + 1))
        if list(self.exits) != sorted(set(self.exits)) or self.exits[0] < 1 or self.exits[-1] != depth:
            raise InputError(
                f"exits {list(self.exits)}: give ascending layers from 1 to {depth}, with {depth} among them"
            )
        width = backbone.config.hidden_size
        self.exit_heads = nn.ModuleList(
            ExitHead(width, config.num_labels, config.exit_dropout, config.exit_dense) for _ in self.exits
        )
        self.post_init()

    @classmethod
    def from_backbone(
        cls, name: str | Path, num_labels: int, *, layers: int | None = None, **options: Any
    ) -> MultiExitModel:
        """Add new exits to a pretrained encoder.

        Parameters
        ----------
        name : str or path
            A folder, or a name on the hub, that ``AutoModel.from_pretrained`` accepts.
        num_labels : int
            Number of classes; 1, with the option ``score_range``, for regression.
        layers : int, optional
            Keep only this many layers, counted from the first.
        **options
            Passed to `MultiExitConfig`.

        Raises
        ------
        InputError
            If the encoder cannot be loaded, or cannot be run layer by layer.
        """
        try:
            encoder_config = AutoConfig.from_pretrained(str(name))
            if layers is not None:
                encoder_config.num_hidden_layers = _at_most(encoder_config, layers, name)
            # ElasticBERT is published only as pytorch_model.bin (torch loads tensors from it, no code)
            safe = None if isinstance(encoder_config, ElasticBertConfig) else True
            backbone, loading = AutoModel.from_pretrained(
                str(name),
                config=encoder_config,
                use_safetensors=safe,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except InputError:
            raise
        except UNREADABLE as error:
            location = "" if Path(name).is_dir() else "no such folder here, and from the hub "
            raise InputError(
                f"{name}: {location}no encoder could be loaded from safetensors "
                f"({' '.join(str(error).split())[:200]}); "
                "give a folder that has config.json and model.safetensors"
            ) from error
        _check_weights(
            name, backbone, {key for key in loading["missing_keys"] if not key.startswith("pooler.")}
        )
        poolers = take_poolers(backbone)
        check_cuttable(backbone)
        described = backbone.config.to_dict()
        described.pop("_name_or_path", None)  # a local path
        if "pooling" not in options:
            options["pooling"] = (
                "first" if poolers else "mean"
            )  # the poolers were pretrained on the first token
        config = MultiExitConfig(described, num_labels=num_labels, **options)
        model = cls(config, backbone)
        for layer, head in zip(model.exits, model.exit_heads, strict=True):
            if layer in poolers and config.exit_dense:
                assert isinstance(head, ExitHead)
                head.dense.load_state_dict(poolers[layer].state_dict())
        return model

    @property
    def positions(self) -> int | None:
        """Number of positions of the encoder's position embeddings; None if it has no such table."""
        for name, module in self.backbone.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                # RoBERTa's positions start after the padding index
                first = 0 if module.padding_idx is None else module.padding_idx + 1
                return module.num_embeddings - first
        return None

    @property
    def layers(self) -> nn.ModuleList:
        """The encoder's layers, in order."""
        parent, name = self._layers_at
        layers: nn.ModuleList = getattr(parent, name)
        return layers

    def start(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Cut:
        """Run the embeddings and layer 1; all inputs have shape (batch, tokens)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        return first_layer(self.backbone, self._layers_at, inputs)

    def run_layers(self, cut: Cut, until: int) -> Cut:
        """Run further layers up to `until` (1-based)."""
        return run_layers(self.layers, cut, until)

    def exit_logits(self, cut: Cut) -> Tensor:
        """Return the logits of the exit at the layer just run, shape (batch, classes)."""
        if cut.layer not in self.exits:
            raise InputError(f"layer {cut.layer} has no exit: exits are at {', '.join(map(str, self.exits))}")
        return self._exit(self.exits.index(cut.layer), cut.hidden, cut.mask)

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
            `exit_losses`.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            cut = self.start(input_ids, attention_mask, token_type_ids)
        equilibrium = self.training and self.config.gradient_equilibrium and not frozen
        logits = []
        for index, at in enumerate(self.exits):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                cut = self.run_layers(cut, at)
            above = len(self.exits) - index  # this exit and all later ones
            if equilibrium:
                cut.hidden = before_exit(cut.hidden, above)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not (frozen and above == 1)):
                logits.append(self._exit(index, cut.hidden, cut.mask))
            if equilibrium:
                cut.hidden = after_exit(cut.hidden, above)
        stacked = torch.stack(logits, dim=1)
        loss = None if labels is None else exit_losses(stacked, labels).sum()
        return MultiExitOutput(loss=loss, logits=stacked)

    def _exit(self, index: int, hidden: Tensor, mask: Tensor) -> Tensor:
        # float32 also under autocast: bfloat16 logits would give confidences in steps of one per cent
        with torch.autocast(hidden.device.type, enabled=False):
            pooled = pool(hidden.float(), mask, self.config.pooling)
            logits: Tensor = self.exit_heads[index](pooled.to(next(self.exit_heads.parameters()).dtype))
        return logits


def exit_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each exit's mean cross entropy, or its mean squared error if there is one output.

    The sum over exits is the fine-tuning loss of ElasticBERT and SplitEE.

    Parameters
    ----------
    logits : Tensor, shape (batch, exits, classes)
    labels : Tensor, shape (batch,)
        Class numbers, or scores if there is one output.

    Returns
    -------
    Tensor, shape (exits,)
    """
    if logits.shape[-1] == 1:
        return (logits.squeeze(-1).float() - labels.float().unsqueeze(1)).square().mean(0)
    exits = logits.shape[1]
    each = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.repeat_interleave(exits), reduction="none"
    )
    return each.view(-1, exits).mean(0)


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Reduce states, shape (batch, tokens, width), to one per sample, shape (batch, width)."""
    if pooling == "first":
        return hidden[:, 0]
    weight = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def _at_most(config: PretrainedConfig, layers: int, name: str | Path) -> int:
    if not 1 <= layers <= config.num_hidden_layers:
        raise InputError(f"{name} has {config.num_hidden_layers} layers: cannot keep {layers}, give fewer")
    return layers


def load_config(folder: str | Path) -> MultiExitConfig:
    """Read the configuration of a multi-exit checkpoint.

    Raises
    ------
    InputError
        If the folder holds no multi-exit checkpoint, or its configuration is damaged.
    """
    folder = find_checkpoint(folder)
    read_config(folder)
    if not (folder / "model.safetensors").is_file():
        raise InputError(f"{folder}: model.safetensors is missing (no other format is supported)")
    try:
        found: MultiExitConfig = MultiExitConfig.from_pretrained(folder)
        found.backbone_config()
    except InputError:
        raise
    except _WRONG_VALUES as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{folder / 'config.json'} is damaged: {why}") from error
    return found


def load_checkpoint(folder: str | Path) -> MultiExitModel:
    """Load a multi-exit checkpoint for inference in float32.

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
    model: MultiExitModel
    try:
        model, loading = MultiExitModel.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except _WRONG_VALUES as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: its weights cannot be read: {why}") from error
    _check_weights(folder, model, loading["missing_keys"])
    model.eval()
    return model


def _check_weights(name: str | Path, model: nn.Module, missing: Collection[str]) -> None:
    """Raise InputError if weights are missing (the library would make up random ones) or not finite."""
    if missing:
        raise InputError(
            f"{name}: {len(missing)} weights are missing from its model.safetensors, such as {min(missing)}"
        )
    for key, values in model.named_parameters():
        if not torch.isfinite(values).all():
            raise InputError(f"{name}: its weights are broken: {key} holds NaN or infinite values")


AutoConfig.register(MultiExitConfig.model_type, MultiExitConfig, exist_ok=True)
AutoModelForSequenceClassification.register(MultiExitConfig, MultiExitModel, exist_ok=True)
