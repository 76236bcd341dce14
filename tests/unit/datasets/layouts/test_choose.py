"""The layouts by name, a user's own among them, and the fingerprint of their files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from csrms_dist.basics.lookup import resolve
from csrms_dist.datasets.layouts import LAYOUTS
from csrms_dist.datasets.layouts.choose import data_fingerprint, open_layout
from csrms_dist.datasets.layouts.layout_format import LayoutFormat
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import ConfigError
from tests.unit.datasets import making

OWN = """
import numpy as np
import pyarrow as pa
from csrms_dist.datasets.layouts.layout_format import ALL, Found, LayoutFormat, Rows

def find(settings):
    images = np.zeros((20, 8, 8, 3), np.uint8)
    ids = pa.array([f"{settings.path}/{k}" for k in range(20)])
    rows = Rows(ids, np.arange(21), np.arange(20) % 2, lambda rows: iter(images[rows]))
    return Found("blank", {ALL: rows}, names={0: "cat", 1: "dog"})

def files(settings):
    return []

BLANK = LayoutFormat(find, files)
"""


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_entry_is_a_layout(name: str) -> None:
    assert isinstance(resolve(LAYOUTS[name]), LayoutFormat)


def test_a_layout_of_the_user_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own_layout.py").write_text(OWN)
    monkeypatch.setattr("sys.path", list(sys.path))
    settings = DataSettings(dataset="own_layout:BLANK", path="here")
    found = open_layout(settings)
    assert (found.name, found.label_space.class_names) == ("blank", ("cat", "dog"))
    assert {name.partition("/")[0] for name in found.train.ids.to_pylist()} == {"here"}
    assert data_fingerprint(settings)
    with pytest.raises(ConfigError, match=r"data\.path: got nothing, .* of the layout own_layout:BLANK lie"):
        open_layout(DataSettings(dataset="own_layout:BLANK"))
    for what, message in (
        (
            "own_layout:find",
            "'own_layout:find', expected a LayoutFormat of own_layout; the nearest is own_layout:BLANK",
        ),
        ("no_layout:BLANK", "whose import says 'ModuleNotFoundError: .*no_layout.py must lie in"),
    ):
        with pytest.raises(ConfigError, match=rf"data\.dataset: got .*{message}"):
            open_layout(DataSettings(dataset=what, path="here"))


def test_the_fingerprint_follows_the_files() -> None:
    making.image_files("a/cat/1.png", "a/dog/2.png")
    making.table("path,label\na/cat/1.png,x\na/dog/2.png,y\nnowhere.png,y\n")
    both = [DataSettings(dataset="folders", path="a"), DataSettings(dataset="csv", path="images.csv")]
    before = [data_fingerprint(settings) for settings in both]
    assert [data_fingerprint(settings) for settings in both] == before
    os.utime("a/cat/1.png", ns=(1, 1))
    after = [data_fingerprint(settings) for settings in both]
    assert all(one != other for one, other in zip(before, after, strict=True))
    making.image_files("a/cat/3.png")
    assert data_fingerprint(both[0]) != after[0]
    assert data_fingerprint(both[1]) == after[1]
    assert data_fingerprint(DataSettings()) == ""
