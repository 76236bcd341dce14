"""Prototypes: means of features over patterns and classes."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.devices import put

ROWS = 1 << 13
"""Rows that are summed at a time: the features may be a memory map that is larger than memory."""


Features: TypeAlias = F32 | Tensor
"""(N, D) on the host, or on the device."""

Own: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Of training rows: their pattern (B,), its mean without them (B, D), and whether nothing is left of it (B,)."""


class Nearest(NamedTuple):
    """The k patterns nearest to each of B features: which (B, k), cosine (B, k), means (B, k, D), mask (B, k), which is
    false where there are fewer; own: of training rows, which are left out of their own mean."""

    which: Tensor
    similarity: Tensor
    means: Tensor
    mask: Tensor
    own: Own | None


def group_sums(features: Features, group: I64, n_groups: int) -> Tensor:
    """(N, D) features and the group (N,) of each row, -1 for none -> (G, D) float64 sums, in row order, where the
    features are."""
    device = features.device if isinstance(features, Tensor) else torch.device("cpu")
    sums = torch.zeros(n_groups + 1, features.shape[1], dtype=torch.float64, device=device)
    for start in range(0, len(features), ROWS):
        some = put(group[start : start + ROWS], device)
        block = features[start : start + ROWS]
        rows = block.double() if isinstance(block, Tensor) else torch.from_numpy(np.asarray(block, np.float64))
        sums.index_add_(0, torch.where(some >= 0, some, n_groups), rows)
    return sums[:n_groups]


def rows_of(features: Features, rows: I64) -> Tensor:
    """Rows (B,) of features (N, D) -> (B, D), where the features are."""
    if isinstance(features, Tensor):
        return features[put(rows, features.device)]
    return torch.from_numpy(features[rows])


class PatternPrototypes:
    """Label-free means of the rows of each pattern. sums (J, D) float64 inside, sizes (J,).

    Made from features (N, D), on the device or on the host, there perhaps memory-mapped, and the pattern of each row
    (N,); no label is seen. What comes out lies on `device`.
    """

    def __init__(self, features: Features, pattern: I64, n_patterns: int, device: torch.device | str = "cpu") -> None:
        self.features, self.pattern, self.device = features, pattern, device
        self.sums = group_sums(features, pattern, n_patterns).to(device)
        self.sizes = put(np.bincount(pattern, minlength=n_patterns), device)

    @cached_property
    def means(self) -> Tensor:
        """(J, D) float32."""
        return (self.sums / self.sizes[:, None].clamp(min=1)).to(torch.float32)

    @cached_property
    def directions(self) -> Tensor:
        """(J, D) float32, the means with length 1."""
        return normalize(self.means, dim=1)

    def nearest(self, features: Tensor, rows: I64 | None, k: int) -> tuple[Tensor, Tensor]:
        """The k prototypes nearest to each of B features, Euclidean on L2-normalised vectors.

        rows (B,) int64: which training rows the features are of; each is left out of its own pattern's mean, and a
        pattern of one image is skipped for that image (its mean would be the image, and its class shares the label).
        None: unseen images. Returns prototypes (B, k, D) and mask (B, k), false where fewer than k patterns remain.
        """
        found = self.nearest_found(features, rows, k)
        return _pad(found.means, found.mask, k)

    def nearest_found(self, features: Tensor, rows: I64 | None, k: int) -> Nearest:
        """The same with where they are and how near, at most as many as there are patterns."""
        means = self.means
        return nearest_found(features, means, min(k, len(means)), self._own(rows), self.directions)

    def _own(self, rows: I64 | None) -> Own | None:
        if rows is None:
            return None
        pattern = put(self.pattern[rows], self.device)
        rest = self.sizes[pattern] - 1
        own = put(rows_of(self.features, rows), self.device).double()
        mean = (self.sums[pattern] - own) / rest.clamp(min=1)[:, None]
        return pattern, mean.to(torch.float32), rest == 0


def nearest_rows(features: Tensor, means: Tensor, k: int, own: Own | None) -> tuple[Tensor, Tensor]:
    """(B, D) features, (J, D) means -> (B, k, D), (B, k) mask; `own` replaces one mean for each feature."""
    found = nearest_found(features, means, k, own)
    return found.means, found.mask


def nearest_found(
    features: Tensor, means: Tensor, k: int, own: Own | None, directions: Tensor | None = None
) -> Nearest:
    """The same with where they are and how near. directions: (J, D), the means with length 1, where they are known."""
    unit = normalize(features.detach(), dim=1)
    similarity = unit @ (normalize(means, dim=1) if directions is None else directions).T
    if own is not None:
        pattern, mean, gone = own
        replaced = (unit * normalize(mean, dim=1)).sum(dim=1).masked_fill(gone, -torch.inf)
        similarity = similarity.scatter(1, pattern[:, None], replaced[:, None])
    value, index = similarity.topk(k, dim=1)
    found = means[index]
    if own is not None:
        found = torch.where((index == own[0][:, None])[:, :, None], own[1][:, None], found)
    return Nearest(index, value, found, value > -torch.inf, own)


def _pad(found: Tensor, mask: Tensor, k: int) -> tuple[Tensor, Tensor]:
    missing = k - found.shape[1]
    if missing <= 0:
        return found, mask
    return (
        torch.cat([found, found.new_zeros(found.shape[0], missing, found.shape[2])], dim=1),
        torch.cat([mask, mask.new_zeros(mask.shape[0], missing)], dim=1),
    )


def group_means(features: Features, group: I64, n_groups: int) -> Tensor:
    """(N, D) features and the group (N,) of each row, -1 for none -> (G, D) means, zero for an empty group."""
    sums = group_sums(features, group, n_groups)
    sizes = put(np.bincount(group[group >= 0], minlength=n_groups), sums.device).clamp(min=1)
    return (sums / sizes[:, None]).to(torch.float32)
