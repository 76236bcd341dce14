"""The leak check: does a head that looks at a graph answer from the graph alone, when the image is blank?

Validation images are replaced by zeros after normalisation, before anything is found from them; then the method builds
its own graph. One that chooses it by the true label in training does so here too; another has nothing but the blank.
Labels are read here on purpose, to show what they give away; classifier.py never sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.methods.model import LeakCase
from csrms_dist.metrics.chance import (
    LEVEL,
    AboveChance,
    hits_above_chance,
    labels_differ,
    mean_precision_above_chance,
)
from csrms_dist.sampling.settings import SamplingSettings

GRAPH = "graph"
FIGURES = ("chance", "best_constant", "p_value", "visible", "told", "shows_from")
"""What metrics.json has of a score and its chance."""


@dataclass(frozen=True)
class LeakCheck:
    """Answers to N blanked images.

    one_answer: all got the same scores though their labels differ, so that no label shows in them. found: their
    accuracy, or with several labels their mAP, against chance.
    """

    images: int
    one_answer: bool
    found: AboveChance


def blank_answers(
    classifier: Classifier,
    membership: Membership,
    graph: HierarchyGraph,
    bank: F32,
    sampling: SamplingSettings,
    seed: int,
) -> F32:
    """(N, K) scores of the graph head for N blanked images. membership (N, K) of the images, bank (N', D)."""
    n, blank = int(membership.shape[0]), classifier.blank_feature()
    case = LeakCase(np.repeat(classifier.adapted(blank), n, axis=0), membership, graph, bank, sampling, seed)
    given = classifier.model.label_chosen(case)
    if given is not None:
        return given
    # Nothing but the image enters the head, and all images are the same blank: one answer is everyone's.
    answer = classifier.predict_features(blank).heads[GRAPH]
    return np.broadcast_to(answer, (n, answer.shape[1]))


def judged(scores: F32, membership: Membership, multi_label: bool, seed: int) -> LeakCheck:
    """The check of (N, K) scores of N blanked images, N at least 1, and their labels.

    seed: of the permutation test that judges images with several labels.
    """
    if multi_label:
        found = mean_precision_above_chance(scores, membership, LEVEL, seed)
    else:
        found = hits_above_chance(scores.argmax(axis=1), membership, LEVEL)
    one_answer = bool((scores == scores[0]).all()) and labels_differ(membership)
    return LeakCheck(len(scores), one_answer, found)


def leak_figures(check: LeakCheck | None, multi_label: bool) -> dict[str, Any]:
    """A check as metrics.json tells it; None where there was no image to blank out."""
    found = None if check is None else check.found
    score = "blank_image_mAP" if multi_label else "blank_image_accuracy"
    return {
        "images": 0 if check is None else check.images,
        "one_answer": check and check.one_answer,
        score: found and found.score,
        **{key: found and getattr(found, key) for key in FIGURES},
    }
