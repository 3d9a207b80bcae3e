"""Real text of many languages: lines of the Declaration of Human Rights, sentences of Tatoeba.

    python benchmarks/mediapipe/texts.py SHARED_DATA

writes export/languages.txt anew: of each language of the Declaration the first line of 60 to 160
characters. Exports measure on it how MediaPipe's tokenizer differs, and `kzoo verify --clients`
sends it through every client.
"""

import argparse
import contextlib
import tarfile
import zipfile
from pathlib import Path

OUTPUT = Path(__file__).parent.parent.parent / "export" / "languages.txt"
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


def declaration(data):
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
                text = archive.extractfile(member).read().decode("utf-8")
                yield from (line for line in text.splitlines() if line.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    chosen = {}
    for language, lines in declaration(parser.parse_args().data):
        lines = (" ".join(line.split()) for line in lines)
        line = next((line for line in lines if 60 <= len(line) <= 160), None)
        if line and line not in chosen.values():
            chosen.setdefault(language, line)
    OUTPUT.write_text("\n".join(chosen.values()) + "\n", encoding="utf-8")
    print(f"{len(chosen)} languages, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
