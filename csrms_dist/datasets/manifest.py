"""Manifests: where every image of a data set lies, listed once. A Parquet file of uri, size, label or labels, split.

The uri is absolute, the metadata `csrms.root` name what the ids are below. Rows come folder by folder, by name, or in
the order of a given list. A file is written whole or not at all, in memory that does not grow with the images.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.basics.words import counted
from csrms_dist.datasets.addresses import bare, file_system, is_uri
from csrms_dist.datasets.decoding import SUFFIXES
from csrms_dist.datasets.folder_walk import shown
from csrms_dist.datasets.listing import Block, Listed, list_images, names_of
from csrms_dist.datasets.splits import folders_of_splits
from csrms_dist.errors import DataError

ROOT = "csrms.root"
URI, SIZE, LABEL, LABELS, SPLIT, ID = "uri", "size", "label", "labels", "split", "id"
GROUP_ROWS = 1 << 17
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Manifest:
    """A manifest that was written. size: bytes of all images whose size is known. notes: what the user should know."""

    path: str
    images: int
    size: int
    classes: int
    notes: tuple[str, ...] = ()


def manifest_of_folder(
    source: str, out: str, *, hands: int, sizes: bool = True, on_images: Callable[[int], None] = lambda _: None
) -> Manifest:
    """List the images below a folder, or below a URI of a store, with the classes and splits that folders name.

    As the layout `folders` reads them: root/train/<class>/..., root/test/<class>/..., or root/<class>/... Files are
    images by their suffix; hidden ones are passed over. Raises DataError for a folder that cannot be listed, and where
    there is no image.
    """
    plain, options = bare(source) if is_uri(source) else (os.path.join(os.path.abspath(source), ""), "")  # noqa: PTH100, PTH118 - links stay
    root = plain + options
    with staged(out) as work:
        listed = list_images(root, work, hands, sizes=sizes, on_images=on_images)
        if not listed.images:
            raise DataError(
                shown(plain),
                got="no image in it",
                expected=f"images ({', '.join(sorted(SUFFIXES))}) or folders of them",
            )
        rows, notes = _placed(plain, listed)
        classes = {row.label for row in rows if row.label is not None}
        there = {LABEL: bool(classes), SPLIT: any(row.split for row in rows)}
        schema = schema_of(root, {name: pa.string() for name, is_there in there.items() if is_there})
        size = write_rows(work / "manifest", schema, _tables(work, plain, rows, schema))
        images = sum(row.block.count for row in rows)
    return Manifest(out, images, size, len(classes), (*notes, *_left_out(plain, listed)))


@dataclass(frozen=True)
class _Row:
    """The images of a folder, their class and their split."""

    block: Block
    label: str | None
    split: str | None


def _placed(where: str, listed: Listed) -> tuple[list[_Row], list[str]]:
    """The folders in the order of their paths, with what their names say."""
    blocks = sorted(listed.blocks, key=lambda block: block.folder)
    paths = [block.folder.split("/") for block in blocks]
    nested: dict[str, bool] = {}
    for path in paths:
        if len(path) > 1:
            nested[path[0]] = nested.get(path[0], False) or len(path) > 2
    sides, notes = folders_of_splits(
        where.rstrip("/"), sorted(nested), nested.__getitem__, has_files=any(len(path) == 1 for path in paths)
    )
    split_of = {folder: split for split, folder in sides.items()}
    rows = []
    for block, path in zip(blocks, paths, strict=True):
        split = split_of.get(path[0]) if len(path) > 1 else None
        below = path[1:] if split else path
        if split is None and "train" in sides:
            continue  # beside the folder of training images
        label = below[0] if len(below) > 1 else None
        # Training images alone are divided by hash when they are read.
        rows.append(_Row(block, label, (split or "train") if "test" in sides else None))
    return rows, notes


def _left_out(where: str, listed: Listed) -> Iterator[str]:
    others = listed.others
    if others.count:
        yield (
            f"{shown(where)}: {counted(others.count, 'file')} without the suffix of an image left out, "
            f"the first {others.first}"
        )
    if others.odd:
        yield f"{shown(where)}: {counted(others.odd, 'name')} that are no UTF-8 left out, the first {others.odd_first}"


def _tables(work: Path, prefix: str, rows: Sequence[_Row], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in order, about GROUP_ROWS at a time."""
    pieces: list[tuple[_Row, pa.Table]] = []
    held = 0
    names = cache(partial(names_of, work))
    for row in rows:
        for first in range(0, row.block.count, GROUP_ROWS):
            piece = names(row.block.part).slice(row.block.first + first, min(GROUP_ROWS, row.block.count - first))
            pieces.append((row, piece))
            held += len(piece)
            if held >= GROUP_ROWS:
                yield _table(prefix, pieces, schema)
                pieces, held = [], 0
    if pieces:
        yield _table(prefix, pieces, schema)


def _table(prefix: str, pieces: Sequence[tuple[_Row, pa.Table]], schema: pa.Schema) -> pa.Table:
    folder = np.repeat(np.arange(len(pieces)), [len(piece) for _, piece in pieces])
    names = pa.concat_tables([piece for _, piece in pieces]).combine_chunks()
    folders = pa.array([prefix + row.block.folder for row, _ in pieces], pa.large_string()).take(pa.array(folder))
    columns = {
        URI: pc.binary_join_element_wise(folders, names["name"], pa.scalar("", pa.large_string())),
        SIZE: names["size"],
    }
    for column, values in ((LABEL, [row.label for row, _ in pieces]), (SPLIT, [row.split for row, _ in pieces])):
        columns[column] = pa.array(values, pa.string()).take(pa.array(folder))
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def schema_of(root: str, beside: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a manifest: uri, size, and those beside them."""
    fields = [(URI, pa.string()), (SIZE, pa.int64()), *beside.items()]
    return pa.schema(fields, metadata={ROOT: root})


def write_rows(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write the rows; returns the bytes of all images."""
    size = 0
    coded = [name for name in schema.names if name in (LABEL, SPLIT)]
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=coded,
        column_encoding={URI: "DELTA_BYTE_ARRAY"},  # neighbours begin alike
        write_statistics=[SIZE, *coded],
    ) as writer:  # fmt: skip
        for table in tables:
            size += pc.sum(table[SIZE]).as_py() or 0
            writer.write_table(table, row_group_size=GROUP_ROWS)
    return size


@contextmanager
def staged(out: str) -> Iterator[Path]:
    """A folder to work in; the file `manifest` in it is moved to `out` at the end, or copied to a store."""
    if not out.partition("?")[0].endswith(_SUFFIX):
        raise DataError("--out", got=out, expected=f"a file *{_SUFFIX}")
    target = None if is_uri(out) else Path(out).absolute()
    with disk_errors(out):
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".manifest.", dir=target.parent if target else None))
        try:
            yield work
            made = work / "manifest"
            if target is None:
                system, path = file_system(out)
                pafs.copy_files(str(made), path, destination_filesystem=system)
            else:
                with made.open("rb") as file:
                    os.fsync(file.fileno())
                made.replace(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
