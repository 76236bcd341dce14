"""Training: encoder passes, one step, the loop. No Ray: any number of workers through a Collective."""
