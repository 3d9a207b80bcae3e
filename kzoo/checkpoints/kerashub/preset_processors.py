"""KerasHub's tokenizers and image converters as those of kzoo and back.

A tokenizer there is a vocabulary and a class, so that it is read as the tokenizer of transformers
that has the same vocabulary: its ids are Hugging Face's, which KerasHub's differ from on some text.
"""

import base64
import dataclasses
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors as post_processors

from ...errors import KzooError
from ...files import read_json
from ...images.image_processor import ImageProcessor
from ...text import sentencepiece
from ...text.tokenizer import Tokenizer
from ...values import is_number, is_whole

# Where the files of a tokenizer lie in a preset, and in a file `.keras` that was unpacked.
ASSETS = ("assets/tokenizer", "assets/preprocessor/tokenizer")
TOKENIZER, PREPROCESSOR, CONVERTER = "tokenizer.json", "preprocessor.json", "image_converter.json"
SETTINGS, WORDS, MERGES, PIECES = (
    "tokenizer_config.json",
    "vocabulary.txt",
    "merges.txt",
    "vocabulary.spm",
)
BPE = ("vocabulary.json", MERGES)
LENGTHS = ("sequence_length", "encoder_sequence_length")  # the latter of one that writes


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class of KerasHub's tokenizers.

    Args:
        there: transformers' class of the same vocabulary, or None for one that `build` makes.
        names: its files, and what transformers calls them.
        settings: from the config there to transformers' settings.
        build: from vocabulary and merges to a backend, where kzoo has no recipe of the class.
        write: from the object of a tokenizer.json to files and config there.
    """

    there: str | None
    names: dict
    settings: Callable = lambda config: {}
    build: Callable | None = None
    write: Callable | None = None


# -- from there ---------------------------------------------------------------------------------


def read_processors(folder, rows, tokenizer=None, job=None, begins=True):
    """The processors of a folder by kind.

    Args:
        folder: the folder.
        rows: how many rows the table of tokens has, or None.
        tokenizer: one to take in place of the folder's; False for none.
        job: the object of its task, which holds those that have no file, or None.
        begins: whether a causal LM's texts get the token before them that KerasHub puts there.
    """
    found = {}
    preprocessor = _held(folder / PREPROCESSOR, job and job["config"].get("preprocessor"))
    said = preprocessor.get("config")
    said = said if isinstance(said, dict) else {}
    if tokenizer is None:
        length = next(filter(None, map(said.get, LENGTHS)), None)
        tokenizer = _read_tokenizer(folder, length, said.get("tokenizer"))
        writes = "CausalLM" in str((job or preprocessor).get("class_name"))
        if tokenizer and begins and writes and said.get("add_start_token", True):
            tokenizer = tokenizer.begun()
    if tokenizer and rows and tokenizer.vocabulary_size > rows:
        raise KzooError(
            f"The tokenizer of {folder} has {tokenizer.vocabulary_size} tokens and the embedding "
            f"only {rows} rows: give the tokenizer that belongs to the weights, or "
            "tokenizer=False to go without."
        )
    if tokenizer:
        found["tokenizer"] = tokenizer
    if converter := _held(folder / CONVERTER, said.get("image_converter")):
        found["image_processor"] = _read_converter(folder / CONVERTER, converter)
    return found


def _held(path, inside):
    """The object in a file; without the file that inside another, or an empty one."""
    if path.is_file():
        return read_json(path, "a preset's configuration")
    return inside if isinstance(inside, dict) else {}


def _read_tokenizer(folder, length, inside):
    """The tokenizer of a folder, or the one inside its preprocessor if that has its vocabulary."""
    path = folder / TOKENIZER
    held = _held(path, inside)
    name, config = held.get("class_name"), held.get("config")
    if not isinstance(name, str) or name not in KINDS or not isinstance(config, dict):
        if not path.is_file():
            return None
        raise KzooError(
            f"{path} has the class {name!r:.60}; kzoo reads {', '.join(sorted(KINDS))}: give "
            "another as tokenizer=, or tokenizer=False to go without."
        )
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as place:
        for there, here in kind.names.items():
            content = _asset(folder, there, config)
            if content is None:
                if not path.is_file():
                    return None
                raise KzooError(
                    f"{folder / ASSETS[0] / there} is missing: {path.name} has a {name}, which "
                    "needs it."
                )
            (Path(place) / here).write_bytes(content)
        settings = {"tokenizer_class": kind.there, **kind.settings(config)}
        if is_whole(length, 2):
            settings["model_max_length"] = length
        try:
            if kind.build:
                settings["tokenizer_class"] = "PreTrainedTokenizerFast"
                files = f"{place}/vocab.json", f"{place}/merges.txt"
                kind.build(*models.BPE.read_file(*files)).save(f"{place}/tokenizer.json")
            (Path(place) / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
            return Tokenizer.load(place)
        except KzooError as error:
            text = str(error).replace(place, str(folder / ASSETS[0]))
            for there, here in kind.names.items():
                text = text.replace(here, there)
            raise KzooError(text) from None


def _asset(folder, name, config):
    """The bytes of a tokenizer's file, which KerasNLP 0.6 has in the config; None without it."""
    for place in ASSETS:
        if (folder / place / name).is_file():
            return (folder / place / name).read_bytes()
    key, kind, written = INSIDE[name]
    held = config.get(key)
    if not isinstance(held, kind):
        return None
    try:
        return written(held)
    except ValueError as error:
        raise KzooError(f"{folder} has {key} of a tokenizer that is damaged: {error}.") from None


