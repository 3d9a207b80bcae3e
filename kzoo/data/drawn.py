"""Examples that are made of texts by chance, others in each epoch."""

import numpy as np

from .batches import IGNORED, TOKENS, BatchPlan, padded
from .ragged import Ragged


class DrawnPlan(BatchPlan):
    """Examples that are drawn anew in each epoch, of similar length in a batch; see `BatchPlan`.

    (seed, epoch, example) decide each, so a training that goes on sees what it would have seen;
    of what is measured and not learnt from, (seed, example): that is the same each time.

    Args:
        lengths: {name of a token column: the most tokens that each example has there}.
        draw: a function of an example's number and a `numpy.random.Generator`, which gives the
            example's columns by name, and its targets: one a place (of the last token column), or
            a dict of such and of numbers.
        texts: what the examples are made of, by which a training that goes on knows them: rows of
            token ids, or a JSON value.
        options: as for `BatchPlan`.
    """

    def __init__(self, lengths, draw, texts, **options):
        columns = {name: Ragged(np.asarray(each), None) for name, each in lengths.items()}
        super().__init__(columns, **options)
        self.draw, self.texts = draw, texts

    def facts(self):
        """See `Plan`."""
        yield from super().facts()
        yield "set of texts", self.texts

    def batch(self, rows):
        """See `BatchPlan`; the same is drawn whenever an example is measured."""
        return self._drawn(rows, ())

    def learned(self, rows, epoch, number):
        """See `Plan`."""
        return self._drawn(rows, (epoch,))

    def _drawn(self, rows, epoch):
        draws = (np.random.default_rng([self.seed, int(row), *epoch]) for row in rows)
        made = [self.draw(int(row), draw) for row, draw in zip(rows, draws, strict=True)]
        columns = {name: [inputs[name] for inputs, _ in made] for name in made[0][0]}
        lengths = {which: [len(r) for r in columns[f"{which}{TOKENS}"]] for which in self.lengths}
        for which, each in lengths.items():
            columns.setdefault(f"{which}padding_mask", [np.ones(n, "int32") for n in each])
        lengths = {which: self.padded_length(each, which) for which, each in lengths.items()}
        inputs = self.padded_columns(columns, lengths) | self.beside(rows)
        length = list(lengths.values())[-1]
        targets = _stacked([targets for _, targets in made], length)
        weight = self.weights(rows, length)
        return (inputs, targets) if weight is None else (inputs, targets, weight)


def _stacked(values, length):
    if isinstance(values[0], dict):
        return {name: _stacked([each[name] for each in values], length) for name in values[0]}
    if np.ndim(values[0]) == 0:
        return np.asarray(values, "int32")
    return padded(values, length, IGNORED)
