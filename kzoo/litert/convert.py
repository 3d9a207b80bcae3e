"""A Keras model as one .tflite file: traced, frozen, quantized, audited."""

import contextlib
import tempfile
from dataclasses import dataclass

import numpy as np

from ..adapters import as_written
from ..errors import KzooError
from ..network import Network, weights_by_path
from ..nn import lowering
from ..values import an, is_whole
from . import gpu, quantize
from .audit import audit, check_audit, check_quantization
from .compat import check_compat, rewritten
from .user_model import UserModel

SLACK = 0.03  # How far the size may lie from what the weights ask for, and in bytes for the graph:
GRAPH_BYTES = 400_000  # of each function
CACHE = "past_length"  # the axis of what was read before
LARGEST_CACHE = 1024  # slots of a cache where nobody asks for another


@dataclass(frozen=True)
class Exportable:
    """A model that computes in float32, and every weight of it by its path."""

    model: object
    weights: dict


def exportable(model):
    """A model as `write_file` takes it, in float32, adapters merged, with its weights collected.

    Raises:
        KzooError: if a weight is NaN or infinite, or a user's own model can't be float32.
    """
    model = as_written(in_float32(model))
    weights = model.weights_by_path() if isinstance(model, UserModel) else weights_by_path(model)
    for path, weight in weights.items():
        if not np.isfinite(np.asarray(weight)).all():
            raise KzooError(
                f"The weight {path} holds NaN or infinite values: train or load the model anew."
            )
    return Exportable(model, weights)


@dataclass(frozen=True)
class Traced:
    """The functions of a model as graphs, from which files of several quantizations are made.

    Args:
        folder: a SavedModel, which is there while `traced` is open.
        functions: the names of its functions.
        weights: every weight of the model by its path.
        used: {path: shape} of the weights that the graphs read.
        tables: constants that are no weights.
    """

    folder: str
    functions: list
    weights: dict
    used: dict
    tables: list


@contextlib.contextmanager
def traced(source, sizes=None, functions=None, marked=False):
    """The `Traced` of an `Exportable`, for as long as it is open.

    Args:
        source: an `Exportable`.
        sizes: {axis: size} of the axes that are to have one, such as {"length": 128}; every
            other is open.
        functions: the names of those of the model's functions that the file is to have, such as
            one of two towers; all by default.
        marked: whether the graphs say what int8_static rounds, for such a file alone.
    """
    import tensorflow as tf

    model, weights = source.model, source.weights
    module = tf.Module()
    # The raw variables, without Keras' tracking round them: these the converter freezes.
    module.held = [weight.value for weight in weights.values()]
    names = model.functions if functions is None else functions
    concrete = {name: _function(model, name, dict(sizes or {}), marked) for name in names}
    read = {id(variable) for function in concrete.values() for variable in function.variables}
    used = {
        path: tuple(weight.shape) for path, weight in weights.items() if id(weight.value) in read
    }
    module.functions = concrete
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=concrete)
        yield Traced(folder, list(concrete), weights, used, model.tables)


