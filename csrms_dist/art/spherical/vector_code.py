"""Vector instructions for the compiled loops of spherical ART: numba has none for bytes, so LLVM's are called.

The product of int8 numbers, with the processor's best instruction for it:

======= ================================ =================================================
set     instruction                      products of one instruction
======= ================================ =================================================
vnni512 AVX-512 VNNI, vpdpbusd           64, uint8 x int8, summed by fours into int32 lanes
vnni256 the same on 256 bits             32
bw512   AVX-512 BW, vpmaddwd             32, int16 x int16, summed by twos into int32 lanes
avx2    AVX2, vpmaddwd                   16
======= ================================ =================================================

`tile` multiplies four rows by one tile of prototypes. The other functions are plain vector code for any processor.

Notes
-----
vpdpbusd takes unsigned by signed bytes. Rows are stored as q + 128 (0 to 255), and since
(q + 128) . p = q . p + 128 sum(p), each accumulator starts at -128 sum(p) in place of 0. Accumulators wrap modulo 2^32,
so only the result must fit 31 bits: |q . p| <= 2^14 D, which holds for D < 2^17 (`TOO_WIDE`).

numba's cache on disk looks at the file of the compiled function alone: after a change here, empty `__pycache__`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from csrms_dist.basics.arrays import F32, I32, Matrix

#: Rows of one tile: with `vectors` they decide how many accumulators stay in registers.
TILE_ROWS = 4

#: Columns from which an exact product can leave 31 bits.
TOO_WIDE = 1 << 17


class Table(NamedTuple):
    """Prototypes as `tile` reads them. A subclass names the instructions, so that they are part of the type.

    values: (T, G, W, E): T tiles of W prototypes; G groups of E columns, four bytes each; padded with zeros.
    start: (T, W) int32, where the accumulators start. inverse: (T, W) float32, the factor of the estimates.
    """

    values: Matrix
    start: I32
    inverse: F32


class _Vnni512(Table):
    pass


class _Vnni256(Table):
    pass


class _Bw512(Table):
    pass


class _Avx2(Table):
    pass


@dataclass(frozen=True)
class Instructions:
    """One set: int32 lanes of a vector, vectors of a tile, columns in four bytes, LLVM's name of the instruction."""

    table: type[Table]
    needs: tuple[str, ...]
    lanes: int
    vectors: int
    columns: int
    name: str

    @property
    def width(self) -> int:
        """Prototypes of a tile; divides 64."""
        return self.lanes * self.vectors

    @property
    def unsigned(self) -> bool:
        return self.columns == 4

    @property
    def offset(self) -> int:
        """The number that is added to the rows."""
        return 128 if self.unsigned else 0

    @property
    def row_type(self) -> type[np.integer[Any]]:
        return np.uint8 if self.unsigned else np.int16

    @property
    def value_type(self) -> type[np.integer[Any]]:
        return np.int8 if self.unsigned else np.int16


SETS = {
    "vnni512": Instructions(_Vnni512, ("avx512vnni",), 16, 4, 4, "llvm.x86.avx512.vpdpbusd.512"),
    "vnni256": Instructions(_Vnni256, ("avx512vnni", "avx512vl"), 8, 2, 4, "llvm.x86.avx512.vpdpbusd.256"),
    "bw512": Instructions(_Bw512, ("avx512bw",), 16, 4, 2, "llvm.x86.avx512.pmaddw.d.512"),
    "avx2": Instructions(_Avx2, ("avx2",), 8, 2, 2, "llvm.x86.avx2.pmadd.wd"),
}


def _features() -> set[str]:
    """The features that numba compiles for: this processor's, unless its user names others."""
    named = numba.config.CPU_FEATURES
    if named is not None:
        return {feature[1:] for feature in named.split(",") if feature.startswith("+")}
    try:
        host = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this kind of processor
        return set()
    return {name for name, there in host.items() if there and (numba.config.ENABLE_AVX or not name.startswith("avx"))}


