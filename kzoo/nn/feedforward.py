"""What a block does to each place on its own."""

from keras import layers

from ..parts import part
from . import dense


@part("feedforward", "mlp")
class MLP(layers.Layer):
    """`down(activation(up(x)))` (arXiv:1706.03762)."""

    def __init__(self, spec, name, activation="gelu"):
        super().__init__(name=name)
        self.up = dense.Dense(spec.intermediate_dim, spec, "up")
        self.down = dense.Dense(spec.hidden_dim, spec, "down")
        self.activation = dense.activation(activation)

    def call(self, x):
        """(batch, length, hidden_dim) to the same shape."""
        return self.down(self.activation(self.up(x)))
