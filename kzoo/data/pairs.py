"""Pictures and a text for each, as batches."""

from typing import NamedTuple

import numpy as np

from .arrays import ArrayPlan
from .batches import padded


class Pairs(NamedTuple):
    """Pictures as users have them, and the ragged token columns of their texts by name."""

    pictures: list
    columns: dict

    def __len__(self):
        return len(self.pictures)


class PairPlan(ArrayPlan):
    """`ArrayPlan` for `Pairs`: batches hold the texts' tokens as well.

    Args:
        pairs: the `Pairs`; the other arguments, of which `labels` are targets, as for `ArrayPlan`.
        longest: the largest number of tokens. Where a new shape costs a compilation, all batches
            are as long; else as their longest text.
        padding_id: the token id that fills rows up.
    """

    def __init__(self, pairs, read, inputs, *args, longest, padding_id, **options):
        super().__init__(pairs.pictures, read, inputs, *args, **options)
        self.columns, self.longest, self.padding_id = pairs.columns, longest, padding_id

    def _made(self, arrays, labels, rows):
        pictures, *rest = super()._made(arrays, labels, rows)
        ids = [self.columns["token_ids"][row] for row in rows]
        length = self.longest if self.shapes_cost else max(map(len, ids))
        fills = {"token_ids": self.padding_id}
        texts = {
            name: padded([column[row] for row in rows], length, fills.get(name, 0))
            for name, column in self.columns.items()
        }
        return ({**pictures, **texts}, *rest)

    def open_axes(self, value, is_weight):
        """See `Plan`; texts differ in length."""
        return {0, 1} if value.dtype == np.int32 and value.ndim == 2 else {0}
