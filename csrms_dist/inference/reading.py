"""Images from wherever they lie -> decoded blocks of bounded size; what cannot be read says why, in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

from csrms_dist.basics.arrays import U8
from csrms_dist.basics.parquet import batches, texts_of
from csrms_dist.datasets.decoding import SUFFIXES, Shape, Stored, Unreadable, decode, in_threads
from csrms_dist.datasets.folder_walk import shown, walk
from csrms_dist.datasets.image_column import IMAGE, open_images, stored_images

Named: TypeAlias = tuple[str, Stored]
"""An image and its id."""
Decoded: TypeAlias = tuple[str, U8 | Unreadable]

BLOCK = 1024


def images_of(paths: Sequence[Path]) -> Iterator[Named]:
    """The images of files, of folders (recursively) and of Parquet files of `image` bytes and, if there, `id`.

    The id of a file is its name, of one in a folder its path there; of several paths, the path as it was given leads.
    """
    return chain.from_iterable(_images_below(path, several=len(paths) > 1) for path in paths)


def decoded_blocks(images: Iterable[Named], shape: Shape, block: int = BLOCK) -> Iterator[list[Decoded]]:
    """At most `block` images at a time, as RGB of `shape` (bilinear)."""
    images = iter(images)
    while some := list(islice(images, block)):
        found = in_threads(partial(decode, shape=shape), [stored for _, stored in some])
        yield [(name, image) for (name, _), image in zip(some, found, strict=True)]


def _images_below(path: Path, *, several: bool) -> Iterator[Named]:
    """Those of one path, one of several."""
    if path.is_dir():
        for below, entry in walk(path):
            if Path(entry.name).suffix.lower() in SUFFIXES:
                yield shown(entry.path if several else below), Path(entry.path)
    elif path.suffix.lower() == ".parquet" and path.is_file():
        yield from ((shown(f"{path}/{name}") if several else name, image) for name, image in _parquet(path))
    else:
        yield shown(str(path) if several else path.name), path


def _parquet(path: Path) -> Iterator[Named]:
    """The image of each row; a row without an id goes by its number."""
    file = open_images(path, "a Parquet file of images")
    names = file.schema_arrow.names
    for first, batch in batches(path, file, BLOCK, [name for name in ("id", IMAGE) if name in names]):
        ids = texts_of(path, "id", batch["id"], first).to_pylist() if "id" in names else [None] * len(batch)
        for row, (name, image) in enumerate(zip(ids, stored_images(batch[IMAGE]), strict=True), first):
            yield f"row {row}" if name is None else name, image
