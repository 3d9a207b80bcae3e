"""What a checkpoint held beyond the model, kept so that it can be written back to the byte."""

import dataclasses
import json
from pathlib import Path

from ..errors import KzooError
from ..files import parse_json, read_json
from .safetensors import CODES, read_tensors, write_tensors

# What stands round a tokenizer and is kept as it was; no other file is ever written back.
TOKENIZER_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "vocab.txt",
)
JSON, TENSORS = "origin.json", "origin.safetensors"


@dataclasses.dataclass
class Origin:
    """The source of a model: how its weights were called there, and what it has no use for."""

    model_type: str
    architecture: str
    config: dict
    names: dict = dataclasses.field(default_factory=dict)  # path here: all its names there
    dtypes: dict = dataclasses.field(default_factory=dict)  # name there: dtype, if not float32
    carried: dict = dataclasses.field(default_factory=dict)  # name there: array
    files: dict = dataclasses.field(default_factory=dict)  # name: text, round the tokenizer
    tokenizer: object = None  # the one that the files belong to
    format: str = "huggingface"  # whose names these are

    @classmethod
    def of(cls, model, format, weights):
        """The origin of a model in a format; None of one from elsewhere, and of a changed one.

        What was cut or widened since only descends from its source.
        """
        origin = getattr(model, "origin", None)
        is_whole = origin is not None and set(origin.names) == set(weights)
        return origin if is_whole and origin.format == format else None

    def save(self, folder):
        """Write the origin beside a preset's weights."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["carried"], fields["tokenizer"]
        text = json.dumps(fields, indent=1, ensure_ascii=False)
        (Path(folder) / JSON).write_text(text + "\n", encoding="utf-8")
        if self.carried:
            write_tensors(Path(folder) / TENSORS, self.carried)

    @classmethod
    def load(cls, folder, tokenizer=None):
        """The origin in a preset's folder, or None where there is none."""
        folder = Path(folder)
        if not (folder / JSON).is_file():
            return None
        fields = read_json(folder / JSON, "where the preset came from")
        wrong = _wrong(fields)
        if wrong:
            raise KzooError(
                f"{folder / JSON} has {wrong} {fields.get(wrong)!r:.40}: convert the checkpoint "
                "anew, or delete the file to go without its origin."
            )
        origin = cls(**fields, tokenizer=tokenizer)
        if (folder / TENSORS).is_file():
            tensors = read_tensors(folder / TENSORS)
            origin.carried = {name: lazy.read() for name, lazy in tensors.items()}
        return origin


def _wrong(fields):
    """The name of a field that `Origin.save` would not have written so, or None."""
    texts = {
        "names": lambda v: isinstance(v, list) and v and all(isinstance(n, str) for n in v),
        "dtypes": lambda v: isinstance(v, str) and v in CODES,
        "files": lambda v: isinstance(v, str),
    }
    kinds = {"model_type": str, "format": str, "architecture": (str, type(None)), "config": dict}
    kinds |= dict.fromkeys(texts, dict)
    fields = {"format": "huggingface", **fields}  # There was no other at first.
    for name in sorted({*fields, *kinds}):
        if name not in fields or name not in kinds or not isinstance(fields[name], kinds[name]):
            return name
        if name in texts and not all(map(texts[name], fields[name].values())):
            return name
    return None if all(map(_is_side_file, fields["files"], fields["files"].values())) else "files"


def _is_side_file(name, text):
    """Whether a file may be written beside a checkpoint again: a known name, and what it holds."""
    if name in TOKENIZER_FILES and name.endswith(".json"):
        try:
            parse_json(text, name, "a tokenizer's settings")
        except KzooError:
            return False
    return name in TOKENIZER_FILES
