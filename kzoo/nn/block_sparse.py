"""Attention of whole blocks to some others, a few of them at random (BigBird, arXiv:2007.14062)."""

import math

import numpy as np
from keras import ops

from ..errors import KzooError
from ..parts import part
from ..values import is_whole
from .attention import PROJECTIONS, unless
from .sparse import Blocked

LARGEST_SEED = 2**31 - 1


@part("attention", "block_sparse")
class BlockSparse(Blocked):
    """A block sees itself and the two beside it, the first and the last one, and some at random.

    The first and the last one see all (arXiv:2007.14062, section 2: the construction ITC). Inputs
    of no more than 5 + 2 * random blocks see all as well, as in transformers.

    Args:
        spec: the spec of the stack.
        block: the places of a block.
        random: how many of the other blocks it sees.
        seed: that of these, which are others for each head, and the same in each answer and step.
            None for none: the first block counts for them, 1 + random times, which is what
            transformers answers with whatever it was trained with.
        bias, scale, num_heads: as for `Attention`.
    """

    def __init__(
        self, spec, name, block=64, random=3, seed=None, bias=PROJECTIONS, scale=None, num_heads=0
    ):
        if not is_whole(block, 2):
            raise KzooError(
                f"Got block = {block!r:.40} for attention; expected 2 places or more, such as 64."
            )
        super().__init__(spec, name, block, True, bias, scale, num_heads)
        count = -(-spec.max_sequence_length // block)
        most = max(count - 5, 0)
        if not is_whole(random, 0, most):
            raise KzooError(
                f"Got random = {random!r:.40} for attention; expected 0 to {most}: the "
                f"{spec.max_sequence_length} places are {count} blocks of {block}, of which one "
                "sees five in any case."
            )
        if seed is not None and not is_whole(seed, 0, LARGEST_SEED):
            raise KzooError(
                f"Got seed = {seed!r:.40} for attention; expected 0 or more, or null for no blocks "
                "at random."
            )
        self.random, self.seed = random, seed
        self.dense_up_to = (5 + 2 * random) * block
        # How much a block is preferred, by head and query block: those that count most are seen.
        shape = (self.num_heads, count, count) if self.draws else (0,)
        self.preferred = np.random.default_rng(seed).random(shape, dtype="float32")

    @property
    def draws(self):
        """Whether there are blocks at random."""
        return self.seed is not None and self.random > 0

    def drawn(self, count):
        """Which blocks each of `count` sees at random, int32 (heads, count, random)."""
        own, other = ops.arange(count)[:, None], ops.arange(count)[None]
        free = (ops.abs(own - other) > 1) & (other > 0) & (other < count - 1)
        preferred = ops.convert_to_tensor(self.preferred)[:, :count, :count]
        _, found = ops.top_k(ops.where(free, preferred, -1.0), self.random)
        return ops.cast(found, "int32")

    def reach(self, context):
        """0 for the blocks that are seen, (1, heads or 1, queries, keys), in a long input.

        More for the first one where it counts for several. None in a short input.
        """
        length = context.length
        if isinstance(length, int) and length <= self.dense_up_to:
            return None
        last = (length - 1) // self.stride
        own, other = context.queries // self.stride, context.keys // self.stride
        sees_all = ops.equal(own, 0) | ops.equal(own, last)
        first = ops.equal(other, 0)
        seen = sees_all | (ops.abs(own - other) <= 1) | first | ops.equal(other, last)
        if self.draws:
            found = ops.sum(ops.one_hot(self.drawn(last + 1), last + 1), axis=2)
            found = ops.take(found, ops.reshape(own, (-1,)), axis=1)
            found = ops.take(found, ops.reshape(other, (-1,)), axis=2)
            added = unless(seen | (found[None] > 0))
        else:
            several = ops.cast(first & ops.logical_not(sees_all), "float32")
            added = unless(seen) + self.extra * several
        return added * ops.cast(length > self.dense_up_to, "float32")

    @property
    def extra(self):
        """What is added to scores of the first block, so that it counts as often as it is seen."""
        return math.log(1 + (0 if self.draws else self.random))

    def without_maps(self, q, k, v, context, training=None):
        """See `Attention`; of a length that isn't known yet it is decided when it is."""
        by_blocks = super().without_maps
        if isinstance(ops.shape(q)[2], int) or context.length is None or context.first is not None:
            return by_blocks(q, k, v, context, training)
        return ops.cond(
            context.length > self.dense_up_to,
            lambda: by_blocks(q, k, v, context, training),
            lambda: self.of_all(q, k, v, context, training),
        )

    def of_all(self, q, k, v, context, training):
        """What attention of all places to all gives, (batch, heads, places, head_dim)."""
        scores = self.scores(q, [k], (context.bias,), context)

        def weighted(maps):
            return self.by_heads(self.mixed(self.by_groups(maps), [v]))

        return self.mix([(scores, weighted)], training)

    def by_blocks(self, q, k, v, bias, context, training):
        """The mixed values (batch, heads, blocks, stride, head_dim), see `Blocked`."""
        count = ops.shape(q)[2]

        def ends(x):  # The first and the last block, as one.
            x = ops.concatenate([x[:, :, :1], x[:, :, -1:]], axis=2)
            return ops.reshape(x, (ops.shape(x)[0], x.shape[1], 2 * self.stride, x.shape[4]))

        def flat(x):
            return ops.reshape(x, (ops.shape(x)[0], x.shape[1], -1, x.shape[4]))

        def by_key(x):
            return ops.transpose(x, (0, 1, 3, 2))

        values, counted = ends(v), np.repeat([self.extra, 0.0], self.stride).astype("float32")
        scores = self.product(flat(q), ends(k)) + (by_key(ends(bias)) + ops.cast(counted, q.dtype))
        parts = [(self.blocks(scores), lambda maps: self.blocks(ops.matmul(flat(maps), values)))]
        # They are no neighbours once more.
        number = ops.reshape(ops.arange(count, dtype="int32"), (1, 1, -1, 1, 1))
        inner = bias + unless((number > 0) & (number < count - 1), q.dtype)
        parts.append(self.near(q, k, v, inner, 1, 1, lambda gap: np.full(gap.shape, True)))
        if self.draws:
            parts.append(self.at_random(q, k, v, bias))
        y = self.mix(parts, training)
        scores = self.product(ends(q), flat(k)) + by_key(flat(bias))
        own = self.blocks(self.mix([(scores, lambda maps: ops.matmul(maps, flat(v)))], training))
        return ops.concatenate([own[:, :, :1], y[:, :, 1:-1], own[:, :, 1:]], axis=2)

    def at_random(self, q, k, v, bias):
        """What is seen at random, as one of the parts of `mix`."""
        count = ops.shape(q)[2]
        found = self.drawn(count)
        rows = ops.reshape(ops.arange(self.num_heads, dtype="int32") * count, (-1, 1, 1))

        def picked(x, found):  # (batch, heads, blocks, stride, dim), several blocks in one
            shape = ops.shape(x)[0], -1, self.stride * x.shape[4]
            taken = ops.take(ops.reshape(x, shape), ops.reshape(found, (-1,)), axis=1)
            shape = shape[0], self.num_heads, -1, self.random * self.stride, x.shape[4]
            return ops.reshape(taken, shape)

        keys, values = (picked(each, found + rows) for each in (k, v))
        masked = ops.transpose(picked(bias, found), (0, 1, 2, 4, 3))
        return self.product(q, keys) + masked, lambda maps: ops.matmul(maps, values)
