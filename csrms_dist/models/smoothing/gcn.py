"""The graph convolution (CSRMS eq. 10; Kipf and Welling, 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.smoother import Smoother, hidden_layer


class GCN(Smoother):
    """Two graph convolutions, d -> h -> d: A ReLU(A X W1) W0 (eq. 10), the anchor's row.

    The form's `softmax` applies the softmax that eq. 10 prints, over the features; the default leaves it out, because a
    representation on the simplex loses its scale.
    """

    def __init__(self, dimension: int, form: Form | None = None, hidden: int | None = None) -> None:
        super().__init__(dimension, form)
        self.inner = nn.Linear(dimension, hidden or dimension)
        self.outer = nn.Linear(hidden or dimension, dimension)

    def smooth(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        edges = self.edges(own, others, mask)
        smoothed: Tensor = self.outer(edges.gather(*hidden_layer(self.inner, edges, own, others)))
        return smoothed.softmax(dim=1) if self.form.softmax else smoothed
