"""What a network reads, as vectors: tables of tokens and segments; see `patches.py` as well."""

import math

from keras import layers, ops
from keras.initializers import RandomNormal

from ..errors import KzooError
from ..parts import part
from ..spec import LARGEST, Input
from ..values import is_number, is_whole
from .dense import Dense, NotByKeras, normal
from .lowering import lookup
from .rounding import rounding_of


def padding_kept(vectors, padding):
    """Vectors (..., dim) through which nothing is learned at `padding` (...)."""
    return ops.where(ops.expand_dims(padding, -1), ops.stop_gradient(vectors), vectors)


class Table(NotByKeras, layers.Layer):
    """A trained table (rows, dim); called on integer ids (...), it gives (..., dim)."""

    def __init__(self, rows, dim, spec, name):
        super().__init__(name=name)
        self.rows, self.dim, self.spec = rows, dim, spec
        self.columns = dim  # of the table itself
        self.rounding = rounding_of(spec)

    def build(self, _shape=None):
        """Make the table."""
        # Cast after the look-up, not before: mixed precision would copy the whole table.
        self.embeddings = self.add_weight(
            shape=(self.rows, self.columns),
            initializer=normal(self.spec),
            name="embeddings",
            autocast=False,
        )

    def call(self, ids):
        """Ids (...) to vectors (..., columns)."""
        rows = self.rounding.rows(lookup(self.embeddings, ids))
        return ops.cast(rows, self.compute_dtype)


class Embedding(NotByKeras, layers.Layer):
    """Base of what makes vectors of a network's inputs, and so says what it reads.

    Called on the dict of the inputs it gives (batch, length, dim).
    """

    # The name of its layer, and so of its weights.
    layer_name = None
    input_name = None  # Which input it makes vectors of.
    # What it reads of further places of a sequence, by name; None where it can't read on.
    step_signature = None
    padding_id = 0  # what fills up rows of ids

    @property
    def signature(self):
        """What a stack on this embedding reads, by name."""
        raise NotImplementedError

    def segment_table(self):
        """The table of the segments' vectors, or None."""
        return None

    def padding_mask(self, inputs):
        """1 for what counts and 0 for padding (batch, length); None where nothing is padding."""
        return None

    def length(self, inputs):
        """How many places the inputs have."""
        raise NotImplementedError


@part("embedding", "token")
class TokenEmbedding(Table, Embedding):
    """One trained vector a vocabulary entry; as wide as the model, or `dim` if given.

    The padding token's vector learns nothing where it is looked up, as with torch's `padding_idx`.

    Args:
        spec: the spec of the stack.
        vocabulary_size: how many tokens there are.
        num_segments: how many kinds of texts an input may hold; those of a text are told apart by
            vectors of their own. None have none.
        padding_id: the token that fills rows up.
        dim: how wide the vectors are; 0 for as wide as the model.
        logit_scale: what scores against the vectors are multiplied by, where a head is tied to
            them (PaLM, arXiv:2204.02311, section 5: 1 / sqrt(dim)).
        padding_learns: whether the padding token learns as any other, because it is one of texts
            as well (CLIP).
        scaled: whether vectors are multiplied by sqrt(dim), arXiv:1706.03762, section 3.4.
    """

    layer_name, input_name = "token_embedding", "token_ids"
    WHOLE = {"vocabulary_size": 1, "num_segments": 0, "padding_id": 0, "dim": 0}

    def __init__(
        self,
        spec,
        name,
        vocabulary_size=None,
        num_segments=0,
        padding_id=0,
        dim=0,
        logit_scale=1.0,
        padding_learns=False,
        scaled=False,
    ):
        values = vocabulary_size, num_segments, padding_id, dim
        for (option, least), value in zip(self.WHOLE.items(), values, strict=True):
            if not is_whole(value, least, LARGEST):
                raise KzooError(
                    f"{option} is {value!r:.40}; a whole number of at least {least} is expected."
                )
        if not (is_number(logit_scale, 0) and logit_scale):
            raise KzooError(f"Got logit_scale = {logit_scale!r:.40}; expected a number above 0.")
        super().__init__(vocabulary_size, dim or spec.hidden_dim, spec, name)
        self.vocabulary_size, self.num_segments = vocabulary_size, num_segments
        self.padding_id, self.padding_learns = padding_id, padding_learns
        self.scale = math.sqrt(self.dim) if scaled else 1

    @property
    def signature(self):
        """What a stack on this embedding reads, by name."""
        places = ("batch", "length")
        read = {
            "token_ids": Input(places, below=self.vocabulary_size),
            "padding_mask": Input(places),
        }
        if self.num_segments > 1:
            read["segment_ids"] = Input(places, below=self.num_segments)
        return read

    @property
    def step_signature(self):
        """What it reads of further tokens; None where it needs more than these."""
        return None if self.num_segments > 1 else {"token_ids": self.signature["token_ids"]}

    def padding_mask(self, inputs):
        """The mask among the inputs."""
        return inputs["padding_mask"]

    def length(self, inputs):
        """That of the padding mask: heads read it as well, and one SHAPE does for all."""
        return ops.shape(inputs["padding_mask"])[1]

    def segment_table(self):
        """The table of the segments' vectors, or None."""
        if not self.num_segments:
            return None
        return Table(self.num_segments, self.dim, self.spec, "segment_embedding")

    def segments(self, inputs):
        """The segment of each token, (batch, length)."""
        return inputs["segment_ids"] if self.num_segments > 1 else 0 * inputs["token_ids"]

    @property
    def factors(self):
        """What vectors (..., dim) are multiplied by, each transposed, to score the tokens."""
        return [self.embeddings]

    def vectors(self, ids):
        """Ids (...) to vectors (..., dim)."""
        return Table.call(self, ids)

    def call(self, inputs, training=None):
        """The inputs to vectors (batch, length, dim)."""
        ids = inputs["token_ids"]
        vectors = self.vectors(ids)
        vectors = vectors if self.scale == 1 else vectors * self.scale
        if not training or self.padding_learns:
            return vectors
        return padding_kept(vectors, ops.equal(ids, self.padding_id))


