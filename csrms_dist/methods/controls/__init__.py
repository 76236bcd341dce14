"""The controls beside the plain classifier, one file each: what a relation loss has to beat (docs/controls.md)."""
