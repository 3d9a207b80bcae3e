"""Normalisations of the feature axis."""

from keras import layers

from ..parts import part


@part("norm", "layer_norm")
class LayerNorm(layers.LayerNormalization):
    """Layer normalisation, arXiv:1607.06450."""

    def __init__(self, epsilon=1e-12, name=None):
        super().__init__(epsilon=epsilon, name=name)
