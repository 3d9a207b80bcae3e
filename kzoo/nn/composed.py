"""What a layer of layers builds."""

from keras import layers


class Composed(layers.Layer):
    """A layer whose weights are its parts', which make them when they are called first.

    Of a layer without a `build` Keras calls each level once more just to see what it makes, with
    all the levels below: a model would be traced three or four times over before it has a weight.
    """

    def build(self, _shape=None):
        """Make nothing."""
