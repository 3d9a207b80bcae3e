"""One vector a text, near for texts that mean the same: Sentence-BERT, arXiv:1908.10084."""

import keras
import numpy as np
from keras import layers, ops

from ..errors import KzooError
from ..parts import make
from .task import TextTask, split_pairs


@keras.saving.register_keras_serializable("kzoo")
class Embedding(layers.Layer):
    """Pool the places, and scale to length one if asked."""

    def __init__(self, pooling, normalize, name="head"):
        super().__init__(name=name)
        self.pool = make("pooling", pooling)
        self.needs_pooler = True
        self.normalize = normalize

    def call(self, outputs, padding_mask, training=None):
        """Outputs of the backbone to {"embedding": (batch, hidden_dim)}."""
        x = self.pool(outputs, padding_mask)
        return {"embedding": ops.normalize(x, axis=-1, epsilon=1e-12) if self.normalize else x}


@keras.saving.register_keras_serializable("kzoo")
class TextEmbedder(TextTask):
    """Texts to vectors.

    On the token dict it returns {"embedding": (batch, hidden_dim)}; `predict` gives an array of
    vectors. `fit` takes pairs of texts: with scores (-1 to 1) as targets it learns their cosines;
    without them, compiled with `loss=kzoo.InBatchLoss()`, to find each partner among those of the
    batch. A pretrained pooler that isn't read stays for the way back to its checkpoint; the
    embedder doesn't train it, and a task that is built on the embedder does if its head reads it.

    Args:
        backbone, max_length, tokenizer, name: as for `TextTask`.
        pooling: "mean", "first", "max" or "pooled"; mean by default.
        normalize: whether vectors have length one, as by default.
    """

    task_name = "TextEmbedder"
    targets = "optional"
    reads = "text"

    def __init__(
        self, backbone, pooling=None, normalize=None, max_length=None, tokenizer=None, name=None
    ):
        self.pooling, self.normalize = pooling, normalize
        super().__init__(backbone, None, pooling, max_length, tokenizer, name)

    def inherit(self, before):
        """Pool and scale as the embedder did that this one goes on from."""
        self.pooling = self.pooling or before.pooling
        self.normalize = before.normalize if self.normalize is None else self.normalize
        return self.pooling

    def fitted(self, backbone):
        """The backbone itself, with a pooler that isn't read."""
        return backbone

    @property
    def unread(self):
        """The pooler's weights, unless the pooling reads them."""
        return [] if self.pooling == "pooled" else self.backbone.pooler.weights

    def usual_head(self, backbone):
        """The mean over places."""
        return "mean"

    def make_head(self, backbone):
        """The pooling."""
        self.pooling = self.head_slot
        self.normalize = True if self.normalize is None else self.normalize
        return Embedding(self.pooling, self.normalize)

    def encode_examples(self, x):
        """Texts as rows; for `fit`, pairs as rows of two sequences."""
        first, second = split_pairs(x)
        if second is None:
            return self._columns(first)
        columns = [self._columns(side) for side in (first, second)]
        return {
            name: [list(rows) for rows in zip(*(c[name] for c in columns), strict=True)]
            for name in columns[0]
        }

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """A vector a text, (texts, hidden_dim); two a pair of texts, (pairs, 2, hidden_dim)."""
        x = self._inputs(x, text)
        first, second = split_pairs(x)
        vectors = super().predict([*first, *(second or ())], batch_size, verbose)
        return vectors if second is None else np.stack(np.split(vectors, 2), axis=1)

    def encode_targets(self, y, x=None):
        """Scores, as float32."""
        try:
            scores = np.asarray(y, "float32")
        except (TypeError, ValueError):
            raise KzooError(
                f"The scores of pairs are {y[0]!r} and so on; numbers from -1 to 1 are expected."
            ) from None
        if scores.ndim != 1 or not (np.abs(scores) <= 1).all():
            raise KzooError(
                f"Scores of pairs run from {scores.min()} to {scores.max()}; cosines, -1 to 1, are "
                "expected."
            )
        return scores

    def batches(self, x, y=None, sample_weight=None, **options):
        """Pairs with scores; without them, every text's target is its own partner."""
        if split_pairs(x)[1] is None:
            raise KzooError("fit and evaluate of a TextEmbedder take pairs of texts.")
        if y is None and isinstance(getattr(self, "loss", None), CosineLoss):
            raise KzooError(
                "The pairs came without scores, which CosineLoss learns: give them, or "
                "compile(loss=kzoo.InBatchLoss()), which learns to find each text's partner."
            )
        y = np.ones(len(x)) if y is None else y  # Targets that InBatchLoss doesn't read.
        return super().batches(x, y, sample_weight, **options)

    def default_loss(self):
        """Cosines against scores, arXiv:1908.10084 section 3.1."""
        return CosineLoss()

    def compile(self, optimizer=None, loss=None, metrics=None, **kwargs):
        """As for every task; beside `InBatchLoss` the share of partners that are found."""
        if metrics is None and isinstance(loss, InBatchLoss):
            kwargs.setdefault("weighted_metrics", [PartnerAccuracy()])
        super().compile(optimizer, loss, metrics, **kwargs)

    def default_metrics(self):
        """How far the cosines lie from the scores."""
        return [CosineError()]

    def scored(self, outputs):
        """The vectors (batch, 2, hidden_dim)."""
        return outputs["embedding"]

    def answer(self, outputs):
        """The vectors."""
        return outputs["embedding"]

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"], config["head"]
        return {**config, "pooling": self.pooling, "normalize": self.normalize}


