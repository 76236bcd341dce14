"""Stage images: the image tables of a data set, with a validation split inside the training set."""

from __future__ import annotations

from csrms_dist.datasets.digits import digits
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.progress import Progress
from ray_jobs.stage import StageContext


def execute(context: StageContext) -> None:
    """Write images/train.arrow (splits train and val) and images/test.arrow."""
    facts: dict[str, object] = {}
    with Progress("images", unit="images") as progress, context.run.writing("images", context.inputs, facts) as folder:
        train, test = digits(context.settings.data.val_fraction)
        for name, source in (("train", train), ("test", test)):
            write_image_table(folder / f"{name}.arrow", source, on_images=progress.update)
        table = ImageTable(folder / "train.arrow")
        mean, std = table.channel_statistics()
        facts.update(content_hash=table.content_hash, mean=mean, std=std, test=len(test.ids))
        facts.update({split: len(table.indices(split)) for split in ("train", "val")})
