"""How rows and prototypes are cut for a device: chunks of columns, tiles of prototypes, blocks of rows."""

from __future__ import annotations

from typing import NamedTuple

CHUNKS = (32, 64, 128)
"""Columns that the tensor cores are given at once: rows and prototypes are padded with zeros to whole chunks."""


class Shape(NamedTuple):
    """How Triton's kernels cut the work; no result depends on it. Powers of two, but for the stages.

    rows: of a block. tile: prototypes of a tile, at least 16. warps, stages: of a block.
    settle_warps: of a row.
    """

    rows: int = 128
    tile: int = 128
    warps: int = 8
    stages: int = 3
    settle_warps: int = 4


def chunk_of(columns: int) -> int:
    """The smallest chunk that holds all columns, else the largest.

    >>> [chunk_of(columns) for columns in (1, 33, 64, 1280)]
    [32, 64, 64, 128]
    """
    return next((chunk for chunk in CHUNKS if columns <= chunk), CHUNKS[-1])
