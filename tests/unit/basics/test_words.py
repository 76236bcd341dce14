"""Numbers in sentences."""

from __future__ import annotations

from csrms_dist.basics.words import counted


def test_one_is_singular_and_thousands_are_divided() -> None:
    assert [counted(n, "image") for n in (0, 1, 2, 12_345)] == ["0 images", "1 image", "2 images", "12,345 images"]
