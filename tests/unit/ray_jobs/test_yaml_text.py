"""YAML as it is meant: a key once in its mapping, and one sentence for what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrms_dist.errors import ConfigError
from ray_jobs.settings import load_settings
from ray_jobs.yaml_text import YamlError, values_of


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        (b"train:\n  epochs: 3\nseed: 1\ntrain:\n  workers: 1\n", 4, "train twice (first in line 1)"),
        (b"train:\n  lr: 0.1\n  'lr': 0.2\n", 3, "lr twice (first in line 2)"),
        (b"a: {b: [{c: 1, c: 1}]}", 1, "c twice (first in line 1)"),
        (b"x: &x {b: 1}\na:\n  <<: *x\n  c: 1\n  c: 2\n", 5, "c twice (first in line 4)"),
        (b"train: {epochs: 3", 1, "'expected ',' or '}', but got '<stream end>''"),
        (b"a: 1\n\tb: 2\n", 2, "'found character '\\t' that cannot start any token'"),
        (b"a: !!python/name:os.system", 1, "'could not determine a constructor for the tag"),
        (b"a: 2024-13-45", 0, "a value that is none"),
        (b"a: \xff", 0, "characters that are no text"),
        (b"[" * 20000, 0, "sections within sections beyond measure"),
    ],
)
def test_what_is_refused(text: bytes, line: int, got: str) -> None:
    with pytest.raises(YamlError) as caught:
        values_of(text)
    assert caught.value.line == line
    assert caught.value.got.startswith(got)


def test_aliases_and_merges_are_legal() -> None:
    text = """
    base: &base {b: 1}
    deep: {more: &more {<<: *base, b: 2}}  # composed before it is merged elsewhere
    merged: {<<: *more, c: 3}
    list: {<<: [*base, *more]}
    again: [*base, *base]
    1: one
    "1": text
    """
    assert values_of(text) == {
        "base": {"b": 1}, "deep": {"more": {"b": 2}}, "merged": {"b": 2, "c": 3}, "list": {"b": 1},
        "again": [{"b": 1}, {"b": 1}], 1: "one", "1": "text",
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_in_any_unicode(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes("name: café".encode(encoding))
    assert load_settings(tmp_path / "c.yaml").name == "café"


def test_a_repeated_key_in_an_override() -> None:
    with pytest.raises(ConfigError, match=r"--set train: got '\{epochs: 1, epochs: 2\}', expected a YAML value"):
        load_settings(None, ["train={epochs: 1, epochs: 2}"])
