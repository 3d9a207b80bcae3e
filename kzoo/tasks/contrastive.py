"""Find each one's partner among all of a batch, from both sides."""

import keras
from keras import ops

from ..keras_hooks import of_all_replicas


def affinities(pairs):
    """How near the firsts of pairs are to all seconds, and the seconds to all firsts.

    Args:
        pairs: vectors (batch, 2, dim), whose products say how near they are.

    Returns:
        Two tensors (batch, all): all are those of the whole batch, of which a replica has a part.
    """
    everyone = of_all_replicas(pairs)
    return tuple(
        ops.matmul(pairs[:, side], ops.transpose(everyone[:, 1 - side])) for side in (0, 1)
    )


def found_first(own, scores, tolerance):
    """How much of each row's own score is the first: 1, or a share where others tie with it.

    Args:
        own: (batch,), a score of each row of `scores`, (batch, all), maybe summed in another order.
        tolerance: by how much scores that tie may differ.
    """
    # Not argmax, which a replica without examples has nothing for.
    ahead = scores - ops.expand_dims(own, -1)
    tied = ops.sum(ops.cast(ops.abs(ahead) <= tolerance, "float32"), axis=-1)
    is_first = ops.all(ahead <= tolerance, axis=-1)
    return ops.cast(is_first, "float32") / ops.maximum(tied, 1)


def max_sim(queries, documents):
    """The sum over a query's vectors of the best product with a document's: (queries, documents).

    Args:
        queries: vectors (queries, length, width).
        documents: vectors (documents, length, width); one of zeros alone is no vector.
    """
    (count, length), width = ops.shape(documents)[:2], queries.shape[-1]
    flat = ops.reshape(documents, (-1, width))
    absent = ops.cast(ops.all(ops.equal(flat, 0), axis=-1), flat.dtype)
    rows = ops.reshape(queries, (-1, width))
    products = ops.matmul(rows, ops.transpose(flat)) - 1e4 * absent
    best = ops.max(ops.reshape(products, (-1, count, length)), axis=-1)
    best = best * ops.cast(ops.any(ops.not_equal(rows, 0), axis=-1, keepdims=True), best.dtype)
    return ops.sum(ops.reshape(best, (-1, ops.shape(queries)[1], count)), axis=1)


@keras.saving.register_keras_serializable("kzoo")
class ContrastiveLoss(keras.losses.Loss):
    """Cross-entropy of each partner among all of the batch, the mean of both sides (CLIP).

    arXiv:2103.00020, figure 3. Under `tf.distribute` all are those of all replicas.
    """

    def call(self, y_true, y_pred):
        """One loss a pair of (batch, 2, dim), whose products are logits; targets are not read."""
        own = ops.sum(y_pred[:, 0] * y_pred[:, 1], axis=-1)
        first, second = (ops.logsumexp(scores, axis=-1) for scores in affinities(y_pred))
        return (first + second) / 2 - own


def _each_pair(y_true, y_pred):
    """Of each two senses: products with the own partner, with all, and who has a partner.

    Args:
        y_true: 1 for each two senses that an example has both of, else 0: (batch, pairs).
        y_pred: vectors (batch, pairs, 2, dim), whose products are logits.

    Yields:
        (batch,) products with the partner; two tensors (batch, all) of those with all, from which
        1e4 is taken where there is no partner; (batch,) 1 or 0.
    """
    there = ops.cast(y_true, y_pred.dtype)
    absent = 1e4 * (1 - of_all_replicas(there))
    for place in range(y_pred.shape[1]):
        pairs = y_pred[:, place]
        own = ops.sum(pairs[:, 0] * pairs[:, 1], axis=-1)
        yield own, [each - absent[:, place] for each in affinities(pairs)], there[:, place]


@keras.saving.register_keras_serializable("kzoo")
class PairwiseLoss(keras.losses.Loss):
    """The mean over each two senses of `ContrastiveLoss` between them (AudioCLIP).

    arXiv:2106.13043, section 3: three such losses for pictures, texts and sounds. Targets say which
    two senses an example has both of. Where it lacks one of them it is no partner and no other to
    be told from, as if it weren't in the batch; so each pair that is there weighs the same, and one
    that isn't adds nothing. Under `tf.distribute` all are those of all replicas.
    """

    def call(self, y_true, y_pred):
        """One loss an example, of targets (batch, pairs) and vectors (batch, pairs, 2, dim)."""
        losses = [
            there * (sum(ops.logsumexp(scores, axis=-1) for scores in sides) / 2 - own)
            for own, sides, there in _each_pair(y_true, y_pred)
        ]
        return sum(losses) / len(losses)


@keras.saving.register_keras_serializable("kzoo")
class PairwiseAccuracy(keras.metrics.Mean):
    """How many pairs find each other among the batch, the first its second, of each two senses."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; see `PairwiseLoss` for what these are."""
        for own, (scores, _), there in _each_pair(y_true, y_pred):
            # Not argmax, which a replica without examples has nothing for.
            is_nearest = ops.all(scores <= ops.expand_dims(own, -1) + 1e-5, axis=-1)
            weight = there if sample_weight is None else there * ops.cast(sample_weight, "float32")
            super().update_state(ops.cast(is_nearest, "float32"), weight)
