"""The texts that tokenizers are compared on: every code point, real lines, and fuzz."""

import contextlib
import gzip
import json
import random
import tarfile
import unicodedata
import zipfile

# How the file names of the Declaration end, and what Python calls that encoding; other endings
# (fonts, transcriptions) are left out.
ENCODINGS = {
    "UTF8": "utf-8",
    "Latin1": "cp1252",
    "Latin2": "cp1250",
    "Cyrillic": "cp1251",
    "Greek": "cp1253",
    "Turkish": "cp1254",
    "Hebrew": "cp1255",
    "Arabic": "cp1256",
    "Baltic": "cp1257",
    "GB2312": "gb2312",
    "SJIS": "shift_jis",
    "EUC": "euc_jp",
}
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def declaration(data):
    """Lines of the Declaration of Human Rights."""
    with zipfile.ZipFile(data / "nltk_udhr" / "udhr.zip") as archive:
        for name in sorted(archive.namelist()):
            if encoding := ENCODINGS.get(name.rpartition("-")[2]):
                yield from archive.read(name).decode(encoding, "ignore").split("\n")


def languages(data):
    """The Declaration: (language, its lines), of the files that are in the encoding they name."""
    with zipfile.ZipFile(data / "nltk_udhr" / "udhr.zip") as archive:
        for name in sorted(archive.namelist()):
            language, _, ending = name.rpartition("/")[2].rpartition("-")
            if ending in ENCODINGS:
                with contextlib.suppress(UnicodeDecodeError):
                    text = archive.read(name).decode(ENCODINGS[ending]).removeprefix("\ufeff")
                    yield language, [line for line in text.splitlines() if line.strip()]


def tatoeba(data):
    """Sentences of 112 languages, and their English halves."""
    with tarfile.open(data / "tatoeba_laser" / "tatoeba_v1.tar.gz") as archive:
        for member in archive.getmembers():
            if member.isfile() and member.name.startswith("tatoeba."):
                yield from archive.extractfile(member).read().decode("utf-8").split("\n")


def questions(data):
    path = data / "tokenizer_vectors" / "bert_uncased_question_tokens.json.gz"
    return [row["original"] for row in json.loads(gzip.decompress(path.read_bytes()))]


def alone(_):
    return map(chr, CODE_POINTS)


def between(_):
    return (f"a{chr(c)}b" for c in CODE_POINTS)


def composing(_):
    """Each pair that composes, alone and in a word, and with a mark of each class between."""
    pairs = set()
    for c in CODE_POINTS:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pairs.add("".join(chr(int(part, 16)) for part in parts))
    classes = {}
    for c in CODE_POINTS:
        classes.setdefault(unicodedata.combining(chr(c)), chr(c))
    marks = [mark for number, mark in sorted(classes.items()) if number]
    hangul = [a + b for a in "\u1100\u1112가개" for b in "\u1161\u1175\u11a8\u11c2\u11a7"]
    for pair in [*sorted(pairs), *hangul]:
        yield pair
        yield f"x{pair}y"
        for mark in marks:
            yield f"{pair[0]}{mark}{pair[1]}"
            yield f"{pair}{mark}"


CORPORA = {
    "code points alone": alone,
    "code points between letters": between,
    "pairs that compose": composing,
    "udhr": declaration,
    "tatoeba": tatoeba,
    "10,570 vectors": questions,
}


