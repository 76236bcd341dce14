"""The result of clustering: patterns, their prototypes, and all that is needed to place unseen rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from csrms_dist.art.algorithm import algorithm_of
from csrms_dist.art.inputs import as_matrix
from csrms_dist.art.scaling import Scaling, load_scaling, save_scaling
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.two_level.grain import Grain
from csrms_dist.art.two_level.incremental import Drift, Growth, grown
from csrms_dist.art.two_level.learner import Learner
from csrms_dist.art.two_level.placement import placed, transformed
from csrms_dist.basics.arrays import F32, I32, I64, Bools, Matrix
from csrms_dist.basics.hashing import Texts
from csrms_dist.errors import DataError

_ARRAYS = ("pattern", "score", "below_vigilance", "prototypes")


@dataclass(frozen=True, eq=False)
class Clustering:
    """N rows in J patterns, numbered by (size descending, prototype).

    algorithm: its name in `cluster.algorithm`.
    pattern: (N,) int32; no row is unassigned.
    score: (N,) float32, the cosine to the frozen prototype (spherical) or the choice value (fuzzy).
    below_vigilance: (N,) bool, rows whose resemblance is below the vigilance.
    prototypes: (J, D') int8 directions (spherical) or (J, 2D) uint8 boxes (fuzzy).
    vigilance: the value used.
    tried: (vigilance, patterns) of each step of the search for it.
    grain: the grain of the rows that the vigilance comes from; None where it was not found or not looked for.
    scaling: what the vectors went through.
    zero_rows: rows without a direction; spherical ART learns nothing from them and puts them in pattern 0.
    choice: alpha of Fuzzy ART.
    moved: whether prototypes were moved to the mean of their rows.
    cut: whether k-means made the number of patterns, which no vigilance gave.
    """

    algorithm: str
    pattern: I32
    score: F32
    below_vigilance: Bools
    prototypes: Matrix
    vigilance: float
    tried: tuple[tuple[float, int], ...]
    scaling: Scaling
    zero_rows: int
    choice: float
    moved: bool = False
    grain: Grain | None = None
    cut: bool = False

    @property
    def learner(self) -> Learner:
        """The learner that places rows."""
        return algorithm_of(self.algorithm).learner(ClusterSettings(algorithm=self.algorithm, choice=self.choice))

    @property
    def n_patterns(self) -> int:
        return len(self.prototypes)

    def sizes(self) -> I64:
        """Rows of each pattern, (J,) int64."""
        return np.bincount(self.pattern, minlength=self.n_patterns).astype(np.int64)

    def predict(self, vectors: Matrix) -> tuple[I32, F32]:
        """Place rows (M, D) through the saved scaling; the fitted rows come back with their own pattern and score.

        A fuzzy row that no box takes gets the box of largest choice value; a row without direction gets pattern 0.
        """
        vectors = self._of_known_width(vectors)
        blocks = transformed(vectors, self.scaling, "vector {}")
        found = placed(self.learner, blocks, self.prototypes, self.vigilance, moved=True)
        return np.maximum(found.winner, 0), found.score

    def extended(
        self, vectors: Matrix, ids: Texts, *, min_size: int = 3, learn_rows: int = 20_000
    ) -> tuple[Clustering, Drift]:
        """This clustering with more rows (M, D) after its own, and how they differ; nothing that is there moves.

        New rows join the patterns that take them; the others learn at the vigilance in the order of their ids' hashes
        and found patterns, of min_size rows or more, which are numbered after the old ones.
        """
        vectors = self._of_known_width(vectors)
        rows = np.concatenate(list(transformed(vectors, self.scaling, "vector {}")))
        before = Growth(self.prototypes, self.sizes(), float(self.below_vigilance.mean()), float(self.score.mean()))
        found, drift = grown(
            self.learner, before, rows, ids, self.vigilance, moved=self.moved,
            learn_rows=learn_rows, min_size=min_size,
        )  # fmt: skip
        zero = int((~rows.any(axis=1)).sum()) if rows.dtype == np.int8 else 0
        longer = replace(
            self,
            pattern=np.concatenate([self.pattern, found.pattern]),
            score=np.concatenate([self.score, found.score]),
            below_vigilance=np.concatenate([self.below_vigilance, found.below]),
            prototypes=found.prototypes,
            zero_rows=self.zero_rows + zero,
        )
        return longer, drift

    def _of_known_width(self, vectors: Any) -> Any:
        """Vectors as they are if they can be read by ranges, else as an array; DataError for another width."""
        matrix = vectors if hasattr(vectors, "dtype") and len(vectors.shape) == 2 else as_matrix(vectors)
        got, known = matrix.shape[1], self.scaling.columns
        if got != known:
            raise DataError("vectors", got=f"{got} columns", expected=f"{known}, as were clustered")
        return matrix

    def save(self, folder: str | Path) -> None:
        """Write .npy files and clustering.json; equal clusterings give equal bytes."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(self, name)))
        save_scaling(folder, self.scaling)
        facts = {
            "algorithm": self.algorithm,
            "vigilance": self.vigilance,
            "tried": [[rho, count] for rho, count in self.tried],
            "grain": list(self.grain) if self.grain else None,
            "zero_rows": self.zero_rows,
            "choice": self.choice,
            "moved": self.moved,
            "cut": self.cut,
            "n_patterns": self.n_patterns,
        }
        text = json.dumps(facts, sort_keys=True, indent=1) + "\n"
        (folder / "clustering.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Memory-map what `save` wrote. Raises DataError where a file is missing."""
        folder = Path(folder)
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
            grain=Grain(*facts["grain"]) if facts.get("grain") else None,
            zero_rows=facts["zero_rows"],
            choice=facts["choice"],
            moved=facts["moved"],
            cut=facts.get("cut", False),
            **arrays,
        )
