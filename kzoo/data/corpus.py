"""Text that needn't fit the memory: files in folders, made token ids once and mapped from there."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import path_of
from .examples import Examples, count_of
from .ragged import Ragged, pieces
from .shards import CACHE, UNITS, documents, is_records, is_shards, shards
from .tokens import Writer, on_disk

FORMAT = 1  # of the files of a cache


class Corpus:
    """Documents in files, which tasks that learn from raw text take in the place of a list.

    Nothing is held but some numbers a document: the files are read once to count and check them,
    once to make them token ids, which lie in a folder from then on, and these are mapped into
    memory. That folder is named by the checksums of texts and tokenizer: other texts are made
    tokens anew.

    Args:
        path: a file, a folder, or a pattern such as "texts/*.txt.gz": plain text (.txt, .text, .md,
            maybe .gz; UTF-8), or records of TensorFlow (.tfrecord in the name) of
            `tf.train.Example`s with `input_ids`, whole numbers, or `text`, bytes.
        unit: of text, what a document is: a "line", a "file", or a "document", whose sentences
            are lines and which a blank line ends (as BERT's code reads them). A record is one.
        cache: a folder for token ids; by default `.kzoo_tokens` beside the first file.

    Raises:
        KzooError: where there is no text, or a file isn't whole.
    """

    def __init__(self, path, unit=None, cache=None):
        path = path_of(path, "the corpus")
        self.path, self.files = path, shards(path)
        if unit is None and all(map(is_records, self.files)):
            unit = "document"
        if unit not in UNITS:
            raise KzooError(
                f"Got {unit!r:.40} as what a document of {path} is; expected "
                + ", ".join(f'"{name}" ({means})' for name, means in UNITS.items())
                + "."
            )
        self.unit = unit
        self.cache = Path(self.files[0].parent / CACHE if cache is None else cache)
        total, self.count = hashlib.sha256(unit.encode()), 0
        for begins, _ in documents(self.files, unit, total.update):
            self.count += begins
        if not self.count:
            raise KzooError(f"{path} holds no text; expected one document at least.")
        self.sha256, self.rows = total.hexdigest(), None

    def __len__(self):
        return self.count if self.rows is None else len(self.rows)

    def __repr__(self):
        return f"<Corpus {self.path}: {count_of(len(self), 'document')}>"

    def __getitem__(self, part):
        """A slice of the documents, as a corpus."""
        if not isinstance(part, slice):
            raise KzooError(f"Got [{part!r:.40}] of a corpus; expected a slice: it holds no texts.")
        return self.part(np.arange(len(self))[part])

    def part(self, rows):
        """Some of the documents, by their numbers."""
        part, rows = object.__new__(Corpus), np.asarray(rows, "int64")
        vars(part).update(vars(self))
        part.rows = np.sort(rows if self.rows is None else self.rows[rows])
        return part

    @property
    def known_by(self):
        """What a training that goes on knows the texts by."""
        rows = b"" if self.rows is None else self.rows.tobytes()
        return hashlib.sha256(self.sha256.encode() + rows).hexdigest()

    def texts(self):
        """The texts of all files, sentence by sentence; KzooError for records of tokens."""
        for _, text in documents(self.files, self.unit):
            if not isinstance(text, str):
                raise KzooError(f"{self.path} holds token ids; expected text.")
            yield text

    def tokens(self, tokenizer, **options):
        """The `Tokens` of all documents, in files; `options` as for `Writer`."""
        known = [FORMAT, self.sha256, tokenizer.to_json(), json.dumps(options, default=list)]
        name = hashlib.sha256("\0".join(map(str, known)).encode()).hexdigest()[:16]
        writer = Writer(tokenizer, **options)
        return on_disk(lambda: documents(self.files, self.unit), writer, self.cache / name)

    def windows(self, tokens, size, least=1):
        """Pieces of documents of so many tokens: where each begins, and its length."""
        begun, lengths = pieces(*tokens.bounds(self.rows), size, least)
        if not len(begun):
            raise KzooError(
                f"{self.path} holds no {least} tokens in a document: there is nothing to learn."
            )
        return begun, lengths

    def column(self, array, starts, lengths):
        """Pieces of an array as a column."""

        def row(n):
            return array[starts[n] : starts[n] + lengths[n]]

        return Ragged(lengths, row, self.known_by)


@dataclass
class CorpusExamples(Examples):
    """`Examples` that are documents of a corpus."""

    def part(self, rows):
        """See `Examples`."""
        rows = np.asarray(rows)
        return replace(self, x=self.x.part(rows), lines=_Numbers(self.lines, rows))


class _Numbers:
    """Some of the numbers of a range."""

    def __init__(self, of, rows):
        self.of, self.rows = of, rows

    def __getitem__(self, place):
        return self.of[int(self.rows[place])]


def read_corpus(read):
    """`read_file` of a task that learns from raw text: what `read` does, and a `Corpus` of files.

    That is a folder, a pattern, or records; plain text too where it has documents of several lines.
    """

    def read_file(path, text=None, label=None, targets="optional"):
        if not is_shards(path) and text != "document":
            return read(path, text, label, targets)
        if label is not None:
            raise KzooError(
                f"Got label {label!r} for {path}, raw text; expected none: leave it out."
            )
        corpus = Corpus(path, text)
        kind = "records" if all(map(is_records, corpus.files)) else UNITS[corpus.unit]
        return CorpusExamples(
            path=path,
            x=corpus,
            y=None,
            lines=range(1, len(corpus) + 1),
            kind=f"{count_of(len(corpus.files), 'file')} of text, {kind}",
            unit="document",
        )

    return staticmethod(read_file)
