"""The Unicode tables of the Kotlin tokenizers, asked of Hugging Face's `tokenizers` itself.

    python android_demo/unicode/generate.py [--output FILE]

`tokenizers` mixes versions of Unicode: it normalises by version 9, lower-cases by one newer than
16, and its punctuation follows none. So no published table will do, nor the phone's. This script
puts every code point through the library and writes what it did, as variable-length numbers, to
core's resources. `Tables.kt` reads them in the same order. Takes about a minute.
"""

import argparse
import struct
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

OUTPUT = (
    Path(__file__).resolve().parents[1] / "core/src/main/resources/kzoo/core/unicode/tables.bin"
)
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)
NEWLINE = "\n"  # Parts the cases of one call; nothing composes or joins with it.
MARK = "\u0300"
GRAPHEME_CLASSES = [
    *("other", "control", "prepend", "extend", "spacing_mark", "zwj"),
    *("l", "v", "t", "lv", "lvt", "consonant", "pictographic"),
]


def answers(function, cases):
    """What `function` makes of each case, in one call."""
    found = function(NEWLINE.join(cases)).split(NEWLINE)
    assert len(found) == len(cases), (len(found), len(cases))
    return found


def mapping(normalizer):
    """{code point: what it becomes} where that differs, Hangul syllables left out."""
    plain = [c for c in CODE_POINTS if c not in HANGUL and chr(c) != NEWLINE]
    found = answers(normalizer.normalize_str, [chr(c) for c in plain])
    return {c: [ord(x) for x in to] for c, to in zip(plain, found, strict=True) if to != chr(c)}


