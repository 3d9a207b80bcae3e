"""Maps from one width to another that are learnt beside a network, and are no part of it."""

import keras
from keras import ops


class Bridges(keras.layers.Layer):
    """Linear maps from a student's widths to its teacher's (TinyBERT, arXiv:1909.10351, section 3).

    Args:
        widths: by name, the widths (from, to) that each lies between.
    """

    def __init__(self, widths, name="bridges"):
        super().__init__(name=name)
        self.widths = {key: [int(width) for width in pair] for key, pair in widths.items()}
        self.kernels = {
            key: self.add_weight(
                shape=tuple(pair),
                initializer=keras.initializers.GlorotUniform(seed=number),
                name=key,
            )
            for number, (key, pair) in enumerate(self.widths.items())
        }
        self.built = True

    def across(self, key, x):
        """x (..., from) as (..., to)."""
        return ops.matmul(x, ops.cast(self.kernels[key], x.dtype))


def nothing(weights):
    """Zero, that depends on all of the weights: of those without a gradient Keras would warn."""
    return 0.0 * sum(ops.sum(weight) for weight in weights)
