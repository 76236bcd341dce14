"""The sampler port, and the key that decides which candidates are drawn.

Assumptions that every sampler may make and every caller keeps:

- The candidates of one hierarchy never change while a sampler lives.
- An anchor is a row of the hierarchy. A batch may hold a row twice; both get the same neighbours.
- What is drawn for an anchor is a function of (seed, epoch, anchor) and its candidates alone: not of the rest of the
  batch, the order of calls, the number of workers or of threads. No sampler has a random stream.
- All samplers return the same edges in the same order; the contract suite holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from csrms_dist.basics.arrays import F32, F64, I64, U8
from csrms_dist.basics.hashing import uniform
from csrms_dist.errors import ConfigError, DataError
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.class_aware import ClassAwareSubgraph
from csrms_dist.sampling.subgraph import BatchSubgraph

DRAW = 0x64726177
"""Keeps the hash that draws neighbours apart from the other hashes of (seed, epoch)."""


class Sampler(Protocol):
    """Draws the batch sub-graph. Made as a `SamplerType` says."""

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> BatchSubgraph:
        """Anchors (B,), rows of the hierarchy -> their edges in this epoch.

        Of each edge type an anchor gets the candidates with the largest keys, as many as that type's size, or all of
        them when there are fewer; in order of falling key, equal keys by the lower row. Raises DataError for an anchor
        that is no row.
        """
        ...

    def class_aware(self, anchors: npt.NDArray[np.integer], epoch: int) -> ClassAwareSubgraph:
        """The same draw, with the patterns and classes of anchors and neighbours and all edges among them.

        In it the edges of an anchor, its patterns and its classes are a function of (seed, epoch, anchor) alone, as in
        `sample`. Raises DataError for an anchor that is no row, ConfigError where the sampler has no hierarchy.
        """
        ...


@dataclass(frozen=True)
class ClassAwareSampling:
    """A sampler of which every sample is class-aware, for a method that looks at patterns and classes."""

    sampler: Sampler

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> ClassAwareSubgraph:
        return self.sampler.class_aware(anchors, epoch)

    class_aware = sample


SamplerType: TypeAlias = Callable[[Mapping[str, Candidates], Mapping[str, int], int, HierarchyGraph | None], Sampler]
"""Makes a sampler of candidates by edge type, how many to draw by edge type, a seed, and the hierarchy of these rows,
which `class_aware` alone asks for."""


def edge_keys(
    seed: int,
    epoch: int,
    src: npt.NDArray[np.integer],
    dst: npt.NDArray[np.integer],
    priority: U8,
    weight: F32 | None = None,
) -> F64:
    """(E,) float64 in [priority, priority + 1): the key of each edge from a candidate `src` to an anchor `dst`.

    priority + u^(1 / weight), u a hash of (seed, epoch, src, dst), uniform: a higher priority always wins, and within
    one the k largest keys are a draw without replacement in proportion to the weights (Efraimidis and Spirakis,
    Information Processing Letters 97, 2006); without weights, or where all are 1, a uniform one. src, dst: (E,) rows.
    weight: (E,) in (0, 1].
    """
    draw = uniform(DRAW, seed, epoch, src, dst)
    if weight is not None:
        draw = lightened(np.broadcast_to(draw, weight.shape), weight)
    keys = priority + draw
    below: F64 = np.minimum(keys, np.nextafter(priority + 1.0, 0.0))
    return below


def lightened(draw: F64, weight: F32) -> F64:
    """(E,) uniform draws -> u^(1 / weight); where the weight is 1, a draw keeps every bit.

    NumPy computes the powers for whoever needs them: another library's may differ in the last bit.
    """
    light = np.flatnonzero(weight != 1)
    powers = np.array(draw)
    powers[light] **= 1.0 / weight[light].astype(np.float64)
    return powers


def check_sizes(candidates: Mapping[str, Candidates], sizes: Mapping[str, int]) -> int:
    """The number of rows that the candidates are for. Raises ConfigError or DataError when the arguments disagree."""
    if set(candidates) != set(sizes) or not candidates:
        raise ConfigError(
            "sizes of a sampler", got=f"{sorted(sizes)}", expected=f"a size for each of {sorted(candidates)}"
        )
    low = [name for name, size in sizes.items() if size < 1]
    if low:
        raise ConfigError(f"size of {low[0]!r} edges", got=str(sizes[low[0]]), expected="at least 1")
    lengths = {len(some) for some in candidates.values()}
    if len(lengths) != 1:
        raise DataError("candidates", got=f"{sorted(lengths)} anchors", expected="the same anchors for every edge type")
    return lengths.pop()


def check_anchors(anchors: npt.NDArray[np.integer], n_rows: int) -> I64:
    """Anchors as (B,) int64. Raises DataError when one is no row."""
    rows = np.asarray(anchors)
    if rows.ndim != 1 or (rows.size and not np.issubdtype(rows.dtype, np.integer)):
        raise DataError("anchors", got=f"{rows.dtype} of shape {rows.shape}", expected="a vector of row numbers")
    if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= n_rows):
        bad = next(int(row) for row in rows if not 0 <= row < n_rows)
        raise DataError("anchors", got=f"row {bad}", expected=f"rows in 0..{n_rows - 1}", remedy="pass rows, not ids")
    return rows.astype(np.int64)
