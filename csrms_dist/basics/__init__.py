"""What every room uses: array types, settings, variants by name, hashing, progress, workers' sums."""
