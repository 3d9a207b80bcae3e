"""The affine map, its initialisation and the activations by their exact names."""

import keras
from keras import layers, ops

from ..errors import KzooError
from .rounding import rounding_of

ACTIVATIONS = {
    "gelu": lambda x: ops.gelu(x, approximate=False),  # erf, arXiv:1606.08415
    "gelu_tanh": lambda x: ops.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),  # the same, section 2; OpenAI's CLIP
    "relu": ops.relu,
    "silu": ops.silu,
    "tanh": ops.tanh,
}


def activation(name):
    """The function behind an activation's name; erf and tanh GELU are different functions."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise KzooError(f"No activation is called {name!r}; known: {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def normal(spec):
    """The initialiser that BERT and its descendants share, arXiv:1810.04805."""
    return keras.initializers.TruncatedNormal(stddev=spec.initializer_range)


class NotByKeras:
    """Mixin, before `layers.Layer`: Keras' `quantize` is not the way for its weights."""

    def quantize(self, mode=None, type_check=True, config=None):
        """Raise KzooError."""
        raise KzooError(
            f"got quantize({mode!r}) for {self.path}, a layer of kzoo; expected quantization= of "
            "kzoo.export_litert, such as 'int8', or here filters= that leave kzoo's layers out."
        )


class Dense(NotByKeras, layers.Layer):
    """`x @ kernel + bias` on (..., in) as one matrix product of rank 2.

    Rank 2 is what becomes a single FULLY_CONNECTED on a device, with no shape arithmetic round it
    when the length is dynamic.
    """

    def __init__(self, units, spec, name, bias=True):
        super().__init__(name=name)
        self.units, self.spec, self.has_bias = units, spec, bias
        self.rounding = rounding_of(spec)

    def build(self, shape):
        """Make kernel (in, units) and, where it has one, bias (units,)."""
        self.kernel = self.add_weight(
            shape=(shape[-1], self.units), initializer=normal(self.spec), name="kernel"
        )
        if self.has_bias:
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.rounding.build(self, shape[-1], self.units)

    def call(self, x):
        """(..., in) to (..., units)."""
        y = ops.reshape(self.rounding.input(x), (-1, x.shape[-1]))
        y = ops.matmul(y, self.rounding.kernel(self.kernel))
        y = self.rounding.output(ops.add(y, self.bias) if self.has_bias else y)
        if len(x.shape) == 2:
            return y
        return ops.reshape(y, (ops.shape(x)[0], *ops.shape(x)[1:-2], -1, self.units))
