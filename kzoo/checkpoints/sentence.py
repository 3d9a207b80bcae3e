"""sentence-transformers folders: modules.json says how places become one vector."""

import dataclasses
import json

from ..errors import KzooError
from ..files import read_json, within

POOLINGS = {"mean": "mean", "cls": "first", "max": "max"}
SWITCHES = {  # the older spelling of the same
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
LONGEST = 10**6  # what is longer says that nobody knows: tokenizers write 1e30


@dataclasses.dataclass(frozen=True)
class Modules:
    """What modules.json says: the transformer's subfolder, pooling, normalization and length."""

    transformer: str
    pooling: str
    normalize: bool
    max_length: int | None


def read_modules(folder):
    """The `Modules` of a folder, or None where there is no modules.json."""
    if not (folder / "modules.json").is_file():
        return None
    modules = read_json(folder / "modules.json", "sentence-transformers' modules", list)
    try:
        kinds = [module["type"].rpartition(".")[2] for module in modules]
        paths = [module["path"] + "" for module in modules]
    except (TypeError, KeyError, AttributeError):
        raise KzooError(
            f"{folder / 'modules.json'} lacks types or paths: a list of modules is expected."
        ) from None
    for path in paths:
        within(folder, path, folder / "modules.json", nested=True)
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise KzooError(
            f"{folder / 'modules.json'} has the modules {', '.join(kinds)}; kzoo reads "
            "Transformer, Pooling and after them Normalize."
        )
    pooling = read_json(folder / paths[1] / "config.json", "the pooling of a sentence model")
    modes = pooling.get("pooling_mode", [m for key, m in SWITCHES.items() if pooling.get(key)])
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in POOLINGS:
        raise KzooError(
            f"{folder / paths[1]} pools by {' and '.join(map(str, modes)) or 'nothing'}; kzoo "
            f"has {', '.join(POOLINGS)}."
        )
    settings = _optional(folder / paths[0] / "sentence_bert_config.json")
    if settings.get("do_lower_case"):
        raise KzooError(
            f"{folder} lower-cases text before its tokenizer (do_lower_case); kzoo leaves that to "
            "the tokenizer: set its lowercase and remove the setting."
        )
    length = settings.get("max_seq_length")
    if length is None:  # Newer files leave it to the tokenizer.
        length = _optional(folder / paths[0] / "tokenizer_config.json").get("model_max_length")
    number = isinstance(length, (int, float)) and not isinstance(length, bool)
    if length is not None and not (number and length >= 2):
        raise KzooError(
            f"{folder / paths[0]} has the longest length {length!r:.40}; a number of tokens is "
            "expected."
        )
    length = None if length is None or length > LONGEST else int(length)
    return Modules(paths[0], POOLINGS[modes[0]], len(kinds) == 3, length)


def _optional(path):
    """The object in a JSON file, empty where there is no file."""
    return read_json(path, "a sentence model's settings") if path.is_file() else {}


def write_modules(folder, embedder):
    """Write what sentence-transformers needs beside the transformer itself."""
    names = {here: there for there, here in POOLINGS.items()}
    if embedder.pooling not in names:
        raise KzooError(
            f"This TextEmbedder pools by {embedder.pooling!r}; sentence-transformers has "
            f"{', '.join(names)}."
        )
    kinds = ["Transformer", "Pooling", "Normalize"][: 3 if embedder.normalize else 2]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    _write(folder / "modules.json", modules)
    mode = names[embedder.pooling]
    _write(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": embedder.spec.hidden_dim,
            **{key: mode == m for key, m in list(SWITCHES.items())[:4]},
        },
    )
    if embedder.normalize:
        (folder / "2_Normalize").mkdir()
    _write(
        folder / "sentence_bert_config.json",
        {"max_seq_length": embedder.max_length, "do_lower_case": False},
    )
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})


def _write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
