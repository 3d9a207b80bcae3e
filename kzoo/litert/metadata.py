"""The metadata that MediaPipe reads in a .tflite file, and the files packed behind it.

Metadata is a flatbuffer of its own inside the model's (schema: metadata_schema.fbs of MediaPipe
and TFLite Support, identifier M001); the files it names are a zip archive, not compressed, behind
the model's last byte. No library that writes it is kept up, so the few tables are written here.
"""

import io
import zipfile

import numpy as np

from .flatbuffer import read_model, schema, write_model

NAME, IDENTIFIER, PARSER = b"TFLITE_METADATA", b"M001", "1.3.0"  # the first that knows sounds
AXIS_LABELS, VOCABULARY = 2, 5  # AssociatedFileType
BERT_TOKENIZER = 4  # ProcessUnitOptions
IMAGE, AUDIO = 2, 4  # ContentProperties
RGB = 1  # ColorSpaceType
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip archive: equal files have equal bytes


def packed(content, name, inputs, output, files, units=None):
    """A .tflite file's bytes with MediaPipe's metadata, and files behind them.

    Args:
        content: the file's bytes.
        name: what the model is called.
        inputs: what is said of each input, in the order of the graph, see `tensor`.
        output: the same of the output.
        files: {name: text} of what is packed behind the file.
        units: what is done to the inputs together, such as `bert_tokenizer`.
    """
    model = read_model(content)
    buffer, entry = schema().BufferT(), schema().MetadataT()
    buffer.data = np.frombuffer(_metadata(name, inputs, output, units), "uint8")
    model.buffers.append(buffer)
    entry.name, entry.buffer = NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    stream = io.BytesIO(write_model(model))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file, EPOCH), text.encode("utf-8"))
    return stream.getvalue()


# Below, a table is a tuple of its fields in the order of the schema: None is left out, an int is
# an enumeration's (a union is its kind and its table), a uint32 a number's, a list is a vector of
# tables.


def tensor(name, content=None, labels=None):
    """The TensorMetadata of an input or output.

    Args:
        name: what it is called.
        content: what lies in it, such as `pictures` or `sounds`; None for ids and results.
        labels: the packed file that names its numbers.
    """
    files = None if labels is None else [(labels, None, AXIS_LABELS)]
    return (name, None, None, content, None, None, files)


def pictures(height, width):
    """The Content of pictures in colour, of a size."""
    return (IMAGE, (RGB, (np.uint32(width), np.uint32(height))))


def sounds(rate):
    """The Content of sounds of one channel, of so many samples a second."""
    return (AUDIO, (np.uint32(rate), np.uint32(1)))


def bert_tokenizer(vocabulary):
    """The ProcessUnit of BERT's tokenizer with the packed file that holds its vocabulary."""
    return (BERT_TOKENIZER, ([(vocabulary, None, VOCABULARY)],))


def _metadata(name, inputs, output, units):
    import flatbuffers

    graph = (None, None, inputs, [output], None, units)
    builder = flatbuffers.Builder(512)
    model = (name, None, None, [graph], None, None, None, PARSER)
    builder.Finish(_write(builder, model), IDENTIFIER)
    return bytes(builder.Output())


def _write(builder, value):
    """Where a table, a vector of tables or a string was written."""
    if isinstance(value, str):
        return builder.CreateString(value)
    offsets = [_write(builder, item) if isinstance(item, (str, tuple, list)) else None
               for item in value]  # fmt: skip
    if isinstance(value, list):
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    builder.StartObject(len(value))
    for slot, (item, offset) in enumerate(zip(value, offsets, strict=True)):
        if isinstance(item, np.uint32):
            builder.PrependUint32Slot(slot, int(item), 0)
        elif isinstance(item, int):
            builder.PrependUint8Slot(slot, item, 0)
        elif item is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return builder.EndObject()
