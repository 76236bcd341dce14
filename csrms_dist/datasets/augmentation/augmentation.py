"""The port of an augmentation: what is drawn of each image, and two ways to apply it, on the host and on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.datasets.augmentation.draws import Draw

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Augmentation(Generic[Drawn]):
    """Both ways give the same numbers, but for sums in another order.

    drawn: (shape (B, H, W, 3), the images' dense indices (B,), a `draws.Draw`) -> arrays of what is drawn of each
    image, on the host whoever applies them.
    on_host: (images (B, H, W, 3) uint8, what is drawn, the value (256, 3) of each byte in each channel, out) writes out
    (B, H, W, 3), of the type of the values.
    on_device: (images (B, H, W, 3) uint8, what is drawn, values (256, 3) float32) -> (B, H, W, 3) float32 where the
    images are; the host does not wait for it. Images and result are contiguous.
    """

    drawn: Callable[[tuple[int, ...], I64, Draw], Drawn]
    on_host: Callable[[U8, Drawn, Any, Any], None]
    on_device: Callable[[Tensor, Drawn, Tensor], Tensor]
