"""Which rows are learnt, and in which order: hashes of their ids decide, wherever the rows lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from csrms_dist.basics.arrays import I32, I64, U64
from csrms_dist.basics.hashing import Texts, hash_ids, hash_order, mix, repeated_ids, text_at
from csrms_dist.errors import DataError

_CHUNK = 1 << 20  # ids that are hashed at a time
_PURPOSES = {"order": 0x6F72646572, "shard": 0x7368617264}


class RowKeys:
    """The keys of N rows: ids, as a sequence of str or Arrow strings, whole numbers (N,), or None for 0..N - 1.

    Distinct whole numbers have distinct hashes; ids with equal hashes are ordered by their UTF-8.
    """

    def __init__(self, n: int, ids: Texts | npt.NDArray[np.integer[Any]] | None) -> None:
        self.n = n
        self.ids = ids = None if ids is None else as_ids(ids)
        if ids is not None and len(ids) != n:
            raise DataError("ids", got=f"{len(ids)} ids", expected=f"{n}, one for each row")
        self.whole = ids is None or (isinstance(ids, np.ndarray) and ids.dtype.kind in "iu")

    def name(self, row: int) -> str:
        """The name of a row in messages."""
        if self.ids is None:
            return f"row {row}"
        return f"'{np.asarray(self.ids)[row]}'" if self.whole else f"'{text_at(self.ids, row)}'"

    def refuse_repeated(self) -> None:
        """Raise DataError for a key that two rows have."""
        if self.ids is None:
            return
        if self.whole:
            values, counts = np.unique(self.ids, return_counts=True)
            repeated = [str(values[counts > 1][0])] if (counts > 1).any() else []
        else:
            ids = self.ids if isinstance(self.ids, pa.Array | pa.ChunkedArray) else pa.array(self.ids, pa.string())
            repeated = [text_at(ids, again) for _, again in repeated_ids(ids)[:1]]
        if repeated:
            raise DataError("ids", got=f"'{repeated[0]}' twice", expected="every id once", remedy="make them unique")

    def hashes(self, purpose: str, start: int, stop: int) -> U64:
        """(stop - start,) uint64 of a range of rows."""
        if self.ids is None:
            return mix(_PURPOSES[purpose], np.arange(start, stop))
        if self.whole:
            return mix(_PURPOSES[purpose], np.asarray(self.ids)[start:stop])
        return hash_ids(self.ids[start:stop], purpose)

    def in_order(self, rows: I64) -> I64:
        """Some rows in hash order."""
        if self.whole:
            numbers = rows if self.ids is None else np.asarray(self.ids)[rows]
            return np.asarray(rows[np.argsort(mix(_PURPOSES["order"], numbers), kind="stable")])
        some = self._taken(rows)
        return np.asarray(rows[hash_order(hash_ids(some, "order"), some)])

    def _taken(self, rows: I64) -> Any:
        if isinstance(self.ids, pa.Array | pa.ChunkedArray):
            return self.ids.take(pa.array(rows))
        return [text_at(self.ids, row) for row in rows.tolist()]


def as_ids(ids: Any) -> Any:
    """Names of rows as `RowKeys` keeps them: Arrow strings, a sequence of str, or whole numbers (N,); or DataError."""
    if isinstance(ids, pa.Array | pa.ChunkedArray):
        return _arrow_ids(ids)
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise _no_ids(repr(ids)[:80])
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind in "iu":
        return ids
    if not isinstance(ids, Sequence):  # arrays, series, generators
        ids = list(ids)
    kinds = set(map(type, ids))
    if all(issubclass(kind, str) for kind in kinds):
        return ids
    if all(_is_whole(kind) for kind in kinds):
        whole = np.array(ids)
        if whole.dtype.kind in "iu":
            return whole
        raise _no_ids("whole numbers beyond 64 bits")
    strange = next((k for k, name in enumerate(ids) if not isinstance(name, str) and not _is_whole(type(name))), None)
    raise _no_ids("texts and numbers together" if strange is None else f"{repr(ids[strange])[:80]} for row {strange}")


def _arrow_ids(ids: Any) -> Any:
    if pa.types.is_dictionary(ids.type):
        ids = ids.cast(ids.type.value_type)
    if ids.null_count:
        raise _no_ids(f"{ids.null_count} nulls")
    if pa.types.is_integer(ids.type):
        return np.asarray(ids)
    if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type) or pa.types.is_string_view(ids.type)):
        raise _no_ids(f"Arrow's {ids.type}")
    return ids


def _is_whole(kind: type) -> bool:
    return issubclass(kind, int | np.integer) and kind is not bool


def _no_ids(got: str) -> DataError:
    return DataError("ids", got=got, expected="one text or whole number for each row, all of one kind")


def learning_rows(keys: RowKeys, shards: int, learn_rows: int) -> tuple[I64, I64]:
    """The rows to learn, shard after shard, each in hash order (R,), and the first of each shard (V + 1,).

    All rows if there are at most `learn_rows`, else the learn_rows // shards of smallest hash from each shard.
    """
    quota = keys.n if keys.n <= learn_rows else max(1, learn_rows // shards)
    rows, hashes, shard = np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.int32)
    for start in range(0, keys.n, _CHUNK):
        stop = min(keys.n, start + _CHUNK)
        rows = np.concatenate([rows, np.arange(start, stop)])
        hashes = np.concatenate([hashes, keys.hashes("order", start, stop)])
        own = (keys.hashes("shard", start, stop) % np.uint64(shards)).astype(np.int32)
        shard = np.concatenate([shard, own])
        order = np.lexsort((hashes, shard))
        rows, hashes, shard = rows[order], hashes[order], shard[order]
        # One more than the quota while ties could still be decided by their ids.
        kept = _rank(shard) < quota + (0 if keys.whole else 1)
        rows, hashes, shard = rows[kept], hashes[kept], shard[kept]
    parts = [keys.in_order(rows[shard == k])[:quota] for k in np.unique(shard)]
    sizes = np.bincount(np.unique(shard), [len(part) for part in parts], minlength=shards).astype(np.int64)
    return np.concatenate(parts), np.cumsum([0, *sizes])


def _rank(groups: I32) -> I64:
    """The place of each element within its run of equal values."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
