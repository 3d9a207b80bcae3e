"""What a bundle reads, by the `reads` of its manifest: texts, pictures, sounds.

A sense says which processor reads, what a file is compared with Keras on where nobody gave more,
and how an input lies in a golden example and comes back from there.
"""

import base64
import hashlib
import html
import os
import wave
from typing import NamedTuple

import numpy as np

from .. import plot, processors
from ..data.media import PICTURES, SOUNDS
from ..data.picture_texts import asked, read_questions
from ..data.sources import read_rows
from ..data.tables import read_table
from ..errors import KzooError
from ..files import path_of
from ..litert.interpreter import encode
from ..text.marked import marked_row
from ..values import as_text, is_whole
from .manifest import TOKENIZER

COLUMNS = ("token_ids", "padding_mask", "segment_ids")  # what a text becomes
JOINED = (2, 4, 8, 16, 32, 64)  # how many labelled texts are joined, to compare long ones too
CHOICES = 4  # How many continuations a text gets where a model chooses among them.
PIECES = 24  # pictures or sounds that a file is compared on
SIDES = (72, 96, 128)  # of such pictures, in pixels


class Sense:
    """What all senses have; see `Texts` and `Pictures`.

    `noun` is what reports call an input, `shipped` those that are there without asking;
    `processor` the kind of what reads them, which lies in `file`.
    """

    noun, nouns, shipped, processor, file = None, None, None, None, None
    name = None  # what an error calls one of several, before its number
    columns_given = ()  # what an input becomes
    travels = True  # whether inputs of an evaluation may be golden examples
    unit = ""  # what its lengths are counted in, as the head of a column
    again_words = None  # what is done to one before it is run

    @property
    def files(self):
        """The files of what reads."""
        return {self.file}

    def load(self, folder):
        """The processor of a bundle."""
        return processors.KINDS[self.processor].load(folder)

    def processor_of(self, model):
        """What reads for a model, or None."""
        return model.processors.get(self.processor)

    def reading(self, processor):
        """What a client does to an input before it runs the file, for the manifest; None for texts.

        `in_file` names what the file itself does then, whatever the processor's own file says.
        """
        return None

    def listed(self, given):
        """A list of inputs from one or several of them; KzooError for what are none."""
        raise NotImplementedError

    def is_alone(self, given):
        """Whether what a user gave is one input, and not several."""
        return isinstance(given, str)

    def read_table(self, path, column=None):
        """The `Table` in a file, and the input of its every row."""
        raise NotImplementedError

    def drawn(self, given, processor, scores):
        """A figure of an input with {label: number}, or with what was found in it."""
        raise KzooError(
            f"Got {self.nouns} to draw; expected a bundle that reads pictures or sounds: leave "
            "drawing out."
        )

    def row(self, processor, given, limit, length, options):
        """One row of an input, how many tokens it has, and whether the input has more.

        A row is the columns that a file reads, padded to `length` where it has one, and a dict of
        what else is known of its tokens, which stops before padding. `options` are the manifest's
        `task_options`.
        """
        raise NotImplementedError

    def echo(self, given, tokens, truncated):
        """What an answer says of its input."""
        raise NotImplementedError

    def check_file(self, interpreter):
        """Raise KzooError unless a file reads what an input gives."""
        other = sorted(set(interpreter.input_names) - set(self.columns_given))
        if other:
            raise KzooError(
                f"{interpreter.path} wants the input {other[0]}; a {self.noun} gives "
                f"{', '.join(self.columns_given)}: export anew."
            )

    def resized(self, model, image_size):
        """A copy of a model for pictures of another size."""
        raise KzooError(
            f"Got image_size {image_size!r:.40} for a model of {self.nouns}; expected none: only "
            "pictures have a size."
        )

    def check(self, model, given):
        """Raise KzooError where some labelled inputs are not what a task reads."""

    def samples(self, model, length=None, given=None):
        """(input, columns of the model's file) for each of some inputs, by default shipped ones."""
        raise NotImplementedError

    def chosen(self, given, most):
        """Those of the evaluation's inputs on which a file is compared with Keras."""
        return spread(given, most, key=lambda _: 0)

    def size(self, row):
        """By what the rows of `samples` are sorted before some are chosen."""
        return 0

    def kept(self, place, given, columns, folder):
        """What a golden example says of its input, with files that it needs written there."""
        raise NotImplementedError

    def sent(self, entry, folder):
        """What a client is given of a golden example."""
        return self.given(entry, folder)

    def again(self, entry, folder, processor, manifest):
        """The columns of a golden example, read anew."""
        raise NotImplementedError

    def check_again(self, place, entry, columns):
        """Raise KzooError where a golden example's columns are others than at the export."""
        raise NotImplementedError

    def given(self, entry, folder):
        """The input of a golden example."""
        raise NotImplementedError

    def described(self, entry):
        """What a report shows of a golden example's input."""
        raise NotImplementedError

    def compared(self, parity):
        """What a file and Keras were compared on, for a sentence."""
        return f"{parity['texts']} {self._whose(parity)}"

    def _whose(self, parity):
        source = parity.get("source")
        return f"{self.nouns} of {source}" if source else self.shipped

    def long(self, length):
        """One input of a length that was timed, for a sentence."""
        return f"one {self.noun}"

    def takes(self, report):
        """How much a file takes, for a sentence."""
        return f"{self.nouns} of one size"

    def cell(self, entry, folder):
        """A golden example's input in HTML."""
        raise NotImplementedError

    def title(self, entry):
        """What an error calls a golden example."""
        return repr(entry[self.noun])[:40]


