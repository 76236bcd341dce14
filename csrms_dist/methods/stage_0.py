"""The objectives of stage 0 by name (`pretrain.objective`), one file each: what they train of an encoder is kept."""

from __future__ import annotations

from collections.abc import Mapping

from csrms_dist.basics.lookup import resolve
from csrms_dist.methods.protocol import MethodSpec

CLASSIFICATION, CONTRASTIVE = "classification", "contrastive"

OBJECTIVES: Mapping[str, str] = {
    CLASSIFICATION: "csrms_dist.methods.plain:CONTROL",
    CONTRASTIVE: "csrms_dist.methods.contrastive:OBJECTIVE",
}

WITHOUT_LABELS = (CONTRASTIVE,)
"""Those that read no label: they learn from every image of the training table, from two views of each."""


def objective(name: str) -> MethodSpec:
    """An objective by name. Its model is the plain one, whose encoder it trains."""
    found: MethodSpec = resolve(OBJECTIVES[name])
    return found
