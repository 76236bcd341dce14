"""Equal values have equal fingerprints, for ever."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.artefacts.fingerprints import canonical_json, file_fingerprint, fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON))
def test_equal_values_have_equal_fingerprints_whatever_their_order(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_json(turned) == canonical_json(value)
    assert fingerprint(turned) == fingerprint(value)
    assert json.loads(canonical_json(value)) == value
    assert len(fingerprint(value)) == 32


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_different_parts_have_different_fingerprints(one: list[Any], two: list[Any]) -> None:
    assert (fingerprint(*one) == fingerprint(*two)) == (canonical_json(one) == canonical_json(two))


def test_fingerprints_never_change() -> None:
    # Finished runs on disk are recognised by these values.
    assert fingerprint("graph", {"b": 1, "a": [0.1, None, "é"]}) == "3beb5c76f21c1d8c02b94071db363472"
    assert fingerprint("a", "b") != fingerprint(["a", "b"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1}, np.float32(1), object()])
def test_what_has_no_canonical_json_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint(value)


def test_file_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 17)
    (tmp_path / "x").write_bytes(data)
    assert file_fingerprint(tmp_path / "x") == hashlib.sha256(data).hexdigest()[:32]
    (tmp_path / "x").write_bytes(b"")
    assert file_fingerprint(str(tmp_path / "x")) == hashlib.sha256().hexdigest()[:32]
