"""A Keras model as one .tflite file: traced, frozen, quantized, audited."""

import tempfile
from pathlib import Path

from ..errors import KzooError
from ..files import writing_file
from ..logs import hidden
from ..network import Network, weights_by_path
from ..nn import lowering
from ..values import is_whole
from . import quantize
from .audit import audit, check_audit, check_quantization
from .compat import check_compat, rewritten
from .limits import LABELLED, check, check_names, defaults
from .parity import model_inputs
from .user_model import UserModel, as_exportable

SIGNATURE = "serve"
SLACK = 0.03  # How far the size may lie from what the weights ask for, and in bytes for the graph:
GRAPH_BYTES = 400_000


def export_litert(
    model, path, quantization="float32", length=None, limits=None, compat=None, texts=None
):
    """Write a model as a .tflite file that a phone runs at batch 1, and check the file.

    The file has one signature, `serve`. Its inputs are the backbone's (int32 `token_ids`,
    `padding_mask` and, where the family has segments, `segment_ids`, each (1, length)), its
    outputs what the model called on tokens returns, such as `logits` (1, labels).

    Args:
        model: a task, a backbone, or a functional, sequential or subclassed `keras.Model` of your
            own that holds one backbone and is called on the dict of its inputs. The outputs of
            the last are called as it returns them, or as its layers; a single one `output`.
        path: the file to write; it is there whole or not at all.
        quantization: "float32"; "float16" (weights in half precision); "int8" (weights int8 with
            a scale a channel or row, activations quantized as they come); "int8_int4_table" (the
            same, but the token table int4 with a scale for every 32 numbers).
        length: None for a dynamic length (the caller resizes the inputs, padding is not needed),
            or the one length that the file takes. A functional model of one length takes that.
        limits: what the file must keep, such as {"cosine": 0.997, "megabytes": 23.6}; see
            `limits.KNOWN`. By default what suits the quantization.
        compat: an older runtime that is to load the file, "tflite-2.16" or "tflite-2.14"; see
            `compat.RUNTIMES`.
        texts: strings, or pairs for a task that reads those, on which the file is compared with
            Keras; shipped English sentences by default.

    Returns:
        A dict: `audit` (bytes, operators, partitions, minimum_runtime and more, see
        `audit.audit`), `parity` (how far its answers lie from Keras' on the texts, 1 to 230
        words where none were given, see `parity.measure`) and `limits` (bound and measured value
        of each).

    Raises:
        KzooError: if the model can't be exported, or the file fails the audit or misses a limit;
            no file is left then.
    """
    from .interpreter import Interpreter
    from .parity import compare, problem_of, samples

    model = as_exportable(model)
    length = getattr(model, "length", None) if length is None else length
    check_arguments(model, quantization, length, compat)
    path = Path(path)
    if path.suffix != ".tflite" or path.is_dir():
        raise KzooError(f"{path} is not the path of a .tflite file: give one.")
    own = isinstance(model, UserModel)
    if limits is None:
        limits = defaults(quantization, problem_of(model))
        if own:  # How XNNPACK takes layers that aren't kzoo's is shown, and no fault.
            del limits["partitions"]
    check_names(limits)
    if labelled := sorted(LABELLED & set(limits)):
        raise KzooError(
            f"The limit {labelled[0]} needs labelled texts, which only a bundle is measured on: "
            "export a recipe with an evaluation file, or leave the limit out."
        )
    _check_weights(model)
    with hidden(), writing_file(path) as tmp_path:
        model = in_float32(model)
        content, used = _convert(model, quantization, length)
        if compat is not None:
            content = rewritten(content, compat)
        tmp_path.write_bytes(content)
        audited = audit(tmp_path)
        check_audit(audited, limits.get("partitions", None if own else 1))
        check_quantization(audited, quantization)
        _check_size(audited["bytes"], used, quantization)
        parity = compare(model, Interpreter(tmp_path), samples(model, length, texts))
        measured = {"megabytes": audited["bytes"] / 1e6, "partitions": audited["partitions"]}
        rows = check(limits, {**parity, **measured})
    return {"audit": audited, "parity": parity, "limits": rows}


