"""The nearest int8 prototype of each int8 row on a device of torch, to the bytes of `art.spherical.int8_products`.

Products of bytes with int32 sums are exact everywhere, so only what follows them could differ, and it is the same:
float64 quotients of whole numbers, each operation rounded as IEEE 754 says, and ties to the highest index.

- `fused` (Triton, on a GPU): one pass, which keeps no product, finds the tile of prototypes in which the winner lies,
  and that tile alone is divided. Rows whose winner could also lie elsewhere go the other way: one in ten thousand of
  random rows, and all where prototypes of different tiles lie in the same direction.
- `exact` (`torch._int_mm`, anywhere): tiles of prototypes one after the other, all divided, with a running winner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from csrms_dist.art.placing import Placed
from csrms_dist.art.spherical import int8_products
from csrms_dist.art.spherical.int8_products import BELOW, NO_DIRECTION, REACHES
from csrms_dist.art.spherical.vector_code import TOO_WIDE
from csrms_dist.assignment.blocks import LEAST_ROWS, Blocks, Results, rows_of_a_block
from csrms_dist.assignment.padding import Shape, chunk_of
from csrms_dist.basics.arrays import I8
from csrms_dist.errors import ClusterError

_CELLS = 1 << 22  # products of one step of `exact`, each with its quotient
_WIDTH = 1024  # prototypes of such a step, or a multiple for few rows: a step costs as much as starting its kernels
_SLACK = 1e-6  # relative, of float32; as in `int8_products`, twice what the roundings of two estimates can amount to


@dataclass(frozen=True)
class OnDevice:
    """A `Placing` on a device of torch; a value that travels to any process.

    device: 'cuda', 'cuda:1', 'cpu'. at_once: rows that are best given in one call. few: fewer products than these the
    processor makes. fuse: whether Triton's kernels are used; None: on a GPU where Triton is installed. shape: how they
    cut the work. No result depends on any of these.
    """

    device: str = "cuda"
    at_once: int = 1 << 23
    few: int = 1 << 26
    fuse: bool | None = None
    shape: Shape = field(default_factory=Shape)

    def __call__(self, q: I8, p: I8, vigilance: float) -> Placed:
        """Rows q (N, D) among prototypes p (J, D), J >= 1; q may be memory-mapped.

        Raises DataError for arrays of another type or shape, ClusterError where the device's memory holds no block.
        """
        int8_products.check(q, p)
        if len(q) * len(p) < max(1, self.few) or not 0 < p.shape[1] < TOO_WIDE:
            return int8_products.placed(q, p, vigilance)
        device = torch.device(self.device)
        if device.type != "cuda":
            return self._placed(q, p, vigilance, device)
        with torch.cuda.device(device):  # Triton starts its kernels on the current one
            return self._placed(q, p, vigilance, device)

    def _placed(self, q: I8, p: I8, vigilance: float, device: torch.device) -> Placed:
        found = Placed(np.empty(len(q), np.int32), np.empty(len(q), np.float32), np.empty(len(q), np.int8))
        rows = 0
        while True:
            try:
                table = Table.of(p, device, self.shape.tile)
                rows = rows or rows_of_a_block(len(q), table.p.shape[1], device)
                self._place(q, table, vigilance, rows, found)
                return found
            except torch.OutOfMemoryError as error:
                if rows <= LEAST_ROWS:
                    raise ClusterError(
                        f"the memory of {device}", got=f"less than {rows:,} rows and {len(p):,} prototypes take",
                        expected="room for them", remedy="end what else computes there, or set cluster.device to cpu",
                    ) from error  # fmt: skip
                if device.type == "cuda":
                    torch.cuda.synchronize(device)  # before memory that copies still go to is given away
                rows = max(LEAST_ROWS, rows // 4)

    def _place(self, q: I8, table: Table, vigilance: float, rows: int, found: Placed) -> None:
        blocks = Blocks(q, table.p.shape[1], rows, table.p.device)
        before: Results | None = None
        for part, block in blocks:
            begun = self.begin(block, table)
            blocks.fetch_next()  # on its way while this one is computed
            if before is not None:
                before.into(found)
            before = Results(part, self.finish(block, begun, table, vigilance), blocks.beside)
        if before is not None:
            before.into(found)

    def begin(self, q: Tensor, table: Table) -> Begun | None:
        """What `fused` finds for rows (n, W) on the device, not waited for; None where it is not used."""
        if not (q.is_cuda and find_spec("triton") is not None if self.fuse is None else self.fuse):
            return None
        from csrms_dist.assignment import fused

        chunk = chunk_of(table.columns)
        top, second, tile = fused.scan(q, table.p, table.inverse, chunk, self.shape)
        winner, dot, own = fused.settle(q, table.p, table.roots, tile, table.count, chunk, self.shape)
        return Begun(winner, dot, own, (second >= top - top.abs() * _SLACK) & (own > 0))

    def finish(self, q: Tensor, begun: Begun | None, table: Table, vigilance: float) -> list[Tensor]:
        """winner, score and state of the rows, on the device."""
        if begun is None:
            winner, dot = exact(q, table)
            own = _squares(q)
        else:
            winner, dot, own, unsettled = begun
            rows = unsettled.nonzero()[:, 0]
            if len(rows):
                winner[rows], dot[rows] = exact(q[rows], table)
        winner = torch.where(own == 0, table.count - 1, winner)
        product, square = dot.double(), table.squares[winner]
        score = product / table.roots[winner] / own.clamp(min=1).double().sqrt()
        reached = product >= vigilance * (own.double() * square).sqrt()
        state = torch.where(own == 0, NO_DIRECTION, torch.where(reached, REACHES, BELOW))
        return [winner, score.float(), state.to(torch.int8)]


class Begun(NamedTuple):
    """Of rows, (n,) each: winner, its product, q . q, int32; unsettled: whether it could be another, bool."""

    winner: Tensor
    dot: Tensor
    own: Tensor
    unsettled: Tensor


@dataclass(frozen=True, eq=False)
class Table:
    """Prototypes on the device: J of D columns, padded to whole tiles T and, with zeros, to whole chunks W.

    p: (T, W) int8. inverse: (T,) float32, 1 / roots. roots, squares: (T,) float64, lengths (1 for a zero), p . p.
    count: J. columns: D. What pads the tiles are copies of the last prototype, in its tile: the largest value of a tile
    is that of one of the J.
    """

    p: Tensor
    inverse: Tensor
    roots: Tensor
    squares: Tensor
    count: int
    columns: int

    @classmethod
    def of(cls, p: I8, device: torch.device, tile: int) -> Self:
        """The table of p (J, D)."""
        count, columns = p.shape
        chunk = chunk_of(columns)
        padded = np.zeros((-(-count // tile) * tile, -(-columns // chunk) * chunk), np.int8)
        padded[:count, :columns] = p
        padded[count:] = padded[count - 1]
        squares = int8_products.squares_of(padded)
        roots = np.sqrt(np.maximum(squares, 1).astype(np.float64))
        arrays = padded, (1 / roots).astype(np.float32), roots, squares.astype(np.float64)
        there, inverse, lengths, wide = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(there, inverse, lengths, wide, count, columns)


def exact(q: Tensor, table: Table) -> tuple[Tensor, Tensor]:
    """The winner among all prototypes, ties to the highest index, and its product. q: (n, W) int8. (n,) int32 each."""
    width = min(len(table.p), max(1, _CELLS // len(q) // _WIDTH) * _WIDTH)
    step = max(32, _CELLS // width)
    parts = [_exact(q[start : start + step], table, width) for start in range(0, len(q), step)]
    winner, dot = (torch.cat(values) for values in zip(*parts, strict=True))
    return winner, dot


def _exact(q: Tensor, table: Table, width: int) -> tuple[Tensor, Tensor]:
    n = len(q)
    q = torch.nn.functional.pad(q, (0, 0, 0, -n % 32))  # CUDA multiplies more than 16 rows, and some numbers of them
    numbers = torch.arange(width, dtype=torch.int32, device=q.device)
    best = torch.full((len(q),), -torch.inf, dtype=torch.float64, device=q.device)
    winner, dot = (torch.zeros(len(q), dtype=torch.int32, device=q.device) for _ in range(2))
    for start in range(0, len(table.p), width):
        dots = torch._int_mm(q, table.p[start : start + width].T)
        values = dots.double() / table.roots[start : start + width]
        values[:, max(0, table.count - start) :] = -torch.inf
        largest = values.amax(dim=1)
        last = torch.where(values == largest[:, None], numbers[: values.shape[1]], -1).amax(dim=1)
        better = largest >= best
        best = torch.maximum(best, largest)
        winner = torch.where(better, last + start, winner)
        dot = torch.where(better, dots.gather(1, last[:, None].long())[:, 0], dot)
    return winner[:n], dot[:n]


def _squares(q: Tensor) -> Tensor:
    """q . q of each row, (n,) int32."""
    step = max(1, _CELLS // q.shape[1])
    parts = [q[start : start + step].int().square().sum(dim=1, dtype=torch.int32) for start in range(0, len(q), step)]
    return torch.cat(parts)
