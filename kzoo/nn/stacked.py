"""Blocks of several feed-forward nets, and such as are narrower inside: MobileBERT."""

import dataclasses

from ..errors import KzooError
from ..parts import make, part
from ..spec import LARGEST
from ..values import is_whole
from .block import PostNorm, of_slot
from .composed import Composed
from .context import Context
from .dense import of_block
from .dropout import Dropout
from .position import UNPLACED


@part("block", "stacked")
class Stacked(PostNorm):
    """A post-norm block with several feed-forward nets, one after the other.

    Each is a residual branch with a norm behind it (arXiv:2004.02984, section 3.2).

    Args:
        spec, index: as for "post_norm".
        feedforwards: how many nets there are.
    """

    def __init__(self, spec, name, index=0, feedforwards=4):
        if not is_whole(feedforwards, 1):
            raise KzooError(
                f"Got feedforwards = {feedforwards!r:.40} for a block; expected 1 or more."
            )
        if spec.cross_attention is not None:
            raise KzooError("A stacked block has no attention to a memory: take another block.")
        self.feedforwards = feedforwards
        super().__init__(spec, name, index)

    def further(self, spec, index):
        """The nets before the last one, with their norms."""
        numbers = range(self.feedforwards - 1)
        self.nets = [of_slot("feedforward", spec, index, f"feedforward_{n}") for n in numbers]
        self.net_norms = [make("norm", spec.norm, name=f"feedforward_{n}_norm") for n in numbers]
        return self.nets

    def call(self, x, context, training=None):
        """(batch, length, hidden_dim) to the same shape, and what attention saw.

        Where only the first places ask, only theirs come out.
        """
        y, seen = self.attention(x, context=context, training=training)
        y = self.dropout(context.asking(y), training=training)
        return self.fed(self.attention_norm(context.asking(x) + y), training), seen

    def fed(self, x, training):
        """What the nets make of vectors (batch, length, width)."""
        for net, norm in zip(self.nets, self.net_norms, strict=True):
            x = norm(x + net(x))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x), training=training))


class Narrowing(Composed):
    """A map to another width with a norm behind it."""

    MAPS = ("dense",)

    def __init__(self, spec, width, units, name):
        super().__init__(name=name)
        self.dense = of_block(spec, f"{name}/dense", width, units, True)
        self.norm = make("norm", spec.norm, name="norm")

    def call(self, x):
        """(batch, length, width) to (batch, length, units)."""
        return self.norm(self.dense(x))


class Widening(Narrowing):
    """A map to another width, added to what was of this width before, and a norm behind both."""

    def __init__(self, spec, width, units, name):
        super().__init__(spec, width, units, name)
        self.dropout = Dropout(spec.dropout)

    def call(self, x, before, training=None):
        """(batch, length, width) and what it is added to, (batch, length, units)."""
        return self.norm(before + self.dropout(self.dense(x), training=training))


@part("block", "bottleneck")
class Bottleneck(Stacked):
    """A stacked block that is narrower inside than between blocks (arXiv:2004.02984, section 3.1).

    One map makes the narrow vectors that attention reads, and that its result is added to; another
    brings what the nets made back to the width, where it is added to what came in. Only there is
    dropout.

    Args:
        spec, index, feedforwards: as for "stacked"; heads are by the spec's `head_dim`, or as wide
            together as the inside.
        dim: how wide it is inside.
    """

    def __init__(self, spec, name, index=0, feedforwards=4, dim=128):
        if not is_whole(dim, 1, LARGEST):
            raise KzooError(f"Got dim = {dim!r:.40} for a bottleneck; expected 1 or more.")
        self.width = spec.hidden_dim
        super().__init__(spec.replace(hidden_dim=dim), name, index, feedforwards)

    def further(self, spec, index):
        """The maps in and out as well."""
        self.narrow = Narrowing(spec, self.width, spec.hidden_dim, "narrow")
        self.widen = Widening(spec, spec.hidden_dim, self.width, "widen")
        return [*super().further(spec, index), self.narrow, self.widen]

    def call(self, x, context, training=None):
        """See `Stacked`."""
        narrow = self.narrow(x)
        reads, context_of_reads = self.read(x, narrow, context)
        y, seen = self.attention(reads, context=context_of_reads, training=training)
        y = self.attention_norm(context.asking(narrow) + context.asking(y))
        y = self.fed(y, training=False)
        return self.widen(y, context.asking(x), training=training), seen

    def read(self, x, narrow, context):
        """The vectors that attention reads, and what it is told beside them."""
        return narrow, context

    def recalled(self, memory):
        """See `PostNorm`."""
        return self.attention.keys_and_values(
            *self.read(memory, self.narrow(memory), Context(UNPLACED))
        )


@part("block", "shared_bottleneck")
class SharedBottleneck(Bottleneck):
    """A bottleneck whose queries and keys have a narrowing map of their own, which both share.

    Values are made of the wide vectors (arXiv:2004.02984, table 1; `key_query_shared_bottleneck`
    of its code). It takes kinds of attention whose keys and values may be made of two vectors:
    "full", "causal" and "local".

    Args:
        spec, index, feedforwards, dim: as for "bottleneck".
    """

    def further(self, spec, index):
        """The shared map as well."""
        self.shared = Narrowing(spec, self.width, spec.hidden_dim, "shared")
        return [*super().further(spec, index), self.shared]

    def read(self, x, narrow, context):
        """See `Bottleneck`."""
        return self.shared(x), dataclasses.replace(context, values=x)
