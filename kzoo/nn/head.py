"""What a task puts on a backbone: a pooling of places, and the map to its outputs."""

from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, make, option, part
from ..values import is_number, is_whole
from . import dense
from .composed import Composed
from .dropout import Dropout
from .lowering import apart, lookup
from .norm import LayerNorm
from .pooler import first_place

# A pooling takes the outputs of the backbone and the padding mask; `skip` leaves out as many
# places at the start, where a prompt stands that is not to be pooled. `width` is how many vectors
# of the backbone's width it gives, `places` how many of the first places it reads of
# `sequence_output`, or None for any of them; those that it skips come before these.


def tokens_before(spec):
    """How many tokens of a stack stand before what it was given: those of a picture's squares."""
    return len(completed("embedding", spec.embedding).get("tokens", ()))


@part("pooling", "pooled")
class Pooled:
    """The backbone's own pooler, which reads the first place: nothing can be left out."""

    needs_pooler, width, places = True, 1, 0

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        return outputs["pooled_output"]


@part("pooling", "first")
class First:
    """The first token's vector."""

    needs_pooler, width, places = False, 1, 1

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        x = outputs["sequence_output"]
        if not skip:
            return first_place(x)
        # A sum, because the tokens that a model is built with may be fewer than it skips.
        return ops.sum(x[:, skip : skip + 1], axis=1)


@part("pooling", "first_two")
class FirstTwo:
    """The mean of the first two places, where trained tokens stand (AST, arXiv:2104.01778)."""

    needs_pooler, width, places = False, 1, 2

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        return ops.mean(outputs["sequence_output"][:, skip : skip + 2], axis=1)


@part("pooling", "last")
class Last:
    """The last place that is not padding, whichever side that is on (GPT-2)."""

    needs_pooler, width, places = False, 1, None

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        x = outputs["sequence_output"]
        kept = _mask(x, padding_mask)
        mask = ops.cast(kept, "float32")
        # Arithmetic alone, which every accelerator has: 1 at the largest place, 0 elsewhere.
        places = mask * ops.cast(ops.arange(1, ops.shape(kept)[1] + 1), "float32")
        gap = ops.max(places, axis=1, keepdims=True) - places
        return ops.sum(x * _column(ops.relu(1.0 - gap), x.dtype), axis=1)


@part("pooling", "mean")
class Mean:
    """The mean over the places that are not padding (Sentence-BERT, arXiv:1908.10084).

    Args:
        skip: how many places at the start are left out, such as the tokens before a picture's
            squares.
    """

    needs_pooler, width, places = False, 1, None

    def __init__(self, skip=0):
        self.skip = skip

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        total, count = _sums(outputs, padding_mask, self.skip + skip)
        return total / count


@part("pooling", "mean_sqrt_len")
class MeanSqrtLen:
    """The sum over the places that are not padding, by the root of their number.

    Sentence-BERT's `mean_sqrt_len_tokens`, from the Universal Sentence Encoder, arXiv:1803.11175.
    """

    needs_pooler, width, places = False, 1, None

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        total, count = _sums(outputs, padding_mask, skip)
        return total / ops.sqrt(count)


