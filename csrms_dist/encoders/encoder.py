"""What an encoder is: (B, 3, H, W) float32, normalised -> (B, D) features."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Encoder(nn.Module):
    """A module from (B, 3, H, W) to (B, dimension).

    An encoder's tensors bear the names that its own class gives them, without a prefix, so that its weights travel to
    and from that class as they are. Modules of others get the attribute `dimension` and are used as encoders.
    """

    dimension: int


def has_batch_norm(module: nn.Module) -> bool:
    """Whether training takes statistics over a worker's own rows, so that its number of workers matters."""
    return any(isinstance(part, _BatchNorm) and not isinstance(part, nn.SyncBatchNorm) for part in module.modules())
