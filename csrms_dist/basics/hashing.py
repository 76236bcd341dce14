"""Randomness without a stream: every draw is a hash of what it is for.

A stable hash of an id decides its split, shard and order; a hash of (seed, epoch, edge) decides which neighbour is
drawn. So a result does not depend on who computes it, in which order, or on how many workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from csrms_dist.basics.arrays import F64, I64, U64

Texts: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray
"""Texts in memory, or Arrow strings, which may be memory-mapped."""

_TEXTS = 1 << 14  # Arrow strings that are Python strings at once

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def texts(values: Iterable[str] | Texts) -> Iterator[str]:
    """The values one by one as str; of Arrow strings only a few are in memory at once."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        yield from values
        return
    for start in range(0, len(values), _TEXTS):
        yield from values.slice(start, _TEXTS).to_pylist()


def text_at(values: Texts, place: int) -> str:
    """One of the values as str."""
    value = values[place]
    return str(value.as_py() if isinstance(value, pa.Scalar) else value)


def hash_ids(ids: Iterable[str] | Texts, purpose: str) -> U64:
    """blake2b of each id's UTF-8, (N,) uint64; `purpose` (at most 16 bytes) keeps split, shard, order independent."""
    person = purpose.encode()
    hashes = (
        int.from_bytes(hashlib.blake2b(i.encode(), digest_size=8, person=person).digest(), "little") for i in texts(ids)
    )
    return np.fromiter(hashes, np.uint64, len(ids) if isinstance(ids, Sized) else -1)


def repeated_ids(ids: Texts) -> list[tuple[int, int]]:
    """(row of an id, a later row with the same id), ascending by the later row; empty when every id is there once."""
    hashes = np.fromiter((hash(name) for name in texts(ids)), np.int64, len(ids))
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    found = []
    for place in np.flatnonzero(ordered[1:] == ordered[:-1]).tolist():
        first = int(np.searchsorted(ordered, ordered[place], "left"))
        name = text_at(ids, int(order[place + 1]))
        # Equal hashes may be of different ids: compare with all the earlier rows of this hash.
        same = next((int(row) for row in order[first : place + 1] if text_at(ids, int(row)) == name), None)
        if same is not None:
            found.append((same, int(order[place + 1])))
    return sorted(found, key=lambda pair: pair[1])


def hash_order(hashes: U64, ids: Texts) -> I64:
    """The rows in the order of their hashes, ties by the id's UTF-8 bytes. (N,) int64."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    tied = np.flatnonzero(ordered[1:] == ordered[:-1])
    for value in np.unique(ordered[tied]):
        first, last = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
        order[first:last] = sorted(order[first:last].tolist(), key=lambda row: text_at(ids, row).encode())
    return order


def _finalise(x: U64) -> U64:
    """The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def mix(*parts: int | npt.NDArray[np.integer]) -> U64:
    """Hash the broadcast tuple of integers `parts` to uint64, element by element; scalars alone give shape (1,)."""
    with np.errstate(over="ignore"):
        state = np.zeros((), dtype=np.uint64)
        for part in parts:
            word = np.asarray(part).astype(np.int64).view(np.uint64) if not _is_u64(part) else np.asarray(part)
            state = _finalise(np.atleast_1d((state ^ word) + _GOLDEN))
    return np.asarray(state, dtype=np.uint64)


def _is_u64(part: int | npt.NDArray[np.integer]) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == np.uint64


def uniform(*parts: int | npt.NDArray[np.integer]) -> F64:
    """`mix` as float64 in [0, 1), 53 random bits."""
    return (mix(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(n: int, *parts: int) -> I64:
    """A permutation of range(n) that is a function of `parts` alone."""
    return np.argsort(mix(*parts, np.arange(n)), kind="stable")
