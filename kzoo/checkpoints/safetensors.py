"""The safetensors format, read lazily and checked, written one tensor at a time.

A file is eight bytes of header length, a JSON header (name to dtype, shape and byte range) and the
tensors' bytes. Everything in the header is checked against the file before a tensor is touched,
so a truncated or damaged file is one sentence and not a crash in the middle of a model.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import parse_json, writing_file
from ..values import is_whole

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
CODES = {name: code for code, name in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # what the format's own library accepts


@dataclasses.dataclass(frozen=True)
class Lazy:
    """A tensor that is not in memory yet: its numpy dtype, its shape and how to read it."""

    dtype: str
    shape: tuple
    read: Callable

    @property
    def nbytes(self):
        """How many bytes its numbers take."""
        return math.prod(self.shape) * numpy_dtype(self.dtype).itemsize

    @classmethod
    def of(cls, array):
        """An array that is already there, in the same dress."""
        return cls(array.dtype.name, tuple(array.shape), lambda: array)


def mapped(path, dtype, shape, offset):
    """The `Lazy` of a tensor that lies in a file, from the byte `offset` on, row by row."""

    def read():
        if 0 in shape:
            return np.zeros(shape, numpy_dtype(dtype))
        count = math.prod(shape) * numpy_dtype(dtype).itemsize
        flat = np.asarray(np.memmap(path, np.uint8, "r", offset, count))
        return flat.view(numpy_dtype(dtype)).reshape(shape)

    return Lazy(dtype, shape, read)


def numpy_dtype(name):
    """The numpy dtype of a name; bfloat16 comes from ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def read_tensors(path):
    """The tensors of a safetensors file as `{name: Lazy}`; the file stays mapped, not loaded.

    Raises `KzooError` when the file is missing, truncated, or its header contradicts itself.
    """
    path = Path(path)
    header, start, size = _read_header(path)
    spans, tensors = [], {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, (begin, end) = _entry(path, name, entry)
        tensors[name] = mapped(path, dtype, shape, start + begin)
        if end - begin != (expected := tensors[name].nbytes):
            raise _damaged(
                path,
                f"tensor {name} of {dtype} {list(shape)} has {end - begin} bytes, not {expected}",
            )
        spans.append((begin, end, name))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            raise _damaged(path, f"tensor {name} starts at byte {begin}, not at {position}")
        position = end
    if position != size - start:
        raise _damaged(
            path, f"its header describes {position} bytes of tensors and {size - start} are there"
        )
    return tensors


def read_metadata(path):
    """What the writer of a safetensors file says of it: words by name."""
    header, _, _ = _read_header(Path(path))
    words = header.get("__metadata__")
    return words if isinstance(words, dict) else {}


def write_tensors(path, tensors, metadata=None):
    """Write `{name: array or Lazy}` whole or not at all, with one tensor in memory at a time."""
    tensors = {
        name: value if isinstance(value, Lazy) else Lazy.of(np.asarray(value))
        for name, value in tensors.items()
    }
    # Wide elements first, so that every tensor starts at a multiple of its element's size.
    order = sorted(tensors, key=lambda name: (-numpy_dtype(tensors[name].dtype).itemsize, name))
    header, position = {"__metadata__": metadata} if metadata else {}, 0
    for name in order:
        lazy = tensors[name]
        end = position + lazy.nbytes
        header[name] = {
            "dtype": CODES[lazy.dtype],
            "shape": list(lazy.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with writing_file(path) as tmp_path, open(tmp_path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            lazy = tensors[name]
            array = np.asarray(lazy.read())
            if array.shape != lazy.shape or array.dtype != numpy_dtype(lazy.dtype):
                raise KzooError(
                    f"Tensor {name} turned out as {array.dtype} {list(array.shape)} while "
                    f"{lazy.dtype} {list(lazy.shape)} was announced: read the model again."
                )
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _read_header(path):
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, LONGEST_HEADER):
                raise _damaged(path, f"a header of {length} bytes doesn't fit its {size} bytes")
            text = file.read(length).decode("utf-8")
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: a safetensors file was expected there.") from None
    except UnicodeDecodeError:
        raise _damaged(path, "its header is not UTF-8") from None
    try:
        return parse_json(text, "its header", "a JSON object"), 8 + length, size
    except KzooError as error:
        raise _damaged(path, str(error).split(":")[0]) from None


def _entry(path, name, entry):
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, f"tensor {name} lacks its dtype, shape or data_offsets") from None
    if set(entry) != {"dtype", "shape", "data_offsets"} or not isinstance(shape, list):
        raise _damaged(path, f"tensor {name} has other fields than dtype, shape and data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _damaged(path, f"tensor {name} has dtype {dtype!r}, none of {', '.join(DTYPES)}")
    if not all(is_whole(n, 0) for n in numbers) or begin > end:
        raise _damaged(path, f"tensor {name} has shape {shape} at bytes {begin} to {end}")
    return DTYPES[dtype], tuple(shape), (begin, end)


def _damaged(path, what):
    return KzooError(f"{path} is not a sound safetensors file ({what}): fetch it again.")
