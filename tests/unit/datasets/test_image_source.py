"""A source of images has every id once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from csrms_dist.datasets.image_source import in_memory, refuse_repeated
from csrms_dist.errors import DataError
from csrms_dist.labels import LabelSpace

SPACE = LabelSpace(("a",))


def test_a_repeated_id_is_refused_with_its_rows() -> None:
    ids = ["b", "a", "c", "a"]
    message = "made: got the id 'a' in the rows 1 and 3, expected every id once; make the ids unique"
    with pytest.raises(DataError, match=message):
        in_memory("made", SPACE, ids, SPACE.membership([0] * 4), ["train"] * 4, [b""] * 4)
    with pytest.raises(DataError, match=message):
        refuse_repeated("made", pa.array(ids))
    refuse_repeated("made", ids[:3])
