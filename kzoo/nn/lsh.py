"""Attention within chunks: of neighbours, and of places that hash alike (arXiv:2001.04451).

Places are laid out in chunks, and look at those of their own chunk and of some beside it. The first
chunk stands beside the last: what lies behind the one is what the other ends with, as in the
authors' code.
"""

import math

import numpy as np
from keras import ops, random

from ..errors import KzooError
from ..parts import part
from ..values import is_whole
from .attention import OUT, PROJECTIONS, Attention, unless
from .sparse import filled, filled_bias

# What is added to a score of a place with itself: less than any other that it sees has, more than
# what it doesn't see has. (The authors' -1e5 and -1e9 would be beyond float16.)
ITSELF = -1e3
LARGEST_SEED = 2**31 - 1


class InChunks(Attention):
    """The base of both kinds.

    Args:
        spec: the spec of the stack.
        chunk: the places of a chunk.
        before, after: how many chunks before its own, and behind it, a place looks into.
        looks_ahead: whether it sees places behind it.
        bias, scale, num_heads: as for `Attention`.
    """

    def __init__(
        self, spec, name, chunk=64, before=1, after=0, looks_ahead=False, bias=PROJECTIONS,
        scale=None, num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, bias, scale, num_heads)
        if not is_whole(chunk, 1):
            raise KzooError(
                f"Got chunk = {chunk!r:.40} for attention; expected 1 or more places, such as 64."
            )
        for option, value in (("before", before), ("after", after)):
            if not is_whole(value, 0):
                raise KzooError(
                    f"Got {option} = {value!r:.40} for attention; expected 0 or more chunks."
                )
        if looks_ahead not in (True, False):
            raise KzooError(f"Got looks_ahead = {looks_ahead!r:.40}; expected true or false.")
        self.chunk, self.before, self.after = chunk, before, after
        self.looks_ahead = looks_ahead

    def is_one_chunk(self, length):
        """Whether a length is known to be that of one chunk at most."""
        return isinstance(length, int) and length <= self.chunk

    def chunks(self, x):
        """(batch, heads, places, ...) as (batch, heads, chunks, chunk, ...)."""
        shape = ops.shape(x)
        return ops.reshape(x, (shape[0], x.shape[1], -1, self.chunk, *x.shape[3:]))

    def around(self, x):
        """Each chunk of x (batch, heads, chunks, chunk, ...) with those beside it in one."""
        if not self.before and not self.after:
            return x
        parts = []
        for place in range(-self.before, self.after + 1):
            moved = ops.concatenate([x[:, :, place:], x[:, :, :place]], axis=2) if place else x
            parts.append(moved)
        return ops.concatenate(parts, axis=3)

    def once(self, count, dtype):
        """What is added so that of few chunks none is seen twice, (1, 1, 1, 1, keys)."""
        places = np.repeat(np.arange(self.before + 1 + self.after, dtype="int32"), self.chunk)
        if isinstance(count, int) and count > places[-1]:
            return 0.0
        return unless(ops.reshape(places, (1, 1, 1, 1, -1)) < count, dtype)


