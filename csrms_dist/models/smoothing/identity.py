"""No smoothing: the ablation of CSRMS's Table 3 without G."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from csrms_dist.models.smoothing.smoother import Smoother


class Identity(Smoother):
    """The anchor's own node, with its gradient; it has no weights, and nothing is looked at but that node."""

    adds_own: ClassVar[bool] = False

    def smooth(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        return own
