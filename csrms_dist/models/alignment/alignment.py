"""An alignment as the graph head sees it: which prototypes there are for an image, and where they enter."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.models.prototypes import PatternPrototypes

Pair: TypeAlias = tuple[Tensor, Tensor]
"""The cluster's and the class's prototype of each image, both (B, D)."""


def towards(features: Tensor, prototypes: Tensor, share: float = 0.5) -> Tensor:
    """share * F + (1 - share) * w, both (B, D): eq. 11 with the cluster's, eq. 12 with the class's prototype."""
    return share * features + (1 - share) * prototypes


class Grounds:
    """What an alignment looks up in training, made of a hierarchy; no gradient goes through it."""

    def refresh(self, patterns: PatternPrototypes) -> None:
        """Make it anew from the patterns' prototypes and the features that they are means of."""
        raise NotImplementedError

    def of_batch(self, features: Tensor, rows: I64 | None, membership: Tensor) -> Pair:
        """Of features (B, D), which are those of training rows (B,), or of None, with labels (B, K)."""
        raise NotImplementedError

    def kept(self) -> Tensor | None:
        """(J, D): what stands beside the patterns' prototypes for images without a label; None for nothing."""
        return None


class Alignment:
    """No alignment, and the base of the others.

    label_chosen: labels choose the prototypes in training. Made with k, how many nearest patterns count, and whether an
    image may have several labels.
    """

    label_chosen: ClassVar[bool] = False

    def __init__(self, k: int = 8, several: bool = False) -> None:
        self.k, self.several = k, several

    def grounds(self, graph: HierarchyGraph) -> Grounds | None:
        """What training looks up; None where nothing is aligned."""
        return None

    def unseen(self, features: Tensor, prototypes: Tensor, kept: Tensor | None) -> Pair | None:
        """Of images that nobody has labelled: features (B, D), prototypes of the patterns (J, D), and what `Grounds`
        kept beside them."""
        return None

    def before(self, own: Tensor, prototypes: Pair) -> Tensor:
        """The anchor's node (B, D) as it enters the smoothing."""
        return own

    def after(self, smoothed: Tensor, prototypes: Pair) -> Tensor:
        """What the smoothing found (B, D), as the classifier sees it: eq. 11, then eq. 12."""
        for prototype in prototypes:
            smoothed = towards(smoothed, prototype)
        return smoothed
