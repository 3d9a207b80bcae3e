"""Where a Hugging Face model lies, and its tensors, not yet in memory."""

import importlib.util
import re
from pathlib import Path

from ..errors import KzooError
from ..files import read_json, within
from .safetensors import Lazy, read_metadata, read_tensors
from .tf_names import from_safetensors, name_in_index, read_flax, read_tensorflow

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILES = ("*.json", "vocab.txt", "merges.txt", "*_Dense/*")


def find_folder(source, revision=None):
    """The folder of a source: itself, or the local copy of a hub repository."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists():
        raise KzooError(f"{path} is a file; the folder round it is expected.")
    if not HUB_ID.fullmatch(str(source)):
        raise KzooError(
            f"{source} does not exist: a folder with config.json and weights, or a hub repository "
            "with its owner, such as google-bert/bert-base-uncased, is expected."
        )
    return _download(str(source), revision)


def _download(repository, revision):
    try:
        import huggingface_hub
    except ImportError:
        raise KzooError(
            f"{repository} is not a folder here, and the hub needs huggingface-hub, which is not "
            "installed: install it, or name a folder."
        ) from None
    try:
        names = list(HUB_FILES)
        for stem in _preferred():
            pattern = "*.".join(stem.split("."))
            folder = Path(
                huggingface_hub.snapshot_download(
                    repository, revision=revision, allow_patterns=[*names, pattern]
                )
            )
            if list(folder.glob(pattern)):
                break
    # The client lets through what its HTTP library raises, which differs between versions.
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise KzooError(
            f"{repository} is not a folder here and could not be fetched from the hub ({reason}): "
            "check the name and the connection, or name a folder."
        ) from None
    return folder


def read_weights(folder):
    """All tensors of a folder as `{torch's name: Lazy}`, from the first of `READERS` it has."""
    for stem in _preferred():
        _, read = READERS[stem]
        if (folder / stem).is_file():
            return read(folder / stem)
        index = folder / f"{stem}.index.json"
        if index.is_file():
            return _read_shards(folder, index, read)
    raise KzooError(f"{folder} has no weights: {', '.join(READERS)} or an index is expected.")


def weight_files(folder):
    """The names of a folder's files of weights, or of their indices; the first is read."""
    names = (name for stem in _preferred() for name in (stem, f"{stem}.index.json"))
    return [name for name in names if (folder / name).is_file()]


def _preferred():
    """The names in `READERS` in their order, but last what needs a package that isn't here."""

    def lacks(stem):
        needs, _ = READERS[stem]
        return needs is not None and importlib.util.find_spec(needs) is None

    return sorted(READERS, key=lacks)


def _read_shards(folder, index, read):
    names = read_json(index, "an index of shards")
    names = names.get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(f, str) for f in names.values()):
        raise KzooError(f"{index} has no weight_map from tensors to files.")
    tensors = {}
    for file in sorted(set(names.values())):
        shard = read(within(folder, file, f"The index of shards {index}"))
        twice = sorted(tensors.keys() & shard.keys())
        if twice:
            raise KzooError(f"{folder} has {', '.join(twice[:8])} in more than one shard.")
        tensors.update(shard)
    absent = sorted({name_in_index(name) for name in names} - {None} - tensors.keys())
    if absent:
        raise KzooError(f"{index} names {', '.join(absent[:8])}, which no shard holds.")
    return tensors


def _read_torch(path):
    """The tensors of a `torch.save` file; nothing in it is executed."""
    try:
        import torch
    except ImportError:
        raise KzooError(
            f"{path} is in torch's format and torch is not installed: install it, or save the "
            "model as safetensors."
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: a torch file was expected there.") from None
    except Exception as first:  # Files before torch 1.6 can't be mapped; damaged ones fail twice.
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:
            reason = str(first).strip().split("\n")[0].rstrip(".")
            raise KzooError(
                f"{path} is not a torch file of plain tensors ({reason}): fetch it again, or save "
                "the model as safetensors."
            ) from None
    if not isinstance(state, dict) or not all(torch.is_tensor(t) for t in state.values()):
        raise KzooError(f"{path} is not a dict of tensors, as a saved model is.")
    return {name: _lazy(tensor) for name, tensor in state.items()}


def _lazy(tensor):
    import torch

    def read():
        value = tensor.detach().contiguous()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            return value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return value.numpy()

    return Lazy(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), read)


def _read_safetensors(path):
    return from_safetensors(read_tensors(path), read_metadata(path).get("format"), path)


# By the name of a file: the package that it needs, and what reads it; the best first.
READERS = {
    "model.safetensors": (None, _read_safetensors),
    "pytorch_model.bin": ("torch", _read_torch),
    "tf_model.h5": (None, read_tensorflow),
    "flax_model.msgpack": ("msgpack", read_flax),
}
