"""Image tables and the layouts that fill them: one file a layout."""

from csrms_dist.datasets.image_table import ImageTable

__all__ = ["ImageTable"]
