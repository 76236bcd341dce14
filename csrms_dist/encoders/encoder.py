"""An encoder, (B, 3, H, W) float32, normalised -> (B, D) features: a class of ours, or a module of others as one."""

from __future__ import annotations

from typing import TypeAlias, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from csrms_dist.basics.lookup import one_line
from csrms_dist.errors import ConfigError

ImageShape: TypeAlias = tuple[int, int, int]


class Encoder(nn.Module):
    """A module from (B, 3, H, W) to (B, dimension).

    An encoder's tensors bear the names that its own class gives them, without a prefix, so that its weights travel to
    and from that class as they are. Modules of others get the attribute `dimension` and are used as encoders.
    """

    dimension: int


def has_batch_norm(module: nn.Module) -> bool:
    """Whether training takes statistics over a worker's own rows, so that its number of workers matters."""
    return any(isinstance(part, _BatchNorm) and not isinstance(part, nn.SyncBatchNorm) for part in module.modules())


def as_encoder(module: nn.Module, name: str, image_shape: ImageShape) -> Encoder:
    """`module` with its `dimension`, found from two blank images.

    Raises ConfigError, with the name of the encoder, for a module that cannot take such images or answers no vectors.
    """
    height, width, channels = image_shape
    training = module.training
    module.eval()
    # no_grad, not inference_mode: what a module keeps from its first pass must serve in training too.
    try:
        with torch.no_grad():
            # Images come with their channels last in memory, as they lie in the table.
            found = module(torch.zeros(2, height, width, channels).permute(0, 3, 1, 2))
    except Exception as error:
        raise unfit(name, image_shape, "an encoder that takes such images", f"it says {one_line(error)}") from error
    module.train(training)
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 2 or not found.is_floating_point():
        shape = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise ConfigError(
            f"encoder.name, the answer of '{name}' to two images", got=shape, expected="a float tensor of shape (2, D)"
        )
    stated = getattr(module, "dimension", None)
    if stated is None:
        setattr(module, "dimension", found.shape[1])  # noqa: B010 - nn.Module declares no such attribute
    elif stated != found.shape[1]:
        raise ConfigError(
            f"encoder.name, the attribute dimension of '{name}'", got=repr(stated),
            expected=f"{found.shape[1]}, the width of its answers",
        )  # fmt: skip
    return cast(Encoder, module)


def unfit(name: str, image_shape: ImageShape, expected: str, remedy: str) -> ConfigError:
    """The refusal of an encoder that cannot take such images."""
    return ConfigError(
        "encoder.name", got=f"'{name}' with images of {sides_of(image_shape)}", expected=expected, remedy=remedy
    )


def sides_of(image_shape: ImageShape) -> str:
    """(32, 32, 3) -> '32 x 32 x 3'."""
    return " x ".join(str(side) for side in image_shape)
