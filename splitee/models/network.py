"""What every network with exits offers, encoder or stages: run to a layer, ask an exit, continue.

Early exit, precomputing, profiling, FLOPs and training use this interface only. `MultiExitModel` implements
it for encoders and decoders of texts, `StagedModel` for any module given as consecutive stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from splitee._internal.checksums import refresh_fingerprints
from splitee._internal.errors import InputError
from splitee.models.equilibrium import after_exit, before_exit
from splitee.models.exits import certainty_loss, exit_losses
from splitee.system.codec import as_rows

Self = TypeVar("Self", bound="State")


@dataclass
class State:
    """A batch part-way through the layers: what a device transfers so that a cloud can continue.

    Attributes
    ----------
    hidden : Tensor, shape (batch, ...)
        The state after `layer`.
    layer : int
        Number of layers run so far.
    """

    hidden: Tensor
    layer: int

    def take(self: Self, rows: Tensor) -> Self:
        """Return the batch restricted to some samples (0-based indices), shape (k,)."""
        return replace(self, hidden=self.hidden[rows.to(self.hidden.device)])

    def branch(self: Self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return what an exit reads: the state itself, and `change` of further states, if there are some."""
        return replace(self)


@dataclass
class MultiExitOutput(ModelOutput):
    """Logits of every exit, shape (batch, exits, classes), and the joint loss if labels were given.

    ``certainty``, shape (batch, exits), holds the learned certainties of a model that has some.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    certainty: Tensor | None = None


class ExitNetwork(PreTrainedModel):
    """A network of consecutive layers with exits after some of them.

    Attributes
    ----------
    exits : tuple of int
        The layers (from 1, ascending) that have an exit; the last layer is among them.
    """

    exits: tuple[int, ...]
    exit_heads: nn.ModuleList
    size_unit: ClassVar[str] = "tokens"

    @property
    def layers(self) -> list[nn.Module]:
        """The layers, in order."""
        raise NotImplementedError

    def start(self, *inputs: Any, **batch: Any) -> Any:
        """Run layer 1 on a batch; return its `State`."""
        raise NotImplementedError

    def run_layers(self, cut: Any, until: int) -> Any:
        """Run further layers up to `until` (from 1); return the `State`."""
        raise NotImplementedError

    def probe(self, size: int) -> dict[str, Tensor]:
        """Return the batch of one sample of this size (tokens, or pixels per side), to count with."""
        raise NotImplementedError

    @torch.no_grad()
    def state_sizes(self, size: int) -> list[tuple[int, int]]:
        """Return positions and width of a sample's state at every exit, from the tensors themselves."""
        cut, found = self.start(**self.probe(size)), []
        for layer in self.exits:
            cut = self.run_layers(cut, layer)
            rows = as_rows(cut.hidden)
            found.append((int(rows.shape[1]), int(rows.shape[2])))
        return found

    def eager_attention(self) -> AbstractContextManager[None]:
        """Let attention run as separate products for a while, which the counter of FLOPs sees."""
        raise NotImplementedError

    def _exit(self, cut: Any, frozen: bool = False) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def exit_logits(self, cut: State) -> Tensor:
        """Return the logits of the exit at the layer just run, shape (batch, classes)."""
        return self.exit_outputs(cut)[0]

    def exit_outputs(self, cut: State) -> tuple[Tensor, Tensor | None]:
        """Return the logits of the exit at the layer just run, and learned certainties, shape (batch,)."""
        if cut.layer not in self.exits:
            raise InputError(f"layer {cut.layer} has no exit: exits are at {', '.join(map(str, self.exits))}")
        return self._exit(cut)

    def every_exit(
        self, batch: Mapping[str, Any], labels: Tensor | None = None, frozen: bool = False
    ) -> MultiExitOutput:
        """Run all layers and all exits; see `MultiExitModel.forward`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            cut = self.start(**batch)
        equilibrium = self.training and self.config.gradient_equilibrium and not frozen
        logits, certainties = [], []
        for index, at in enumerate(self.exits):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                cut = self.run_layers(cut, at)
            above = len(self.exits) - index  # this exit and all later ones
            exit_cut = cut
            if equilibrium:
                cut.hidden = before_exit(cut.hidden, above)
                exit_cut = cut.branch(lambda state, above=above: before_exit(state, above))
            one, certainty = self._exit(exit_cut, frozen=frozen and above == 1)
            logits.append(one)
            if certainty is not None:
                certainties.append(certainty)
            if equilibrium:
                cut.hidden = after_exit(cut.hidden, above)
        stacked = torch.stack(logits, dim=1)
        certainty = torch.stack(certainties, dim=1) if certainties else None
        loss = None if labels is None else exit_losses(stacked, labels).sum()
        if loss is not None and labels is not None and certainty is not None:
            loss = loss + certainty_loss(certainty, stacked, labels)
        return MultiExitOutput(loss=loss, logits=stacked, certainty=certainty)

    def save_pretrained(self, save_directory: Any, *arguments: Any, **options: Any) -> None:
        """Write a checkpoint as the library does; the fingerprints of an existing folder are renewed."""
        super().save_pretrained(save_directory, *arguments, **options)
        folder = Path(save_directory)
        saved = [*folder.glob("config.json"), *folder.glob("model*.safetensors*")]
        refresh_fingerprints(folder, *(file.name for file in saved))


def check_exits(exits: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Return the exits if they are ascending layers from 1 to `depth`, with `depth` among them.

    Raises
    ------
    InputError
        If they are not.
    """
    if not exits or list(exits) != sorted(set(exits)) or exits[0] < 1 or exits[-1] != depth:
        raise InputError(
            f"exits {list(exits)}: give ascending layers from 1 to {depth}, with {depth} among them"
        )
    return exits