@part("pooling", "max")
class Max:
    """The largest value of each channel over the places that are not padding."""

    needs_pooler, width, places = False, 1, None

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim)."""
        x = _from(outputs["sequence_output"], skip)
        mask = _from(_mask(outputs["sequence_output"], padding_mask), skip)
        return ops.max(x + (_column(mask, x.dtype) - 1.0) * 1e4, axis=1)


@part("pooling", "concat")
class Concat:
    """Several poolings, one after the other.

    Args:
        of: their slots.
    """

    def __init__(self, of):
        if not isinstance(of, (list, tuple)) or not of:
            raise KzooError(f"Got of = {of!r:.60} for a pooling; expected a list of poolings.")
        self.pools = [make("pooling", slot) for slot in of]
        self.needs_pooler = any(pool.needs_pooler for pool in self.pools)
        self.width = sum(pool.width for pool in self.pools)
        places = [pool.places for pool in self.pools]
        self.places = None if None in places else max(places)

    def __call__(self, outputs, padding_mask, skip=0):
        """Outputs of the backbone to (batch, hidden_dim * width)."""
        return ops.concatenate([pool(outputs, padding_mask, skip) for pool in self.pools], axis=-1)


def _sums(outputs, padding_mask, skip):
    """The sum of the places that count, (batch, hidden_dim), and their number, (batch, 1)."""
    x = _from(outputs["sequence_output"], skip)
    mask = _column(_from(_mask(outputs["sequence_output"], padding_mask), skip), x.dtype)
    return ops.sum(x * mask, axis=1), ops.maximum(ops.sum(mask, axis=1), 1e-9)


def _mask(x, padding_mask):
    """The padding mask; ones for vectors (batch, length, dim) of which none is padding."""
    return ops.ones((1, x.shape[1]), "int32") if padding_mask is None else padding_mask


def _from(x, skip):
    """The places from one on; a slice only where it leaves something out."""
    return x[:, skip:] if skip else x


def _column(padding_mask, dtype):
    """(batch, length) to (batch, length, 1); a reshape, because slices cost a device more."""
    return ops.reshape(ops.cast(padding_mask, dtype), (ops.shape(padding_mask)[0], -1, 1))


@part("projection", "dense")
class Projection(dense.Dense):
    """A dense layer on a pooled vector (sentence-transformers' Dense).

    Args:
        spec: the backbone's spec.
        units: the width of the vectors that come out.
        activation: its name, or None.
        bias: whether there is one.
    """

    def __init__(self, spec, units, activation="tanh", bias=True, name="projection"):
        if not is_whole(units, 1, 2**20):
            raise KzooError(f"Got units = {units!r:.40} for a projection; expected 1 or more.")
        super().__init__(units, spec, name, bias)
        self.activation = dense.activation(activation) if activation else None

    def call(self, x):
        """(batch, in) to (batch, units)."""
        y = super().call(x)
        return self.activation(y) if self.activation else y


def checked_rate(rate):
    """The dropout of a head, or KzooError for what is none."""
    if not is_number(rate, 0) or rate >= 1:
        raise KzooError(
            f"dropout of the head is {rate!r:.40}; a number from 0 to below 1 is expected."
        )
    return rate


class Head(Composed):
    """Base of heads: dropout of its own rate, or the spec's."""

    needs_pooler = False
    tied = None  # of one that scores tokens, whether against the token embeddings themselves
    places = None  # how many of the first places it reads of `sequence_output`; None for any

    def __init__(self, spec, units, dropout=None, bias=True, name="head"):
        super().__init__(name=name)
        self.spec = spec
        self.dropout = Dropout(checked_rate(spec.dropout if dropout is None else dropout))
        self.logits = dense.Dense(units, spec, "logits", bias)


class SequenceHead(Head):
    """Pool, then if asked a hidden layer of the same width, then logits."""

    pooling = None

    def __init__(self, spec, units, activation=None, dropout=None, bias=True, name="head"):
        super().__init__(spec, units, dropout, bias, name)
        self.pool = make("pooling", self.pooling)
        self.needs_pooler, self.places = self.pool.needs_pooler, self.pool.places
        self.hidden = dense.Dense(spec.hidden_dim, spec, "hidden") if activation else None
        self.activation = dense.activation(activation) if activation else None

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"logits": (batch, units)}."""
        x = self.dropout(self.pool(outputs, padding_mask), training=training)
        if self.hidden is not None:
            x = self.dropout(self.activation(self.hidden(x)), training=training)
        return {"logits": self.logits(x)}


@part("head", "pooled")
class PooledHead(SequenceHead):
    """Logits from the backbone's pooler (BERT, ALBERT)."""

    pooling = "pooled"


@part("head", "first")
class FirstHead(SequenceHead):
    """Logits from the first token (RoBERTa and DistilBERT, with a hidden layer)."""

    pooling = "first"