class Texts(Sense):
    """Strings, or pairs of them, as token ids."""

    noun, nouns, shipped = "text", "texts", "shipped sentences"
    processor, file, name = "tokenizer", TOKENIZER, "Text"
    columns_given, again_words, unit = COLUMNS, "tokenized", ">tokens"

    def listed(self, given):
        """Strings and pairs of strings."""
        if isinstance(given, (str, dict)):
            return [as_text(given)]
        if not hasattr(given, "__iter__"):
            raise KzooError(f"texts is {given!r:.60}; a list of strings is expected.")
        texts = [as_text(text) for text in given]
        if not texts:
            raise KzooError("No text came; at least one is expected.")
        for place, text in enumerate(texts):
            pair = isinstance(text, (tuple, list)) and len(text) == 2
            if not isinstance(text, str) and not (pair and all(isinstance(t, str) for t in text)):
                raise KzooError(f"Text {place} is {text!r:.60}; a string or a pair is expected.")
        return texts

    def read_table(self, path, column=None):
        """See `Sense`; a pair has two columns."""
        return read_rows(path, column)

    def row(self, processor, given, limit, length, options):
        """See `Sense`."""
        first, second = (given, None) if isinstance(given, str) else given
        columns, whole = encode(processor, first, second, limit, length)
        tokens = int(columns["padding_mask"].sum())
        return [(columns, {"offsets": columns["offsets"][0, :tokens]})], tokens, whole > tokens

    def echo(self, given, tokens, truncated):
        """The text, how many of its tokens were read, and whether there are more."""
        text = given if isinstance(given, str) else list(given)
        return {"text": text, "tokens": tokens, "truncated": truncated}

    def check(self, model, given):
        """Texts for a task that reads texts, and pairs for one that reads pairs."""
        model.check_reads("text" if isinstance(given[0], str) else "pair")

    def samples(self, model, length=None, given=None):
        """See `Sense`; without a tokenizer ids are drawn, in the lengths of the shipped texts."""
        from ..litert.convert import model_inputs  # Who only answers needs no Keras.

        names, backbone = model_inputs(model), getattr(model, "backbone", model)
        longest = getattr(model, "max_length", backbone.longest)
        limit = min(longest, length or 10**9)
        tokenizer = model.processors.get("tokenizer")
        draw, rows = np.random.default_rng(0), []
        for text in sample_texts(model) if given is None else given:
            if tokenizer is not None:
                first, second = (text, None) if isinstance(text, str) else text
                columns, _ = encode(tokenizer, first, second, limit, length)
            else:
                columns = _drawn(draw, backbone, text, limit, length)
            rows.append((text, {name: columns[name] for name in names}))
        return rows

    def chosen(self, given, most):
        """Short and long ones; some joined, to compare on longer ones than there are."""
        some = spread(given, most - len(JOINED), key=lambda text: len("".join(text)))
        return some + [_joined(given[:count]) for count in JOINED]

    def size(self, row):
        """How many tokens it has."""
        return int(row[1]["padding_mask"].sum())

    def given(self, entry, folder):
        """The text."""
        return entry["text"]

    def kept(self, place, given, columns, folder):
        """The text and its ids."""
        return {"text": given, "token_ids": columns["token_ids"][0].tolist()}

    def again(self, entry, folder, processor, manifest):
        """See `Sense`."""
        first, second = (entry["text"], None) if isinstance(entry["text"], str) else entry["text"]
        return encode(processor, first, second, manifest["max_length"], manifest["length"])[0]

    def check_again(self, place, entry, columns):
        """See `Sense`."""
        self.check_ids(place, entry, columns["token_ids"][0].tolist())

    def check_ids(self, place, entry, ids):
        """Raise KzooError where the tokens of a golden example are others than at the export."""
        if ids == entry["token_ids"]:
            return
        pairs = enumerate(zip(ids, entry["token_ids"], strict=False))
        shorter = min(len(ids), len(entry["token_ids"]))
        at = next((i for i, (here, there) in pairs if here != there), shorter)
        raise KzooError(
            f"Golden example {place} ({self.title(entry)}) is tokenized otherwise from token {at} "
            "on: take the tokenizers version that the report names, or export anew."
        )

    def compared(self, parity):
        """With the lengths of the texts."""
        joined = ", some joined to be long," if parity.get("source") else ""
        least, most = min(parity["tokens"]), max(parity["tokens"])
        return f"{super().compared(parity)}{joined} of {least} to {most} tokens"

    def long(self, length):
        """So many tokens."""
        return f"{length} tokens"

    def takes(self, report):
        """How many tokens."""
        exactly = "1 to" if report["length"] is None else "exactly"
        return f"{exactly} {report['max_length']} tokens"

    def cell(self, entry, folder):
        """The text, cut where it is long."""
        return f"{html.escape(short(entry['text']))}<small>{entry['tokens']} tokens</small>"

    def described(self, entry):
        """The text, and how many tokens it has."""
        return {"text": entry["text"], "tokens": len(entry["token_ids"])}


