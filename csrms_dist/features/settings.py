"""The section `features`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting


@dataclass(frozen=True)
class FeaturesSettings(Settings):
    path: str = setting("", doc="your own vectors: Parquet of id, vector and label or labels; empty: the encoder's")
    batch_size: int = setting(32, "[1, 65536]", doc="images in one encoder call, a fixed range of the dense index")
