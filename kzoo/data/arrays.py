"""Pictures or sounds as batches of arrays of one shape, read when they are needed."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import KzooError
from .plan import Plan, weights_of

CACHE = 2**28  # bytes of arrays that are kept for the next epoch
THREADS = min(8, os.cpu_count() or 1)


class ArrayPlan(Plan):
    """Examples that each become an array of one shape; see `Plan` for their order.

    Examples are read batch by batch, several at the same time, and the first ones that fit into
    the memory set aside for it are kept. Its dataset gives (inputs[, labels[, sample_weight]]).

    Args:
        examples: what users have pictures or sounds in, one a place.
        read: makes an array of one of them: `read(example, name)`, where an error calls it `name`.
        inputs: makes the dict of a network's inputs of a batch (examples, ...) of such arrays.
        labels: a target for each, or None.
        sample_weight: a number for each, or None.
        batch_size, shuffle, seed, epoch: as for `Plan`.
        cache: bytes of arrays that are kept.
        augment: what makes others of a batch to learn from: `augment(arrays, labels, draw)`, where
            `draw` is a list of whole numbers that are other ones in each batch; its attribute
            `mixes` says whether it mixes examples, which then can't have weights.
        beside: as for `Plan`, of examples as they are: not beside `augment`.
    """

    def __init__(
        self,
        examples,
        read,
        inputs,
        labels=None,
        sample_weight=None,
        batch_size=32,
        shuffle=False,
        seed=0,
        epoch=0,
        cache=CACHE,
        augment=None,
        beside=None,
    ):
        super().__init__(len(examples), batch_size, shuffle, seed, epoch, beside)
        if beside is not None and augment is not None:
            raise KzooError(
                "Got augment beside a teacher's cached answers, which are to examples as they "
                "are; expected one of the two: give the teacher itself, which sees each batch."
            )
        for name, given in (("labels", labels), ("sample weights", sample_weight)):
            if given is not None and len(given) != self.size:
                raise KzooError(
                    f"Got {len(given)} {name} for {self.size} examples; expected one each."
                )
        if sample_weight is not None and getattr(augment, "mixes", False):
            raise KzooError(
                "Got weights for examples that augment mixes with others; expected one of the two."
            )
        self.examples, self.read, self.inputs = examples, read, inputs
        self.labels = None if labels is None else np.asarray(labels)
        self.sample_weight = None if sample_weight is None else weights_of(sample_weight)
        self._kept, self._room = {}, cache
        self.augment = augment
        self._threads = ThreadPoolExecutor(THREADS)

    def facts(self):
        """See `Plan`; of files their names and folders', of what lies in memory its number."""
        yield from super().facts()
        listed = self.examples if isinstance(self.examples, (list, tuple)) else ()
        named = [Path(each).parts[-2:] for each in listed if isinstance(each, (str, Path))]
        yield "set of files", ["/".join(parts) for parts in named]

    def arrays(self, rows):
        """The examples `rows` as one array, (rows, ...)."""
        return np.stack(list(self._threads.map(self._array, np.asarray(rows).tolist())))

    def _array(self, row):
        if row in self._kept:
            return self._kept[row]
        array = self.read(self.examples[row], f"Example {row}")
        if self._room >= array.nbytes:
            self._room -= array.nbytes
            self._kept[row] = array
        return array

    def batch(self, rows):
        """The examples `rows` as (inputs[, labels[, sample_weight]]), NumPy arrays."""
        return self._made(self.arrays(rows), self._labels(rows), rows)

    def learned(self, rows, epoch, number):
        """See `Plan`: augmented, where it is asked for, in a way that the seed decides."""
        arrays, labels = self.arrays(rows), self._labels(rows)
        if self.augment is not None:
            arrays, labels = self.augment(arrays, labels, [self.seed, epoch, number])
        return self._made(arrays, labels, rows)

    def _labels(self, rows):
        return None if self.labels is None else self.labels[rows]

    def _made(self, arrays, labels, rows):
        inputs = {name: np.asarray(value) for name, value in self.inputs(arrays).items()}
        inputs |= self.beside(rows)
        if labels is None and self.sample_weight is None:
            return (inputs,)
        if self.sample_weight is None:
            return (inputs, labels)
        return (inputs, labels, self.sample_weight[rows])
