"""The form of a graph head's smoothing: what holds for whichever smoother it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """adjacency, normalisation: names of ADJACENCIES and NORMALISATIONS.

    softmax: the softmax over the features that eq. 10 prints, of the GCN alone. framed: nodes and prototypes are scaled
    to norm sqrt(D), and the anchor's own node, detached, is added to what the smoother finds (see `GraphHead`).
    """

    adjacency: str = "star"
    normalisation: str = "row"
    softmax: bool = False
    framed: bool = True
