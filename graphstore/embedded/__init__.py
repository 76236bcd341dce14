"""The store in files of the embedded engine, as immutable generations."""
