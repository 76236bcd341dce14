"""The loss terms by name. A term is one file and one entry here: it then has a weight `method.weight_<name>`.

A user's own term needs no entry: `method.terms` takes 'module:name' and its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """place: the class, as 'module:name'. weight: the default. doc: of the setting that weighs it."""

    place: str
    weight: float
    doc: str


TERMS: Mapping[str, Entry] = {
    "plain": Entry("csrms_dist.losses.classification:PlainHeadLoss", 1.0, "the plain head's cross-entropy"),
    "graph": Entry("csrms_dist.losses.classification:GraphHeadLoss", 0.5, "the graph head's cross-entropy"),
    "negative": Entry(
        "csrms_dist.losses.negative_sampling:NegativeSampling", 0.17, "the negative-sampling term (eq. 14)"
    ),
    "inter_class": Entry("csrms_dist.losses.inter_class:InterClass", 0.17, "the inter-class term (eq. 16)"),
    "attract": Entry("csrms_dist.losses.attraction:Attraction", 0.0, "the attraction to positives; 0 leaves it out"),
}

PLACES: Mapping[str, str] = {name: entry.place for name, entry in TERMS.items()}
