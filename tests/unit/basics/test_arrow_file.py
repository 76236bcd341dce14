"""Where record batches lie in an Arrow IPC file: as pyarrow finds them there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from csrms_dist.basics.arrow_file import TAIL, footer_bytes, record_batches


@pytest.mark.parametrize("metadata", [None, {"a": "b" * 100}])
@pytest.mark.parametrize("sizes", [[], [1], [3, 3, 2], [1] * 50])
def test_each_batch_is_read_from_its_place_alone(tmp_path: Path, sizes: list[int], metadata: dict[str, str]) -> None:
    schema = pa.schema([("x", pa.int64()), ("y", pa.large_binary())], metadata=metadata)
    made = [pa.record_batch([list(range(n)), [b"a" * k for k in range(n)]], schema=schema) for n in sizes]
    with pa.OSFile(str(tmp_path / "f.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for batch in made:
            file.write_batch(batch)
    content = (tmp_path / "f.arrow").read_bytes()
    footer = footer_bytes(content[-TAIL:])
    found = record_batches(content[-TAIL - footer : -TAIL])
    assert len(found.first) == len(made)
    for batch, first, body, stop in zip(made, *found, strict=True):
        assert first < body <= stop
        message = pa.ipc.read_message(content[first:stop])
        assert pa.ipc.read_record_batch(message, schema).equals(batch)
