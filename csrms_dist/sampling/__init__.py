"""Class-aware graph sampling (CSRMS sec. 4.2): a hierarchy's candidates, and a batch's neighbours drawn from them.

Of use alone, in a torch loop of your own, which the README shows:

    candidates = build_candidates(hierarchy_of(patterns, labels), features)
    sampler = ReferenceSampler(candidates, {"positive": 10, "negative": 10}, seed=0)
    neighbours, mask = sampler.sample(rows, epoch).dense("negative", 10)

With the hierarchy, a batch comes with its patterns, its classes and all edges among them (`ClassAwareSubgraph`):

    sampler = ReferenceSampler(candidates, {"positive": 10, "negative": 10}, seed=0, hierarchy=hierarchy)
    batch = sampler.class_aware(rows, epoch)
    edges = batch.local["in_pattern"]
    of_instance = prototypes[batch.patterns][edges.target]  # of each of batch.instances, its pattern's prototype

`dgl_sampler.DglSampler` draws the same through DGL, and its `graph` is the whole as a DGL heterograph; it is not
imported here, so that the core runs without DGL.
The names below are imported on first use: the settings of this room need neither NumPy nor SciPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csrms_dist.sampling.build import build_candidates, negative_candidates, positive_candidates
    from csrms_dist.sampling.candidates import Candidates, load_candidates, save_candidates
    from csrms_dist.sampling.class_aware import HAS_LABEL, IN_PATTERN, LOOKS_LIKE, ClassAwareSubgraph, LocalEdges
    from csrms_dist.sampling.protocol import Sampler, edge_keys
    from csrms_dist.sampling.reference_sampler import ReferenceSampler
    from csrms_dist.sampling.strategies import NEGATIVES, POSITIVES
    from csrms_dist.sampling.strategies.means import nearest_patterns, pattern_means
    from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE, BatchSubgraph, Edges
    from csrms_dist.sampling.write import write_candidates

__all__ = [
    "HAS_LABEL",
    "IN_PATTERN",
    "LOOKS_LIKE",
    "NEGATIVE",
    "NEGATIVES",
    "POSITIVE",
    "POSITIVES",
    "BatchSubgraph",
    "Candidates",
    "ClassAwareSubgraph",
    "Edges",
    "LocalEdges",
    "ReferenceSampler",
    "Sampler",
    "build_candidates",
    "edge_keys",
    "load_candidates",
    "nearest_patterns",
    "negative_candidates",
    "pattern_means",
    "positive_candidates",
    "save_candidates",
    "write_candidates",
]

_MODULES = {
    "strategies": ("NEGATIVES", "POSITIVES"),
    "subgraph": ("NEGATIVE", "POSITIVE", "BatchSubgraph", "Edges"),
    "candidates": ("Candidates", "load_candidates", "save_candidates"),
    "class_aware": ("HAS_LABEL", "IN_PATTERN", "LOOKS_LIKE", "ClassAwareSubgraph", "LocalEdges"),
    "protocol": ("Sampler", "edge_keys"),
    "reference_sampler": ("ReferenceSampler",),
    "build": ("build_candidates", "negative_candidates", "positive_candidates"),
    "write": ("write_candidates",),
    "strategies.means": ("nearest_patterns", "pattern_means"),
}
_PLACE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACE[name]}"), name)
