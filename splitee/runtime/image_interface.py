"""What a network of stages takes on the wire: image files, or a state as positions and channels.

====== ============== ========= =============================================================================
tensor datatype       shape     meaning
====== ============== ========= =============================================================================
image  BYTES          [b]       image files (JPEG, PNG, …) as they lie: every stage is run
state  FP32/FP16/INT8 [b, t, h] the state after a stage; t positions of h channels, as that stage has them
====== ============== ========= =============================================================================

A file is refused by the rules of `splitee.data.pictures`: its header is read before memory is taken for it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from splitee._internal.errors import InputError, shown
from splitee.data.pictures import open_picture
from splitee.runtime.interface import Interface, Sizes, Work
from splitee.runtime.protocol import Arrays, ProtocolError, Request
from splitee.system.codec import rows_shape, state_bytes

MOST_FILE = 2**24  # bytes of an image file that a cloud takes


@dataclass(frozen=True)
class ImageInterface(Interface):
    """What a network of stages takes and returns.

    Attributes
    ----------
    shapes : tuple of tuple of int
        The shape of one image's state after every stage: (channels, rows, columns), (tokens, width) or
        (width,).
    image_size, channels : int
        What an image becomes: so many pixels per side and channels.

    Examples
    --------
    >>> toy = ImageInterface("toy", "ab12", 2, (1, 2), ("cat", "dog"), shapes=((2, 3, 3), (4,)))
    >>> toy.check(toy.state_request(1, np.ones((1, 9, 2)), codec="int8")).state.shape
    (1, 9, 2)
    """

    inputs: ClassVar = ("image", "state", "scale")
    whole: ClassVar = "image"
    most_sample: ClassVar = MOST_FILE

    shapes: tuple[tuple[int, ...], ...] = ()
    image_size: int = 0
    channels: int = 3

    def size(self, encoded: Mapping[str, Any]) -> tuple[int, int]:
        """Return no tokens, and the bytes of the file."""
        return 0, len(encoded["image"])

    def input_request(self, encoded: Mapping[str, Any]) -> Request:
        """Return the request that runs every stage on one image file."""
        return self.files_request([encoded["image"]])

    def noted(self, encoded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the file in base64."""
        return {"image": base64.b64encode(encoded["image"]).decode()}

    def resumed(self, noted: Any) -> Any:
        """Return the file."""
        return {"image": base64.b64decode(noted["image"])}

    def sample(self, body: bytes, kind: str) -> bytes:
        """Return the image file: the body itself."""
        if not body or kind.startswith("application/json"):
            raise ValueError("give an image: the bytes of its file as the body")
        return body

    def files_request(self, files: list[bytes]) -> Request:
        """Return the request that runs every stage on image files."""
        image = np.empty(len(files), dtype=object)
        image[:] = files
        return Request({"image": image}, {"fingerprint": self.fingerprint})

    @property
    def most_bytes(self) -> int:
        """Bytes of `rows` float32 states of the largest stage, or of a long image file."""
        states = [int(state_bytes("int8", *rows_shape(shape))) for shape in self.shapes]
        return max(MOST_FILE, self.rows * 4 * max(states))

    @property
    def form(self) -> dict[str, Any]:
        """What a model of the same weights could differ in."""
        return {**super().form, "shapes": self.shapes, "image": (self.channels, self.image_size)}

    def _check_input(self, inputs: Arrays) -> Work:
        image = inputs["image"]
        if image.dtype.kind != "O" or image.ndim != 1 or not 1 <= len(image) <= self.rows:
            raise ProtocolError(
                f"image is {image.dtype.name} of shape {shown(list(image.shape))}: give BYTES of shape [b], "
                f"the files of at most {self.rows} images"
            )
        for row, file in enumerate(image):
            try:
                open_picture(file, f"image {row}")
            except InputError as error:
                raise ProtocolError(str(error)) from error
        return Work(0, files=tuple(image))

    def _check_state(self, inputs: Arrays, parameters: Mapping[str, Any]) -> Work:
        layer = self._check_layer(parameters, self.layers - 1)
        wanted, state = rows_shape(self.shapes[layer - 1]), inputs["state"]
        if state.ndim != 3 or state.shape[1:] != wanted or not 1 <= len(state) <= self.rows:
            raise ProtocolError(
                f"state has shape {shown(list(state.shape))}: give [b, {wanted[0]}, {wanted[1]}] after layer "
                f"{layer}, at most {self.rows} samples"
            )
        return Work(layer, state=self._decoded(inputs, parameters, (len(state), *wanted)))

    def _tensors(self) -> dict[str, tuple[str, Sizes]]:
        return {"image": ("BYTES", [-1]), "state": ("FP32", [-1, -1, -1]), "scale": ("FP32", [-1, -1])}
