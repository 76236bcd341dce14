"""InfoNCE on the graph (van den Oord et al., 2018): a drawn positive of an anchor against its drawn negatives."""

from __future__ import annotations

from csrms_dist.losses.drawn_pairs import DrawnPairs


class InfoNCE(DrawnPairs):
    """For each positive p of an anchor a, -log(e^(a.p / t) / (e^(a.p / t) + sum over its negatives q of e^(a.q / t))).

    a.p is the cosine, t the temperature. Arguments of a call: see `DrawnPairs`. With several labels an image nothing
    changes: positives share a label with the anchor (and are drawn by Jaccard similarity), negatives share none.
    """

    loss = "NTXentLoss"

    def __init__(self, *, temperature: float = 0.1) -> None:
        super().__init__(temperature=temperature)
