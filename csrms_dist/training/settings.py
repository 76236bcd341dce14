"""The sections `pretrain` and `train`."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.devices import DEVICES
from csrms_dist.basics.settings import Settings, setting
from csrms_dist.datasets.augmentation import AUGMENTATIONS, NONE
from csrms_dist.errors import ConfigError
from csrms_dist.methods.stage_0 import CLASSIFICATION, OBJECTIVES, WITHOUT_LABELS
from csrms_dist.training.optimisers import OPTIMISERS
from csrms_dist.training.orders import ORDERS
from csrms_dist.training.schedules import SCHEDULES

SYNCHRONISED = "synchronised"
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class OptimiserSettings(Settings):
    """Shared by every training stage; by default SGD with Nesterov momentum, and a cosine after a linear warm-up."""

    epochs: int = setting(10, "[1, 100000]", doc="passes over the training images")
    batch_size: int = setting(128, "[1, 65536]", doc="images in a global batch, over all workers")
    lr: float = setting(0.05, "(0, 10]", doc="largest learning rate")
    optimiser: str = setting(
        "sgd", words=OPTIMISERS, doc="Nesterov's, torch's Adam or AdamW; an lr of one is not the other's"
    )
    momentum: float = setting(0.9, "[0, 1)", doc="Nesterov momentum, of sgd alone")
    weight_decay: float = setting(5e-4, "[0, 1]", doc="L2 penalty, added to the gradient; of adamw decoupled from it")
    warmup_epochs: float = setting(1.0, "[0, 1000]", doc="epochs of linear warm-up")
    schedule: str = setting("cosine", words=SCHEDULES, doc="of the learning rate after the warm-up; step: the paper's")
    decay: float = setting(0.1, "(0, 1]", doc="step: what the learning rate is multiplied by")
    decay_every: float = setting(20.0, "(0, 100000]", doc="step: epochs between two such steps, from the warm-up's end")
    label_smoothing: float = setting(0.0, "[0, 1)", doc="uniform label smoothing")
    loss: str = setting("auto", words=("auto", "asymmetric"), doc="of each head; asymmetric (ASL): for several labels")
    augmentation: str = setting(
        NONE, words=AUGMENTATIONS, doc="all but none suit natural images, not digits; contrastive: SimCLR's views"
    )
    random_erasing: float = setting(0.0, "[0, 1]", doc="share of images of which a box is erased (Zhong et al., 2020)")
    accumulate: int = setting(1, "[1, 4096]", doc="global batches whose gradients make one step of the optimiser")
    clip: float = setting(0.0, "[0, 1000000]", doc="largest norm of a step's gradient; 0: any")
    ema: float = setting(
        0.0, "[0, 1)", doc="the model is a running mean of the weights over steps, which keeps this share; 0: the last"
    )


@dataclass(frozen=True)
class PretrainSettings(OptimiserSettings):
    """Stage 0: the training of the encoder that makes the features to cluster."""

    epochs: int = setting(10, "[0, 100000]", doc="passes over the training images; 0 leaves the encoder as it is")
    objective: str = setting(
        CLASSIFICATION,
        words=OBJECTIVES,
        doc="contrastive (SimCLR) reads no label and learns from unlabelled images too",
    )
    temperature: float = setting(0.5, "(0, 10]", doc="of the contrastive objective")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.without_labels:
            return
        if self.augmentation == NONE and self.random_erasing == 0:
            raise ConfigError(
                "pretrain.augmentation",
                got="'none', with which both views of an image are equal",
                expected="another with pretrain.objective contrastive",
                remedy="set pretrain.augmentation to contrastive, resized_crop or crop_flip",
            )
        if self.batch_size == 1:
            raise ConfigError(
                "pretrain.batch_size", got="1", expected="at least 2 with pretrain.objective contrastive, which tells "
                "images of a batch apart", remedy="raise it",
            )  # fmt: skip
        if self.loss != "auto" or self.label_smoothing > 0:
            raise ConfigError(
                "pretrain.loss or pretrain.label_smoothing", got="one that is set", expected="neither with "
                "pretrain.objective contrastive, which reads no label", remedy="leave both out",
            )  # fmt: skip

    @property
    def without_labels(self) -> bool:
        """Whether the objective reads no label, learns from all images and looks at two views of each."""
        return self.objective in WITHOUT_LABELS

    @property
    def views(self) -> int:
        """How many times a step encodes an image of its batch."""
        return 2 if self.without_labels else 1


@dataclass(frozen=True)
class TrainSettings(OptimiserSettings):
    epochs: int = setting(20, "[1, 100000]", doc="passes over the training images after stage 0")
    batches: str = setting(
        "uniform",
        words=ORDERS,
        own="csrms_dist.training.orders.ground:KIND",
        doc="which images come together; subgraph and look_alikes are the method's alone",
    )
    device: str = setting(
        "auto", words=DEVICES, doc="of all that torch computes, stage 0 too; auto: a GPU where one is"
    )
    precision: str = setting(
        "float32", words=PRECISIONS, doc="of the encoder's products in training, stage 0 too; losses are float32"
    )
    compile: bool = setting(False, doc="the encoder is compiled by torch.compile, stage 0's too")
    deterministic: bool = setting(
        False, doc="equal bits every time on a GPU too, which costs time; a CPU has them, and samples are equal always"
    )
    batch_norm: str = setting(
        "local",
        words=("local", SYNCHRONISED),
        doc="statistics of each worker's images, or of all workers' (SyncBatchNorm), on GPUs alone",
    )