class MarkedTexts(Texts):
    """Strings as token ids with a marker, each read in one of the ways of the option `readings`.

    A text alone is read in the last way, and of a pair each text in its own.
    """

    def row(self, processor, given, limit, length, options):
        """See `Sense`; a row for each text."""
        texts = [given] if isinstance(given, str) else given
        ways = zip(texts, options["readings"][-len(texts) :], strict=True)
        read = [marked_row(processor, text, reading, length) for text, reading in ways]
        rows = [(columns, {}) for columns, _, _ in read]
        return rows, sum(tokens for _, tokens, _ in read), any(cut for _, _, cut in read)

    def samples(self, model, length=None, given=None):
        """See `Sense`; of texts alone each other one is read in the first way."""
        from ..litert.convert import model_inputs

        tokenizer = model.processors.get("tokenizer")
        if tokenizer is None:
            return super().samples(model, length, given)
        names, ways, rows = model_inputs(model), model.task_options()["readings"], []
        for place, text in enumerate(sample_texts(model) if given is None else given):
            parts, own = (text, ways) if not isinstance(text, str) else ([text], [ways[place % 2]])
            for part, reading in zip(parts, own, strict=True):
                columns, _, _ = marked_row(tokenizer, part, reading, length)
                rows.append(((reading["name"], part), {name: columns[name] for name in names}))
        return rows

    def size(self, row):
        """How long its text is: what is filled up has tokens of one number."""
        (_, text), _ = row
        return len(text)

    def kept(self, place, given, columns, folder):
        """The text, how it was read, and its ids."""
        name, text = given
        return {**super().kept(place, text, columns, folder), "reading": name}

    def again(self, entry, folder, processor, manifest):
        """See `Sense`."""
        ways = {each["name"]: each for each in manifest["task_options"]["readings"]}
        if entry.get("reading") not in ways:
            raise KzooError(
                f"A golden example ({self.title(entry)}) is read as {entry.get('reading')!r:.40}; "
                f"expected {' or '.join(ways)}: export anew."
            )
        return marked_row(processor, entry["text"], ways[entry["reading"]], manifest["length"])[0]

    def sent(self, entry, folder):
        """The text beside itself: read in both ways, and compared."""
        return entry["text"], entry["text"]

    def described(self, entry):
        """Also how it was read."""
        return {**super().described(entry), "reading": entry["reading"]}

    def cell(self, entry, folder):
        """Also how it was read."""
        return f"{super().cell(entry, folder)}<small>{html.escape(entry['reading'])}</small>"


