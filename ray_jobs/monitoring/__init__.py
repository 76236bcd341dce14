"""Monitoring: a run's log, trackers and metrics, fed from one channel, and the account that the log gives."""
