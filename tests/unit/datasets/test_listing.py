"""Every image of a tree is listed once, in the same order whoever lists it, links, odd names and all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.datasets import listing
from csrms_dist.datasets.listing import Listed, list_images, names_of
from csrms_dist.datasets.manifest import manifest_of_folder
from csrms_dist.errors import DataError, RunDirectoryError

NAMES = st.sampled_from(["a", "b.", "é", "a b", "10", "9", "Z", "a-b"])
TREES = st.dictionaries(st.lists(NAMES, max_size=3).map("/".join), st.sets(NAMES, max_size=4), max_size=8)


def tree(root: Path, folders: dict[str, Any]) -> None:
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / f"{name}.png").write_bytes(name.encode())


def rows(listed: Listed, work: Path) -> list[tuple[str, int | None]]:
    found = []
    for block in sorted(listed.blocks, key=lambda block: block.folder):
        names = names_of(work, block.part).slice(block.first, block.count)
        found += [(block.folder + row["name"], row["size"]) for row in names.to_pylist()]
    return found


def listed(root: Path, work: Path, **options: Any) -> tuple[Listed, list[tuple[str, int | None]]]:
    work.mkdir(parents=True)
    found = list_images(f"{root}/", work, 1, **options)
    return found, rows(found, work)


def walked(root: Path) -> list[tuple[str, int]]:
    """What os.walk finds, folder by folder."""
    found = []
    for folder, _, names in os.walk(root):
        below = "" if Path(folder) == root else f"{Path(folder).relative_to(root)}/"
        found += [(below, name, (Path(folder) / name).stat().st_size) for name in names]
    return [(below + name, size) for below, name, size in sorted(found)]


@settings(max_examples=30, deadline=None)
@given(folders=TREES)
def test_a_tree_is_listed_as_it_is(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("t")
    tree(folder / "root", {"": set(), **folders})
    found, got = listed(folder / "root", folder / "work")
    assert got == walked(folder / "root")
    assert found.images == len(got)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wide")
    tree(root, {f"{n % 7}/{n}": [f"{m}" for m in range(n % 5)] for n in range(150)})
    return root


def test_rows_do_not_depend_on_the_hands_or_on_how_much_a_task_lists(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = walked(wide)
    monkeypatch.setattr(listing, "FOLDERS", 3)
    monkeypatch.setattr(listing, "ALONE_S", 0.0)
    (tmp_path / "work").mkdir()
    heard: list[int] = []
    found = list_images(f"{wide}/", tmp_path / "work", 2, on_images=heard.append)
    assert rows(found, tmp_path / "work") == expected
    assert sum(heard) == len(expected)
    assert found.folders == 1 + 7 + 150


def test_a_folder_of_many_files_is_sorted_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "root", {"": [f"{n}" for n in range(40)], "below": ["1"]})
    monkeypatch.setattr(listing, "FILES", 7)
    monkeypatch.setattr(listing, "_pool", lambda *_: pytest.fail("one task is enough here"))
    monkeypatch.setattr(listing, "FOLDERS", 2)
    root = tmp_path / "root"
    assert listed(root / "below", tmp_path / "one")[1] == [("1.png", 1)]
    (root / "below/1.png").unlink()
    (root / "below").rmdir()
    assert listed(root, tmp_path / "two")[1] == walked(root)


def test_sizes_are_left_out_where_nobody_wants_them(tmp_path: Path) -> None:
    tree(tmp_path / "root", {"a": ["1"]})
    assert listed(tmp_path / "root", tmp_path / "work", sizes=False)[1] == [("a/1.png", None)]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path / "root", {"a/b": ["1"]})
    tree(tmp_path / "elsewhere", {"c": ["2"]})
    root = tmp_path / "root"
    (root / "a/up").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "file.png").symlink_to(tmp_path / "elsewhere/c/2.png")
    (root / "itself.png").symlink_to(root / "itself.png")
    (root / "nowhere.png").symlink_to(root / "gone.png")
    assert listed(root, tmp_path / "work")[1] == [
        ("file.png", 1), ("itself.png", None), ("nowhere.png", None), ("a/b/1.png", 1), ("linked/c/2.png", 1)
    ]  # fmt: skip


def test_other_files_hidden_ones_and_names_without_utf_8_are_left_out_and_told(tmp_path: Path) -> None:
    tree(tmp_path / "root", {"a": ["1", "2"], "b": ["3"], ".hidden": ["4"]})
    for name in ("a/read.me", "a/.5.png", "b/x.txt"):
        (tmp_path / "root" / name).write_bytes(b"")
    for name in (b"a/\xe9.png", b"a/\xe8.png"):
        Path(os.fsdecode(os.fsencode(tmp_path / "root/") + b"/" + name)).write_bytes(b"")
    Path(os.fsdecode(os.fsencode(tmp_path / "root") + b"/\xff")).mkdir()
    found = manifest_of_folder(f"{tmp_path}/root", f"{tmp_path}/m.parquet", hands=1)
    where = f"{tmp_path}/root/"
    assert found.notes == (
        f"{where}: 2 files without the suffix of an image left out, the first a/read.me",
        f"{where}: 3 names that are no UTF-8 left out, the first \\xff",
    )
    assert pq.read_table(f"{tmp_path}/m.parquet")["uri"].to_pylist() == [
        f"{where}{name}.png" for name in ("a/1", "a/2", "b/3")
    ]


def test_a_folder_that_cannot_be_listed_or_has_no_image_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    out = tmp_path / "out/m.parquet"
    with pytest.raises(DataError, match="root/: got no image in it, expected images"):
        manifest_of_folder(f"{tmp_path}/root", f"{out}", hands=1)
    with pytest.raises(DataError, match="nowhere/: got 'No such file or directory', expected a folder that can be re"):
        manifest_of_folder(f"{tmp_path}/nowhere", f"{out}", hands=1)
    with pytest.raises(DataError, match=r"--out: got m\.csv, expected a file \*\.parquet"):
        manifest_of_folder(f"{tmp_path}/root", "m.csv", hands=1)
    with pytest.raises(RunDirectoryError):
        manifest_of_folder(f"{tmp_path}/root", "/proc/m.parquet", hands=1)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "root", {"a": ["1", "2"]})
    out = tmp_path / "m.parquet"
    manifest_of_folder(f"{tmp_path}/root", f"{out}", hands=1)
    before = out.read_bytes()

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fails)
    with pytest.raises(RunDirectoryError, match="free some space"):
        manifest_of_folder(f"{tmp_path}/root", f"{out}", hands=1)
    monkeypatch.undo()
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"root", "m.parquet"}
    manifest_of_folder(f"{tmp_path}/root", f"{out}", hands=1)
    assert out.read_bytes() == before


def test_row_groups_are_bounded_and_cut_large_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "root", {"a": map(str, range(25)), "b": ["1", "2"], "c": ["1"]})
    monkeypatch.setattr("csrms_dist.datasets.manifest.GROUP_ROWS", 10)
    manifest_of_folder(f"{tmp_path}/root", f"{tmp_path}/m.parquet", hands=1)
    file = pq.ParquetFile(tmp_path / "m.parquet")
    assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) == 10
    table = file.read()
    assert [(uri.removeprefix(f"{tmp_path}/root/"), size) for uri, size in zip(
        table["uri"].to_pylist(), table["size"].to_pylist(), strict=True
    )] == walked(tmp_path / "root")  # fmt: skip
    assert table["label"].to_pylist() == ["a"] * 25 + ["b"] * 2 + ["c"]
    assert table.schema.metadata == {b"csrms.root": f"{tmp_path}/root/".encode()}
    assert table.schema.field("uri").type == pa.string()
