"""How presets store weights: as floats, as int8 with scales beside them, as pairs of 4 bits."""

import numpy as np

from .errors import KzooError

TABLE = "/embeddings"  # how the path of a table of tokens or places ends
KERNEL, SCALES = "/kernel", "kernel_scales"  # beside which `nn.rounding.FourBits` has its scales
ROUNDED = ("tables", "all")  # what of a preset's weights may be whole numbers


def write_weights(weights, path, rounded=None):
    """Write {path: weight} as safetensors, on the grid of `rounded` if it isn't None."""
    from safetensors.numpy import save_file

    from .nn.rounding import packed

    values = {name: np.asarray(weight, "float32") for name, weight in weights.items()}
    tensors = {}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise KzooError(f"{name} holds NaN or infinity: train or load the model anew.")
        kind = _kind(name, values, rounded)
        if kind == "int8":
            tensors[name], tensors[f"{name}/scale"] = to_int8(value, _axis(name))
        elif kind == "int4":
            tensors[name] = packed(_whole(name, values).astype("int8"))
        else:
            tensors[name] = value.astype(kind)
            if not np.isfinite(tensors[name]).all():
                raise KzooError(
                    f"{name} holds {np.abs(value).max():g}, for which {kind} has no number: store "
                    "it without rounding."
                )
    save_file(tensors, path)


def read_weights(model, path):
    """Assign every weight of a model from a preset's safetensors; none may be left over."""
    from .checkpoints.safetensors import read_tensors
    from .network import weights_by_path
    from .nn.rounding import unpacked

    here, stored = weights_by_path(model), read_tensors(path)
    expected, whole = {name: tuple(weight.shape) for name, weight in here.items()}, {}
    for name in [name for name in here if name in stored]:
        dtype, shape = stored[name].dtype, expected[name]
        if dtype == "int8" and len(shape) > 1:
            whole[name] = dtype
            expected[f"{name}/scale"] = _one_along(shape, _axis(name))
        elif dtype == "uint8" and _beside(name) in here:
            whole[name], expected[name] = dtype, ((np.prod(shape, dtype=int) + 1) // 2,)
    if set(stored) != set(expected):
        missing = sorted(set(expected) - set(stored))[:5]
        extra = sorted(set(stored) - set(expected))[:5]
        raise KzooError(
            f"{path} lacks {missing} and has {extra} too many: it is damaged or belongs to another "
            "spec."
        )
    for name, shape in expected.items():
        dtype = stored[name].dtype
        if stored[name].shape != shape or not ("float" in dtype or name in whole):
            raise KzooError(
                f"{name} in {path} is {dtype} of the shape {stored[name].shape}; floating-point "
                f"numbers of the shape {shape}, as the spec says, are expected."
            )
    for name, weight in here.items():
        value = stored[name].read()
        if whole.get(name) == "int8":
            value = value.astype("float32") * stored[f"{name}/scale"].read().astype("float32")
        elif name in whole:
            steps = stored[_beside(name)].read().astype("float32")
            value = unpacked(value, tuple(weight.shape)).astype("float32") * steps
        if not np.isfinite(value := value.astype("float32")).all():
            raise KzooError(f"{name} in {path} holds NaN or infinity: take a sound file.")
        weight.assign(value)


def round_weights(model, rounded="tables"):
    """Move every weight onto the grid that `save_preset(rounded=...)` stores exactly.

    Of "tables" embedding tables go to int8 with a scale a row, and other matrices to float16; of
    "all" the matrices too are int8, with a scale for each output, or of 4 bits where a task of
    `kzoo.compression.four_bits` rounds them so: the weights of an int8 or int4 file, which then
    computes on the very numbers that the preset holds. Done before a model is measured, what ships
    is what was measured.
    """
    from .network import weights_by_path

    weights = weights_by_path(model)
    values = {name: np.asarray(weight, "float32") for name, weight in weights.items()}
    for name, value in values.items():
        kind = _kind(name, values, rounded)
        if kind == "int8":
            whole, scale = to_int8(value, _axis(name))
            weights[name].assign(whole.astype("float32") * scale)
        elif kind == "int4":
            weights[name].assign(_whole(name, values) * values[_beside(name)])
        elif kind == "float16":
            weights[name].assign(value.astype("float16").astype("float32"))


def to_int8(values, axis=-1):
    """Numbers as int8 and float32 scales, symmetric round zero; those along `axis` share one."""
    largest = np.abs(values).max(axis, keepdims=True)
    scale = np.maximum(largest, 1e-12).astype("float32") / 127
    return np.round(values / scale).astype("int8"), scale


def _kind(name, values, rounded):
    """The type in which a weight is stored, where `rounded` says what are whole numbers."""
    if rounded is not None and rounded not in ROUNDED:
        raise KzooError(f"Got rounded={rounded!r:.40}; expected {' or '.join(ROUNDED)}, or None.")
    if rounded is None or values[name].ndim < 2:
        return "float32"
    if name.endswith(TABLE):
        return "int8"
    if rounded != "all" or values[name].ndim > 2:
        return "float16"
    return "int4" if np.all(values.get(_beside(name), 0) > 0) else "int8"


def _beside(name):
    """The path of the scales of 4 bits of a kernel."""
    return name.removesuffix(KERNEL) + f"/{SCALES}" if name.endswith(KERNEL) else None


def _whole(name, values):
    """A kernel in steps of its scales."""
    from .nn.rounding import FOUR_BITS

    return np.clip(np.round(values[name] / values[_beside(name)]), -FOUR_BITS, FOUR_BITS)


def _axis(name):
    """Along which axis numbers share a scale: a row of a table, an output of another matrix."""
    return -1 if name.endswith(TABLE) else 0


def _one_along(shape, axis):
    shape = list(shape)
    shape[axis] = 1
    return tuple(shape)
