"""The worth of a run: predictions, figures, leak check, report."""
