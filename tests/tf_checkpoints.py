"""Checkpoints and SavedModels of TensorFlow, written as the recordings describe them."""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from on_disk import difference, noise

import kzoo

GOLDEN = Path(__file__).parent / "golden" / "on_disk"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
TOLERANCE = 1e-5


def golden(name):
    """The cases of a recording by their names."""
    cases = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return {case["case"]: case for case in cases}


def unpacked(text):
    """The bytes that the recording packed."""
    return zlib.decompress(base64.b85decode(text))


def arrays(case, names=None):
    """The variables of a case, noise in each that is a number with a fraction."""
    return {
        key: noise((names or {}).get(key, key.removesuffix(VALUE)), shape)
        if dtype == "float32"
        else np.ones(shape, dtype)
        for key, (dtype, shape) in case["tensors"].items()
        if dtype != "string"
    }


def write_checkpoint(prefix, values, graph=None):
    """Write arrays under their names, and a graph of objects, as TensorFlow's own writer does."""
    values = {name: tf.constant(value) for name, value in values.items()}
    if graph:
        values[GRAPH] = tf.constant(graph)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = list(values)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[values[name] for name in names],
    )
    shard = prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    assert shard.is_file()


def check(case, model):
    """Assert that a model gives what the reference gave."""
    inputs = {
        name: 5 * noise(name, value) if name == "images" else np.array(value, "int32")
        for name, value in case["inputs"].items()
    }
    expected = {name: np.array(value) for name, value in case["outputs"].items()}
    assert difference(model, inputs, expected) < TOLERANCE


def refused(path, *words, **options):
    """Assert that a path is one sentence with these words."""
    with pytest.raises(kzoo.KzooError) as error:
        kzoo.load(path, **options)
    message = str(error.value)
    assert message.endswith(".")
    assert "\n" not in message
    for word in words:
        assert word in message, message
