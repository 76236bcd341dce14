"""Ray's side: one session a command, a pool of actors, Ray Train around the training loop."""
