"""The loss terms by name. A term is one file and one entry here: it then has a weight `method.weight_<name>`.

A user's own term needs no entry: `method.terms` takes 'module:name' and its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A loss term before it is made.

    place: the class, as 'module:name'. weight: the default, 0 leaves it out. doc: of the setting that weighs it.
    forms: the names of its FORMS, where it has several: they make the setting `method.form_<name>`.
    moves_plain_head: where the encoder stays frozen too, when features do not move.
    """

    place: str
    weight: float
    doc: str
    forms: tuple[str, ...] = ()
    moves_plain_head: bool = False


_FORMS = ("repelling", "printed", "released")

TERMS: Mapping[str, Entry] = {
    "plain": Entry(
        "csrms_dist.losses.classification:PlainHeadLoss", 1.0, "the plain head's cross-entropy", moves_plain_head=True
    ),
    "graph": Entry("csrms_dist.losses.classification:GraphHeadLoss", 0.5, "the graph head's cross-entropy"),
    "negative": Entry(
        "csrms_dist.losses.negative_sampling:NegativeSampling", 0.17, "the negative-sampling term (eq. 14)", _FORMS
    ),
    "inter_class": Entry("csrms_dist.losses.inter_class:InterClass", 0.17, "the inter-class term (eq. 16)", _FORMS),
    "attract": Entry("csrms_dist.losses.attraction:Attraction", 0.0, "the attraction to positives; 0 leaves it out"),
    "align": Entry(
        "csrms_dist.losses.alignment:AlignmentLoss", 0.0, "the attraction of the graph head's F_a to its prototypes"
    ),
    "info_nce": Entry("csrms_dist.losses.info_nce:InfoNCE", 0.0, "InfoNCE, drawn positives against drawn negatives"),
    "sup_con": Entry("csrms_dist.losses.sup_con:SupCon", 0.0, "supervised contrast over all images of the batch"),
    "triplet": Entry("csrms_dist.losses.triplet:Triplet", 0.0, "the triplet loss, drawn positives and negatives"),
    "jensen_shannon": Entry(
        "csrms_dist.losses.jensen_shannon:JensenShannon",
        0.0,
        "the divergence of the plain head's answers for an anchor and its positives",
        moves_plain_head=True,
    ),
}

PLACES: Mapping[str, str] = {name: entry.place for name, entry in TERMS.items()}
