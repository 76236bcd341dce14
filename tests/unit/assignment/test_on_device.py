"""A device of torch gives the bytes of the processor's kernel, whatever the rows, the shape and the way it computes."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, settings

from csrms_dist.art.spherical.int8_products import nearest, placed
from csrms_dist.art.spherical.vector_code import TOO_WIDE
from csrms_dist.assignment import blocks, on_device
from csrms_dist.assignment.on_device import OnDevice
from csrms_dist.assignment.padding import Shape
from csrms_dist.errors import ClusterError, DataError
from tests.unit.assignment.cases import SMALL, as_cuda_multiplies, cases, rows_of, same
from tests.unit.assignment.interpreted import CHECKS

FUSED = "csrms_dist.assignment.fused"
QUICK = settings(deadline=None, max_examples=60)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(autouse=True)
def conditions(monkeypatch):
    if not torch.cuda.is_available():
        monkeypatch.setattr(torch, "_int_mm", as_cuda_multiplies)
    for module in (blocks, on_device):
        monkeypatch.setattr(module, "LEAST_ROWS", 1)


@QUICK
@cases(70)
@example("extreme", 0, 1, 1, 1, 1.0)
@example("equal", 1, 33, 90, 33, 0.5)
def test_the_products_of_torch_give_the_kernel_s_bytes(kind, seed, n, j, d, rho):
    q, p = rows_of(kind, seed, n, j, d)
    same(OnDevice("cpu", few=0, fuse=False, shape=SMALL)(q, p, rho), placed(q, p, rho))


def test_the_fused_kernels_give_the_kernel_s_bytes():
    """In a process whose Triton runs kernels one operation after the other, without a GPU."""
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.assignment.interpreted"], cwd=Path(__file__).parents[3], text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{len(CHECKS)}", "checks"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rows", [1, 17, 64, 200])
def test_blocks_change_nothing(device, rows, monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "MOST_ROWS", rows)
    q, p = rows_of("any", 1, 200, 150, 20)
    np.save(tmp_path / "q.npy", q)
    expected = placed(q, p, 0.1)
    for given_rows in (q, np.asfortranarray(q), np.load(tmp_path / "q.npy", mmap_mode="r")):
        same(OnDevice(device, few=0)(given_rows, p, 0.1), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [1, 1 << 18, 1 << 30])
def test_many_prototypes_take_several_steps(device, cells, monkeypatch):
    monkeypatch.setattr(on_device, "_CELLS", cells)
    q, p = rows_of("tied", 2, 300, 2500, 9)
    same(OnDevice(device, few=0)(q, p, 0.4), placed(q, p, 0.4))


@pytest.mark.parametrize("device", DEVICES)
def test_other_ways_to_cut_change_nothing(device):
    q, p = rows_of("any", 3, 500, 700, 64)
    for shape in (Shape(), Shape(64, 64, 4, 2), Shape(128, 256, 8, 3)):
        same(OnDevice(device, few=0, shape=shape)(q, p, 0.4), placed(q, p, 0.4))


def test_what_the_processor_does_itself():
    for q, p in (rows_of("any", 4, 3, 2, 5), (np.zeros((0, 3), np.int8), np.ones((2, 3), np.int8))):
        same(OnDevice("cpu")(q, p, 0.4), placed(q, p, 0.4))
    wide = np.ones((1, TOO_WIDE), np.int8)
    assert OnDevice("cpu", few=0)(wide, wide, 0.0).winner.tolist() == nearest(wide, wide)[0].tolist()
    with pytest.raises(DataError, match="int8"):
        OnDevice("cpu", few=0)(wide.astype(float), wide, 0.0)


def test_it_travels_to_other_processes():
    sent = pickle.dumps(OnDevice("cpu", few=3))
    assert pickle.loads(sent) == OnDevice("cpu", few=3)  # noqa: S301


def test_where_memory_lacks_blocks_become_smaller(monkeypatch):
    q, p = rows_of("any", 5, 100, 20, 6)
    asked, whole = [], blocks.Blocks.__init__

    def short(self, q, width, rows, device):
        asked.append(rows)
        if rows > 10:
            raise torch.OutOfMemoryError("no memory")
        whole(self, q, width, rows, device)

    monkeypatch.setattr(blocks.Blocks, "__init__", short)
    same(OnDevice("cpu", few=0)(q, p, 0.4), placed(q, p, 0.4))
    assert asked == [100, 25, 6]


def test_where_it_holds_no_block_a_sentence_says_so(monkeypatch):
    def none(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(blocks.Blocks, "__init__", none)
    q, p = rows_of("any", 5, 100, 20, 6)
    with pytest.raises(ClusterError, match=r"the memory of cpu: got less than 1 rows .* set cluster.device to cpu"):
        OnDevice("cpu", few=0)(q, p, 0.4)


@pytest.mark.parametrize(
    ("width", "chunk"), [(64, 64), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((32, 32), (256, 128)))]
)
def test_the_kernels_compile_for_gpus_that_are_not_here(width, chunk, tmp_path, monkeypatch):
    """What the interpreter runs need not compile."""
    compiler = pytest.importorskip("triton.compiler")
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    fused = importlib.import_module(FUSED)
    for kernel, types, sizes, exact in (
        (fused._scan, "q*i8 p*i8 inverse*fp32 top_out*fp32 second_out*fp32 tile_out*i32 n.i32 tiles.i32", ["ROWS"],
         "s32.s8.s8"),
        (fused._settle, "q*i8 p*i8 roots*fp64 tile*i32 winner*i32 dot*i32 own*i32 count.i32", [], "div.rn.f64"),
    ):  # fmt: skip
        names = {name: kind for name, _, kind in (word.replace(".", " ").replace("*", " *").partition(" ")
                                                  for word in types.split())}  # fmt: skip
        values = {"WIDTH": width, "CHUNK": chunk, "TILE": 128, **dict.fromkeys(sizes, 128)}
        source = compiler.ASTSource(kernel, names | dict.fromkeys(values, "constexpr"), values)
        made = compiled(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8})
        assert exact in made.asm["ptx"], "whole numbers on the tensor cores; quotients rounded to the nearest"
