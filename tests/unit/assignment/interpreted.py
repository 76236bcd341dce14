"""Checks of the kernels of Triton, for a process with TRITON_INTERPRET=1; prints how many have passed."""

from __future__ import annotations

import torch
from hypothesis import example, settings

from csrms_dist.art.spherical.int8_products import placed
from csrms_dist.assignment import on_device
from csrms_dist.assignment.on_device import OnDevice
from tests.unit.assignment.cases import SMALL, as_cuda_multiplies, cases, rows_of, same

WAY = OnDevice("cpu", few=0, fuse=True, shape=SMALL)


@settings(deadline=None, max_examples=8, database=None)
@cases(20)
@example("extreme", 0, 1, 1, 1, 1.0)
@example("equal", 1, 17, 40, 33, 0.5)
@example("any", 2, 20, 40, 129, 0.1)
def any_rows(kind, seed, n, j, d, rho):
    q, p = rows_of(kind, seed, n, j, d)
    same(WAY(q, p, rho), placed(q, p, rho))


def few_rows_are_left_to_the_other_way():
    """Else it were not the fused kernels that find winners: random rows have theirs in one tile."""
    left, exact = [], on_device.exact
    on_device.exact = lambda q, table: left.append(len(q)) or exact(q, table)
    q, p = rows_of("any", 0, 24, 60, 64)
    q[3] = 0
    same(WAY(q, p, 0.2), placed(q, p, 0.2))
    assert sum(left) <= 1
    p[50] = p[2]  # of another tile
    q[:] = p[2]
    same(WAY(q, p, 0.2), placed(q, p, 0.2))
    assert left[-1] == 24
    on_device.exact = exact


CHECKS = (any_rows, few_rows_are_left_to_the_other_way)

if __name__ == "__main__":
    torch._int_mm = as_cuda_multiplies
    for check in CHECKS:
        check()
    print(len(CHECKS), "checks")
