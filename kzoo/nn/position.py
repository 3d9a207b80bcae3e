"""Where a token is, as at most three functions: add at the input, rotate q and k, bias scores."""

import math

import numpy as np
from keras import layers, ops

from ..errors import KzooError
from ..parts import option, part
from ..spec import LARGEST
from ..values import NOWHERE, is_number, is_whole
from .dense import normal
from .embedding import padding_kept
from .lowering import lookup, rows_from
from .rounding import rounding_of


class Unplaced:
    """A position encoding that does nothing; no layer, since there is nothing to build."""

    def rotate(self, query, key, context):
        """Turn queries and keys, both (batch, heads, length, head_dim)."""
        return query, key

    def scores(self, layer, query, key, context):
        """What is added to the scores (batch, heads, queries, keys), or None.

        `layer` is the attention that asks, whose projections an encoding may use.
        """
        return None


UNPLACED = Unplaced()  # Of a memory, whose places are its own business.


class Position(Unplaced, layers.Layer):
    """A position encoding; each of its functions leaves its input as it is unless overridden."""

    splits = False  # Whether XNNPACK parts a file of an open length at the scores of each block.
    bound_to = ()  # Of what it has something for each: "heads", or channels ("width").
    counts = False  # Whether places are counted from padding_id + 1, see `Counted`.

    def __init__(self, spec, name):
        super().__init__(name=name)
        self.spec = spec

    def call(self, x, context):
        """Add to the embeddings x (batch, length, dim)."""
        return x


@part("position", "none")
class NoPosition(Position):
    """A model that is told nothing about places."""


@part("position", "learned")
class Learned(Position):
    """One trained vector a place, added at the input (BERT, arXiv:1810.04805).

    Args:
        spec: the spec of the stack.
        before: rows of the table before that of the first place, which nothing reads (BART: 2).
    """

    def __init__(self, spec, name, before=0):
        super().__init__(spec, name)
        if not is_whole(before, 0, LARGEST):
            raise KzooError(f"Got before = {before!r:.40} for positions; expected 0 or more rows.")
        self.before, self.rounding = before, rounding_of(spec)

    def build(self, x_shape):
        """Make the table (max_sequence_length + before, dim)."""
        self.embeddings = self.add_weight(
            shape=(self.spec.max_sequence_length + self.before, x_shape[-1]),
            initializer=normal(self.spec),
            name="embeddings",
        )

    def call(self, x, context):
        """Add the rows of its places, the first ones by default, to x (batch, length, dim)."""
        if context.length is None:
            places = ops.minimum(context.inputs["places"], self.spec.max_sequence_length - 1)
            places = places + self.before if self.before else places
            rows = self.rounding.rows(lookup(self.embeddings, places))
            return x + ops.cast(rows, x.dtype)
        # The length is the input's, not that of x: on a device it is known before x is computed.
        rows = rows_from(self.embeddings, self.before, context.length)
        return x + self.rounding.rows(rows)


@part("position", "sinusoidal")
class Sinusoidal(Position):
    """Sines and cosines of waves of many lengths, added at the input.

    arXiv:1706.03762, section 3.5. Nothing is learned.

    Args:
        spec: the spec of the stack.
        interleaved: whether sine and cosine of a wave stand beside each other, as in the paper, or
            all sines before all cosines (tensor2tensor, Marian).
    """

    bound_to = ("width",)

    def __init__(self, spec, name, interleaved=True):
        super().__init__(spec, name)
        self.table = sinusoids(spec.max_sequence_length, spec.hidden_dim, interleaved)

    def call(self, x, context):
        """Add the rows of its places, the first ones by default, to x (batch, length, dim)."""
        table = ops.cast(self.table, x.dtype)
        if context.length is None:
            places = ops.minimum(context.inputs["places"], self.spec.max_sequence_length - 1)
            return x + lookup(table, places)
        return x + rows_from(table, 0, context.length)


