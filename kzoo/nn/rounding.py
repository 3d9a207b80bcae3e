"""The whole numbers that a file computes on, in training: the slot `quantization`.

Quantization-aware training as in arXiv:1712.05877, section 3: what a file will round is rounded
forward, and gradients pass as if it weren't. Channels that are much larger than the others, as
those of encoders with norms behind their branches are, are made smaller before they are rounded
(SmoothQuant, arXiv:2211.10438, section 4).
"""

import numpy as np
from keras import ops

from ..parts import make, part
from . import lowering

STEPS = 255  # of a range of activations: int8 has 256 numbers
LARGEST = 127  # of a weight: -128 is left out, so that its grid is symmetric
FOUR_BITS = 7  # the same of one of 4 bits
# Of the step with which 7 of them reach a row's largest number: shorter ones, which clip a few, and
# those with which 6, 5 or 4 reach it, as in rows that were rounded to 4 bits before.
LENGTHS = [*(i / 25 for i in range(12, 26)), 7 / 6, 7 / 5, 7 / 4]
SCALES = "kernel_scales"  # what a layer calls those of its weights of 4 bits
ENDS = ("input", "output")  # of a product, where activations are rounded
HELD = [f"{end}_{name}" for end in ENDS for name in ("range", "factors")]  # of int8_static


def rounding_of(spec):
    """What a layer of a spec rounds with."""
    return Floats() if spec.quantization is None else make("quantization", spec.quantization)


def on_range(x, limits):
    """Numbers x on the grid of 256 whole numbers from the lower to the upper of `limits` (2,).

    Zero is among them where it is in the range. Gradients pass inside the range, and none outside.
    Limits that are equal leave x as it is.
    """
    wide = ops.cast(x, "float32")
    low, high = limits[0], limits[1]
    step = ops.where(high > low, (high - low) / STEPS, 1.0)
    zero = ops.round(-low / step)
    near = (ops.clip(ops.round(wide / step) + zero, 0, STEPS) - zero) * step
    kept = ops.clip(wide, low, high)
    kept = kept + ops.stop_gradient(near - kept)
    return ops.cast(ops.where(high > low, kept, wide), x.dtype)


def on_scales(x, axes, most=LARGEST):
    """Numbers x on symmetric grids of -`most` to `most`, one for all that differ in `axes` alone.

    Gradients pass as if nothing were rounded.
    """
    wide = ops.cast(x, "float32")
    largest = ops.max(ops.abs(wide), axis=axes, keepdims=True)
    step = ops.where(largest > 0, largest / most, 1.0)
    near = ops.round(wide / step) * step
    return ops.cast(wide + ops.stop_gradient(near - wide), x.dtype)


def on_steps(x, steps, most=FOUR_BITS):
    """Numbers x (..., outputs) on symmetric grids of -`most` to `most` steps (outputs,).

    Gradients pass as if nothing were rounded. Steps of 0 leave x as it is.
    """
    wide, steps = ops.cast(x, "float32"), ops.convert_to_tensor(steps)
    near = ops.clip(ops.round(wide / ops.where(steps > 0, steps, 1.0)), -most, most) * steps
    near = ops.where(steps > 0, near, wide)
    return ops.cast(wide + ops.stop_gradient(near - wide), x.dtype)


def steps_of(rows):
    """The step of a grid of -7 to 7 steps for each row (rows, numbers): float32 (rows,).

    Of several that which leaves the smallest squared error; 0 for a row of zeros.
    """
    rows = np.asarray(rows, "float32")
    largest = np.abs(rows).max(-1)
    best, least = np.zeros_like(largest), np.full_like(largest, np.inf)
    for share in LENGTHS:
        steps = (largest * np.float32(share) / FOUR_BITS).astype("float32")
        near = np.clip(np.round(rows / np.maximum(steps, 1e-30)[:, None]), -FOUR_BITS, FOUR_BITS)
        error = np.square(near * steps[:, None] - rows).sum(-1)
        best, least = np.where(error < least, steps, best), np.minimum(error, least)
    return best


