"""One format to another: what a library wrote to a preset, a preset to what a library reads."""

from pathlib import Path

from . import presets
from .checkpoints import formats, from_huggingface, to_huggingface, to_kerashub
from .errors import KzooError
from .presets import save_preset

WRITERS = {"huggingface": to_huggingface, "kerashub": to_kerashub, "preset": save_preset}


def convert(source, destination, to=None):
    """Write a model in another format.

    Args:
        source: a preset's name or folder, a folder of any format in `checkpoints.formats`, the
            prefix of a TensorFlow checkpoint's files, or a repository of Hugging Face's hub.
        destination: the folder to write; one that is there may hold only what is written anew.
        to: "huggingface", "kerashub" or "preset"; by default "huggingface" of a preset,
            else "preset".

    Returns:
        The model, as it was read.

    Raises:
        KzooError: when the source can't be read, holds no weights, or fits no class there.
    """
    foreign = formats.recognised(source)
    is_preset = str(source) in presets.names() or (Path(source) / "spec.json").is_file()
    to = to or ("huggingface" if is_preset else "preset")
    if to not in WRITERS:
        raise KzooError(f"to is {to!r}; {' or '.join(map(repr, WRITERS))} is expected.")
    if is_preset:
        presets.check_has_weights(source, "there is nothing to convert")
    is_here = is_preset or foreign or Path(source).exists()
    model = presets.load(source) if is_here else from_huggingface(source)
    if not hasattr(model, "spec"):
        raise KzooError(
            f"{source} is a {type(model).__name__} of Keras; expected a backbone or a task of "
            "kzoo: convert that part of it."
        )
    more = {"card": {"source": str(source)}} if to == "preset" else {}
    WRITERS[to](model, destination, **more)
    return model
