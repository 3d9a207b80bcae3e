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
