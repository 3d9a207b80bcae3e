"""Attention by distance that also looks at what was read before (Transformer-XL, XLNet)."""

import numpy as np
from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, part
from ..spec import LARGEST
from ..values import is_whole
from .attention import Attention, unless
from .dense import Dense, normal
from .lowering import is_open, kept
from .position import Position

STRIP = 256  # queries that look at the same keys, where a band of them is looked at
STARTS = ("empty", "zeros")


class Biases(layers.Layer):
    """What all queries look for, whatever they are: u by content and v by distance.

    arXiv:1901.02860, section 3.3. Called on queries (batch, heads, length, head_dim) it gives them
    with each of both added.
    """

    def __init__(self, spec, heads, name="biases"):
        super().__init__(name=name)
        self.spec, self.heads = spec, heads

    def build(self, shape):
        """Make both (heads, head_dim)."""
        shape, first = (self.heads, shape[-1]), normal(self.spec)
        self.content = self.add_weight(shape=shape, initializer=first, name="content")
        self.distance = self.add_weight(shape=shape, initializer=first, name="distance")

    def call(self, q):
        """Queries with u, and with v."""
        both = (ops.convert_to_tensor(each) for each in (self.content, self.distance))
        return tuple(q + ops.cast(ops.expand_dims(each, 1), q.dtype) for each in both)


