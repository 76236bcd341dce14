"""The assignment pass of clustering on a device of torch: the bytes of `art.spherical.int8_products` on a GPU."""
