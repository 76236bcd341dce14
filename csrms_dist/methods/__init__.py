"""Methods as peers, a folder each. `known.METHODS` lists them; the rest of the project sees `protocol` alone."""
