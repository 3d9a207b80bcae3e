"""How much a task loses when one of its layers alone is quantized, to choose those that aren't."""

import numpy as np
from keras import ops

from ..errors import KzooError
from ..network import weights_by_path
from ..nn.rounding import FOUR_BITS, on_scales
from ..values import is_number
from .quantize_aware import ENDS, is_aware, layers_of, quantize_aware

BATCH = 16


def sensitivity(task, examples):
    """How far a task's outputs move when the activations or weights of one layer are rounded.

    All other activations stay float32 meanwhile, and all other weights int8. What costs most is
    what `quantize_aware` should be told to leave `dynamic`; `mixed` tells it.

    Args:
        task: a task, or one of `quantize_aware`, whose ranges are taken then.
        examples: what `predict` takes; those of a calibration will do. They need no labels.

    Returns:
        A dict: `examples` (their number), `static` ({path: error} of what goes into a layer and
        comes out of it as int8 in its ranges), `weights` (the same of its kernel in 4 bits, a scale
        for each output), both from the largest, and `together` (the error of all ranges at once).
        An error is the root of the mean squared difference of the outputs as a share of the root of
        their mean square.
    """
    scan = Scan(task, examples)
    four = {}
    for path in scan.ranges:
        kernel = scan.weights[f"{path}/kernel"]
        before = ops.copy(kernel)
        kernel.assign(on_scales(kernel, tuple(range(len(kernel.shape) - 1)), FOUR_BITS))
        four[path] = scan.error([])
        kernel.assign(before)
    return {
        "examples": len(examples),
        "static": scan.by_layer(),
        "weights": _from_largest(four),
        "together": scan.error(scan.ranges),
    }


def mixed(task, examples, most=0.05):
    """A task of `quantize_aware` whose costliest layers are left dynamic: no more than are needed.

    Layers go from the costliest on, each by what it alone costs, until the rest keep to the error.

    Args:
        task: a task with what it reads with.
        examples: see `quantize_aware`.
        most: how far the outputs may move by all ranges together: an error as in `sensitivity`.

    Returns:
        What `quantize_aware` does; the report has `error` as well, that of the ranges together.

    Raises:
        KzooError: as `quantize_aware`, and for an error that no single layer keeps to.
    """
    if not is_number(most, 0, 1):
        raise KzooError(f"Got most={most!r:.40}; expected an error from 0 to 1.")
    scan = Scan(quantize_aware(task, examples, dynamic=())[0], examples)  # ranges for all layers
    errors = scan.by_layer()
    # Labels come out of the head, where 256 numbers are few: see `quantize_aware`.
    head = [path for path in errors if path.startswith("head/")]
    costly = [path for path in errors if path not in head]
    few, enough = -1, len(costly)  # With so many dynamic it moves too far, and with so many not.
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if scan.error(costly[middle:]) > most else (few, middle)
    if enough == len(costly):
        least = errors[costly[-1]] if costly else 0
        raise KzooError(
            f"Got most={most}; the ranges of {costly[-1] if costly else 'the head'} alone move the "
            f"outputs by {least:.2g}: allow more, or choose int8, which has no ranges."
        )
    found, report = quantize_aware(task, examples, dynamic=[*head, *costly[:enough]])
    return found, {**report, "error": scan.error(costly[enough:])}


class Scan:
    """A task of `quantize_aware` whose ranges come and go, and what it says without any.

    Args:
        task, examples: see `sensitivity`.

    Raises:
        KzooError: for a task whose outputs are all zero.
    """

    def __init__(self, task, examples):
        known = is_aware(task)
        self.task = task.under(task.spec) if known else quantize_aware(task, examples, ())[0]
        self.weights = weights_by_path(self.task)
        self._places = {
            path: [self.weights[f"{path}/{end}_range"] for end in ENDS]
            for path in layers_of(self.task)
        }
        self.ranges = {path: [ops.copy(each) for each in p] for path, p in self._places.items()}
        self._columns = self.task.encode_examples(self.task.as_inputs(examples))
        self._usual = self._outputs([])
        self._square = sum(float(np.square(each).sum()) for each in self._usual)
        if not self._square:
            raise KzooError("Got a task whose outputs are all zero; expected one that was trained.")

    def by_layer(self):
        """The error of each layer that has ranges, if it alone had them, from the largest."""
        held = {path: map(ops.convert_to_numpy, own) for path, own in self.ranges.items()}
        paths = [path for path, own in held.items() if any(map(np.any, own))]
        return _from_largest({path: self.error([path]) for path in paths})

    def error(self, static):
        """How far the outputs move if the layers of these paths have their ranges."""
        pairs = zip(self._usual, self._outputs(static), strict=True)
        return float(np.sqrt(sum(float(np.square(a - b).sum()) for a, b in pairs) / self._square))

    def _outputs(self, static):
        for path, places in self._places.items():
            own = self.ranges[path] if path in static else [np.zeros(2, "float32")] * len(ENDS)
            for place, value in zip(places, own, strict=True):
                place.assign(value)
        _, batches = self.task.run_batches(self._columns, BATCH)
        return [batch[name] for batch in batches for name in sorted(batch)]


def _from_largest(errors):
    return dict(sorted(errors.items(), key=lambda item: -item[1]))
