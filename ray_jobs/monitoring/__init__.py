"""What follows a run from beside it: its log, its trackers, its metrics endpoint; and what the log says of a run."""
