"""Weights of 4 bits: what a file of "int4" has of them, in training too."""

import numpy as np
from keras import ops

from ..adapters import as_written
from ..errors import KzooError
from ..network import freeze, frozen, weights_by_path
from ..nn.rounding import SCALES, on_steps, steps_of
from ..tasks.task import Task
from ..values import an
from .rounded import FOUR_BITS, rounded_layers, rounds_as, with_quantization


def four_bits(task):
    """A copy of a task whose products have weights of 4 bits, as LiteRT's files of "int4" do.

    It learns on as any task does, with gradients that pass the rounding (arXiv:1712.05877). Each
    output of a layer has a scale, that of several which leaves the smallest squared error; scales
    stand still. Tables are not rounded here: the file rounds them once.

    Args:
        task: a task that rounds nothing yet, or its weights to 4 bits: it gets new scales.

    Returns:
        The task, and a report: `layers` (by path the root of the mean squared difference that
        rounding makes, as a share of the root of the mean square).

    Raises:
        KzooError: for what is no task, and one that rounds otherwise.
    """
    if not isinstance(task, Task):
        raise KzooError(f"Got {an(type(task).__name__)} for weights of 4 bits; expected a task.")
    if rounds_as(task) not in (None, FOUR_BITS):
        raise KzooError(
            f"Got a task that rounds as a file of {rounds_as(task)} does; expected the one before "
            "it, for weights of 4 bits."
        )
    task = as_written(task)
    aware = task.under(with_quantization(task.spec, FOUR_BITS))
    weights, report = weights_by_path(aware), {}
    paths = rounded_layers(aware)
    freeze(aware, [*frozen(task), *(f"{path}/{SCALES}" for path in paths)])
    for path in paths:
        kernel = ops.convert_to_numpy(weights[f"{path}/kernel"])
        weights[f"{path}/{SCALES}"].assign(steps_of(np.reshape(kernel, (-1, kernel.shape[-1])).T))
        near = ops.convert_to_numpy(on_steps(kernel, weights[f"{path}/{SCALES}"]))
        square = max(float(np.square(kernel).sum()), 1e-30)  # of a kernel of zeros nothing is lost
        report[path] = float(np.sqrt(np.square(near - kernel).sum() / square))
    return aware, {"layers": report}
