"""Attention in three steps: project, score, mix. A kind says what a place may look at."""

import math
from typing import NamedTuple

from keras import ops

from ..errors import KzooError
from ..parts import part
from ..spec import LARGEST
from ..values import is_number, is_whole
from .composed import Composed
from .dense import of_block
from .dropout import Dropout
from .fused import fused

PROJECTIONS = ("query", "key", "value", "output")
OUT = -1e4  # what is added to the scores of what isn't looked at, see `unless`


class Seen(NamedTuple):
    """What attention saw: its maps, of what scores, and the queries, keys and values it made.

    The first two are (batch, heads, queries, keys), or None where nobody asked for them and a
    kernel made none; queries are (batch, heads, length, head_dim), keys and values (batch,
    key_value_heads, length, head_dim), as a cache keeps them. Queries and keys are rotated where
    the position encoding does so, and not scaled.
    """

    maps: object
    scores: object
    query: object
    key: object
    value: object


@part("attention", "full")
class Attention(Composed):
    """Every place looks at every place (arXiv:1706.03762).

    Args:
        spec: the spec of the stack.
        bias: the projections that have one, of "query", "key", "value", "output".
        scale: what queries are multiplied by; by default 1 / sqrt(head_dim).
        num_heads: how many heads it has, where these aren't as many as the spec's (0), because
            some were pruned; those that share keys stay as many to each.
        memory_dim: how wide the vectors of a memory are that it is to; 0 for as wide as the model.

    With fewer heads for keys and values than for queries, as many queries share each
    (arXiv:2305.13245; one for all: arXiv:1911.02150).
    """

    looks_ahead = True  # Whether a place sees those behind it.
    is_causal = False  # Whether it sees all up to its own, and nothing else.
    recalls = False  # Whether `without_maps` takes what was seen before as well.
    MAPS = PROJECTIONS  # The names of its affine maps.
    is_blockwise = True  # Whether `without_maps` gives what maps do, but for rounding.

    def __init__(self, spec, name, bias=PROJECTIONS, scale=None, num_heads=0, memory_dim=0):
        super().__init__(name=name)
        if not isinstance(bias, (list, tuple)) or not set(bias) <= set(self.MAPS):
            raise KzooError(
                f"Got bias = {bias!r:.60} for attention; expected some of {', '.join(self.MAPS)}."
            )
        if scale is not None and not (is_number(scale, 0) and scale):
            raise KzooError(f"Got scale = {scale!r:.40} for attention; expected a number above 0.")
        key_value_heads = spec.num_key_value_heads or spec.num_heads
        sharing = 1 if key_value_heads == 1 else spec.num_heads // key_value_heads
        if not is_whole(num_heads, 0) or num_heads % sharing:
            raise KzooError(
                f"Got num_heads = {num_heads!r:.40} for attention; expected a multiple of "
                f"{sharing}, or 0 for the spec's {spec.num_heads}."
            )
        if not is_whole(memory_dim, 0, LARGEST):
            raise KzooError(
                f"Got memory_dim = {memory_dim!r:.40} for attention; expected 0 or more."
            )
        self.memory_dim = memory_dim  # 0: hidden_dim
        self.num_heads = num_heads or spec.num_heads
        self.head_dim = spec.head_dim or spec.hidden_dim // spec.num_heads
        self.scale = 1.0 / math.sqrt(self.head_dim) if scale is None else scale
        self.key_value_heads = 1 if key_value_heads == 1 else self.num_heads // sharing
        heads = {
            "query": self.num_heads,
            "key": self.key_value_heads,
            "value": self.key_value_heads,
        }
        for each in self.MAPS[:-1]:
            width = heads[each.rpartition("_")[2]] * self.head_dim
            path = f"{name}/{each}"
            read = spec.hidden_dim if each == "query" else memory_dim or spec.hidden_dim
            setattr(self, each, of_block(spec, path, read, width, each in bias))
        width = self.num_heads * self.head_dim
        self.output_dense = of_block(
            spec, f"{name}/output", width, spec.hidden_dim, "output" in bias
        )
        self.dropout = Dropout(spec.attention_dropout)

    @classmethod
    def common(cls, spec, **options):
        """A layer that the attention of all blocks shares, made of the slot's options, or None."""
        return None

    def call(self, x, context, training=None):
        """Attend within x and to what was seen before it, or to a memory.

        Args:
            x: (batch, length, hidden_dim).
            context: the `Context` of the stack.

        Returns:
            The new vectors (batch, length, hidden_dim) of the places that ask, and what was `Seen`.
        """
        q, k, v = self.projected(x, context)
        relative = context.position.scores(self, q, k, context)
        q, k = context.position.rotate(q, k, context)
        past = () if context.past is None else [ops.cast(t, k.dtype) for t in context.past]
        maps = scores = y = None
        unseen = not past or self.recalls
        if relative is None and unseen and not (context.shown and self.is_blockwise):
            y = self.without_maps(q, k, v, context, training)
        if y is None:
            keys, values = ([*past[:1], k], [*past[1:], v])
            scores = self.scores(q, keys, (context.bias, relative, self.reach(context)), context)
            maps = ops.softmax(scores, axis=-1)
            kept = self.by_groups(self.dropout(maps, training=training))
            y = self.by_heads(self.mixed(kept, values))
        y = ops.transpose(y, (0, 2, 1, 3))
        y = ops.reshape(y, (ops.shape(x)[0], -1, self.num_heads * self.head_dim))
        return self.output_dense(y), Seen(maps, scores, q, k, v)

    def projected(self, x, context):
        """Queries of the places that ask, keys and values."""
        return self.split(self.query(context.asking(x))), *self.keys_and_values(x, context)

    def without_maps(self, q, k, v, context, training=None):
        """The values as attention mixes them (batch, heads, queries, head_dim), in one kernel.

        None where there is none for it.
        """
        if training and self.dropout.rate > 0:
            return None
        # A kernel counts places of both from 0.
        is_causal = self.is_causal and context.length is not None and context.first is None
        terms = [context.bias, None if is_causal else self.reach(context)]
        terms = [ops.cast(term, q.dtype) for term in terms if term is not None]
        return fused(q, k, v, self.scale, sum(terms[1:], terms[0]) if terms else None, is_causal)

    def scores(self, q, keys, terms, context):
        """What maps are the softmax of (batch, heads, queries, keys), with what is added to it."""
        # Past and present are scored and mixed apart: to join them would copy the whole cache.
        scores = [self.by_heads(self.product(self.by_groups(q * self.scale), k)) for k in keys]
        scores = scores[0] if len(scores) == 1 else ops.concatenate(scores, axis=-1)
        for term in terms:
            scores = scores if term is None else scores + ops.cast(term, scores.dtype)
        return scores

    def keys_and_values(self, x, context):
        """Those of the memory, or of x where there is none."""
        if context.known is not None:
            return tuple(ops.cast(each, x.dtype) for each in context.known)
        source = x if context.memory is None else context.memory
        values = source if context.values is None else context.values
        return self.split(self.key(source)), self.split(self.value(values))

    def split(self, x):
        """(batch, length, heads * head_dim) to (batch, heads, length, head_dim)."""
        x = ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1] // self.head_dim, self.head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def by_groups(self, x):
        """(batch, heads, queries, n) with the queries of all heads that share keys in one axis."""
        if self.key_value_heads in (1, self.num_heads):  # One for all is broadcast.
            return x
        return ops.reshape(x, (ops.shape(x)[0], self.key_value_heads, -1, ops.shape(x)[-1]))

    def by_heads(self, x):
        """What `by_groups` made, by heads again."""
        if self.key_value_heads in (1, self.num_heads):
            return x
        return ops.reshape(x, (ops.shape(x)[0], self.num_heads, -1, ops.shape(x)[-1]))

    @staticmethod
    def product(q, k):
        """Products of queries (..., queries, dim) and keys (..., keys, dim).

        XLA would write out keys that are transposed for a product: tens of times slower on a CPU.
        """
        return ops.einsum("...qd,...kd->...qk", q, k)

    @staticmethod
    def mixed(maps, values):
        """The values weighted by maps (..., keys) that lie side by side for all of them."""
        if len(values) == 1:
            return ops.matmul(maps, values[0])
        past = ops.shape(values[0])[2]
        parts = zip((maps[..., :past], maps[..., past:]), values, strict=True)
        one, other = (ops.matmul(part, value) for part, value in parts)
        return one + other

    def reach(self, context):
        """What is added where a place may not look, (..., queries, keys); None where it may."""
        return None


