"""Randomness without a stream: every draw is a hash of what it is for.

A stable hash of an id decides its split, shard and order; a hash of (seed, epoch, edge) decides which neighbour is
drawn. So a result does not depend on who computes it, in which order, or on how many workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

U64: TypeAlias = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def hash_ids(ids: Iterable[str], purpose: str) -> U64:
    """blake2b of each id's UTF-8, (N,) uint64; `purpose` (at most 16 bytes) keeps split, shard, order independent."""
    person = purpose.encode()
    return np.array(
        [int.from_bytes(hashlib.blake2b(i.encode(), digest_size=8, person=person).digest(), "little") for i in ids],
        dtype=np.uint64,
    )


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


def uniform(*parts: int | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """`mix` as float64 in [0, 1), 53 random bits."""
    return (mix(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(n: int, *parts: int) -> npt.NDArray[np.int64]:
    """A permutation of range(n) that is a function of `parts` alone."""
    return np.argsort(mix(*parts, np.arange(n)), kind="stable")