class Arrays(Sense):
    """What becomes an array of the file's own size: pictures, sounds.

    A golden example keeps its input as a file of the bundle, and the SHA-256 of the array.
    """

    file = "preprocessor_config.json"
    suffix = None  # of such a file
    medium = None  # the `data.media.Medium` of the files that it is read from

    def columns(self, processor, given):
        """What a file reads of an input, by name."""
        raise NotImplementedError

    def pieces(self):
        """The inputs that are there without asking."""
        raise NotImplementedError

    def write(self, given, path):
        """Write an input as a file from which the same array comes."""
        raise NotImplementedError

    def is_one(self, given):
        """Whether what a user gave is one input, and not several."""
        raise NotImplementedError

    def listed(self, given):
        """A list of inputs from one or several; of a folder those that lie in it."""
        if isinstance(given, (str, os.PathLike)):
            return self._files(given, f"The {self.medium.name}")
        if self.is_alone(given):
            return [given]
        if not hasattr(given, "__iter__"):
            raise KzooError(f"Got {given!r:.60}; expected {self.nouns}, such as a list of paths.")
        several = list(given)
        if not several:
            raise KzooError(f"Got no {self.noun}; expected at least one.")
        listed = []
        for place, each in enumerate(several):
            is_path = isinstance(each, (str, os.PathLike))
            listed += self._files(each, f"{self.name} {place}") if is_path else [each]
        return listed

    def is_alone(self, given):
        """One file, the bytes of one, or `is_one`."""
        if isinstance(given, (str, os.PathLike)):
            return not os.path.isdir(given)
        return isinstance(given, bytes) or self.is_one(given)

    def _files(self, path, name):
        """The path alone; or those of the files in a folder. An error calls the path `name`."""
        if not path_of(path, name).is_dir():
            return [path]
        return [str(file) for file in self.medium.read(path, targets="none").x]

    def read_table(self, path, column=None):
        """See `Sense`; a table names files."""
        if isinstance(column, list):
            raise KzooError(
                f"Got the columns {', '.join(map(str, column))} for {self.nouns}; expected one, of "
                "their paths."
            )
        table, _, files = self.medium.rows(path, column)
        return table, [str(file) for file in files]

    def row(self, processor, given, limit, length, options):
        """An input is one row, and has no tokens."""
        return [(self.columns(processor, given), self.beside(given))], 0, False

    def beside(self, given):
        """What else of an input a rule may read, by name."""
        return {}

    def echo(self, given, tokens, truncated):
        """The path, where the input has one."""
        return {self.noun: str(given) if isinstance(given, (str, os.PathLike)) else None}

    def samples(self, model, length=None, given=None):
        """See `Sense`."""
        processor = model.processor(self.processor)
        pieces = self.pieces() if given is None else given
        return [(piece, self.columns(processor, piece)) for piece in pieces]

    def kept(self, place, given, columns, folder):
        """The input's file, and the SHA-256 of what is made of it."""
        name = f"golden_{place:02}{self.suffix}"
        self.write(given, folder / name)
        return {self.noun: name, "sha256": _sha256(columns)}

    def given(self, entry, folder):
        """The path of the input's file."""
        return folder / entry[self.noun]

    def sent(self, entry, folder):
        """The path of its file."""
        return str(folder / entry[self.noun])

    def again(self, entry, folder, processor, manifest):
        """See `Sense`."""
        return self.columns(processor, self.given(entry, folder))

    def check_again(self, place, entry, columns):
        """See `Sense`."""
        if _sha256(columns) != entry["sha256"]:
            raise KzooError(
                f"Golden example {place} ({self.title(entry)}) is other than at the export once it "
                f"is {self.again_words}: take the versions that the report names, or export anew."
            )

    def described(self, entry):
        """The input's file."""
        return {self.noun: entry[self.noun]}

    def data(self, entry, folder, kind):
        """The input's file as a URL inside the page."""
        content = (folder / entry[self.noun]).read_bytes()
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class Pictures(Arrays):
    """Pictures, as uint8 arrays of the file's size; the file itself scales them."""

    noun, nouns, shipped = "image", "pictures", "pictures that matplotlib ships"
    processor, name, suffix = "image_processor", "Picture", ".png"
    medium = PICTURES
    columns_given, again_words = ("images",), "resized"

    def resized(self, model, image_size):
        """See `Sense`."""
        return model.resized(image_size)

    def is_one(self, given):
        """A PIL picture, or an array of one."""
        return hasattr(given, "getbands") or (hasattr(given, "ndim") and given.ndim < 4)

    def reading(self, processor):
        """Decode, resize, crop; sizes are [height, width], or a number for the shorter side."""
        sides = processor.size
        return {
            "decode": {
                "orientation": "exif", "frame": "first", "transparent": "on white",
                "16 bits": "the upper 8", "channels": "rgb" if processor.channels == 3 else "grey",
            },
            "resize": list(sides) if isinstance(sides, tuple) else sides,
            "resample": processor.resample,
            "antialias": True,
            "crop": None if processor.crop is None else list(processor.crop),
            "in_file": ["rescale", "normalize"],
        }  # fmt: skip

    def columns(self, processor, given):
        """{"images": uint8 (1, height, width, channels)}."""
        return {"images": processor.resized(given)[None]}

    def beside(self, given):
        """The size, for boxes in pixels."""
        from ..images.reading import picture_size

        return {"size": picture_size(given)}

    def takes(self, report):
        """Of which size."""
        _, height, width, _ = _shape(report, "images")
        return f"{self.nouns} of {width} x {height} pixels"

    def drawn(self, given, processor, scores):
        """See `plot.picture`; of things with boxes `plot.boxes`."""
        if isinstance(scores, list):
            return plot.boxes(given, scores)
        return plot.picture(given, scores)

    def write(self, given, path):
        """As PNG, which loses nothing."""
        from PIL import Image

        from ..images.reading import read_picture

        Image.fromarray(read_picture(given)).save(path, optimize=True)

    def pieces(self):
        """Pieces of a photograph that matplotlib ships, of several sizes and forms."""
        from matplotlib.cbook import get_sample_data

        from ..images.reading import read_picture

        photo = read_picture(get_sample_data("grace_hopper.jpg", asfileobj=False))
        draw, pieces = np.random.default_rng(0), []
        for _ in range(PIECES):
            sides = draw.choice(SIDES, 2)
            ends = zip(photo.shape, sides, strict=False)
            top, left = (int(draw.integers(0, whole - side)) for whole, side in ends)
            pieces.append(photo[top : top + sides[0], left : left + sides[1]])
        return pieces

    def cell(self, entry, folder):
        """The picture itself, inside the page."""
        name, data = html.escape(entry["image"]), self.data(entry, folder, "image/png")
        return f'<img alt="{name}" src="{data}">'

    def source(self, columns):
        """What a file that writes reads of the columns of one input: an array."""
        return columns["images"][0]

    def columns_of(self, source):
        """The columns of one input, of what a file that writes reads."""
        return {"images": source[None]}


