"""A user's own module as an encoder: `encoder.name: module:Class`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from csrms_dist.basics.lookup import one_line, own
from csrms_dist.encoders.architecture import Architecture
from csrms_dist.encoders.encoder import Encoder, ImageShape, as_encoder
from csrms_dist.errors import ConfigError


class OwnClass(Architecture):
    """Any importable torch.nn.Module that is called without arguments. name: 'module:Class'."""

    def check(self) -> None:
        self._kind()

    def _kind(self) -> type[nn.Module]:
        kind: type[nn.Module] = own(
            self.name, "encoder.name", fits=_is_module_class,
            expected="a class of {} that is a torch.nn.Module", form="module:Class",
        )  # fmt: skip
        return kind

    def make(self, image_shape: ImageShape) -> Encoder:
        kind = self._kind()
        try:
            made = kind()
        except Exception as error:
            raise ConfigError(
                "encoder.name", got=f"'{self.name}', whose making says {one_line(error)}",
                expected="a class that is called without arguments",
            ) from error  # fmt: skip
        made.register_forward_pre_hook(_contiguous)
        return as_encoder(made, self.name, image_shape)


def _is_module_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _contiguous(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Images in the memory order that torch's own loaders give: many a module flattens with `view`, which needs it."""
    return tuple(images.contiguous() for images in inputs)
