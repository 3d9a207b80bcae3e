"""Tables of vectors: tokens and segments."""

from keras import layers, ops

from ..parts import part
from ..spec import Input
from .dense import NotByKeras, normal
from .lowering import lookup


def padding_kept(vectors, ids, padding_id):
    """Vectors (..., dim) through which nothing is learned where `ids` (...) are padding."""
    padding = ops.expand_dims(ops.equal(ids, padding_id), -1)
    return ops.where(padding, ops.stop_gradient(vectors), vectors)


class Table(NotByKeras, layers.Layer):
    """A trained table (rows, dim); called on integer ids (...), it gives (..., dim)."""

    def __init__(self, rows, dim, spec, name):
        super().__init__(name=name)
        self.rows, self.dim, self.spec = rows, dim, spec

    def build(self, _shape=None):
        """Make the table."""
        # Cast after the look-up, not before: mixed precision would copy the whole table.
        self.embeddings = self.add_weight(
            shape=(self.rows, self.dim),
            initializer=normal(self.spec),
            name="embeddings",
            autocast=False,
        )

    def call(self, ids):
        """Ids (...) to vectors (..., dim)."""
        return ops.cast(lookup(self.embeddings, ids), self.compute_dtype)


@part("embedding", "token")
class TokenEmbedding(Table):
    """One trained vector a vocabulary entry; as wide as the model, or `embedding_dim` if given.

    The padding token's vector learns nothing where it is looked up, as with torch's `padding_idx`.
    """

    def __init__(self, spec, name):
        super().__init__(
            spec.vocabulary_size, spec.embedding_dim or spec.hidden_dim, spec, name=name
        )

    @property
    def signature(self):
        """What a stack on this embedding reads, by name."""
        places, spec = ("batch", "length"), self.spec
        read = {
            "token_ids": Input(places, below=spec.vocabulary_size),
            "padding_mask": Input(places),
        }
        if spec.num_segments > 1:
            read["segment_ids"] = Input(places, below=spec.num_segments)
        return read

    def call(self, ids, training=None):
        """Ids (...) to vectors (..., dim)."""
        vectors = super().call(ids)
        return padding_kept(vectors, ids, self.spec.padding_id) if training else vectors
