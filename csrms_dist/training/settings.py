"""The sections `pretrain` and `train`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.settings import Settings, setting
from csrms_dist.training.orders import ORDERS


@dataclass(frozen=True)
class OptimiserSettings(Settings):
    """Shared by every training stage: SGD with Nesterov momentum, cosine schedule with a linear warm-up."""

    epochs: int = setting(10, "[1, 100000]", doc="passes over the training images")
    batch_size: int = setting(128, "[1, 65536]", doc="images in a global batch, over all workers")
    lr: float = setting(0.05, "(0, 10]", doc="largest learning rate")
    momentum: float = setting(0.9, "[0, 1)", doc="Nesterov momentum")
    weight_decay: float = setting(5e-4, "[0, 1]", doc="L2 penalty")
    warmup_epochs: float = setting(1.0, "[0, 1000]", doc="epochs of linear warm-up")
    label_smoothing: float = setting(0.0, "[0, 1)", doc="uniform label smoothing")
    augmentation: str = setting("none", words=("none", "crop_flip"), doc="crop_flip suits natural images, not digits")


@dataclass(frozen=True)
class PretrainSettings(OptimiserSettings):
    """Stage 0: classification training of the encoder that makes the features to cluster."""

    epochs: int = setting(10, "[0, 100000]", doc="passes over the training images; 0 leaves the encoder as it is")


@dataclass(frozen=True)
class TrainSettings(OptimiserSettings):
    epochs: int = setting(20, "[1, 100000]", doc="passes over the training images after stage 0")
    batches: str = setting(
        "uniform",
        words=ORDERS,
        own="csrms_dist.training.orders.ground:KIND",
        doc="which images come together; subgraph and look_alikes are the method's alone",
    )