@part("embedding", "token_alone")
class TokenAlone(TokenEmbedding):
    """Tokens to which no vector of their segment is added: attention compares segments (XLNet)."""

    def segment_table(self):
        """None."""
        return None


@part("embedding", "low_rank_token")
class LowRankToken(TokenEmbedding):
    """Tokens whose vectors are those of a narrow table, brought to their width by one map.

    Its numbers are rows * rank + rank * dim. ALBERT's `dim` is something else: there segments,
    places and a norm stand before the map, here they are added behind it, so that a table of any
    model can be factorized; `compression.factorize` does so.

    Args:
        spec: the spec of the stack.
        rank: how wide the table is.
        vocabulary_size, num_segments, padding_id, dim, logit_scale, padding_learns, scaled: as for
            "token".
    """

    def __init__(
        self,
        spec,
        name,
        rank=None,
        vocabulary_size=None,
        num_segments=0,
        padding_id=0,
        dim=0,
        logit_scale=1.0,
        padding_learns=False,
        scaled=False,
    ):
        others = num_segments, padding_id, dim, logit_scale, padding_learns, scaled
        super().__init__(spec, name, vocabulary_size, *others)
        # More than there are tokens is wasteful, but what a table has that was trimmed since.
        if not is_whole(rank, 1, self.dim):
            raise KzooError(
                f"Got the rank {rank!r:.40} for a table of {self.rows} tokens by {self.dim}; "
                f"expected a whole number from 1 to {self.dim}, its width."
            )
        self.columns = rank
        self.expand = Dense(self.dim, spec, "expand", bias=False)

    @property
    def factors(self):
        """What vectors (..., dim) are multiplied by, each transposed, to score the tokens."""
        return [self.expand.kernel, self.embeddings]

    def vectors(self, ids):
        """Ids (...) to vectors (..., dim)."""
        return self.expand(super().vectors(ids))


class TargetVector(NotByKeras, layers.Layer):
    """One trained vector for whatever stands at a target, which isn't told (XLNet's `mask_emb`).

    Called on vectors (batch, length, dim) it gives it, (1, 1, dim).
    """

    def __init__(self, spec, name):
        super().__init__(name=name)
        self.spec = spec

    def build(self, shape):
        """Make the vector (dim,)."""
        self.vector = self.add_weight(
            shape=(shape[-1],), initializer=normal(self.spec), name="vector"
        )

    def call(self, x):
        """The vector, as x is."""
        return ops.reshape(ops.cast(ops.convert_to_tensor(self.vector), x.dtype), (1, 1, -1))


