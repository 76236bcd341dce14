"""A reading of CSRMS as the method sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from csrms_dist.basics.lookup import Kind, takes
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.methods.csrms.encoding.encoding import Draw
from csrms_dist.methods.csrms.relations import Relations
from csrms_dist.methods.model import LeakCase
from csrms_dist.methods.protocol import Batch
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.models.smoothing.form import Form


class Reading:
    """A reading owns what enters the graph head, the edges for it, the forms of the losses, the blank-image check.

    recipe: the defaults of any section that the reading changes.
    edge_types: the edges that `context` looks at.
    class_aware: the batch's sub-graph shall be a `ClassAwareSubgraph`, with patterns, classes and all edges.
    forms: arguments of the loss terms, by their name.
    smoother, form, alignment: how the graph head smooths and aligns where the settings say auto, names of SMOOTHERS and
        ALIGNMENTS.
    """

    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    edge_types: ClassVar[tuple[str, ...]] = ()
    class_aware: ClassVar[bool] = False
    forms: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    smoother: ClassVar[str] = "gcn"
    form: ClassVar[Form] = Form()
    alignment: ClassVar[str] = "none"

    def __init__(self, prototypes: int, n_positives: int) -> None:
        self.prototypes, self.n_positives = prototypes, n_positives

    def relations(self, graph: HierarchyGraph, bank: FeatureBank) -> Relations:
        """The prototypes that `context` looks up, made from the bank."""
        return Relations(graph, bank)

    def context(self, features: Tensor, batch: Batch, relations: Relations, draw: Draw) -> GraphContext:
        """The head's surroundings in training, for (b, D) features of the batch's rows.

        draw: an edge type -> features (b, n, D) of the neighbours that were drawn, and a mask (b, n).
        """
        raise NotImplementedError

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        """The same for images without a row and without a label: (B, D) features, (J, D) prototypes."""
        raise NotImplementedError

    def label_chosen(self, case: LeakCase) -> GraphContext | None:
        """The surroundings of the N images of a case whose labels choose the neighbours, as in training.

        None where no label chooses any: they are then those of unseen images.
        """
        return None


KIND = Kind(
    "a Reading of {} (methods/csrms/readings/reading.py)",
    lambda value: isinstance(value, type) and issubclass(value, Reading) and takes(value, 2),
)
