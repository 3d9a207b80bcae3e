"""The operations that a device compiler wants in a form of its own.

The model says what it means (`lookup(table, ids)`); an exporter says, for the time of a `with`
block, how that is written in its graph. Nothing else in the model knows of exporters.
"""

import contextlib
import contextvars
import math

import keras
import numpy as np
from keras import ops

LEAST = -3e38  # about the least float32

# What normalizes x (..., dim) by (x, gamma, beta or None, epsilon) where an exporter says how.
_layer_norm = contextvars.ContextVar("layer_norm", default=None)


def _take(table, ids):
    return ops.take(table, ids, axis=0)


def _multiplied(x, factors):
    return x * ops.cast(factors, x.dtype)


_lookup = contextvars.ContextVar("lookup", default=_take)
# What stands for the rounding of activations x to the grid of a range, (x, range), where somebody
# says: an exporter, whose file rounds by itself, or who looks for the ranges. And what multiplies
# x (..., dim) by factors (dim,) that may all be 1.
_rounding = contextvars.ContextVar("rounding", default=None)
_scaling = contextvars.ContextVar("scaling", default=_multiplied)


def lookup(table, ids):
    """Rows of `table` (rows, dim) at integer `ids` (...): the result is (..., dim)."""
    return _lookup.get()(table, ids)


def rows_from(table, start, count):
    """`count` rows of `table` (rows, dim) from the row `start` on.

    A slice where the model is trained and served; a look-up where an exporter has a form of its
    own for those, because a table that is only looked up can be stored as int8.
    """
    function = _lookup.get()
    if function is _take:
        return table[start : start + count]
    rows = ops.arange(count, dtype="int32")
    return function(table, rows + start if start else rows)


def known_late(ids, given):
    """`ids`, which an exporter's compiler can't know before it has `given`.

    Those are whole numbers from 0 of the model's input. It would compute what follows from
    constants, and store that in the weights' place: of distances, keys and queries of every block.
    """
    return ids if _lookup.get() is _take else ids + ops.minimum(given, 0)


def reshaped(x, shape):
    """x in a shape whose sizes are numbers, or one scalar tensor wherever they aren't.

    An exporter's compiler would pack such a list once more for each time that it is there.
    """
    open_sizes = [size for size in shape if not isinstance(size, int)]
    if _lookup.get() is _take or not open_sizes:
        return ops.reshape(x, shape)
    known = np.array([size if isinstance(size, int) else 0 for size in shape], "int32")
    is_open = np.array([not isinstance(size, int) for size in shape], "int32")
    return ops.reshape(x, ops.cast(open_sizes[0], "int32") * is_open + known)


def apart(x):
    """x, between which and a table that is looked up too an exporter's compiler folds nothing.

    TensorFlow's converter multiplies what a product with constants is scaled by into them, be it a
    norm's gain before or a factor behind: a table that is looked up as well would be there twice.
    """
    return x if _lookup.get() is _take else ops.maximum(x, LEAST)


def kept(x, bias):
    """x, constants (n,) of which an exporter's compiler is to make nothing more.

    A file would hold their products with weights behind them, in floats, and not the weights. From
    `bias`, which is added to scores and 0 or less, comes a factor of one that nobody knows before
    an input is there.
    """
    if _lookup.get() is _take or bias is None:
        return x
    one = ops.maximum(bias[:1, :1, :1, :1], 0.0) + 1.0
    return x * ops.cast(ops.reshape(one, (1,)), x.dtype)


def is_open(length):
    """Whether an exporter leaves a length open: on a device nothing is computed of its shapes."""
    return _lookup.get() is not _take and not isinstance(length, int)


def layer_norm(usual, x, gamma, beta, epsilon):
    """Layer normalisation of x (..., dim): `usual(x)`, or what an exporter has in its place."""
    function = _layer_norm.get()
    return usual(x) if function is None else function(x, gamma, beta, epsilon)


def gelu(x):
    """x times the share of a normal distribution below it (arXiv:1606.08415).

    Keras' form is one operator to an exporter's compiler, and XLA joins it to its neighbours.
    TensorFlow takes erfc for it, which costs twice as much as erf, and both of bfloat16 number by
    number.
    """
    if keras.backend.backend() != "tensorflow" or _lookup.get() is not _take:
        return ops.gelu(x, approximate=False)
    wide = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    return ops.cast(0.5 * wide * (1.0 + ops.erf(wide * math.sqrt(0.5))), x.dtype)


def rounded(usual, x, limits=None):
    """`usual(x)`, which rounds x to a grid, or what somebody else has in its place.

    Activations have the `limits` (2,) of their grid; weights have none, and stay as they are there.
    """
    function = _rounding.get()
    if function is None:
        return usual(x)
    return x if limits is None else function(x, limits)


def scaled(x, factors):
    """x (..., dim) times factors (dim,)."""
    return _scaling.get()(x, factors)


def rounding(function, scaling=_multiplied):
    """Round inside the block with `function(x, limits)`, see `rounded`, and multiply likewise."""
    return _set({_rounding: function, _scaling: scaling})


def using(lookup, layer_norm):
    """Write look-ups inside the block with `lookup(table, ids)`, and normalisations likewise.

    Args:
        lookup: rows of a table at ids.
        layer_norm: a function of x (..., dim), gamma, beta or None, and epsilon.
    """
    return _set({_lookup: lookup, _layer_norm: layer_norm})


@contextlib.contextmanager
def _set(values):
    """Give context variables values for the time of a block."""
    tokens = {variable: variable.set(value) for variable, value in values.items()}
    try:
        yield
    finally:
        for variable, token in tokens.items():
            variable.reset(token)
