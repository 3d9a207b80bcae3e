"""The ARM64 client of `kzoo verify --clients`; the protocol is in kzoo/bundle/clients.py.

    python benchmarks/arm64/client.py predict BUNDLE [--pairs] < lines
    python benchmarks/arm64/client.py encode TOKENIZER.json < lines

Tokens and answers are Python's own, here; the model runs on an emulated core. KZOO_ARM64 names the
folder that `setup.sh` filled (build/arm64 by default), KZOO_ARM64_CORE the core (cortex-a76).
"""

import json
import os
import sys
from pathlib import Path

from emulator import CORES, Emulated

from kzoo.bundle.manifest import MODEL
from kzoo.bundle.predict import Predictor
from kzoo.errors import KzooError
from kzoo.lines import as_pair, read_lines
from kzoo.text import Tokenizer

ROOT = Path(__file__).resolve().parents[2] / "build" / "arm64"


def lines():
    found = read_lines(sys.stdin.buffer.read(), "standard input")
    if not found:
        raise KzooError("No text came: lines on standard input were expected.")
    return found


def main(arguments):
    pairs = "--pairs" in arguments
    arguments = [argument for argument in arguments if argument != "--pairs"]
    if len(arguments) != 2 or arguments[0] not in ("predict", "encode"):
        raise KzooError("`predict BUNDLE [--pairs]` or `encode TOKENIZER.json` is expected.")
    command, place = arguments
    core = os.environ.get("KZOO_ARM64_CORE", "cortex-a76")
    if core not in CORES:
        raise KzooError(f"KZOO_ARM64_CORE is {core!r}; one of {', '.join(CORES)} is expected.")
    texts = lines()
    if pairs:
        texts = [as_pair(text, f"Line {i} of standard input") for i, text in enumerate(texts, 1)]
    if command == "encode":
        tokenizer = Tokenizer.load(place)
        for text in texts:
            print(json.dumps({"ids": tokenizer.encode([text])["token_ids"][0]}))
        return
    predictor = Predictor(place, texts=texts)
    root, length = os.environ.get("KZOO_ARM64", ROOT), predictor.interpreter.length
    with Emulated(Path(place) / MODEL, core, root, length) as predictor.interpreter:
        for text in texts:
            print(json.dumps(predictor(text), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KzooError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
