"""The result of clustering: patterns, their prototypes, and all that is needed to place unseen rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from csrms_dist.art import fuzzy_art, spherical_art
from csrms_dist.art.scaling import BLOCK, Scaling, load_scaling, save_scaling
from csrms_dist.errors import DataError

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]

_ARRAYS = ("pattern", "score", "outlier", "prototypes")

#: Slack of the vigilance test against frozen boxes: 2D-term float64 sums differ by rounding from one row to the next.
COVER_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Clustering:
    """N rows in J patterns, numbered by (size descending, prototype).

    pattern: (N,) int32; no row is unassigned. score: (N,) float32, the cosine to the frozen prototype (spherical) or
    the choice value (fuzzy). outlier: (N,) bool, rows whose resemblance is below the vigilance. prototypes: (J, D')
    int8 directions (spherical) or (J, 2D) float64 boxes (fuzzy). vigilance: the value used. tried: (vigilance,
    patterns) of each step of the search for it. zero_rows: rows without a direction; spherical ART learns nothing
    from them and puts them in pattern 0.
    """

    algorithm: str
    pattern: I32
    score: F32
    outlier: npt.NDArray[np.bool_]
    prototypes: npt.NDArray[Any]
    vigilance: float
    tried: tuple[tuple[float, int], ...]
    scaling: Scaling
    zero_rows: int
    choice: float

    @property
    def n_patterns(self) -> int:
        return len(self.prototypes)

    def sizes(self) -> npt.NDArray[np.int64]:
        """Rows of each pattern, (J,) int64."""
        return np.bincount(self.pattern, minlength=self.n_patterns).astype(np.int64)

    def predict(self, vectors: npt.NDArray[Any]) -> tuple[I32, F32]:
        """Place rows (M, D) through the saved scaling; the fitted rows come back with their own pattern and score.

        A fuzzy row that no box takes gets the box of largest choice value; a row without direction gets pattern 0.
        """
        # A tie goes to the same prototype as in the fit, which knew the prototypes in canonical order.
        order = canonical_order(self.prototypes)
        frozen = self.prototypes[order]
        pattern, score = np.empty(len(vectors), np.int32), np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), BLOCK):
            part = slice(start, start + BLOCK)
            block = np.asarray(vectors[part])
            if not np.isfinite(block).all():
                row = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise DataError(f"vector {row}", got="NaN or infinite values", expected="finite numbers")
            winner, score[part] = place(self.scaling.transform_block(block), frozen, self.vigilance, self.choice)
            pattern[part] = np.where(winner >= 0, order[winner], 0)
        return pattern, score

    def save(self, folder: Path) -> None:
        """Write .npy files and clustering.json; equal clusterings give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(self, name)))
        save_scaling(folder, self.scaling)
        facts = {
            "algorithm": self.algorithm,
            "vigilance": self.vigilance,
            "tried": [[rho, count] for rho, count in self.tried],
            "zero_rows": self.zero_rows,
            "choice": self.choice,
            "n_patterns": self.n_patterns,
        }
        text = json.dumps(facts, sort_keys=True, indent=1) + "\n"
        (folder / "clustering.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-map what `save` wrote. Raises DataError where a file is missing."""
        try:
            facts = json.loads((folder / "clustering.json").read_text(encoding="utf-8"))
            arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS}
            scaling = load_scaling(folder)
        except FileNotFoundError as error:
            raise DataError(
                str(folder), got=str(error), expected="a saved clustering", remedy="cluster again"
            ) from error
        return cls(
            algorithm=facts["algorithm"],
            vigilance=facts["vigilance"],
            tried=tuple((rho, count) for rho, count in facts["tried"]),
            scaling=scaling,
            zero_rows=facts["zero_rows"],
            choice=facts["choice"],
            **arrays,
        )


def place(prepared: npt.NDArray[Any], frozen: npt.NDArray[Any], vigilance: float, choice: float) -> tuple[I32, F32]:
    """The winner and score of prepared rows (int8: spherical, floats: fuzzy); -1 for a row without direction."""
    if prepared.dtype == np.int8:
        winner, score = spherical_art.assign(prepared, frozen)
        winner[~prepared.any(axis=1)] = -1
        return winner, score
    codes = fuzzy_art.complement_code(prepared)
    winner, score = fuzzy_art.assign(codes, frozen, vigilance - COVER_TOLERANCE, choice=choice)
    missed = np.flatnonzero(winner < 0)
    if len(missed):
        winner[missed], score[missed] = fuzzy_art.assign(codes[missed], frozen, 0.0, choice=choice)
    return winner, score


def canonical_order(prototypes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The order by raw bytes in which assignments see prototypes, so that ties do not depend on their numbering."""
    keys: Sequence[bytes] = [row.tobytes() for row in prototypes]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def canonical(prototypes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The distinct prototypes in canonical order."""
    ordered = np.ascontiguousarray(prototypes[canonical_order(prototypes)])
    distinct = np.ones(len(ordered), np.bool_)
    distinct[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[distinct]
