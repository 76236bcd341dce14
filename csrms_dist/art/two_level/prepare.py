"""Every row as the learner takes it, written once; first its scaling is fitted, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeAlias

import numpy as np

from csrms_dist.art.rows import Rows, open_rows
from csrms_dist.art.scaling import BLOCK, MinMaxScaling, Scaling, Transform, save_scaling
from csrms_dist.art.two_level import tasks
from csrms_dist.art.two_level.plan import S
from csrms_dist.art.two_level.selection import RowKeys
from csrms_dist.art.two_level.work import Work, ranges
from csrms_dist.basics.arrays import I64
from csrms_dist.errors import DataError


@dataclass(frozen=True)
class Given:
    """The rows as they came, for whoever fits a scaling on them."""

    path: Path
    rows: Rows
    work: Work

    def learnt(self) -> I64:
        """The rows to learn, in hash order. Raises DataError for one that is not finite."""
        keys = self.work.keys
        learnt = keys.in_order(self.work.select()[0])
        for start in range(0, len(learnt), BLOCK):
            part = learnt[start : start + BLOCK]
            bad = tasks.first_bad_row(np.asarray(self.rows[part]))
            _check_finite(keys, [int(part[bad])] if bad >= 0 else [])
        return learnt

    def min_max(self) -> MinMaxScaling:
        """Fitted on all rows. Raises DataError for one that is not finite."""
        spans = ranges(len(self.rows))
        done = self.work.executor.map(tasks.extremes, [(self.path, *span) for span in spans])
        _check_finite(self.work.keys, [bad for bad, _, _ in done])
        return MinMaxScaling.combine([(low, high) for _, low, high in done])


#: Gives the transform of the rows; called once, before any of them is written.
Fit: TypeAlias = Callable[[Given], S]


class Prepared(NamedTuple, Generic[S]):
    """The file of the prepared rows, what they went through, and how many of them have no direction."""

    path: Path
    transform: S
    zero_rows: int


def prepare(work: Work, path: Path, fit: Fit[S]) -> Prepared[S]:
    """Prepare the rows of a file; the file itself serves where its rows have the learner's type and need no scaling.

    Raises DataError for a file that holds no matrix, and for a row that is not finite, naming it.
    """
    with work.report.phase("prepare"):
        given = Given(path, open_rows(path), work)
        transform, kind = fit(given), given.rows.dtype
        as_it_is = kind == transform.dtype and kind.kind != "f" and not isinstance(transform, Scaling)
        if as_it_is and path.suffix == ".npy":
            return Prepared(path, transform, 0)
        prepared = work.folder / "prepared.npy"
        kept = work.steps.step("prepared", lambda: {"zero_rows": np.array(_write(given, transform, prepared))})
        return Prepared(prepared, transform, int(kept["zero_rows"]))


def _write(given: Given, transform: Transform, prepared: Path) -> int:
    """Write every row; returns how many have no direction. Raises DataError, naming a row."""
    work, shape = given.work, (len(given.rows), transform.width(given.rows.shape[1]))
    how: Transform | Path = transform
    if isinstance(transform, Scaling):  # arrays travel as files
        how = work.folder / "scaling"
        how.mkdir(exist_ok=True)
        save_scaling(how, transform)
    np.lib.format.open_memmap(prepared, "w+", np.dtype(transform.dtype), shape).flush()
    done = work.executor.map(tasks.prepare, [(given.path, how, prepared, *span) for span in ranges(len(given.rows))])
    _check_finite(work.keys, [bad for bad, _ in done])
    return sum(empty for _, empty in done)


def _check_finite(keys: RowKeys, bad_rows: Sequence[int]) -> None:
    """Raise DataError naming the first of the bad rows; -1 stands for none."""
    bad = [row for row in bad_rows if row >= 0]
    if bad:
        raise DataError(
            f"vector of {keys.name(min(bad))}", got="NaN or infinite values", expected="finite numbers",
            remedy="remove or repair the row",
        )  # fmt: skip
