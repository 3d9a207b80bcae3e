"""The tokenizer of a TensorFlow checkpoint: vocabulary files without side files."""

import json
import logging
import shutil
import tempfile
from pathlib import Path

from ..errors import KzooError

log = logging.getLogger("kzoo")
# What a family's vocabulary is called for `Tokenizer.load`, and its class there.
CLASSES = {
    ("bert", ".txt"): ("vocab.txt", "BertTokenizer"),
    ("albert", ".model"): ("spiece.model", "AlbertTokenizer"),
    ("t5", ".model"): ("spiece.model", "T5Tokenizer"),
}


def tokenizer_there(folder, model_type, lower=None):
    """The tokenizer of a checkpoint's folder, or None where it has no vocabulary.

    Of BERT, texts are lower-cased as `lower` says; else as the folder's name does, in which Google
    writes "uncased" or "cased"; else when no piece of the vocabulary has a capital letter. ALBERT's
    are, as all that were published.

    Raises:
        KzooError: for a damaged vocabulary, or several.
    """
    from ..text.tokenizer import Tokenizer

    suffixes = {suffix: made for (name, suffix), made in CLASSES.items() if name == model_type}
    places = [place for place in (folder, folder / "assets") if place.is_dir()]
    files = [f for p in places for f in sorted(p.iterdir()) if f.suffix in suffixes]
    files = [f for f in files if f.suffix != ".txt" or "vocab" in f.name]
    if len(files) > 1:
        raise KzooError(
            f"{folder} has {', '.join(f.name for f in files[:8])}; one vocabulary is expected: "
            "give a tokenizer, or tokenizer=False to go without."
        )
    if not files:
        return None
    name, class_name = suffixes[files[0].suffix]
    settings = {"tokenizer_class": class_name}
    source = "the SavedModel" if lower is not None else "the folder's name"
    lower = _casing(folder) if lower is None else lower
    if lower is not None:
        settings["do_lower_case"] = bool(lower)
        log.info("%s: %s says do_lower_case = %s", folder, source, settings["do_lower_case"])
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copyfile(files[0], Path(tmp) / name)
        if lower is not None or name != "vocab.txt":
            Path(tmp, "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        try:
            return Tokenizer.load(Path(tmp))
        except KzooError as error:
            raise KzooError(str(error).replace(str(Path(tmp) / name), str(files[0]))) from None


def _casing(folder):
    """What the folder's name says of upper and lower case, or None."""
    name = folder.resolve().name.lower()
    return True if "uncased" in name else False if "cased" in name else None
