"""What is put on a device is what was on the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from csrms_dist.basics.devices import put


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_shape_type_values_and_order_in_memory_stay(dtype: type) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype).transpose(0, 2, 1)
    for given in (array, torch.from_numpy(array)):
        found = put(given, "cpu")
        assert found.stride() == (12, 1, 4)
        assert np.array_equal(found.numpy(), array)
        assert found.numpy().dtype == dtype
        absent = put(given, torch.device("meta"))
        assert (absent.shape, absent.stride(), absent.dtype) == (found.shape, found.stride(), found.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.bool_])
def test_on_a_cpu_memory_is_shared_unless_it_is_read_only(dtype: type) -> None:
    array = np.zeros((2, 3), dtype).T
    assert np.shares_memory(put(array, "cpu").numpy(), array)
    array.flags.writeable = False
    found = put(array, "cpu")
    found.fill_(1)
    assert found.stride() == (1, 3)
    assert not array.any()


def test_nothing_and_a_single_number() -> None:
    assert put(np.empty((0, 3), np.uint8), "cpu").shape == (0, 3)
    assert put(np.array(3.0), "cpu").shape == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_goes_to_cuda_may_change_on_the_host_at_once() -> None:
    array = np.arange(1 << 20).reshape(1024, 1024).T
    found = put(array, "cuda")
    expected = array.copy()
    array[:] = 0
    assert found.stride() == (1, 1024)
    assert np.array_equal(found.cpu().numpy(), expected)