@part("embedding", "ngram")
class NgramEmbedding(TokenEmbedding):
    """Tokens whose narrow vectors stand beside their neighbours', brought to their width by a map.

    MobileBERT, arXiv:2004.02984, section 3.1: trigrams. What stands beside the first and the last
    place is zeros; beside a text's last token in a padded row it is the padding token's vector, as
    the weights were trained.

    Args:
        spec: the spec of the stack.
        token_dim: how wide the vectors of tokens are.
        size: how many stand side by side, an odd number.
        vocabulary_size, num_segments, padding_id, dim, logit_scale: as for "token"; segments and
            places are added behind the map.
    """

    step_signature = None  # A place is made of the one behind it too.

    def __init__(
        self,
        spec,
        name,
        token_dim=None,
        size=3,
        vocabulary_size=None,
        num_segments=0,
        padding_id=0,
        dim=0,
        logit_scale=1.0,
    ):
        super().__init__(spec, name, vocabulary_size, num_segments, padding_id, dim, logit_scale)
        if not is_whole(token_dim, 1, LARGEST):
            raise KzooError(f"Got token_dim = {token_dim!r:.40}; expected a whole number above 0.")
        if not is_whole(size, 1) or size % 2 == 0:
            raise KzooError(f"Got size = {size!r:.40} for n-grams; expected an odd number.")
        self.columns, self.size = token_dim, size
        self.transform = Dense(self.dim, spec, "transform")

    def call(self, inputs, training=None):
        """The inputs to vectors (batch, length, dim)."""
        ids, side, last = inputs["token_ids"], self.size // 2, self.size - 1
        # Ids are moved and not vectors: a delegate that takes slices of floats as a part of its own
        # cuts them at the length that it was made for.
        wide, present = (ops.pad(x, ((0, 0), (side, side))) for x in (ids, 0 * ids + 1))
        parts = []
        for at in range(last, -1, -1):
            moved, kept = (x[:, at : (at - last) or None] for x in (wide, present))
            vectors = super().call({"token_ids": moved}, training=training)
            if at != side:
                kept = ops.cast(kept, vectors.dtype)
                vectors = vectors * ops.reshape(kept, (ops.shape(ids)[0], -1, 1))
            parts.append(vectors)
        return self.transform(ops.concatenate(parts, axis=-1) if last else parts[0])


@part("embedding", "vectors")
class Vectors(Embedding):
    """Vectors as they come, such as those of a table that two towers share: nothing to learn."""

    layer_name = input_name = "vectors"

    def __init__(self, spec, name):
        super().__init__(name=name)
        self.dim = spec.hidden_dim

    @property
    def signature(self):
        """What a stack on this embedding reads, by name."""
        places = ("batch", "length")
        return {"vectors": Input((*places, self.dim), "float32"), "padding_mask": Input(places)}

    @property
    def step_signature(self):
        """What it reads of further places."""
        return {"vectors": self.signature["vectors"]}

    def padding_mask(self, inputs):
        """The mask among the inputs."""
        return inputs["padding_mask"]

    def length(self, inputs):
        """That of the padding mask, as for tokens."""
        return ops.shape(inputs["padding_mask"])[1]

    def call(self, inputs, training=None):
        """The vectors among the inputs, (batch, length, dim)."""
        return ops.cast(inputs["vectors"], self.compute_dtype)


@part("embedding", "queries")
class QueryEmbedding(Embedding):
    """Trained vectors that ask of a memory, each for one thing in it (DETR, arXiv:2005.12872).

    What goes into the first block is zeros; the vectors are where each query stands, and "placed"
    attention adds them in every block.

    Args:
        spec: the spec of the stack.
        count: how many queries there are.
    """

    layer_name, input_name = "query_embedding", "memory"
    signature = {}

    def __init__(self, spec, name, count=100):
        super().__init__(name=name)
        if not is_whole(count, 1, LARGEST):
            raise KzooError(f"Got count = {count!r:.40} for queries; expected 1 or more.")
        self.count, self.dim = count, spec.hidden_dim

    def build(self, _shape=None):
        """Make the vectors (count, dim)."""
        # As wide as layer normalisation leaves a vector.
        self.embeddings = self.add_weight(
            shape=(self.count, self.dim), initializer=RandomNormal(stddev=1.0), name="embeddings"
        )

    def length(self, inputs):
        """How many queries there are."""
        return self.count

    def vectors(self):
        """Where the queries stand, (1, count, dim)."""
        return ops.expand_dims(ops.convert_to_tensor(self.embeddings), 0)

    def call(self, inputs, training=None):
        """{"memory": (batch, ..)} to zeros (batch, count, dim)."""
        shape = (ops.shape(inputs["memory"])[0], self.count, self.dim)
        return ops.broadcast_to(ops.zeros((1, self.count, self.dim), self.compute_dtype), shape)
