"""The reading as published: positives of the true class (eq. 9) and prototypes chosen by the label (eq. 11-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from csrms_dist.methods.csrms.readings.positives import RELEASED_WEIGHTS, PositivesReading
from csrms_dist.models.smoothing.form import Form


class PaperReading(PositivesReading):
    """Equations as printed (5-6, 9-16), Fuzzy ART, the paper's batch of 32, and the weights of the released code (the
    paper gives none): .5 graph + 1/6 plain + 1/6 negative + 1/6 inter-class."""

    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cluster": {"algorithm": "fuzzy"},
        "sampling": {"positives": "dominant_far", "negatives": "nearest_dominated"},
        "train": {"batch_size": 32},
        "method": RELEASED_WEIGHTS,
    }
    forms: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "negative": {"form": "printed"},
        "inter_class": {"form": "printed"},
    }
    form: ClassVar[Form] = Form("knn", "symmetric", softmax=True, framed=False)
    alignment: ClassVar[str] = "paper"
