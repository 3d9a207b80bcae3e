"""The affine map, whole or of low rank, its initialisation and the activations' exact names."""

import keras
from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, make, part, resolve
from ..values import is_whole
from .rounding import rounding_of

ACTIVATIONS = {
    "gelu": lambda x: ops.gelu(x, approximate=False),  # erf, arXiv:1606.08415
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

    def __init__(self, units, spec, name, bias=True):
        super().__init__(name=name)
        self.units, self.spec, self.has_bias = units, spec, bias
        self.rounding = rounding_of(spec)

    def build(self, shape):
        """Make kernel (in, units) and, where it has one, bias (units,)."""
        self.kernel = self.add_weight(
            shape=(shape[-1], self.units), initializer=normal(self.spec), name="kernel"
        )
        if self.has_bias:
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.rounding.build(self, shape[-1], self.units)

    def call(self, x):
        """(..., in) to (..., units)."""
        y = ops.reshape(self.rounding.input(x), (-1, x.shape[-1]))
        y = ops.matmul(y, self.rounding.kernel(self.kernel))
        y = self.rounding.output(ops.add(y, self.bias) if self.has_bias else y)
        if len(x.shape) == 2:
            return y
        return ops.reshape(y, (ops.shape(x)[0], *ops.shape(x)[1:-2], -1, self.units))


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


@part("dense", "low_rank")
class LowRank(Dense):
    """`x @ reduce @ kernel + bias`, where the map has a rank: two products of narrow matrices.

    In the place of in * units numbers it has (in + units) * rank, fewer where the rank is less
    than in * units / (in + units). `compression.factorize` makes it of a whole map.

    Args:
        spec: the spec of the block.
        path: which of its maps this is, such as "attention/query".
        width: how wide the vectors are that it reads; `units` those that it gives.
        ranks: the rank of each map by its path; one that isn't among them stays whole.
    """

    def __init__(self, units, spec, name, path, width, bias, ranks=None):
        super().__init__(units, spec, name, bias)
        if not isinstance(ranks, dict):
            raise KzooError(
                f"Got ranks = {ranks!r:.60} for maps of low rank; expected a dict such as "
                '{"attention/query": 64}.'
            )
        self.rank, most = ranks.get(path), min(width, units)
        if path in ranks and not is_whole(self.rank, 1, most):
            raise KzooError(
                f"Got the rank {self.rank!r:.40} for {path}, a map from {width} to {units}; "
                f"expected a whole number from 1 to {most}, its lesser width."
            )
        if self.rank is not None:
            self.reduce = Dense(self.rank, spec, "reduce", bias=False)

    @staticmethod
    def check_maps(paths, options):
        """Raise KzooError where ranks are those of maps that a block lacks."""
        unknown = sorted(set(options["ranks"] or ()) - set(paths))
        if unknown:
            raise KzooError(
                f"Got ranks for {', '.join(unknown)}, which the block lacks; expected some of "
                f"{', '.join(paths)}."
            )

    def build(self, shape):
        """Make kernel (rank, units) and, where it has one, bias (units,)."""
        super().build(shape if self.rank is None else (None, self.rank))

    def call(self, x):
        """(..., in) to (..., units)."""
        return super().call(x if self.rank is None else self.reduce(x))
