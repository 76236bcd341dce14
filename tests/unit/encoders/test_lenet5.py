"""LeNet-5 has the shapes of the paper."""

from __future__ import annotations

import torch

from csrms_dist.encoders.lenet5 import LeNet5


def test_lenet5_has_the_shapes_of_the_paper() -> None:
    """LeCun et al. (1998), fig. 2: 28 x 28 after C1, 14 after S2, 10 after C3, 5 after S4, then 120, 84."""
    encoder = LeNet5()
    seen: dict[str, tuple[int, ...]] = {}
    for name, layer in encoder.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    features = encoder(torch.randn(2, 3, 32, 32))
    assert seen == {"conv1": (2, 6, 28, 28), "conv2": (2, 16, 10, 10), "fc1": (2, 120), "fc2": (2, 84)}
    assert features.shape == (2, encoder.dimension)
    assert bool((features >= 0).all())
    assert encoder(torch.zeros(0, 3, 32, 32)).shape == (0, 84)
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in encoder.named_children()}
    assert counts == {"conv1": 6 * 76, "conv2": 16 * 151, "fc1": 120 * 401, "fc2": 84 * 121}
