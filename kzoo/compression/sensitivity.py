"""How much a task loses when one of its layers alone is quantized, to choose those that aren't."""

import numpy as np
from keras import ops

from ..errors import KzooError
from ..network import weights_by_path
from ..nn.rounding import on_scales
from .quantize_aware import ENDS, is_aware, layers_of, quantize_aware

BATCH = 16
FOUR_BITS = 7  # the largest number of a symmetric grid of 4 bits


def sensitivity(task, examples):
    """How far a task's outputs move when the activations or weights of one layer are rounded.

    All other activations stay float32 meanwhile, and all other weights int8. What costs most is
    what `quantize_aware` should be told to leave `dynamic`.

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
    known = is_aware(task)
    aware = task.under(task.spec) if known else quantize_aware(task, examples, dynamic=())[0]
    weights = weights_by_path(aware)
    places = {path: [weights[f"{path}/{end}_range"] for end in ENDS] for path in layers_of(aware)}
    ranges = {path: [ops.copy(each) for each in held] for path, held in places.items()}
    columns = aware.encode_examples(aware.as_inputs(examples))

    def give(paths, values):
        for path in paths:
            for place, value in zip(places[path], values(path), strict=True):
                place.assign(value)

    def outputs():
        _, batches = aware.run_batches(columns, BATCH)
        return [batch[name] for batch in batches for name in sorted(batch)]

    def none(_path):
        return [np.zeros(2, "float32")] * len(ENDS)

    def error():
        pairs = zip(usual, outputs(), strict=True)
        return float(np.sqrt(sum(float(np.square(a - b).sum()) for a, b in pairs) / square))

    give(places, none)
    usual = outputs()
    square = sum(float(np.square(each).sum()) for each in usual)
    if not square:
        raise KzooError("Got a task whose outputs are all zero; expected one that was trained.")
    static, four = {}, {}
    for path, held in ranges.items():
        if any(map(np.any, map(ops.convert_to_numpy, held))):
            give([path], ranges.get)
            static[path] = error()
            give([path], none)
        kernel = weights[f"{path}/kernel"]
        before = ops.copy(kernel)
        kernel.assign(on_scales(kernel, tuple(range(len(kernel.shape) - 1)), FOUR_BITS))
        four[path] = error()
        kernel.assign(before)
    give(places, ranges.get)
    return {
        "examples": len(examples),
        "static": _from_largest(static),
        "weights": _from_largest(four),
        "together": error(),
    }


def _from_largest(errors):
    return dict(sorted(errors.items(), key=lambda item: -item[1]))
