"""Quantization-aware tasks: what LiteRT rounds in a static int8 file is rounded in training too.

Jacob et al., 2017, arXiv:1712.05877. Ranges of activations are found by calibration: the one of
several that leaves the smallest squared error (arXiv:1909.13144, section 3.2, for weights).
"""

import fnmatch

import numpy as np
from keras import ops

from ..errors import KzooError
from ..network import freeze, frozen, weights_by_path
from ..nn import lowering
from ..nn.rounding import STEPS
from ..spec import Towers

KIND = "int8_static"
ENDS = ("input_range", "output_range")
SAMPLES = 100_000  # numbers of each tensor by which its range is chosen, about
SHARES = np.linspace(0.05, 1.0, 39)  # of the largest numbers that came, as ends of a range


def quantize_aware(task, examples, dynamic=()):
    """A copy of a task that rounds as LiteRT does in a file of "int8_static".

    It learns on as any task does: gradients pass the rounding, the ranges of activations stand
    still. A task that rounds already gets new ranges.

    Args:
        task: a task with what it reads with.
        examples: what `predict` takes, such as texts: a hundred or more like those to come. They
            need no labels.
        dynamic: patterns such as "backbone/block_*/feedforward/down" or "head/*" of the paths of
            layers whose activations are rounded as they come, and so not here.

    Returns:
        The task, and a report: `examples` (their number), `layers` (by path its `input_range` and
        `output_range`), `dynamic` (paths of the layers without).

    Raises:
        KzooError: for no examples, such of another kind, and a pattern that no layer has.
    """
    aware = task.under(_with(task.spec, KIND))
    still = frozen(task)
    weights = weights_by_path(aware)
    paths = layers_of(aware)
    freeze(aware, [*still, *(f"{path}/{end}" for path in paths for end in ENDS)])
    chosen = matching(paths, dynamic)
    samples = sampled(aware, examples)
    for path in paths:
        for end in ENDS:
            place = f"{path}/{end}"
            # What is never read, such as a head of another function, has no range.
            known = path not in chosen and weights[place].path in samples
            weights[place].assign(range_of(samples[weights[place].path]) if known else [0.0, 0.0])
    ranges = {path: _ranges(weights, path) for path in paths}
    report = {
        "examples": len(examples),
        "layers": {path: pair for path, pair in ranges.items() if any(pair["input_range"])},
        "dynamic": [path for path, pair in ranges.items() if not any(pair["input_range"])],
    }
    return aware, report


def is_aware(model):
    """Whether a model rounds as a file of int8_static does."""
    return bool(layers_of(model))


def layers_of(model):
    """The paths of the layers of a model that have ranges, in order."""
    end = f"/{ENDS[0]}"
    return [path.removesuffix(end) for path in weights_by_path(model) if path.endswith(end)]


def matching(paths, patterns):
    """The paths that patterns name; KzooError for a pattern that names none."""
    if isinstance(patterns, str):
        raise KzooError(f"Got the patterns {patterns!r:.60}; expected a list of them.")
    for pattern in patterns:
        if not fnmatch.filter(paths, pattern):
            raise KzooError(
                f"Got the pattern {pattern!r:.60}, which no layer has; expected one that fits some "
                f"of {', '.join(paths[:3])}."
            )
    return {path for pattern in patterns for path in fnmatch.filter(paths, pattern)}


def sampled(task, examples):
    """Numbers of what goes into and comes out of each product: {path of the range: numbers}.

    Examples are read one at a time, so that none is padding.
    """
    if not hasattr(task, "encode_examples"):
        raise KzooError(f"Got a {type(task).__name__}, which reads no examples; expected a task.")
    if isinstance(examples, str) or not len(examples):
        raise KzooError(
            f"Got {examples!r:.40} as examples for calibration; expected a list of at least one, "
            "and better of a hundred."
        )
    random, samples = np.random.default_rng(0), {}
    most = max(SAMPLES // len(examples), 64)

    def watch(x, limits):
        values = ops.convert_to_numpy(ops.cast(x, "float32")).ravel()
        extremes = values.min(), values.max()
        picked = values if len(values) <= most else random.choice(values, most)
        samples.setdefault(limits.path, []).append(np.append(picked, extremes))
        return x

    with lowering.rounding(watch):
        columns = task.encode_examples(task.as_inputs(examples))
        task.run_batches(columns, 1, run=lambda inputs: task(inputs))
    return {path: np.concatenate(held) for path, held in samples.items()}


def range_of(values):
    """The range (2,) of int8 numbers whose grid leaves numbers the smallest squared error.

    Its ends are whole steps from zero, so that whoever reads it finds the same grid.
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == high:
        return np.array([-1.0, 1.0], "float32")  # nothing but zeros came
    best, least = None, np.inf
    for share in SHARES:
        limits = whole_range(low * share, high * share)
        error = float(np.square(rounded(values, limits) - values).mean())
        if error < least:
            best, least = limits, error
    return best


def whole_range(low, high):
    """A range about zero (2,), moved a little so that zero is one of its 256 numbers."""
    step = np.float32((high - low) / STEPS)
    below = np.clip(np.round(-low / step), 0, STEPS)
    return np.array([-below * step, (STEPS - below) * step], "float32")


def rounded(values, limits):
    """Numbers on the grid of a range, as `nn.rounding.on_range` has them."""
    step = (limits[1] - limits[0]) / STEPS
    zero = np.round(-limits[0] / step)
    return (np.clip(np.round(values / step) + zero, 0, STEPS) - zero) * step


def _with(spec, kind):
    """A spec, of all its towers, with a quantization."""
    if isinstance(spec, Towers):
        towers = {name: _with(tower, kind) for name, tower in spec.towers.items()}
        return spec.replace(towers=towers)
    return spec.replace(quantization=kind)


def _ranges(weights, path):
    return {
        end: [float(each) for each in ops.convert_to_numpy(weights[f"{path}/{end}"])]
        for end in ENDS
    }
