"""Narrow nets behind the maps of a block."""

from ..parts import part
from . import dense


@part("dense", "bottleneck")
class Bottleneck(dense.Ranked):
    """A map with an adapter behind it, where it has a rank: `y + up(activation(down(y)))` of its y.

    Houlsby et al. 2019, arXiv:1902.00751, have one behind both branches of a block, which are the
    maps "output" and "down" (theirs stands behind the branch's dropout); Pfeiffer et al. 2021,
    arXiv:2005.00247, behind the feed-forward net alone. The rank is the adapter's width. `up` is
    zero at first, so that nothing changes; `kzoo.bottleneck` lets the two learn and the map stand
    still.

    Args:
        activation: its name.
    """

    LEARNS = ("adapter_down", "adapter_up")  # The layers whose weights learn.

    def __init__(self, units, spec, name, path, width, bias, ranks=None, activation="relu"):
        super().__init__(units, spec, name, path, width, bias, ranks)
        self.activation = dense.activation(activation)
        if self.rank is not None:
            down, up = self.LEARNS
            self.adapter_down = dense.Dense(self.rank, spec, down)
            self.adapter_up = dense.Dense(units, spec, up, initializer="zeros")

    def call(self, x):
        """(..., in) to (..., units)."""
        y = super().call(x)
        if self.rank is None:
            return y
        return y + self.adapter_up(self.activation(self.adapter_down(y)))
