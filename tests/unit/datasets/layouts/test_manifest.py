"""A manifest of a folder is the folder; one of a list is the list; images lie here, there, or in a store."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from csrms_dist.basics import arrow
from csrms_dist.datasets import addresses
from csrms_dist.datasets.decoding import Unreadable, decode
from csrms_dist.datasets.image_source import SPLITS, ImageSource
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.datasets.layouts.choose import data_fingerprint
from csrms_dist.datasets.manifest import manifest_of_folder
from csrms_dist.datasets.manifest_of_list import manifest_of_list
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import ConfigError, DataError
from csrms_dist.labels import label_lists
from tests.unit.datasets import making
from tests.unit.datasets.opening import layout

TREES = {
    "classes": [f"{name}/{n}.png" for name in ("cat", "dog", "the owl") for n in range(5)],
    "splits": [f"{split}/{name}/{n}.png" for split in ("Training", "test") for name in ("cat", "dog") for n in range(3)]
    + ["val/dog/x/y.png", "other/cat/1.png"],
    "training images alone": [f"train/{name}/{n}.png" for name in ("cat", "dog") for n in range(5)],
    "test beside classes": [f"{name}/{n}.png" for name in ("cat", "dog") for n in range(4)] + ["test/cat/9.png"],
    "a class called test": [f"{name}/{n}.png" for name in ("cat", "test") for n in range(4)],
    "some without a label": [f"{name}/{n}.png" for name in ("cat", "dog") for n in range(4)] + ["1.png", "2.png"],
    "no labels": [f"{n}.png" for n in range(5)],
}


def described(source: ImageSource, names: tuple[str, ...]) -> dict[str, tuple[list[str], str]]:
    """Labels and split of each id."""
    labels = [[names[k] for k in row] for row in label_lists(source.membership)]
    rows = zip(source.ids.to_pylist(), labels, source.split.tolist(), strict=True)
    return {name: (row, SPLITS[split]) for name, row, split in rows}


@pytest.mark.parametrize("kind", TREES)
def test_a_manifest_of_a_folder_is_the_folder(kind: str) -> None:
    making.image_files(*(f"pics/{name}" for name in TREES[kind]))
    found = manifest_of_folder("pics", "pics.parquet", hands=1)
    given, listed = (layout(name, path) for name, path in (("folders", "pics"), ("manifest", "pics.parquet")))
    assert listed.label_space == given.label_space
    assert found.classes == given.label_space.n_classes
    names = given.label_space.class_names
    for one, other in ((given.train, listed.train), (given.test, listed.test)):
        assert described(one, names) == described(other, names)
        pixels = dict(zip(one.ids.to_pylist(), map(decode, one.images), strict=True))
        for name, image in zip(other.ids.to_pylist(), other.images, strict=True):
            assert np.array_equal(decode(image), pixels[name])
    assert found.size == sum(Path(f"pics/{name}").stat().st_size for name in TREES[kind] if "other" not in name)
    told = [note for note in given.notes if "left out" in note or "taken for" in note]
    assert [note.replace(f"{Path.cwd()}/", "") for note in found.notes] == told


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (["test/cat/1.png"], "pics: got test/ alone, expected train/ or folders of classes beside it"),
        (["train/cat/1.png", "val/cat/1.png"], "pics: got val/ without test/, expected test/ beside train/ and val/"),
        (["train/a/1.png", "Train/a/1.png"], "pics: got Train/ and train/, expected one folder of the split train"),
    ],
)
def test_folders_that_make_no_data_set_are_refused_when_they_are_listed(tree: list[str], message: str) -> None:
    making.image_files(*(f"pics/{name}" for name in tree))
    with pytest.raises(DataError, match=message):
        manifest_of_folder("pics", "pics.parquet", hands=1)
    assert not Path("pics.parquet").exists()


def written(**columns: Any) -> None:
    pq.write_table(pa.table(columns), "lists/m.parquet")


@pytest.fixture
def images() -> None:
    making.image_files(*(f"lists/p/{n}.png" for n in range(10)), *(f"apart/{n}.png" for n in range(10, 12)))


def test_addresses_are_relative_to_the_file_or_whole(images: None) -> None:
    labels = [["a"], ["b", "a"], [], ["b"]]
    written(uri=[f"p/{n}.png" for n in range(4)], labels=labels)
    found = layout("manifest", "lists/m.parquet", val_fraction=0, test_fraction=0.25)
    assert found.label_space.multi_label
    described_ = described(found.train, ("a", "b")) | described(found.test, ("a", "b"))
    assert {name: row for name, (row, _) in described_.items()} == {
        f"p/{n}.png": sorted(row) for n, row in enumerate(labels)
    }
    mixed = [
        "p/0.png",
        f"{Path.cwd()}/apart/10.png",
        f"file://{Path.cwd()}/apart/11.png",
        f"{Path.cwd()}/lists/p/1.png",
    ]
    written(uri=mixed, label=["a", "b", "a", "b"], split=["train", "train", "test", "test"])
    found = layout("manifest", "lists/m.parquet", val_fraction=0)
    assert found.train.ids.to_pylist() == [f"{Path.cwd()}/lists/p/0.png", f"{Path.cwd()}/apart/10.png"]
    for n, item in zip((11, 1), found.test.images, strict=True):
        assert np.array_equal(decode(item), making.pixels(n))
    written(uri=mixed, label=["a", "b", "a", "b"], id=["w", "x", "y", "z"])
    found = layout("manifest", "lists/m.parquet", val_fraction=0, test_fraction=0.5)
    assert sorted(found.train.ids.to_pylist() + found.test.ids.to_pylist()) == ["w", "x", "y", "z"]


def test_without_labels_nothing_is_labelled_and_what_is_not_there_is_set_aside(images: None, tmp_path: Path) -> None:
    written(uri=["p/0.png", "p/gone.png", "p/2.png"])
    found = layout("manifest", "lists/m.parquet")
    assert found.label_space.n_classes == 0
    wrote = write_image_table(tmp_path / "t.arrow", found.train, shard_images=2)
    assert [(item.id, item.reason) for item in wrote.rejected] == [("p/gone.png", "no such file or directory")]
    assert ImageTable(tmp_path / "t.arrow").uris.to_pylist() == [f"{Path.cwd()}/lists/p/{n}.png" for n in (0, 2)]
    written(uri=["p/0.png", None], id=["a", "b"])
    assert [decode(item) for item in layout("manifest", "lists/m.parquet").train.images][1] == Unreadable("no bytes")


def test_more_than_two_gigabytes_of_ids_have_wider_offsets(
    images: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rows in (("train-0", range(4)), ("train-1", range(4, 8)), ("test", range(8, 10))):
        pq.write_table(
            pa.table({"uri": [f"p/{n}.png" for n in rows], "label": [n % 2 for n in rows]}), f"lists/{name}.parquet"
        )
    plain = layout("manifest", "lists")
    monkeypatch.setattr(arrow, "TEXT_BYTES", 50)
    wide = layout("manifest", "lists")
    assert (plain.train.ids.type, wide.train.ids.type, wide.test.ids.type) == (
        pa.string(), pa.large_string(), pa.large_string()
    )  # fmt: skip
    for name, found in (("plain", plain), ("wide", wide)):
        write_image_table(tmp_path / f"{name}.arrow", found.train, shard_images=3)
    one, other = (ImageTable(tmp_path / f"{name}.arrow") for name in ("plain", "wide"))
    assert one.content_hash == other.content_hash
    for column in ("ids", "uris"):
        assert getattr(one, column).to_pylist() == getattr(other, column).to_pylist()
    assert np.array_equal(one.pixels(np.arange(8)), other.pixels(np.arange(8)))


def test_sides_may_lie_in_files_of_their_own(images: None) -> None:
    for name, rows in (("train-0", range(3)), ("train-1", range(3, 6)), ("test", range(6, 8))):
        pq.write_table(
            pa.table({"uri": [f"p/{n}.png" for n in rows], "label": [n % 2 for n in rows]}), f"lists/{name}.parquet"
        )
    found = layout("manifest", "lists", val_fraction=0)
    assert found.train.ids.to_pylist() == [f"p/{n}.png" for n in range(6)]
    assert [np.array_equal(decode(item), making.pixels(n)) for n, item in enumerate(found.train.images)] == [True] * 6


def test_what_is_no_manifest_is_refused(images: None) -> None:
    written(path=["p/0.png"])
    with pytest.raises(DataError, match=r"lists/m.parquet: got the columns path, expected a column 'uri'; rename it"):
        layout("manifest", "lists/m.parquet")
    Path("lists/m.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="expected a manifest, a Parquet file of uri and perhaps label or labels"):
        layout("manifest", "lists/m.parquet")


# --------------------------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_manifest_of_a_csv_is_the_csv(images: None, column: str) -> None:
    cells = ["a", "", "null", "b", "a;b" if column == "labels" else "a", "b"]
    lines = "".join(f"p/{n}.png,{cell},{'test' if n > 3 else 'train'}\n" for n, cell in enumerate(cells))
    making.table(f"path,{column},split\n{lines}", "lists/t.csv")
    found = manifest_of_list("lists/t.csv", "m.parquet")
    assert (found.images, found.classes, found.notes) == (6, 2, ())
    given, listed = layout("csv", "lists/t.csv", val_fraction=0), layout("manifest", "m.parquet", val_fraction=0)
    assert listed.label_space == given.label_space
    for one, other in ((given.train, listed.train), (given.test, listed.test)):
        assert described(one, ("a", "b")) == described(other, ("a", "b"))
    sizes = pq.read_table("m.parquet")["size"].to_pylist()
    assert sizes == [Path(f"lists/p/{n}.png").stat().st_size for n in range(6)]


def test_lists_of_text_and_parquet(images: None) -> None:
    making.table(f"p/0.png\n\n{Path.cwd()}/apart/10.png\np/gone.png\n", "lists/t.txt")
    found = manifest_of_list("lists/t.txt", "m.parquet")
    assert (found.images, found.notes) == (3, ("lists/t.txt: 1 image not there, to be set aside",))
    assert pq.read_table("m.parquet")["uri"].to_pylist() == [
        f"{Path.cwd()}/{name}" for name in ("lists/p/0.png", "apart/10.png", "lists/p/gone.png")
    ]
    pq.write_table(
        pa.table({"uri": ["p/0.png", "p/1.png"], "labels": pa.array([[0, 1], None]), "other": [1, 2]}),
        "lists/t.parquet",
    )  # fmt: skip
    assert manifest_of_list("lists/t.parquet", "m.parquet", sizes=False).classes == 2
    assert pq.read_table("m.parquet").to_pylist() == [
        {"uri": f"{Path.cwd()}/lists/p/{n}.png", "size": None, "labels": row} for n, row in enumerate([[0, 1], None])
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "file,label\na,b\n", r"lists/t.csv: got the columns file, label, expected a column 'uri' or 'path'"),
        ("t.csv", 'path\na\n""\n', r"lists/t.csv: got nothing in row 1, expected an address in every row"),
        ("t.json", "", "lists/t.json: got nothing of the kind, expected a folder of images, a URI of one, or a list"),
        ("t.txt", "a\udce9\n", "lists/t.txt: got bytes that are no UTF-8, expected a list in UTF-8; save it as such"),
    ],
)
def test_lists_that_are_none_are_refused(images: None, name: str, text: str, message: str) -> None:
    Path("lists", name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        manifest_of_list(f"lists/{name}", "m.parquet")
    assert not Path("m.parquet").exists()


# -------------------------------------------------------------------------------------------------------------- stores


class Store:
    """A bucket that is a folder; `fails` of its objects cannot be read for so many times."""

    def __init__(self, root: Path) -> None:
        self.root, self.fails, self.asked = root, dict[str, int](), 0

    def from_uri(self, uri: str) -> tuple[Any, str]:
        if not uri.startswith("s3://"):
            raise pa.ArrowInvalid(f"unknown scheme: {uri}")
        store = self
        inner = pafs.SubTreeFileSystem(str(self.root), pafs.LocalFileSystem())

        class Bucket:
            def get_file_info(self, asked: Any) -> Any:
                return inner.get_file_info(asked)

            def open_input_file(self, path: str) -> Any:
                return inner.open_input_file(path)

            def open_input_stream(self, path: str) -> Any:
                store.asked += 1
                if store.fails.get(path, 0) > 0:
                    store.fails[path] -= 1
                    raise OSError("the store is busy")
                return inner.open_input_stream(path)

        return Bucket(), uri.removeprefix("s3://").partition("?")[0]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    found = Store(tmp_path / "store")
    monkeypatch.setattr(addresses, "open_uri", found.from_uri)
    monkeypatch.setattr(addresses, "PAUSE_S", 0.0)
    addresses.file_system.cache_clear()
    yield found
    addresses.file_system.cache_clear()


def test_a_bucket_is_listed_and_read_as_a_folder_is(store: Store, tmp_path: Path) -> None:
    names = [f"{split}/{name}/{n} ü.png" for split in ("train", "test") for name in ("cat", "dog") for n in range(4)]
    making.image_files(*(f"store/bucket/pets/{name}" for name in names))
    uri = "s3://bucket/pets?region=eu"
    found = manifest_of_folder(uri, "m.parquet", hands=1)
    assert (found.images, found.classes) == (16, 2)
    table = pq.read_table("m.parquet")
    assert table["uri"].to_pylist() == sorted(f"s3://bucket/pets/{name}" for name in names)
    assert table["size"].to_pylist() == [Path(f"store/bucket/{uri[12:]}").stat().st_size
                                         for uri in table["uri"].to_pylist()]  # fmt: skip
    listed, given = layout("manifest", "m.parquet"), layout("folders", "store/bucket/pets")
    assert described(listed.train, ("cat", "dog")) == described(given.train, ("cat", "dog"))
    store.fails = {"bucket/pets/train/cat/1 ü.png": 2}
    images = pickle.loads(pickle.dumps(listed.train.images))  # noqa: S301 - our own
    assert all(
        np.array_equal(decode(one), decode(other)) for one, other in zip(images, given.train.images, strict=True)
    )
    assert store.asked == len(given.train) + 2
    write_image_table(tmp_path / "t.arrow", listed.test)
    assert ImageTable(tmp_path / "t.arrow").uris.to_pylist()[0] == "s3://bucket/pets/test/cat/0 ü.png"


def test_an_object_that_is_gone_is_set_aside_and_a_store_that_fails_stops_the_work(store: Store) -> None:
    making.image_files(*(f"store/bucket/{n}.png" for n in range(3)))
    manifest_of_folder("s3://bucket", "m.parquet", hands=1)
    Path("store/bucket/1.png").unlink()
    found = layout("manifest", "m.parquet")
    assert [isinstance(decode(item), Unreadable) for item in found.train.images] == [False, True, False]
    store.fails = {"bucket/2.png": 99}
    with pytest.raises(DataError, match=r"s3://bucket/2.png: got 'the store is busy', expected an object that can be"):
        list(found.train.images)


def test_a_manifest_may_lie_in_the_store(store: Store) -> None:
    making.image_files(*(f"store/bucket/pets/{n}.png" for n in range(3)))
    pq.write_table(pa.table({"uri": [f"{n}.png" for n in range(3)]}), "store/bucket/pets/m.parquet")
    uri = "s3://bucket/pets/m.parquet?region=eu"
    found = layout("manifest", uri)
    assert (found.name, found.train.ids.to_pylist()) == ("m", ["0.png", "1.png", "2.png"])
    assert [np.array_equal(decode(item), making.pixels(n)) for n, item in enumerate(found.train.images)] == [True] * 3
    settings = DataSettings(dataset="manifest", path=uri)
    before = data_fingerprint(settings)
    assert data_fingerprint(settings) == before
    pq.write_table(pa.table({"uri": ["0.png"]}), "store/bucket/pets/m.parquet")
    assert data_fingerprint(settings) != before
    with pytest.raises(DataError, match="expected a manifest, a Parquet file of uri"):
        layout("manifest", "s3://bucket/nowhere.parquet")


def test_a_password_in_a_uri_and_an_unknown_store_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="bucket/x/: got a URI with a password in it, expected one without") as said:
        manifest_of_folder("s3://key:secret@bucket/x", "m.parquet", hands=1)
    assert "secret" not in str(said.value)
    with pytest.raises(ConfigError, match="ftp://host/: got 'unknown scheme"):
        manifest_of_folder("ftp://host", "m.parquet", hands=1)


def test_no_more_images_wait_than_memory_allows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    making.image_files(*(f"store/bucket/{n:03}.png" for n in range(300)))
    manifest_of_folder("s3://bucket", "m.parquet", hands=1)
    images = iter(layout("manifest", "m.parquet").train.images)
    next(images)
    assert store.asked <= 2 * addresses.REQUESTS + 1
    monkeypatch.setattr(addresses, "AHEAD_BYTES", 0)
    assert len(list(images)) == 299