class Both(NamedTuple):
    """What reads pictures with texts: a processor of each."""

    image_processor: object
    tokenizer: object

    def save(self, folder):
        """Write both into a folder."""
        for each in self:
            each.save(folder)


class PicturesWithTexts(Pictures):
    """Pairs of a picture and a text: a question, or what may fit."""

    nouns, name = "pictures with texts", "Example"
    shipped = "pictures that matplotlib ships, with shipped sentences"
    columns_given, again_words = (*Pictures.columns_given, *COLUMNS), "resized and tokenized"

    @property
    def files(self):
        """Those of both."""
        return {self.file, TOKENIZER}

    def load(self, folder):
        """Both processors of a bundle."""
        return Both(*(processors.KINDS[kind].load(folder) for kind in Both._fields))

    def processor_of(self, model):
        """Both processors of a model, or None where it lacks one."""
        held = [model.processors.get(kind) for kind in Both._fields]
        return None if None in held else Both(*held)

    def reading(self, processor):
        """See `Pictures`."""
        return super().reading(processor.image_processor)

    def is_alone(self, given):
        """One pair, or a dict of a picture and a question."""
        return isinstance(given, dict) or (isinstance(given, tuple) and len(given) == 2)

    def listed(self, given):
        """A list of (picture, text) pairs."""
        return asked(given)

    def read_table(self, path, column=None):
        """See `Sense`; a table names files and has a text beside each."""
        examples = read_questions(path, column, None, "none")
        return read_table(path), examples.x

    def row(self, processor, given, limit, length, options):
        """One row: the picture, and the text in as many places as it has at most."""
        columns, tokens, is_cut = self._read(processor, given, limit, limit)
        return [(columns, {})], tokens, is_cut

    def _read(self, processor, given, limit, length=None):
        """The columns of a pair, how many tokens it has, and whether the text has more."""
        picture, text = given
        columns, whole = encode(processor.tokenizer, text, None, limit, length)
        tokens = int(columns["padding_mask"].sum())
        read = {name: columns[name] for name in ("token_ids", "padding_mask")}
        return {**self.columns(processor.image_processor, picture), **read}, tokens, whole > tokens

    def echo(self, given, tokens, truncated):
        """The path, the text, how many of its tokens were read, and whether there are more."""
        picture, text = given
        path = super().echo(picture, tokens, truncated)
        return {**path, "text": text, "tokens": tokens, "truncated": truncated}

    def samples(self, model, length=None, given=None):
        """See `Sense`."""
        processor, pairs = self.processor_of(model), self.pieces() if given is None else given
        most = model.max_length
        return [(pair, self._read(processor, pair, most, most)[0]) for pair in pairs]

    def pieces(self):
        """Shipped pictures, each with a shipped sentence."""
        pictures, texts = super().pieces(), sentences()
        return [(each, texts[place % len(texts)]) for place, each in enumerate(pictures)]

    def kept(self, place, given, columns, folder):
        """Also the text."""
        picture, text = given
        return {**super().kept(place, picture, columns, folder), "text": text}

    def given(self, entry, folder):
        """The path of the picture's file, and the text."""
        return folder / entry["image"], entry["text"]

    def sent(self, entry, folder):
        """The path of its file, and the text."""
        return str(folder / entry["image"]), entry["text"]

    def again(self, entry, folder, processor, manifest):
        """See `Sense`; what a file that writes reads isn't filled up."""
        most = manifest["task_options"].get("source_length")
        limit, length = (manifest["max_length"],) * 2 if most is None else (most, None)
        return self._read(processor, self.given(entry, folder), limit, length)[0]

    def described(self, entry):
        """The picture's file, and the text."""
        return {"image": entry["image"], "text": entry["text"]}

    def cell(self, entry, folder):
        """The picture and the text."""
        return f"{super().cell(entry, folder)}<small>{html.escape(short(entry['text']))}</small>"

    def drawn(self, given, processor, scores):
        """See `plot.picture`."""
        return super().drawn(given[0], processor.image_processor, scores)

    def source(self, columns):
        """An array and token ids."""
        ids, mask = columns["token_ids"][0], columns["padding_mask"][0]
        return super().source(columns), ids[mask == 1].tolist()

    def columns_of(self, source):
        """See `Pictures`."""
        picture, ids = source
        ids = np.array([ids], "int32")
        return {**super().columns_of(picture), "token_ids": ids, "padding_mask": ids * 0 + 1}


