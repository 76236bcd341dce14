"""Spherical ART and k-means on the sphere: categories are directions."""
