"""The leak-free reading: what enters the graph head is found without the label, in training and at test alike."""

from __future__ import annotations

from torch import Tensor

from csrms_dist.methods.csrms.encoding.encoding import Draw
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.relations import Relations
from csrms_dist.methods.protocol import Batch
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.models.prototypes import nearest_rows


class StructuralReading(Reading):
    """The nearest pattern prototypes; training rows are left out of their own mean."""

    def context(self, features: Tensor, batch: Batch, relations: Relations, draw: Draw) -> GraphContext:
        return GraphContext(*relations.patterns.nearest(features, batch.rows, self.prototypes))

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        found, mask = nearest_rows(features, prototypes, min(self.prototypes, len(prototypes)), None)
        return GraphContext(found, mask)
