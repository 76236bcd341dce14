"""The names that `csrms_dist.encoders` offers."""

from csrms_dist.encoders.encoder import Encoder, has_batch_norm
from csrms_dist.encoders.lenet5 import LeNet5
from csrms_dist.encoders.make import make_encoder
from csrms_dist.encoders.normaliser import Normaliser, images_to_tensor, normalisation
from csrms_dist.encoders.resnet18 import ResNet18
from csrms_dist.encoders.weights import load_initial_weights

__all__ = [
    "Encoder",
    "LeNet5",
    "Normaliser",
    "ResNet18",
    "has_batch_norm",
    "images_to_tensor",
    "load_initial_weights",
    "make_encoder",
    "normalisation",
]
