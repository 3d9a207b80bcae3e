"""What a checkpoint held beyond the model, kept so that it can be written back to the byte."""

import dataclasses
import json
from pathlib import Path

from ..errors import KzooError
from ..files import read_json
from .safetensors import read_tensors, write_tensors

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
        kinds = {
            "model_type": str, "architecture": (str, type(None)), "config": dict, "names": dict,
            "dtypes": dict, "files": dict,
        }  # fmt: skip
        wrong = sorted(set(fields) ^ set(kinds))
        wrong += [name for name, kind in kinds.items() if not isinstance(fields.get(name), kind)]
        if wrong:
            raise KzooError(
                f"{folder / JSON} has {wrong[0]} {fields.get(wrong[0])!r:.40}: convert the "
                "checkpoint anew, or delete the file to go without its origin."
            )
        origin = cls(**fields, tokenizer=tokenizer)
        if (folder / TENSORS).is_file():
            tensors = read_tensors(folder / TENSORS)
            origin.carried = {name: lazy.read() for name, lazy in tensors.items()}
        return origin
