"""How often ids, tokens or offsets of the Kotlin tokenizers differ from Hugging Face's.

    python benchmarks/tokenizer_parity/measure.py SHARED_DATA [--fuzz N] [--output result.json]

With --only or --corpora the other results in the file stay, so a long comparison can be made in
parts; all of it is 60 million lines.

SHARED_DATA is the folder with tokenizers, nltk_udhr, tatoeba_laser and tokenizer_vectors. Needs
`mvn package` in android_demo first, and sentencepiece. Each line goes, special tokens included, to
the `tokenizers` library and to `java -jar kzoo-desktop.jar encode --json`; it differs when any id,
token string or offset (in code points) does. Texts with unpaired surrogates, which `tokenizers`
does not take, are compared with what it says of U+FFFD in their place.
"""

import argparse
import gc
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from texts import CORPORA, Fuzz, declaration, tatoeba
from tokenizer_files import MAKERS, make

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

JAR = Path(__file__).resolve().parents[2] / "android_demo/desktop/target/kzoo-desktop.jar"
SOURCES = [
    "android_demo/core/src/main/kotlin/kzoo/core/tokenizer",
    "android_demo/core/src/main/kotlin/kzoo/core/unicode",
]  # fmt: skip
BATCH = 1000
SEED = 7
NAMES = [*CORPORA, "fuzz", "pairs"]
SURROGATES = re.compile("[\ud800-\udfff]")
WRITE = json.JSONEncoder(ensure_ascii=False).encode


def readable(text):
    """The text, or both of a pair, as `tokenizers` takes it."""
    if isinstance(text, list):
        return tuple(map(readable, text))
    return SURROGATES.sub("\ufffd", text)


def expected(tokenizer, inputs):
    """What the command should say of some texts or pairs."""
    return [
        {"ids": encoding.ids, "tokens": encoding.tokens, "offsets": encoding.offsets}
        for encoding in tokenizer.encode_batch(inputs)
    ]


def compare(java, tokenizer, tokenizer_file, lines_file, shown):
    """(lines, {what differs: lines})."""
    counts = {"any": 0, "ids": 0, "tokens": 0, "offsets": 0}
    total = 0
    flags = ["--json", "--pairs"] if lines_file.stem == "pairs" else ["--json"]
    with lines_file.open(encoding="utf-8") as given, lines_file.open("rb") as stdin:
        command = [*java, "encode", str(tokenizer_file), *flags]
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE)
        while batch := list(itertools.islice(given, BATCH)):
            inputs = [readable(each) for each in json.loads(f"[{','.join(batch)}]")]
            found = b", ".join(map(bytes.rstrip, itertools.islice(process.stdout, len(batch))))
            want = expected(tokenizer, inputs)
            total += len(batch)
            if f"[{found.decode()}]" == WRITE(want):
                continue
            found = json.loads(f"[{found.decode()}]")
            if len(found) < len(batch):
                raise SystemExit(f"error: java stopped at {batch[len(found)]} ({tokenizer_file})")
            for text, got, one in zip(inputs, found, want, strict=True):
                one["offsets"] = list(map(list, one["offsets"]))
                different = [name for name in one if got[name] != one[name]]
                for name in ["any", *different] if different else []:
                    counts[name] += 1
                if different and shown > 0:
                    shown -= 1
                    print(f"  {text!r}\n    kotlin {got}\n    tokenizers {one}", flush=True)
        if process.stdout.read() or process.wait():
            raise SystemExit("error: java failed")
    return total, counts


def write_lines(name, arguments, folder):
    """A corpus as JSON strings or pairs, a line each."""
    path = folder / f"{name}.jsonl"
    if name in CORPORA:
        texts = CORPORA[name](arguments.data)
    else:
        real = [*declaration(arguments.data), *tatoeba(arguments.data)]
        fuzz = Fuzz(real, SEED)
        texts = fuzz.strings(arguments.fuzz) if name == "fuzz" else fuzz.pairs(arguments.fuzz // 50)
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(text) + "\n" for text in texts)
    return path


def keep(path, tokenizer, corpus, counts):
    """Adds what was counted to the results."""
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = result.get("differing_lines", {})
    found.setdefault(tokenizer, {})[corpus] = counts
    every = [each for corpora in found.values() for each in corpora.values()]
    result = {
        "provenance": provenance(SOURCES, ["tokenizers"]),
        "lines": sum(each["lines"] for each in every),
        "differing": sum(each["any"] for each in every),
        "differing_lines": {name: found[name] for name in MAKERS if name in found},
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--fuzz", type=int, default=1_000_000, help="strings for each tokenizer")
    parser.add_argument("--only", nargs="*", choices=MAKERS, help="tokenizers")
    parser.add_argument("--corpora", nargs="*", choices=NAMES)
    parser.add_argument("--shown", type=int, default=3, help="differing lines to print")
    parser.add_argument("--java", default=f"java -XX:+UseSerialGC -jar {shlex.quote(str(JAR))}")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    gc.disable()  # Nothing here has cycles, and looking for them takes most of the time.
    java = shlex.split(arguments.java)
    if not arguments.only and not arguments.corpora:
        arguments.output.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        lines = {}
        for name in arguments.corpora or NAMES:
            lines[name] = write_lines(name, arguments, folder)
        for tokenizer in arguments.only or MAKERS:
            file = make(tokenizer, arguments.data, folder)
            reference = tokenizers.Tokenizer.from_file(str(file))
            for name, path in lines.items():
                start = time.monotonic()
                total, differing = compare(java, reference, file, path, arguments.shown)
                counts = {"lines": total, **differing}
                if name not in CORPORA:
                    counts["seed"] = SEED
                keep(arguments.output, tokenizer, name, counts)
                took = time.monotonic() - start
                count = counts["any"]
                print(f"{tokenizer:30}{name:30}{count:7} of {total} ({took:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
