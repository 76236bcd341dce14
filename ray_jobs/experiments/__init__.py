"""Experiments: a grid of recipes, data sets and seeds as ordinary runs, and the sentence that their numbers allow."""
