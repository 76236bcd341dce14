"""Sending a run to a Ray cluster: what goes along, the cluster's jobs, and following one to its end."""
