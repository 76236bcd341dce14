"""Graphical smoothing (CSRMS eq. 9-10) by name: aggregate an anchor with its neighbours. One file a smoother.

Every anchor has a small graph of its own: node 0 is the anchor, nodes 1..n its neighbours, absent ones masked. A
smoother is a module made with the dimension D; forward: nodes (B, 1 + n, D), mask (B, n) bool -> (B, D), the anchor's.
"""

from __future__ import annotations

from collections.abc import Mapping

SMOOTHERS: Mapping[str, str] = {
    "star": "csrms_dist.models.smoothing.star:StarGCN",
    "knn": "csrms_dist.models.smoothing.knn:NearestGCN",
}
