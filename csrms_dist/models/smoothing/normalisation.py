"""The weight of an edge from the numbers of edges at its two ends, each at least 1."""

from __future__ import annotations

from torch import Tensor


def row(of_row: Tensor, of_column: Tensor) -> Tensor:
    """D^-1 A: rows add up to 1, so a node averages what it is linked to."""
    return 1 / of_row.expand(_shape(of_row, of_column))


def symmetric(of_row: Tensor, of_column: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 (Kipf and Welling, 2017)."""
    return (of_row * of_column).rsqrt()


def row_l2(of_row: Tensor, of_column: Tensor) -> Tensor:
    """Rows of length 1, as the code released with CSRMS has them: they add up to the root of the degree."""
    return of_row.rsqrt().expand(_shape(of_row, of_column))


def _shape(of_row: Tensor, of_column: Tensor) -> tuple[int, ...]:
    return (of_row + of_column).shape
