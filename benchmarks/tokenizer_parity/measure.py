"""How often ids, tokens or offsets of the Kotlin tokenizers differ from Hugging Face's.

    python benchmarks/tokenizer_parity/measure.py SHARED_DATA [--fuzz N] [--output result.json]

SHARED_DATA is the folder with tokenizers, nltk_udhr, tatoeba_laser and tokenizer_vectors. Needs
`mvn package` in android_demo first, and sentencepiece. Each line goes, special tokens included, to
the `tokenizers` library and to `java -jar kzoo-desktop.jar encode --json`; it differs when any id,
token string or offset (in code points) does. Texts with unpaired surrogates, which `tokenizers`
does not take, are compared with what it says of U+FFFD in their place.
"""

import argparse
import itertools
import json
import os
import platform
import re
import shlex
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from texts import CORPORA, Fuzz, declaration, tatoeba
from tokenizer_files import make_all

JAR = Path(__file__).resolve().parents[2] / "android_demo/desktop/target/kzoo-desktop.jar"
BATCH = 1000
SEED = 7
SURROGATES = re.compile("[\ud800-\udfff]")
WRITE = json.JSONEncoder(ensure_ascii=False).encode


def expected(tokenizer, texts):
    """What the command should print for each text."""
    for encoding in tokenizer.encode_batch([SURROGATES.sub("\ufffd", text) for text in texts]):
        yield WRITE({"ids": encoding.ids, "tokens": encoding.tokens, "offsets": encoding.offsets})


def compare(java, tokenizer_file, lines_file, shown):
    """(lines, {what differs: lines})."""
    tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    counts = {"ids": 0, "tokens": 0, "offsets": 0}
    total = differing = 0
    with lines_file.open(encoding="utf-8") as given, lines_file.open("rb") as stdin:
        command = [*java, "encode", str(tokenizer_file), "--json"]
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE)
        found = iter(process.stdout)
        while batch := list(itertools.islice(given, BATCH)):
            texts = [json.loads(line) for line in batch]
            for text, want in zip(texts, expected(tokenizer, texts), strict=True):
                line = next(found, None)
                if line is None:
                    raise SystemExit(f"error: java stopped at {text!r} ({tokenizer_file.name})")
                got = line.decode().removesuffix("\n")
                total += 1
                if got == want:
                    continue
                got, want = json.loads(got), json.loads(want)
                different = [name for name in counts if got[name] != want[name]]
                differing += bool(different)
                for name in different:
                    counts[name] += 1
                if different and shown > 0:
                    shown -= 1
                    print(f"  {text!r}\n    kotlin {got}\n    tokenizers {want}", flush=True)
        if process.wait():
            raise SystemExit("error: java failed")
    return total, {"any": differing, **counts}


def write_lines(name, arguments, path):
    """A corpus as JSON strings, a line each."""
    if name == "fuzz":
        real = [*declaration(arguments.data), *tatoeba(arguments.data)]
        texts = Fuzz(real, SEED).strings(arguments.fuzz)
    else:
        texts = CORPORA[name](arguments.data)
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(text) + "\n" for text in texts)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--fuzz", type=int, default=1_000_000, help="strings for each tokenizer")
    parser.add_argument("--only", nargs="*", help="tokenizers; the others keep their results")
    parser.add_argument("--corpora", nargs="*", help="corpora; the others keep their results")
    parser.add_argument("--shown", type=int, default=3, help="differing lines to print")
    parser.add_argument("--java", default=f"java -XX:+UseSerialGC -jar {shlex.quote(str(JAR))}")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    result = {"differing_lines": {}}
    if (arguments.only or arguments.corpora) and arguments.output.exists():
        result = json.loads(arguments.output.read_text(encoding="utf-8"))
    result |= {
        "python": platform.python_version(),
        "tokenizers": version("tokenizers"),
        "fuzz_seed": SEED,
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = make_all(arguments.data, folder)
        lines = {}
        for number, name in enumerate(arguments.corpora or [*CORPORA, "fuzz"]):
            lines[name] = write_lines(name, arguments, folder / f"{number}.jsonl")
        for tokenizer in arguments.only or files:
            counts = result["differing_lines"].setdefault(tokenizer, {})
            for name, path in lines.items():
                start = time.monotonic()
                java = shlex.split(arguments.java)
                total, differing = compare(java, files[tokenizer], path, arguments.shown)
                counts[name] = {"lines": total, **differing}
                took = time.monotonic() - start
                count = counts[name]["any"]
                print(f"{tokenizer:30}{name:30}{count:7} of {total} ({took:.0f} s)", flush=True)
            every = [
                each for found in result["differing_lines"].values() for each in found.values()
            ]
            result["lines"] = sum(each["lines"] for each in every)
            result["differing"] = sum(each["any"] for each in every)
            arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{result['differing']} of {result['lines']} lines differ")


if __name__ == "__main__":
    main()
