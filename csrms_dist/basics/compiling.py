"""The one way to compile a loop: plain order of operations, no fastmath, no threads of its own, without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile `function` at its first call; keep the machine code on disk where some folder can be written."""
    kernel: Kernel
    try:
        kernel = numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # numba found no folder for its cache: an installation that is read-only without a home
        kernel = numba.njit(error_model="numpy", nogil=True)(function)
    return kernel
