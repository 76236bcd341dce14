"""Class-aware graph sampling (CSRMS sec. 4.2): a hierarchy's candidates, and a batch's neighbours drawn from them.

Of use alone, in a torch loop of your own. With features (N, D) and the tensor `bank` of them, patterns (N,) of any
clustering, labels (N,), sizes = {"positive": 1, "negative": 1} and triplet = torch.nn.TripletMarginLoss():

    sampler = ReferenceSampler(build_candidates(hierarchy_of(patterns, labels), features), sizes, seed=0)
    for epoch in range(10):
        for rows in torch.randperm(len(features)).split(128):
            batch = sampler.sample(rows.numpy(), epoch)
            (near, has_near), (far, has_far) = batch.dense("positive", 1), batch.dense("negative", 1)
            both = np.flatnonzero(has_near & has_far)
            loss = triplet(model(bank[rows[both]]), model(bank[near[both, 0]]), model(bank[far[both, 0]]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

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
