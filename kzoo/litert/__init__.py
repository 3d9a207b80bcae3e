"""A Keras model as a LiteRT file: made, quantized, audited, run."""