def _runnable() -> tuple[str, ...]:
    features = _features()
    return (*(name for name, one in SETS.items() if features.issuperset(one.needs)), "portable")


#: The ways to multiply that this processor has, fastest first. All give the same bits.
PATHS = _runnable()

#: For parts of a compiled loop: their code goes into the loop's.
inlined: Any = numba.njit(error_model="numpy", nogil=True, forceinline=True)


class _Emit:
    """Small helpers to write vector code for LLVM: addresses are integers, loads are aligned to four bytes."""

    i64 = ir.IntType(64)

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def array(self, kind: Any, value: Any) -> tuple[Any, list[Any]]:
        """The address of an array's data, and its shape."""
        made = self.context.make_array(kind)(self.context, self.builder, value)
        return self.builder.ptrtoint(made.data, self.i64), cgutils.unpack_tuple(self.builder, made.shape)

    def number(self, value: int) -> Any:
        return ir.Constant(self.i64, value)

    def plus(self, address: Any, *terms: tuple[Any, Any]) -> Any:
        """address + the sum of the terms' products; a term is a pair of numbers or values."""
        for pair in terms:
            first, second = (self.number(x) if isinstance(x, int) else x for x in pair)
            address = self.builder.add(address, self.builder.mul(first, second))
        return address

    def read(self, address: Any, kind: Any) -> Any:
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = 4
        return value

    def write(self, value: Any, address: Any) -> None:
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer())).align = 4

    def spread(self, value: Any, lanes: int) -> Any:
        """The value in every lane of a vector."""
        kind, i32 = ir.VectorType(value.type, lanes), ir.IntType(32)
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(i32, 0))
        return self.builder.shuffle_vector(
            one, nothing, ir.Constant(ir.VectorType(i32, lanes), [ir.Constant(i32, 0)] * lanes)
        )

    def larger(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)


