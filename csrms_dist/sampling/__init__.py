"""Class-aware graph sampling (CSRMS sec. 4.2): a hierarchy's candidates, and a batch's neighbours drawn from them.

    candidates = build_candidates(graph, features, settings)            # once a hierarchy
    sampler = ReferenceSampler(candidates, {"positive": 10, "negative": 10}, seed=0)
    subgraph = sampler.sample(rows, epoch)                              # once a batch
    neighbours, mask = subgraph.dense("negative", 10)

`dgl_sampler.DglSampler` draws the same edges through DGL; it is not imported here, so that the core runs without DGL.
The names below are imported on first use: the settings of this room need neither NumPy nor SciPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csrms_dist.sampling.build import build_candidates, negative_candidates, positive_candidates
    from csrms_dist.sampling.candidates import Candidates, load_candidates, save_candidates
    from csrms_dist.sampling.protocol import Sampler, edge_keys
    from csrms_dist.sampling.reference_sampler import ReferenceSampler
    from csrms_dist.sampling.strategies import NEGATIVES, POSITIVES
    from csrms_dist.sampling.strategies.class_members import positive_patterns
    from csrms_dist.sampling.strategies.means import nearest_patterns, pattern_means
    from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE, BatchSubgraph, Edges
    from csrms_dist.sampling.write import write_candidates

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

_MODULES = (
    "strategies", "subgraph", "candidates", "protocol", "reference_sampler", "build", "write",
    "strategies.means", "strategies.class_members",
)  # fmt: skip
"""Where the names are, the light modules first."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = import_module(f"{__name__}.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