class Sounds(Arrays):
    """Sounds, as samples of the processor's rate; the file itself makes features of them."""

    noun, nouns, shipped = "sound", "sounds", "tones and noises made by arithmetic"
    processor, name, suffix = "audio_processor", "Sound", ".wav"
    medium = SOUNDS
    columns_given, again_words = ("samples",), "read"
    travels = False  # 16 bits don't hold what is resampled

    def is_one(self, given):
        """Samples, alone or with their rate."""
        with_rate = isinstance(given, tuple) and len(given) == 2 and is_whole(given[1])
        return with_rate or isinstance(given, dict) or (hasattr(given, "ndim") and given.ndim == 1)

    def reading(self, processor):
        """Decode, resample, fit; `fill` is what stands behind a sound that is too short."""
        return {
            "decode": {"channels": "mean", "loudest": 1.0},
            "rate": processor.rate,
            "samples": processor.num_samples,
            "fill": float(processor.fitted(np.zeros(1, "float32"))[-1]),
            "in_file": ["features"],
        }

    def columns(self, processor, given):
        """{"samples": float32 (1, num_samples)}."""
        return {"samples": processor.fitted(processor.read(given))[None]}

    def row(self, processor, given, limit, length, options):
        """See `Sense`; in the place of tokens seconds, of which a sound may have more."""
        samples, most = processor.read(given), processor.num_samples
        rows = [({"samples": processor.fitted(samples)[None]}, {})]
        return rows, min(len(samples), most) / processor.rate, self._is_cut(processor, samples)

    def _is_cut(self, processor, samples):
        """Whether a sound has more than a file hears; what is less than a frame is nothing."""
        return len(samples) >= processor.num_samples + processor.features.spectrogram.hop

    def echo(self, given, tokens, truncated):
        """The path, where the sound has one, how many seconds were read, and whether it has more.

        See `row`.
        """
        path = super().echo(given, tokens, truncated)
        return {**path, "seconds": tokens, "truncated": truncated}

    def takes(self, report):
        """Of how many samples."""
        return f"{self.nouns} of {_shape(report, 'samples')[1]:,} samples"

    def drawn(self, given, processor, scores):
        """See `plot.sound`."""
        samples = processor.read(given)
        heard = processor.num_samples if self._is_cut(processor, samples) else None
        return plot.sound(samples, scores, processor.rate, heard)

    def write(self, given, path):
        """As WAV of 16 bits."""
        samples, rate = given
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(np.round(samples * 2**15).astype("<i2").tobytes())

    def given(self, entry, folder):
        """Samples and rate of the sound's file, which needs no library to be read."""
        return _read_wav(folder / entry["sound"])

    def pieces(self):
        """Sweeps, chords that fade, and noise, a second each at 16 kHz, on the steps of 16 bits."""
        draw, time, pieces = np.random.default_rng(0), np.arange(16000) / 16000, []
        for number in range(PIECES):
            low, high = np.sort(draw.uniform(80, 4000, 2))
            sweep = np.sin(2 * np.pi * (low + (high - low) * time / 2) * time)
            chord = sum(np.sin(2 * np.pi * low * n * time) / n for n in range(1, 6))
            noise = draw.standard_normal(16000)
            one, other = [(sweep, noise), (chord, sweep), (noise, chord)][number % 3]
            sound = (one + 0.2 * other) * np.exp(-time * draw.uniform(0, 6))
            loud = draw.uniform(0.05, 0.9) / np.abs(sound).max()
            steps = np.round(sound * loud * 2**15) / 2**15 + 0.0  # without -0.0, as in the file
            pieces.append((steps.astype("float32"), 16000))
        return pieces

    def cell(self, entry, folder):
        """A player of the sound, inside the page."""
        return f'<audio controls src="{self.data(entry, folder, "audio/wav")}"></audio>'


