"""What turns a user's inputs into a model's: texts into tokens, pictures and sounds into numbers.

A model carries its processors in the dict `processors`, by their kind. Each is one JSON file, in a
preset, a bundle and a `.keras` file alike; what reads pictures and sounds has one file for both.
"""

import json
from pathlib import Path

from .audio import audio_processor
from .audio.audio_processor import AudioProcessor
from .errors import KzooError
from .files import PROCESSORS, writing_file
from .images import image_processor
from .images.image_processor import ImageProcessor
from .text.tokenizer import TargetTokenizer, Tokenizer

KINDS = {
    "tokenizer": Tokenizer,
    "target_tokenizer": TargetTokenizer,  # where what is written is cut otherwise (Marian)
    "image_processor": ImageProcessor,
    "audio_processor": AudioProcessor,
}


# Those that each have the same file, and together one with a key of each, as in transformers.
JOINED = {"image_processor": image_processor.KEY, "audio_processor": audio_processor.KEY}


def checked(kind, processor):
    """A processor as it is, or None; KzooError for what is none of its kind."""
    # By the class itself: a target's tokenizer is no source's.
    fitting = [each for each, cls in KINDS.items() if isinstance(processor, cls)]
    if processor is None or kind in fitting[-1:]:
        return processor
    name = f"kzoo.{KINDS[kind].__name__}"
    raise KzooError(
        f"{kind} is {processor!r:.60}; a {name} is expected: {name}.load reads one from a folder "
        "or a file."
    )


def load(folder, without=()):
    """The processors that a folder holds, by kind, but for some kinds."""
    kinds = {kind: cls for kind, cls in KINDS.items() if kind not in without}
    return {kind: cls.load(folder) for kind, cls in kinds.items() if cls.is_in(folder)}


def save(processors, folder):
    """Write processors into a folder, by kind."""
    held = {kind: processor for kind, processor in processors.items() if processor is not None}
    if JOINED.keys() <= held.keys():
        configs = {key: held.pop(kind).config for kind, key in JOINED.items()}
        with writing_file(Path(folder) / PROCESSORS) as tmp_path:
            text = json.dumps(configs, indent=2, sort_keys=True, ensure_ascii=False)
            tmp_path.write_text(text + "\n", encoding="utf-8")
    for processor in held.values():
        processor.save(folder)
