"""The leak check: does the graph head answer from the graph alone, when the image is blank?

Validation images are replaced by zeros after normalisation, before anything is found from them; then each reading
builds its own graph. `paper` chooses it by the true label, as it does in training; `structural` has nothing but the
blank. Labels are read here on purpose, to show what they give away; inference.py never sees them.
"""

from __future__ import annotations

import numpy as np
import torch

from csrms_dist.basics.arrays import F32
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.methods.csrms.method import CSRMSModel, Relations, neighbours
from csrms_dist.metrics.classification import top_accuracy
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.sampling import POSITIVE, positive_candidates
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.settings import SamplingSettings


def blank_image_accuracy(
    classifier: Classifier,
    membership: Membership,
    graph: HierarchyGraph,
    bank: F32,
    sampling: SamplingSettings,
    seed: int,
) -> float:
    """Accuracy of the graph head (with several labels: precision@1), as a fraction, on N blanked images.

    membership (N, K) of the images, bank (N', D). At most about the share of one class where nothing leaks; near 1
    where the graph gives the label away. 0 without images.
    """
    n, blank = int(membership.shape[0]), classifier.blank_feature()
    if classifier.card.reading == "paper":
        features = np.repeat(blank, n, axis=0)
        return top_accuracy(_label_chosen(classifier, features, membership, graph, bank, sampling, seed), membership)
    graph_head = classifier.predict_features(blank).graph
    if graph_head is None:
        raise ValueError("the leak check needs a model with a graph head")
    # Nothing but the image enters the head, and all images are the same blank: one answer is everyone's.
    return top_accuracy(np.broadcast_to(graph_head, (n, graph_head.shape[1])), membership)


def _label_chosen(
    classifier: Classifier,
    features: F32,
    membership: Membership,
    graph: HierarchyGraph,
    bank: F32,
    sampling: SamplingSettings,
    seed: int,
) -> F32:
    """Logits of the graph head with positives and prototypes of the true class (CSRMS eq. 9-12)."""
    model = classifier.model
    if not isinstance(model, CSRMSModel):
        raise ValueError("the leak check needs a model with a graph head")
    nowhere = np.full(len(features), -1)
    candidates = positive_candidates(
        graph, bank, features, membership, nowhere, sampling.positives, sampling.n_positives, sampling.pool
    )
    sampler = ReferenceSampler({POSITIVE: candidates}, {POSITIVE: sampling.n_positives}, seed)
    subgraph = sampler.sample(np.arange(len(features)), 0)
    relations = Relations(graph, FeatureBank(bank, fixed=True))
    labels = torch.from_numpy(membership.toarray().astype(np.float32))
    own = torch.from_numpy(features)
    with torch.inference_mode():
        found, mask = neighbours(subgraph, POSITIVE, sampling.n_positives, relations.bank)
        logits, _ = model.graph_head(own, GraphContext(found, mask, relations.label_prototypes(labels, own)))
        answers: F32 = logits.numpy()
    return answers
