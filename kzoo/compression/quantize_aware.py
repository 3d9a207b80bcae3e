"""Quantization-aware tasks: what LiteRT rounds in a static int8 file is rounded in training too.

Jacob et al., 2017, arXiv:1712.05877. Ranges of activations are found by calibration: the one of
several that leaves the smallest squared error (arXiv:1909.13144, section 3.2, for weights).
"""

import fnmatch

import numpy as np
from keras import ops

from ..adapters import as_written
from ..errors import KzooError
from ..network import freeze, frozen, weights_by_path
from ..nn import lowering
from ..nn.rounding import ENDS, HELD, STEPS, on_range
from ..values import an
from .rounded import as_floats, rounds_as, with_quantization

KIND = "int8_static"
SAMPLES = 400_000  # numbers of each tensor by which its range is chosen, about
LEAST = 4  # places of an example among them at least
SHARES = np.linspace(0.05, 1.0, 20)  # of the largest numbers that came, as ends of a range
USUAL = 4  # times the median of all channels, above which the largest number of one is an outlier's


def quantize_aware(task, examples, dynamic=None):
    """A copy of a task that rounds as LiteRT does in a file of "int8_static".

    It learns on as any task does: gradients pass the rounding, the ranges of activations stand
    still. A task that rounds already gets new ranges; the weights of one of `four_bits` become
    floats, which they are as int8 as well.

    Args:
        task: a task with what it reads with.
        examples: what `predict` takes, such as texts: a hundred or more like those to come. They
            need no labels.
        dynamic: patterns such as "backbone/block_*/feedforward/down" or "head/*" of the paths of
            layers whose activations are rounded as they come, and so not here. By default those of
            the head: of the 256 numbers of a range several labels would soon have the same.

    Returns:
        The task, and a report: `examples` (their number), `layers` (by path its `input_range` and
        `output_range`, and how many of its `input_outliers` and `output_outliers` are scaled),
        `dynamic` (paths of the layers without).

    Raises:
        KzooError: for no examples, such of another kind, and a pattern that no layer has.
    """
    check_examples(task, examples)
    task = as_floats(as_written(task))
    values = {}
    for path in layers_of(task):
        values |= _without_factors(weights_by_path(task), path)
    aware = task.under(with_quantization(task.spec, KIND), values)
    weights, paths = weights_by_path(aware), layers_of(aware)
    freeze(aware, [*frozen(task), *(f"{path}/{name}" for path in paths for name in HELD)])
    head = [path for path in paths if path.startswith("head/")]
    chosen = set(head) if dynamic is None else matching(paths, dynamic)
    seen, layers = watched(aware, examples), {}
    for path in paths:
        sides = {end: seen.get(weights[f"{path}/{end}_range"].path) for end in ENDS}
        # What is never read, such as a head of another function, has no range.
        if path in chosen or None in sides.values():
            _assign(weights, path, {"input_range": np.zeros(2), "output_range": np.zeros(2)})
            continue
        found = {end: _smoothed(*side) for end, side in sides.items()}
        factors = {"input": 1 / found["input"][0], "output": found["output"][0]}
        kernel = ops.convert_to_numpy(weights[f"{path}/kernel"])
        changed = {
            "kernel": kernel / factors["input"][:, None] / factors["output"],
            **{f"{end}_range": found[end][1] for end in ENDS},
            **{f"{end}_factors": factors[end] for end in ENDS},
        }
        if f"{path}/bias" in weights:
            bias = ops.convert_to_numpy(weights[f"{path}/bias"])
            changed["bias"] = bias / factors["output"]
        _assign(weights, path, changed)
        layers[path] = {
            **{f"{end}_range": [float(each) for each in found[end][1]] for end in ENDS},
            **{f"{end}_outliers": int((found[end][0] != 1).sum()) for end in ENDS},
        }
    rest = [path for path in paths if path not in layers]
    return aware, {"examples": len(examples), "layers": layers, "dynamic": rest}


def is_aware(model):
    """Whether a model rounds as a file of int8_static does."""
    return rounds_as(model) == KIND


def layers_of(model):
    """The paths of the layers of a model that have ranges, in order."""
    end = f"/{HELD[0]}"
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


def check_examples(task, examples):
    """Raise KzooError for what is no task that reads alone, or no examples."""
    if not hasattr(task, "encode_examples") or getattr(task, "rule", None) == "rewriting":
        raise KzooError(
            f"Got {an(type(task).__name__)} for calibration; expected a task that answers what it "
            "reads: choose int8 for another."
        )
    if isinstance(examples, str) or not hasattr(examples, "__len__") or not len(examples):
        raise KzooError(
            f"Got {examples!r:.40} as examples for calibration; expected a list of at least one, "
            "and better of a hundred."
        )


def watched(task, examples):
    """What goes into and comes out of each product: {path of its range: (rows, largest)}.

    Rows are some of the vectors (rows, channels), and `largest` has the largest absolute number of
    each channel in all of them. Examples are read one at a time, so that none is padding.
    """
    rows, largest = {}, {}

    def watch(x, limits):
        values = ops.convert_to_numpy(ops.cast(x, "float32"))
        values = values.reshape(-1, values.shape[-1])
        # Of each example the same places for all layers, so that those that read the same get the
        # same range; of each others, for a first place is like no other.
        held = rows.setdefault(limits.path, [])
        count = min(max(SAMPLES // len(examples) // values.shape[1], LEAST), len(values))
        held.append(values[np.random.default_rng(len(held)).permutation(len(values))[:count]])
        most = np.abs(values).max(axis=0)
        largest[limits.path] = np.maximum(largest.get(limits.path, 0), most)
        return x

    with lowering.rounding(watch):
        columns = task.encode_examples(task.as_inputs(examples))
        task.run_batches(columns, 1, run=lambda inputs: task(inputs))
    return {path: (np.concatenate(held), largest[path]) for path, held in rows.items()}


def _smoothed(rows, largest):
    """What each channel is divided by, 1 but for outliers, and the range of what comes of it."""
    most = USUAL * float(np.median(largest)) or np.inf  # 0: most channels say nothing here
    factors = np.maximum(largest / most, 1).astype("float32")
    return factors, range_of(rows / factors)


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
        error = float(np.square(ops.convert_to_numpy(on_range(values, limits)) - values).mean())
        if error < least:
            best, least = limits, error
    return best


def whole_range(low, high):
    """A range about zero (2,), moved a little so that zero is one of its 256 numbers."""
    step = np.float32((high - low) / STEPS)
    below = np.clip(np.round(-low / step), 0, STEPS)
    return np.array([-below * step, (STEPS - below) * step], "float32")


def _assign(weights, path, values):
    """Give weights of a layer new values, by their names in it."""
    for name, value in values.items():
        weights[f"{path}/{name}"].assign(value)


def _without_factors(weights, path):
    """Kernel and bias of a layer, and its factors, as if there were no outliers, by path."""
    held = {
        name: ops.convert_to_numpy(weights[f"{path}/{name}"])
        for name in ("kernel", "bias", "input_factors", "output_factors")
        if f"{path}/{name}" in weights
    }
    ones = {name: np.ones_like(held[name]) for name in ("input_factors", "output_factors")}
    kernel = held["kernel"] * held["input_factors"][:, None] * held["output_factors"]
    bias = {"bias": held["bias"] * held["output_factors"]} if "bias" in held else {}
    return {f"{path}/{name}": v for name, v in {"kernel": kernel, **bias, **ones}.items()}
