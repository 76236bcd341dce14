"""Readings by name: the defaults that a reading changes. What the user sets wins over a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READINGS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "structural": {},
    # Equations as printed (5-6, 9-16), Fuzzy ART, the paper's batch of 32, and the weights of the released code (the
    # paper gives none): .5 graph + 1/6 plain + 1/6 negative + 1/6 inter-class.
    "paper": {
        "cluster": {"algorithm": "fuzzy"},
        "sampling": {"positives": "dominant_far", "negatives": "nearest_dominated"},
        "train": {"batch_size": 32},
        "method": {
            "weight_plain": 1 / 6,
            "weight_graph": 0.5,
            "weight_negative": 1 / 6,
            "weight_inter_class": 1 / 6,
        },
    },
}
