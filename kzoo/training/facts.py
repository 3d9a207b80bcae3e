"""What a recipe is known by where a run goes on: what files hold, and not where they lie."""

import glob
from pathlib import Path

from .. import presets
from ..data.shards import CACHE
from ..files import sha256

# The keys of a recipe, its steps and their teachers that name what is read.
READ = ("model", "train", "validation", "test", "texts", "held_out", "teacher")


def fact(options):
    """Options of a recipe, where of those that are read the content stands in place of the path.

    What is written, such as a teacher's answers, changes with the run and decides nothing.
    """
    return {
        key: fact(value)
        if isinstance(value, dict)
        else _content(value)
        if key in READ and isinstance(value, str) and value
        else value
        for key, value in options.items()
        if key != "answers"
    }


def _content(path):
    """What changes with a file, a folder or a preset."""
    path = Path(presets.find(path) if path in presets.names() and not Path(path).exists() else path)
    if path.is_file():
        return sha256(path)
    if glob.has_magic(str(path)) and not path.exists():  # A pattern of files, see `data.corpus`.
        return [sha256(file) for file in sorted(glob.glob(str(path), recursive=True))]
    files = sorted(file for file in path.rglob("*") if file.is_file() and CACHE not in file.parts)
    # Weights by what they hold; of pictures, which are many, the sizes.
    few = len(files) < 100
    found = [[str(f.relative_to(path)), sha256(f) if few else f.stat().st_size] for f in files]
    return found or str(path)
