"""The plain graph network: a node's own features beside the mean of its neighbours'."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csrms_dist.models.smoothing.form import Form
from csrms_dist.models.smoothing.smoother import Smoother


class GNN(Smoother):
    """Two layers X W_own + A X W_around + b, d -> d -> d, with a ReLU between them (Scarselli et al., 2009, in the form
    of GraphSAGE's mean, Hamilton et al., 2017): Table 5 of CSRMS.

    A has no self-loops, since W_own sees the node itself; normalised by rows it is the mean over the neighbours, and
    zero where there are none.
    """

    def __init__(self, dimension: int, form: Form | None = None) -> None:
        super().__init__(dimension, form)
        self.inner_own, self.outer_own = nn.Linear(dimension, dimension), nn.Linear(dimension, dimension)
        self.inner_around = nn.Linear(dimension, dimension, bias=False)
        self.outer_around = nn.Linear(dimension, dimension, bias=False)

    def smooth(self, own: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        edges = self.links(own, others, mask).weighted(self.normalisation, self_loops=False)
        of_own, of_others = edges.spread(self.inner_around(own), self.inner_around(others))
        hidden = torch.relu(self.inner_own(own) + of_own)
        around = edges.gather(hidden, torch.relu(self.inner_own(others) + of_others))
        smoothed: Tensor = self.outer_own(hidden) + self.outer_around(around)
        return smoothed
