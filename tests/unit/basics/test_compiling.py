"""Compiled loops work wherever their code comes from."""

from __future__ import annotations

from csrms_dist.basics.compiling import compiled


def test_a_kernel_compiles_where_its_code_cannot_be_cached():
    scope: dict = {}
    exec("def double(x):\n    return 2 * x\n", scope)  # noqa: S102  (no file, so numba has no folder for it)
    assert compiled(scope["double"])(21) == 42
