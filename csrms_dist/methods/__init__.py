"""Methods as peers: what the trainer and `csrms run` know of each."""