def _read_wav(path):
    """Samples and rate of a WAV file of 16 bits and one channel."""
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise KzooError(f"{path} isn't as an export writes it: export anew.")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return (samples / 2**15).astype("float32"), file.getframerate()


TEXTS = Texts()
SENSES = {
    "image": Pictures(),
    "image_text": PicturesWithTexts(),
    "sound": Sounds(),
    "marked": MarkedTexts(),
}


def sense_of(reads):
    """The sense for one of `answers.READS`, or for None, of a backbone of texts."""
    return SENSES.get(reads, TEXTS)


def short(text, limit=110):
    """A text, or a pair as one, cut between words where it is long."""
    text = text if isinstance(text, str) else " | ".join(text)
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0] + " ..."


def spread(rows, count, key):
    """`count` of the rows, from the shortest to the longest in even steps."""
    rows = sorted(rows, key=key)
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _joined(texts):
    """Texts as one, or pairs as one whose second text is long."""
    if isinstance(texts[0], str):
        return " ".join(texts)
    return texts[0][0], " ".join(second for _, second in texts)


def sentences():
    """The shipped English texts, 1 to 230 words long."""
    return _shipped("parity.txt")


def languages():
    """A shipped line of each of many languages, from the Declaration of Human Rights."""
    return _shipped("languages.txt")


