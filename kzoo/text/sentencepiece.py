"""Files of SentencePiece: pieces with their scores, and how a text is normalised first.

A file is one message of protocol buffers (arXiv:1808.06226). The library reads it by the fields
below, those of the published schema that say how a text is cut; the others stay unread.
"""

import base64
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from ..errors import KzooError
from . import charsmap

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # types of a piece
ALGORITHMS = {1: "Unigram", 2: "BPE", 3: "words", 4: "characters"}
# Of each message its fields: the number in the file, the kind, and what counts where it is absent.
FIELDS = {
    "Piece": {"piece": (1, "string", ""), "score": (2, "float", "0"), "type": (3, "int32", "1")},
    "Trainer": {
        "model_type": (3, "int32", "1"),
        "byte_fallback": (35, "bool", "false"),
        "unk_id": (40, "int32", "0"),
        "bos_id": (41, "int32", "1"),
        "eos_id": (42, "int32", "2"),
        "pad_id": (43, "int32", "-1"),
    },
    "Normalizer": {
        "name": (1, "string", ""),
        "precompiled_charsmap": (2, "bytes", ""),
        "add_dummy_prefix": (3, "bool", "true"),
        "remove_extra_whitespaces": (4, "bool", "true"),
    },
    "Model": {
        "pieces": (1, "Piece", None),
        "trainer_spec": (2, "Trainer", None),
        "normalizer_spec": (3, "Normalizer", None),
    },
}


@cache
def _message():
    """The class of a model's message, in a pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="kzoo.proto", package="kzoo", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in FIELDS.items():
        kind = file.message_type.add(name=message_name)
        for name, (number, type_name, default) in fields.items():
            is_list = name == "pieces"
            field = kind.field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if is_list else kinds.LABEL_OPTIONAL
            if type_name in FIELDS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".kzoo.{type_name}"
            else:
                field.type = getattr(kinds, f"TYPE_{type_name.upper()}")
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kzoo.Model"))


def read(path):
    """The model in a file, with the fields of `FIELDS`.

    Raises:
        KzooError: for a file that is none of a Unigram model, the kind that T5, mBART and Marian
            have.
    """
    path = Path(path)
    model = _message()()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError:
        raise KzooError(f"{path} is missing: a model of SentencePiece was expected.") from None
    except message.DecodeError:
        model.Clear()
    if not model.pieces:
        raise KzooError(f"{path} is not a model of SentencePiece, or damaged: fetch it again.")
    algorithm = model.trainer_spec.model_type
    if algorithm != 1:
        raise KzooError(
            f"{path} holds a model of {ALGORITHMS.get(algorithm, algorithm)}; a Unigram model of "
            "SentencePiece is expected, as T5, mBART and Marian have."
        )
    fault = charsmap.fault(table(model)) if table(model) else None
    if fault:
        raise KzooError(f"{path} is damaged: of its table of characters, {fault}; fetch it again.")
    return model


def table(model):
    """The table of replaced characters in base64, as a tokenizer.json has it."""
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def written(pieces, charsmap_text, unknown):
    """The bytes of a file.

    Args:
        pieces: (piece, score), without the unknown one, which stands first.
        charsmap_text: the table of replaced characters in base64, or empty.
        unknown: what the unknown piece is called.
    """
    rows = [(unknown, 0.0, UNKNOWN), *((piece, score, NORMAL) for piece, score in pieces)]
    return serialized(rows, charsmap_text)


def serialized(rows, charsmap_text, **ids):
    """The bytes of a file.

    Args:
        rows: (piece, score, type) in the order of their ids.
        charsmap_text: the table of replaced characters in base64, or empty.
        ids: `bos_id`, `eos_id`, `pad_id` and `unk_id`, by default none and 0.
    """
    model = _message()()
    for piece, score, kind in rows:
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.SetInParent()
    model.trainer_spec.model_type = 1
    for name, number in {"bos_id": -1, "eos_id": -1, **ids}.items():
        setattr(model.trainer_spec, name, number)
    model.normalizer_spec.name = "nmt_nfkc" if charsmap_text else "identity"
    model.normalizer_spec.precompiled_charsmap = base64.b64decode(charsmap_text)
    return model.SerializeToString()
