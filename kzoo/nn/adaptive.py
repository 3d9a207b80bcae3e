"""Tokens in clusters by how common they are: vectors and scores that cost rare ones less."""

import itertools
import math

import keras
from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, part
from ..spec import LARGEST, Input
from ..values import is_whole
from .dense import Dense, NotByKeras
from .embedding import Embedding, Table
from .lowering import apart


def clusters(size, cutoffs):
    """The first token of each cluster and the one behind its last.

    Raises:
        KzooError: for cutoffs that aren't numbers of tokens in ascending order.
    """
    listed = isinstance(cutoffs, (list, tuple)) and all(is_whole(c, 1, LARGEST) for c in cutoffs)
    if not listed or list(cutoffs) != sorted(set(cutoffs)):
        raise KzooError(
            f"Got cutoffs = {cutoffs!r:.60}; expected numbers of tokens that ascend, such as "
            "[20000, 40000, 200000]."
        )
    if cutoffs and cutoffs[-1] >= size:
        raise KzooError(
            f"Got cutoffs = {cutoffs!r:.60} for a vocabulary of {size} tokens; expected each to "
            "lie below that: leave out those that don't."
        )
    return list(itertools.pairwise([0, *cutoffs, size]))


@part("embedding", "adaptive")
class AdaptiveEmbedding(Embedding):
    """Vectors of a cluster's own width, the narrower the rarer it is, mapped to the model's.

    arXiv:1809.10853, as arXiv:1901.02860 takes it: the ids count from the most common token, and
    vectors are multiplied by sqrt(hidden_dim).

    Args:
        spec: the spec of the stack.
        vocabulary_size: how many tokens there are.
        cutoffs: the first token of each cluster but the first.
        dim: how wide the vectors of the first cluster are; 0 for as wide as the model.
        div_val: by what each next cluster's are narrower; with 1 one table has them all, which is
            mapped only where it isn't as wide as the model.
        padding_id: the token that fills rows up, which learns as any other.
    """

    layer_name, input_name = "token_embedding", "token_ids"

    def __init__(
        self, spec, name, vocabulary_size=None, cutoffs=(), dim=0, div_val=1, padding_id=0
    ):  # fmt: skip
        whole = {
            "vocabulary_size": (vocabulary_size, 1), "dim": (dim, 0), "div_val": (div_val, 1),
            "padding_id": (padding_id, 0),
        }  # fmt: skip
        for option, (value, least) in whole.items():
            if not is_whole(value, least, LARGEST):
                raise KzooError(
                    f"{option} is {value!r:.40}; a whole number of at least {least} is expected."
                )
        super().__init__(name=name)
        self.vocabulary_size, self.padding_id = vocabulary_size, padding_id
        self.dim, self.scale = spec.hidden_dim, math.sqrt(spec.hidden_dim)
        self.parts = clusters(vocabulary_size, cutoffs)
        self.places = [(0, vocabulary_size)] if div_val == 1 else self.parts
        widths = [(dim or spec.hidden_dim) // div_val**i for i in range(len(self.places))]
        if not widths[-1]:
            raise KzooError(
                f"Got div_val = {div_val} for vectors of {widths[0]} numbers in {len(widths)} "
                "clusters; expected a lesser one, which leaves the last of them a number."
            )
        self.tables = [
            Table(end - start, width, spec, f"cluster_{i}")
            for i, ((start, end), width) in enumerate(zip(self.places, widths, strict=True))
        ]
        is_mapped = div_val > 1 or widths[0] != spec.hidden_dim
        self.projections = [
            Dense(spec.hidden_dim, spec, f"projection_{i}", bias=False)
            for i in range(len(widths) if is_mapped else 0)
        ]

    @property
    def signature(self):
        """What a stack on this embedding reads, by name."""
        places = ("batch", "length")
        return {
            "token_ids": Input(places, below=self.vocabulary_size),
            "padding_mask": Input(places),
        }

    @property
    def step_signature(self):
        """What it reads of further tokens."""
        return {"token_ids": self.signature["token_ids"]}

    def padding_mask(self, inputs):
        """The mask among the inputs."""
        return inputs["padding_mask"]

    def length(self, inputs):
        """How many tokens each row has."""
        return ops.shape(inputs["token_ids"])[1]

    def build(self, _shape=None):
        """Make nothing: tables and maps make their own."""

    def call(self, inputs, training=None):
        """The inputs to vectors (batch, length, hidden_dim)."""
        ids, vectors = inputs["token_ids"], 0.0
        for i, ((start, end), table) in enumerate(zip(self.places, self.tables, strict=True)):
            x = table(ops.clip(ids, start, end - 1) - start)
            x = self.projections[i](x) if self.projections else x
            if len(self.places) > 1:
                inside = ops.cast((ids >= start) & (ids < end), x.dtype)
                x = x * ops.expand_dims(inside, -1)
            vectors = x + vectors
        return vectors * self.scale

    @property
    def factors(self):
        """What scores tokens: the tables, and behind them the maps to the model's width."""
        tables = [table.embeddings for table in self.tables]
        return [*tables, *(each.kernel for each in self.projections)]


@part("head", "adaptive_softmax")
class AdaptiveSoftmax(NotByKeras, layers.Layer):
    """The next token's log-probabilities, by cluster (arXiv:1609.04309).

    The first cluster's tokens stand beside a score for each other cluster; a token there has the
    probability of its cluster by that within it. Scores are against the vectors of the embedding,
    which is "adaptive", and of all clusters but the first through its maps as well.

    Args:
        spec: the backbone's spec.
        units: how many tokens the embedding has.
    """

    needs_pooler, tied, places = False, True, None

    def __init__(self, spec, units, name="head"):
        super().__init__(name=name)
        held = completed("embedding", spec.embedding)
        if held["kind"] != "adaptive" or units != held["vocabulary_size"]:
            raise KzooError(
                f"Got an adaptive_softmax head of {units} tokens on {held['kind']} embeddings; "
                "expected adaptive ones, of as many."
            )
        self.spec, self.units = spec, units
        self.parts = clusters(units, held["cutoffs"])
        self.is_whole = held["div_val"] == 1  # Whether one table has all tokens.
        width = held["dim"] or spec.hidden_dim
        is_mapped = not self.is_whole or width != spec.hidden_dim
        self.projection = Dense(width, spec, "projection", bias=False) if is_mapped else None
        self.cluster = Dense(len(self.parts) - 1, spec, "cluster") if len(self.parts) > 1 else None

    def build(self, *_shapes):
        """Make the bias of each token, of a table each."""
        sizes = [self.units] if self.is_whole else [end - start for start, end in self.parts]
        self.biases = [
            self.add_weight(shape=(size,), initializer="zeros", name=f"bias_{i}")
            for i, size in enumerate(sizes)
        ]

    def call(self, outputs, padding_mask, table=None, training=None):
        """Outputs of the backbone and `factors` to {"logits": (batch, length, units)}."""
        x = outputs["sequence_output"]
        flat = ops.reshape(x, (-1, x.shape[-1]))
        first, others = self.first(flat, table)
        parts = [first]
        for i in range(1, len(self.parts)):
            within = _log_softmax(self.within(i, flat, table))
            parts.append(others[:, i - 1 : i] + within)
        logits = ops.concatenate(parts, axis=-1) if len(parts) > 1 else first
        return {"logits": ops.reshape(logits, (ops.shape(x)[0], -1, self.units))}

    def target_scores(self, x, targets, table):
        """The log-probability of one token a place; no other is computed than it needs.

        Args:
            x: (batch, length, hidden_dim).
            targets: token ids (batch, length).
            table: the embedding's `factors`.

        Returns:
            (batch, length) float32. On TensorFlow a cluster is scored at the places whose token is
            in it; on JAX, whose shapes stand still, at all, a cluster after the other.
        """
        flat, ids = ops.reshape(x, (-1, x.shape[-1])), ops.reshape(targets, (-1,))
        first, others = self.first(flat, table)
        end = self.parts[0][1]
        scores = _picked(first, ops.minimum(ids, end - 1))
        for i, (start, end) in enumerate(self.parts[1:], 1):
            inside = (ids >= start) & (ids < end)
            if keras.backend.backend() == "tensorflow":
                (rows,) = ops.nonzero(inside)
                here, token = ops.take(flat, rows, axis=0), ops.take(ids, rows) - start
                cluster = ops.take(others[:, i - 1], rows)
            else:
                here, token = flat, ops.clip(ids, start, end - 1) - start
                cluster = others[:, i - 1]
            within = _log_softmax(self.within(i, here, table))
            found = cluster + _picked(within, token)
            if keras.backend.backend() == "tensorflow":
                places = ops.expand_dims(rows, -1)
                found = ops.scatter(places, found, ops.shape(ids))
            scores = ops.where(inside, found, scores)
        return ops.reshape(scores, ops.shape(targets))

    def first(self, x, table):
        """Log-probabilities of the first cluster's tokens, and of the other clusters."""
        size = self.parts[0][1]
        y = x if self.projection is None else self.projection(x)
        scores = self.products(y, table[0][:size], self.biases[0][:size])
        if self.cluster is None:
            return _log_softmax(ops.cast(scores, "float32")), None
        both = ops.concatenate([scores, self.cluster(y)], axis=-1)
        both = _log_softmax(ops.cast(both, "float32"))
        return both[:, :size], both[:, size:]

    def within(self, i, x, table):
        """Scores of the tokens of another cluster (n, tokens), float32."""
        start, end = self.parts[i]
        if self.is_whole:
            rows, bias, maps = table[0][start:end], self.biases[0][start:end], table[1:]
        else:
            rows, bias, maps = table[i], self.biases[i], table[len(self.parts) + i :]
        y = ops.matmul(x, ops.transpose(maps[0])) if maps else x
        return ops.cast(self.products(y, rows, bias), "float32")

    @staticmethod
    def products(x, rows, bias):
        """Scores of tokens: vectors (n, dim) by theirs (tokens, dim), with what each has beside."""
        return ops.matmul(x, ops.transpose(rows)) + ops.cast(bias, x.dtype)


def _picked(scores, ids):
    """One number of each row of scores (n, units)."""
    return ops.squeeze(ops.take_along_axis(scores, ops.expand_dims(ids, -1), axis=-1), -1)


def _log_softmax(x):
    """Scores (n, units) as log-probabilities; in a file not by LOG_SOFTMAX, which XNNPACK lacks."""
    x = x - ops.stop_gradient(ops.max(x, axis=-1, keepdims=True))
    return x - ops.log(apart(ops.sum(ops.exp(x), axis=-1, keepdims=True)))
