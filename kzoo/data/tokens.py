"""Token ids of many documents in a row, in memory or in files that are mapped into it."""

import json
import re
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import writing_folder

META = "tokens.json"
AT_ONCE = 1 << 16  # characters that are given to the tokenizer at the same time
# What lies between two sentences: blanks behind . ! or ?, or behind quotes and brackets behind it.
SENTENCE = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))\s+")


class Tokens:
    """Documents of sentences as one row of token ids, without special tokens.

    Args:
        ids: the tokens, an array.
        sentences: where in them each sentence begins, and where the last ends.
        documents: which sentence is the first of each document, and how many there are.
        begins: for each token whether a word begins with it; None where nobody asked.
    """

    NAMES = ("ids", "sentences", "documents", "begins")

    def __init__(self, ids, sentences, documents, begins=None):
        self.ids, self.sentences, self.documents, self.begins = ids, sentences, documents, begins

    def bounds(self, rows=None):
        """Where in the tokens each document begins and ends, of all or of some."""
        if rows is None:
            edges = self.sentences[self.documents]
            return edges[:-1], edges[1:]
        return self.sentences[self.documents[rows]], self.sentences[self.documents[rows + 1]]

    def read(self, begin, end):
        """Some of the tokens."""
        return self.ids[begin:end]


class Joined:
    """Documents as one row of tokens, of all or of some.

    Args:
        tokens: `Tokens`.
        rows: the numbers of documents, or None for all.
        head: token ids that stand before the first.
    """

    def __init__(self, tokens, rows, head=()):
        starts, ends = ([0], [len(tokens.ids)]) if rows is None else tokens.bounds(rows)
        self.ids, self.head, self.starts = tokens.ids, np.array(head, "int64"), np.array(starts)
        self.edges = len(head) + np.concatenate([[0], np.cumsum(np.array(ends) - self.starts)])

    def bounds(self, rows=None):
        """Where the row begins and ends, two arrays of one number."""
        return self.edges[:1] - len(self.head), self.edges[-1:]

    def read(self, begin, end):
        """Some of the tokens."""
        parts = [self.head[begin:end]]
        place = max(begin, len(self.head))
        at = int(np.searchsorted(self.edges, place, side="right")) - 1
        while place < end:
            first = int(self.starts[at]) + place - int(self.edges[at])
            parts.append(self.ids[first : first + min(end, int(self.edges[at + 1])) - place])
            place, at = int(self.edges[at + 1]), at + 1
        return np.concatenate(parts).astype("int32")


