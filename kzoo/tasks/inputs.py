"""What `fit` and `predict` are handed, as lists: strings, pairs, arrays, `tf.data` datasets."""

from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..values import as_text, is_number


def split_pairs(texts):
    """`(texts, None)` or `(firsts, seconds)` from strings or pairs of strings."""
    texts = as_list(texts)
    pairs = [isinstance(text, (tuple, list)) for text in texts]
    if not any(pairs):
        return texts, None
    if not all(pairs) or any(len(text) != 2 for text in texts):
        wrong = next(
            i
            for i, text in enumerate(texts)
            if not isinstance(text, (tuple, list)) or len(text) != 2
        )
        raise KzooError(
            f"Text {wrong} is {texts[wrong]!r}; others are pairs, so a pair of strings is expected."
        )
    return [text[0] for text in texts], [text[1] for text in texts]


def split_groups(texts):
    """Texts by their place: [texts] of single ones, [firsts, seconds, ...] of groups of a size."""
    texts = as_list(texts)
    counts = [len(text) if isinstance(text, (tuple, list)) else 1 for text in texts]
    wrong = next((i for i, count in enumerate(counts) if count != counts[0] or not count), None)
    if wrong is not None:
        raise KzooError(
            f"Example {wrong} has {counts[wrong]} texts and the first has {counts[0]}; expected as "
            "many in each."
        )
    if counts[0] == 1 and isinstance(texts[0], str):
        return [texts]
    return [list(side) for side in zip(*texts, strict=True)]


def as_list(x):
    """A list of strings or pairs from one string, a list, or an array; bytes are decoded.

    A dict such as {"question": ..., "context": ...} is the text or the pair that it holds.
    """
    if isinstance(x, (str, dict)):
        return [as_text(x)]
    if hasattr(x, "tolist"):
        x = x.tolist()
    if not isinstance(x, (list, tuple)):
        raise KzooError(f"A list of strings or of pairs is expected; {type(x).__name__} came.")
    if not len(x):
        raise KzooError("An empty list came; at least one text is expected.")
    return [decoded(text) if isinstance(text, bytes) else as_text(text) for text in x]


def is_column(value):
    """Whether a value holds others in an order; a string is one of a column's, not a column."""
    sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    scalar = isinstance(value, (str, bytes, dict)) or getattr(value, "shape", None) == ()
    return sized and not scalar


def check_columns(text, label, *sources):
    """Names of columns mean something for files alone."""
    if (text, label) != (None, None) and not any(isinstance(x, (str, Path)) for x in sources):
        raise KzooError(
            f"text {text!r} and label {label!r} name columns of a file, and no path of one came: "
            "give it, or leave them out."
        )


def from_dataset(dataset):
    """Texts, targets and weights of a whole `tf.data.Dataset`, batched or not.

    Its elements are text, (text, target) or (text, target, weight); text is a string, a tuple of
    two, or an array of them.
    """
    if dataset.cardinality() == -1:  # tf.data.INFINITE_CARDINALITY
        raise KzooError("The dataset never ends; its examples are read first: drop repeat().")
    columns = [[], [], []]
    for element in dataset.as_numpy_iterator():
        text, *rest = element if isinstance(element, tuple) else (element,)
        batched = np.ndim(text[0] if isinstance(text, tuple) else text) > 0
        texts = [decoded(part) for part in (text if isinstance(text, tuple) else (text,))]
        if isinstance(text, tuple):
            texts = list(zip(*texts, strict=True)) if batched else [tuple(texts)]
        elif batched:
            (texts,) = texts
        rest = [list(part) if batched else [part] for part in map(decoded, rest)]
        for column, rows in zip(columns, [texts, *rest], strict=False):
            column += rows
    x, y, sample_weight = columns
    if not x:
        raise KzooError("The dataset is empty; at least one text is expected.")
    return x, y or None, sample_weight or None


def decoded(value):
    """Python strings where `tf.data` gives bytes, in scalars and arrays; numbers as they are."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise KzooError(f"A text is not UTF-8: {value!r:.60} came; convert it first.") from None
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return [decoded(part) for part in value]
    return value


def split(x, y, sample_weight, share):
    """The first examples to learn from and the last ones to hold out."""
    if not is_number(share) or not 0 < share < 1:
        raise KzooError(f"validation_split is {share!r:.40}; a share between 0 and 1 is expected.")
    cut = int(len(x) * (1 - share))
    if not 0 < cut < len(x):
        raise KzooError(f"validation_split {share} of {len(x)} examples leaves a side empty.")
    columns = (x, y, sample_weight)
    first = [None if column is None else column[:cut] for column in columns]
    return *first, tuple(None if column is None else column[cut:] for column in columns)
