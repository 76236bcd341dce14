"""Common to every room: array types, settings, variants by name, hashing, progress, workers' sums."""
