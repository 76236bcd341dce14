"""Numbers in sentences."""

from __future__ import annotations


def counted(n: int, word: str) -> str:
    """A number of things.

    >>> counted(1, "outlier"), counted(2000, "image")
    ('1 outlier', '2,000 images')
    """
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"