class Writer:
    """Makes `Tokens` of pieces, see `shards.documents`, through columns that are appended to.

    Args:
        tokenizer: a `Tokenizer`.
        words: whether it is kept where words begin.
        sentences: whether pieces that are alone in their documents are cut behind . ! and ?.
        frame: token ids that stand before and behind each document, where `words` isn't asked for.
    """

    def __init__(self, tokenizer, words=False, sentences=False, frame=((), ())):
        self.tokenizer, self.words, self.sentences, self.frame = tokenizer, words, sentences, frame
        roles = ("padding_id", "start_id", "separator_id", "begin_id", "end_id")
        special = {getattr(tokenizer, role) for role in roles} & set(tokenizer.special_ids)
        self.around = np.array(sorted(special - {None}), "int64")  # what others put round a text

    def types(self):
        """The NumPy type of each column."""
        small = self.tokenizer.vocabulary_size <= 2**16
        types = {"ids": "uint16" if small else "int32", "sentences": "int64", "documents": "int64"}
        return {**types, "begins": "bool"} if self.words else types

    def write(self, pieces, append):
        """Append all to the columns: `append(name, values)`."""
        place, count = 0, 0
        for first, last, ids, begins in self._sentences(pieces):
            before = self.frame[0] if first else ()
            after = self.frame[1] if last else ()
            if first:
                append("documents", [count])
            if before or after:
                ids = [*before, *ids, *after]
            if len(ids):
                append("sentences", [place])
                append("ids", ids)
                if self.words:
                    append("begins", begins)
                place, count = place + len(ids), count + 1
        append("sentences", [place])
        append("documents", [count])

    def _sentences(self, pieces):
        """(whether a document begins, whether it ends, token ids, where words begin)."""
        held, size = [], 0
        for first, piece in self._cut(pieces):
            if size >= AT_ONCE:
                yield from self._encoded(held, first)  # A document ends where the next begins.
                held, size = [], 0
            held.append((first, piece))
            size += len(piece)
        yield from self._encoded(held, True)

    def _cut(self, pieces):
        """The pieces, those alone in their documents cut into sentences where that is asked for."""
        if not self.sentences:
            yield from pieces
            return
        held = []
        for first, piece in pieces:
            if first and held:
                yield from self._parted(held)
                held = []
            held.append(piece)
        if held:
            yield from self._parted(held)

    @staticmethod
    def _parted(held):
        if len(held) == 1 and isinstance(held[0], str):
            held = [part for part in sentences_of(held[0]) if part]
            held = [f" {part}" if place else part for place, part in enumerate(held)]
        yield from ((not place, part) for place, part in enumerate(held))

    def _encoded(self, held, ends):
        texts = [piece for _, piece in held if isinstance(piece, str)]
        made = iter(self._tokens(texts) if texts else ())
        for place, (first, piece) in enumerate(held):
            ids, begins = next(made) if isinstance(piece, str) else self._given(piece)
            last = held[place + 1][0] if place + 1 < len(held) else ends
            yield first, last, ids, begins

    def _tokens(self, texts):
        if not self.words:
            return [(ids, None) for ids in self.tokenizer.bare_ids(texts)]
        return [
            (ids, np.diff(words, prepend=-1) != 0)
            for ids, words in self.tokenizer.bare_words(texts)
        ]

    def _given(self, ids):
        """Token ids of a record, without what stands round a text, and padding."""
        size = self.tokenizer.vocabulary_size
        wrong = ids[(ids < 0) | (ids >= size)]
        if len(wrong):
            raise KzooError(
                f"Got the token {wrong[0]} in a record; expected 0 to {size - 1}, as the tokenizer "
                "has them: were these made by another?"
            )
        if self.words:
            raise KzooError(
                "Got records of token ids, which don't say where words begin; expected records of "
                "text, or the objective tokens."
            )
        return ids[~np.isin(ids, self.around)], None


def sentences_of(text):
    """The sentences of a text: its lines, or of a single one what ends in . ! or ?."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) != 1 else SENTENCE.split(lines[0])


def words_of(tokens, begin, end):
    """The number of its word for each of some tokens."""
    if tokens.begins is None:
        return np.arange(end - begin)
    return np.cumsum(tokens.begins[begin:end])


def in_memory(pieces, writer):
    """The `Tokens` of pieces."""
    columns = {name: [] for name in writer.types()}
    writer.write(pieces, lambda name, values: columns[name].append(values))
    return Tokens(
        **{
            name: np.concatenate(columns[name]).astype(kind)
            for name, kind in writer.types().items()
        }
    )


def on_disk(pieces, writer, folder):
    """The `Tokens` in a folder, which is written whole if it isn't there; the files are mapped.

    `pieces` is called for them where they are needed.
    """
    folder, types = Path(folder), writer.types()
    if not _is_whole(folder, types):
        try:
            with writing_folder(folder) as tmp_path:
                counts = _written(pieces(), writer, Path(tmp_path))
                meta = json.dumps({"counts": counts, "types": types}, indent=2) + "\n"
                (Path(tmp_path) / META).write_text(meta, encoding="utf-8")
        except OSError as error:
            raise KzooError(
                f"{folder} can't be written ({error.strerror}); expected room for the tokens of a "
                "corpus: make some, or name another folder as cache."
            ) from None
    arrays = {name: np.memmap(folder / name, kind, "r") for name, kind in types.items()}
    return Tokens(**arrays)


def _written(pieces, writer, folder):
    types = writer.types()
    files = {name: open(folder / name, "wb", buffering=1 << 16) for name in types}  # noqa: SIM115
    counts = dict.fromkeys(types, 0)

    def append(name, values):
        counts[name] += len(values)
        files[name].write(np.asarray(values, types[name]).tobytes())

    try:
        writer.write(pieces, append)
    finally:
        for file in files.values():
            file.close()
    if not counts["ids"]:
        raise KzooError("The corpus holds no tokens; expected some text.")
    return counts


def _is_whole(folder, types):
    """Whether the files of a folder are as large as they were when it was written."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in types}
    except (OSError, ValueError):
        return False
    counts = meta["counts"]
    return meta["types"] == types and sizes == {
        name: counts[name] * np.dtype(kind).itemsize for name, kind in types.items()
    }
