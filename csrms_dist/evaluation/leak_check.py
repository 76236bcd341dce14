"""The leak check: does a head that looks at a graph answer from the graph alone, when the image is blank?

Validation images are replaced by zeros after normalisation, before anything is found from them; then the method builds
its own graph. One that chooses it by the true label in training does so here too; another has nothing but the blank.
Labels are read here on purpose, to show what they give away; classifier.py never sees them.
"""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.arrays import F32
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.methods.model import LeakCase
from csrms_dist.metrics.classification import top_accuracy
from csrms_dist.sampling.settings import SamplingSettings

GRAPH = "graph"


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
    case = LeakCase(np.repeat(blank, n, axis=0), membership, graph, bank, sampling, seed)
    given = classifier.model.label_chosen(case)
    if given is not None:
        return top_accuracy(given, membership)
    # Nothing but the image enters the head, and all images are the same blank: one answer is everyone's.
    answer = classifier.predict_features(blank).heads[GRAPH]
    return top_accuracy(np.broadcast_to(answer, (n, answer.shape[1])), membership)
