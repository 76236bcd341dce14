"""Class-aware graph sampling (CSRMS sec. 4.2): a hierarchy's candidates, and a batch's neighbours drawn from them.

    candidates = build_candidates(graph, features, settings)            # once a hierarchy
    sampler = ReferenceSampler(candidates, {"positive": 10, "negative": 10}, seed=0)
    subgraph = sampler.sample(rows, epoch)                              # once a batch
    neighbours, mask = subgraph.dense("negative", 10)

`dgl_sampler.DglSampler` draws the same edges through DGL; it is not imported here, so that the core runs without DGL.
"""

from csrms_dist.sampling.candidates import (
    Candidates,
    build_candidates,
    load_candidates,
    negative_candidates,
    positive_candidates,
    save_candidates,
    write_candidates,
)
from csrms_dist.sampling.protocol import Sampler, edge_keys
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.strategies.strategy import (
    NEGATIVES,
    POSITIVES,
    nearest_patterns,
    pattern_means,
    positive_patterns,
)
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE, BatchSubgraph, Edges

__all__ = [
    "NEGATIVE",
    "NEGATIVES",
    "POSITIVE",
    "POSITIVES",
    "BatchSubgraph",
    "Candidates",
    "Edges",
    "ReferenceSampler",
    "Sampler",
    "build_candidates",
    "edge_keys",
    "load_candidates",
    "nearest_patterns",
    "negative_candidates",
    "pattern_means",
    "positive_candidates",
    "positive_patterns",
    "save_candidates",
    "write_candidates",
]