@intrinsic  # type: ignore[untyped-decorator]
def largest_of_16(typing_context: Any, values: Any, i: Any) -> Any:
    """The largest of values[i], 16 float32 without NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit, f32 = _Emit(context, builder), ir.FloatType()
        address, _ = emit.array(sig.args[0], args[0])
        row = emit.read(emit.plus(address, (args[1], 64)), ir.VectorType(f32, 16))
        name = "llvm.vector.reduce.fmax.v16f32"
        return builder.call(emit.function(name, f32, row.type), [row], fastmath=("nnan",))

    return types.float32(values, i), generate


@intrinsic  # type: ignore[untyped-decorator]
def reaching(typing_context: Any, values: Any, i: Any, first: Any, least: Any) -> Any:
    """Which of the 64 numbers from values[i, first] on are >= least, as the bits of a word."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder)
        address, (_, width) = emit.array(sig.args[0], args[0])
        where = emit.plus(address, (builder.mul(args[1], width), 4), (args[2], 4))
        some = emit.read(where, ir.VectorType(ir.FloatType(), 64))
        return builder.bitcast(builder.fcmp_ordered(">=", some, emit.spread(args[3], 64)), emit.i64)

    return types.uint64(values, i, first, types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; at least one must be."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def ones(typing_context: Any, bits: Any) -> Any:
    """The number of bits that are set."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def tile(typing_context: Any, table: Any, t: Any, rows: Any, i: Any, dots: Any, estimates: Any, peaks: Any) -> Any:
    """Multiply rows i .. i + 3 by the prototypes of tile t; the accumulators stay in registers over all columns.

    table: values and start as in `Table`. rows: (B, G * E), B a multiple of 4. dots: (B, T * W) int32, takes the
    products. estimates: (B, T * W) float32, takes float32(product) * inverse, and peaks: (B, 16) float32, keeps each
    lane's largest estimate so far; or None and None.
    """
    simd = next(one for one in SETS.values() if one.table is table.instance_class)
    lanes, vectors, width = simd.lanes, simd.vectors, simd.lanes * simd.vectors

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder)
        counts, floats = ir.VectorType(ir.IntType(32), lanes), ir.VectorType(ir.FloatType(), lanes)
        words = ir.VectorType(ir.IntType(16), 2 * lanes)
        takes = [counts] * 3 if simd.unsigned else [words] * 2
        multiply = emit.function(simd.name, counts, *takes)

        def accumulate(total: Any, row: Any, prototypes: Any) -> Any:
            if simd.unsigned:
                return builder.call(multiply, [total, row, prototypes])
            pair = [builder.bitcast(row, words), builder.bitcast(prototypes, words)]
            return builder.add(total, builder.call(multiply, pair))

        fields = [emit.array(kind, builder.extract_value(args[0], k)) for k, kind in enumerate(sig.args[0].types)]
        (values_at, (_, groups, _, _)), (start_at, _), (inverse_at, _) = fields
        _, t, _, i, _, _, _ = args
        rows_at, _ = emit.array(sig.args[2], args[2])
        dots_at, (_, dots_width) = emit.array(sig.args[4], args[4])

        tile_at = emit.plus(values_at, (builder.mul(t, groups), 4 * width))
        row_at = [emit.plus(rows_at, (builder.mul(groups, emit.plus(i, (r, 1))), 4)) for r in range(TILE_ROWS)]
        started = [emit.read(emit.plus(start_at, (t, 4 * width), (v, 4 * lanes)), counts) for v in range(vectors)]

        before, loop, after = builder.block, builder.append_basic_block("columns"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        group = builder.phi(emit.i64)
        group.add_incoming(emit.number(0), before)
        totals = [[builder.phi(counts) for _ in range(vectors)] for _ in range(TILE_ROWS)]
        here = emit.plus(tile_at, (group, 4 * width))
        prototypes = [emit.read(emit.plus(here, (v, 4 * lanes)), counts) for v in range(vectors)]
        sums = []
        for r, row in enumerate(totals):
            four = emit.spread(emit.read(emit.plus(row_at[r], (group, 4)), ir.IntType(32)), lanes)
            sums.append([accumulate(total, four, p) for total, p in zip(row, prototypes, strict=True)])
        following = builder.add(group, emit.number(1))
        group.add_incoming(following, loop)
        for row, new in zip(totals, sums, strict=True):
            for total, begin, value in zip(row, started, new, strict=True):
                total.add_incoming(begin, before)
                total.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, after)

        builder.position_at_end(after)
        places = [
            [emit.plus(builder.mul(emit.plus(i, (r, 1)), dots_width), (t, width), (v, lanes)) for v in range(vectors)]
            for r in range(TILE_ROWS)
        ]
        for row, place in zip(sums, places, strict=True):
            for total, where in zip(row, place, strict=True):
                emit.write(total, emit.plus(dots_at, (where, 4)))
        if isinstance(sig.args[5], types.NoneType):
            return context.get_dummy_value()
        estimates_at, _ = emit.array(sig.args[5], args[5])
        peaks_at, _ = emit.array(sig.args[6], args[6])
        inverse = [emit.read(emit.plus(inverse_at, (t, 4 * width), (v, 4 * lanes)), floats) for v in range(vectors)]
        for r, (row, place) in enumerate(zip(sums, places, strict=True)):
            peak_at = emit.plus(peaks_at, (emit.plus(i, (r, 1)), 64))
            peak = emit.read(peak_at, floats)
            for total, where, scale in zip(row, place, inverse, strict=True):
                estimate = builder.fmul(builder.sitofp(total, floats), scale)
                emit.write(estimate, emit.plus(estimates_at, (where, 4)))
                peak = emit.larger(estimate, peak)
            emit.write(peak, peak_at)
        return context.get_dummy_value()

    return types.void(table, t, rows, i, dots, estimates, peaks), generate
