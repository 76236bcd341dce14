"""The hierarchy without its structure: the same patterns by size, the images in them by chance. A control."""

from __future__ import annotations

import numpy as np

from csrms_dist.basics.hashing import Texts, hash_ids, hash_order, mix
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph

_TAKEN, _GIVEN = 0x74616B656E, 0x676976656E


def permuted(graph: HierarchyGraph, ids: Texts, seed: int, n_positives: int) -> HierarchyGraph:
    """The hierarchy of the same rows whose pattern numbers, with their scores, are permuted among them.

    ids: (N,) names of the rows; hashes of them and of the seed decide, so that the order of the rows does not. The k-th
    image in one order gets the number of the k-th in another, both drawn. n_positives: as in `build_hierarchy`.
    """
    hashes = hash_ids(ids, "permuted")
    taken, given = (hash_order(mix(purpose, seed, hashes), ids) for purpose in (_TAKEN, _GIVEN))
    pattern, score = np.empty_like(graph.pattern), np.empty_like(graph.score)
    pattern[given], score[given] = graph.pattern[taken], graph.score[taken]
    return build_hierarchy(
        pattern,
        score,
        graph.membership,
        graph.instance,
        dominance_threshold=graph.dominance_threshold,
        n_positives=n_positives,
        multi_label=graph.multi_label,
    )
