"""The section `features`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting


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
