"""Monitoring: the log of a run, its trackers, Ray's metrics, fed from one channel; and the account that the log gives."""
