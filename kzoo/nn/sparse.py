"""Attention to some places alone, computed by blocks (Sparse Transformer, arXiv:1904.10509).

A pattern joins what lies near a place with what stands for all that lies further. Its masks over
all pairs of places, as the paper writes them, are `reach`: a step of writing takes them, and so do
maps that somebody asks for. Of a whole input no more pairs are computed than a pattern has, but for
what a block has at its edges: about n * sqrt(n) where the stride is the root of the length n.
"""

import numpy as np
from keras import ops

from ..errors import KzooError
from ..parts import completed, part
from ..values import is_whole
from .attention import OUT, PROJECTIONS, Attention, unless

STRIPS = 16  # of queries, each of which sees the columns before it alone
BEYOND = 2**30  # a place behind all others


class Blocked(Attention):
    """A pattern over blocks of `stride` places.

    Args:
        spec: the spec of the stack.
        stride: the places of a block, l in the paper.
        looks_ahead: whether a place sees what lies before it as it sees what lies behind it; the
            paper's don't.
        bias, scale, num_heads: as for `Attention`.
    """

    def __init__(
        self, spec, name, stride=128, looks_ahead=False, bias=PROJECTIONS, scale=None, num_heads=0
    ):
        super().__init__(spec, name, bias, scale, num_heads)
        if not is_whole(stride, 2):
            raise KzooError(f"Got stride = {stride!r:.40} for attention; expected 2 or more.")
        if looks_ahead not in (True, False):
            raise KzooError(f"Got looks_ahead = {looks_ahead!r:.40}; expected true or false.")
        self.stride, self.looks_ahead = stride, looks_ahead
        self.dense_up_to = stride  # Up to so many places all pairs are computed.

    def without_maps(self, q, k, v, context, training=None):
        """See `Attention`; None where the input is too short, or places aren't in a row."""
        length = ops.shape(q)[2]
        if context.length is None or context.first is not None:
            return None
        if isinstance(length, int) and length <= self.dense_up_to:
            return None
        count = -(-length // self.stride)
        fill = count * self.stride - length
        bias = filled_bias(context.bias, length, fill, q.dtype)
        k, v = (ops.repeat(x, self.num_heads // self.key_value_heads, axis=1) for x in (k, v))
        q, k, v = (self.blocks(filled(each, fill)) for each in (q * self.scale, k, v))
        bias = ops.reshape(bias, (ops.shape(bias)[0], 1, -1, self.stride, 1))
        y = self.by_blocks(q, k, v, bias, context, training)
        y = ops.reshape(y, (ops.shape(y)[0], self.num_heads, -1, self.head_dim))
        return y[:, :, :length]

    def blocks(self, x):
        """(batch, heads, places, dim) as (batch, heads, blocks, stride, dim)."""
        return ops.reshape(x, (ops.shape(x)[0], x.shape[1], -1, self.stride, x.shape[3]))

    def mix(self, parts, training):
        """Values weighted by one softmax over several groups of keys.

        Args:
            parts: for each group its scores (..., keys), and what gives the values weighted by
                maps of that shape, (..., head_dim).
        """
        maps = [scores for scores, _ in parts]
        maps = ops.softmax(ops.concatenate(maps, axis=-1) if len(maps) > 1 else maps[0], axis=-1)
        maps, start, y = self.dropout(maps, training=training), 0, None
        for number, (scores, weighted) in enumerate(parts, 1):
            end = None if number == len(parts) else start + ops.shape(scores)[-1]
            one = weighted(maps[..., start:end] if len(parts) > 1 else maps)
            y, start = one if y is None else y + one, end
        return y

    def near(self, q, k, v, bias, behind, ahead, seen):
        """What lies in a query's own block and those beside it, as one of the parts of `mix`.

        Args:
            q, k, v: (batch, heads, blocks, stride, head_dim).
            bias: what is added to the scores of keys, (batch or 1, 1, blocks, stride, 1).
            behind, ahead: how many blocks behind and before its own a query looks into.
            seen: of the gaps from keys to queries, an array, which are looked at.
        """

        def around(x, value=0.0):
            return beside(x, behind, ahead, value)

        places = np.arange((behind + 1 + ahead) * self.stride) - behind * self.stride
        gaps = np.arange(self.stride)[:, None] - places
        k, v, bias = around(k), around(v), around(bias, OUT)
        scores = self.product(q, k) + ops.transpose(bias, (0, 1, 2, 4, 3))
        return scores + unless(seen(gaps), scores.dtype), lambda maps: ops.matmul(maps, v)


@part("attention", "strided")
class Strided(Blocked):
    """The last `stride` places, and each `stride`-th of all before: for what has rows (pictures).

    Args:
        heads: "merged" where each head sees both, "split" where the first half of the heads sees
            the near places and the others the far ones.
        spec, stride, looks_ahead, bias, scale, num_heads: as for `Blocked`.
    """

    def __init__(
        self, spec, name, stride=128, heads="merged", looks_ahead=False, bias=PROJECTIONS,
        scale=None, num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, stride, looks_ahead, bias, scale, num_heads)
        if heads not in ("merged", "split") or heads == "split" and self.num_heads % 2:
            raise KzooError(
                f"Got heads = {heads!r:.40} for strided attention of {self.num_heads} heads; "
                "expected merged, or split for an even number of them."
            )
        self.is_split = heads == "split"

    def reach(self, context):
        """0 where |i - j| <= l, and where l divides i - j; (1, heads or 1, queries, keys)."""
        gap = context.queries - context.keys
        near, far = self.is_near(gap), ops.equal(gap % self.stride, 0)
        if not self.looks_ahead:
            far = ops.logical_and(far, gap >= 0)
        if not self.is_split:
            return unless(ops.logical_or(near, far))
        half = self.num_heads // 2
        return ops.concatenate([unless(near)] * half + [unless(far)] * half, axis=1)

    def is_near(self, gap):
        """Whether gaps from keys to queries are of near places."""
        return (gap <= self.stride) & (gap >= (-self.stride if self.looks_ahead else 0))

    def by_blocks(self, q, k, v, bias, context, training):
        """The mixed values (batch, heads, blocks, stride, head_dim), see `Blocked`."""
        beside = 1, int(self.looks_ahead), self.is_near
        if not self.is_split:
            parts = self.near(q, k, v, bias, *beside), self.far(q, k, v, bias, apart=2)
            return self.mix(parts, training)
        half = self.num_heads // 2
        near = self.near(*(x[:, :half] for x in (q, k, v)), bias, *beside)
        far = self.far(*(x[:, half:] for x in (q, k, v)), bias, apart=0)
        return ops.concatenate([self.mix([part], training) for part in (near, far)], axis=1)

    def far(self, q, k, v, bias, apart):
        """Places a whole number of strides off, and at least `apart` of them: see `near`."""
        q, k, v, bias = (across(each) for each in (q, k, v, bias))
        scores = self.product(q, k) + ops.transpose(bias, (0, 1, 2, 4, 3))
        blocks = ops.arange(ops.shape(q)[3], dtype="int32")
        gap = ops.reshape(blocks, (-1, 1)) - blocks
        gap = ops.abs(gap) if self.looks_ahead else gap
        scores = across(scores + unless(gap >= apart, scores.dtype))
        return scores, lambda maps: across(ops.matmul(across(maps), v))


@part("attention", "fixed")
class Fixed(Blocked):
    """All of a query's own block, and the last `summary` places of each before it: for text.

    Args:
        summary: the places at the end of a block that all may look at, c in the paper.
        columns: how many groups of heads have a summary of their own, which lie one before the
            other: where there are several, heads look at places of their own, as the paper does.
        spec, stride, looks_ahead, bias, scale, num_heads: as for `Blocked`.
    """

    def __init__(
        self, spec, name, stride=128, summary=32, columns=1, looks_ahead=False, bias=PROJECTIONS,
        scale=None, num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, stride, looks_ahead, bias, scale, num_heads)
        if not is_whole(summary, 1, stride):
            raise KzooError(
                f"Got summary = {summary!r:.40} for fixed attention; expected 1 to {stride} places "
                "of a block."
            )
        if not is_whole(columns, 1, stride // summary) or self.num_heads % columns:
            raise KzooError(
                f"Got columns = {columns!r:.40} for fixed attention; expected a number that "
                f"divides the {self.num_heads} heads, of which a block of {stride} has "
                f"{stride // summary} with {summary} places each."
            )
        self.summary, self.columns = summary, columns

    def reach(self, context):
        """0 in the query's own block and in summaries; (1, heads or 1, queries, keys)."""
        q, k, size = context.queries, context.keys, self.stride
        own = ops.equal(q // size, k // size)
        found = []
        for column in range(self.columns):
            first = size - (column + 1) * self.summary
            far = (k % size >= first) & (k % size < first + self.summary)
            found.append(unless((own | far) & (True if self.looks_ahead else k <= q)))
        if self.columns == 1:
            return found[0]
        # Not tiled, for which XNNPACK has nothing.
        return ops.concatenate(found * (self.num_heads // self.columns), axis=1)

    def by_blocks(self, q, k, v, bias, context, training):
        """The mixed values (batch, heads, blocks, stride, head_dim), see `Blocked`."""
        count = ops.shape(q)[2]
        wide, columns = [self.summaries(each) for each in (k, v)], self.summaries(bias)
        if self.looks_ahead or not isinstance(count, int):  # All columns for all.
            return self.strip(q, k, v, bias, wide, columns, 0, training)
        size, ys = -(-count // STRIPS), []
        for start in range(0, count, size):
            own = (x[:, :, start : start + size] for x in (q, k, v, bias))
            end = min(start + size, count) - 1  # What lies in the last block of a strip is near.
            before = [x[:, :, : max(end, 1)] for x in (*wide, columns)]
            ys.append(self.strip(*own, before[:2], before[2], start, training))
        return ops.concatenate(ys, axis=2)

    def strip(self, q, k, v, bias, wide, columns, start, training):
        """Those of some blocks, from number `start` on, which see the columns of others."""
        near = self.near(q, k, v, bias, 0, 0, lambda gap: (gap >= 0) | self.looks_ahead)
        own = ops.arange(start, start + ops.shape(q)[2], dtype="int32")[:, None]
        others = ops.arange(ops.shape(wide[0])[2], dtype="int32")[None]
        seen = ops.not_equal(own, others) if self.looks_ahead else own > others
        more = ops.repeat(unless(seen, q.dtype), self.summary, axis=1)[:, None]
        keys, values = (
            ops.reshape(x, (ops.shape(x)[0], self.num_heads, -1, self.head_dim)) for x in wide
        )
        more = more + ops.reshape(columns, (ops.shape(columns)[0], columns.shape[1], 1, 1, -1))
        blocks, flat = ops.shape(q)[2], ops.shape(q)[2] * self.stride

        def as_one(x):  # One product for all blocks.
            return ops.reshape(x, (ops.shape(x)[0], self.num_heads, flat, x.shape[4]))

        scores = self.product(as_one(q), keys)
        scores = ops.reshape(scores, (ops.shape(q)[0], self.num_heads, blocks, self.stride, -1))

        def weighted(maps):
            shape = ops.shape(q)[0], self.num_heads, flat, ops.shape(maps)[4]
            return self.blocks(ops.matmul(ops.reshape(maps, shape), values))

        return self.mix((near, (scores + more, weighted)), training)

    def summaries(self, x):
        """The columns of each block (batch, heads or 1, blocks, summary, dim), by heads."""
        if self.columns == 1:
            return x[:, :, :, self.stride - self.summary :]
        each = self.num_heads // self.columns
        ends = [self.stride - column * self.summary for column in range(self.columns)]
        if x.shape[1] == 1:
            own = [x[:, :, :, end - self.summary : end] for end in ends]
            return ops.concatenate(own * each, axis=1)
        x = ops.reshape(x, (ops.shape(x)[0], each, self.columns, -1, self.stride, x.shape[4]))
        own = [
            x[:, :, column : column + 1, :, end - self.summary : end]
            for column, end in enumerate(ends)
        ]
        shape = (ops.shape(x)[0], self.num_heads, -1, self.summary, x.shape[5])
        return ops.reshape(ops.concatenate(own, axis=2), shape)


@part("attention", "window")
class Window(Blocked):
    """The places up to `window` away, on both sides (Longformer, arXiv:2004.05150, section 3.1).

    Args:
        window: how far a place sees; half of Hugging Face's `attention_window`.
        spec, looks_ahead, bias, scale, num_heads: as for `Blocked`.
    """

    def __init__(
        self, spec, name, window=256, looks_ahead=True, bias=PROJECTIONS, scale=None, num_heads=0
    ):
        if not is_whole(window, 2):
            raise KzooError(f"Got window = {window!r:.40} for attention; expected 2 or more.")
        super().__init__(spec, name, window, looks_ahead, bias, scale, num_heads)

    def reach(self, context):
        """0 for what is no further away; (1, 1, queries, keys)."""
        return unless(self.is_near(context.queries - context.keys))

    def is_near(self, gap):
        """Whether gaps from keys to queries are of places within the window."""
        return (gap <= self.stride) & (gap >= (-self.stride if self.looks_ahead else 0))

    def by_blocks(self, q, k, v, bias, context, training):
        """The mixed values (batch, heads, blocks, stride, head_dim), see `Blocked`."""
        return self.mix(self.parts(q, k, v, bias, context), training)

    def parts(self, q, k, v, bias, context):
        """The groups of keys that `mix` takes."""
        return [self.near(q, k, v, bias, 1, int(self.looks_ahead), self.is_near)]


@part("attention", "window_and_first")
class WindowAndFirst(Window):
    """A window, and global places, which see all and which all see: the first ones.

    Longformer, arXiv:2004.05150, section 3.2: what global places ask and what they are answered by
    have maps of their own; what the others see of them has those of the window.

    Args:
        first: how many places these are; none (0) leave the maps without a use.
        spec, window, bias, scale, num_heads: as for `Window`.
    """

    MAPS = ("query", "key", "value", "first_query", "first_key", "first_value", "output")

    def __init__(self, spec, name, window=256, first=1, bias=MAPS, scale=None, num_heads=0):
        super().__init__(spec, name, window, True, bias, scale, num_heads)
        if not is_whole(first, 0):
            raise KzooError(
                f"Got first = {first!r:.40} for attention in a window; expected 0 or more places."
            )
        self.first = first

    def start(self, context, places):
        """Where global places begin and what comes behind them, (batch or 1, 1, 1) or numbers."""
        return 0, self.first

    def chosen(self, context, length, dtype):
        """Which place each global one is: 1 there and 0 elsewhere, (batch or 1, first, length).

        All zeros where there are fewer. A product with it picks vectors, and one with its transpose
        puts them back: exact, and in a file without a gather.
        """
        places = ops.reshape(ops.arange(length, dtype="int32"), (1, 1, -1))
        start, end = self.start(context, places)
        number = np.arange(self.first, dtype="int32")[:, None]
        return ops.cast(ops.equal(places - start, number) & (places < end), dtype)

    def reach(self, context):
        """0 for what is no further away, and for global places."""
        near = self.is_near(context.queries - context.keys)
        if not self.first:
            return unless(near)
        chosen = self.chosen(context, ops.shape(context.keys)[-1], "float32")
        return unless(
            ops.maximum(ops.cast(near, "float32"), ops.sum(chosen, axis=1)[:, None, None])
        )

    def parts(self, q, k, v, bias, context):
        """The groups of keys that `mix` takes: what is near and not global; what is global."""
        if not self.first:
            return super().parts(q, k, v, bias, context)

        def flat(x):
            return ops.reshape(x, (ops.shape(x)[0], x.shape[1], -1, x.shape[4]))

        chosen = self.chosen(context, ops.shape(q)[2] * self.stride, q.dtype)[:, None]
        keys, values, masked = (ops.matmul(chosen, flat(x)) for x in (k, v, bias))
        masked = masked + unless(ops.sum(chosen, axis=-1, keepdims=True), q.dtype)
        scores = self.product(flat(q), keys) + ops.transpose(masked, (0, 1, 3, 2))
        found = self.blocks(scores), lambda maps: self.blocks(ops.matmul(flat(maps), values))
        once = self.blocks(ops.sum(chosen, axis=2)[..., None]) * OUT
        return [*super().parts(q, k, v, bias + once, context), found]

    def call(self, x, context, training=None):
        """See `Attention`; of global places what they are answered by."""
        y, seen = super().call(x, context, training)
        maps_of_first = self.first_query, self.first_key, self.first_value
        if not self.first:
            for each in maps_of_first:
                if not each.built:  # They are there for those who go on with global places.
                    each.build(x.shape)
            return y, seen
        chosen = self.chosen(context, ops.shape(x)[1], y.dtype)
        q, k, v = (
            self.split(one(each))
            for one, each in zip(maps_of_first, (ops.matmul(chosen, x), x, x), strict=True)
        )
        k, v = (ops.repeat(each, self.num_heads // self.key_value_heads, axis=1) for each in (k, v))
        scores = self.product(q * self.scale, k)
        scores = scores if context.bias is None else scores + ops.cast(context.bias, scores.dtype)
        maps = ops.softmax(scores, axis=-1)
        own = ops.matmul(self.dropout(maps, training=training), v)
        own = ops.reshape(
            ops.transpose(own, (0, 2, 1, 3)), (ops.shape(x)[0], -1, self.num_heads * self.head_dim)
        )
        # (batch or 1, queries, first): which of the places that ask are global.
        back = ops.transpose(
            chosen if context.first is None else chosen[..., : context.first], (0, 2, 1)
        )
        others = 1.0 - ops.sum(back, axis=-1, keepdims=True)
        y = y * others + ops.matmul(back, self.output_dense(own))
        if seen.maps is not None:
            pairs = (seen.maps, maps), (seen.scores, scores)
            maps, scores = (
                all_of * others[:, None] + ops.matmul(back[:, None], of_own)
                for all_of, of_own in pairs
            )
            seen = seen._replace(maps=maps, scores=scores)
        return y, seen


class WindowAndText(WindowAndFirst):
    """A window, and one of the two texts of a pair as global places.

    Args:
        first: how many of them there are at most; others of a longer text are as the rest is.
        separator_id: the token that stands behind the first text, and before the second (RoBERTa's
            two `</s>`).
        spec, window, bias, scale, num_heads: as for `Window`.
    """

    def __init__(
        self, spec, name, window=256, first=64, separator_id=2, bias=WindowAndFirst.MAPS,
        scale=None, num_heads=0,
    ):  # fmt: skip
        super().__init__(spec, name, window, first, bias, scale, num_heads)
        tokens = completed("embedding", spec.embedding).get("vocabulary_size")
        if not is_whole(tokens) or not is_whole(separator_id, 0, tokens - 1):
            raise KzooError(
                f"Got separator_id = {separator_id!r:.40} for attention in a window; expected a "
                f"token of the embedding's {tokens or 0}."
            )
        self.separator_id = separator_id

    def ends(self, context, places):
        """Where the first text of each pair ends, (batch, 1, 1)."""
        found = ops.equal(context.inputs["token_ids"], self.separator_id)[:, None]
        places = places[..., : ops.shape(found)[-1]]
        return ops.min(ops.where(found, places, BEYOND), axis=-1, keepdims=True)


@part("attention", "window_and_question")
class WindowAndQuestion(WindowAndText):
    """Global places are all before the first separator: of a question and a context, the former."""

    def start(self, context, places):
        """See `WindowAndFirst`."""
        return 0, self.ends(context, places)


@part("attention", "window_and_choice")
class WindowAndChoice(WindowAndText):
    """Global places are all behind the two separators: of a question and a choice, the latter."""

    def start(self, context, places):
        """See `WindowAndFirst`."""
        return self.ends(context, places) + 2, BEYOND


def filled(x, count, axis=2):
    """x with so many more zeros along an axis, a number or a scalar tensor."""
    if isinstance(count, int) and not count:
        return x
    return ops.pad(x, [(0, count if n == axis else 0) for n in range(len(x.shape))])


def filled_bias(bias, length, fill, dtype):
    """What is added to the scores of keys (batch or 1, 1, 1, length + fill), filled places masked.

    Args:
        bias: that of a context for `length` keys, or None.
    """
    bias = ops.zeros((1, 1, 1, length), dtype) if bias is None else bias
    return OUT + filled(ops.cast(bias, dtype) - OUT, fill, axis=3)


def beside(x, behind, ahead, value=0.0):
    """Each block of x (batch, heads, blocks, size, dim) with those beside it in one."""
    if not behind and not ahead:
        return x
    count, wide = ops.shape(x)[2], [(0, 0), (0, 0), (behind, ahead), (0, 0), (0, 0)]
    # Filled with zeros alone: XNNPACK has no other.
    wide = ops.pad(x - value, wide) + value if value else ops.pad(x, wide)
    parts = [wide[:, :, start : start + count] for start in range(behind + 1 + ahead)]
    return ops.concatenate(parts, axis=3)


def across(x):
    """(batch, heads, blocks, size, dim) as (batch, heads, size, blocks, dim), and back."""
    return ops.transpose(x, (0, 1, 3, 2, 4))
