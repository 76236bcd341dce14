"""A manifest of a list: a text file of addresses, a CSV as the layout `csv` takes it, or a Parquet file with `uri`.

Read and written a block at a time, in the order of the list. Labels are kept as they are; sizes are looked up by many
requests at a time, and an image that is not there has none: it is set aside when it is read.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from csrms_dist.basics.arrow import plain
from csrms_dist.basics.parquet import batches, open_parquet, texts_of
from csrms_dist.basics.words import counted
from csrms_dist.datasets.addresses import REQUESTS, is_uri, local_path, path_of
from csrms_dist.datasets.manifest import ID, LABEL, LABELS, SIZE, SPLIT, URI, Manifest, schema_of, staged, write_rows
from csrms_dist.errors import DataError

BLOCK_ROWS = 1 << 16
PATH = "path"
T = TypeVar("T")
_BESIDE = (LABEL, LABELS, SPLIT, ID)
_LISTS = (".txt", ".csv", ".parquet")
_EXPECTED = f"a folder of images, a URI of one, or a list: {', '.join(_LISTS)}"


def manifest_of_list(
    source: str, out: str, *, sizes: bool = True, on_images: Callable[[int], None] = lambda _: None
) -> Manifest:
    """Write the manifest of a list of images. Addresses that are relative are so to the folder of the list.

    Raises DataError for what is no such list, and for a row without an address.
    """
    path = Path(source)
    if path.suffix not in _LISTS or not path.is_file():
        raise DataError(source, got="nothing of the kind", expected=_EXPECTED, remedy="check its name")
    kinds, blocks = {".txt": _of_text, ".csv": _of_csv, ".parquet": _of_parquet}[path.suffix](path)
    root = os.path.join(os.path.abspath(path.parent), "")  # noqa: PTH100, PTH118 - links stay as they are named
    schema = schema_of(root, kinds)
    images, absent = 0, 0
    classes: set[str] = set()

    def rows(pool: ThreadPoolExecutor) -> Iterator[pa.Table]:
        nonlocal images, absent
        for block in blocks:
            uris = _absolute(root, path, block[URI], images)
            found = pa.array(
                pool.map(_size, uris.to_pylist(), chunksize=64) if sizes else [None] * len(uris), pa.int64()
            )
            absent += found.null_count if sizes else 0
            images += len(uris)
            named = [block[name] for name in (LABEL, LABELS) if name in block]
            for column in named:
                texts = column.flatten() if pa.types.is_nested(column.type) else column
                classes.update(map(str, pc.drop_null(pc.unique(texts)).to_pylist()))
            yield pa.table({**block, URI: uris, SIZE: found}).select(schema.names).cast(schema)
            on_images(len(uris))

    with staged(out) as work, ThreadPoolExecutor(REQUESTS) as pool:
        size = write_rows(work / "manifest", schema, rows(pool))
    notes = [f"{source}: {counted(absent, 'image')} not there, to be set aside"] if absent else []
    return Manifest(out, images, size, len(classes), tuple(notes))


def _absolute(root: str, path: Path, uris: pa.Array, first: int) -> pa.Array:
    """Whole addresses. Raises DataError where there is none."""
    nothing = pc.fill_null(pc.equal(uris, ""), True)
    if pc.any(nothing).as_py():
        row = first + nothing.to_pylist().index(True)
        raise DataError(f"{path}", got=f"nothing in row {row:,}", expected="an address in every row")
    whole = pc.or_(pc.match_substring(uris, "://"), pc.starts_with(uris, "/"))
    return pc.if_else(whole, uris, pc.binary_join_element_wise(pa.scalar(root), uris, ""))


def _size(address: str) -> int | None:
    try:
        if is_uri(address):
            system, path = path_of(address)
            info = system.get_file_info(path)
            return int(info.size) if info.is_file else None
        return local_path(address).stat().st_size
    except (OSError, ValueError):
        return None


# -------------------------------------------------------------------------------------------------- kinds of lists

_Blocks = tuple[dict[str, pa.DataType], Iterator[dict[str, pa.Array]]]
"""The columns beside the address and their types, and the rows, a block at a time."""


def _of_text(path: Path) -> _Blocks:
    def blocks() -> Iterator[dict[str, pa.Array]]:
        with path.open(encoding="utf-8") as file:
            lines = (line.rstrip("\r\n") for line in file)
            while some := list(islice((line for line in lines if line), BLOCK_ROWS)):
                yield {URI: pa.array(some, pa.string())}

    return {}, _readable(path, blocks())


def _of_csv(path: Path) -> _Blocks:
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = next(_readable(path, csv.reader(file)), [])
    address = _address(path, names)
    beside = [name for name in _BESIDE if name in names]

    def blocks() -> Iterator[dict[str, pa.Array]]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            while some := list(islice(rows, BLOCK_ROWS)):
                yield {URI: pa.array([row[address] for row in some], pa.string())} | {
                    name: pa.array([_cell(name, row[name]) for row in some], _kind(name)) for name in beside
                }

    return {name: _kind(name) for name in beside}, _readable(path, blocks())


def _kind(name: str) -> pa.DataType:
    return pa.list_(pa.string()) if name == LABELS else pa.string()


def _cell(name: str, cell: str | None) -> str | list[str] | None:
    """A cell as the layout `csv` means it: an empty label is none, empty labels are none of the classes."""
    text = (cell or "").strip()
    if name in (LABEL, LABELS) and (text.lower() == "null" or (name == LABEL and not text)):
        return None
    return [word.strip() for word in text.split(";") if word.strip()] if name == LABELS else text


def _of_parquet(path: Path) -> _Blocks:
    file = open_parquet(path, _EXPECTED)
    schema = file.schema_arrow
    address = _address(path, schema.names)
    beside = [name for name in _BESIDE if name in schema.names]
    kinds = {name: plain(pa.array([], schema.field(name).type)).type for name in beside}

    def blocks() -> Iterator[dict[str, pa.Array]]:
        for first, batch in batches(path, file, BLOCK_ROWS, [address, *beside]):
            uris = texts_of(path, address, batch[address], first).cast(pa.string())
            yield {URI: uris} | {name: plain(batch[name]) for name in beside}

    return kinds, blocks()


def _address(path: Path, names: Sequence[str]) -> str:
    """The column of the addresses."""
    found = next((name for name in (URI, PATH) if name in names), None)
    if found is None:
        got, expected = f"the columns {', '.join(names) or 'none'}", "a column 'uri' or 'path'"
        raise DataError(f"{path}", got=got, expected=expected, remedy="rename it")
    return found


def _readable(path: Path, items: Iterator[T]) -> Iterator[T]:
    try:
        yield from items
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = "bytes that are no UTF-8" if isinstance(error, UnicodeDecodeError) else f"'{error}'"
        raise DataError(f"{path}", got=got, expected="a list in UTF-8", remedy="save it as such") from error