def _lines(texts):
    return "".join(f"{text}\n" for text in texts).encode()


def _casing(config):
    """BERT's lower-casing drops accents as well; KerasHub's keeps them unless it is told.

    The ids are Hugging Face's: the published vocabularies have no letter with an accent.
    """
    return {
        "do_lower_case": bool(config.get("lowercase")),
        "strip_accents": bool(config.get("strip_accents")) or None,
    }


def _sentinels(_config):
    """T5's extra tokens: KerasHub's are those that its model of SentencePiece has."""
    return {"extra_ids": 0}


def _clip(vocabulary, merges):
    """CLIP's words, which end with `</w>`."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocabulary,
            merges,
            unk_token=end,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([start, end])
    ends = [(token, backend.token_to_id(token)) for token in (start, end)]
    backend.post_processor = post_processors.TemplateProcessing(
        single=[start, "$A", end], pair=[start, "$A", end, end, "$B", end], special_tokens=ends
    )
    return backend


def _bloom(vocabulary, merges):
    """BLOOM's words, which punctuation of several scripts ends."""
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    words = r" ?[^(\s|[.,!?…。，、।۔،])]+"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>", "<pad>"])
    backend.post_processor = post_processors.ByteLevel(trim_offsets=False)
    return backend


def _read_converter(path, held):
    """What KerasHub scales by and adds, as what is taken away and divided by."""
    said = held.get("config")
    said = said if isinstance(said, dict) else {}
    size, way = said.get("image_size"), said.get("interpolation", "bilinear")
    scale, offset = (
        [value] * 3 if is_number(value) else value
        for value in (said.get("scale") or 1.0, said.get("offset") or 0.0)
    )
    if said.get("pad_to_aspect_ratio"):
        raise KzooError(f"{path} has pad_to_aspect_ratio, which kzoo doesn't do: resize, or crop.")
    if str(way) not in RESAMPLE or not _are(size, 2, lambda side: is_whole(side, 1)):
        raise KzooError(
            f"{path} has image_size = {size!r:.40} and interpolation = {way!r:.40}; expected two "
            f"sides and one of {', '.join(RESAMPLE)}."
        )
    if not _are(scale, 3, lambda one: is_number(one) and one) or not _are(offset, 3, is_number):
        raise KzooError(
            f"{path} has scale = {scale!r:.60} and offset = {offset!r:.60}; expected a number for "
            "each of 3 channels, that of scale not 0."
        )
    if way != "nearest" and not said.get("antialias"):
        warnings.warn(
            f"{path} has antialias = false: of a picture that it makes smaller KerasHub skips "
            "pixels, and kzoo takes the mean of them, so that what it answers differs; give "
            f"pictures of {size[1]} x {size[0]} pixels to get KerasHub's answers.",
            stacklevel=4,
        )
    cuts = said.get("crop_to_aspect_ratio", True) and size[0] == size[1]
    return ImageProcessor(
        size={"shortest_edge": size[0]} if cuts else tuple(size),
        crop=tuple(size) if cuts else None,
        resample=RESAMPLE[way],
        rescale=None,
        mean=[-o / s for o, s in zip(offset, scale, strict=True)],
        std=[1 / s for s in scale],
    )


def _are(values, count, fits):
    """Whether there is a list of as many values that all fit."""
    return isinstance(values, list) and len(values) == count and all(map(fits, values))


