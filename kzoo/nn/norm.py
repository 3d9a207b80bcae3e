"""Normalisations of the feature axis."""

from keras import layers, ops

from ..errors import KzooError
from ..parts import part
from ..values import is_number
from . import lowering


def checked_epsilon(epsilon):
    """What stands under a norm's root, or an error that names it."""
    if not is_number(epsilon, 0) or epsilon >= 1:
        raise KzooError(f"epsilon is {epsilon!r:.40}; a number such as 1e-12 is expected.")
    return epsilon


@part("norm", "layer_norm")
class LayerNorm(layers.LayerNormalization):
    """Layer normalisation, arXiv:1607.06450.

    Args:
        epsilon: what stands under the root.
        bias: whether something is added at the end.
    """

    def __init__(self, epsilon=1e-12, bias=True, name=None):
        super().__init__(epsilon=checked_epsilon(epsilon), center=bias, name=name)

    def call(self, x):
        """(..., dim) to the same shape."""
        return lowering.layer_norm(super().call, x, self.gamma, self.beta, self.epsilon)


@part("norm", "rms_norm")
class RMSNorm(layers.Layer):
    """Features by the root of the mean of their squares, arXiv:1910.07467."""

    def __init__(self, epsilon=1e-6, name=None):
        super().__init__(name=name)
        self.epsilon = checked_epsilon(epsilon)

    def build(self, shape):
        """Make the scale (dim,)."""
        self.gamma = self.add_weight(shape=shape[-1:], initializer="ones", name="gamma")

    def call(self, x):
        """(..., dim) to the same shape."""
        wide = ops.cast(x, "float32")
        mean = ops.mean(ops.square(wide), axis=-1, keepdims=True)
        return ops.cast(wide * ops.rsqrt(mean + self.epsilon), x.dtype) * self.gamma


@part("norm", "no_norm")
class NoNorm(layers.Layer):
    """Each feature times a number, and another added: nothing is measured (MobileBERT).

    arXiv:2004.02984, section 3.3: without means and variances a device is faster.
    """

    def __init__(self, name=None):
        super().__init__(name=name)

    def build(self, shape):
        """Make the factors and what is added, both (dim,)."""
        self.gamma = self.add_weight(shape=shape[-1:], initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape[-1:], initializer="zeros", name="beta")

    def call(self, x):
        """(..., dim) to the same shape."""
        return x * self.gamma + self.beta
