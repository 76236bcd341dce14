"""`train_alone` under the name that version 0.1's README showed."""

from csrms_dist.training.alone import train_alone

__all__ = ["train_alone"]
