"""Normalisations of the feature axis."""

from keras import layers

from ..errors import KzooError
from ..parts import part
from ..values import is_number


@part("norm", "layer_norm")
class LayerNorm(layers.LayerNormalization):
    """Layer normalisation, arXiv:1607.06450."""

    def __init__(self, epsilon=1e-12, name=None):
        if not is_number(epsilon, 0) or epsilon >= 1:
            raise KzooError(f"epsilon is {epsilon!r:.40}; a number such as 1e-12 is expected.")
        super().__init__(epsilon=epsilon, name=name)
