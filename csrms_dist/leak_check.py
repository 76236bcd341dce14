"""The leak check: does the graph head answer from the graph alone, when the image is blank?

Validation images are replaced by zeros after normalisation, before anything is found from them; then each reading
builds its own graph. `paper` chooses it by the true label, as it does in training; `structural` has nothing but the
blank. Labels are read here on purpose, to show what they give away; inference.py never sees them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from csrms_dist.config import SamplingSettings
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.inference import Classifier
from csrms_dist.labels import Membership, single_labels
from csrms_dist.methods.csrms import CSRMSModel, Relations, neighbours
from csrms_dist.metrics import accuracy
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.sampling import POSITIVE, positive_candidates
from csrms_dist.sampling.reference_sampler import ReferenceSampler

F32 = npt.NDArray[np.float32]


def blank_image_accuracy(
    classifier: Classifier,
    pixels: npt.NDArray[np.uint8],
    membership: Membership,
    graph: HierarchyGraph,
    bank: F32,
    sampling: SamplingSettings,
    seed: int,
) -> float:
    """Accuracy of the graph head, as a fraction, on N blanked images.

    pixels (N, H, W, 3), membership (N, K), bank (N', D). About the share of one class where nothing leaks; near 1 where
    the graph gives the label away. 0 without images.
    """
    labels = single_labels(membership)
    features = classifier.features(pixels, blank=True)
    if classifier.card.reading == "paper":
        return accuracy(_label_chosen(classifier, features, membership, graph, bank, sampling, seed), labels)
    graph_head = classifier.predict_features(features).graph
    if graph_head is None:
        raise ValueError("the leak check needs a model with a graph head")
    return accuracy(graph_head, labels)


def _label_chosen(
    classifier: Classifier,
    features: F32,
    membership: Membership,
    graph: HierarchyGraph,
    bank: F32,
    sampling: SamplingSettings,
    seed: int,
) -> F32:
    """Graph-head probabilities with positives and prototypes of the true class (CSRMS eq. 9-12)."""
    model = classifier.model
    if not isinstance(model, CSRMSModel):
        raise ValueError("the leak check needs a model with a graph head")
    nowhere = np.full(len(features), -1)
    candidates = positive_candidates(
        graph, bank, features, membership, nowhere, sampling.positives, sampling.n_positives, sampling.pool
    )
    sampler = ReferenceSampler({POSITIVE: candidates}, {POSITIVE: sampling.n_positives}, seed)
    subgraph = sampler.sample(np.arange(len(features)), 0)
    relations = Relations(graph, torch.from_numpy(np.array(bank)))
    labels = torch.from_numpy(single_labels(membership))
    with torch.inference_mode():
        found, mask = neighbours(subgraph, POSITIVE, sampling.n_positives, relations.bank.current)
        prototypes = (relations.cluster_prototypes[labels], relations.class_prototypes[labels])
        logits, _ = model.graph_head(torch.from_numpy(features), GraphContext(found, mask, prototypes))
        probabilities: F32 = logits.softmax(dim=1).numpy()
    return probabilities
