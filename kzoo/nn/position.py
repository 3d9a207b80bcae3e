"""Where a token is, as at most three functions: add at the input, rotate q and k, bias scores."""

from keras import layers, ops

from ..parts import option, part
from .dense import normal
from .embedding import padding_kept
from .lowering import first_rows, lookup


class Position(layers.Layer):
    """A position encoding; each of its functions leaves its input as it is unless overridden."""

    def __init__(self, spec, name):
        super().__init__(name=name)
        self.spec = spec

    def call(self, x, context):
        """Add to the embeddings x (batch, length, dim)."""
        return x

    def rotate(self, query, key, context):
        """Turn queries and keys, both (batch, heads, length, head_dim)."""
        return query, key

    def scores(self, layer, query, key, context):
        """What is added to the scores (batch, heads, queries, keys), or None.

        `layer` is the attention that asks, whose projections an encoding may use.
        """
        return None


@part("position", "none")
class NoPosition(Position):
    """A model that is told nothing about places."""


@part("position", "learned")
class Learned(Position):
    """One trained vector a place, added at the input (BERT, arXiv:1810.04805)."""

    def build(self, x_shape):
        """Make the table (max_sequence_length, dim)."""
        self.embeddings = self.add_weight(
            shape=(self.spec.max_sequence_length, x_shape[-1]),
            initializer=normal(self.spec),
            name="embeddings",
        )

    def call(self, x, context):
        """Add the rows of its places, the first ones by default, to x (batch, length, dim)."""
        if context.length is None:
            places = ops.minimum(context.inputs["places"], self.spec.max_sequence_length - 1)
            return x + ops.cast(lookup(self.embeddings, places), x.dtype)
        # The length is the input's, not that of x: on a device it is known before x is computed.
        return x + first_rows(self.embeddings, context.length)


@part("position", "counted")
class Counted(Learned):
    """Places counted over the tokens that are not padding, from padding_id + 1 (RoBERTa).

    The table has `max_sequence_length` usable rows and padding_id + 1 rows before them, as in the
    released checkpoints (514 rows for 512 places), arXiv:1907.11692. The row of padding learns
    nothing.
    """

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
        rows = ops.cast(lookup(self.embeddings, places * real + self.padding_id), x.dtype)
        return x + (padding_kept(rows, token_ids, self.padding_id) if training else rows)
