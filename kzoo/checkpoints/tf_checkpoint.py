"""TensorFlow's checkpoints as named arrays, not yet in memory.

A checkpoint is a prefix such as `bert_model.ckpt`: an index beside one or more files of data. Those
of TensorFlow 1 name each variable; those of TensorFlow 2 name the way to it through Python objects
and hold a graph of these objects, in which every variable still has the name it was made with.
"""

import math
import re
from pathlib import Path

from ..errors import KzooError
from ..files import read_text, within
from .safetensors import Lazy

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
STATE = "checkpoint"  # the file that says which checkpoint of a folder is the latest
PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
# What an optimizer and the training loop leave behind, as the last part of a name.
TRAINING = re.compile(
    r"(^|/)(adam_[mv]|Adam(_\d+)?|AdamWeightDecayOptimizer(_\d+)?|lamb_[mv]|LAMB\w*|Momentum"
    r"|global_step|beta[12]_power(_\d+)?|save_counter|_CHECKPOINT\w*|[^/]*_slot_\w+)(:0)?$"
)


def prefixes(path):
    """The prefixes of all checkpoints that a path may mean; of a folder's, the latest first.

    Args:
        path: a folder, whose file `checkpoint` names the latest; or a prefix, or one of the files
            that begin with it.
    """
    path = Path(path)
    if not path.is_dir():
        prefix = path.with_name(PART.sub("", path.name))
        return [prefix] if _parts(prefix) else []
    stems = {PART.sub("", each.name) for each in path.iterdir() if PART.search(each.name)}
    latest = _latest(path) if len(stems) > 1 else None
    return sorted((path / s for s in stems if _parts(path / s)), key=lambda p: (p != latest, p))


def find_prefix(path):
    """The prefix of the checkpoint that a path means.

    Args:
        path: as for `prefixes`.

    Raises:
        KzooError: for several checkpoints of which none is named, and for none.
    """
    path, found = Path(path), prefixes(path)
    if not found:
        raise KzooError(f"{path} has no checkpoint: NAME.index and NAME.data-* are expected.")
    if len(found) > 1 and found[0] != _latest(path):
        raise KzooError(
            f"{path} has the checkpoints {', '.join(p.name for p in found[:8])}, and no file "
            f"{STATE} that names one of them: give the path of one, such as {found[0]}."
        )
    return found[0]


def _latest(path):
    """The prefix that a folder's file `checkpoint` names, or None."""
    if not (path / STATE).is_file():
        return None
    text = read_text(path / STATE, "the names of checkpoints")
    latest = re.search(r'^model_checkpoint_path: "([^"]*)"', text, re.MULTILINE)
    # The folder has often moved since: only the name counts.
    name = latest and re.split(r"[/\\]", latest[1])[-1]
    return within(path, name, path / STATE) if name else None


def has_graph(prefix):
    """Whether a checkpoint is one of TensorFlow 2's, without reading it."""
    index = _file(prefix, "index")
    # Keys are sorted and shortened by what they share with the one before: here nothing.
    return index.is_file() and GRAPH.encode() in index.read_bytes()


def read_checkpoint(prefix):
    """The variables of a checkpoint as `{name: Lazy}`, without those of an optimizer.

    Raises `KzooError` when a part of it is missing, cut off or damaged.
    """
    return _variables(prefix, _reader(prefix))


def read_objects(prefix):
    """The variables of a checkpoint of TensorFlow 2, and the objects that they belong to.

    Returns:
        `{key: Lazy}` and a `TrackableObjectGraph`.

    Raises:
        KzooError: as `read_checkpoint`, and for a checkpoint without a graph.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    reader = _reader(prefix)
    if not reader.has_tensor(GRAPH):
        raise KzooError(
            f"{prefix} has no graph of objects, as tf.train.Checkpoint writes it: variables by "
            "name are read as a checkpoint of TensorFlow 1."
        )
    try:
        graph = TrackableObjectGraph.FromString(_value(prefix, reader, GRAPH))
    except DecodeError:
        raise _damaged(prefix, "its graph of objects is no message of TensorFlow") from None
    return _variables(prefix, reader), graph


def _variables(prefix, reader):
    dtypes = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
    numbers = {name: dtype for name, dtype in dtypes.items() if dtype.size}  # texts have none
    expected = sum(math.prod(shapes[name]) * dtype.size for name, dtype in numbers.items())
    there = sum(part.stat().st_size for part in _parts(prefix) if ".data-" in part.name)
    if there < expected:
        raise _damaged(prefix, f"its data has {there} bytes of {expected}")
    return {
        name: Lazy(dtype.name, tuple(shapes[name]), _value_of(prefix, reader, name))
        for name, dtype in sorted(numbers.items())
        if not TRAINING.search(name)
    }


def _value_of(prefix, reader, name):
    return lambda: _value(prefix, reader, name)


def _value(prefix, reader, name):
    import tensorflow as tf

    try:
        return reader.get_tensor(name)
    # The reader raises plain errors of Python beside TensorFlow's own.
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise _damaged(prefix, f"{name}: {_first_line(error)}") from None


def _reader(prefix):
    """TensorFlow's reader, once all files of the checkpoint are there."""
    names = [part.name for part in _parts(prefix)]
    index = _file(prefix, "index").name
    data = [name for name in names if ".data-" in name]
    counts = {int(name[-5:]) for name in data}
    wanted = [f"{prefix.name}.data-{i:05d}-of-{n:05d}" for n in counts for i in range(n)]
    missing = [name for name in [index, *wanted] if name not in names]
    missing += [] if data else [f"{prefix.name}.data-00000-of-00001"]
    if missing or len(counts) > 1:
        raise KzooError(
            f"{prefix} is half a checkpoint: it has {', '.join(names[:8])}, and "
            f"{', '.join(missing[:8]) or 'data of one saving'} is expected beside; fetch all of it."
        )
    import tensorflow as tf

    try:
        return tf.train.load_checkpoint(str(prefix))
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise _damaged(prefix, _first_line(error)) from None


def _file(prefix, suffix):
    return prefix.with_name(f"{prefix.name}.{suffix}")


def _parts(prefix):
    """The files of a checkpoint that hold anything of it."""
    files = prefix.parent.glob("*") if prefix.parent.is_dir() else ()
    return sorted(
        file
        for file in files
        if (part := PART.search(file.name))
        and part[1] != "meta"
        and file.name[: part.start()] == prefix.name
        and file.is_file()
    )


def _first_line(error):
    text = str(getattr(error, "message", error)).strip()
    return text.split("\n")[0].rstrip(".")[:200] or type(error).__name__


def _damaged(prefix, what):
    return KzooError(f"{prefix} is not a sound checkpoint ({what}): fetch it again.")
