"""Which interface a model has: that of texts or of images, from its facts or from a server's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitee.runtime.image_interface import ImageInterface
from splitee.runtime.interface import Interface
from splitee.runtime.protocol import ProtocolError
from splitee.runtime.text_interface import TextInterface


def interface_of(facts: Mapping[str, Any]) -> Interface:
    """Return the interface of a model whose facts are those of `splitee.models.half.model_facts`."""
    kind: type[Interface] = ImageInterface if "shapes" in facts else TextInterface
    return kind.of(facts)


def reported(found: Mapping[str, Any]) -> Interface:
    """Return the interface that a server reports in its metadata.

    Raises
    ------
    ProtocolError
        If it is not one of ``splitee serve``.
    """
    try:
        return interface_of({"name": str(found["name"]), **found["parameters"]})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(
            "this is no model of splitee serve: its metadata lack what a cut needs"
        ) from error