def write_file(graphs, path, quantization, compat=None, partitions=1, target=None):
    """Write a model as a .tflite file; what `audit.audit` says of it.

    Args:
        graphs: a `Traced`.
        path: where to.
        quantization, compat: as `check_arguments` has found them right.
        partitions: how many XNNPACK may make of it, or None for any number.
        target: "gpu" for a file that its delegates take, see `gpu.rewritten`; None for any.

    Raises:
        KzooError: if the file isn't what was asked for.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        graphs.folder, signature_keys=graphs.functions
    )
    content = quantize.convert(converter, quantization, graphs.weights, graphs.used, graphs.tables)
    if compat is not None:
        content = rewritten(content, compat)
    path.write_bytes(content if target is None else gpu.rewritten(content))
    audited = audit(path)
    if target is not None:
        gpu.check_taken(audited["gpu"])
    check_audit(audited, partitions)
    check_quantization(audited, quantization)
    tables = sum(table.nbytes for table in graphs.tables)
    if target is not None and quantization == "float16":  # The other half of what is looked up.
        tables += sum(2 * rows * width for rows, width in audited["tables"])
    functions = len(audited["signatures"])
    _check_size(audited["bytes"], graphs.used, quantization, functions, tables)
    return audited


def check_arguments(model, quantization, length, compat=None, target=None):
    """Raise KzooError for arguments that `export_litert` doesn't take."""
    import keras

    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, Network):
        raise KzooError(
            f"got {an(type(model).__name__)} for a LiteRT file; expected a kzoo task or backbone, "
            "or for a file without a bundle a keras.Model that holds one."
        )
    if quantization not in quantize.QUANTIZATIONS:
        raise KzooError(
            f"quantization is {quantization!r}; one of {', '.join(quantize.QUANTIZATIONS)} is "
            "expected."
        )
    check_compat(compat, quantization)
    gpu.check_target(target, quantization, compat, model.functions)
    if quantization in quantize.INT4 and len(model.functions) > 1:
        raise KzooError(
            f"Got {quantization} for a model whose file has the functions "
            f"{', '.join(model.functions)}; expected int8: int4 is for files of a single function."
        )
    limit = backbone.longest
    if length is not None and not is_whole(length, 2, limit):
        raise KzooError(
            f"length is {length!r}; None (dynamic) or 2 to {limit} tokens are expected."
        )
    if keras.backend.backend() != "tensorflow":
        raise KzooError(
            f"Keras runs on {keras.backend.backend()} here; LiteRT files are made with "
            "TensorFlow: set KERAS_BACKEND=tensorflow before Python starts."
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
    copy.processors = dict(model.processors)
    return copy


def sizes_of(model, length=None, cache=None):
    """{axis: size} of a model's file: the length, or None for any; the cache where it has one.

    Args:
        model: what `exportable` takes.
        length: tokens, or None.
        cache: slots; by default one for each place of the model, 1,024 at most.

    Raises:
        KzooError: for a cache of a size that the model has no places for, or that has no cache.
    """
    inputs = [entry for name in model.functions for entry in model_inputs(model, name).values()]
    if length is not None and not any(
        axis in entry.axes for entry in inputs for axis in model.length_axes
    ):
        raise KzooError(
            f"Got length={length!r:.40} for a model whose inputs are of one size; expected none: "
            "leave it out."
        )
    if not any(CACHE in entry.axes for entry in inputs):
        if cache is not None:
            raise KzooError(
                f"Got cache={cache!r:.40} for a model that doesn't write; expected none: leave it "
                "out."
            )
        return {"length": length}
    places = getattr(model, "backbone", model).head_spec.max_sequence_length
    if cache is not None and not is_whole(cache, 1, places):
        raise KzooError(
            f"Got cache={cache!r:.40}; expected a whole number of tokens, {places} at most, as "
            "many as the model has places."
        )
    return {"length": length, CACHE: min(places, LARGEST_CACHE) if cache is None else int(cache)}


def model_inputs(model, function=None):
    """What a model reads in a function (the first by default): an input's name to its `Input`."""
    signature, _ = model.functions[function or next(iter(model.functions))]
    inputs = model.signatures[signature]
    names = getattr(model, "input_names", inputs) if signature == "serve" else inputs
    return {name: inputs[name] for name in names}


def _function(model, name, sizes, marked):
    """A function of a model as a graph for batch 1 and the sizes of the axes that have one."""
    import tensorflow as tf

    @tf.function(experimental_implements="embedding_matmul")
    def rows(table, ids):
        return tf.gather(table, ids)

    def lookup(table, ids):
        # Exactly a table and flat ids is what the converter turns into EMBEDDING_LOOKUP.
        result = rows(tf.convert_to_tensor(table), tf.reshape(ids, [-1]))
        return tf.reshape(result, [*([1] if len(ids.shape) == 2 else []), -1, table.shape[1]])

    def run(**inputs):
        mark = _mark if marked else _as_it_is
        with lowering.using(lookup, _layer_norm), lowering.rounding(mark, _scaled):
            return model.run_function(name, inputs)

    lengths = dict.fromkeys(model.length_axes, sizes.get("length"))
    sizes = {"batch": 1, **lengths, **sizes, **model.functions[name][1]}
    signature = {
        key: tf.TensorSpec(
            [sizes.get(axis) if isinstance(axis, str) else axis for axis in entry.axes],
            entry.dtype,
            name=key,
        )
        for key, entry in model_inputs(model, name).items()
    }
    return tf.function(run).get_concrete_function(**signature)


def _mark(x, limits):
    """x with what the converter writes as QUANTIZE and DEQUANTIZE; itself without a range."""
    import tensorflow as tf

    with tf.init_scope():  # They are constants there, and not variables that are read.
        low, high = (float(each) for each in np.asarray(limits))
    return x if low == high else tf.quantization.fake_quant_with_min_max_args(x, low, high)


def _scaled(x, factors):
    """x times constants; itself where they are all 1."""
    import tensorflow as tf

    with tf.init_scope():
        values = np.asarray(factors)
    return x if (values == 1).all() else x * tf.constant(values)


def _as_it_is(x, _limits):
    return x


def _layer_norm(x, gamma, beta, epsilon):
    """Layer normalisation in the fewest passes over x: a device takes each operator by itself.

    Keras widens scale and offset to the shape of x before it applies them, in two passes more.
    """
    import tensorflow as tf

    x = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(x * x, axis=-1, keepdims=True)
    x = x * tf.math.rsqrt(variance + epsilon) * tf.convert_to_tensor(gamma)
    return x if beta is None else x + tf.convert_to_tensor(beta)


def _check_size(size, used, quantization, graphs=1, tables=0):
    """A file much smaller lacks weights, one much larger holds them unquantized or twice.

    `tables` are the bytes of constants in float32.
    """
    expected = sum(quantize.expected_bytes(path, s, quantization) for path, s in used.items())
    expected += tables
    low, high = expected * (1 - SLACK), expected * (1 + SLACK) + graphs * GRAPH_BYTES
    if not low <= size <= high:
        raise KzooError(
            f"The file has {size / 1e6:.2f} MB; its weights as {quantization} ask for "
            f"{low / 1e6:.2f} to {high / 1e6:.2f} MB."
        )
