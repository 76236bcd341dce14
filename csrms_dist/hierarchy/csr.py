"""Sparse (R, C) arrays in canonical form: equal values are equal bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from csrms_dist.basics.arrays import I64, Matrix
from csrms_dist.hierarchy.graph import Csr


def canonical_csr(
    data: Matrix, indices: npt.NDArray[np.integer], indptr: npt.NDArray[np.integer], shape: tuple[int, int]
) -> Csr:
    """A CSR array that shares `data`; index arrays int32 where that suffices, so that equal values are equal bytes."""
    kind = np.int32 if max(len(data), *shape) < 2**31 else np.int64
    return sparse.csr_array((data, np.asarray(indices, kind), np.asarray(indptr, kind)), shape=shape)


def with_data(matrix: Csr, data: Matrix) -> Csr:
    """A CSR array with the sparsity of `matrix` and other stored values (explicit zeros stay stored)."""
    return canonical_csr(data, matrix.indices, matrix.indptr, matrix.shape)


def stored_rows(matrix: Csr) -> I64:
    """The row of each stored value of a CSR array, (nnz,) int64."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
