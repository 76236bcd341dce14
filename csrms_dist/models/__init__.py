"""The parts of the network above the encoder: smoothing, alignment, heads, feature bank and prototypes."""
