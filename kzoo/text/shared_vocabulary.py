"""Two models of SentencePiece that share one vocabulary: Marian's (arXiv:1804.00344).

`source.spm` cuts what is read and `target.spm` what is written; `vocab.json` numbers the pieces of
both. Each becomes a Unigram tokenizer of the whole vocabulary:

* a piece that only the other model has is behind a mark that no text holds, so that no text is
  cut at it, and written without the mark. A stretch of unknown characters that is such a piece
  has its id all the same, as vocab.json is asked last;
* a piece of this model that the vocabulary lacks stands behind the vocabulary, and its id means
  the unknown token. The template of special tokens says so: `<unk>` stands there for several ids.
"""

import json
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from ..errors import KzooError
from ..files import read_json
from ..values import is_whole
from . import sentencepiece

SOURCE, TARGET, VOCABULARY = "source.spm", "target.spm", "vocab.json"
MARK = "\ufdd0"  # no character, for good (Unicode, chapter 23)
UNKNOWN, END, PADDING = "<unk>", "</s>", "<pad>"


def read(path):
    """The backend of one of the two models, numbered by the `vocab.json` beside it.

    Raises:
        KzooError: for a file that is missing or damaged, and for files that don't belong together.
    """
    path = Path(path)
    for name in (SOURCE, TARGET, VOCABULARY):
        if not (path.parent / name).is_file():
            raise KzooError(
                f"{path.parent / name} is missing: a tokenizer of Marian has {SOURCE}, {TARGET} "
                f"and {VOCABULARY}."
            )
    model, ids = sentencepiece.read(path), _vocabulary(path.parent / VOCABULARY)
    if model.trainer_spec.byte_fallback:
        raise KzooError(f"{path} cuts unknown characters into bytes; Marian's models don't.")
    own = {p.piece: p.score for p in model.pieces if p.type == sentencepiece.NORMAL}
    strangers = [piece for piece in own if piece not in ids]
    if 2 * len(strangers) > len(own):
        raise KzooError(
            f"{path.parent / VOCABULARY} lacks {len(strangers)} of the {len(own)} pieces of "
            f"{path.name}: take the files of one model."
        )
    special = [END, UNKNOWN, PADDING]
    kept = {piece for piece in ids if piece in own or piece in special or _is_code(piece)}
    pieces = [(each if each in kept else MARK + each, own.get(each, 0.0)) for each in ids]
    pieces += [(each, own[each]) for each in strangers]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, ids[UNKNOWN], byte_fallback=False))
    if sentencepiece.table(model):
        backend.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Metaspace()]
    )
    spaces = [decoders.Replace(MARK, ""), decoders.Replace("▁", " ")]
    first = decoders.Strip(" ", left=len(pieces))  # all of them
    backend.decoder = decoders.Sequence([*spaces, decoders.Fuse(), first])
    backend.add_special_tokens(special)
    codes = [each for each in ids if _is_code(each)]
    backend.add_tokens([AddedToken(code, normalized=False) for code in codes])
    unknown = {
        "id": UNKNOWN,
        "ids": [ids[UNKNOWN], *range(len(ids), len(pieces))],
        "tokens": [UNKNOWN, *strangers],
    }
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {END}",
        pair=f"$A $B {END}",
        special_tokens=[(END, ids[END]), unknown],
    )
    return backend


def _is_code(piece):
    """Whether a piece names a language to write, such as ">>fra<<"."""
    return piece.startswith(">>") and piece.endswith("<<")


def _vocabulary(path):
    """The ids of `vocab.json`, by piece, in their order."""
    ids = read_json(path, "the ids of pieces")
    numbers = sorted(number for number in ids.values() if is_whole(number))
    if numbers != list(range(len(ids))):
        raise KzooError(f"{path} doesn't number its pieces from 0 to {len(ids) - 1}, each once.")
    missing = [piece for piece in (END, UNKNOWN, PADDING) if piece not in ids]
    if missing:
        raise KzooError(f"{path} lacks {', '.join(missing)}: Marian's vocabulary has them.")
    return dict(sorted(ids.items(), key=lambda item: item[1]))


class Numbers:
    """The ids of a shared vocabulary, of what a backend made of a text.

    Args:
        unknown: the id of the unknown token.
        others: ids behind the vocabulary, which mean it too.
        marked: the ids of the other model's pieces: an unknown stretch of a text may be one.
    """

    def __init__(self, unknown, others, marked):
        self.unknown, self.others, self.marked = unknown, frozenset(others), marked

    @classmethod
    def of(cls, backend):
        """Those of a backend, or None where its template of special tokens says of none."""
        if backend.post_processor is None:
            return None
        template = json.loads(backend.post_processor.__getstate__())
        used = {
            part["SpecialToken"]["id"]
            for part in [*template.get("single", ()), *template.get("pair", ())]
            if isinstance(part, dict) and "SpecialToken" in part
        }
        special = template.get("special_tokens", {})
        if UNKNOWN not in special or UNKNOWN in used:
            return None
        unknown, *others = special[UNKNOWN]["ids"]
        pieces = backend.get_vocab(with_added_tokens=False).items()
        marked = {piece.removeprefix(MARK): n for piece, n in pieces if piece.startswith(MARK)}
        return cls(unknown, others, marked)

    def vocabulary(self, known):
        """{piece: id} of the vocabulary, of what a backend has."""
        return {p.removeprefix(MARK): n for p, n in known.items() if n not in self.others}

    def ids(self, encoding):
        """The ids of an encoding of the backend's."""
        found = [self.unknown if n in self.others else n for n in encoding.ids]
        if self.unknown in found and self.marked:
            pairs = zip(found, encoding.tokens, strict=True)
            found = [self.marked.get(text, n) if n == self.unknown else n for n, text in pairs]
        return found


def save(folder, source, target):
    """Write the three files for the backends of the two models."""
    folder, ids = Path(folder), {}
    for name, backend in ((SOURCE, source), (TARGET, target)):
        parts = json.loads(backend.to_str())
        added = {token["content"] for token in parts["added_tokens"]}
        size = len(parts["model"]["vocab"]) - len(Numbers.of(backend).others)
        pieces = [tuple(row) for row in parts["model"]["vocab"]]
        ids |= {piece.removeprefix(MARK): n for n, (piece, _) in enumerate(pieces[:size])}
        own = [row for row in pieces if row[0] not in added and not row[0].startswith(MARK)]
        table = (parts["normalizer"] or {}).get("precompiled_charsmap", "")
        (folder / name).write_bytes(sentencepiece.written(own, table, UNKNOWN))
    text = json.dumps(ids, ensure_ascii=False, indent=1)
    (folder / VOCABULARY).write_text(text + "\n", encoding="utf-8")
