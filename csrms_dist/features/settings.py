"""The section `features`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.errors import ConfigError, DataError

READABLE = "a Parquet, .npy or .npz file of vectors"


@dataclass(frozen=True)
class FeaturesSettings(Settings):
    path: str = setting("", doc="your own vectors: Parquet, .npy or .npz; empty: the encoder's")
    rows_path: str = setting(
        "", doc="Parquet or .npz of a .npy's rows: ids, labels, splits; empty: rows are numbered and have no labels"
    )
    id_column: str = setting("id", doc="the column of the ids in your own vectors")
    vector_column: str = setting("vector", doc="the column of the vectors")
    label_column: str = setting(
        "auto", doc="the column of the labels; auto: `labels` before `label`; none: no label is read"
    )
    split_column: str = setting("split", doc="the column of the splits, if it is there: train, val, test or unlabelled")
    batch_size: int = setting(32, "[1, 65536]", doc="images in one encoder call, a fixed range of the dense index")

    def check_paths(self) -> None:
        """Raise DataError for a file of vectors that is not there, ConfigError for a table of rows beside no .npy."""
        for key, path in (("features.path", self.path), ("features.rows_path", self.rows_path)):
            if path and not Path(path).is_file():
                raise DataError(key, got=f"{path}, which is not a file", expected=READABLE)
        if self.rows_path and Path(self.path).suffix.lower() != ".npy":
            raise ConfigError(
                "features.rows_path", got=f"{self.rows_path} beside {self.path or 'nothing'}",
                expected="a .npy as features.path", remedy="put ids, labels and splits into the columns of the vectors",
            )  # fmt: skip
