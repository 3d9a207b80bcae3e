"""Blocks whose input follows from their output, so that none is kept for gradients."""

from keras import ops

from ..errors import KzooError
from ..parts import part
from .block import PreNorm


@part("block", "reversible")
class Reversible(PreNorm):
    """`one + attention(norm(other))`, then `other + feedforward(norm(one))` of that.

    RevNet (arXiv:1707.04585) as in the Reformer (arXiv:2001.04451). Both streams begin as the
    embeddings and end side by side, so that what reads the stack reads vectors of twice the width.
    """

    streams = 2

    def __init__(self, spec, name, index=0):
        if spec.cross_attention is not None:
            raise KzooError("A reversible block has no attention to a memory: take another block.")
        super().__init__(spec, name, index)

    def call(self, x, context, training=None):
        """(batch, length, 2 * hidden_dim) to the same shape, and what attention saw.

        Where only the first places ask, only theirs come out.
        """
        one, other = ops.split(x, 2, axis=-1)
        y, seen = self.attended(other, context, training)
        one = context.asking(one) + y
        return ops.concatenate([one, context.asking(other) + self.fed(one, training)], -1), seen

    def attended(self, x, context, training=None):
        """What attention adds to the first stream, of the other one; and what it saw."""
        y, seen = self.attention(self.attention_norm(x), context=context, training=training)
        return self.dropout(y, training=training), seen

    def fed(self, x, training=None):
        """What the feed-forward net adds to the second stream, of the first one."""
        return self.dropout(self.feedforward(self.feedforward_norm(x)), training=training)

    def halves(self, training=None):
        """Both: layers, and a function of a stream and a context that the other stream is added."""
        attention = [self.attention_norm, self.attention, self.dropout]
        feedforward = [self.feedforward_norm, self.feedforward, self.dropout]
        return (
            (attention, lambda x, context: self.attended(x, context, training)[0]),
            (feedforward, lambda x, context: self.fed(x, training)),
        )
