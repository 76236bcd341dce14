"""Figures of instances that stand beside the hierarchy: they are stored and asked about, and no training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import F32, I64, Bools


@dataclass(frozen=True)
class Figures:
    """The properties of IN_PATTERN beside score and difficulty, each of shape (N,), in the order of the hierarchy.

    distance, outlier: `csrms_dist.art.outliers`. support, doubted, suggested, suggested_share: `hierarchy.support`; of
    doubted and suggested the indices of the classes, -1 for none.
    """

    distance: F32
    outlier: Bools
    support: F32
    doubted: I64
    suggested: I64
    suggested_share: F32

    @classmethod
    def none(cls, n: int) -> Figures:
        """Of n instances of which nothing was measured: no distance, no outlier, no support, no suggestion."""
        nothing = np.zeros(n, np.float32)
        return cls(nothing, np.zeros(n, np.bool_), nothing, np.full(n, -1), np.full(n, -1), nothing)

    def columns(self, start: int, stop: int, class_names: Sequence[str]) -> dict[str, Any]:
        """Rows start..stop as columns of IN_PATTERN, which names classes: '' where there is none."""
        names = pa.array([*class_names, ""])
        found = {field.name: getattr(self, field.name)[start:stop] for field in fields(self)}
        for which in ("doubted", "suggested"):
            found[which] = names.take(pa.array(found[which] % len(names)))
        return found
