"""The graph convolution of the code released with CSRMS, whose second layer gives the logits."""

from __future__ import annotations

from torch import Tensor, nn

from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.smoother import Smoother, hidden_layer


class ReleasedGCN(Smoother):
    """A ReLU(A X W1), the anchor's row: the head's classifier after it is W0, so that logits = A ReLU(A X W1) W0.

    The released code averages the hidden layer with its own dropout, (dropout(x) + x) / 2. Its mean is x, which stands
    here: no training draws from a random stream, or one that was stopped would not end with the same bytes.
    """

    def __init__(self, dimension: int, form: Form | None = None) -> None:
        super().__init__(dimension, form)
        self.inner = nn.Linear(dimension, dimension)

    def smooth(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        edges = self.edges(own, others, mask)
        return edges.gather(*hidden_layer(self.inner, edges, own, others))
