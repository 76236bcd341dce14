"""NUS-WIDE in its authors' files: lists of images, a file of 0 and 1 for each concept, and the tags of each image.

`data.path` is the folder of `ImageList`, `Groundtruth`, `NUS_WID_Tags`, of `Concepts81.txt` or `ConceptsList` with it,
and of the images in `Flickr` or `images`, in folders by the first concept as the lists say (`actor\\0001_2124.jpg`) or
all in one. The ids are the listed paths, with `/`. The concepts are the classes, of which an image may have several.

An image without any of the concepts or without any of the tags is left out, as usual in work on images and tags. Papers
report 121,962 training and 81,636 test images after that. What was left out is told, and if the whole original lists
give other numbers, that is told too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from csrms_dist.basics.arrays import U8, Bools
from csrms_dist.basics.words import counted
from csrms_dist.datasets.folder_walk import is_folder, visible
from csrms_dist.datasets.layouts.layout_format import Found, ImageFiles, LayoutFormat, Rows
from csrms_dist.datasets.layouts.text_lists import lines_of
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError

NAME = "nus_wide"
CONCEPTS = "Concepts81.txt"
UNPACK = "set data.path to the folder of ImageList, Groundtruth and NUS_WID_Tags"
FOLDERS = ("Flickr", "images")
LABEL = "0 or 1 in a line for each listed image"
TAGS = "a row of 0 and 1 for each listed image"
AGAIN = "unpack it again"
_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class Part:
    """One side. word: of it in the names of files. listed, reported: images in the original list, and after removal."""

    side: str
    word: str
    listed: int
    reported: int

    def images(self, root: Path) -> Path:
        return root / "ImageList" / f"{self.word}Imagelist.txt"

    def labels(self, root: Path, concept: str) -> Path:
        return root / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{self.word}.txt"

    def tags(self, root: Path) -> Path:
        return root / "NUS_WID_Tags" / f"{self.word}_Tags1k.dat"


PARTS = (Part("train", "Train", 161_789, 121_962), Part("test", "Test", 107_859, 81_636))


def find(settings: DataSettings) -> Found:
    """Read lists, concepts and tags; the images are read when they are asked for."""
    root = Path(settings.path)
    concepts, images = lines_of(*_concepts(root)), _Images.below(root)
    sides, notes = {}, list[str]()
    for part in PARTS:
        sides[part.side], told = _rows(root, part, concepts, images)
        notes += told
    return Found(NAME, sides, True, dict(enumerate(concepts)), len(concepts), tuple(notes))


def files_of(settings: DataSettings) -> Iterator[Path]:
    """The files of lists, concepts and tags, and every image that is listed."""
    root = Path(settings.path)
    concepts, images = _concepts(root), _Images.below(root)
    yield concepts[0]
    names = lines_of(*concepts)
    for part in PARTS:
        yield from (part.images(root), part.tags(root), *(part.labels(root, name) for name in names))
        found = images.of(pa.array(_listed(root, part), pa.string()))
        yield from (found.root / name for name in found.names.to_pylist())


def _concepts(root: Path) -> tuple[Path, str, str]:
    """The file that names the concepts, and what to say when it is not there."""
    alone = root / CONCEPTS
    path = alone if alone.is_file() else root / "ConceptsList" / CONCEPTS
    return path, "the name of a concept in each line", UNPACK


def _listed(root: Path, part: Part) -> list[str]:
    """The paths of a list, as the ids have them."""
    lines = lines_of(part.images(root), "the path of an image in each line", UNPACK)
    return [line.replace("\\", "/").removeprefix("./") for line in lines]


def _rows(root: Path, part: Part, concepts: list[str], images: _Images) -> tuple[Rows, list[str]]:
    """The rows that have a concept and a tag, and the sentences about the others."""
    listed = _listed(root, part)
    columns, rows = [], []
    for k, concept in enumerate(concepts):
        found = np.flatnonzero(_zeros_and_ones(part.labels(root, concept), len(listed)))
        rows.append(found)
        columns.append(np.full(len(found), k))
    place = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csr_array((np.ones(len(place[0]), np.uint8), place), shape=(len(listed), len(concepts)))
    labelled, tagged = np.diff(matrix.indptr) > 0, _tagged(part.tags(root), len(listed))
    kept = np.flatnonzero(labelled & tagged)
    matrix = matrix[kept]
    ids = pa.array(listed, pa.string()).take(pa.array(kept))
    offsets, labels = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    return Rows(ids, offsets, labels, images.of(ids)), _told(part, labelled, tagged)


def _told(part: Part, labelled: Bools, tagged: Bools) -> list[str]:
    n, kept = len(labelled), int((labelled & tagged).sum())
    notes = []
    if kept < n:
        bare, untagged, neither = (int(some.sum()) for some in (~labelled, ~tagged, ~labelled & ~tagged))
        notes.append(
            f"{NAME}, {part.side}: {counted(n - kept, 'image')} of {n:,} left out: {bare:,} without a concept, "
            f"{untagged:,} without a tag, {neither:,} of them without either"
        )
    if n == part.listed and kept != part.reported:
        notes.append(
            f"{NAME}, {part.side}: {kept:,} images are left of the original list, where papers report {part.reported:,}"
        )
    return notes


def _zeros_and_ones(path: Path, n: int) -> U8:
    """(n,) 0 or 1, a line each."""
    digits = b"".join(line.translate(None, _SPACE) for line in _lines(path, LABEL))
    other = digits.translate(None, b"01")
    if other or len(digits) != n:
        got = repr(chr(other[0])) if other else f"{len(digits):,} of them for {counted(n, 'listed image')}"
        raise DataError(f"{path}", got=got, expected=LABEL, remedy=AGAIN)
    return np.frombuffer(digits, np.uint8) - np.uint8(ord("0"))


def _tagged(path: Path, n: int) -> Bools:
    """(n,), whether a row of tags holds a 1."""
    found, widths, others = [], set(), False
    for line in _lines(path, TAGS):
        if row := line.translate(None, _SPACE):
            found.append(b"1" in row)
            widths.add(len(row))
            others |= bool(row.translate(None, b"01"))
    if len(found) != n or len(widths) > 1 or others:
        wrong = "something else in a row" if others else "rows of several lengths"
        got = f"{counted(len(found), 'row')} for {counted(n, 'listed image')}" if len(found) != n else wrong
        raise DataError(f"{path}", got=got, expected=TAGS, remedy=AGAIN)
    return np.array(found, np.bool_)


def _lines(path: Path, expected: str) -> Iterator[bytes]:
    """The lines of a file of figures, one after the other: the tags of all images take 300 MB."""
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError as error:
        raise DataError(f"{path}", got="nothing there", expected=expected, remedy=UNPACK) from error
    except OSError as error:
        raise DataError(f"{path}", got=f"'{error.strerror}'", expected=expected, remedy=UNPACK) from error


@dataclass(frozen=True)
class _Images:
    """Where the images lie. nested: in folders as the lists say; else all in one folder."""

    folder: Path
    nested: bool

    @classmethod
    def below(cls, root: Path) -> _Images:
        """Raises DataError where no folder of images is."""
        folder = next((root / name for name in FOLDERS if (root / name).is_dir()), None)
        if folder is None:
            expected = f"the images in {' or '.join(f'{name}/' for name in FOLDERS)}"
            raise DataError(f"{root}", got="no folder of images", expected=expected, remedy="move or link them there")
        return cls(folder, any(is_folder(entry) for entry in visible(folder)))

    def of(self, ids: pa.StringArray) -> ImageFiles:
        if self.nested:
            return ImageFiles(ids, self.folder)
        return ImageFiles(pa.array([name.rpartition("/")[2] for name in ids.to_pylist()], pa.string()), self.folder)


LAYOUT = LayoutFormat(find, files_of)
