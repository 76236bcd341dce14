"""The column `vector` of users' Parquet files: lists of numbers, one vector a row, all of one width."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrow import is_list, stored_type

VECTOR = "vector"


def holds_numbers(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of numbers."""
    kind = stored_type(kind)
    return is_list(kind) and bool(pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type))


def first_misfit(vectors: pa.Array, width: int) -> tuple[int, int | None] | None:
    """The first row (of lists) that is null, else the first of another length than `width`: (row, its length or None).

    None: every row is a list of `width`.
    """
    if vectors.null_count:
        return int(np.argmax(vectors.is_null().to_numpy(zero_copy_only=False))), None
    lengths = vectors.value_lengths().to_numpy(zero_copy_only=False)
    other = np.flatnonzero(lengths != width)
    return (int(other[0]), int(lengths[other[0]])) if len(other) else None
