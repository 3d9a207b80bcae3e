"""What a place holds and where it stands, apart: DeBERTa (He et al. 2020, arXiv:2006.03654)."""

import math

import numpy as np
from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, make, part, resolve
from ..spec import LARGEST
from ..values import is_whole
from . import dense
from .attention import PROJECTIONS, Attention
from .block import PostNorm
from .dense import normal
from .dropout import Dropout
from .lowering import apart, known_late, lookup, reshaped
from .position import Position
from .rounding import rounding_of


@part("position", "disentangled")
class DisentangledPosition(Position):
    """How far a query lies behind a key, as vectors that both are scored with (DeBERTa).

    Beside q k a score has q K(d) and k Q(d), section 3.1: d is the vector of the distance, K and Q
    are maps that attention of a kind "disentangled" has. All blocks share one table, of rows for
    the distances from -span to span - 1; further ones have the first or the last row. Nothing is
    added at the input. A file of a fixed length is one XNNPACK partition; of an open one the
    reshape that moves rows splits it in each block.

    Args:
        spec: the spec of the stack.
        buckets: the span where distances above half of it share rows that widen with the logarithm
            (version 2); 0 where each has a row of its own.
        longest: the distance from which all are alike: the span where there are no buckets.
        norm: whether the vectors are normalised (version 2).
    """

    splits = True

    def __init__(self, spec, name, buckets=0, longest=512, norm=False):
        super().__init__(spec, name)
        if buckets and not is_whole(buckets, 4, LARGEST):
            raise KzooError(
                f"Got buckets = {buckets!r:.40} for distances; expected 4 or more, or 0 for none."
            )
        if not is_whole(longest, buckets // 2 + 2 if buckets else 1, LARGEST):
            raise KzooError(
                f"Got longest = {longest!r:.40} with {buckets} buckets; expected a whole number "
                "above the distances that have a bucket each."
            )
        if not isinstance(norm, bool):
            raise KzooError(f"Got norm = {norm!r:.40} for distances; expected true or false.")
        held = spec.attention if isinstance(spec.attention, list) else [spec.attention]
        if not all(issubclass(resolve("attention", each)[0], Disentangled) for each in held):
            raise KzooError(
                f"Got disentangled positions with {spec.attention!r:.60} as attention; expected "
                "the kind disentangled or disentangled_apart beside them."
            )
        self.buckets, self.longest, self.span = buckets, longest, buckets or longest
        self.norm = make("norm", spec.norm, name="norm") if norm else None
        self.rounding = rounding_of(spec)
        # The rows of all distances, falling and rising. At both ends stands one that nothing reads.
        most = spec.max_sequence_length
        rows = self.row_of(np.arange(-most, most + 1)).astype("int32")
        self.falling, self.rising = rows[::-1].copy(), rows

    def row_of(self, gaps):
        """The row of the table of each distance, the query's place less the key's."""
        if self.buckets:
            # In float32 as transformers has it, so that an edge lies where a trained table has it.
            near, far = self.buckets // 2, np.abs(gaps).astype("float32")
            far = np.where(far < near, np.float32(near - 1), far) / np.float32(near)
            scale = np.log(np.float32((self.longest - 1) / near))
            far = np.ceil(np.log(far) / scale * np.float32(near - 1)) + near
            gaps = np.where(np.abs(gaps) <= near, gaps, far * np.sign(gaps)).astype("int64")
        return np.clip(gaps + self.span, 0, 2 * self.span - 1)

    def build(self, _shape=None):
        """Make the table (2 * span, hidden_dim)."""
        shape = (2 * self.span, self.spec.hidden_dim)
        self.embeddings = self.add_weight(
            shape=shape, initializer=normal(self.spec), name="embeddings", autocast=False
        )
        if self.norm is not None:
            self.norm.build(shape)

    def vectors(self, rows, start, last, context, dtype):
        """The vectors (1, count, hidden_dim) of `rows` from a place to the last of them."""
        ids = ops.take(rows, start + ops.arange(last - start + 1, dtype="int32"))
        ids = known_late(ids, context.inputs["padding_mask"][0, :1])
        x = ops.cast(self.rounding.rows(lookup(self.embeddings, ids)), dtype)
        x = ops.reshape(x, (1, -1, self.spec.hidden_dim))
        return x if self.norm is None else apart(self.norm(x))

    def scores(self, layer, query, key, context):
        """(batch, heads, queries, keys)."""
        asked, most = context.length, self.spec.max_sequence_length
        asking = asked if context.first is None else least(context.first, asked)
        # Of each query the distances to all keys, and of each key those to all queries: what is
        # scored is as many more than that as rows are moved by. Queries are scaled in both, so that
        # an exporter multiplies the one map that makes them, and not a copy of it.
        falling = self.vectors(self.falling, most - asking, most + asked, context, query.dtype)
        to = asking if isinstance(asked, int) else asked
        rising = self.vectors(self.rising, most - asked, most + to, context, key.dtype)
        falling, rising = layer.of_distances(falling, rising)
        to_place = moved(layer.product(query * layer.scale, falling), asking, asked)
        from_place = moved(layer.product(key, rising * layer.scale), asked, to)
        from_place = from_place if to is asking else from_place[..., : context.first]
        return to_place + ops.transpose(from_place, (0, 1, 3, 2))


def moved(products, rows, columns):
    """Products (batch, heads, rows, rows + columns + 1), each row a place less far than the next.

    Gives (batch, heads, rows, columns): of the last row the columns behind the first, of the row
    before it those behind the second. Read as rows of one number less, each begins a place later.
    """
    batch, heads = ops.shape(products)[0], products.shape[1]
    x = reshaped(products, (batch, heads, -1, rows))
    if rows is columns and not isinstance(rows, int):
        return x[:, :, 1::2]  # The same in one step, which splits a graph once and not twice.
    return reshaped(x[:, :, 1:], (batch, heads, rows, -1))[..., :-rows]


def least(one, other):
    """The lesser of a number and a number or scalar tensor, of which none is below 1."""
    if one == 1 or isinstance(other, int):
        return min(one, other) if isinstance(other, int) else one
    return ops.minimum(one, other)


@part("attention", "disentangled")
class Disentangled(Attention):
    """Scores of three products, which its own maps of keys and queries make (DeBERTa version 3).

    Queries and keys, queries and distances, keys and distances: see `DisentangledPosition`, which
    has to be the spec's position.

    Args:
        spec: the spec of the stack.
        bias, num_heads: as for `Attention`.
        scale: the same; by default 1 / sqrt(3 * head_dim), because there are three.
    """

    def __init__(self, spec, name, bias=PROJECTIONS, scale=None, num_heads=0):
        super().__init__(spec, name, bias, scale, num_heads)
        position = completed("position", spec.position)["kind"]
        if position != "disentangled":
            raise KzooError(
                f"Got disentangled attention with {position} positions; expected positions of the "
                "kind disentangled beside it."
            )
        if self.key_value_heads != self.num_heads:
            raise KzooError(
                f"Got num_key_value_heads = {spec.num_key_value_heads} with disentangled "
                f"attention; expected as many as there are heads, {spec.num_heads}."
            )
        self.scale = 1.0 / math.sqrt(3 * self.head_dim) if scale is None else scale
        self.place_dropout = Dropout(spec.dropout)

    def projected(self, x, context):
        """See `Attention`."""
        # An exporter would multiply the gains of the norm before into one copy of a map, and those
        # of the distances' norm into another.
        return super().projected(apart(x), context)

    @property
    def place_maps(self):
        """What makes keys of the vectors of distances, and what makes queries."""
        return self.key, self.query

    def of_distances(self, falling, rising):
        """Vectors of distances (1, count, hidden_dim) as keys, and others as queries.

        Both are (1, heads, count, head_dim).
        """
        pairs = zip(self.place_maps, (falling, rising), strict=True)
        return tuple(self.split(of(self.place_dropout(vectors))) for of, vectors in pairs)


APART = (*PROJECTIONS[:-1], "place_key", "place_query", "output")


@part("attention", "disentangled_apart")
class DisentangledApart(Disentangled):
    """The same with maps of their own for distances (DeBERTa version 1).

    Args:
        spec, scale, num_heads: as for `Disentangled`.
        bias: the maps that have one, of those of `Attention` and "place_key", "place_query".
    """

    MAPS = APART

    def __init__(self, spec, name, bias=APART, scale=None, num_heads=0):
        super().__init__(spec, name, bias, scale, num_heads)

    @property
    def place_maps(self):
        """What makes keys of the vectors of distances, and what makes queries."""
        return self.place_key, self.place_query


@part("block", "convolved")
class Convolved(PostNorm):
    """Blocks of which block 0 sees neighbours as well (DeBERTa version 2).

    It gives `norm(block(x) + f(convolution(x)))`, where padding is zeros; the others are post_norm.

    Args:
        spec, index: as for `PostNorm`.
        kernel: how many places are seen at once, an odd number.
        activation: f, by name.
    """

    first_apart = True

    def __init__(self, spec, name, index=0, kernel=3, activation="tanh"):
        super().__init__(spec, name, index)
        if not is_whole(kernel, 1, LARGEST) or kernel % 2 == 0:
            raise KzooError(
                f"Got kernel = {kernel!r:.40} for a block's convolution; expected an odd number."
            )
        if spec.schedule.count(0) != 1 or spec.schedule[0]:
            raise KzooError(
                f"Got the schedule {list(spec.schedule)!r:.60} with convolved blocks, of which "
                "block 0 has the convolution; expected one that begins with it and runs it once."
            )
        self.convolution = self.convolution_norm = None
        if index == 0:
            self.convolution = Neighbours(spec, kernel, "convolution")
            self.convolution_norm = make("norm", spec.norm, name="convolution_norm")
            self.activation = dense.activation(activation)

    def call(self, x, context, training=None):
        """See `PostNorm`."""
        y, seen = super().call(x, context, training)
        if self.convolution is None:
            return y, seen
        mask = context.inputs["padding_mask"]
        mask = ops.reshape(ops.cast(mask, x.dtype), (ops.shape(mask)[0], -1, 1))
        near = self.convolution(x * mask) * mask
        near = self.activation(self.dropout(near, training=training))
        return self.convolution_norm(y + context.asking(near)), seen


class Neighbours(dense.NotByKeras, layers.Layer):
    """A convolution over places (batch, length, dim) with zeros beyond their ends."""

    def __init__(self, spec, size, name):
        super().__init__(name=name)
        self.spec, self.size = spec, size

    def build(self, shape):
        """Make kernel (size, dim, dim) and bias (dim,)."""
        shape = (self.size, shape[-1], shape[-1])
        self.kernel = self.add_weight(shape=shape, initializer=normal(self.spec), name="kernel")
        self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def call(self, x):
        """(batch, length, dim) to the same shape."""
        # Places as the rows of a picture that is one column wide: what is reshaped has one open
        # axis, where a convolution of one axis would be several operators more on a device.
        kernel = ops.expand_dims(ops.convert_to_tensor(self.kernel), 1)
        rows = ops.reshape(x, (ops.shape(x)[0], -1, 1, x.shape[-1]))
        rows = ops.conv(
            rows, ops.cast(kernel, x.dtype), padding="same", data_format="channels_last"
        )
        return ops.reshape(rows, (ops.shape(x)[0], -1, x.shape[-1])) + self.bias
