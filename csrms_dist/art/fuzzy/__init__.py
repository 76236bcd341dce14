"""Fuzzy ART: categories are boxes."""
