"""Graphical smoothing (CSRMS eq. 9-10) by name: aggregate an anchor with its neighbours. One file a smoother.

Every anchor has a small graph of its own: node 0 is the anchor, nodes 1..n its neighbours, absent ones masked. A
smoother is a module made with the dimension D; forward: nodes (B, 1 + n, D), mask (B, n) bool -> (B, D), the anchor's.
Ours are `smoother.Smoother`s, which are crossed with who is linked to whom (ADJACENCIES) and how much an edge weighs
(NORMALISATIONS); one of a user's own decides that itself.
"""

from __future__ import annotations

from collections.abc import Mapping

_HERE = "csrms_dist.models.smoothing"

SMOOTHERS: Mapping[str, str] = {
    "gcn": f"{_HERE}.gcn:GCN",
    "gnn": f"{_HERE}.gnn:GNN",
    "tail_gnn": f"{_HERE}.tail_gnn:TailGNN",
    "identity": f"{_HERE}.identity:Identity",
    "released_gcn": f"{_HERE}.released_gcn:ReleasedGCN",
}

ADJACENCIES: Mapping[str, str] = {
    "star": f"{_HERE}.star:Star",
    "knn": f"{_HERE}.knn:nearest_links",
    "self": f"{_HERE}.self_loops:SelfLoops",
}
"""Functions (own (B, D), others (B, n, D), mask (B, n)) -> `links.Links`."""

NORMALISATIONS: Mapping[str, str] = {
    "row": f"{_HERE}.normalisation:row",
    "symmetric": f"{_HERE}.normalisation:symmetric",
    "row_l2": f"{_HERE}.normalisation:row_l2",
}
"""Functions (degree of the row, degree of the column) -> weight of the edge."""