@part("head", "distilled")
class DistilledHead(Composed):
    """Logits from the class token and from the distillation token behind it (DeiT).

    Their mean is the answer; what a teacher says is learnt by those of the distillation token
    alone, arXiv:2012.12877, section 4.

    Args:
        spec: the backbone's spec.
        units: how many logits there are.
    """

    needs_pooler, tied, places = False, None, 2

    def __init__(self, spec, units, name="head"):
        super().__init__(name=name)
        if "distillation" not in completed("embedding", spec.embedding).get("tokens", ()):
            raise KzooError(
                "Got a distilled head for a model without a distillation token: take 'first'."
            )
        self.class_logits = dense.Dense(units, spec, "class_logits")
        self.distillation_logits = dense.Dense(units, spec, "distillation_logits")

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to logits, class_logits, distillation_logits (batch, units)."""
        x = outputs["sequence_output"]
        logits = {
            "class_logits": self.class_logits(first_place(x)),
            "distillation_logits": self.distillation_logits(first_place(x[:, 1:2])),
        }
        return {"logits": sum(logits.values()) / 2, **logits}


@part("head", "first_two")
class FirstTwoHead(SequenceHead):
    """Logits from the first two places, normalised anew (AST)."""

    pooling = "first_two"

    def __init__(self, spec, units, dropout=None, bias=True, name="head"):
        super().__init__(spec, units, None, dropout, bias, name)
        self.norm = make("norm", spec.norm, name="norm")

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"logits": (batch, units)}."""
        x = self.norm(self.pool(outputs, padding_mask))
        return {"logits": self.logits(self.dropout(x, training=training))}


@part("head", "last")
class LastHead(SequenceHead):
    """Logits from the last token (GPT-2, with neither bias nor dropout)."""

    pooling = "last"


@part("head", "mean")
class MeanHead(SequenceHead):
    """Logits from the mean over places; of a picture over its squares."""

    pooling = "mean"

    def __init__(self, spec, units, activation=None, dropout=None, bias=True, name="head"):
        super().__init__(spec, units, activation, dropout, bias, name)
        self.pool = make("pooling", {"kind": "mean", "skip": tokens_before(spec)})


@part("head", "token")
class TokenHead(Head):
    """Logits for every place."""

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"logits": (batch, length, units)}."""
        return {"logits": self.logits(self.dropout(outputs["sequence_output"], training=training))}


@part("head", "late_interaction")
class LateInteractionHead(Composed):
    """A vector of length one for every place (ColBERT, arXiv:2004.12832).

    Args:
        spec: the backbone's spec.
        units: how many numbers a vector has.
    """

    needs_pooler, tied, places = False, None, None

    def __init__(self, spec, units, name="head"):
        super().__init__(name=name)
        self.linear = dense.Dense(units, spec, "linear", bias=False)

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"vectors": (batch, length, units)}."""
        vectors = self.linear(outputs["sequence_output"])
        return {"vectors": ops.normalize(vectors, axis=-1, epsilon=1e-12)}


@part("head", "replaced")
class ReplacedHead(Composed):
    """A score for every place of whether its token was replaced (ELECTRA, arXiv:2003.10555).

    Args:
        spec: the backbone's spec.
        units: one score a place.
        activation: that of the hidden layer, by name.
    """

    needs_pooler, tied, places = False, None, None

    def __init__(self, spec, units=1, activation="gelu", name="head"):
        super().__init__(name=name)
        self.hidden = dense.Dense(spec.hidden_dim, spec, "hidden")
        self.activation = dense.activation(activation)
        self.logits = dense.Dense(units, spec, "logits")

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"logits": (batch, length)}, above 0 for a replaced token."""
        x = self.logits(self.activation(self.hidden(outputs["sequence_output"])))
        return {"logits": ops.reshape(x, (ops.shape(x)[0], -1))}


@part("head", "near")
class NearHead(layers.Layer):
    """How well each token goes near that of a place: products with a table of its own (skip-gram).

    arXiv:1310.4546, section 2: every word has a vector, and another for where it stands near.

    Args:
        spec: the backbone's spec.
        units: how many tokens there are.
    """

    needs_pooler, tied, places = False, None, None

    def __init__(self, spec, units, name="head"):
        super().__init__(name=name)
        self.spec, self.units = spec, units

    def build(self, outputs_shape=None, padding_mask_shape=None):
        """Make the table (units, hidden_dim)."""
        shape = (self.units, self.spec.hidden_dim)
        # Cast after the look-up, as an embedding's.
        self.near = self.add_weight(
            shape=shape, initializer=dense.normal(self.spec), name="near", autocast=False
        )

    def rows(self, ids):
        """Ids (...) to their vectors (..., hidden_dim)."""
        return ops.cast(lookup(self.near, ids), self.compute_dtype)

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"logits": (batch, length, units)}."""
        x = outputs["sequence_output"]
        flat = apart(ops.reshape(x, (-1, x.shape[-1])))
        scores = ops.matmul(flat, ops.transpose(ops.cast(self.near, self.compute_dtype)))
        return {"logits": ops.reshape(apart(scores), (ops.shape(x)[0], -1, self.units))}