def matched(pattern):
    """The code points that a regular expression of the library matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    text = "".join(map(chr, CODE_POINTS))
    kept = {c for _, (start, end) in split.pre_tokenize_str(text) for c in CODE_POINTS[start:end]}
    return set(CODE_POINTS) - kept


def parted(pre_tokenizer):
    """({removed}, {isolated}): what becomes of a code point between two letters."""
    removed, isolated = set(), set()
    for c in CODE_POINTS:
        parts = [part for part, _ in pre_tokenizer.pre_tokenize_str(f"a{chr(c)}b")]
        if parts == ["a", "b"]:
            removed.add(c)
        elif len(parts) == 3:
            isolated.add(c)
    return removed, isolated


def dropped(normalizer, candidates=CODE_POINTS):
    """The code points that a normalizer removes."""
    return {c for c in candidates if normalizer.normalize_str(f"a{chr(c)}b") == "ab"}


def combining_classes(canonical):
    """{code point: class} of all with a class but 0, as ranks: only their order matters."""
    nfd = normalizers.NFD().normalize_str
    plain = [c for c in CODE_POINTS if c not in canonical and c not in HANGUL]
    plain.remove(ord(NEWLINE))
    # U+0334 has the lowest class of all, U+0345 the highest.
    after = answers(nfd, [f"a{chr(c)}\u0334" for c in plain])
    before = answers(nfd, [f"a\u0345{chr(c)}" for c in plain])
    marks = [
        c
        for c, low, high in zip(plain, after, before, strict=True)
        if low != f"a{chr(c)}\u0334" or high != f"a\u0345{chr(c)}"
    ]
    marks = sorted({*marks, 0x334, 0x345})

    def rank(mark):
        others = answers(nfd, [f"a{chr(mark)}{chr(other)}" for other in marks])
        return sum(
            to != f"a{chr(mark)}{chr(other)}" for to, other in zip(others, marks, strict=True)
        )

    below = {mark: rank(mark) for mark in marks}  # How many marks go before it.
    ranks = {count: number + 1 for number, count in enumerate(sorted(set(below.values())))}
    return {mark: ranks[count] for mark, count in below.items()}


def compositions(canonical):
    """[(first, second, composite)], Hangul left out."""
    nfc = normalizers.NFC().normalize_str
    found = []
    for composite, parts in canonical.items():
        if len(parts) > 1 and nfc(chr(composite)) == chr(composite):
            first = nfc("".join(map(chr, parts[:-1])))
            assert len(first) == 1 and nfc(first + chr(parts[-1])) == chr(composite)
            found.append((ord(first), parts[-1], composite))
    return sorted(found)


def cluster_counter():
    """A function from strings to how many pieces the library's Precompiled normalizer sees.

    That normalizer replaces a grapheme cluster of at most five bytes as a whole and the characters
    of a longer one each on its own. Its trie, made here, matches any first byte and puts "|"; so
    the length of the answer tells how the text was cut, as far as that has any effect.
    """
    units = [0] * 1024
    units[0] = 256 << 10  # The root's children stand from 256 on, by their byte.
    for byte in range(1, 256):
        place, leaf = 256 + byte, 513 if byte == ord(NEWLINE) else 512
        units[place] = (place ^ leaf) << 10 | 1 << 8 | byte
    units[512], units[513] = 0, 2  # Where the replacements begin: "|" and a newline.
    trie = struct.pack(f"<{len(units)}I", *units)
    normalizer = normalizers.Precompiled(struct.pack("<I", len(trie)) + trie + b"|\0\n\0")
    assert normalizer.normalize_str("ab\u0300c\nd") == "|||\n|"

    def count(cases):
        return [len(found) for found in answers(normalizer.normalize_str, cases)]

    return count


def grapheme_properties():
    """({code point: class}, {InCB=Linker}, {InCB=Extend}) of Unicode's annex 29.

    Regional indicators are left out: four bytes each, a pair of them is never replaced as a whole.
    """
    count = cluster_counter()
    points = [c for c in CODE_POINTS if c not in (0, 10, 13)]
    text = {c: chr(c) for c in points}

    def which(case, expected):
        """The code points for which the text is cut into the expected number of pieces."""
        found = count([case(text[c]) for c in points])
        return {c for c, number in zip(points, found, strict=True) if number == expected(text[c])}

    def one(_):
        return 1

    two_marks = "\u0300\u0301"  # Alone they are a cluster, after anything but a control they join.
    control = which(lambda c: c + two_marks, lambda c: 2)
    joined = which(lambda c: "a" + c, one)
    prepend = which(lambda c: c + "a", one) - joined
    # The last syllable and its mark are five bytes, replaced as one unless the syllable joins.
    joins_vowel = which(lambda c: f"{c}\u1161{MARK}", lambda c: 3)
    joins_final = which(lambda c: f"{c}\u11a8{MARK}", lambda c: 3)
    joins_leading = which(lambda c: f"{c}\u1100{MARK}", lambda c: 3)
    after_leading = which(lambda c: f"\u1100{c}{MARK}", lambda c: 3)
    any_base = prepend | joined | control
    leading = joins_leading & joins_vowel - any_base
    vowel_like = (joins_vowel & joins_final) - leading - any_base
    final_like = joins_final - joins_vowel - any_base
    pictographic = which(lambda c: f"\u00a9\u200d{c}{MARK}", lambda c: 4)
    consonant = which(lambda c: f"{c}\u094d\u0915{MARK}", lambda c: 4)
    pictographic -= any_base
    consonant -= any_base
    linker = which(lambda c: f"\u0915{c}\u0915{MARK}", lambda c: 4) & joined
    extend_in_conjunct = which(lambda c: f"\u0915{c}\u094d\u0915{MARK}", lambda c: 5) & joined
    # Between two pictographs only an Extend may stand before the joiner, a spacing mark may not.
    extend = which(lambda c: f"\u00a9{c}\u200d\u00a9{MARK}", lambda c: 5) & joined

    classes = {}
    for c in points:
        if c in control:
            name = "control"
        elif c == 0x200D:
            name = "zwj"
        elif c in joined:
            name = "extend" if c in extend else "spacing_mark"
        elif c in prepend:
            name = "prepend"
        elif c in leading:
            name = "l"
        elif c in vowel_like:
            name = "lv" if c in HANGUL else "v"
        elif c in final_like:
            name = "lvt" if c in HANGUL else "t"
        elif c in consonant:
            name = "consonant"
        elif c in pictographic:
            name = "pictographic"
        else:
            continue
        classes[c] = name
    assert all(c in after_leading for c, n in classes.items() if n in ("l", "v", "lv", "lvt"))
    classes[0] = classes[10] = classes[13] = "control"
    return classes, linker, extend_in_conjunct


class Writer:
    """Numbers of any size as bytes of seven bits each, the lowest first."""

    def __init__(self):
        self.bytes = bytearray()

    def number(self, value):
        """One that isn't negative."""
        while value > 0x7F:
            self.bytes.append(value & 0x7F | 0x80)
            value >>= 7
        self.bytes.append(value)

    def signed(self, value):
        """One of either sign."""
        self.number(value * 2 if value >= 0 else -value * 2 - 1)

    def ranges(self, values):
        """{code point: value} as runs: how far from the last run, how long, the value."""
        runs = []
        for c in sorted(values):
            if runs and runs[-1][1] == c and runs[-1][2] == values[c]:
                runs[-1][1] = c + 1
            else:
                runs.append([c, c + 1, values[c]])
        self.number(len(runs))
        last = 0
        for start, end, value in runs:
            self.number(start - last)
            self.number(end - start)
            self.number(value)
            last = end

    def mapping(self, values):
        """{code point: code points}: each number as its distance from the one before."""
        self.number(len(values))
        last = 0
        for c in sorted(values):
            self.number(c - last)
            last = c
            self.number(len(values[c]))
            previous = c
            for x in values[c]:
                self.signed(x - previous)
                previous = x

    def triples(self, values):
        """[(first, second, composite)] in order."""
        self.number(len(values))
        first = 0
        for a, b, composite in values:
            self.number(a - first)
            first = a
            self.number(b)
            self.signed(composite - a)