def packed(whole):
    """Numbers of 4 bits in int8 as bytes of two, the first in the lower half; 0 fills them up."""
    halves = np.pad(whole.ravel(), (0, whole.size % 2)).reshape(-1, 2) & 15
    return (halves[:, 0] | halves[:, 1] << 4).astype("uint8")


def unpacked(data, shape):
    """The numbers of `packed` again, int8 of a shape."""
    halves = np.stack([data & 15, data >> 4], -1).astype("int8").ravel()
    return np.where(halves > 7, halves - 16, halves)[: np.prod(shape, dtype=int)].reshape(shape)


class Floats:
    """What stands where nothing is rounded."""

    def build(self, layer, inputs, outputs):
        """Give a layer nothing."""

    def input(self, x):
        """What goes into a product."""
        return x

    def kernel(self, kernel):
        """The kernel (..., outputs) of a product."""
        return kernel

    def output(self, x):
        """What comes out of it, its bias added."""
        return x

    def rows(self, vectors):
        """Rows (..., dim) of a table."""
        return vectors


@part("quantization", "int8_static")
class StaticInt8(Floats):
    """Products of int8 numbers, as LiteRT's files of `int8_static` have them.

    A kernel has a scale for each of its outputs, a table for each row, symmetric; activations have
    one range for each tensor, which the layer holds as `input_range` and `output_range`, both (2,).
    Where its ends are equal activations stay float32: the file rounds those of such a layer as they
    come. What goes in is multiplied by `input_factors` (inputs,) before it is rounded, and what
    comes out by `output_factors` (outputs,) after that; the kernel has both in it the other way.
    All four are found by calibration and don't learn.
    """

    def build(self, layer, inputs, outputs):
        """Give a layer the ranges and factors of what goes into its product and comes out."""

        def held(name, size, value):
            return layer.add_weight(
                shape=(size,), initializer=value, trainable=False, name=name, autocast=False
            )

        self.input_range = held("input_range", 2, "zeros")
        self.output_range = held("output_range", 2, "zeros")
        self.input_factors = held("input_factors", inputs, "ones")
        self.output_factors = held("output_factors", outputs, "ones")

    def input(self, x):
        """What goes into a product."""
        return self._rounded(lowering.scaled(x, self.input_factors), self.input_range)

    def kernel(self, kernel):
        """The kernel (..., outputs) of a product."""
        axes = tuple(range(len(kernel.shape) - 1))
        return lowering.rounded(lambda x: on_scales(x, axes), kernel)

    def output(self, x):
        """What comes out of it, its bias added."""
        return lowering.scaled(self._rounded(x, self.output_range), self.output_factors)

    def rows(self, vectors):
        """Rows (..., dim) of a table."""
        return lowering.rounded(lambda x: on_scales(x, -1), vectors)

    @staticmethod
    def _rounded(x, limits):
        return lowering.rounded(lambda x: on_range(x, limits), x, limits)


@part("quantization", "int4")
class FourBits(Floats):
    """Products with weights of 4 bits, as LiteRT's files of `int4` have them.

    A kernel has a scale for each of its outputs, which the layer holds as `kernel_scales`
    (outputs,): found by its numbers, and not learnt; where they are 0 it stays as it is.
    Activations are rounded as they come, by the file alone. In half precision the kernel is half
    before it is rounded: a few numbers land beside those of the file.
    """

    def build(self, layer, inputs, outputs):
        """Give a layer the scales of its kernel."""
        self.scales = layer.add_weight(
            shape=(outputs,), initializer="zeros", trainable=False, name=SCALES, autocast=False
        )

    def kernel(self, kernel):
        """The kernel (..., outputs) of a product."""
        return on_steps(kernel, self.scales)