@part("position", "relative")
class RelativePosition(Position):
    """How far a key lies behind a query, as sines and cosines of waves of many lengths.

    Nothing is added at the input: attention of the kind "relative" asks for distances.

    Args:
        spec: the spec of the stack.
        clamp_length: the distance from which all are alike; 0 for none.
        shared: whether all blocks share one pair of biases, or each has its own.
    """

    bound_to = ("width",)

    def __init__(self, spec, name, clamp_length=0, shared=False):
        super().__init__(spec, name)
        if not is_whole(clamp_length, 0, LARGEST):
            raise KzooError(
                f"Got clamp_length = {clamp_length!r:.40} for positions; expected a distance of 1 "
                "or more, or 0 for none."
            )
        if not isinstance(shared, bool):
            raise KzooError(f"Got shared = {shared!r:.40} for positions; expected true or false.")
        if spec.hidden_dim % 2:
            raise KzooError(
                f"Got hidden_dim = {spec.hidden_dim} with positions of sines and cosines; expected "
                "an even number."
            )
        self.clamp_length = clamp_length
        half = np.arange(0, spec.hidden_dim, 2)
        self.waves = (10000.0 ** (-half / spec.hidden_dim)).astype("float32")
        self.biases = Biases(spec, spec.num_heads) if shared else None

    def build(self, _shape=None):
        """Make what the blocks share: the first of them to ask would make it as its own."""
        if self.biases is not None:
            self.biases.build((self.spec.head_dim or self.spec.hidden_dim // self.spec.num_heads,))

    def turns(self, places):
        """Sine and cosine of the waves at whole numbers (...): each (..., hidden_dim / 2)."""
        angles = ops.expand_dims(ops.cast(places, "float32"), -1) * self.waves
        return ops.sin(angles), ops.cos(angles)

    def table(self, count, ahead=0, bias=None):
        """R of the distances from count - 1 down to -ahead, (count + ahead, hidden_dim) float32.

        `bias` is for a file, see `lowering.kept`.
        """
        gaps = count - 1 - ops.arange(count + ahead, dtype="int32")
        gaps = ops.minimum(gaps, self.clamp_length) if self.clamp_length else gaps
        gaps = kept(ops.cast(gaps, "float32"), bias)
        return ops.concatenate(self.turns(gaps), axis=-1)


@part("attention", "relative")
class Relative(Attention):
    """Queries look at keys by what they are, and by how far these lie behind (arXiv:1901.02860).

    Scores are ((q + u) k + (q + v) R) * scale, where R is a map of its own of the sines and
    cosines of the distance. What was read before is the context's `past`: places of a row with the
    input's own, of which no query sees more than reaches it.

    Args:
        spec: the spec of the stack, whose position is of the kind "relative".
        memory_length: how many places are remembered from one segment to the next.
        same_length: whether each query sees as many places, the last `memory_length` with its own;
            else all of the memory and of the segment.
        start: what stands before a text: nothing ("empty", as in the paper), or `memory_length`
            places that are zero and looked at ("zeros", as transformers has it).
        bias, scale, num_heads: as for `Attention`.
    """

    looks_ahead = False
    recalls = True

    def __init__(
        self, spec, name, memory_length=0, same_length=False, start="empty", bias=(), scale=None,
        num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, bias, scale, num_heads)
        position = completed("position", spec.position)
        if position["kind"] != "relative":
            raise KzooError(
                f"Got relative attention with {position['kind']} positions; expected positions of "
                "the kind relative beside it."
            )
        if not is_whole(memory_length, 0, LARGEST):
            raise KzooError(
                f"Got memory_length = {memory_length!r:.40} for attention; expected 0 or more "
                "places."
            )
        if not isinstance(same_length, bool) or same_length and not memory_length:
            raise KzooError(
                f"Got same_length = {same_length!r:.40} with a memory_length of {memory_length}; "
                "expected false, or true with as many places as each query is to see."
            )
        if start not in STARTS:
            raise KzooError(
                f"Got start = {start!r:.40} for attention; expected {' or '.join(STARTS)}."
            )
        self.memory_length, self.same_length, self.start = memory_length, same_length, start
        self.relative = Dense(self.num_heads * self.head_dim, spec, "relative", bias=False)
        self.biases = None if position["shared"] else Biases(spec, self.num_heads)

    def reach(self, context):
        """0 up to the query's own place, and no further back than each sees."""
        return unless(self.sees(context.queries - context.keys))

    def sees(self, gap):
        """Whether a query sees a key that lies so far behind."""
        return (gap >= 0) & (gap < self.memory_length) if self.same_length else gap >= 0

    def scores(self, q, keys, terms, context):
        """See `Attention`."""
        content, placed = self.looked_for(q, context)
        count = sum(ops.shape(k)[2] for k in keys)
        distances = self.by_distance(placed * self.scale, count, context)
        return super().scores(content, keys, (*terms, distances), context)

    def looked_for(self, q, context):
        """Queries with u, and with v."""
        return (context.position.biases if self.biases is None else self.biases)(q)

    def by_distance(self, q, count, context):
        """(q + v) R for queries with v (batch, heads, queries, head_dim) and so many keys."""
        is_row = context.length is not None and context.first is None
        if is_row and not is_open(context.length):
            return self.in_a_row(q, count, context)
        # At any places: sin(a - b) and cos(a - b) are sums of products of those of a and of b.
        position, start = context.position, context.queries[:, :, :1]
        kernel = self.relative.rounding.kernel(self.relative.kernel)
        kernel = ops.cast(ops.reshape(kernel, (1, -1, self.num_heads, self.head_dim)), q.dtype)
        wide = self.product(q, ops.transpose(kernel, (0, 2, 1, 3)))
        sines, cosines = ops.split(wide, 2, axis=-1)
        places = context.queries[..., 0] - start[..., 0], context.keys[:, :, 0] - start[..., 0]
        (sin_q, cos_q), (sin_k, cos_k) = (
            tuple(ops.cast(turn, q.dtype) for turn in position.turns(each)) for each in places
        )
        wide = sines * sin_q + cosines * cos_q, cosines * sin_q - sines * cos_q
        near = self.product(
            ops.concatenate(wide, axis=-1), ops.concatenate((cos_k, sin_k), axis=-1)
        )
        if not position.clamp_length:
            return near
        sin, cos = (ops.cast(turn, q.dtype) for turn in position.turns(position.clamp_length))
        far = ops.sum(sines * sin + cosines * cos, axis=-1, keepdims=True)
        is_far = context.queries - context.keys > position.clamp_length
        return near + ops.cast(is_far, q.dtype) * (far - near)

    def in_a_row(self, q, count, context):
        """`by_distance` of queries that are the last of the keys, in their order."""
        return shifted(self.product(q, self.distances(count, context, q.dtype)), count)

    def distances(self, count, context, dtype, ahead=0):
        """R of distances from count - 1 to -ahead by heads, behind zeros: what `shifted` takes."""
        table = ops.cast(context.position.table(count, ahead, context.bias), dtype)
        table = self.split(ops.expand_dims(self.relative(table), 0))
        return ops.pad(table, ((0, 0), (0, 0), (1, 0), (0, 0)))

    def without_maps(self, q, k, v, context, training=None):
        """The same where each query sees a band of keys: those alone are scored, strip by strip.

        None where a strip holds all queries, or places aren't in a row.
        """
        past = () if context.past is None else context.past
        length = q.shape[2]
        before = past[0].shape[2] if past else 0
        if not self.same_length or context.length is None or context.first is not None:
            return None
        if length is None or before is None or length <= STRIP:
            return None
        if past:
            k, v = (
                ops.concatenate([ops.cast(p, x.dtype), x], axis=2)
                for p, x in zip(past, (k, v), strict=True)
            )
        content, placed = self.looked_for(q, context)
        most = min(before + length, self.memory_length - 1 + STRIP)
        table, ys = self.distances(most, context, q.dtype), []
        bias = None if context.bias is None else ops.cast(context.bias, q.dtype)
        for start in range(0, length, STRIP):
            end = min(start + STRIP, length)
            last = before + end
            first = max(0, before + start - self.memory_length + 1)
            mine, keys = slice(start, end), slice(first, last)
            scores = self.product(content[:, :, mine] * self.scale, k[:, :, keys])
            near = ops.concatenate([table[:, :, :1], table[:, :, most + 1 - (last - first) :]], 2)
            scores = scores + shifted(
                self.product(placed[:, :, mine] * self.scale, near), last - first
            )
            rows = ops.reshape(ops.arange(before + start, last, dtype="int32"), (-1, 1))
            seen = self.sees(rows - ops.arange(first, last, dtype="int32"))
            scores = scores + unless(seen, q.dtype)
            scores = scores if bias is None else scores + bias[..., keys]
            maps = self.dropout(ops.softmax(scores, axis=-1), training=training)
            ys.append(ops.matmul(maps, v[:, :, keys]))
        return ops.concatenate(ys, axis=2)


@part("attention", "segment_relative")
class SegmentRelative(Relative):
    """Queries look at keys on both sides: at what they are, how far off, and of which segment.

    arXiv:1906.08237, section 2.5: scores are ((q + u) k + (q + v) R + (q + w) s) * scale, where R
    has distances below zero as well, and s is one vector where the key is of the query's segment
    and another where it is of another one.

    Args:
        spec, memory_length, bias, scale, num_heads: as for `Relative`.
    """

    looks_ahead = True

    def __init__(self, spec, name, memory_length=0, bias=(), scale=None, num_heads=0):
        super().__init__(spec, name, memory_length, bias=bias, scale=scale, num_heads=num_heads)
        clamp_length = completed("position", spec.position)["clamp_length"]
        if clamp_length:
            raise KzooError(
                f"Got a clamp_length of {clamp_length} for attention to both sides; expected 0, "
                "for distances of all lengths."
            )
        self.segments = Segments(spec, self.num_heads)

    def reach(self, context):
        """None: all is looked at."""
        return None

    def scores(self, q, keys, terms, context):
        """See `Attention`."""
        terms = (*terms, self.by_segment(q, context))
        return super().scores(q, keys, terms, context)

    def by_segment(self, q, context):
        """(q + w) s for each query and key: (batch, heads, queries, keys)."""
        q, vectors = self.segments(q)
        same, other = ops.split(self.product(q * self.scale, vectors), 2, axis=-1)
        apart = context.other_segment
        return same if apart is None else same + ops.cast(apart, q.dtype) * (other - same)

    def in_a_row(self, q, count, context):
        """See `Relative`; a key may lie as far ahead as there are other queries."""
        ahead = context.length - 1
        products = self.product(q, self.distances(count, context, q.dtype, ahead))
        return shifted(products, count + ahead)[..., :count]


class Segments(layers.Layer):
    """What all queries look for by segment, w, and the vectors of the same and of another one.

    Called on queries (batch, heads, length, head_dim) it gives them with w added, and the vectors,
    (1, heads, 2, head_dim).
    """

    def __init__(self, spec, heads, name="segments"):
        super().__init__(name=name)
        self.spec, self.heads = spec, heads

    def build(self, shape):
        """Make the bias (heads, head_dim) and the vectors (2, heads, head_dim)."""
        shape, first = (self.heads, shape[-1]), normal(self.spec)
        self.bias = self.add_weight(shape=shape, initializer=first, name="bias")
        self.vectors = self.add_weight(shape=(2, *shape), initializer=first, name="vectors")

    def call(self, q):
        """Queries with w, and the vectors."""
        bias, vectors = (ops.convert_to_tensor(each) for each in (self.bias, self.vectors))
        vectors = ops.expand_dims(ops.transpose(vectors, (1, 0, 2)), 0)
        return q + ops.cast(ops.expand_dims(bias, 1), q.dtype), ops.cast(vectors, q.dtype)


def shifted(products, count):
    """Products with R (batch, heads, queries, 1 + count) as those of queries and keys.

    Column 1 + c has the distance count - 1 - c, as the last query has it to key c: the query before
    it has the same to the key before. Read as rows of one number more, each row moves by one.
    """
    batch, heads, queries, _ = ops.shape(products)
    x = ops.reshape(products, (batch, heads, -1, queries))
    return ops.reshape(x[:, :, 1:], (batch, heads, queries, count))
