"""The class-pattern-instance hierarchy (CSRMS sec. 4.1): plain arrays, no database, no torch."""
