"""Class-level structural relation modelling and smoothing: the library, without a cluster and without a database."""
