"""Zeros inside of matrices: a smaller file once it is zipped, and no faster on any device here.

XNNPACK and LiteRT multiply with zeros as with other numbers. Heads, units and blocks that are left
out whole make a model faster: see `prune`.
"""

import math
import zlib

import keras
import numpy as np

from ..errors import KzooError
from ..network import weights_by_path
from ..tasks.task import check_model
from ..values import is_number
from .gradual import Gradual

LEAST = 1024  # numbers from which a matrix is worth it
TWO_OF_FOUR = "2:4"


def sparsify(model, share):
    """A copy of a model whose smallest weights are zero, in each matrix so many.

    Args:
        model: a task or a network.
        share: how many are zero, above 0 and below 1; or "2:4" for two of four neighbours among
            a matrix's inputs, as NVIDIA's processors take them (arXiv:2104.08378).

    Returns:
        The model, and a report: `zeros`, the share of zeros in the matrices, and the bytes of
        these as float32 before and after, `zipped`.
    """
    check_model(model, "to make sparse")
    _check(share)
    copy = model.under(model.spec)
    before = _zipped(copy)
    for weight in _matrices(copy).values():
        weight.assign(np.asarray(weight) * kept(weight, share))
    return copy, {"zeros": _zeros(copy), "zipped": {"before": before, "after": _zipped(copy)}}


def kept(weight, share):
    """Which numbers of a matrix stay: booleans, those of the largest magnitude true."""
    size = np.abs(np.asarray(weight))
    if share == TWO_OF_FOUR:
        return _two_of_four(size)
    count = max(1, round(size.size * (1 - share)))
    least = np.partition(size.ravel(), -count)[-count]
    return size >= least


def _two_of_four(size):
    """The two largest of each four neighbours along the inputs, the last axis but one."""
    turned = np.moveaxis(size, -2, -1)
    spare = -turned.shape[-1] % 4  # What an incomplete four lacks is smaller than all.
    padded = np.pad(turned, [(0, 0)] * (turned.ndim - 1) + [(0, spare)], constant_values=-1)
    fours = padded.reshape(*padded.shape[:-1], -1, 4)
    order = np.argsort(np.argsort(-fours, axis=-1, kind="stable"), axis=-1)
    stay = (order < 2).reshape(padded.shape)[..., : turned.shape[-1]]
    return np.moveaxis(stay, -1, -2)


class Sparsity(Gradual):
    """Zeroes the smallest weights of each matrix in `fit`, more and more of them.

    Args:
        share: see `sparsify`; 2:4 is masked whole at the first change.
        begin, end, every: see `Gradual`.
    """

    def __init__(self, share, begin=0.1, end=0.6, every=50):
        super().__init__(begin, end, every)
        _check(share)
        self.share, self.stay = share, {}

    def find(self):
        """See `Gradual`."""
        self.stay = {path: np.asarray(w) != 0 for path, w in _matrices(self.model).items()}

    def get_state(self):
        """See `Gradual`."""
        return self.stay

    def set_state(self, state):
        """See `Gradual`."""
        self.stay = state

    def advance(self, done):
        """See `Gradual`."""
        share = self.share if self.share == TWO_OF_FOUR else done * self.share
        if not done:
            return
        for path, weight in _matrices(self.model).items():
            self.stay[path] = kept(weight, share)

    def mask(self):
        """See `Gradual`."""
        for path, weight in _matrices(self.model).items():
            if not self.stay[path].all():
                weight.assign(weight * keras.ops.cast(self.stay[path], weight.dtype))


def _matrices(model):
    """The weights of two axes or more that are large, by path."""
    return {
        path: weight
        for path, weight in weights_by_path(model).items()
        if len(weight.shape) > 1 and math.prod(weight.shape) >= LEAST
    }


def _zeros(model):
    values = [np.asarray(weight) for weight in _matrices(model).values()]
    return float(sum((v == 0).sum() for v in values) / max(1, sum(v.size for v in values)))


def _zipped(model):
    return sum(len(zlib.compress(np.asarray(w).tobytes())) for w in _matrices(model).values())


def _check(share):
    if share != TWO_OF_FOUR and not (is_number(share, 0) and 0 < share < 1):
        raise KzooError(
            f'Got share={share!r:.40} of zeros; expected a number above 0 and below 1, or "2:4".'
        )
