"""CSRMS on a hierarchy that a test made: settings of a reading, and the method from its parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.lookup import resolve
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.methods.csrms.build import make_terms
from csrms_dist.methods.csrms.method import CSRMS
from csrms_dist.methods.csrms.model import CSRMSModel, HeadWords
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling.settings import SamplingSettings


def settings_of(reading: str, **settings: Any) -> tuple[CSRMSSettings, SamplingSettings]:
    """The sections `method` and `sampling` with the reading's own defaults."""
    recipe = resolve(READINGS[reading]).recipe
    chosen = CSRMSSettings(reading=reading, **{**recipe.get("method", {}), **settings})
    return chosen, SamplingSettings(**recipe.get("sampling", {}))


def words_of(settings: CSRMSSettings) -> HeadWords:
    """What the settings say of the graph head."""
    return HeadWords(settings.smoother, settings.adjacency, settings.normalisation, settings.alignment)


def csrms_on(
    model: CSRMSModel,
    graph: HierarchyGraph,
    features: np.ndarray,
    settings: CSRMSSettings,
    sampling: SamplingSettings,
) -> CSRMS:
    """The method as `build` makes it, its bank in memory."""
    relations = model.relations(graph, FeatureBank(features))
    labels = graph.membership.nnz / graph.n_rows if graph.multi_label else None
    sizes = {"positive": sampling.n_positives, "negative": sampling.n_negatives}
    used = {kind: sizes[kind] for kind in settings.edge_types()}
    terms = make_terms(settings, model.reading, 0.0, labels)
    return CSRMS(model, relations, terms, settings.weights(), used, labels)
