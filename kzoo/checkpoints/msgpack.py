"""The msgpack files of Flax, read lazily and checked, without flax or its codec.

A file is one map of maps by name; its leaves are arrays, each an extension of type 1 that holds
shape, dtype and bytes, or a map of such pieces where an array was too long for one. Nothing else
that msgpack knows has a place there.
"""

import math
import mmap
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import DEEPEST
from .safetensors import DTYPES, Lazy, mapped

ARRAY, NUMBER = 1, 3  # Flax's extensions; 2 is a complex number
CHUNKED = "__msgpack_chunked_array__"
# How many bytes the length of a thing has, by its first byte.
TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
LISTS = {0xDC: 2, 0xDD: 4}
MAPS = {0xDE: 2, 0xDF: 4}
EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXED = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}  # extensions of these lengths
WHOLES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}


def read_msgpack(path):
    """The arrays of a Flax file as `{names from the outermost on: Lazy}`; the file stays mapped.

    Raises `KzooError` when the file is missing, truncated, or holds other things than arrays.
    """
    path, tensors = Path(path), {}
    try:
        with open(path, "rb") as file:
            if not path.stat().st_size:
                raise _damaged(path, "it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                reader = _Reader(path, data)
                tree = reader.tree()
                if reader.at != len(data):
                    raise _damaged(path, f"{len(data) - reader.at} bytes follow its end")
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: a msgpack file was expected there.") from None
    except IsADirectoryError:
        raise KzooError(f"{path} is a folder: a msgpack file was expected there.") from None
    if not isinstance(tree, dict):
        raise _damaged(path, "it is no map of names")
    _flatten(tree, (), path, tensors)
    return tensors


def _flatten(tree, names, path, tensors):
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


class _Reader:
    """What stands in a file, from `at` on; every length is held against the file's."""

    def __init__(self, path, data, at=0, depth=0):
        self.path, self.data, self.at, self.depth = path, data, at, depth

    def tree(self):
        """The next thing: a dict, a `Lazy`, a whole number or a truth value."""
        code = self.number(1)
        if 0x80 <= code <= 0x8F or code in MAPS:
            return self.map(code & 0x0F if code <= 0x8F else self.number(MAPS[code]))
        if code in FIXED or code in EXTENSIONS:
            return self.extension(FIXED[code] if code in FIXED else self.number(EXTENSIONS[code]))
        if code in (0xC2, 0xC3):
            return code == 0xC3
        return self.whole(code)

    def map(self, count):
        self.depth += 1
        if self.depth > DEEPEST:
            raise _damaged(self.path, f"its maps lie more than {DEEPEST} deep")
        found = {}
        for _ in range(count):
            name = self.text()
            if name in found:
                raise _damaged(self.path, f"{name} stands there twice")
            found[name] = self.tree()
        self.depth -= 1
        return found

    def extension(self, length):
        kind = self.number(1)
        end = self.at + length
        if kind not in (ARRAY, NUMBER) or end > len(self.data):
            raise _damaged(self.path, f"an extension of type {kind} and {length} bytes")
        code = self.number(1)
        if code != 0x93:
            raise _damaged(self.path, "an array lacks its shape, dtype or bytes")
        shape, dtype = self.shape(), self.text()
        if dtype not in DTYPES.values():
            raise _damaged(self.path, f"an array of dtype {dtype!r:.40}")
        length = self.length(BYTES, self.number(1))
        lazy = mapped(self.path, dtype, shape, self.at)
        self.at += length
        if self.at != end or length != lazy.nbytes:
            raise _damaged(
                self.path,
                f"an array of {dtype} {list(shape)} has {length} bytes, not {lazy.nbytes}",
            )
        return lazy

    def shape(self):
        code = self.number(1)
        count = code & 0x0F if 0x90 <= code <= 0x9F else self.length(LISTS, code)
        return tuple(self.whole(self.number(1)) for _ in range(count))

    def text(self):
        code = self.number(1)
        length = code & 0x1F if 0xA0 <= code <= 0xBF else self.length(TEXTS, code)
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise _damaged(self.path, "a name is not UTF-8") from None

    def whole(self, code):
        return code if code <= 0x7F else self.length(WHOLES, code)

    def length(self, kinds, code):
        if code not in kinds:
            raise _damaged(
                self.path, f"byte {self.at - 1} is {code:#04x}, which has no place there"
            )
        return self.number(kinds[code])

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def take(self, count):
        if self.at + count > len(self.data):
            raise _damaged(
                self.path, f"it ends after {len(self.data)} bytes, within a name or array"
            )
        self.at += count
        return self.data[self.at - count : self.at]


def _damaged(path, what):
    return KzooError(f"{path} is not a sound file of Flax's weights ({what}): fetch it again.")
