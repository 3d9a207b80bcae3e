"""A sentence encoder as a table of its tokens: hundreds of times faster, and less exact.

The idea is Model2Vec's (github.com/MinishLab/model2vec): the encoder reads each token of its
vocabulary alone, what comes out is brought to its main directions, and frequent tokens are made
short. A text is the mean of its tokens then.
"""

import keras
import numpy as np

from ..errors import KzooError
from ..models.static_embeddings import static
from ..tasks.text_embedder import TextEmbedder
from ..values import an, is_number, is_whole
from .trim import IN_BRACKETS


def static_embedder(embedder, dim=128, coefficient=1e-4, max_length=512, batch_size=512):
    """A `TextEmbedder` of static vectors that a sentence encoder's tokens are distilled to.

    Each token's vector is what the encoder gives for it alone, less the mean of all, in the `dim`
    directions in which they differ most (principal components), times
    `coefficient / (coefficient + p)`, so that frequent tokens count little (SIF, Arora et al. 2017,
    openreview.net SyK00v5xx). How frequent a token is, p, follows from its place in the vocabulary
    by Zipf's law, as most vocabularies begin with the most frequent tokens. Special tokens, that of
    the unknown among them, and those in brackets, such as [unused5], are zeros.
    It learns in `fit` as any other embedder.

    Args:
        embedder: a `TextEmbedder` with a tokenizer.
        dim: how wide the vectors are, up to those of the encoder.
        coefficient: how frequent a token is that counts half; None for all to count alike.
        max_length: tokens of a text at most.
        batch_size: tokens that the encoder reads at a time.

    Raises:
        KzooError: for what is no such embedder, and sizes out of their range.
    """
    if not isinstance(embedder, TextEmbedder):
        raise KzooError(
            f"Got {an(type(embedder).__name__)} to distil; expected a TextEmbedder, such as "
            "kzoo.from_huggingface gives for a folder of sentence-transformers."
        )
    tokenizer, most = embedder.tokenizer, embedder.output_width
    if not is_whole(dim, 1, most):
        raise KzooError(
            f"Got dim = {dim!r:.40} for static vectors; expected 1 to {most}, the encoder's width."
        )
    if coefficient is not None and not (is_number(coefficient, 0) and coefficient):
        raise KzooError(
            f"Got coefficient = {coefficient!r:.40}; expected a number above 0, or None."
        )
    for name, value in (("max_length", max_length), ("batch_size", batch_size)):
        if not is_whole(value, 2):
            raise KzooError(f"Got {name} = {value!r:.40}; expected a whole number of at least 2.")
    size = tokenizer.vocabulary_size
    known = {n for token, n in tokenizer.vocabulary.items() if not IN_BRACKETS.fullmatch(token)}
    words = np.setdiff1d(sorted(known), tokenizer.special_ids)
    if dim > len(words):
        raise KzooError(
            f"Got dim = {dim} for a vocabulary of {len(words)} tokens beside the special ones; "
            "expected no more than these."
        )
    table = np.zeros((size, dim), "float32")
    vectors = _vectors(embedder, words, batch_size)
    table[words] = components(vectors, dim) * weights(len(words), coefficient)[:, None]
    backbone = static(table, embedder.backbone.padding_id, max_length)
    return TextEmbedder(
        backbone,
        tokenizer=tokenizer.bare(),
        max_length=max_length,
        normalize=embedder.normalize,
        similarity=embedder.similarity,
    )


def components(vectors, dim):
    """Vectors (n, width) less their mean, along their `dim` principal components: (n, dim)."""
    vectors = vectors.astype("float64")
    vectors = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)  # the least first
    return vectors @ directions[:, ::-1][:, :dim]


def weights(count, coefficient):
    """By how much each of so many tokens counts, the most frequent first."""
    if coefficient is None:
        return np.ones(count)
    frequency = 1 / np.arange(1, count + 1)
    return coefficient / (coefficient + frequency / frequency.sum())


def _vectors(embedder, ids, batch_size):
    """What an encoder gives for each token alone, in its usual frame: (tokens, width)."""
    (before, left), (_, (segment,)), (after, right) = embedder.tokenizer.frame()
    shape = (len(ids), len(before) + 1 + len(after))
    token_ids = np.broadcast_to([*before, 0, *after], shape).copy()
    token_ids[:, len(before)] = ids
    columns = {
        "token_ids": token_ids,
        "padding_mask": np.ones(shape),
        "segment_ids": np.broadcast_to([*left, segment, *right], shape),
    }
    columns = {name: columns[name].astype("int32") for name in embedder.backbone.input_names}
    made = []
    for start in range(0, len(ids), batch_size):
        inputs = {name: value[start : start + batch_size] for name, value in columns.items()}
        made.append(keras.ops.convert_to_numpy(embedder(inputs)["embedding"]))
    return np.concatenate(made)