class Fuzz:
    """Strings by number: the same seed gives the same ones. Some hold unpaired surrogates."""

    BLOCKS = (
        (0x20, 0x7F), (0, 0x300), (0x300, 0x370), (0x370, 0x600), (0x600, 0x900), (0x900, 0x1100),
        (0x1100, 0x1200), (0x1E00, 0x2070), (0x2000, 0x2070), (0x20A0, 0x2800), (0x3000, 0x3400),
        (0x4E00, 0x9FFF), (0xAC00, 0xD7FC), (0xF900, 0xFFFE), (0x1D000, 0x1D800),
        (0x1F000, 0x1FB00), (0xE0000, 0xE0200), (0, 0xD800), (0xE000, 0x110000),
    )  # fmt: skip
    SPACES = " \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2003\u2028\u2029\u202f\u3000\u200b\u200d\ufeff▁"
    EMOJI = "😀👩👨👧👦🏽🏿❤🔥🏳🌈☺©®™⚕✈🇩🇪🇫🇷#1"
    JOINERS = "\u200d\u200d\ufe0f\u20e3\U000e0067\U000e007f"
    SPECIAL = (
        *("[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<s>", "</s>", "<unk>", "<pad>", "<mask>"),
        *("<cls>", "<sep>", "<eod>", "<|endoftext|>", "<|startoftext|>", "<extra_id_0>"),
        *("<extra_id_99>", "[unused5]", "##ing", "Ġ", "</w>", "''", "``", "'s", "'LL"),
    )
    # Letters, viramas, jamo, joiners and marks that join, block each other, or are replaced.
    JOINING = "a\u0915\u094d\u093c\u200d\u1100\u1161\u11a8\u0301\u0323\u0345ﬁ\u0f71\u0f73©\u0e33"

    def __init__(self, lines, seed=7):
        self.lines = [line for line in lines if line]
        self.random = random.Random(seed)

    def point(self):
        start, end = self.random.choice(self.BLOCKS)
        return chr(self.random.randrange(start, end))

    def points(self, most):
        return "".join(self.point() for _ in range(self.random.randint(1, most)))

    def mutated(self):
        line = self.random.choice(self.lines)
        start = self.random.randrange(len(line))
        text = list(line[start : start + self.random.randint(1, 60)])
        for _ in range(self.random.randint(1, 5)):
            place = self.random.randrange(len(text) + 1)
            what = self.random.randrange(5)
            if what == 0:
                text.insert(place, self.point())
            elif what == 1:
                text.insert(place, self.random.choice(self.SPACES))
            elif what == 2:
                text[place : place + 1] = []
            elif what == 3:
                text[place : place + 1] = [
                    *text[place : place + 1],
                    chr(self.random.randrange(0x300, 0x370)),
                ]
            else:
                text.insert(place, self.random.choice(self.SPECIAL))
        return "".join(text)

    def long_word(self):
        letters = self.random.choice(
            ("ab", "abcdefghijklmnopqrstuvwxyz", "абвгд", "éèà", "가나", "คนไทย", "!?.", "0123")
        )
        return "".join(self.random.choices(letters, k=self.random.choice((99, 100, 101, 300))))

    def emoji(self):
        return "".join(
            self.random.choice(self.JOINERS if self.random.random() < 0.4 else self.EMOJI)
            for _ in range(self.random.randint(1, 12))
        )

    def surrogates(self):
        text = list(self.mutated())
        text.insert(
            self.random.randrange(len(text) + 1), chr(self.random.randrange(0xD800, 0xE000))
        )
        return "".join(text)

    def special(self):
        parts = [
            *self.random.choices(self.SPECIAL, k=2),
            self.random.choice(self.SPACES),
            self.points(3),
            " a",
        ]
        self.random.shuffle(parts)
        return "".join(parts)

    def spaces(self):
        return "".join(
            self.random.choice(self.SPACES if self.random.random() < 0.6 else "aé中.1'")
            for _ in range(self.random.randint(1, 15))
        )

    def marks(self):
        return "".join(
            self.random.choice(self.JOINING + chr(self.random.randrange(0x300, 0x370)))
            for _ in range(self.random.randint(1, 9))
        )

    def strings(self, count):
        kinds = (
            lambda: self.points(12), self.mutated, self.mutated, self.emoji, self.surrogates,
            self.special, self.spaces, self.marks,
        )  # fmt: skip
        for number in range(count):
            yield self.long_word() if number % 50 == 0 else kinds[number % len(kinds)]()

    def pairs(self, count):
        """A string and another, or two lines."""
        for number, text in enumerate(self.strings(count)):
            if number % 2:
                yield [text, self.mutated()]
            else:
                yield self.random.choices(self.lines, k=2)
