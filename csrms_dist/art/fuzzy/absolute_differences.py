"""How far rows lie from categories, pair by pair: the one loop that all variants of Fuzzy ART spend their time in.

Bytes
    sum_k |a_k - b_k|, an exact integer: the instruction psadbw adds 64 differences at once (32 with AVX2); where the
    processor has neither AVX-512BW nor AVX2, a plain loop gives the same integers.
Floats (float32)
    sum_k max(b_k - a_k, 0), by how much a category b exceeds a row a. Sixteen sums, of every sixteenth k, are added
    pairwise at the end. This order is written out, so it is the same for vectors of every length.

Four rows meet four categories in vector registers: a byte that is loaded is used four times. What the compiler makes of
the plain loops over bytes is about seven times slower.

Numba keeps compiled callers on disk by the date of their own file: after a change here, empty __pycache__.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from csrms_dist.basics.arrays import I32, U8, Matrix
from csrms_dist.basics.compiling import compiled

LINE = 64  # bytes to which rows and categories are padded with zeros
GROUP = 4  # rows and categories are padded to whole groups

_FEATURES = cpu_target.target_context.codegen().magic_tuple()[-1].split(",")  # of the machine numba compiles for
_PSADBW = {"+avx512bw": (64, "llvm.x86.avx512.psad.bw.512"), "+avx2": (32, "llvm.x86.avx2.psad.bw")}
#: Bytes of one psadbw, and the name of its intrinsic; 0 where the plain loop must do.
VECTOR_BYTES, _PSADBW_NAME = next((_PSADBW[f] for f in _PSADBW if f in _FEATURES), (0, ""))
_HAS_FMA = "+fma" in _FEATURES or "+avx512f" in _FEATURES
_TILE = 4 if VECTOR_BYTES == 64 else 2  # rows and categories in registers: 32 registers, or 16 half as wide
_FLOATS = 16

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()


def _vector(kind: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def _function(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Type) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _shuffled(builder: ir.IRBuilder, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(_vector(_I32, len(lanes)), lanes))


def _splat(builder: ir.IRBuilder, value: Any, lanes: int) -> Any:
    undefined = ir.Constant(_vector(value.type, lanes), ir.Undefined)
    return _shuffled(builder, builder.insert_element(undefined, value, _I32(0)), undefined, [0] * lanes)


class _Bytes:
    """acc += psadbw(a, b): eight differences into each 64-bit lane, whose upper half stays zero."""

    loaded = _vector(ir.IntType(8), VECTOR_BYTES)
    sums = _vector(_I64, VECTOR_BYTES // 8)
    cell = _I32

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.psadbw = _function(builder, _PSADBW_NAME, self.sums, self.loaded, self.loaded)

    def added(self, acc: Any, row: Any, category: Any, turn: int) -> Any:
        return self.builder.add(acc, self.builder.call(self.psadbw, [row, category]))

    def narrow(self, accs: list[Any]) -> list[Any]:
        """The lower halves of the lanes, those of two accumulators in one vector."""
        wide = [self.builder.bitcast(acc, _vector(_I32, VECTOR_BYTES // 4)) for acc in accs]
        even = list(range(0, VECTOR_BYTES // 2, 2))
        return [_shuffled(self.builder, a, b, even) for a, b in zip(wide[::2], wide[1::2], strict=True)]

    def total(self, a: Any, b: Any) -> Any:
        return self.builder.add(a, b)


class _Floats:
    """acc += max(category - row, 0).

    Subtracting by fma(row, -1, category) and adding by fma(excess, 1, acc) rounds as subtracting and adding do, and
    uses the multipliers, which would stand idle beside the adders: the tile takes 0.6 of the time.
    """

    loaded = sums = _vector(_F32, _FLOATS)
    cell = _F32

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        if _HAS_FMA:  # an empty assembly instruction: of a constant the compiler would make an addition again
            one = builder.asm(ir.FunctionType(_F32, [_F32]), "", "=x,0", [_F32(1.0)], False)
            self.one = _splat(builder, one, _FLOATS)
            self.minus_one = builder.fneg(self.one)
        self.fma = _function(builder, f"llvm.fma.v{_FLOATS}f32", *[self.sums] * 4)

    def added(self, acc: Any, row: Any, category: Any, turn: int) -> Any:
        builder, zero = self.builder, ir.Constant(self.sums, [0.0] * _FLOATS)
        excess = builder.call(self.fma, [row, self.minus_one, category]) if _HAS_FMA else builder.fsub(category, row)
        excess = builder.select(builder.fcmp_ordered(">", excess, zero), excess, zero)
        if _HAS_FMA and turn % 2:
            return builder.call(self.fma, [excess, self.one, acc])
        return builder.fadd(acc, excess)

    def narrow(self, accs: list[Any]) -> list[Any]:
        return accs

    def total(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b)


def _sums_of_lanes(kind: Any, builder: ir.IRBuilder, accs: list[Any]) -> Any:
    """One vector whose lane i is the sum of the lanes of accumulator i: pairs of vectors, even plus odd lanes."""
    vectors = kind.narrow(accs)
    lanes = vectors[0].type.count
    for _ in range((lanes * len(vectors) // len(accs)).bit_length() - 1):
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True)) if len(vectors) > 1 else [(vectors[0],) * 2]
        vectors = [
            kind.total(
                _shuffled(builder, a, b, list(range(0, 2 * lanes, 2))),
                _shuffled(builder, a, b, list(range(1, 2 * lanes, 2))),
            )
            for a, b in pairs
        ]
    return vectors[0]


def _tile(n_rows: int, n_categories: int) -> Any:
    """table[r + i, c + j] = the sum over rows[r + i], categories[c + j], for i < n_rows, j < n_categories.

    The arrays are C-contiguous, rows and categories uint8 or float32 and at least one LINE wide, the table int32 or
    float32.
    """

    def tile(context: Any, rows: Any, r: Any, categories: Any, c: Any, table: Any) -> Any:
        bytes_ = rows.dtype == numba.types.uint8

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            kind = (_Bytes if bytes_ else _Floats)(builder)
            item = 1 if bytes_ else 4

            def address(position: int, first: Any, count: int, size: int) -> tuple[list[Any], Any]:
                """The address of row first + i of an array for each i < count, and the bytes of a row."""
                kind_of_array = signature.args[position]
                array = context.make_array(kind_of_array)(context, builder, arguments[position])
                width = builder.mul(cgutils.unpack_tuple(builder, array.shape)[1], _I64(size))
                base = builder.add(builder.ptrtoint(array.data, _I64), builder.mul(first, width))
                return [builder.add(base, builder.mul(width, _I64(i))) for i in range(count)], width

            def pointer(where: Any, kind_of_value: ir.Type) -> Any:
                return builder.inttoptr(where, kind_of_value.as_pointer())

            row_bases, width = address(0, arguments[1], n_rows, item)
            category_bases, _ = address(2, arguments[3], n_categories, item)
            cell_bases, _ = address(4, arguments[1], n_rows, 4)
            before, loop = builder.block, builder.append_basic_block("along")
            after = builder.append_basic_block("after")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(_I64)
            k.add_incoming(_I64(0), before)
            accs = [builder.phi(kind.sums) for _ in range(n_rows * n_categories)]
            zero = ir.Constant(kind.sums, [0] * kind.sums.count)

            def load(base: Any) -> Any:
                vector = builder.load(pointer(builder.add(base, k), kind.loaded))
                vector.align = 1
                return vector

            columns = [load(base) for base in category_bases]
            sums: list[Any] = []
            for base in row_bases:
                row = load(base)
                for column in columns:
                    n = len(sums)
                    sums.append(kind.added(accs[n], row, column, n))
            step = VECTOR_BYTES if bytes_ else 4 * _FLOATS
            following = builder.add(k, _I64(step))
            k.add_incoming(following, loop)
            for acc, total in zip(accs, sums, strict=True):
                acc.add_incoming(zero, before)
                acc.add_incoming(total, loop)
            builder.cbranch(builder.icmp_signed("<", following, width), loop, after)
            builder.position_at_end(after)
            cells = _sums_of_lanes(kind, builder, sums)
            offset = builder.mul(arguments[3], _I64(4))
            for i, base in enumerate(cell_bases):
                part = _shuffled(builder, cells, cells, list(range(i * n_categories, (i + 1) * n_categories)))
                store = builder.store(part, pointer(builder.add(base, offset), _vector(kind.cell, n_categories)))
                store.align = 4
            return context.get_dummy_value()

        return numba.types.void(rows, numba.types.intp, categories, numba.types.intp, table), generate

    return intrinsic(tile)


_square = _tile(_TILE, _TILE)
_column = _tile(_TILE, 1)


@compiled
def plain_pairs(rows: Any, n_rows: Any, categories: Any, first: Any, last: Any, table: Any) -> Any:
    """Bytes on any machine: table[r, c] = sum_k |rows[r, k] - categories[c, k]| for r < n_rows, first <= c < last.

    Every step is cast to int32: so the compiler knows the pattern and uses what psadbw the machine has.
    """
    for r in range(n_rows):
        row = rows[r]
        for c in range(first, last):
            category = categories[c]
            total = np.int32(0)
            for k in range(row.shape[0]):
                difference = np.int32(np.int32(row[k]) - np.int32(category[k]))
                total = np.int32(total + np.int32(abs(difference)))
            table[r, c] = total


@compiled
def vector_pairs(rows: Any, n_rows: Any, categories: Any, first: Any, last: Any, table: Any) -> Any:
    """The same in vector registers, and that of floats; whole groups are computed.

    The first category must begin a group, unless it is the only one.
    """
    if last == first + 1:
        for r in range(0, n_rows, _TILE):
            _column(rows, r, categories, first, table)
        return
    for c in range(first, last, _TILE):
        for r in range(0, n_rows, _TILE):
            _square(rows, r, categories, c, table)


def pairs(rows: Any, n_rows: Any, categories: Any, first: Any, last: Any, table: Any) -> None:
    """For compiled callers: fill table[:n_rows, first:last] with the fastest kernel that this machine runs.

    rows, categories: C-contiguous uint8 or float32, both of one width that is a multiple of LINE bytes; table: int32
    or float32. Heights are multiples of GROUP: cells up to the next whole group are overwritten too.
    """
    raise NotImplementedError("pairs is compiled")


def _choose(rows: Any, n_rows: Any, categories: Any, first: Any, last: Any, table: Any) -> Callable[..., None]:
    kernel = vector_pairs if VECTOR_BYTES or rows.dtype != numba.types.uint8 else plain_pairs

    def run(rows: Any, n_rows: Any, categories: Any, first: Any, last: Any, table: Any) -> None:
        kernel(rows, n_rows, categories, first, last, table)

    return run


overload(pairs)(_choose)


@compiled
def _fill(rows: Any, categories: Any, table: Any) -> Any:
    pairs(rows, rows.shape[0], categories, 0, categories.shape[0], table)


def padded(x: Matrix, rows: int | None = None) -> Matrix:
    """A copy with zeros to whole lines and groups (and at least `rows` rows), which begins at a line of the cache."""
    per_line = LINE // x.itemsize
    height = -(-max(len(x), rows or 0) // GROUP) * GROUP
    shape = (height, -(-x.shape[1] // per_line) * per_line)
    memory = np.zeros(shape[0] * shape[1] * x.itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    result = memory[start : start + shape[0] * shape[1] * x.itemsize].view(x.dtype).reshape(shape)
    result[: len(x), : x.shape[1]] = x
    return result


def absolute_differences(rows: U8, categories: U8) -> I32:
    """L1 distances between byte rows (N, W) and byte categories (J, W): (N, J) int32, exact for W up to 8 million.

    Examples
    --------
    >>> absolute_differences(np.array([[0, 255], [7, 7]], np.uint8), np.array([[10, 5]], np.uint8))
    array([[260],
           [  5]], dtype=int32)
    """
    a, b = padded(rows), padded(categories)
    table = np.zeros((len(a), len(b)), np.int32)
    _fill(a, b, table)
    return table[: len(rows), : len(categories)].copy()
