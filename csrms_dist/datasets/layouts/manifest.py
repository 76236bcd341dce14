"""A manifest: a Parquet file (or folder of them, or one at a URI) of where images lie, as `csrms manifest` writes it.

`uri` is a path or the URI of an object (s3://, gs://), absolute or below the root that the file's metadata name, which
is the file's own folder otherwise. `id`, `split`, `label` and `labels` are those of the layout `parquet`; without `id`
it is the uri below the root, without either label nothing is labelled. No image is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csrms_dist.basics import arrow
from csrms_dist.basics.arrays import I64
from csrms_dist.basics.parquet import open_parquet
from csrms_dist.datasets.addresses import RemoteFile, bare, stored
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.image_source import Selected
from csrms_dist.datasets.layouts.layout_format import LayoutFormat
from csrms_dist.datasets.manifest import ROOT, URI
from csrms_dist.datasets.parquet_tables import Holding, Place, files_of, find

_READABLE = "a manifest, a Parquet file of uri and perhaps label or labels"


@dataclass(frozen=True)
class ListedImages:
    """Reads images by their addresses: `prefix` and a name (N,) each, and the options of the root's URI."""

    names: pa.Array
    prefix: str
    options: str

    def __call__(self, rows: I64) -> Iterator[Stored]:
        return stored(map(self._address, rows.tolist()), self.options)

    def _address(self, row: int) -> str | None:
        name = self.names[row].as_py()
        return None if name is None else self.prefix + name

    def uris(self, rows: I64) -> pa.Array:
        """Absolute paths and URIs, without options."""
        names = self.names.take(pa.array(rows))
        if names.nbytes + len(names) * len(self.prefix) > arrow.TEXT_BYTES:
            names = names.cast(pa.large_string())
        prefix, nothing = pa.scalar(self.prefix, names.type), pa.scalar("", names.type)
        return pc.fill_null(pc.binary_join_element_wise(prefix, names, nothing), nothing)

    def narrowed(self, rows: I64) -> Selected:
        return Selected(ListedImages(self.names.take(pa.array(rows)), self.prefix, self.options), np.arange(len(rows)))


def _open(place: Place) -> pq.ParquetFile:
    return open_parquet(place, _READABLE, [URI])


def _reader(
    places: Sequence[Place], files: Sequence[pq.ParquetFile], blocks: Sequence[Sequence[pa.Array]]
) -> tuple[ListedImages, pa.Array]:
    """The reader of one side; its ids are the addresses below the root, or whole where they have none in common."""
    roots = [_root(place, file) for place, file in zip(places, files, strict=True)]
    same = len(set(roots)) == 1
    found = [[_below(roots[0][0], block) for block in some] for some in blocks] if same else []
    if same and all(block is not None for some in found for block in some):
        names = arrow.joined_texts([block for some in found for block in some if block is not None])
        return ListedImages(names, *roots[0]), names
    whole = [_absolute(root, block) for (root, _), some in zip(roots, blocks, strict=True) for block in some]
    names = arrow.joined_texts(whole)
    return ListedImages(names, "", roots[0][1]), names


def _root(place: Place, file: pq.ParquetFile) -> tuple[str, str]:
    """The root of a manifest, with a slash at its end, and the options of its URI."""
    named = (file.schema_arrow.metadata or {}).get(ROOT.encode())
    if named is not None:
        return bare(named.decode())
    if isinstance(place, RemoteFile):
        folder, options = bare(place.uri)
        return folder.rstrip("/").rpartition("/")[0] + "/", options
    return os.path.join(os.path.dirname(os.path.abspath(place)), ""), ""  # noqa: PTH100, PTH118, PTH120 - links stay


def _below(root: str, uris: pa.Array) -> pa.Array | None:
    """Addresses below the root; None where some lie elsewhere."""
    if pc.all(pc.starts_with(uris, root)).as_py() in (True, None):
        return pc.utf8_slice_codeunits(uris, len(root))
    return None if pc.any(_is_absolute(uris)).as_py() else uris


def _absolute(root: str, uris: pa.Array) -> pa.Array:
    joined = pc.binary_join_element_wise(pa.scalar(root), uris, "")
    return pc.if_else(_is_absolute(uris), uris, joined)


def _is_absolute(uris: pa.Array) -> pa.Array:
    return pc.or_(pc.match_substring(uris, "://"), pc.starts_with(uris, "/"))


LAYOUT = LayoutFormat(
    partial(find, holding=Holding(_open, _reader, URI, labels=False)),
    lambda settings: chain(*files_of(settings)[0].values()),
)
