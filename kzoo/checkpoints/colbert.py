"""ColBERT's folders: a transformer, `linear.weight`, and artifact.metadata: how it reads texts.

The layout is that of the authors' code (stanford-futuredata/ColBERT, version 0.2): the class
`HF_ColBERT` holds the transformer below its own prefix and one linear map without a bias. Of what
artifact.metadata keeps, the settings of the training are not read, and not written: the authors'
code takes its defaults for what is missing, and leaves out what it doesn't know.
"""

import json

from ..errors import KzooError
from ..files import read_json

ARCHITECTURE = "HF_ColBERT"
FILE = "artifact.metadata"
# What the authors' code takes where the file doesn't say.
USUAL = {
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "dim": 128,
    "query_maxlen": 32,
    "doc_maxlen": 220,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
    "similarity": "cosine",
    "interaction": "colbert",
}
ALONE = {"similarity": "cosine", "interaction": "colbert"}  # What kzoo computes.


def read_artifact(folder):
    """The arguments of a `LateInteraction` that a folder's artifact.metadata gives."""
    path = folder / FILE
    known = read_json(path, "how a ColBERT reads") if path.is_file() else {}
    known = known.get("config", known)
    if not isinstance(known, dict):
        raise KzooError(f"{path} has config {known!r:.40}; an object of settings is expected.")
    known = {**USUAL, **{key: known[key] for key in USUAL if known.get(key) is not None}}
    for key, value in ALONE.items():
        if known[key] != value:
            raise KzooError(f"{path} has {key} {known[key]!r:.40}; kzoo computes {value!r}.")
    return {
        "dim": known["dim"],
        "query_length": known["query_maxlen"],
        "max_length": known["doc_maxlen"],
        "markers": (known["query_token_id"], known["doc_token_id"]),
        "skip_punctuation": known["mask_punctuation"],
        "attend_to_masks": known["attend_to_mask_tokens"],
    }


def write_artifact(folder, task):
    """Write what `read_artifact` reads of a `LateInteraction`."""
    query, document = task.markers
    settings = {
        "query_token_id": query,
        "doc_token_id": document,
        "query_token": "[Q]",
        "doc_token": "[D]",
        **ALONE,
        "dim": task.dim,
        "query_maxlen": task.query_length,
        "doc_maxlen": task.max_length,
        "mask_punctuation": task.skip_punctuation,
        "attend_to_mask_tokens": task.attend_to_masks,
    }
    (folder / FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
