"""What would make the host wait for the device within a step."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
WAITS = {
    _aten._local_scalar_dense.default: "a number is read back (.item(), float(), bool(), an if)",
    _aten.nonzero.default: "a size depends on values (nonzero, a boolean index)",
    _aten.masked_select.default: "a size depends on values (masked_select)",
    _aten.equal.default: "two tensors are compared as a whole",
}


class NothingWaits(TorchDispatchMode):
    """Within this block any such operation is an AssertionError."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        assert function not in WAITS, f"{function}: {WAITS[function]}"
        if function in (_aten.index.Tensor, _aten.index_put_.default):
            indices = [some for some in arguments[1] if some is not None]
            assert not any(some.dtype == torch.bool for some in indices), "a boolean index: a size depends on values"
        return function(*arguments, **(keywords or {}))
