"""HDF5 files, which Keras keeps weights in, read lazily and checked, without their surprises.

An H5 file can lead to other files, to itself and to plugins. Of all that nothing is followed: what
is not a plain array in this file is one sentence, and so is an array that the file is too small
for.
"""

import contextlib
import math
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import DEEPEST
from .safetensors import Lazy, numpy_dtype

POINTER = b"version https://git-lfs"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}  # those that every HDF5 library has
TIGHTEST = 1032  # deflate makes no byte stand for more
WHOLE = "file of h5py or Keras that holds plain arrays"


def read_h5(path):
    """The arrays of an H5 file as `{path within it: Lazy}`; an array is read when it is asked for.

    Raises `KzooError` when the file is missing, damaged or no H5, and when anything in it is a
    link, lies elsewhere, is no array of numbers or would not fit the file.
    """
    path, tensors = Path(path), {}
    with _opened(path) as file:
        _walk(file, "", path, {_address(file)}, tensors)
    return tensors


def read_h5_texts(path, group="/"):
    """The attributes of a group of an H5 file that are text, as `{name: list of str}`.

    What Keras parts for its length (`layer_names0`, `layer_names1` ...) is joined under its name.
    Raises `KzooError` as `read_h5` does, and when there is no such group.
    """
    path = Path(path)
    with _opened(path) as file:
        texts = _texts(_followed(file, group, path), path)
    parted = {name.rstrip("0123456789") for name in texts} - texts.keys()
    for name in parted:
        pieces = (texts.get(f"{name}{number}", ()) for number in range(len(texts)))
        texts[name] = [text for piece in pieces for text in piece]
    return texts


def check_not_whole(path, library, saver):
    """Raise KzooError for a whole Keras model in place of the weights of a library's model."""
    if "model_config" in read_h5_texts(path):
        raise KzooError(
            f"{path} is a whole Keras model (model.save), not the weights of a model of "
            f"{library}: load it with Keras, and save the model in it by {saver}."
        )


def _texts(item, path):
    import h5py

    found = {}
    for name in _names(item.attrs, path):
        dtype = item.attrs.get_id(name).dtype
        if h5py.check_string_dtype(dtype) is None:
            continue
        values = np.atleast_1d(np.asarray(item.attrs[name], dtype=object)).ravel()
        found[name] = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]
    return found


def _followed(file, group, path):
    import h5py

    item = file
    for name in filter(None, group.split("/")):
        if not isinstance(item, h5py.Group) or name not in set(item):
            raise KzooError(f"{path} has no {group}: another {WHOLE} was expected there.")
        _check_link(item, name, f"{item.name}/{name}".lstrip("/"), path)
        item = item[name]
    return item


@contextlib.contextmanager
def _opened(path):
    """The file for reading; whatever HDF5 says of it is a sentence about the file."""
    try:
        import h5py
    except ImportError:
        raise KzooError(
            f"{path} is an H5 file and h5py is not installed: install it, or save the model as "
            "safetensors."
        ) from None
    try:
        with open(path, "rb") as file:
            start = file.read(len(SIGNATURE))
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: an H5 file was expected there.") from None
    except IsADirectoryError:
        raise KzooError(f"{path} is a folder: an H5 file was expected there.") from None
    if start != SIGNATURE:
        what = "it starts with other bytes than an H5 file does"
        if start == POINTER[: len(SIGNATURE)]:
            what = "it is a pointer of Git LFS: run `git lfs pull`"
        if h5py.is_hdf5(path):
            what = "a user block stands in front"
        raise _damaged(path, what)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except KzooError:
        raise
    # The library raises what it happens to meet: OSError, RuntimeError, KeyError, ValueError ...
    except Exception as error:
        reason = str(error).strip("\"' \n").split("\n")[0].rstrip(".") or type(error).__name__
        raise _damaged(path, reason) from None


def _walk(group, prefix, path, seen, tensors):
    import h5py

    if prefix.count("/") > DEEPEST:
        raise _damaged(path, f"its groups lie more than {DEEPEST} deep")
    for name in _names(group, path):
        where = prefix + name
        _check_link(group, name, where, path)
        item = group[name]
        if (address := _address(item)) in seen:
            raise _damaged(path, f"{where} is another name of what stands there already")
        seen.add(address)
        if isinstance(item, h5py.Group):
            _walk(item, f"{where}/", path, seen, tensors)
        elif isinstance(item, h5py.Dataset):
            tensors[where] = _lazy(item, where, path)
        else:
            raise _damaged(path, f"{where} is neither a group nor an array")


def _names(held, path):
    """The names of what a group holds, or of its attributes."""
    names = list(held)
    if not all(isinstance(name, str) for name in names):  # h5py gives what is no UTF-8 as bytes.
        raise _damaged(path, "a name in it is not UTF-8")
    return names


def _check_link(group, name, where, path):
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _damaged(path, f"{where} is a link to another place or file")


def _address(item):
    import h5py

    return h5py.h5o.get_info(item.id).addr


def _lazy(item, where, path):
    dtype = _dtype(item, where, path)
    _check_place(item, where, path)

    def read():
        with _opened(path) as file:
            array = np.asarray(file[where][()])
        if array.dtype.kind == "V":
            return array.view(numpy_dtype(dtype))
        return array.astype(numpy_dtype(dtype), copy=False)

    return Lazy(dtype, tuple(item.shape), read)


def _dtype(item, where, path):
    """The name of an array's dtype; Keras keeps bfloat16 as bare bytes and says so beside them."""
    dtype = item.dtype
    if dtype.kind in "biuf":
        return dtype.newbyteorder("=").name
    bare = dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None
    if bare and _texts(item, path).get("dtype") == ["bfloat16"]:
        return "bfloat16"
    raise _damaged(path, f"{where} holds {dtype}, no numbers")


def _check_place(item, where, path):
    """Whether an array lies in this file, whole, and can be read without plugins."""
    import h5py

    if item.shape is None:
        raise _damaged(path, f"{where} has no shape")
    if item.is_virtual or item.external:
        raise _damaged(path, f"{where} lies in another file")
    plan = item.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if foreign := [code for code in filters if code not in FILTERS]:
        known = ", ".join(FILTERS.values())
        raise _damaged(path, f"{where} is packed by filter {foreign[0]}, none of {known}")
    size = math.prod(item.shape) * item.dtype.itemsize
    stored, there = item.id.get_storage_size(), path.stat().st_size
    most = stored * (TIGHTEST if 1 in filters else 1)
    offset = item.id.get_offset() if plan.get_layout() == h5py.h5d.CONTIGUOUS else None
    if size > most or stored > there or (size and (offset or 0) + stored > there):
        raise _damaged(path, f"{where} needs {size} bytes, and {stored} of {there} are its own")


def _damaged(path, what):
    return KzooError(f"{path} is not a sound H5 file ({what}): a {WHOLE} is expected.")
