"""The section `encoder`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.encoders import ENCODERS
from csrms_dist.errors import ConfigError

AUTO, NONE, MLP = "auto", "none", "mlp"


@dataclass(frozen=True)
class EncoderSettings(Settings):
    name: str = setting("lenet5", doc=f"{', '.join(ENCODERS)}, timm:<model> or module:Class of your own")
    weights: str = setting("", doc="a weights file, or pretrained; empty: initial weights from the seed")
    frozen: bool = setting(False, doc="true: the encoder stays as it is, heads are trained on the feature table alone")
    adapter: str = setting(
        AUTO,
        words=(AUTO, NONE, MLP),
        doc="trained layers D-256-256 between a frozen encoder and the heads; auto: mlp if frozen",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adapter == MLP and not self.frozen:
            raise ConfigError(
                "encoder.adapter",
                got="'mlp' with an encoder that is trained",
                expected="a frozen one, because one that is trained needs no other layers to learn",
                remedy="set encoder.frozen to true or leave encoder.adapter out",
            )

    @property
    def used_adapter(self) -> str:
        """What stands between encoder and heads, once stage 0 is done: 'none' or 'mlp'."""
        return MLP if self.frozen and self.adapter != NONE else NONE

    @property
    def fixed(self) -> bool:
        """Whether what the heads look at is never trained."""
        return self.frozen and self.used_adapter == NONE
