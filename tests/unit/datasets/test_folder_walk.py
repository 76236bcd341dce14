"""Folders as people have them: links, links to themselves, names that are no UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.datasets.folder_walk import shown, walk
from csrms_dist.errors import DataError


def files(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def test_links_are_followed_once() -> None:
    files("a/x/1", "a/x/deep/2", "b/3", "a/.hidden/4", "a/.5")
    Path("a/x/again").symlink_to("../x")
    Path("a/x/deep/top").symlink_to("../..")
    Path("a/to_b").symlink_to("../b")
    Path("a/nowhere").symlink_to("nothing")
    Path("a/itself").symlink_to("itself")
    assert [below for below, _ in walk("a")] == ["itself", "nowhere", "to_b/3", "x/1", "x/deep/2"]
    assert [below for below, _ in walk("a", {"x", "to_b"})] == ["itself", "nowhere"]


@pytest.mark.parametrize("root", [".", "./", "a/..", "a/../"])
def test_any_spelling_of_a_root(root: str) -> None:
    files("a/1", "2")
    assert [below for below, _ in walk(root)] == ["2", "a/1"]
    assert all(Path(entry.path).is_file() for _, entry in walk(root))


def test_a_folder_that_cannot_be_listed() -> None:
    files("a/x/1")
    entries = walk("a")
    Path("a/x/1").unlink()
    Path("a/x").rmdir()
    assert list(entries) == []
    with pytest.raises(DataError, match=r"a: got 'Not a directory', expected a folder that can be read"):
        Path("a").rmdir()
        files("a")
        list(walk("a"))


@given(st.binary(min_size=1, max_size=8))
def test_any_name_can_be_shown(name: bytes) -> None:
    text = shown(os.fsdecode(name))
    assert text.encode().decode() == text
    try:
        assert text == name.decode()
    except UnicodeDecodeError:
        assert "\\x" in text
