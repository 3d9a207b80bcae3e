"""Writes export/languages.txt anew: a line of each language of the Declaration of Human Rights.

    python benchmarks/mediapipe/languages.py SHARED_DATA

It is the first line of 60 to 160 characters. Exports measure on these lines how MediaPipe's
tokenizer differs, and `kzoo verify --clients` sends them through every client.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tokenizer_parity"))
from texts import languages  # noqa: E402

OUTPUT = Path(__file__).parent.parent.parent / "export" / "languages.txt"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    chosen = {}
    for language, lines in languages(parser.parse_args().data):
        lines = (" ".join(line.split()) for line in lines)
        line = next((line for line in lines if 60 <= len(line) <= 160), None)
        if line and line not in chosen.values():
            chosen.setdefault(language, line)
    OUTPUT.write_text("\n".join(chosen.values()) + "\n", encoding="utf-8")
    print(f"{len(chosen)} languages, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
