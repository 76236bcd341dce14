"""One choice of `encoder.name`: how the encoder is made, and what it demands of images and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor, nn

from csrms_dist.encoders.encoder import Encoder, ImageShape, sides_of, unfit

Channels: TypeAlias = tuple[float, ...]


class Architecture:
    """Base of every choice. name: as `encoder.name` has it."""

    has_pretrained = False
    """Whether `encoder.weights: pretrained` is legal."""
    package = ""
    """The optional package that carries those weights; '' for none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self) -> None:
        """Raise ConfigError where it can be told before there are images that there is no such encoder."""

    def make(self, image_shape: ImageShape) -> Encoder:
        """A fresh encoder, drawn from torch's stream.

        Raises ConfigError when there is no such encoder or it cannot take images of shape (H, W, 3).
        """
        raise NotImplementedError

    def classifier(self) -> tuple[str, ...]:
        """The layers on top of the encoder in the classifier that it is cut from: a weights file may hold them too."""
        return ()

    def pretrained(self, encoder: Encoder) -> dict[str, Tensor]:
        """The pretrained weights under the names of `encoder`, where `has_pretrained`.

        Raises DataError when they cannot be fetched, MissingDependencyError without the package that carries them.
        """
        raise NotImplementedError

    def normalisation(self) -> tuple[Channels, Channels] | None:
        """(mean, std) of the images that given weights were trained on; None: those of the images at hand."""
        return None

    def head_tensors(self, encoder: Mapping[str, Tensor], plain_head: nn.Linear) -> dict[str, Tensor]:
        """The plain head as the layer on top of the `encoder`'s tensors; empty where it cannot be that layer."""
        return {}


class BuiltIn(Architecture):
    """An encoder class of ours.

    Parameters
    ----------
    name: as `encoder.name` has it.
    kind: the class, called without arguments.
    image_shape: (H, W, 3) of the only images that it takes; None: it takes all.
    classifier: see `Architecture.classifier`.
    """

    def __init__(
        self,
        name: str,
        kind: type[Encoder],
        *,
        image_shape: ImageShape | None = None,
        classifier: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name)
        self._kind, self._image_shape, self._classifier = kind, image_shape, classifier

    def make(self, image_shape: ImageShape) -> Encoder:
        wanted = self._image_shape
        if wanted and image_shape != wanted:
            raise unfit(self.name, image_shape, f"images of {sides_of(wanted)}", f"set data.image_size to {wanted[0]}")
        return self._kind()

    def classifier(self) -> tuple[str, ...]:
        return self._classifier
