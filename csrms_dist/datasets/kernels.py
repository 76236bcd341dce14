"""Compiled loops over pixels; both release the interpreter's lock."""

from __future__ import annotations

from typing import Any

from csrms_dist.basics.compiling import compiled


@compiled
def gather(file: Any, starts: Any, rows_per_batch: Any, indices: Any, out: Any) -> None:
    """Images `indices` (B,) of a file (bytes) -> out (B, H * W * 3); `starts` are the places of its record batches."""
    width = out.shape[1]
    for i in range(len(indices)):
        batch = indices[i] // rows_per_batch
        first = starts[batch] + (indices[i] - batch * rows_per_batch) * width
        source = file[first : first + width]
        row = out[i]
        for j in range(width):  # written out: assigning the slice takes six times as long
            row[j] = source[j]


@compiled
def channel_sums(pixels: Any, sums: Any) -> None:
    """(H, W, 3) uint8: add to sums (2, 3) int64 the sum and the sum of squares of each channel."""
    for y in range(pixels.shape[0]):
        for c in range(3):
            total = 0
            squares = 0
            for x in range(pixels.shape[1]):
                value = int(pixels[y, x, c])
                total += value
                squares += value * value
            sums[0, c] += total
            sums[1, c] += squares