def sinusoids(places, dim, interleaved):
    """The table (places, dim) of sin(place / 10000 ** (2 i / dim)) and the cosines of the same."""
    waves = 10000.0 ** (-2 * np.arange((dim + 1) // 2) / dim)
    angles = np.arange(places)[:, None] * waves
    sines, cosines = np.sin(angles), np.cos(angles)[:, : dim // 2]
    if not interleaved:
        return np.concatenate([sines, cosines], axis=1).astype("float32")
    table = np.zeros((places, dim))
    table[:, ::2], table[:, 1::2] = sines, cosines
    return table.astype("float32")


@part("position", "counted")
class Counted(Learned):
    """Places counted over the tokens that are not padding, from padding_id + 1 (RoBERTa).

    The table has `max_sequence_length` usable rows and padding_id + 1 rows before them, as in the
    released checkpoints (514 rows for 512 places), arXiv:1907.11692. The row of padding learns
    nothing.
    """

    counts = True

    def __init__(self, spec, name):
        super().__init__(spec, name)
        self.padding_id = option(spec, "embedding", "padding_id")

    def build(self, x_shape):
        """Make the table (max_sequence_length + padding_id + 1, dim)."""
        self.embeddings = self.add_weight(
            shape=(self.spec.max_sequence_length + self.padding_id + 1, x_shape[-1]),
            initializer=normal(self.spec),
            name="embeddings",
            autocast=False,
        )

    def call(self, x, context, training=None):
        """Add each token's row to x (batch, length, dim); padding takes the row padding_id."""
        token_ids = context.inputs["token_ids"]
        real = ops.cast(ops.not_equal(token_ids, self.padding_id), "int32")
        if context.length is None:
            last = self.spec.max_sequence_length - 1
            places = ops.minimum(context.inputs["places"], last) + 1
        else:
            places = ops.cumsum(real, axis=1)
        rows = lookup(self.embeddings, places * real + self.padding_id)
        rows = ops.cast(self.rounding.rows(rows), x.dtype)
        padding = ops.equal(token_ids, self.padding_id)
        return x + (padding_kept(rows, padding) if training else rows)


@part("position", "sine_2d")
class Sine2D(Position):
    """Sines and cosines of how far down and how far right a place of a map is (DETR).

    arXiv:2005.12872, appendix A.4. They aren't added at the input but, by attention that is
    "placed", to what queries and keys are made of. A map's whole height, and its whole width, are
    a turn; where pictures are filled up, those of the picture. Half of the features are for the
    row and half for the column, sine and cosine of a wave beside each other. Nothing is learned.

    Args:
        spec: the spec of the stack.
        temperature: the longest wave is as many turns.
    """

    bound_to = ("width",)

    def __init__(self, spec, name, temperature=10000.0):
        super().__init__(spec, name)
        if not is_number(temperature, 1):
            raise KzooError(
                f"Got temperature = {temperature!r:.40} for places; expected a number such as 1e4."
            )
        if spec.hidden_dim % 4:
            raise KzooError(
                f"Got hidden_dim {spec.hidden_dim} for places of two sides; expected a multiple of "
                "4: a sine and a cosine of each."
            )
        half = spec.hidden_dim // 2
        waves = float(temperature) ** (-2 * np.arange(half // 2) / half)
        self.waves = waves.astype("float32")

    def vectors(self, rows, columns, mask=None):
        """(batch or 1, rows * columns, dim), float32.

        Args:
            rows, columns: the sides of the map, numbers or scalar tensors.
            mask: 1 for a place that counts (batch, rows, columns); None for all.
        """
        if mask is None:
            down = ops.reshape(ops.arange(1, rows + 1, dtype="float32"), (1, -1, 1))
            right = ops.reshape(ops.arange(1, columns + 1, dtype="float32"), (1, 1, -1))
        else:
            mask = ops.cast(mask, "float32")
            down, right = ops.cumsum(mask, axis=1), ops.cumsum(mask, axis=2)
        sides = (
            self.turned(down / (down[:, -1:] + 1e-6)),
            self.turned(right / (right[:, :, -1:] + 1e-6)),
        )
        shape = (ops.shape(down)[0], rows, columns, self.spec.hidden_dim // 2)
        both = ops.concatenate([ops.broadcast_to(side, shape) for side in sides], axis=-1)
        return ops.reshape(both, (shape[0], -1, self.spec.hidden_dim))

    def turned(self, shares):
        """Shares of a turn (batch, rows, columns) as sines and cosines (.., dim / 2)."""
        angles = ops.expand_dims(shares * (2 * math.pi), -1) * self.waves
        pairs = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.reshape(pairs, (*ops.shape(pairs)[:3], 2 * len(self.waves)))


@part("position", "alibi")
class Alibi(Position):
    """Scores fall with distance, for each head at a slope of its own (arXiv:2108.12409)."""

    bound_to = ("heads",)

    def __init__(self, spec, name):
        super().__init__(spec, name)
        self.slopes = slopes(spec.num_heads)

    def scores(self, layer, query, key, context):
        """(batch or 1, heads, queries, keys)."""
        # What lies nowhere is out of reach: without the bound its bias would outweigh that.
        gap = ops.cast(ops.maximum(context.queries - context.keys, 0), "float32")
        return gap * -self.slopes.reshape(1, -1, 1, 1)


def slopes(heads):
    """2 ** (-8 / n) to the powers 1 to n; between those of n, the n heads that 2n would have."""
    whole = 2 ** math.floor(math.log2(heads))
    first = 2.0 ** (-8.0 / whole * np.arange(1, whole + 1))
    between = 2.0 ** (-4.0 / whole * np.arange(1, 2 * (heads - whole), 2))
    return np.concatenate([first, between]).astype("float32")


@part("position", "rotary")
class Rotary(Position):
    """Pairs of features of queries and keys turned by an angle that grows with the place.

    arXiv:2104.09864.

    Args:
        spec: the spec of the stack.
        base: the longest wave is this many places, by 2 pi.
        interleaved: whether a pair is two neighbours (RoFormer, GPT-J, PaLM), or else a feature of
            the first half and one of the second (GPT-NeoX, LLaMA).
    """

    def __init__(self, spec, name, base=10000.0, interleaved=True):
        super().__init__(spec, name)
        if not is_number(base, 1):
            raise KzooError(f"Got base = {base!r:.40} for rotary; expected a number such as 1e4.")
        self.dim = spec.head_dim or spec.hidden_dim // spec.num_heads
        if self.dim % 2:
            raise KzooError(f"Got heads of {self.dim} for rotary; expected an even number.")
        self.axis = -1 if interleaved else -2
        waves = base ** (-np.arange(0, self.dim, 2, dtype="float64") / self.dim)
        self.waves = (np.repeat(waves, 2) if interleaved else np.tile(waves, 2)).astype("float32")

    def rotate(self, query, key, context):
        """Turn queries and keys, both (batch, heads, length, head_dim)."""
        turns = one = self.turns(context.queries, query.dtype)
        if context.first is not None:  # Keys have more places than the queries.
            turns = self.turns(ops.transpose(context.keys, (0, 1, 3, 2)), key.dtype)
        pairs = ((query, one), (key, turns))
        return tuple(x * cos + self.across(x) * sin for x, (cos, sin) in pairs)

    def turns(self, places, dtype):
        """Cosine and sine of the angles at places (batch or 1, 1, length, 1)."""
        angles = ops.cast(places, "float32") * self.waves
        return tuple(ops.cast(turn(angles), dtype) for turn in (ops.cos, ops.sin))

    def across(self, x):
        """Each pair (a, b) as (-b, a)."""
        pair = (self.dim // 2, 2) if self.axis == -1 else (2, self.dim // 2)
        one, other = ops.split(
            ops.reshape(x, (ops.shape(x)[0], x.shape[1], -1, *pair)), 2, self.axis
        )
        return ops.reshape(
            ops.concatenate([-other, one], self.axis), (ops.shape(x)[0], x.shape[1], -1, self.dim)
        )


@part("position", "bucketed")
class Bucketed(Position):
    """Each head adds a trained number for each bucket of distances (T5, arXiv:1910.10683).

    The nearest distances have a bucket each; further ones share buckets that widen with the
    logarithm, up to a longest distance. Where attention looks ahead, half of the buckets are for
    what lies behind the query and half for what lies before it. All blocks share one table.

    Args:
        spec: the spec of the stack.
        buckets: how many there are.
        longest: the distance from which all are alike.
    """

    bound_to = ("heads",)

    def __init__(self, spec, name, buckets=32, longest=128):
        super().__init__(spec, name)
        if not is_whole(buckets, 4) or buckets % 2:
            raise KzooError(f"Got buckets = {buckets!r:.40}; expected an even number from 4.")
        if not is_whole(longest, buckets // 2 + 1, NOWHERE):
            raise KzooError(
                f"Got longest = {longest!r:.40}; expected a distance above {buckets // 2}, the "
                "distances that have a bucket each."
            )
        self.buckets, self.longest = buckets, longest
        behind, (first, last) = buckets_from(buckets, longest), buckets_from(buckets // 2, longest)
        # By whether a query sees what lies before it, where gaps are negative; 0 lies behind it.
        both = np.append(first, -last), np.append(last, -np.maximum(first, 1))
        self.bounds = {False: behind, True: both}

    def build(self, x_shape):
        """Make the table (buckets, heads)."""
        self.embeddings = self.add_weight(
            shape=(self.buckets, self.spec.num_heads),
            initializer=normal(self.spec),
            name="embeddings",
        )

    def scores(self, layer, query, key, context):
        """(batch or 1, heads, queries, keys)."""
        first, last = (bound.astype("float32") for bound in self.bounds[layer.looks_ahead])
        gap = ops.clip(context.queries - context.keys, -self.longest, self.longest)
        gap = ops.cast(gap if layer.looks_ahead else ops.maximum(gap, 0), "float32")
        gap = ops.transpose(gap, (0, 2, 3, 1))
        # 1 at the bucket of each gap and 0 elsewhere: a product with the table picks its row, in
        # arithmetic that every accelerator has, where a look-up needs shapes that it hasn't.
        chosen = ops.clip(gap - first + 1.0, 0.0, 1.0) * ops.clip(last + 1.0 - gap, 0.0, 1.0)
        table = ops.convert_to_tensor(self.embeddings)
        chosen = ops.cast(chosen, table.dtype)
        if chosen.shape[0] == 1:
            # Of rank 4, so that its shape is that of the product: no arithmetic on shapes.
            bias = ops.matmul(chosen, ops.reshape(table, (1, 1, self.buckets, -1)))
        else:  # Such a product with several rows corrupts memory: TensorFlow's issue 117700.
            flat = ops.matmul(ops.reshape(chosen, (-1, self.buckets)), table)
            bias = ops.reshape(flat, (*ops.shape(chosen)[:3], self.spec.num_heads))
        return ops.transpose(bias, (0, 3, 1, 2))


@part("position", "counted_bucketed")
class CountedBucketed(Counted):
    """Places counted and added as "counted" has it, and distances in buckets as "bucketed" has it.

    MPNet, arXiv:2004.09297. All blocks share one table of the buckets.

    Args:
        spec: the spec of the stack.
        buckets, longest: as for "bucketed".
    """

    bound_to = ("heads",)

    def __init__(self, spec, name, buckets=32, longest=128):
        super().__init__(spec, name)
        self.distances = Bucketed(spec, "distances", buckets, longest)

    def build(self, x_shape):
        """Make the table of places, and that of the buckets."""
        super().build(x_shape)
        self.distances.build(x_shape)

    def scores(self, layer, query, key, context):
        """(batch or 1, heads, queries, keys)."""
        return self.distances.scores(layer, query, key, context)


def buckets_from(count, longest):
    """The first and the last distance of each of `count` buckets; the first lies above the last
    where a bucket has none.

    Computed in float32 as T5 does, so that an edge lies where a trained table has it.
    """
    near = count // 2
    distances = np.arange(longest + 1)
    scale = np.float32(math.log(longest / near))
    with np.errstate(divide="ignore"):
        far = np.log(distances.astype("float32") / np.float32(near)) / scale
    far = near + np.where(distances < near, 0, far * np.float32(count - near)).astype("int64")
    bucket = np.where(distances < near, distances, np.minimum(far, count - 1))
    return (
        np.searchsorted(bucket, np.arange(count), "left"),
        np.searchsorted(bucket, np.arange(count), "right") - 1,
    )
