"""Floating-point operations of every layer and exit for texts of any length.

Only matrix products are counted, with two operations per multiply-add, as torch's counter counts with eager
attention. BERT and its kin have a closed form; other encoders are run at a few lengths under the counter.
(The counter that ELUE's authors published also counts layer normalisation, 0.1 % more for BERT-base.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitee._internal.errors import InputError
from splitee.models.checkpoints import STAGED_TYPE

Counts = NDArray[np.float64]

# encoders for which the closed form is exact
CLOSED = (
    *("bert", "elasticbert", "roberta", "xlm-roberta", "camembert", "mpnet", "distilbert", "electra"),
    *("slender_bert", "slender_roberta", "slender_mpnet"),
)
_LENGTHS = (4, 8, 16)  # tokens of the texts that are counted where there is no closed form


@dataclass(frozen=True)
class Flops:
    """FLOPs of a text of S tokens: per layer ``constant + linear·S + quadratic·S²``, per exit ``exits``.

    Attributes
    ----------
    linear, quadratic, constant : ndarray, shape (layers,)
        Per layer; the first layer includes the embeddings. DeBERTa-v3 maps its table of distances in every
        layer, whatever the length.
    exits : ndarray, shape (L,)
        Per exit.
    exit_layers : tuple of int
        The layers (1-based) that have an exit.

    Examples
    --------
    >>> bert = Flops.from_shapes(layers=12, hidden=768, intermediate=3072, classes=2)
    >>> bert.at(128)[[0, 11]] // 1e6  # millions through layer 1 and its exit; through layer 12 and its exit
    array([ 1863., 22348.])
    """

    linear: Counts
    quadratic: Counts
    exits: Counts
    exit_layers: tuple[int, ...]
    constant: Counts | float = 0.0

    @classmethod
    def from_shapes(
        cls,
        *,
        layers: int,
        hidden: int,
        intermediate: int | Sequence[int],
        classes: int,
        attention: int | Sequence[int] | None = None,
        embedding: int | None = None,
        exit_layers: Sequence[int] | None = None,
        exit_dense: bool = True,
    ) -> Flops:
        """Compute the counts in closed form.

        Parameters
        ----------
        layers, hidden, classes : int
            Number of layers, hidden size, and number of outputs of an exit.
        intermediate : int or sequence of int
            Feed-forward units, of all layers or per layer.
        attention : int or sequence of int, optional
            Number of heads times their width, of all layers or per layer. Default: `hidden`.
        embedding : int, optional
            Width of the embeddings, if a matrix product maps them to `hidden`.
        exit_layers : sequence of int, optional
            Layers (1-based) with an exit. Default: all.
        exit_dense : bool
            Whether an exit has a dense layer before its classifier.
        """
        units = np.broadcast_to(np.asarray(intermediate, dtype=np.float64), (layers,))
        heads = np.broadcast_to(
            np.asarray(hidden if attention is None else attention, dtype=np.float64), (layers,)
        )
        linear = 2.0 * hidden * (4 * heads + 2 * units)  # query, key, value, output; two feed-forward maps
        if embedding is not None:
            linear[0] += 2.0 * embedding * hidden
        at = tuple(exit_layers) if exit_layers else tuple(range(1, layers + 1))
        each = 2.0 * hidden * (classes + hidden * exit_dense)
        return cls(linear, 4.0 * heads, np.full(len(at), each), at)  # S²: attention scores and weighted sums

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Flops:
        """Compute the counts from the configuration (config.json) of a multi-exit checkpoint.

        Kinds of encoders without a closed form are made with random weights and counted; this needs torch.

        Raises
        ------
        InputError
            If the configuration lacks a size, or is that of a network of stages.
        """
        if config.get("model_type") == STAGED_TYPE:
            raise InputError("this is a network of stages, which reads images: ELUE's tasks are texts")
        backbone = config["backbone"]
        if backbone.get("model_type") not in CLOSED:
            from splitee.models.flops import count_flops_of

            counted = count_flops_of(config, _LENGTHS)
            return cls.from_counts(counted, config.get("exits"))

        def size(*names: str) -> int:
            found = [backbone[name] for name in names if backbone.get(name) is not None]
            if not found or type(found[0]) is not int or found[0] < 1:
                raise InputError(f"the configuration's backbone has no {names[0]}: its FLOPs are unknown")
            return found[0]

        hidden, units, heads = size("hidden_size", "dim"), size("intermediate_size", "hidden_dim"), None
        embedding = backbone.get("embedding_size")
        embedding = None if embedding == hidden else embedding  # ELECTRA: no product if they are equal
        if slender := backbone.get("slender"):
            units, embedding = slender["units"], slender["rank"]
            heads = [len(layer) * (hidden // size("num_attention_heads")) for layer in slender["heads"]]
        classes = 1 if config.get("score_range") else len(config.get("id2label") or (0, 1))
        return cls.from_shapes(
            layers=size("num_hidden_layers", "n_layers"),
            hidden=hidden,
            intermediate=units,
            classes=classes,
            attention=heads,
            embedding=embedding,
            exit_layers=config.get("exits"),
            exit_dense=config.get("exit_dense", True),
        )

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Flops:
        """Fit the terms to the counts of a trace, taken at two or more lengths.

        Raises
        ------
        InputError
            If the trace has no counts, or counts at one length only.
        """
        counted: Any = manifest.get("flops")
        try:
            parts = [part for part in dict(counted).values() if isinstance(part, dict)]
            return cls.from_counts(parts, manifest.get("exit_layers"))
        except (AttributeError, TypeError, KeyError, IndexError) as error:
            raise InputError("the trace has no FLOPs: write it with splitee precompute") from error

    @classmethod
    def from_counts(cls, parts: Sequence[Mapping[str, Any]], exit_layers: Sequence[int] | None) -> Flops:
        """Fit the terms to counts of `splitee.models.flops.count_flops` at two, better three, lengths.

        From two lengths the terms in S and S² follow, from three also a constant.

        Raises
        ------
        InputError
            If there are counts at one length only.
        """
        by_length = {int(part["tokens"]): part for part in parts}
        lengths = sorted(by_length)
        if len(lengths) == 1:
            raise InputError("the trace has FLOPs at one length only: write it with splitee precompute")
        s, t = lengths[0], lengths[-1]
        at_s, at_t = (np.array(by_length[n]["layers"], dtype=np.float64) for n in (s, t))
        exits = np.array(by_length[t]["exits"], dtype=np.float64)
        constant = np.zeros_like(at_s)
        if len(lengths) > 2:
            r = lengths[len(lengths) // 2]
            at_r = np.array(by_length[r]["layers"], dtype=np.float64)
            slope = (at_r - at_s) / (r - s)
            quadratic = ((at_t - at_s) / (t - s) - slope) / (t - r)
            linear = slope - quadratic * (s + r)
            constant = at_s - linear * s - quadratic * s * s
        else:
            quadratic = (at_t / t - at_s / s) / (t - s)
            linear = at_s / s - quadratic * s
        at = tuple(exit_layers or range(1, len(exits) + 1))
        return cls(linear, quadratic, exits, at, constant)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.linear)

    def at(self, tokens: ArrayLike, *, every_exit: bool = False) -> Counts:
        """Return the FLOPs of answering at each exit.

        Parameters
        ----------
        tokens : array_like of int, shape (...)
            True lengths, without padding.
        every_exit : bool
            Whether all exits up to the answering one are evaluated, or only that one.

        Returns
        -------
        ndarray, shape (..., L)
        """
        s = np.asarray(tokens, dtype=np.float64)[..., None]
        through = np.cumsum(self.constant + self.linear * s + self.quadratic * s * s, axis=-1)
        exits = np.cumsum(self.exits) if every_exit else self.exits
        counts: Counts = through[..., [layer - 1 for layer in self.exit_layers]] + exits
        return counts