@keras.saving.register_keras_serializable("kzoo")
class CosineLoss(keras.losses.Loss):
    """Squared error of the cosines of pairs (batch, 2, dim) against scores (batch,)."""

    def call(self, y_true, y_pred):
        """One loss a pair."""
        return ops.square(_cosine(y_pred[:, 0], y_pred[:, 1]) - ops.cast(y_true, y_pred.dtype))


@keras.saving.register_keras_serializable("kzoo")
class InBatchLoss(keras.losses.Loss):
    """Find each text's partner among the batch's (multiple negatives ranking, arXiv:1705.00652).

    Args:
        scale: what cosines are multiplied by before the softmax.
    """

    def __init__(self, scale=20.0, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        self.scale = scale

    def call(self, y_true, y_pred):
        """One loss a pair; targets are not read."""
        first, second = (ops.normalize(y_pred[:, i], axis=-1) for i in range(2))
        scores = self.scale * ops.matmul(first, ops.transpose(second))
        return ops.logsumexp(scores, axis=-1) - ops.sum(first * second, axis=-1) * self.scale

    def get_config(self):
        """The scale."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("kzoo")
class CosineError(keras.metrics.Mean):
    """Mean absolute difference of the cosines of pairs (batch, 2, dim) and scores (batch,)."""

    def __init__(self, name="cosine_error", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        error = ops.abs(_cosine(y_pred[:, 0], y_pred[:, 1]) - ops.cast(y_true, y_pred.dtype))
        return super().update_state(error, sample_weight)


@keras.saving.register_keras_serializable("kzoo")
class PartnerAccuracy(keras.metrics.Mean):
    """How many texts lie nearer to their partner than to any other of the batch's."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; targets are not read."""
        first, second = (ops.normalize(y_pred[:, i], axis=-1) for i in range(2))
        own = ops.sum(first * second, axis=-1, keepdims=True)
        # Not argmax, which a replica without examples has nothing for.
        found = ops.all(ops.matmul(first, ops.transpose(second)) <= own + 1e-5, axis=-1)
        return super().update_state(ops.cast(found, "float32"), sample_weight)


def _cosine(x, y):
    return ops.sum(ops.normalize(x, axis=-1) * ops.normalize(y, axis=-1), axis=-1)
