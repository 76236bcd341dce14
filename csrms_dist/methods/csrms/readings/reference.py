"""The reading of the released code, with the smallest repairs that let it run (docs/deviations.md lists them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from csrms_dist.methods.csrms.readings.positives import RELEASED_WEIGHTS, PositivesReading
from csrms_dist.models.smoothing.form import Form


class ReferenceReading(PositivesReading):
    """5 positives on a star whose rows have length 1, the mean of feature and prototypes as its middle, one hidden
    layer, and the released weights: .5 graph + 1/6 plain + 1/6 negative + 1/6 inter-class.

    Its star links each anchor to its own positives: the released one counts them in another order than they are in, and
    links it to those of other anchors.
    """

    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cluster": {"algorithm": "fuzzy"},
        "sampling": {
            "positives": "dominant_random",
            "negatives": "same_pattern",
            "n_positives": 5,
            "n_negatives": 5,
        },
        "train": {"batch_size": 32},
        "method": RELEASED_WEIGHTS,
    }
    forms: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "negative": {"form": "released"},
        "inter_class": {"form": "released"},
    }
    smoother: ClassVar[str] = "released_gcn"
    form: ClassVar[Form] = Form("star", "row_l2", framed=False)
    alignment: ClassVar[str] = "reference"
