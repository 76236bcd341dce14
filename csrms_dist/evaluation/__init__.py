"""What a run bought: predictions, figures, leak check, report."""
