"""Which classes look alike: their images lie in the same patterns, more often than the sizes of the classes would make.

For classes a and b, an image counts for a when it carries a and not b, and for b the other way round: with several
labels an image that carries both is co-occurrence and says nothing of likeness. With n_ka, n_kb such images in pattern
k of n_k, n_a and n_b in all, of N images::

    together = sum_k n_ka n_kb / n_k
    weight(a -> b) = together / n_a     the chance to meet b, from a random image of a, at a random image of its pattern
    lift = N together / (n_a n_b)       weight over n_b / N, what it would be if patterns knew nothing of labels
    images = sum_k min(n_ka, n_kb)      what is seen: so many images of each lie together
    bound = lift q / images             the lift that this number of images supports

where q is the lower limit of the mean of a Poisson variable of which `images` were counted (Garwood, 1936), at the
level .05 divided by the number of pairs of classes (Bonferroni). Among thousands of pairs some rare ones meet by
chance, with a huge lift; the division keeps them below pairs that are seen often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import gammaincinv

from csrms_dist.basics.arrays import F64, I64
from csrms_dist.hierarchy.csr import stored_rows
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.pattern_counts import pattern_shares

KEPT = 5
LEVEL = 0.05
_DIGITS = 12  # figures are rounded so that a tie does not depend on the order of summation
_PAIRS = 1 << 16  # pairs of classes of one step


@dataclass(frozen=True)
class LookAlikes:
    """E pairs of classes, ascending: of each source at most the KEPT of largest bound, ties to the lower target.

    source, target, images: (E,) int64. weight (source -> target), reverse (target -> source), lift, bound: (E,)
    float64. A pair that is kept for both of its classes is there in both directions.
    """

    source: I64
    target: I64
    weight: F64
    reverse: F64
    lift: F64
    images: I64
    bound: F64

    def __len__(self) -> int:
        return len(self.source)


def look_alikes(graph: HierarchyGraph) -> LookAlikes:
    """The pairs of classes whose images lie together most, at most KEPT of each class."""
    a, b, together = _together(graph)
    pair, pattern, n_both = _carrying_both(graph)
    place = np.searchsorted(a * graph.n_classes + b, pair)
    n_a, n_b = (_counts_at(graph, pattern, classes[place]) for classes in (a, b))
    np.subtract.at(together, place, n_both * (n_a + n_b - n_both) / graph.sizes[pattern])
    carried = np.zeros(len(a), np.int64)
    np.add.at(carried, place, n_both)
    images = _in_common(graph, a, b) - carried
    kept = images > 0
    a, b, together, images, carried = a[kept], b[kept], together[kept], images[kept], carried[kept]
    total = np.bincount(graph.membership.indices, minlength=graph.n_classes)
    of_a, of_b = total[a] - carried, total[b] - carried
    lift = np.round(graph.n_rows * together / of_a / of_b, _DIGITS)
    level = LEVEL / max(1, graph.n_classes * (graph.n_classes - 1) // 2)
    bound = np.round(lift * gammaincinv(images, level) / images, _DIGITS)
    there, back = np.round(together / of_a, _DIGITS), np.round(together / of_b, _DIGITS)
    source, target = np.concatenate([a, b]), np.concatenate([b, a])
    columns = {
        "weight": np.concatenate([there, back]), "reverse": np.concatenate([back, there]),
        "lift": np.tile(lift, 2), "images": np.tile(images, 2), "bound": np.tile(bound, 2),
    }  # fmt: skip
    order = np.lexsort((target, -columns["bound"], source))
    rank = np.arange(len(order)) - np.searchsorted(source[order], source[order])
    chosen = order[rank < KEPT]
    chosen = chosen[np.lexsort((target[chosen], source[chosen]))]
    return LookAlikes(source[chosen], target[chosen], **{name: values[chosen] for name, values in columns.items()})


def _together(graph: HierarchyGraph) -> tuple[I64, I64, F64]:
    """Every pair a < b of classes that meet in a pattern, ascending, and sum_k n_ka n_kb / n_k of all their images."""
    shares = pattern_shares(graph.counts, graph.sizes)
    product = sparse.triu(graph.counts.astype(np.float64).T @ shares, k=1, format="csr")
    product.sort_indices()
    return stored_rows(product), product.indices.astype(np.int64), np.asarray(product.data, np.float64)


def _carrying_both(graph: HierarchyGraph) -> tuple[I64, I64, I64]:
    """(a K + b, pattern, images of the pattern that carry both), where there are any; a < b."""
    labels, n_patterns = graph.membership, graph.n_patterns
    rows, found = stored_rows(labels), [np.zeros((0, 2), np.int64)]
    for apart in range(1, int(np.diff(labels.indptr).max(initial=0))):
        same = np.flatnonzero(rows[apart:] == rows[:-apart])
        pair = labels.indices[same].astype(np.int64) * graph.n_classes + labels.indices[same + apart]
        found.append(np.stack([pair, graph.pattern[rows[same]]], axis=1))
    pair, pattern = np.concatenate(found).T
    pairs, number = np.unique(pair, return_inverse=True)
    cells, n = np.unique(number * n_patterns + pattern, return_counts=True)
    return pairs[cells // n_patterns], cells % n_patterns, n.astype(np.int64)


def _counts_at(graph: HierarchyGraph, pattern: I64, classes: I64) -> I64:
    """N_k^j of cells that are stored."""
    stored = stored_rows(graph.counts) * graph.n_classes + graph.counts.indices
    return np.asarray(graph.counts.data[np.searchsorted(stored, pattern * graph.n_classes + classes)])


def _in_common(graph: HierarchyGraph, a: I64, b: I64) -> I64:
    """sum_k min(n_ka, n_kb) of each pair of classes."""
    by_class, found = graph.counts.T.tocsr(), np.zeros(len(a), np.int64)
    for start in range(0, len(a), _PAIRS):
        part = slice(start, start + _PAIRS)
        found[part] = by_class[a[part]].minimum(by_class[b[part]]).sum(axis=1)
    return found
