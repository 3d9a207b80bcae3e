"""Pictures or sounds and texts that belong to them, as batches."""

from typing import NamedTuple

import numpy as np

from .arrays import ArrayPlan
from .batches import IGNORED, TOKENS, padded


class Pairs(NamedTuple):
    """Pictures or sounds as users have them, and the ragged token columns of their texts by name.

    `others` has as many examples of each further sense, by its name.
    """

    arrays: list
    columns: dict
    others: dict = {}  # noqa: RUF012  (nobody writes into it)

    def __len__(self):
        return len(self.arrays)


class PairPlan(ArrayPlan):
    """`ArrayPlan` for `Pairs`: batches hold the texts' tokens as well.

    There may be several texts to each picture, whose columns' names begin alike.

    Args:
        pairs: the `Pairs`; the other arguments, of which `labels` are targets, as for `ArrayPlan`.
        longest: the largest number of tokens; of several texts by what their columns' names begin
            with. Where a new shape costs a compilation, all batches are as long; else as their
            longest text.
        padding_id: the token id that fills rows up.
    """

    def __init__(self, pairs, read, inputs, *args, longest, padding_id, **options):
        super().__init__(pairs.arrays, read, inputs, *args, **options)
        self.columns, self.padding_id = pairs.columns, padding_id
        self.longest = longest if isinstance(longest, dict) else {"": longest}

    def lengths(self, rows):
        """Tokens that the texts of a batch are padded to, by what their columns begin with."""
        if self.shapes_cost:
            return self.longest
        return {
            text: max(len(self.columns[f"{text}{TOKENS}"][row]) for row in rows)
            for text in self.longest
        }

    def _made(self, arrays, labels, rows):
        read, *rest = super()._made(arrays, labels, rows)
        lengths, texts = self.lengths(rows), {}
        for name, column in self.columns.items():
            text = max((each for each in lengths if name.startswith(each)), key=len)
            fill = self.padding_id if name.endswith(TOKENS) else 0
            texts[name] = padded([column[row] for row in rows], lengths[text], fill)
        return ({**read, **texts}, *rest)

    def open_axes(self, value, is_weight):
        """See `Plan`; texts differ in length, and targets that have a place for each token."""
        return {0, 1} if value.dtype == np.int32 and value.ndim == 2 else {0}


class SensesPlan(PairPlan):
    """`PairPlan` of pictures with texts, and of further senses.

    Args:
        pairs, read, inputs: as for `PairPlan`; the former with `others`.
        readers: what makes an array of an example of each of the others, and the network's inputs
            of a batch of these, by name: as `read` and `inputs`.
    """

    def __init__(self, pairs, read, inputs, *args, readers, **options):
        super().__init__(pairs, read, inputs, *args, **options)
        self.further = [ArrayPlan(pairs.others[name], *reader) for name, reader in readers.items()]

    def _made(self, arrays, labels, rows):
        read, *rest = super()._made(arrays, labels, rows)
        for plan in self.further:
            read |= plan.batch(rows)[0]
        return (read, *rest)


class WrittenPlan(PairPlan):
    """`PairPlan` of what is to be written of pictures: a target for each token of a text.

    Args:
        pairs, read, inputs: as for `PairPlan`.
        targets: ragged rows of token ids, a target for each place of `of`.
        of: what the columns of the text begin with to whose places they belong.
    """

    def __init__(self, pairs, read, inputs, targets, *args, of, **options):
        super().__init__(pairs, read, inputs, None, *args, **options)
        self.labels, self.of = targets, of

    def _labels(self, rows):
        if self.labels is None:
            return None
        return padded([self.labels[row] for row in rows], self.lengths(rows)[self.of], IGNORED)
