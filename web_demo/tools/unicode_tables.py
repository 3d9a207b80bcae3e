"""The Unicode tables of BERT's tokenizer, asked of the `tokenizers` library itself.

    python web_demo/tools/unicode_tables.py [--check]

Browsers carry tables of different Unicode versions, and none of them is the library's, so the web
page brings its own, `web_demo/src/unicode.json`: made with the functions that make the Android
client's, and only what WordPiece needs. Sets of code points are flat lists of pairs (gap since the
last range, length); `decomposed` and `lower` are strings of a character and what becomes of it;
`order` holds one set for each combining class, in ascending order. --check writes nothing and fails
when the file isn't what this version of the library gives.
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

from tokenizers import normalizers, pre_tokenizers

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "unicode.json"
sys.path.insert(0, str(HERE.parents[1] / "android_demo" / "unicode"))
import generate  # noqa: E402


def bert(**steps):
    """BertNormalizer with only the named steps."""
    every = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return normalizers.BertNormalizer(**{step: step in steps for step in every})


def ranges(points):
    """A set of code points as [gap, length, gap, length, ...]."""
    found, end = [], 0
    for point in sorted(points):
        if found and point == end:
            found[-1] += 1
        else:
            found += [point - end, 1]
        end = point + 1
    return found


def strings(mapping):
    """{code point: code points} as strings of the character and what becomes of it."""
    return [chr(point) + "".join(map(chr, to)) for point, to in sorted(mapping.items())]


def tables():
    """All tables of this version of the library."""
    decomposed = generate.mapping(normalizers.NFD())
    ranks = generate.combining_classes(decomposed)
    white, punctuation = generate.parted(pre_tokenizers.BertPreTokenizer())
    removed = generate.dropped(bert(clean_text=True)) | {0}  # NUL is removed too.
    whole = [point for point in generate.CODE_POINTS if point not in decomposed]
    return {
        "tokenizers": version("tokenizers"),
        "removed": ranges(removed),
        "blank": ranges(white - removed),
        "ideograph": ranges(generate.mapping(bert(handle_chinese_chars=True))),
        "accent": ranges(generate.dropped(bert(strip_accents=True), whole)),
        "white": ranges(white),
        "punctuation": ranges(punctuation),
        "order": [
            ranges(point for point in ranks if ranks[point] == rank)
            for rank in range(1, max(ranks.values()) + 1)
        ],
        "decomposed": strings(decomposed),
        "lower": strings(generate.mapping(normalizers.Lowercase())),
    }


def main():
    """Write the tables, or compare them with what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    rows = (
        f" {json.dumps(name)}: {json.dumps(table, ensure_ascii=False, separators=(',', ':'))}"
        for name, table in tables().items()
    )
    text = "{\n" + ",\n".join(rows) + "\n}\n"
    if not check:
        TARGET.write_text(text, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET.name} is not what tokenizers {version('tokenizers')} gives: run anew.")


if __name__ == "__main__":
    main()