@part("attention", "chunked")
class Chunked(InChunks):
    """A place looks at its own chunk and those beside it: the Reformer's local attention."""

    def __init__(
        self, spec, name, chunk=64, before=1, after=0, looks_ahead=False, bias=PROJECTIONS,
        scale=None, num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, chunk, before, after, looks_ahead, bias, scale, num_heads)
        if self.after and not looks_ahead:
            raise KzooError(
                f"Got after = {after!r:.40} for chunked attention that sees no place behind its "
                "own; expected 0, or looks_ahead."
            )

    def reach(self, context):
        """0 in these chunks; (1, 1, queries, keys)."""
        apart = context.keys // self.chunk - context.queries // self.chunk
        if not self.looks_ahead:
            return unless((apart >= -self.before) & (context.keys <= context.queries))
        count = -(-context.length // self.chunk)
        return unless((apart + self.before) % count <= self.before + self.after)

    def without_maps(self, q, k, v, context, training=None):
        """See `Attention`; None where one chunk holds all, or places aren't in a row."""
        length = ops.shape(q)[2]
        if context.length is None or context.first is not None or self.is_one_chunk(length):
            return None
        fill = -length % self.chunk
        bias = filled_bias(context.bias, length, fill, q.dtype)
        k, v = (ops.repeat(x, self.num_heads // self.key_value_heads, axis=1) for x in (k, v))
        q, k, v = (self.chunks(filled(each, fill)) for each in (q * self.scale, k, v))
        bias = self.around(self.chunks(ops.transpose(bias, (0, 1, 3, 2))))
        scores = self.product(q, self.around(k)) + ops.transpose(bias, (0, 1, 2, 4, 3))
        scores = scores + self.once(ops.shape(q)[2], scores.dtype)
        if not self.looks_ahead:
            places = ops.arange(length + fill, dtype="int32")
            places = ops.reshape(places, (1, 1, -1, self.chunk, 1))
            keys = ops.transpose(self.around(places), (0, 1, 2, 4, 3))
            scores = scores + unless(keys <= places, scores.dtype)
        y = ops.matmul(self.dropout(ops.softmax(scores), training=training), self.around(v))
        return ops.reshape(y, (ops.shape(y)[0], self.num_heads, -1, self.head_dim))[:, :, :length]


@part("attention", "lsh")
class Hashed(InChunks):
    """A place looks at places whose vectors point where its own does, found by hashing.

    Keys are the queries, brought to one length; a place looks at itself only where it sees nothing
    else. Vectors are hashed into buckets by where random rotations turn them, places are sorted by
    bucket, and what is sorted is cut into chunks. Of several rounds of hashing each counts by how
    much it found.

    What one chunk holds sees all of it, as in `reach`. With several chunks what is found depends
    on the whole input, and `reach` is what it comes near to: maps that somebody asks for are None
    then, and a step of writing, which sees all that was written, is exact and not hashed.

    Args:
        spec: the spec of the stack.
        hashes: how many rounds of hashing there are.
        buckets: how many buckets a round has, an even number, or a pair of such whose product that
            is; None for twice as many as the longest input has chunks, or nearly.
        seed: that of the rotations, which are always the same; None for others in each step of
            training, and those of 0 elsewhere.
        chunk, before, after, looks_ahead, bias, scale, num_heads: as for `InChunks`.
    """

    MAPS = ("query", "value", "output")
    is_blockwise = False

    def __init__(
        self, spec, name, hashes=1, buckets=None, seed=None, chunk=64, before=1, after=0,
        looks_ahead=False, bias=(), scale=None, num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, chunk, before, after, looks_ahead, bias, scale, num_heads)
        if self.key_value_heads != self.num_heads:
            raise KzooError(
                f"Got {self.key_value_heads} key_value_heads for lsh attention, whose keys are its "
                f"{self.num_heads} heads' queries; expected as many, or 0."
            )
        self.factors = _factors(buckets, spec.max_sequence_length, chunk)
        self.buckets = math.prod(self.factors)
        if not is_whole(hashes, 1, self.buckets):
            raise KzooError(
                f"Got hashes = {hashes!r:.40} for lsh attention; expected 1 to {self.buckets}, the "
                "number of its buckets."
            )
        if seed is not None and not is_whole(seed, 0, LARGEST_SEED):
            raise KzooError(
                f"Got seed = {seed!r:.40} for lsh attention; expected 0 or more, or null for other "
                "rotations in each step of training."
            )
        self.hashes, self.seed = hashes, seed or 0
        self.seed_generator = random.SeedGenerator(self.seed) if seed is None else None

    def projected(self, x, context):
        """Queries, keys that point where these do, and values."""
        q = self.split(self.query(x))
        asking = q
        if context.first is not None and self.is_one_chunk(x.shape[1]):
            asking = q[:, :, : context.first]
        return asking, self.of_one_length(q), self.split(self.value(x))

    @staticmethod
    def of_one_length(q):
        """Queries (..., head_dim) as the keys that they are."""
        square = ops.mean(ops.square(ops.cast(q, "float32")), axis=-1, keepdims=True)
        return q * ops.cast(ops.rsqrt(square + 1e-6), q.dtype)

    def reach(self, context):
        """0 but for itself, and where it may not see; (1 or batch, 1, queries, keys)."""
        itself = ITSELF * ops.cast(ops.equal(context.queries, context.keys), "float32")
        if self.looks_ahead:
            return itself
        return itself + unless(context.keys <= context.queries)

    def rotations(self, training=None):
        """Random directions (heads, head_dim, hashes, half the sum of the factors)."""
        shape = (self.num_heads, self.head_dim, self.hashes, sum(self.factors) // 2)
        if training and self.seed_generator is not None:
            return random.normal(shape, dtype="float32", seed=self.seed_generator)
        # NumPy's, so that answers are the same with every backend, and in a file.
        return np.random.default_rng(self.seed).standard_normal(shape).astype("float32")

    def hashed(self, q, training=None):
        """The buckets of vectors (batch, heads, places, dim) as (batch, heads, hashes, places)."""
        q = ops.cast(ops.stop_gradient(q), "float32")
        turned = ops.einsum("bhnd,hdrk->bhrnk", q, self.rotations(training))
        start, size, found = 0, 1, None
        for count in self.factors:
            own = turned[..., start : start + count // 2]
            # Not `argmax`, for which Keras 3.15 looks at bits, as no device does.
            _, own = ops.top_k(ops.concatenate([own, -own], axis=-1), 1)
            own = ops.cast(own[..., 0], "int32") * size
            found = own if found is None else found + own
            start, size = start + count // 2, size * count
        return found

    def without_maps(self, q, k, v, context, training=None):
        """See `Attention`; None where one chunk holds all, or places aren't in a row."""
        length = ops.shape(q)[2]
        if context.length is None or self.is_one_chunk(length):
            return None
        fill = -length % self.chunk
        bias = filled_bias(context.bias, length, fill, q.dtype)
        q, v = filled(q, fill), filled(v, fill)
        batch, places = ops.shape(q)[0], length + fill
        # Padding has a bucket of its own behind all others.
        buckets = ops.where(bias < OUT / 2, self.buckets, self.hashed(q, training))
        order = ops.argsort(buckets, axis=-1)  # (batch, heads, hashes, places)
        back = ops.argsort(order, axis=-1)
        rows = ops.arange(batch * self.num_heads, dtype="int32") * places
        rows = ops.reshape(rows, (batch, self.num_heads, 1, 1))

        def in_order(x):  # (batch, heads, places, dim) as (batch, heads, chunks, chunk, dim)
            flat = ops.reshape(x, (-1, x.shape[3]))
            return self.chunks_of(ops.take(flat, order + rows, axis=0), batch)

        sorted_q, sorted_v = in_order(q), in_order(v)
        sorted_bias = ops.broadcast_to(bias, (batch, self.num_heads, 1, places))
        sorted_bias = in_order(ops.transpose(sorted_bias, (0, 1, 3, 2)))
        own = ops.reshape(order, (batch, self.num_heads, -1, self.chunk, 1))
        y, found = self.within(sorted_q, sorted_v, sorted_bias, own, training)

        # Back to the places, round by round.
        rows = ops.arange(batch * self.num_heads * self.hashes, dtype="int32") * places
        back = back + ops.reshape(rows, (batch, self.num_heads, self.hashes, 1))
        y = ops.take(ops.reshape(y, (-1, self.head_dim)), back, axis=0)
        if self.hashes > 1:
            found = ops.take(ops.reshape(found, (-1,)), back, axis=0)
            y = y * ops.expand_dims(ops.softmax(found, axis=2), -1)
        y = ops.reshape(ops.sum(y, axis=2), (batch, self.num_heads, -1, self.head_dim))
        return y[:, :, : length if context.first is None else context.first]

    def chunks_of(self, x, batch):
        """(batch, heads, hashes, places, dim) as (batch, heads, chunks, chunk, dim)."""
        return ops.reshape(x, (batch, self.num_heads, -1, self.chunk, x.shape[-1]))

    def within(self, q, v, bias, own, training):
        """What attention within chunks gives, and the logarithm of how much it found.

        Args:
            q, v: queries and values in order, (batch, heads, chunks, chunk, head_dim).
            bias: what is added to the scores of keys, (batch, heads, chunks, chunk, 1).
            own: the places that these have, (batch, heads, chunks, chunk, 1).
        """
        keys = ops.transpose(self.around(own), (0, 1, 2, 4, 3))
        scores = self.product(q * self.scale, self.around(self.of_one_length(q)))
        scores = scores + ops.transpose(self.around(bias), (0, 1, 2, 4, 3))
        scores = scores + self.once(ops.shape(q)[2], scores.dtype)
        scores = scores + ITSELF * ops.cast(ops.equal(own, keys), scores.dtype)
        if not self.looks_ahead:
            scores = scores + unless(keys <= own, scores.dtype)
        # A logarithm of sums taken off of scores near `ITSELF` would lose what these have left.
        largest = ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True))
        weights = ops.exp(scores - largest)
        total = ops.sum(weights, axis=-1, keepdims=True)
        y = ops.matmul(self.dropout(weights, training=training), self.around(v)) / total
        return y, largest + ops.log(total)


def _factors(buckets, longest, chunk):
    """What numbers of buckets the parts of a hash have; their product is that of all."""
    if buckets is None:
        power = max((2 * (longest // chunk)).bit_length() - 1, 1)
        if 2**power <= 2 * max(math.isqrt(longest // chunk), chunk) or power < 2:
            return (2**power,)
        return 2 ** (power // 2), 2 ** (power - power // 2)
    factors = (buckets,) if is_whole(buckets) else buckets
    listed = isinstance(factors, (list, tuple)) and len(factors) in (1, 2)
    if not listed or not all(is_whole(each, 2) and each % 2 == 0 for each in factors):
        raise KzooError(
            f"Got buckets = {buckets!r:.40} for lsh attention; expected an even number, a pair of "
            "even numbers, or null."
        )
    return tuple(factors)
