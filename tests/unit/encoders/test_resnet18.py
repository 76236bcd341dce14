"""ResNet-18 for small images: He et al. (2016), table 1, with the stem of their section 4.2."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from csrms_dist.encoders.resnet18 import BasicBlock, ResNet18


def test_resnet18_has_the_shapes_of_the_paper() -> None:
    encoder = ResNet18()
    seen: dict[str, tuple[int, ...]] = {}
    for name, layer in encoder.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    features = encoder(torch.randn(2, 3, 32, 32))
    assert {name: seen[name] for name in ("conv1", "layer1", "layer2", "layer3", "layer4")} == {
        "conv1": (2, 64, 32, 32),
        "layer1": (2, 64, 32, 32),
        "layer2": (2, 128, 16, 16),
        "layer3": (2, 256, 8, 8),
        "layer4": (2, 512, 4, 4),
    }
    assert features.shape == (2, encoder.dimension)
    assert bool((features >= 0).all())
    widths = [64, 64, 64, 64, 64, 128, 128, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512]
    convolutions = sum(9 * i * o for i, o in zip([3, *widths[:-1]], widths, strict=True))
    shortcuts = 64 * 128 + 128 * 256 + 256 * 512
    norms = 2 * (sum(widths) + 128 + 256 + 512)
    assert sum(p.numel() for p in encoder.parameters()) == convolutions + shortcuts + norms


def test_it_is_the_resnet18_of_timm_with_another_stem() -> None:
    """An independent implementation answers the same from the same tensors, under the same names."""
    encoder = ResNet18().eval()
    other = timm.create_model("resnet18", num_classes=0)
    other.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    other.maxpool = nn.Identity()
    generator = torch.Generator().manual_seed(0)
    state = encoder.state_dict()
    for key, value in state.items():
        if key.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
        elif value.ndim == 1:
            value.copy_(1 + torch.rand(value.shape, generator=generator))
    other.load_state_dict(state)
    images = torch.randn(3, 3, 32, 32, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), other.eval()(images))


@pytest.mark.parametrize(("channels", "width", "stride"), [(4, 4, 1), (4, 8, 2), (4, 8, 1)])
def test_a_block_without_its_branch_is_its_shortcut(channels: int, width: int, stride: int) -> None:
    block = BasicBlock(channels, width, stride).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, channels, 8, 8)
    plain = channels == width and stride == 1
    assert len(block.downsample) == (0 if plain else 2)
    with torch.no_grad():
        assert torch.equal(block(x), x if plain else torch.relu(block.downsample(x)))