@part("attention", "causal")
class Causal(Attention):
    """A place looks at itself and at those before it (GPT, arXiv:1706.03762)."""

    looks_ahead, is_causal = False, True

    def reach(self, context):
        """0 up to the query's own place."""
        return unless(context.keys <= context.queries)


@part("attention", "local")
class Local(Attention):
    """A place looks at itself and at the `window - 1` before it (Sparse Transformer, GPT-Neo).

    arXiv:1904.10509, section 4.2: its banded layers.
    """

    looks_ahead = False

    def __init__(self, spec, name, window=256, bias=PROJECTIONS, scale=None, num_heads=0):
        super().__init__(spec, name, bias, scale, num_heads)
        if not is_whole(window, 1):
            raise KzooError(f"Got window = {window!r:.40} for attention; expected 1 or more.")
        self.window = window

    def reach(self, context):
        """0 for the last `window` places."""
        gap = context.queries - context.keys
        return unless(ops.logical_and(gap >= 0, gap < self.window))


@part("attention", "placed")
class Placed(Attention):
    """Full attention where vectors that say where are added to what queries and keys are made of.

    Values are made without them (DETR, arXiv:2005.12872, appendix A.3), in every block anew. The
    context has them, as `query_position` and `key_position`.
    """

    def projected(self, x, context):
        """See `Attention`."""
        x_asking = _at(context.asking(x), context.query_position)
        return self.split(self.query(x_asking)), *self.keys_and_values(x, context)

    def keys_and_values(self, x, context):
        """See `Attention`."""
        if context.known is not None:
            return super().keys_and_values(x, context)
        source = x if context.memory is None else context.memory
        values = source if context.values is None else context.values
        keys = self.key(_at(source, context.key_position))
        return self.split(keys), self.split(self.value(values))


def _at(x, position):
    """Vectors (batch, places, dim) with those of their places added."""
    return x if position is None else x + ops.cast(position, x.dtype)


def unless(keep, dtype="float32"):
    """0 where `keep` is true, and -1e4 where it isn't.

    -1e4 and not -1e9: under the float16 arithmetic of phones the latter becomes NaN.
    """
    return (ops.cast(keep, dtype) - 1.0) * -OUT


def additive_mask(padding_mask, dtype):
    """1 for a token and 0 for padding (batch, length) as what is added to scores."""
    keep = ops.reshape(ops.cast(padding_mask, dtype), (ops.shape(padding_mask)[0], 1, 1, -1))
    return unless(keep, dtype)
