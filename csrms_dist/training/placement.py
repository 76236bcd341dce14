"""Where a training computes: the device, the precision and the memory order of images, as one value handed down."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """device: of parameters and batches. precision: of products. memory_format: of images, as they lie in the table."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.channels_last

    def put(self, tensor: Tensor) -> Tensor:
        """A tensor of a batch, on the device."""
        return tensor.to(self.device)


CPU = Placement()
"""The one placement so far."""
