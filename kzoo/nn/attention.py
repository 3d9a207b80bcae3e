"""Attention in three steps: project, score, mix. A kind changes only how q, k and v mix."""

import math

from keras import layers, ops

from ..parts import part
from .dense import Dense


@part("attention", "full")
class Attention(layers.Layer):
    """Every place looks at every place (arXiv:1706.03762)."""

    def __init__(self, spec, name):
        super().__init__(name=name)
        self.num_heads = spec.num_heads
        self.head_dim = spec.head_dim or spec.hidden_dim // spec.num_heads
        inner = self.num_heads * self.head_dim
        self.query, self.key, self.value = (
            Dense(inner, spec, name) for name in ("query", "key", "value")
        )
        self.output_dense = Dense(spec.hidden_dim, spec, "output")
        self.dropout = layers.Dropout(spec.attention_dropout)

    def call(self, x, bias, position, training=None):
        """Attend within x.

        Args:
            x: (batch, length, hidden_dim).
            bias: what is added to the scores, broadcast to (batch, heads, length, length).
            position: the model's position encoding, which may rotate q and k or bias the scores.

        Returns:
            The new vectors (batch, length, hidden_dim) and the attention maps
            (batch, heads, length, length).
        """
        q, k, v = (self.split(dense(x)) for dense in (self.query, self.key, self.value))
        relative = position.scores(q, k)
        q, k = position.rotate(q, k)
        y, maps = self.mix(q, k, v, bias if relative is None else bias + relative, training)
        y = ops.transpose(y, (0, 2, 1, 3))
        y = ops.reshape(y, (ops.shape(x)[0], -1, self.num_heads * self.head_dim))
        return self.output_dense(y), maps

    def split(self, x):
        """(batch, length, heads * head_dim) to (batch, heads, length, head_dim)."""
        x = ops.reshape(x, (ops.shape(x)[0], -1, self.num_heads, self.head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def mix(self, q, k, v, bias, training):
        """Softmax of the scaled scores, and the values summed by it."""
        q = q * (1.0 / math.sqrt(self.head_dim))
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) + bias
        maps = ops.softmax(scores, axis=-1)
        return ops.matmul(self.dropout(maps, training=training), v), maps


def additive_mask(padding_mask, dtype):
    """1 for a token and 0 for padding (batch, length) as what is added to scores.

    -1e4 and not -1e9: under the float16 arithmetic of phones the latter becomes NaN.
    """
    keep = ops.reshape(ops.cast(padding_mask, dtype), (ops.shape(padding_mask)[0], 1, 1, -1))
    return (keep - 1.0) * 1e4
