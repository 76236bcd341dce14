"""The section `encoder`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.encoders import ENCODERS


@dataclass(frozen=True)
class EncoderSettings(Settings):
    name: str = setting("lenet5", doc=f"{', '.join(ENCODERS)}, timm:<model> or module:Class of your own")
    weights: str = setting("", doc="a weights file, or pretrained; empty: initial weights from the seed")
    frozen: bool = setting(False, doc="true: the encoder stays as it is, heads are trained on the feature table alone")
