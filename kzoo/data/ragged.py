"""Rows of different lengths that are made when they are asked for, so that they needn't be held."""

import numpy as np


class Ragged:
    """A column of rows, such as pieces of a file of token ids.

    Args:
        lengths: of each row, an array.
        row: a function of a row's number that gives its values.
        texts: by what a training that goes on knows the rows: a JSON value.
    """

    def __init__(self, lengths, row, texts=None):
        self.lengths, self.row, self.texts = lengths, row, texts

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, number):
        return self.row(int(number))


def ones(lengths):
    """A column of ones: a mask of rows without padding."""
    return Ragged(lengths, lambda number: np.ones(lengths[number], "int32"))


def pieces(starts, ends, size, least=1):
    """Spans cut into pieces of `size`, the last of each what is left.

    Args:
        starts, ends: arrays, where each span begins and ends.
        size: how long a piece is.
        least: shorter pieces are left out.

    Returns:
        Where each piece begins, int64, and its length, int32.
    """
    starts, ends = np.asarray(starts, "int64"), np.asarray(ends, "int64")
    counts = -(-(ends - starts) // size)
    first = np.cumsum(counts) - counts
    at = np.arange(counts.sum()) - np.repeat(first, counts)
    begun = np.repeat(starts, counts) + size * at
    lengths = np.minimum(np.repeat(ends, counts) - begun, size).astype("int32")
    kept = lengths >= least
    return begun[kept], lengths[kept]
