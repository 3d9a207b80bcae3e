"""Reading and writing .tflite files with the schema that LiteRT's wheel carries."""

import numpy as np

from ..errors import KzooError

IDENTIFIER = b"TFL3"
RUNTIME = b"min_runtime_version"  # the name of what a file says of it


def schema():
    """The generated module of the schema."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read_model(content, source="the file"):
    """A .tflite file's bytes as the schema's objects, to look at and to change."""
    if content[4:8] != IDENTIFIER:
        raise KzooError(f"{source} is not a .tflite file: it lacks the mark TFL3.")
    model = schema()
    try:
        return model.ModelT.InitFromObj(model.Model.GetRootAs(content, 0))
    except Exception as error:  # The reader trips over damaged offsets in many ways.
        raise KzooError(
            f"{source} is damaged ({type(error).__name__}): a whole .tflite file was expected."
        ) from None


def write_model(model):
    """The bytes of a model's objects."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def state_runtime(model, version):
    """Let a model say which runtime it asks for at least, such as "2.16.0"."""
    stated = next(entry for entry in model.metadata if entry.name == RUNTIME)
    text = version.encode("ascii").ljust(16, b"\0")
    model.buffers[stated.buffer].data = np.frombuffer(text, "uint8")


def operator_names():
    """Operator code to name, such as 9 to FULLY_CONNECTED."""
    codes = vars(schema().BuiltinOperator)
    return {code: name for name, code in codes.items() if not name.startswith("_")}


def operator_code(entry):
    """The code of an OperatorCode; old files keep small codes in another field."""
    return max(entry.builtinCode, entry.deprecatedBuiltinCode)


def type_names():
    """Tensor type code to NumPy-like name, such as 9 to int8."""
    codes = vars(schema().TensorType)
    return {code: name.lower() for name, code in codes.items() if not name.startswith("_")}