@part("head", "span")
class SpanHead(Head):
    """A start and an end score for every place (SQuAD, arXiv:1810.04805)."""

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to start_logits and end_logits, each (batch, length)."""
        x = self.scores(outputs["sequence_output"], training)
        shape = (ops.shape(x)[0], -1)
        return {
            "start_logits": ops.reshape(x[:, :, :1], shape),
            "end_logits": ops.reshape(x[:, :, 1:], shape),
        }

    def scores(self, x, training=None):
        """Vectors (batch, length, hidden_dim) to the scores of each place, (batch, length, 2)."""
        return self.logits(self.dropout(x, training=training))


@part("head", "deep_span")
class DeepSpanHead(SpanHead):
    """A start and an end score for every place, behind one more feed-forward net (BigBird)."""

    def __init__(self, spec, units, activation="gelu", dropout=None, bias=True, name="head"):
        super().__init__(spec, units, dropout, bias, name)
        self.up = dense.Dense(spec.intermediate_dim, spec, "up")
        self.activation = dense.activation(activation)
        self.down = dense.Dense(spec.hidden_dim, spec, "down")
        self.norm = make("norm", spec.norm, name="norm")

    def scores(self, x, training=None):
        """See `SpanHead`."""
        y = self.down(self.activation(self.up(self.dropout(x, training=training))))
        return self.logits(self.norm(x + self.dropout(y, training=training)))


class TiedHead(layers.Layer):
    """Scores of every token against the token embeddings themselves.

    Args:
        spec: the backbone's spec.
        units: how many tokens the table has.
    """

    needs_pooler, tied, places = False, True, None

    def __init__(self, spec, units, name="head"):
        super().__init__(name=name)
        vocabulary_size = option(spec, "embedding", "vocabulary_size")
        if units != vocabulary_size:
            raise KzooError(f"A head on {vocabulary_size} tokens scores as many; units is {units}.")
        self.units = units
        self.width = option(spec, "embedding", "dim") or spec.hidden_dim
        self.scale = option(spec, "embedding", "logit_scale")

    def products(self, x, table):
        """(batch, length, width) and the table (units, width) to (batch, length, units).

        The table is a list of the factors that it is of: itself, or the map (rank, width) behind
        a narrow one and that, (units, rank).
        """
        flat = ops.reshape(x, (-1, x.shape[-1]))
        for factor in table:
            flat = ops.matmul(apart(flat), ops.transpose(factor))
        flat = apart(flat) if self.bias is not None or self.scale != 1 else flat
        flat = flat if self.bias is None else flat + self.bias
        flat = flat if self.scale == 1 else flat * self.scale
        return ops.reshape(flat, (ops.shape(x)[0], -1, self.units))


@part("head", "tied_lm")
class TiedLMHead(TiedHead):
    """The next token's scores (GPT).

    Args:
        spec, units: as for `TiedHead`.
        bias: whether each token has one.
    """

    def __init__(self, spec, units, bias=False, name="head"):
        super().__init__(spec, units, name)
        if self.width != spec.hidden_dim:
            raise KzooError(
                f"A tied_lm head needs tokens as wide as the model, {spec.hidden_dim}; they are "
                f"{self.width}: leave out the embedding's dim."
            )
        self.has_bias = bias

    def build(self, outputs_shape=None, padding_mask_shape=None, table_shape=None):
        """Make the bias (units,), where there is one."""
        self.bias = (
            self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
            if self.has_bias
            else None
        )

    def call(self, outputs, padding_mask, table=None, training=None):
        """Outputs of the backbone and its token table to {"logits": (batch, length, units)}."""
        return {"logits": self.products(outputs["sequence_output"], table)}


@part("head", "lm")
class LMHead(layers.Layer):
    """The next token's scores by a map of their own (T5 1.1).

    Args:
        spec: the backbone's spec.
        units: how many tokens there are.
        bias: whether each token has one.
    """

    needs_pooler, tied, places = False, False, None

    def __init__(self, spec, units, bias=False, name="head"):
        super().__init__(name=name)
        self.scale = option(spec, "embedding", "logit_scale")
        self.logits = dense.Dense(units, spec, "logits", bias)

    def call(self, outputs, padding_mask, table=None, training=None):
        """Outputs of the backbone to {"logits": (batch, length, units)}."""
        logits = self.logits(outputs["sequence_output"])
        return {"logits": logits if self.scale == 1 else logits * self.scale}


@part("head", "masked_lm")
class MaskedLMHead(TiedHead):
    """Transform, then scores against the token embeddings themselves, plus a bias.

    Args:
        spec, units: as for `TiedHead`.
        activation: the transform's, by name.
        epsilon: of the norm behind it, where that isn't the spec's (KerasHub).
    """

    def __init__(self, spec, units, activation="gelu", epsilon=None, name="head"):
        super().__init__(spec, units, name)
        self.transform = dense.Dense(self.width, spec, "transform")
        self.activation = dense.activation(activation)
        own = {} if epsilon is None else {"epsilon": epsilon}
        self.norm = make("norm", completed("norm", spec.norm) | own, name="norm")

    def build(self, outputs_shape=None, padding_mask_shape=None, table_shape=None):
        """Make the bias (units,)."""
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, outputs, padding_mask, table=None, training=None):
        """Outputs of the backbone and its token table to {"logits": (batch, length, units)}."""
        x = self.norm(self.activation(self.transform(outputs["sequence_output"])))
        return {"logits": self.products(x, table)}


@part("head", "pretraining")
class PreTrainingHead(MaskedLMHead):
    """A masked LM head, and two scores of a pair of texts from the pooler (BERT, ALBERT).

    Args:
        spec, units, activation, epsilon: as for `MaskedLMHead`.
        dropout: on what the pooler gives (ALBERT).
    """

    needs_pooler = True

    def __init__(self, spec, units, activation="gelu", epsilon=None, dropout=0.0, name="head"):
        super().__init__(spec, units, activation, epsilon, name)
        self.dropout = Dropout(checked_rate(dropout))
        self.pair_logits = dense.Dense(2, spec, "pair_logits")

    def call(self, outputs, padding_mask, table=None, training=None):
        """Outputs of the backbone and its token table to logits and pair_logits, (batch, 2)."""
        scores = super().call(outputs, padding_mask, table, training)
        pooled = self.dropout(outputs["pooled_output"], training=training)
        return {**scores, "pair_logits": self.pair_logits(pooled)}


class Widened(MaskedLMHead):
    """Base of masked LM heads whose scores are against the tokens' narrow vectors and more.

    The first numbers of a place meet the token embeddings themselves, the others a table of the
    head's own (MobileBERT). The norm is a layer_norm, whatever the spec's is.

    Args:
        spec, units, activation: as for `MaskedLMHead`.
        epsilon: of the norm; the spec's, or 1e-12 where it has none.
    """

    def __init__(self, spec, units, activation="gelu", epsilon=None, name="head"):
        TiedHead.__init__(self, spec, units, name)
        self.transform = dense.Dense(self.width, spec, "transform")
        self.activation = dense.activation(activation)
        usual = completed("norm", spec.norm).get("epsilon", 1e-12)
        self.norm = LayerNorm(usual if epsilon is None else epsilon, name="norm")
        self.narrow = completed("embedding", spec.embedding).get("token_dim", self.width)
        if self.narrow >= self.width:
            raise KzooError(
                f"Got a widened head for token vectors of {self.narrow} in a model of {self.width};"
                " expected vectors narrower than the model: take a masked_lm head."
            )
        self.others = dense.Dense(units, spec, "others", bias=False)

    def products(self, x, table):
        """See `TiedHead`."""
        narrow, others = x[:, :, : self.narrow], x[:, :, self.narrow :]
        others = self.others(others)
        others = others if self.scale == 1 else others * self.scale
        return super().products(narrow, table) + others


@part("head", "widened_masked_lm")
class WidenedMaskedLMHead(Widened):
    """A masked LM head with a table of its own beside the token embeddings."""


@part("head", "widened_pretraining")
class WidenedPreTrainingHead(Widened):
    """The same, and two scores of a pair of texts from the pooler."""

    needs_pooler = True

    def __init__(self, spec, units, activation="gelu", epsilon=None, name="head"):
        super().__init__(spec, units, activation, epsilon, name)
        self.pair_logits = dense.Dense(2, spec, "pair_logits")

    def call(self, outputs, padding_mask, table=None, training=None):
        """Outputs of the backbone and its token table to logits and pair_logits, (batch, 2)."""
        scores = super().call(outputs, padding_mask, table, training)
        return {**scores, "pair_logits": self.pair_logits(outputs["pooled_output"])}
