"""Which library wrote what lies in a folder; the reader of each.

A format is recognised by its files, without reading weights, and read by the module that knows it.
"""

import dataclasses
import importlib
import logging
import warnings
from pathlib import Path

from ..errors import KzooError
from .source import READERS, weight_files

log = logging.getLogger("kzoo")
SHOWN_FILES = 6  # of a folder that no format is recognised in
LOOKED_INTO = 50  # of its folders


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of checkpoints.

    Its module has `sign(path)`, which says by what a path is known to be of this format, or gives
    None, and `read(path, task, tokenizer)`, which gives the model.

    Args:
        name: what the command line calls it.
        title: what a person calls it.
        needs: the files that it is made of.
        module: the one here that reads it.
    """

    name: str
    title: str
    needs: str
    module: str

    def sign(self, path):
        """By what a path is known to be of this format, such as "config.json"; or None."""
        return self._module().sign(path)

    def read(self, path, task=None, tokenizer=None):
        """The model in a path; see `from_huggingface` for the arguments."""
        return self._module().read(path, task, tokenizer)

    def _module(self):
        return importlib.import_module(f".{self.module}", __package__)


# Of several formats in a folder the first is read: what needs the least guessing.
FORMATS = (
    Format(
        "huggingface",
        "a Hugging Face model",
        "config.json and model.safetensors, pytorch_model.bin, tf_model.h5 or flax_model.msgpack, "
        "or modules.json",
        "huggingface",
    ),
    Format(
        "tf-hub",
        "a SavedModel of TF Hub",
        "saved_model.pb and a folder variables",
        "tfhub",
    ),
    Format(
        "model-garden",
        "a checkpoint of TensorFlow's Model Garden",
        "NAME.index and NAME.data-00000-of-00001 of tf.train.Checkpoint",
        "garden",
    ),
    Format(
        "google",
        "a checkpoint of TensorFlow 1",
        "NAME.index and NAME.data-00000-of-00001 beside bert_config.json or albert_config.json",
        "google",
    ),
    Format(
        "kerashub",
        "a preset of KerasHub",
        "config.json with a registered_name of keras_hub or keras_nlp, and model.weights.h5",
        "kerashub",
    ),
    Format(
        "word-vectors",
        "vectors of words",
        "one file of word2vec, as text or binary, or of GloVe, maybe with .gz",
        "word_vectors",
    ),
)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a path was recognised as: the format, by what, and what else lies there unread."""

    format: Format
    sign: str
    others: tuple = ()

    @property
    def why(self):
        """For a person: `a Hugging Face model (config.json, model.safetensors)`."""
        others = "".join(f"; {other} beside it is not read" for other in self.others)
        return f"{self.format.title} ({self.sign}){others}"


def recognised(path):
    """What a folder, or the prefix of a checkpoint's files, is; None where no format is known."""
    path = Path(str(path))
    if not path.parent.is_dir() or (path / "spec.json").is_file():
        return None
    found = [(each, sign) for each in FORMATS if (sign := each.sign(path))]
    if not found:
        return None
    (first, sign), *others = found
    return Found(first, sign, tuple(f"{each.title} ({sign})" for each, sign in others))


def read(path, task=None, tokenizer=None):
    """The model in a folder of any format that another library wrote.

    Args:
        path: the folder, or the prefix of a TensorFlow checkpoint's files.
        task: "backbone" for the backbone alone, whatever head is there.
        tokenizer: a `Tokenizer` to take in place of the folder's; False for none.

    Raises:
        KzooError: saying what lies there and what each format needs, or what doesn't fit.
    """
    found = recognised(path)
    if found is None:
        raise KzooError(unknown(path))
    log.info("%s: %s", path, found.why)
    if found.others:
        warnings.warn(f"{path} is read as {found.why}.", stacklevel=4)
    return found.format.read(Path(str(path)), task, tokenizer)


def unknown(path):
    """The sentence about a folder whose format nobody knows, or which is one too high."""
    inside = [each for each in sorted(Path(path).iterdir()) if each.is_dir()][:LOOKED_INTO]
    for each in inside:
        if (each / "spec.json").is_file() or recognised(each):
            return f"{path} is no model, but a folder of some: name one, such as {each}."
    names = sorted(each.name + "/" * each.is_dir() for each in Path(path).iterdir())
    listed = ", ".join(names[:SHOWN_FILES])
    if len(names) > SHOWN_FILES:
        listed += f" and {len(names) - SHOWN_FILES} more"
    weights = [*weight_files(Path(path)), *(n for n in names if n == "model.weights.h5")]
    if weights and "config.json" not in names:
        return f"{path} holds {listed}; expected the model's config.json beside {weights[0]}."
    if "config.json" in names:
        return (
            f"{path} holds {listed}: config.json and no weights of its library; expected beside it "
            f"{' or '.join(READERS)} of Hugging Face's, or model.weights.h5 of KerasHub's."
        )
    needs = "; ".join(f"{each.title}: {each.needs}" for each in FORMATS)
    return (
        f"{path} holds {listed or 'no files'}, which no format is known by; expected a preset: "
        f"spec.json; {needs}."
    )
