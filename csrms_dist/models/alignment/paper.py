"""The alignment as published: after the smoothing, with prototypes that the label chooses (CSRMS eq. 11-12)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.models.alignment.alignment import Alignment, Grounds, Pair
from csrms_dist.models.alignment.label_prototypes import LabelPrototypes


class PaperAlignment(Alignment):
    """F_u = .5 F_g + .5 w_cu, F_a = .5 F_u + .5 p_ca; where the label is not known, the own feature stands for both."""

    label_chosen: ClassVar[bool] = True

    def grounds(self, graph: HierarchyGraph) -> Grounds:
        return LabelPrototypes(graph)

    def unseen(self, features: Tensor, prototypes: Tensor, kept: Tensor | None) -> Pair:
        return features, features
