"""The affine map, whole, of low rank or adapted; its initialisation, activations' exact names."""

import keras
import numpy as np
from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, make, part, resolve
from ..values import is_number, is_whole
from .dropout import Dropout
from .lowering import gelu
from .rounding import rounding_of

ACTIVATIONS = {
    "gelu": gelu,  # by erf, arXiv:1606.08415
    "gelu_tanh": lambda x: ops.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),  # the same, section 2; OpenAI's CLIP
    "relu": ops.relu,
    "silu": ops.silu,
    "tanh": ops.tanh,
}


def activation(name):
    """The function behind an activation's name; erf and tanh GELU are different functions."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise KzooError(f"No activation is called {name!r}; known: {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def normal(spec):
    """The initialiser that BERT and its descendants share, arXiv:1810.04805."""
    return keras.initializers.TruncatedNormal(stddev=spec.initializer_range)


class NotByKeras:
    """Mixin, before `layers.Layer`: Keras' `quantize` is not the way for its weights."""

    def quantize(self, mode=None, type_check=True, config=None):
        """Raise KzooError."""
        raise KzooError(
            f"got quantize({mode!r}) for {self.path}, a layer of kzoo; expected quantization= of "
            "kzoo.export_litert, such as 'int8', or here filters= that leave kzoo's layers out."
        )


class Dense(NotByKeras, layers.Layer):
    """`x @ kernel + bias` on (..., in) as one matrix product of rank 2.

    Rank 2 is what becomes a single FULLY_CONNECTED on a device, with no shape arithmetic round it
    when the length is dynamic.
    """

    def __init__(self, units, spec, name, bias=True, initializer=None):
        super().__init__(name=name)
        self.units, self.spec, self.has_bias = units, spec, bias
        self.initializer = initializer or normal(spec)
        self.rounding = rounding_of(spec)

    def build(self, shape):
        """Make kernel (in, units) and, where it has one, bias (units,)."""
        self.kernel = self.add_weight(
            shape=(shape[-1], self.units), initializer=self.initializer, name="kernel"
        )
        if self.has_bias:
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.rounding.build(self, shape[-1], self.units)

    def call(self, x):
        """(..., in) to (..., units)."""
        y = self.product(ops.reshape(self.rounding.input(x), (-1, x.shape[-1])))
        y = self.rounding.output(ops.add(y, self.bias) if self.has_bias else y)
        if len(x.shape) == 2:
            return y
        return ops.reshape(y, (ops.shape(x)[0], *ops.shape(x)[1:-2], -1, self.units))

    def product(self, x):
        """(n, in) to (n, units), without the bias."""
        return ops.matmul(x, self.rounding.kernel(self.kernel))


def of_block(spec, path, width, units, bias):
    """A map of a block: a whole one, or what the `dense` slot of the block's spec makes of it.

    Args:
        spec: the spec of the block.
        path: that of the layer within the block, such as "attention/query".
        width: how wide the vectors are that it reads; `units` those that it gives.
        bias: whether it has one.
    """
    given = {"units": units, "spec": spec, "name": path.rpartition("/")[2], "bias": bias}
    if spec.dense is None:
        return Dense(**given)
    return make("dense", spec.dense, path=path, width=width, **given)


def check_maps(spec, paths):
    """Raise KzooError where the `dense` slot names a map that isn't one of the block's `paths`."""
    if spec.dense is not None:
        cls, _ = resolve("dense", spec.dense)
        cls.check_maps(paths, completed("dense", spec.dense))


class Ranked(Dense):
    """A map that is another where `ranks` name it: the base of the kinds of the `dense` slot.

    Args:
        spec: the spec of the block.
        path: which of its maps this is, such as "attention/query".
        width: how wide the vectors are that it reads; `units` those that it gives.
        ranks: the rank of each map by its path; one that isn't among them is a plain map.
    """

    def __init__(self, units, spec, name, path, width, bias, ranks=None):
        super().__init__(units, spec, name, bias)
        if not isinstance(ranks, dict):
            raise KzooError(
                f"Got ranks = {ranks!r:.60} for maps of blocks; expected a dict such as "
                '{"attention/query": 64}.'
            )
        self.rank, most = ranks.get(path), min(width, units)
        if path in ranks and not is_whole(self.rank, 1, most):
            raise KzooError(
                f"Got the rank {self.rank!r:.40} for {path}, a map from {width} to {units}; "
                f"expected a whole number from 1 to {most}, its lesser width."
            )

    @staticmethod
    def check_maps(paths, options):
        """Raise KzooError where ranks are those of maps that a block lacks."""
        unknown = sorted(set(options["ranks"] or ()) - set(paths))
        if unknown:
            raise KzooError(
                f"Got ranks for {', '.join(unknown)}, which the block lacks; expected some of "
                f"{', '.join(paths)}."
            )


