"""Examples from files, and batches for Keras."""
