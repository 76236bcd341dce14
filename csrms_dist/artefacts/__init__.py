"""Artefacts of a run: written whole or not at all, stamped with the fingerprint of their inputs."""
