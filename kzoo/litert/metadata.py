"""The metadata that MediaPipe reads in a .tflite file, and the files packed behind it.

Metadata is a flatbuffer of its own inside the model's (schema: metadata_schema.fbs of MediaPipe
and TFLite Support, identifier M001); the files it names are a zip archive, not compressed, behind
the model's last byte. No library that writes it is kept up, so the few tables are written here.
"""

import io
import zipfile

import numpy as np

from .flatbuffer import read_model, schema, write_model

NAME, IDENTIFIER, PARSER = b"TFLITE_METADATA", b"M001", "1.1.0"  # the first with BERT's tokenizer
AXIS_LABELS, VOCABULARY = 2, 5  # AssociatedFileType
BERT_TOKENIZER = 4  # ProcessUnitOptions
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip archive: equal files have equal bytes


def packed(content, name, inputs, output, vocabulary, labels=None):
    """A .tflite file's bytes with MediaPipe's metadata for a BERT tokenizer.

    Args:
        content: the file's bytes.
        name: what the model is called.
        inputs: the names of the inputs, in the order of the graph: "ids", "mask", "segment_ids".
        output: the name of the output.
        vocabulary: the text of a vocab.txt.
        labels: the text of a labels.txt, for a classifier.
    """
    model = read_model(content)
    files = {"vocab.txt": vocabulary} | ({} if labels is None else {"labels.txt": labels})
    buffer, entry = schema().BufferT(), schema().MetadataT()
    buffer.data = np.frombuffer(_metadata(name, inputs, output, labels is not None), "uint8")
    model.buffers.append(buffer)
    entry.name, entry.buffer = NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    stream = io.BytesIO(write_model(model))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file, EPOCH), text.encode("utf-8"))
    return stream.getvalue()


# Below, a table is a tuple of its fields in the order of the schema: None is left out, a number is
# an enumeration's (a union is its kind and its table), a list is a vector of tables.


def _metadata(name, inputs, output, has_labels):
    import flatbuffers

    vocabulary = ("vocab.txt", None, VOCABULARY)
    labels = [("labels.txt", None, AXIS_LABELS)] if has_labels else None
    tokenizer = (BERT_TOKENIZER, ([vocabulary],))  # ProcessUnit of BertTokenizerOptions
    graph = (
        None,
        None,
        [(each,) for each in inputs],  # TensorMetadata
        [(output, None, None, None, None, None, labels)],
        None,
        [tokenizer],
    )
    builder = flatbuffers.Builder(512)
    model = (name, None, None, [graph], None, None, None, PARSER)
    builder.Finish(_write(builder, model), IDENTIFIER)
    return bytes(builder.Output())


def _write(builder, value):
    """Where a table, a vector of tables or a string was written."""
    if isinstance(value, str):
        return builder.CreateString(value)
    offsets = [None if item is None or isinstance(item, int) else _write(builder, item)
               for item in value]  # fmt: skip
    if isinstance(value, list):
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    builder.StartObject(len(value))
    for slot, (item, offset) in enumerate(zip(value, offsets, strict=True)):
        if isinstance(item, int):
            builder.PrependUint8Slot(slot, item, 0)
        elif item is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return builder.EndObject()
