"""Normalised temperature-scaled cross-entropy between two views of a batch (NT-Xent; Chen et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from csrms_dist.losses.metric_learning import unreduced


class NTXent:
    """The mean over 2 B views of -log(e^(a.p / t) / sum over all but a of e^(a.x / t)), p the other view of a's image.

    It is pytorch-metric-learning's SupConLoss, each image its own class: that library's NTXentLoss has the same value,
    and takes memory that grows with B^3. Called with the views (B, d) of all images of the batch; 0 for one image
    alone, which there is nothing to tell from. Raises MissingDependencyError when it is made without the library.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        self._loss = unreduced("SupConLoss", temperature=temperature)

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        views = torch.cat([first, second])
        images = torch.arange(len(first), device=views.device).repeat(2)
        found = self._loss(views, images)["loss"]["losses"]
        # Where there are no negative pairs the library answers with the number 0.
        values = found if isinstance(found, Tensor) else views.sum(dim=1) * 0
        return values.sum() / max(len(views), 1)
