"""The pixels of whole batches by torch, with the formulas of the host's loops in their order of operations, for
images on any device. The host waits for nothing here, and no temporary is larger than the result."""
