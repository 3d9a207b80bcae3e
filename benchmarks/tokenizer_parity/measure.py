"""How often ids, tokens or offsets of the Kotlin tokenizers differ from Hugging Face's.

    python benchmarks/tokenizer_parity/measure.py SHARED_DATA [--fuzz N] [--output result.json]

With --only or --corpora the other results in the file stay, so a long comparison can be made in
parts. --together N puts N code points in a line, which saves most of the time.

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
from tokenizer_files import MAKERS, make

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
    elif name.startswith("code points"):
        texts = CORPORA[name](arguments.data, arguments.together)
    else:
        texts = CORPORA[name](arguments.data)
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(text) + "\n" for text in texts)
    return path


def keep(path, tokenizer, corpus, counts):
    """Adds what was counted to the results."""
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    versions = {"python": platform.python_version(), "tokenizers": version("tokenizers")}
    found = result.get("differing_lines", {})
    found.setdefault(tokenizer, {})[corpus] = counts
    every = [each for corpora in found.values() for each in corpora.values()]
    result = {
        **versions,
        "lines": sum(each["lines"] for each in every),
        "differing": sum(each["any"] for each in every),
        "differing_lines": {name: found[name] for name in MAKERS if name in found},
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--fuzz", type=int, default=1_000_000, help="strings for each tokenizer")
    parser.add_argument("--together", type=int, default=1, help="code points in a line")
    parser.add_argument("--only", nargs="*", choices=MAKERS, help="tokenizers")
    parser.add_argument("--corpora", nargs="*", choices=[*CORPORA, "fuzz"])
    parser.add_argument("--shown", type=int, default=3, help="differing lines to print")
    parser.add_argument("--java", default=f"java -XX:+UseSerialGC -jar {shlex.quote(str(JAR))}")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    java = shlex.split(arguments.java)
    if not arguments.only and not arguments.corpora:
        arguments.output.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        lines = {}
        for number, name in enumerate(arguments.corpora or [*CORPORA, "fuzz"]):
            lines[name] = write_lines(name, arguments, folder / f"{number}.jsonl")
        for tokenizer in arguments.only or MAKERS:
            file = make(tokenizer, arguments.data, folder)
            for name, path in lines.items():
                start = time.monotonic()
                total, differing = compare(java, file, path, arguments.shown)
                counts = {"lines": total, **differing}
                if name.startswith("code points"):
                    counts["code_points_a_line"] = arguments.together
                elif name == "fuzz":
                    counts["seed"] = SEED
                keep(arguments.output, tokenizer, name, counts)
                took = time.monotonic() - start
                count = counts["any"]
                print(f"{tokenizer:30}{name:30}{count:7} of {total} ({took:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
