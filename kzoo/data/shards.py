"""Files of raw text, however large: read a line or a record at a time."""

import glob
import gzip
import zlib
from pathlib import Path

import numpy as np

from ..errors import KzooError
from .tables import suffix_of

PLAIN = (".txt", ".text", ".md")
RECORDS = ".tfrecord"  # within the name of a shard, such as train.tfrecord-00000-of-00010
UNITS = {
    "line": "a document a line",
    "file": "a document a file",
    "document": "documents between blank lines",
}
CACHE = ".kzoo_tokens"  # the folder beside them of what was made of them
PIECE = 1 << 16  # characters that are made tokens at once, of a document that is a whole file


def is_records(path):
    """Whether a file is one of TensorFlow's records."""
    return RECORDS in Path(path).name.lower()


def is_shards(path):
    """Whether a path stands for files that are read piece by piece, not for one that is held."""
    return Path(path).is_dir() or is_records(path) or (_is_pattern(path) and not _is_file(path))


def _is_pattern(path):
    return glob.has_magic(str(path))


def _is_file(path):
    return Path(path).is_file()


def shards(path):
    """The files that a path stands for, in the order of their names.

    Args:
        path: a file, a folder (its text files and records, and those of folders in it), or a
            pattern such as "texts/*.txt.gz".

    Raises:
        KzooError: where there is none, or one that is neither text nor records.
    """
    path = Path(path)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _known(file) and file.is_file()]
        within = (file.relative_to(path).parts for file in files)
        files = [f for f, parts in zip(files, within, strict=True) if not _hidden(parts)]
    elif path.is_file():
        files = [path]
    else:
        files = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        files = [file for file in files if file.is_file()]
    if not files:
        what = "holds no" if path.is_dir() else "leads to no"
        raise KzooError(
            f"{path} {what} text; expected files that end in {', '.join(PLAIN)}, maybe with .gz, "
            f"or have {RECORDS} in their names."
        )
    wrong = next((file for file in files if not _known(file)), None)
    if wrong is not None:
        raise KzooError(
            f"{wrong} is no kind of text that is known; expected {', '.join(PLAIN)}, maybe with "
            f".gz, or {RECORDS}: name the files by a narrower pattern."
        )
    return files


def _known(file):
    return is_records(file) or suffix_of(file) in PLAIN


def _hidden(parts):
    return any(part.startswith(".") for part in parts)


def documents(files, unit, update=lambda data: None):
    """The pieces of the documents in files, one after the other.

    Args:
        files: their paths.
        unit: one of `UNITS`, of text; a record is a document.
        update: called on all that is read, as bytes.

    Yields:
        Whether a document begins, and a sentence of it: a line of the file, stripped, behind a
        blank where one stands before it. Where a file is a document, some lines as they are; of
        records of tokens, these.

    Raises:
        KzooError: for a file that is not UTF-8, or not whole.
    """
    for file in files:
        update(b"\0")
        if is_records(file):
            yield from _records(file, update)
            continue
        if unit == "file":
            yield from _whole(file, update)
            continue
        begins = True
        for line in _lines(file, update):
            line = line.strip()
            if line:
                begins = begins or unit == "line"
                # The blank between two sentences is part of a token in many tokenizers.
                yield begins, line if begins else f" {line}"
                begins = False
            else:
                begins = True


def _whole(file, update):
    held, size, begins = [], 0, True
    for line in _lines(file, update):
        # Not before a blank: a tokenizer may take several of them as one.
        if size >= PIECE and not line[:1].isspace() and not held[-1].isspace():
            yield begins, "".join(held)
            held, size, begins = [], 0, False
        held.append(line)
        size += len(line)
    text = "".join(held)
    if text.strip() or (text and not begins):
        yield begins, text


def _lines(file, update):
    """The lines of a text file with their ends."""
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    number = 0
    try:
        with opened(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                update(line)
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KzooError(
            f"{file}, line {number}, is not UTF-8 (byte {error.start}): save it in that encoding."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise KzooError(f"{file} is not a whole gzip file ({error}): fetch it again.") from None
    except OSError as error:
        raise KzooError(f"{file} can't be read ({error.strerror}).") from None


def _records(file, update):
    """The documents of a file of `tf.train.Example`s, with `input_ids` or `text`."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    packed = "GZIP" if file.suffix.lower() == ".gz" else ""
    number, records = 0, tf.data.TFRecordDataset(str(file), compression_type=packed)
    try:
        for number, record in enumerate(records.as_numpy_iterator(), 1):
            update(record)
            yield from _document(f"{file}, record {number}", tf.train.Example.FromString(record))
    except DecodeError:
        raise KzooError(
            f"{file}, record {number}, is no tf.train.Example; expected one with input_ids (whole "
            "numbers) or text (bytes)."
        ) from None
    except tf.errors.DataLossError:
        raise KzooError(
            f"{file} is cut off or spoilt behind record {number}: write it anew."
        ) from None


def _document(where, example):
    features = example.features.feature
    ids = features["input_ids"].int64_list.value if "input_ids" in features else ()
    text = features["text"].bytes_list.value if "text" in features else ()
    if len(ids):
        yield True, np.asarray(ids, "int64")
    elif len(text) == 1:
        try:
            lines = text[0].decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise KzooError(
                f"{where}, is not UTF-8 (byte {error.start}): save it in that encoding."
            ) from None
        lines = [line.strip() for line in lines if line.strip()]
        yield from ((not place, f" {line}" if place else line) for place, line in enumerate(lines))
    else:
        named = ", ".join(sorted(features)) or "nothing"
        raise KzooError(
            f"{where}, has {named}; expected input_ids (whole numbers, one at least) or text "
            "(bytes)."
        )