RESAMPLE = {
    "bilinear": "bilinear",
    "nearest": "nearest",
    "bicubic": "bicubic",
    "lanczos3": "lanczos",
}


# -- to there -----------------------------------------------------------------------------------


def written_processors(preset, model, task_class):
    """The files of a model's processors there, and the object of its preprocessor, or None.

    Args:
        preset: the table of its family.
        model: the model.
        task_class: the class of its task there, or None for a backbone.

    Returns:
        `{path: bytes}` and the object.
    """
    tokenizer = model.processors.get("tokenizer")
    pictures = model.processors.get("image_processor")
    files, held = {}, {}
    if tokenizer is not None:
        name = _tokenizer_name(preset)
        written = _tokenizer_there(name, tokenizer)
        if written is None:
            raise KzooError(
                f"KerasHub's {name} can't hold this tokenizer ({tokenizer!r}): set "
                'processors["tokenizer"] to None to export the model without it.'
            )
        assets, config = written
        files |= {f"{ASSETS[0]}/{path}": content for path, content in assets.items()}
        held["tokenizer"] = serialized(name, {**config, "config_file": TOKENIZER})
        files[TOKENIZER] = held["tokenizer"]
        if task_class and hasattr(model, "max_length"):
            held[LENGTHS["Seq2SeqLM" in task_class]] = model.max_length
            if "CausalLM" in task_class:
                held |= _ends_there(tokenizer)
    if pictures is not None:
        name = f"{preset.BACKBONE.removesuffix('Backbone')}ImageConverter"
        held["image_converter"] = serialized(name, _converter_there(pictures))
        files[CONVERTER] = held["image_converter"]
    if not held or task_class is None:
        return files, None
    preprocessor = serialized(f"{task_class}Preprocessor", {**held, "config_file": PREPROCESSOR})
    files[PREPROCESSOR] = preprocessor
    return files, preprocessor


def _ends_there(tokenizer):
    """What a causal LM's preprocessor there puts round a text that it learns."""
    before, _ = tokenizer.frame()[0]
    if not before:
        warnings.warn(
            "KerasHub's generate puts the start token before every prompt, and this model's "
            "tokenizer does not: there call preprocessor.build(None), and set "
            "preprocessor.packer.start_value to None, to get the same text.",
            stacklevel=4,
        )
    return {"add_start_token": bool(before), "add_end_token": tokenizer.end_id is not None}


def serialized(name, config):
    """An object of KerasHub as Keras writes it."""
    return {
        "module": "keras_hub.models",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_hub>{name}",
    }


def holds(preset, tokenizer):
    """Whether the tokenizer of a family there can be this one."""
    return _tokenizer_there(_tokenizer_name(preset), tokenizer) is not None


def _tokenizer_name(preset):
    return f"{preset.BACKBONE.removesuffix('Backbone')}Tokenizer"


def _tokenizer_there(name, tokenizer):
    """The files of a tokenizer there and its config; None where that class can't hold it."""
    return KINDS[name].write(json.loads(tokenizer.to_json())) if name in KINDS else None


def _tokens(held):
    """Every token of a tokenizer.json by its id."""
    vocabulary = held["model"]["vocab"]
    ids = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    return ids | {entry["content"]: entry["id"] for entry in held["added_tokens"]}


def _word_piece_there(held):
    normalizer = held["normalizer"] or {}
    tokens = _tokens(held)
    is_bert = held["model"]["type"] == "WordPiece" and normalizer.get("type") == "BertNormalizer"
    if not is_bert or sorted(tokens.values()) != list(range(len(tokens))):
        return None
    lowercase, strip = normalizer["lowercase"], normalizer["strip_accents"]
    lines = "".join(f"{token}\n" for token in sorted(tokens, key=tokens.get))
    return {WORDS: lines}, {
        "vocabulary": None,  # It stands in the file.
        "lowercase": lowercase,
        "strip_accents": lowercase if strip is None else strip,
        "oov_token": held["model"]["unk_token"],
    }


def _bpe_there(held):
    if held["model"]["type"] != "BPE":
        return None
    merges = (m if isinstance(m, str) else " ".join(m) for m in held["model"]["merges"])
    return {
        BPE[0]: json.dumps(_tokens(held), ensure_ascii=False),
        MERGES: "".join(f"{merge}\n" for merge in merges),
    }, {}


