"""The section `method` of CSRMS."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting


@dataclass(frozen=True)
class MethodSettings(Settings):
    reading: str = setting("structural", words=("structural", "paper"), doc="structural is leak-free; paper: verbatim")
    prototypes: int = setting(8, "[1, 1000]", doc="nearest pattern prototypes that enter the graph head (structural)")
    weight_plain: float = setting(1.0, "[0, 100]", doc="weight of the plain head's cross-entropy")
    weight_graph: float = setting(0.5, "[0, 100]", doc="weight of the graph head's cross-entropy")
    weight_negative: float = setting(0.17, "[0, 100]", doc="weight of the negative-sampling term (eq. 14)")
    weight_inter_class: float = setting(0.17, "[0, 100]", doc="weight of the inter-class term (eq. 16)")
    weight_attract: float = setting(0.0, "[0, 100]", doc="weight of the attraction to positives; 0 leaves it out")
