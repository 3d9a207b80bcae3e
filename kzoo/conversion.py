"""One folder format to the other: a Hugging Face folder to a preset, a preset to such a folder."""

from pathlib import Path

from . import presets
from .checkpoints import from_huggingface, to_huggingface
from .errors import KzooError

KINDS = ("huggingface", "preset")


def convert(source, destination, to=None):
    """Write a model in the other library's format.

    Args:
        source: a preset's name or folder, a Hugging Face folder, or a repository of the hub.
        destination: the folder to write; one that is there may hold only what is written anew.
        to: "huggingface" or "preset"; the kind that the source is not, by default.

    Returns:
        The model, as it was read.

    Raises:
        KzooError: when the source can't be read, holds no weights, or fits no class there.
    """
    is_preset = str(source) in presets.names() or (Path(source) / "spec.json").is_file()
    to = to or ("huggingface" if is_preset else "preset")
    if to not in KINDS:
        raise KzooError(f"to is {to!r}; {' or '.join(map(repr, KINDS))} is expected.")
    if is_preset:
        presets.check_has_weights(source, "there is nothing to convert")
    model = presets.load(source) if is_preset else from_huggingface(source)
    if to == "huggingface":
        to_huggingface(model, destination)
    else:
        presets.save_preset(model, destination, card={"source": str(source)})
    return model
