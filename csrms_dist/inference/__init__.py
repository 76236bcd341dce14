"""Inference: a trained run answers for images that nobody has labelled, block by block or one by one."""
