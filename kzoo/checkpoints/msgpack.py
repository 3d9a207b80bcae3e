"""The msgpack files of Flax, read through the package msgpack and checked, without flax.

A file is one map of maps by name; its leaves are arrays, each an extension of type 1 that holds
shape, dtype and bytes, or a map of such pieces where an array was too long for one. Nothing else
that msgpack knows has a place there.
"""

import math
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import DEEPEST
from ..values import is_whole
from .safetensors import DTYPES, Lazy, numpy_dtype

ARRAY, NUMBER = 1, 3  # Flax's extensions; 2 is a complex number
CHUNKED = "__msgpack_chunked_array__"


def read_msgpack(path):
    """The arrays of a Flax file as `{names from the outermost on: Lazy}`; the file is read whole.

    Raises `KzooError` when the file is missing, truncated, or holds other things than arrays.
    """
    path, tensors = Path(path), {}
    try:
        import msgpack
    except ImportError:
        raise KzooError(
            f"{path} is in Flax's format, which needs msgpack, and that is not installed: install "
            "kzoo[flax], or save the model as safetensors."
        ) from None

    def array(kind, content):
        if kind not in (ARRAY, NUMBER):
            raise _damaged(path, f"an extension of type {kind} and {len(content)} bytes")
        return _array(msgpack.unpackb(content), path)

    def named(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _damaged(path, f"{twice} stands there twice")
        return found

    try:
        tree = msgpack.unpackb(path.read_bytes(), ext_hook=array, object_pairs_hook=named)
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: a msgpack file was expected there.") from None
    except IsADirectoryError:
        raise KzooError(f"{path} is a folder: a msgpack file was expected there.") from None
    except KzooError:
        raise
    # What msgpack raises where a file is none: its own errors, ValueError, TypeError ...
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise _damaged(path, reason) from None
    if not isinstance(tree, dict):
        raise _damaged(path, "it is no map of names")
    _flatten(tree, (), path, tensors)
    return tensors


def _array(parts, path):
    """The `Lazy` of an array's shape, dtype and bytes."""
    if not isinstance(parts, list) or list(map(type, parts)) != [list, str, bytes]:
        raise _damaged(path, "an array lacks its shape, dtype or bytes")
    shape, dtype, content = parts
    if dtype not in DTYPES.values() or not all(is_whole(size, 0) for size in shape):
        raise _damaged(path, f"an array of dtype {dtype!r:.40} and shape {shape!r:.40}")
    expected = math.prod(shape) * numpy_dtype(dtype).itemsize
    if len(content) != expected:
        raise _damaged(
            path, f"an array of {dtype} {shape} has {len(content)} bytes, not {expected}"
        )
    return Lazy.of(np.frombuffer(content, numpy_dtype(dtype)).reshape(shape))


def _flatten(tree, names, path, tensors):
    if len(names) > DEEPEST:
        raise _damaged(path, f"its maps lie more than {DEEPEST} deep")
    if CHUNKED in tree:
        tensors[names] = _joined(tree, ".".join(names), path)
        return
    for name, value in tree.items():
        if isinstance(value, dict):
            _flatten(value, (*names, name), path, tensors)
        elif isinstance(value, Lazy):
            tensors[(*names, name)] = value
        else:
            raise _damaged(path, f"{'.'.join((*names, name))} is no array")


def _joined(tree, name, path):
    """An array in pieces, each a flat part of it."""
    sizes, pieces = tree.get("shape"), tree.get("chunks")
    shape, chunks = _listed(sizes, int), _listed(pieces, Lazy)
    if shape is None or not chunks or len({chunk.dtype for chunk in chunks}) > 1:
        raise _damaged(path, f"{name} lacks its shape or pieces")
    held = sum(math.prod(chunk.shape) for chunk in chunks)
    if held != math.prod(shape):
        raise _damaged(path, f"{name} of {list(shape)} has pieces of {held} numbers")

    def read():
        return np.concatenate([chunk.read().reshape(-1) for chunk in chunks]).reshape(shape)

    return Lazy(chunks[0].dtype, shape, read)


def _listed(tree, kind):
    """The values of a map from "0", "1" and so on, in that order; None where it is none."""
    if not isinstance(tree, dict) or set(tree) != {str(i) for i in range(len(tree))}:
        return None
    values = tuple(tree[str(i)] for i in range(len(tree)))
    return values if all(type(value) is kind for value in values) else None


def _damaged(path, what):
    return KzooError(f"{path} is not a sound file of Flax's weights ({what}): fetch it again.")