def main():
    """Ask, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output

    space, punctuation = parted(pre_tokenizers.BertPreTokenizer())
    assert space == matched(r"\s") == parted(pre_tokenizers.WhitespaceSplit())[0]
    assert punctuation == parted(pre_tokenizers.Punctuation())[1]
    word = set(CODE_POINTS) - space - parted(pre_tokenizers.Whitespace())[1]
    clean = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False
    )
    accents = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    canonical = mapping(normalizers.NFD())
    compatible = mapping(normalizers.NFKD())
    compatible = {c: to for c, to in compatible.items() if to != canonical.get(c)}
    assert canonical.keys().isdisjoint(set(HANGUL))
    graphemes, linker, extend_in_conjunct = grapheme_properties()
    properties = [  # In the order of the bits in Tables.kt.
        space,
        punctuation,
        dropped(clean),
        dropped(accents, [c for c in CODE_POINTS if c not in canonical]),
        dropped(normalizers.StripAccents()),
        matched(r"\p{L}"),
        matched(r"\p{N}"),
        word,
        parted(pre_tokenizers.Digits(individual_digits=True))[1],
        linker,
        extend_in_conjunct,
    ]
    writer = Writer()
    values = {}
    for bit, points in enumerate(properties):
        for c in points:
            values[c] = values.get(c, 0) | 1 << bit
    for c, name in graphemes.items():
        values[c] = values.get(c, 0) | GRAPHEME_CLASSES.index(name) << 11
    for c, rank in combining_classes(canonical).items():
        values[c] = values.get(c, 0) | rank << 16
    writer.ranges(values)
    writer.mapping(mapping(normalizers.Lowercase()))
    writer.mapping(canonical)
    writer.mapping(compatible)
    writer.triples(compositions(canonical))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(writer.bytes)
    print(f"{output}: {len(writer.bytes)} bytes")


if __name__ == "__main__":
    main()
