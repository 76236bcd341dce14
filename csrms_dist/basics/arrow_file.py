"""Where the record batches of an Arrow IPC file lie, so that some of them can be read without the rest of the file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from csrms_dist.basics.arrays import I64

TAIL = 10
"""Bytes at the end of an Arrow IPC file: the length of the footer before them, and its magic word."""
_BLOCK = np.dtype([("offset", "<i8"), ("metadata", "<i4"), ("padding", "<i4"), ("body", "<i8")])
_RECORD_BATCHES = 3
"""The field of the footer (Arrow's format/File.fbs) that lists the record batches."""


class RecordBatches(NamedTuple):
    """Where in an Arrow IPC file each record batch begins, where its body does, and where it ends: (n,) int64 each."""

    first: I64
    body: I64
    stop: I64


def footer_bytes(tail: bytes) -> int:
    """The length of the footer of an Arrow IPC file, from its last TAIL bytes."""
    return int.from_bytes(tail[:4], "little")


def record_batches(footer: bytes) -> RecordBatches:
    """The record batches of an Arrow IPC file, from its footer, a FlatBuffers table: pyarrow does not tell places."""

    def number(place: int, size: int) -> int:
        return int.from_bytes(footer[place : place + size], "little")

    table = number(0, 4)
    offsets = table - int.from_bytes(footer[table : table + 4], "little", signed=True)
    slot = 4 + 2 * _RECORD_BATCHES
    place = number(offsets + slot, 2) if slot < number(offsets, 2) else 0
    blocks = np.zeros(0, _BLOCK)
    if place:
        listed = table + place + number(table + place, 4)
        blocks = np.frombuffer(footer, _BLOCK, number(listed, 4), listed + 4)
    first = blocks["offset"].astype(np.int64)
    body = first + blocks["metadata"]
    return RecordBatches(first, body, body + blocks["body"])
