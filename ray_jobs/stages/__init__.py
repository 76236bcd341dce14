"""The jobs of the stages, one file each, and the table of them."""
