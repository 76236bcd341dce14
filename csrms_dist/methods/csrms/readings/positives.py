"""Readings in which positives of the true class enter the graph head (CSRMS eq. 9): the part that they share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from csrms_dist.methods.csrms.encoding.encoding import Draw
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.relations import Relations, neighbours
from csrms_dist.methods.model import LeakCase
from csrms_dist.methods.protocol import Batch
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.sampling import positive_candidates
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.subgraph import POSITIVE, BatchSubgraph

RELEASED_WEIGHTS = {"weight_plain": 1 / 6, "weight_graph": 0.5, "weight_negative": 1 / 6, "weight_inter_class": 1 / 6}
"""Those of the released code; the paper gives none."""


class PositivesReading(Reading):
    """The anchor's positives are its neighbours; the label is known in training alone."""

    edge_types = (POSITIVE,)

    def context(self, features: Tensor, batch: Batch, relations: Relations, draw: Draw) -> GraphContext:
        return GraphContext(*draw(POSITIVE))

    def unseen_context(self, features: Tensor, prototypes: Tensor) -> GraphContext:
        """The image's own feature stands in for its positives."""
        repeated = features[:, None].expand(-1, self.n_positives, -1)
        return GraphContext(repeated, torch.ones(repeated.shape[:2], dtype=torch.bool, device=features.device))

    def label_chosen(self, case: LeakCase) -> GraphContext:
        bank = FeatureBank(case.bank, fixed=True)
        return GraphContext(*neighbours(_positives(case), POSITIVE, case.sampling.n_positives, bank))


def _positives(case: LeakCase) -> BatchSubgraph:
    sampling, n = case.sampling, len(case.features)
    candidates = positive_candidates(
        case.graph, case.bank, case.features, case.membership, np.full(n, -1),
        sampling.positives, sampling.n_positives, sampling.pool, sampling.distance,
    )  # fmt: skip
    sampler = ReferenceSampler({POSITIVE: candidates}, {POSITIVE: sampling.n_positives}, case.seed)
    return sampler.sample(np.arange(n), 0)
