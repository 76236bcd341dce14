"""LeNet-5."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csrms_dist.encoders.architecture import BuiltIn
from csrms_dist.encoders.encoder import Encoder


class LeNet5(Encoder):
    """LeNet-5 (LeCun et al., 1998) with ReLU and max pooling: (B, 3, 32, 32) -> (B, 84), non-negative."""

    dimension = 84

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.conv1(images)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.relu(self.fc1(x.flatten(1)))
        return torch.relu(self.fc2(x))


LENET5 = BuiltIn("lenet5", LeNet5, image_shape=(32, 32, 3))