def _charsmap(held):
    """The table of replaced characters among the steps of a tokenizer.json's normalizer."""
    normalizer = held["normalizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    return next((s["precompiled_charsmap"] for s in steps if "precompiled_charsmap" in s), "")


def _unigram_there(held):
    if held["model"]["type"] != "Unigram":
        return None
    special = {entry["content"] for entry in held["added_tokens"] if entry["special"]}
    rows = []
    for number, (piece, score) in enumerate(held["model"]["vocab"]):
        kind = sentencepiece.CONTROL if piece in special else sentencepiece.NORMAL
        kind = sentencepiece.UNKNOWN if number == held["model"]["unk_id"] else kind
        rows.append((piece, score, kind))
    numbers = {piece: number for number, (piece, _, _) in enumerate(rows)}
    ids = {
        "unk_id": held["model"]["unk_id"],
        "pad_id": numbers.get("<pad>", -1),
        "eos_id": numbers.get("</s>", -1),
    }
    return {PIECES: sentencepiece.serialized(rows, _charsmap(held), **ids)}, {"proto": None}


def _fairseq_there(held):
    """The pieces between fairseq's four special tokens and the mask, behind three of their own."""
    if held["model"]["type"] != "Unigram":
        return None
    rows = held["model"]["vocab"]
    if [piece for piece, _ in rows[:4]] != ["<s>", "<pad>", "</s>", "<unk>"]:
        return None
    last = len(rows) - (rows[-1][0] == "<mask>")
    own = [
        ("<unk>", 0.0, sentencepiece.UNKNOWN),
        ("<s>", 0.0, sentencepiece.CONTROL),
        ("</s>", 0.0, sentencepiece.CONTROL),
    ]
    own += [(piece, score, sentencepiece.NORMAL) for piece, score in rows[4:last]]
    return {PIECES: sentencepiece.serialized(own, _charsmap(held), bos_id=1, eos_id=2)}, {
        "proto": None
    }


def _converter_there(pictures):
    """The config of an image converter."""
    names = {here: there for there, here in RESAMPLE.items()}
    size, crop = pictures.size, pictures.crop
    cuts = is_whole(size) and crop == (size, size)
    if pictures.resample not in names or not (cuts or (crop is None and isinstance(size, tuple))):
        raise KzooError(
            f"KerasHub's image converter can't resize to {size!r} by {pictures.resample!r} and cut "
            f'{crop!r} out: set processors["image_processor"] to None to export the model '
            "without it."
        )
    return {
        "image_size": list(crop or size),
        "scale": [pictures.rescale / s for s in pictures.std],
        "offset": [-m / s for m, s in zip(pictures.mean, pictures.std, strict=True)],
        "interpolation": names[pictures.resample],
        "antialias": True,
        "crop_to_aspect_ratio": cuts,
        "pad_to_aspect_ratio": False,
    }


BERT = Kind("BertTokenizer", {WORDS: "vocab.txt"}, _casing, write=_word_piece_there)
JSON_AND_MERGES = dict(zip(BPE, ("vocab.json", "merges.txt"), strict=True))
ONE_MODEL = {PIECES: "spiece.model"}
# Where the config of a tokenizer of KerasNLP 0.6 has what a file holds now, and the file of it.
INSIDE = {
    WORDS: ("vocabulary", list, _lines),
    BPE[0]: ("vocabulary", dict, lambda held: json.dumps(held, ensure_ascii=False).encode()),
    MERGES: ("merges", list, _lines),
    PIECES: ("proto", str, base64.b64decode),
}
KINDS = {
    "AlbertTokenizer": Kind("AlbertTokenizer", ONE_MODEL, write=_unigram_there),
    "BartTokenizer": Kind("BartTokenizer", JSON_AND_MERGES, write=_bpe_there),
    "BertTokenizer": BERT,
    "BloomTokenizer": Kind(None, JSON_AND_MERGES, build=_bloom, write=_bpe_there),
    "CLIPTokenizer": Kind(None, JSON_AND_MERGES, build=_clip, write=_bpe_there),
    "DistilBertTokenizer": BERT,
    "GPT2Tokenizer": Kind("GPT2Tokenizer", JSON_AND_MERGES, write=_bpe_there),
    "RobertaTokenizer": Kind("RobertaTokenizer", JSON_AND_MERGES, write=_bpe_there),
    "T5Tokenizer": Kind("T5Tokenizer", ONE_MODEL, _sentinels, write=_unigram_there),
    "XLMRobertaTokenizer": Kind(
        "XLMRobertaTokenizer", {PIECES: "sentencepiece.bpe.model"}, write=_fairseq_there
    ),
}
