"""Which images are held out: what a layout says in a usual word, or a hash of the id, whatever the order of the images.

Adding images of one class moves none of another, and of its own class at most as many as were added, those next to the
cut. (No rule can keep both an exact share of each class and every image in its place.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from csrms_dist.basics.arrays import Bools
from csrms_dist.basics.hashing import Texts, hash_ids, hash_order
from csrms_dist.datasets.folder_walk import shown
from csrms_dist.errors import DataError
from csrms_dist.labels import Membership

WORDS = {
    "train": ("train", "training", "trainset"),
    "val": ("val", "valid", "validation", "valset", "dev"),
    "test": ("test", "testing", "testset"),
}
"""The usual names of the splits, in small letters."""


def split_of(word: str) -> str | None:
    """'train', 'val' or 'test' for any of its usual names, in any case; None for another word."""
    return next((split for split, words in WORDS.items() if word.lower() in words), None)


def folders_of_splits(
    where: str, folders: Sequence[str], is_nested: Callable[[str], bool], *, has_files: bool, test_apart: bool = False
) -> tuple[dict[str, str], list[str]]:
    """The folders of a root that are splits by their names: (split -> folder, notes about what could be meant else).

    Without one of training the root's other folders and its files are of training. A folder of such a name that holds
    no folder, beside classes, is taken for a class.

    folders: of the root, by name. is_nested: whether folders lie in one. has_files: whether files lie in the root.
    test_apart: whether the test images lie elsewhere. Raises DataError for folders that make no data set.
    """
    found = [(split, name) for name in folders if (split := split_of(name)) is not None]
    nested = [(split, name) for split, name in found if is_nested(name)]
    notes = []
    if len(found) < len(folders) and "train" not in dict(nested):
        taken = [name for pair in found if pair not in nested for name in pair[1:]]
        notes = [f"{where}: {name}/ is taken for a class, because no folder of a class is in it" for name in taken]
        found = nested
    named: dict[str, str] = {}
    for split, name in found:
        if split in named:
            raise DataError(
                where, got=f"{named[split]}/ and {name}/", expected=f"one folder of the split {split}",
                remedy="rename or join them",
            )  # fmt: skip
        named[split] = name
    others = [name for name in folders if name not in named.values()]
    if "train" in named:
        if others:
            notes.append(f"{where}: folders beside {named['train']}/ are left out: {_listed(others)}")
    elif named and not others and not has_files:
        first = next(iter(named.values()))
        raise DataError(where, got=f"{shown(first)}/ alone", expected="train/ or folders of classes beside it")
    if "val" in named and "test" not in named and not test_apart:
        raise DataError(
            where, got=f"{named['val']}/ without test/", expected="test/ beside train/ and val/",
            remedy="name the folder to test on as data.test_path",
        )  # fmt: skip
    return named, notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more


def held_out(ids: Texts, membership: Membership, fraction: float, purpose: str, multi_label: bool) -> Bools:
    """(N,) mask of the `fraction` of smallest hash in each class (multi-label: overall); ties by the id's bytes.

    A class keeps at least one image outside the mask.
    """
    mask = np.zeros(len(ids), np.bool_)
    order = hash_order(hash_ids(ids, purpose), ids)
    if multi_label:
        groups = [order]
    else:
        classes = membership.indices[order]
        by_class = np.argsort(classes, kind="stable")
        ends = np.cumsum(np.bincount(classes, minlength=membership.shape[1]))
        groups = np.split(order[by_class], ends[:-1])
    for rows in groups:
        mask[rows[: min(round(fraction * len(rows)), max(len(rows) - 1, 0))]] = True
    return mask
