"""The order of an epoch's images by name (`train.batches`), cut into global batches from its start. One file an order.

An order is made with a `ground.Ground` and is a function epoch -> (N,) rows, equal on every worker. A row may come
twice in an epoch and another not at all; an epoch always has N images, so that methods compare at equal passes.
"""

from __future__ import annotations

from collections.abc import Mapping

UNIFORM = "uniform"

ORDERS: Mapping[str, str] = {
    UNIFORM: "csrms_dist.training.orders.uniform:Uniform",
    "class_balanced": "csrms_dist.training.orders.class_balanced:ClassBalanced",
    "subgraph": "csrms_dist.training.orders.subgraph:SubgraphOrder",
    "look_alikes": "csrms_dist.training.orders.look_alikes:LookAlikeOrder",
}
