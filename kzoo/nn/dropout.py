"""Dropout whose draws cost less."""

import keras
from keras import layers, ops

NUMBERS = 2**16  # of 16 random bits


class Dropout(layers.Dropout):
    """Keras' layer (Srivastava et al. 2014, JMLR 15), on TensorFlow by 16 random bits a number.

    TensorFlow draws a float32 for each, and drawing is most of the work; XLA joins it to what
    follows, so that on JAX the layer is Keras' own. The rate is rounded to a multiple of 1 / 65536,
    and what stays is scaled by the share that does.
    """

    def call(self, inputs, training=False):
        """Numbers (...) to the same shape, in training some of them 0."""
        left_out = round(self.rate * NUMBERS)
        by_bits = keras.backend.backend() == "tensorflow" and 0 < left_out < NUMBERS
        if not (training and by_bits):
            return super().call(inputs, training=training)
        count = ops.size(inputs)
        words = keras.random.randint(
            (-(-count // 4), 1), -(2**63), 2**63 - 1, "int64", self.seed_generator
        )
        bits = ops.reshape(ops.view(words, "uint16"), (-1,))[:count]
        keep = ops.cast(ops.reshape(bits >= left_out, ops.shape(inputs)), inputs.dtype)
        return inputs * (keep * (NUMBERS / (NUMBERS - left_out)))
