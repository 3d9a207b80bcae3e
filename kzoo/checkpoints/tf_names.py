"""Weights of transformers' TensorFlow and Flax models under torch's names, in torch's layouts.

All three hold the same layers there. What differs is what stands in front of a name, what a layer
calls its variables and how these lie; one rule turns both into what the rows of a family know.
"""

from pathlib import Path

import numpy as np

from ..errors import KzooError
from .h5 import check_not_whole, read_h5, read_h5_texts
from .msgpack import read_msgpack
from .safetensors import Lazy

# A variable's name here, by its name in TensorFlow and Flax.
LEAVES = {
    "kernel": "weight",
    "embeddings": "weight",
    "embedding": "weight",
    "gamma": "weight",
    "scale": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
TURNED = {2: (1, 0), 4: (3, 2, 0, 1)}  # a kernel's axes in torch, by their number
LAYERS_ALONE = {"clip"}  # main layers whose names torch's models don't have in front
LONE_NUMBERS = {"logit_scale"}
# TensorFlow's ALBERT has two biases and adds the second; torch has them tied.
IN_TENSORFLOW = {"predictions.bias": None, "predictions.decoder.bias": "predictions.bias"}


def read_tensorflow(path):
    """The tensors of a tf_model.h5 or one of its shards as `{torch's name: Lazy}`.

    Raises `KzooError` when the file is damaged or not what transformers writes.
    """
    path = Path(path)
    check_not_whole(path, "transformers", "save_pretrained")
    arrays, texts = read_h5(path), read_h5_texts(path)
    layers = texts.get("layer_names")
    if layers is None:
        raise KzooError(
            f"{path} has no layer_names, so transformers didn't write it: the tf_model.h5 that "
            "save_pretrained writes is expected."
        )
    shard, named = set(layers), []
    for where, lazy in arrays.items():
        # A shard lists its arrays, which follow the model's name: only shared ones keep a scope.
        bare = where in shard and "model." not in where
        levels = _levels(where if where in shard else where.partition("/")[2] or where)
        named.append((levels if bare else _scoped(levels), lazy))
    return _tensors(named, _in_tensorflow, path)


def read_flax(path):
    """The tensors of a flax_model.msgpack or one of its shards as `{torch's name: Lazy}`.

    Raises `KzooError` when the file is damaged or holds other things than arrays.
    """
    return _tensors(read_msgpack(path).items(), _name, path)


def from_safetensors(tensors, writer, path):
    """The tensors of a safetensors file, which says what wrote it ("tf", "flax", "pt" ...)."""
    if writer == "tf":
        named = ((_levels(name), lazy) for name, lazy in tensors.items())
        return _tensors(named, _in_tensorflow, path)
    if writer == "flax":
        return _tensors(((n.split("."), lazy) for n, lazy in tensors.items()), _name, path)
    return tensors


def from_variables(variables, path):
    """The tensors of `{a variable's name in TensorFlow: Lazy}`, which a model's name begins."""
    named = ((_scoped(_levels(name)), lazy) for name, lazy in variables.items())
    return _tensors(named, _in_tensorflow, path)


def name_in_index(name):
    """Torch's name of a tensor in an index of shards; None of one that has no use."""
    if name.endswith(":0"):
        return _in_tensorflow(_scoped(_levels(name)))
    return _name(name.split("/")) if "/" in name else name


def _levels(name):
    return name.removesuffix(":0").split("/")


def _scoped(levels):
    """The levels below the model's own name; what stands alone has none."""
    return levels[1:] or levels


def _in_tensorflow(levels):
    """Torch's name of a variable in TensorFlow: "mlm___cls" is cls, "layer_._0" the first layer."""
    levels = [part for level in levels for part in level.rpartition("___")[2].split("_._") if part]
    name = _name(levels[1:] if levels[0] in LAYERS_ALONE else levels)
    return IN_TENSORFLOW.get(name, name)


def _name(levels):
    *front, leaf = levels
    return ".".join((*front, LEAVES.get(leaf, leaf)))


def _tensors(named, rule, path):
    """`{torch's name: Lazy}` of pairs of levels and a `Lazy`; layers may share a tensor."""
    found = {}
    for levels, lazy in named:
        if name := rule(levels):
            found.setdefault(name, []).append(_laid(levels[-1], lazy))
    return {name: _one(name, some, path) for name, some in found.items()}


def _laid(leaf, lazy):
    """A tensor as it lies in torch."""
    shape = lazy.shape
    if leaf == "kernel" and len(shape) in TURNED:
        axes = TURNED[len(shape)]
        turned = tuple(shape[axis] for axis in axes)
        return Lazy(lazy.dtype, turned, lambda: lazy.read().transpose(axes))
    if leaf == "bias" and len(shape) == 2:  # GPT-2's layers have an axis in front.
        shape = shape[1:] if shape[0] == 1 else shape
    if leaf in LONE_NUMBERS and shape == (1,):
        shape = ()
    return lazy if shape == lazy.shape else Lazy(lazy.dtype, shape, lambda: lazy.read()[0])


def _one(name, some, path):
    """The tensor that several layers share, each with a copy in the file."""
    first, *others = some
    if not others:
        return first

    def read():
        array = first.read()
        for other in others:
            copy = other.read()
            if copy.dtype != array.dtype or not np.array_equal(copy, array):
                raise KzooError(
                    f"{path} has {name} more than once, with different numbers: fetch it again."
                )
        return array

    return Lazy(first.dtype, first.shape, read)