def _shipped(name):
    from .. import presets

    path = presets.shipped("export") / name
    return path.read_text(encoding="utf-8").strip().split("\n")


def sample_texts(model):
    """The shipped English texts as a model takes them.

    In pairs for a task that reads pairs; each with some to choose from for multiple choice.
    """
    texts = sentences()
    reads = getattr(model, "reads", None)
    if reads == "choices":
        return [
            (text, texts[(place + turn) % len(texts)])
            for place, text in enumerate(texts)
            for turn in range(1, CHOICES + 1)
        ]
    if reads == "pair":
        return list(zip(texts, [*texts[1:], texts[0]], strict=True))
    return texts


def _drawn(draw, backbone, text, limit, length):
    """Token columns of ids that mean nothing, about as many as a text has."""
    words = " ".join([text] if isinstance(text, str) else text).split()
    count = min(limit, max(2, len(words) * 4 // 3))
    shape = (1, length or count)
    real = (np.arange(shape[1]) < count)[None].astype("int32")
    others = draw.integers(1, backbone.vocabulary_size, shape)
    ids = (backbone.padding_id + others) % backbone.vocabulary_size  # any but the padding's
    return {
        "token_ids": np.where(real, ids, backbone.padding_id).astype("int32"),
        "padding_mask": real,
        "segment_ids": np.zeros(shape, "int32"),
    }


def _shape(report, name):
    """The shape of an input of a report's file, in the function that has it."""
    functions = report["audit"]["signatures"].values()
    return next(f["inputs"][name]["shape"] for f in functions if name in f["inputs"])


def _sha256(columns):
    """Of all numbers of some columns."""
    total = hashlib.sha256()
    for name in sorted(columns):
        total.update(np.ascontiguousarray(columns[name]).tobytes())
    return total.hexdigest()