def check_arguments(model, quantization, length, compat=None):
    """Raise KzooError for arguments that `export_litert` doesn't take."""
    import keras

    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, Network):
        raise KzooError(
            f"got a {type(model).__name__} for a LiteRT file; expected a kzoo task or backbone, or "
            "for a file without a bundle a keras.Model that holds one."
        )
    if quantization not in quantize.QUANTIZATIONS:
        raise KzooError(
            f"quantization is {quantization!r}; one of {', '.join(quantize.QUANTIZATIONS)} is "
            "expected."
        )
    check_compat(compat, quantization)
    limit = backbone.spec.max_sequence_length
    if length is not None and not is_whole(length, 2, limit):
        raise KzooError(
            f"length is {length!r}; None (dynamic) or 2 to {limit} tokens are expected."
        )
    if keras.backend.backend() != "tensorflow":
        raise KzooError(
            f"Keras runs on {keras.backend.backend()} here; LiteRT files are made with "
            "TensorFlow: set KERAS_BACKEND=tensorflow before Python starts."
        )


def _weights(model):
    """Every weight of a model by its path."""
    if isinstance(model, UserModel):
        return model.weights_by_path()
    return weights_by_path(model)


def _check_weights(model):
    import numpy as np

    for path, weight in _weights(model).items():
        if not np.isfinite(np.asarray(weight)).all():
            raise KzooError(
                f"The weight {path} holds NaN or infinite values: train or load the model anew."
            )


def in_float32(model):
    """The model itself, or a float32 copy of one that computes in half precision."""
    import keras

    if isinstance(model, UserModel):
        return model.in_float32()
    if keras.backend.standardize_dtype(model.compute_dtype) == "float32":
        return model
    config = model.get_config()
    config.get("backbone", config)["dtype"] = "float32"
    copy = type(model).from_config(config)
    there = weights_by_path(copy)
    for path, weight in weights_by_path(model).items():
        there[path].assign(weight)
    if hasattr(model, "_tokenizer"):
        copy.tokenizer = model._tokenizer
    return copy


def _convert(model, quantization, length):
    """The bytes of the file, and {path: shape} of the weights that its graph reads."""
    import tensorflow as tf

    weights = _weights(model)
    module = tf.Module()
    # The raw variables, without Keras' tracking round them: these the converter freezes.
    module.held = [weight.value for weight in weights.values()]

    @tf.function(experimental_implements="embedding_matmul")
    def rows(table, ids):
        return tf.gather(table, ids)

    def lookup(table, ids):
        # Exactly a table and flat ids is what the converter turns into EMBEDDING_LOOKUP.
        result = rows(tf.convert_to_tensor(table), tf.reshape(ids, [-1]))
        return tf.reshape(result, [*([1] if len(ids.shape) == 2 else []), -1, table.shape[1]])

    def serve(**inputs):
        with lowering.using(lookup=lookup):
            return model(inputs)

    sizes = {"batch": 1, "length": length}
    signature = {
        name: tf.TensorSpec([sizes.get(axis, axis) for axis in entry.axes], entry.dtype, name=name)
        for name, entry in model_inputs(model).items()
    }
    concrete = tf.function(serve).get_concrete_function(**signature)
    read = {id(variable) for variable in concrete.variables}
    used = {
        path: tuple(weight.shape) for path, weight in weights.items() if id(weight.value) in read
    }
    module.serve = concrete
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        return quantize.convert(converter, quantization, weights, used), used


def _check_size(size, used, quantization):
    """A file much smaller lacks weights, one much larger holds them unquantized or twice."""
    expected = sum(quantize.expected_bytes(path, s, quantization) for path, s in used.items())
    low, high = expected * (1 - SLACK), expected * (1 + SLACK) + GRAPH_BYTES
    if not low <= size <= high:
        raise KzooError(
            f"The file has {size / 1e6:.2f} MB; its weights as {quantization} ask for "
            f"{low / 1e6:.2f} to {high / 1e6:.2f} MB."
        )
