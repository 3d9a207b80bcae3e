"""Attention in three steps: project, score, mix. A kind says what a place may look at."""

import math
from typing import NamedTuple

from keras import layers, ops

from ..errors import KzooError
from ..parts import part
from ..values import is_number, is_whole
from .dense import Dense

PROJECTIONS = ("query", "key", "value", "output")


class Seen(NamedTuple):
    """What attention saw: its maps (batch, heads, queries, keys), and the keys and values it made.

    These two are (batch, heads, length, head_dim), as a cache keeps them.
    """

    maps: object
    key: object
    value: object


@part("attention", "full")
class Attention(layers.Layer):
    """Every place looks at every place (arXiv:1706.03762).

    Args:
        spec: the spec of the stack.
        bias: the projections that have one, of "query", "key", "value", "output".
        scale: what queries are multiplied by; by default 1 / sqrt(head_dim).
    """

    def __init__(self, spec, name, bias=PROJECTIONS, scale=None):
        super().__init__(name=name)
        if not isinstance(bias, (list, tuple)) or not set(bias) <= set(PROJECTIONS):
            raise KzooError(
                f"Got bias = {bias!r:.60} for attention; expected some of {', '.join(PROJECTIONS)}."
            )
        if scale is not None and not (is_number(scale, 0) and scale):
            raise KzooError(f"Got scale = {scale!r:.40} for attention; expected a number above 0.")
        self.num_heads = spec.num_heads
        self.head_dim = spec.head_dim or spec.hidden_dim // spec.num_heads
        self.scale = 1.0 / math.sqrt(self.head_dim) if scale is None else scale
        inner = self.num_heads * self.head_dim
        self.query, self.key, self.value = (
            Dense(inner, spec, name, name in bias) for name in PROJECTIONS[:3]
        )
        self.output_dense = Dense(spec.hidden_dim, spec, "output", "output" in bias)
        self.dropout = layers.Dropout(spec.attention_dropout)

    def call(self, x, context, training=None):
        """Attend within x.

        Args:
            x: (batch, length, hidden_dim).
            context: the `Context` of the stack.

        Returns:
            The new vectors (batch, length, hidden_dim), and what was `Seen`.
        """
        q, k, v = (self.split(dense(x)) for dense in (self.query, self.key, self.value))
        maps = ops.softmax(self.scores(q, k, context), axis=-1)
        y = ops.matmul(self.dropout(maps, training=training), v)
        y = ops.transpose(y, (0, 2, 1, 3))
        y = ops.reshape(y, (ops.shape(x)[0], -1, self.num_heads * self.head_dim))
        return self.output_dense(y), Seen(maps, k, v)

    def split(self, x):
        """(batch, length, heads * head_dim) to (batch, heads, length, head_dim)."""
        x = ops.reshape(x, (ops.shape(x)[0], -1, self.num_heads, self.head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def scores(self, q, k, context):
        """Scaled products of queries and keys, and what position, padding and kind add to them."""
        relative = context.position.scores(self, q, k, context)
        q, k = context.position.rotate(q, k, context)
        scores = ops.matmul(q * self.scale, ops.transpose(k, (0, 1, 3, 2)))
        for term in (context.bias, relative, self.reach(context)):
            scores = scores if term is None else scores + ops.cast(term, scores.dtype)
        return scores

    def reach(self, context):
        """What is added where a place may not look, (queries, keys); None where it may look."""
        return None


@part("attention", "causal")
class Causal(Attention):
    """A place looks at itself and at those before it (GPT, arXiv:1706.03762)."""

    def reach(self, context):
        """0 up to the query's own place."""
        return unless(context.keys[None, :] <= context.queries[:, None])


@part("attention", "local")
class Local(Attention):
    """A place looks at itself and at the `window - 1` before it (Sparse Transformer, GPT-Neo).

    arXiv:1904.10509, section 4.2: its banded layers.
    """

    def __init__(self, spec, name, window=256, bias=PROJECTIONS, scale=None):
        super().__init__(spec, name, bias, scale)
        if not is_whole(window, 1):
            raise KzooError(f"Got window = {window!r:.40} for attention; expected 1 or more.")
        self.window = window

    def reach(self, context):
        """0 for the last `window` places."""
        gap = context.queries[:, None] - context.keys[None, :]
        return unless(ops.logical_and(gap >= 0, gap < self.window))


def unless(keep, dtype="float32"):
    """0 where `keep` is true, and -1e4 where it isn't.

    -1e4 and not -1e9: under the float16 arithmetic of phones the latter becomes NaN.
    """
    return (ops.cast(keep, dtype) - 1.0) * 1e4


def additive_mask(padding_mask, dtype):
    """1 for a token and 0 for padding (batch, length) as what is added to scores."""
    keep = ops.reshape(ops.cast(padding_mask, dtype), (ops.shape(padding_mask)[0], 1, 1, -1))
    return unless(keep, dtype)
