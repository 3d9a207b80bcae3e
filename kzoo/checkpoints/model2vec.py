"""Static embeddings in folders: sentence-transformers' StaticEmbedding and Model2Vec's, both ways.

Both are a table and a tokenizer.json. Model2Vec may have numbers by which rows are multiplied, and
tokens that share a row; here each token has its own. A text is the mean of its tokens, that of the
unknown among them, as sentence-transformers has it.
"""

import json

import numpy as np

from ..errors import KzooError
from ..files import read_json, within, writing_folder
from ..text.tokenizer import Tokenizer
from . import sentence
from .safetensors import write_tensors
from .source import read_weights

MODULE, END = "StaticEmbedding", "Normalize"
LONGEST = 512  # tokens of a text, as Model2Vec reads by default; elsewhere there is no limit
CONFIG = "config.json"


def is_static(folder):
    """Whether a folder holds static embeddings."""
    kinds = _kinds(folder)
    if kinds:
        return kinds[0] == MODULE
    config = folder / CONFIG
    return config.is_file() and _model_type(config) == "model2vec"


def _kinds(folder):
    """The last words of the modules' types; empty where nothing says which there are."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    modules = read_json(path, "sentence-transformers' modules", list)
    held = [module.get("type") for module in modules if isinstance(module, dict)]
    return [str(kind).rpartition(".")[2] for kind in held]


def _model_type(path):
    try:
        return read_json(path, "a model's configuration").get("model_type")
    except KzooError:
        return None  # Whoever reads it next says what is wrong with it.


def read(folder, task=None, tokenizer=None):
    """The `TextEmbedder` in a folder, or its table alone with the task "backbone".

    Raises:
        KzooError: for other modules, tensors or shapes than these.
    """
    from ..models.static_embeddings import static
    from ..tasks.text_embedder import TextEmbedder

    kinds, inside = _kinds(folder), folder
    if kinds:
        path = folder / "modules.json"
        if kinds not in ([MODULE], [MODULE, END]):
            raise KzooError(
                f"{path} has the modules {', '.join(kinds)}; expected {MODULE} and maybe {END}."
            )
        place = read_json(path, "sentence-transformers' modules", list)[0].get("path", "")
        within(folder, place, path, nested=True)
        inside = folder / place
    config = read_json(folder / CONFIG, "a static model's configuration") if _has(folder) else {}
    given = Tokenizer.load(inside).bare() if tokenizer is None else tokenizer or None
    table = _table(inside, given)
    backbone = static(table, (given and given.padding_id) or 0, LONGEST)
    if task == "backbone":
        backbone.processors = {"tokenizer": given}
        return backbone
    return TextEmbedder(
        backbone,
        tokenizer=given,
        normalize=END in kinds or config.get("normalize") is True,
        **sentence.read_prompts(folder),
    )


def _has(folder):
    return (folder / CONFIG).is_file()


def _table(folder, tokenizer):
    """The vectors of all tokens (tokens, dim)."""
    tensors = read_weights(folder)
    known = {"embedding.weight", "embeddings", "weights", "mapping"}
    name = next((name for name in ("embedding.weight", "embeddings") if name in tensors), None)
    if name is None or set(tensors) - known:
        raise KzooError(
            f"{folder} has the tensors {', '.join(tensors)}; expected embeddings or "
            "embedding.weight, and maybe weights and mapping."
        )
    arrays = {each: np.asarray(lazy.read()) for each, lazy in tensors.items()}
    table = arrays[name]
    if table.ndim != 2 or table.dtype.kind not in "fiV":
        raise KzooError(f"{name} in {folder} is {table.shape}; expected tokens by numbers.")
    table = table.astype("float32")
    rows = arrays.get("mapping")
    if rows is not None:
        if rows.ndim != 1 or rows.min(initial=0) < 0 or rows.max(initial=0) >= len(table):
            raise KzooError(f"mapping in {folder} names rows that embeddings of {len(table)} lack.")
        table = table[rows.astype("int64")]
    factors = arrays.get("weights")
    if factors is not None:
        if factors.shape != table.shape[:1]:
            raise KzooError(
                f"weights in {folder} is {factors.shape}; expected a number for each of "
                f"{len(table)} tokens."
            )
        table = table * factors.astype("float32")[:, None]
    if not np.isfinite(table).all():
        raise KzooError(f"{name} in {folder} holds NaN or infinite numbers: the file is damaged.")
    if tokenizer and tokenizer.vocabulary_size > len(table):
        raise KzooError(
            f"The tokenizer of {folder} has {tokenizer.vocabulary_size} tokens and the table "
            f"{len(table)} rows: they don't belong together."
        )
    return table


def write(model, folder):
    """Write a static embedder as a folder that sentence-transformers and Model2Vec load.

    Raises:
        KzooError: for a task or a pooling that neither has.
    """
    from keras import ops

    if getattr(model, "task_name", None) != "TextEmbedder":
        kind = getattr(model, "task_name", "backbone")
        raise KzooError(
            f"Got a {kind} of static embeddings; other libraries have embedders of them alone: "
            "expected a TextEmbedder."
        )
    if model.pooling != "mean" or model.projections:
        raise KzooError(
            f"Got a static TextEmbedder that pools by {model.pooling!r} with "
            f"{len(model.projections)} projections; other libraries have the mean and none."
        )
    table = ops.convert_to_numpy(model.backbone.embedding.embeddings)
    kinds = [MODULE] + [END] * model.normalize
    paths = ["", f"1_{END}"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(zip(kinds, paths, strict=False))
    ]
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": table.shape[1],
        "normalize": model.normalize,
        "seq_length": model.max_length,
    }
    tokenizer = model.tokenizer
    with writing_folder(folder) as tmp_path:
        for name, value in ((CONFIG, config), ("modules.json", modules)):
            (tmp_path / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        sentence.write_prompts(tmp_path, model)
        if model.normalize:
            (tmp_path / paths[-1]).mkdir()
        write_tensors(tmp_path / "model.safetensors", {"embeddings": table}, {"format": "pt"})
        tokenizer.save(tmp_path)
