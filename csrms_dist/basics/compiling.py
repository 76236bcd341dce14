"""The one way to compile a loop: plain order of operations, no fastmath, no threads of its own, without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import event

from csrms_dist.basics.progress import waiting_for

COMPILING = "compiling its loops, which only the first run after an installation does"
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


class _Compiling(event.Listener):  # type: ignore[misc]
    """Says that loops are compiled, which takes up to a minute; machine code that is read from disk is no event."""

    def on_start(self, event: event.Event) -> None:
        waiting_for(COMPILING)

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _Compiling())


def compiled(function: Kernel) -> Kernel:
    """Compile `function` at its first call; keep the machine code on disk where some folder can be written."""
    kernel: Kernel
    try:
        kernel = numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # numba found no folder for its cache: an installation that is read-only without a home
        kernel = numba.njit(error_model="numpy", nogil=True)(function)
    return kernel
