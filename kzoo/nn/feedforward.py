"""What a block does to each place on its own."""

from keras import ops

from ..errors import KzooError
from ..parts import part
from ..values import is_whole
from . import dense
from .composed import Composed


@part("feedforward", "mlp")
class MLP(Composed):
    """`down(activation(up(x)))` (arXiv:1706.03762).

    Args:
        spec: the spec of the stack.
        activation: its name.
        bias: whether the maps have one.
        intermediate_dim: how many units it has, where these aren't as many as the spec's (0),
            because some were pruned.
        chunk: how many places are computed at a time, one chunk after the other, so that the units
            of no more are in memory (Reformer, arXiv:2001.04451); 0 for all at once.
    """

    MAPS = ("up", "down")  # The names of its affine maps.

    def __init__(self, spec, name, activation="gelu", bias=True, intermediate_dim=0, chunk=0):
        super().__init__(name=name)
        if not is_whole(intermediate_dim, 0):
            raise KzooError(
                f"Got intermediate_dim = {intermediate_dim!r:.40} for a feed-forward net; expected "
                "a whole number, 0 for the spec's."
            )
        if not is_whole(chunk, 0):
            raise KzooError(
                f"Got chunk = {chunk!r:.40} for a feed-forward net; expected a number of places, 0 "
                "for all at once."
            )
        self.chunk = chunk
        self.units = intermediate_dim or spec.intermediate_dim
        outer, inner = spec.hidden_dim, self.units
        self.up = dense.of_block(spec, f"{name}/up", outer, inner, bias)
        self.down = dense.of_block(spec, f"{name}/down", inner, outer, bias)
        self.activation = dense.activation(activation)

    def call(self, x):
        """(batch, length, hidden_dim) to the same shape."""
        if not self.chunk:
            return self.fed(x)
        length, width = ops.shape(x)[1], x.shape[2]
        if isinstance(length, int) and length <= self.chunk:
            return self.fed(x)
        fill = -length % self.chunk
        wide = ops.pad(x, [(0, 0), (0, fill), (0, 0)])
        wide = ops.reshape(wide, (ops.shape(x)[0], -1, self.chunk, width))
        y = ops.map(self.fed, ops.transpose(wide, (1, 0, 2, 3)))
        y = ops.reshape(ops.transpose(y, (1, 0, 2, 3)), (ops.shape(x)[0], -1, width))
        return y[:, :length]

    def fed(self, x):
        """`call` for places that are computed at once."""
        return self.down(self.activation(self.up(x)))


@part("feedforward", "gated")
class Gated(MLP):
    """`down(activation(gate(x)) * up(x))` (arXiv:2002.05202; SwiGLU with "silu")."""

    MAPS = (*MLP.MAPS, "gate")

    def __init__(self, spec, name, activation="silu", bias=False, intermediate_dim=0, chunk=0):
        super().__init__(spec, name, activation, bias, intermediate_dim, chunk)
        self.gate = dense.of_block(spec, f"{name}/gate", spec.hidden_dim, self.units, bias)

    def fed(self, x):
        """See `MLP`."""
        return self.down(self.activation(self.gate(x)) * self.up(x))
