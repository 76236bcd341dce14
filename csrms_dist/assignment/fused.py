"""Kernels of Triton: products of int8 rows and prototypes that no memory holds, and the exact winner among a few.

`scan` multiplies blocks of rows by tiles of prototypes on the tensor cores, with int32 sums, and keeps two float32
numbers a row: the largest estimate of a value, with its tile, and the largest outside of that tile. Estimates are those
of `int8_products`, so where the second is farther from the first than the roundings of both, the winner lies in the
tile; `settle` divides the products with that one tile in float64. A product is converted, multiplied and compared once.

Parameters of kernels have no types: Triton would take the names for values.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from csrms_dist.assignment.padding import Shape


def scan(q: Tensor, p: Tensor, inverse: Tensor, chunk: int, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """The largest estimate of each row, the largest outside of its tile, and the tile.

    q: (n, W) int8, n >= 1. p: (T * tile, W) int8, W whole chunks. inverse: (T * tile,) float32.
    Returns (n,) float32, float32 (-inf where there is one tile) and int32.
    """
    top = torch.empty(len(q), dtype=torch.float32, device=q.device)
    second, tile = torch.empty_like(top), torch.empty(len(q), dtype=torch.int32, device=q.device)
    _scan[(triton.cdiv(len(q), shape.rows),)](
        q, p, inverse, top, second, tile, len(q), len(p) // shape.tile,
        WIDTH=q.shape[1], CHUNK=chunk, ROWS=shape.rows, TILE=shape.tile,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return top, second, tile


def settle(
    q: Tensor, p: Tensor, roots: Tensor, tile: Tensor, count: int, chunk: int, shape: Shape
) -> tuple[Tensor, Tensor, Tensor]:
    """The winner of each row among the prototypes of its tile, ties to the highest index; its product; q . q.

    roots: (T * tile,) float64, lengths of the prototypes. count: prototypes, the others pad. Returns (n,) int32 each.
    """
    winner, dot, own = (torch.empty_like(tile) for _ in range(3))
    _settle[(len(q),)](
        q, p, roots, tile, winner, dot, own, count,
        WIDTH=q.shape[1], CHUNK=min(chunk, 64), TILE=shape.tile, num_warps=shape.settle_warps,
    )  # fmt: skip
    return winner, dot, own


@triton.jit  # type: ignore[untyped-decorator]
def _scan(  # type: ignore[no-untyped-def]
    q, p, inverse, top_out, second_out, tile_out, n, tiles,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, CHUNK)
    lanes = tl.arange(0, TILE)
    places = q + tl.minimum(rows, n - 1).to(tl.int64)[:, None] * WIDTH + columns[None, :]
    top = tl.full((ROWS,), float("-inf"), tl.float32)
    second = tl.full((ROWS,), float("-inf"), tl.float32)
    best = tl.zeros((ROWS,), tl.int32)
    block = tl.load(places)  # where there is one chunk it stays
    for t in range(tiles):
        j = t * TILE + lanes
        others = p + j.to(tl.int64)[:, None] * WIDTH + columns[None, :]
        if WIDTH == CHUNK:
            dots = tl.dot(block, tl.trans(tl.load(others)), out_dtype=tl.int32)
        else:
            dots = tl.zeros((ROWS, TILE), tl.int32)
            for k in range(0, WIDTH, CHUNK):
                dots = tl.dot(tl.load(places + k), tl.trans(tl.load(others + k)), dots, out_dtype=tl.int32)
        largest = tl.max(dots.to(tl.float32) * tl.load(inverse + j)[None, :], axis=1)
        second = tl.maximum(second, tl.minimum(top, largest))
        best = tl.where(largest > top, t, best)
        top = tl.maximum(top, largest)
    tl.store(top_out + rows, top, mask=rows < n)
    tl.store(second_out + rows, second, mask=rows < n)
    tl.store(tile_out + rows, best, mask=rows < n)


@triton.jit  # type: ignore[untyped-decorator]
def _settle(  # type: ignore[no-untyped-def]
    q, p, roots, tile, winner, dot, own, count,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, CHUNK)
    j = tl.load(tile + row) * TILE + tl.arange(0, TILE)
    others = p + j.to(tl.int64)[:, None] * WIDTH + columns[None, :]
    dots = tl.zeros((TILE,), tl.int32)
    squares = tl.zeros((CHUNK,), tl.int32)
    for k in range(0, WIDTH, CHUNK):
        x = tl.load(q + row * WIDTH + k + columns).to(tl.int32)
        dots += tl.sum(tl.load(others + k).to(tl.int32) * x[None, :], axis=1)
        squares += x * x
    value = tl.where(j < count, dots.to(tl.float64) / tl.load(roots + j), float("-inf"))
    largest = tl.max(value, axis=0)
    chosen = tl.max(tl.where(value == largest, j, -1), axis=0)
    tl.store(winner + row, chosen)
    tl.store(dot + row, tl.sum(tl.where(j == chosen, dots, 0), axis=0))
    tl.store(own + row, tl.sum(squares, axis=0))
