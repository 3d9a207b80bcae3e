"""One vector for a sequence, as pretraining left it."""

from keras import layers, ops

from ..parts import part
from .dense import Dense, activation


def first_place(x):
    """The first token's vector: (batch, length, dim) to (batch, dim).

    A slice that keeps the axis, and a reshape: XNNPACK takes no slice that drops an axis.
    """
    return ops.reshape(x[:, :1], (-1, x.shape[-1]))


@part("pooler", "none")
class NoPooler(layers.Layer):
    """A backbone without a pooled output."""

    def __init__(self, spec, name):
        super().__init__(name=name)

    def call(self, x):
        """Nothing."""
        return None


@part("pooler", "tanh")
class TanhPooler(Dense):
    """A dense layer and tanh on the first token's vector (BERT)."""

    def __init__(self, spec, name):
        super().__init__(spec.hidden_dim, spec, name)

    def call(self, x):
        """(batch, length, hidden_dim) to (batch, hidden_dim)."""
        return activation("tanh")(super().call(first_place(x)))
