"""Compiled loops of strategies: whole numbers alone, so that they give the same on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrms_dist.basics.compiling import compiled

_EXCLUDED = np.iinfo(np.int64).max  # distances.EXCLUDED
_POSITION = (1 << 31) - 1  # as distances.positions


@compiled
def exclude_relatives(
    keys: Any, rows: Any, indptr: Any, indices: Any, anchors: Any, own_indptr: Any, own_indices: Any, n_classes: int
) -> None:
    """Set keys (R, M) to EXCLUDED, in place, where anchors[r] and rows[m] have a label in common.

    indptr, indices: the labels of rows, a CSR matrix. own_indptr, own_indices: those of anchors.
    """
    label, of = np.empty(0, np.int64), np.empty(0, np.int64)
    for fill in (False, True):
        n = 0
        for m in range(len(rows)):
            for p in range(indptr[rows[m]], indptr[rows[m] + 1]):
                if fill:
                    label[n], of[n] = indices[p], m
                n += 1
        if not fill:
            label, of = np.empty(n, np.int64), np.empty(n, np.int64)
    turn = np.full(n_classes, -1, np.int64)
    for r in range(len(anchors)):
        for p in range(own_indptr[anchors[r]], own_indptr[anchors[r] + 1]):
            turn[own_indices[p]] = r
        for e in range(len(label)):
            if turn[label[e]] == r:
                keys[r, of[e]] = _EXCLUDED


@compiled
def count_labels(
    query: Any, neighbour: Any, own_indptr: Any, own_indices: Any, indptr: Any, indices: Any, both: Any, either: Any
) -> None:
    """Fill both (E,) and either (E,): the numbers of labels that anchor query[e] and row neighbour[e] share, and that
    one of them has. Memberships are CSR matrices, labels ascending in each row."""
    for e in range(len(query)):
        p, end = own_indptr[query[e]], own_indptr[query[e] + 1]
        q, last = indptr[neighbour[e]], indptr[neighbour[e] + 1]
        labels, common = (end - p) + (last - q), 0
        while p < end and q < last:
            if own_indices[p] == indices[q]:
                common += 1
                p += 1
                q += 1
            elif own_indices[p] < indices[q]:
                p += 1
            else:
                q += 1
        both[e], either[e] = common, labels - common


ANYWHERE = -2
"""In the place of a pattern: rows of the class may lie in any."""

FEW = 8
"""Fewer places than this for each row wanted are all looked through."""

TRIES = 64
"""Draws for each row wanted, before all places are looked through."""

_DRAW = np.uint64(0x64726177)  # keeps the hash that draws apart from those that rank and cap
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@compiled
def _finalised(x: Any) -> Any:
    x = (x ^ (x >> _S30)) * _MIX_1
    x = (x ^ (x >> _S27)) * _MIX_2
    return x ^ (x >> _S31)


@compiled
def mixed(purpose: Any, a: Any, b: Any) -> Any:
    """`basics.hashing.mix(purpose, a, b)` of three uint64."""
    return _finalised((_finalised((_finalised(purpose + _GOLDEN) ^ a) + _GOLDEN) ^ b) + _GOLDEN)


@compiled
def hash_rows(keys: Any, widths: Any, anchors: Any, rows: Any, purpose: Any, hashes: Any) -> None:
    """hashes (R, W) = hash of (purpose, anchor, row), uint64, of the first widths[r] keys (R, M) to rows (M,).

    anchors: (R,), rows or -1. The hashes of one anchor all differ, since the last step of the hash is a bijection.
    """
    for r in range(len(keys)):
        state = _finalised((_finalised(purpose + _GOLDEN) ^ np.uint64(anchors[r])) + _GOLDEN)
        for c in range(widths[r]):
            hashes[r, c] = _finalised((state ^ np.uint64(rows[keys[r, c] & _POSITION])) + _GOLDEN)


@compiled
def _class_intervals(
    own: Any, only: Any, avoid: Any, begins: Any, places: Any, member_indptr: Any, starts: Any, stops: Any, via: Any
) -> Any:
    """Where the rows of the labels `own` lie in `places`; via: the label of each interval. How many there are."""
    n = 0
    for label in own:
        low, high = begins[label], begins[label + 1]
        if only[label] >= 0:
            some = places[low:high]
            high = low + np.searchsorted(some, member_indptr[only[label] + 1])
            low += np.searchsorted(some, member_indptr[only[label]])
        elif only[label] == -1:
            continue
        cut = high
        if avoid >= 0:
            cut = low + np.searchsorted(places[low:high], member_indptr[avoid])
            starts[n], stops[n], via[n] = cut + np.searchsorted(places[cut:high], member_indptr[avoid + 1]), high, label
            n += 1
        starts[n], stops[n], via[n] = low, cut, label
        n += 1
    return n


@compiled
def _other_intervals(own: Any, begins: Any, starts: Any, stops: Any) -> Any:
    """The listing by class without the classes `own`. How many intervals there are."""
    low = np.int64(0)
    for i in range(len(own)):
        starts[i], stops[i] = low, begins[own[i]]
        low = begins[own[i] + 1]
    starts[len(own)], stops[len(own)] = low, begins[-1]
    return len(own) + 1


@compiled
def _reached_first(labels: Any, mark: Any, turn: Any, only: Any, pattern: Any) -> Any:
    """The first label that an anchor and a row of this pattern have in common, where such rows count; -1 for none."""
    for label in labels:
        if mark[label] == turn and (only[label] == ANYWHERE or only[label] == pattern):
            return np.int64(label)
    return np.int64(-1)


@compiled
def _is_stranger(labels: Any, mark: Any, turn: Any) -> Any:
    found = True
    for label in labels:
        found = found and mark[label] != turn
    return found


@compiled
def _is_new(row: Any, table: Any) -> Any:
    """Put a row into an open-addressed table of a power of two of places, -1 where free; whether it was not in it."""
    place = np.int64(mixed(_DRAW, np.uint64(0), np.uint64(row)) & np.uint64(len(table) - 1))
    while table[place] >= 0:
        if table[place] == row:
            return False
        place = (place + 1) & (len(table) - 1)
    table[place] = row
    return True


@compiled
def _located(x: Any, starts: Any, stops: Any) -> Any:
    """The x-th place of some intervals: (the interval, the place)."""
    i = 0
    while x >= stops[i] - starts[i]:
        x -= stops[i] - starts[i]
        i += 1
    return i, starts[i] + x


@compiled
def draw(
    found: Any, anchors: Any, rows: Any, avoided: Any, own_indptr: Any, own_indices: Any, only: Any, begins: Any,
    places: Any, member_rows: Any, member_indptr: Any, patterns: Any, indptr: Any, indices: Any, same: Any,
) -> None:  # fmt: skip
    """Fill found (R, size) with rows for anchors (R,), positions in rows (Q,); -1 stays where there are no more.

    avoided: (Q,), a pattern that is left out, or -1. own_indptr, own_indices: labels of the anchors; indptr, indices:
    of the rows; both CSR. only: (K,) of `draws.of_same_class`. begins, places: `Lookups.by_class`. same: whether rows
    share a label with the anchor, or none.
    """
    size, n_rows = found.shape[1], len(member_rows)
    most, slots = 1, 2
    for q in anchors:
        most = max(most, own_indptr[q + 1] - own_indptr[q])
    while slots < 2 * size:
        slots *= 2
    mark, table = np.full(len(begins) - 2, -1, np.int64), np.empty(slots, np.int64)
    starts, stops, via = (
        np.empty(2 * most + 1, np.int64),
        np.empty(2 * most + 1, np.int64),
        np.empty(2 * most, np.int64),
    )
    for r in range(len(anchors)):
        q = anchors[r]
        anchor, avoid, own = rows[q], avoided[q], own_indices[own_indptr[q] : own_indptr[q + 1]]
        for label in own:
            mark[label] = r
        by_class = True
        if same:
            n = _class_intervals(own, only, avoid, begins, places, member_indptr, starts, stops, via)
        else:
            n = _other_intervals(own, begins, starts, stops)
        total = np.int64(0)
        for i in range(n):
            total += stops[i] - starts[i]
        if not same and avoid >= 0:
            elsewhere = n_rows - (member_indptr[avoid + 1] - member_indptr[avoid])
            if elsewhere < total:  # fewer rows lie outside the pattern than outside the classes
                by_class, total = False, elsewhere
                starts[0], stops[0], starts[1], stops[1] = 0, member_indptr[avoid], member_indptr[avoid + 1], n_rows
        table[:] = -1
        hashes, fitting = np.empty(0, np.uint64), np.empty(0, np.int64)
        count = 0
        for look_through in (False, True):  # draws; then, where they do not suffice, all places
            tries = TRIES * size if total > FEW * size else np.int64(0)
            if look_through:
                if count == size:
                    break
                count, tries = 0, total
                hashes, fitting = np.empty(total, np.uint64), np.empty(total, np.int64)
            for t in range(tries):
                x = np.int64(t)
                if not look_through:
                    x = np.int64(mixed(_DRAW, np.uint64(anchor), np.uint64(t)) % np.uint64(total))
                i, place = _located(x, starts, stops)
                row = member_rows[places[place]] if by_class else member_rows[place]
                labels = indices[indptr[row] : indptr[row + 1]]
                if row == anchor or patterns[row] == avoid:
                    continue
                # A row of several labels lies in the listing by class several times, and counts at the first of them.
                if same:
                    if _reached_first(labels, mark, r, only, patterns[row]) != via[i]:
                        continue
                elif not _is_stranger(labels, mark, r) or (
                    by_class and len(labels) and not begins[labels[0]] <= place < begins[labels[0] + 1]
                ):
                    continue
                if look_through:
                    hashes[count], fitting[count] = mixed(_DRAW, np.uint64(anchor), np.uint64(row)), row
                    count += 1
                elif _is_new(row, table):
                    found[r, count] = row
                    count += 1
                    if count == size:
                        break
            if look_through:
                found[r] = -1
                order = np.argsort(hashes[:count])[:size]
                found[r, : len(order)] = fitting[order]
