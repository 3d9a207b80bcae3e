"""What a block does to each place on its own."""

from ..parts import part
from . import dense
from .composed import Composed


@part("feedforward", "mlp")
class MLP(Composed):
    """`down(activation(up(x)))` (arXiv:1706.03762).

    Args:
        spec: the spec of the stack.
        activation: its name.
        bias: whether the maps have one.
    """

    def __init__(self, spec, name, activation="gelu", bias=True):
        super().__init__(name=name)
        self.up = dense.Dense(spec.intermediate_dim, spec, "up", bias)
        self.down = dense.Dense(spec.hidden_dim, spec, "down", bias)
        self.activation = dense.activation(activation)

    def call(self, x):
        """(batch, length, hidden_dim) to the same shape."""
        return self.down(self.activation(self.up(x)))


@part("feedforward", "gated")
class Gated(MLP):
    """`down(activation(gate(x)) * up(x))` (arXiv:2002.05202; SwiGLU with "silu")."""

    def __init__(self, spec, name, activation="silu", bias=False):
        super().__init__(spec, name, activation, bias)
        self.gate = dense.Dense(spec.intermediate_dim, spec, "gate", bias)

    def call(self, x):
        """(batch, length, hidden_dim) to the same shape."""
        return self.down(self.activation(self.gate(x)) * self.up(x))