@part("dense", "low_rank")
class LowRank(Ranked):
    """`x @ reduce @ kernel + bias`, where the map has a rank: two products of narrow matrices.

    In the place of in * units numbers it has (in + units) * rank, fewer where the rank is less
    than in * units / (in + units). `compression.factorize` makes it of a whole map.
    """

    def __init__(self, units, spec, name, path, width, bias, ranks=None):
        super().__init__(units, spec, name, path, width, bias, ranks)
        if self.rank is not None:
            self.reduce = Dense(self.rank, spec, "reduce", bias=False)

    def build(self, shape):
        """Make kernel (rank, units) and, where it has one, bias (units,)."""
        super().build(shape if self.rank is None else (None, self.rank))

    def call(self, x):
        """(..., in) to (..., units)."""
        return super().call(x if self.rank is None else self.reduce(x))


@part("dense", "lora")
class LoRA(Ranked):
    """`x @ kernel + alpha / rank * dropout(x) @ lora_a @ lora_b + bias`, where the map has a rank.

    Hu et al. 2021, arXiv:2106.09685. lora_b is zero at first, so that nothing changes; `kzoo.lora`
    lets the two learn and the kernel stand still, and `kzoo.merged` adds their product to it.

    Args:
        alpha: by `alpha / rank` the update is multiplied.
        dropout: the share of what the update reads that is left out in training.
    """

    LEAVES = ("lora_a", "lora_b")  # The names of its weights beside those of a plain map.

    def __init__(self, units, spec, name, path, width, bias, ranks=None, alpha=16.0, dropout=0.0):
        super().__init__(units, spec, name, path, width, bias, ranks)
        if not (is_number(alpha, 0) and alpha):
            raise KzooError(f"Got alpha = {alpha!r:.40} for LoRA; expected a number above 0.")
        if not is_number(dropout, 0) or dropout >= 1:
            raise KzooError(
                f"Got dropout = {dropout!r:.40} for LoRA; expected a number from 0 to below 1."
            )
        if spec.quantization is not None:
            raise KzooError(
                f"Got LoRA in a model that rounds as a file of {spec.quantization} does; expected "
                "one in floats: merge first, then quantize."
            )
        if self.rank is not None:
            self.scale, self.dropout = alpha / self.rank, Dropout(dropout)

    def build(self, shape):
        """Make those of a plain map, lora_a (in, rank) and lora_b (rank, units)."""
        super().build(shape)
        if self.rank is None:
            return
        # Uniform within 1 / sqrt(in), as the paper's code and PEFT have it.
        uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        self.lora_a = self.add_weight((shape[-1], self.rank), uniform, name="lora_a")
        self.lora_b = self.add_weight((self.rank, self.units), "zeros", name="lora_b")

    def product(self, x):
        """(n, in) to (n, units), without the bias."""
        return super().product(x) if self.rank is None else self.adapted(x)

    def adapted(self, x):
        """(n, in) to (n, units) by the kernel and its update."""
        update = ops.matmul(ops.matmul(self.dropout(x), self.lora_a), self.lora_b)
        return super().product(x) + update * self.scale

    @staticmethod
    def whole(held, scale):
        """The kernel (in, units) with its update, from a map's weights by name, as NumPy."""
        return held["kernel"] + scale * held["lora_a"] @ held["lora_b"]


@part("dense", "dora")
class DoRA(LoRA):
    """A map of LoRA whose columns have lengths of their own: `magnitude * column / its length`.

    Liu et al. 2024, arXiv:2402.09353. The lengths that the columns of `kernel + update` have are
    constants to the gradient (section 4.3).
    """

    LEAVES = (*LoRA.LEAVES, "magnitude")

    def build(self, shape):
        """Make those of LoRA, and magnitude (units,)."""
        super().build(shape)
        if self.rank is not None:
            self.magnitude = self.add_weight((self.units,), "ones", name="magnitude")

    def adapted(self, x):
        """(n, in) to (n, units) by the kernel and its update."""
        kernel, one, other = (
            ops.cast(w, "float32") for w in (self.kernel, self.lora_a, self.lora_b)
        )
        column = kernel + ops.matmul(one, other) * self.scale
        length = ops.stop_gradient(ops.sqrt(ops.sum(ops.square(column), axis=0)))
        gain = ops.cast(self.magnitude, "float32") / ops.maximum(length, 1e-30)
        y = super().adapted(x)
        return y * ops.cast(gain, y.dtype)

    @staticmethod
    def whole(held, scale):
        """The kernel (in, units) with its update, from a map's weights by name, as NumPy."""
        column = LoRA.whole(held, scale)
        return column * (held["magnitude"] / np.maximum(lengths(column), 1e-30))


def lengths(kernel):
    """The length of each column of a kernel (in, units), as NumPy: what DoRA begins with."""
    return np.sqrt(np.square(kernel).sum(axis=0))
