"""How often a browser's tokenizer gives other ids than `tokenizers`, and how fast it is.

    npm ci --prefix benchmarks/web_tokenizer
    mvn -q -f android_demo -Pweb -pl web -am process-classes
    python benchmarks/web_tokenizer/measure.py SHARED_DATA [--speed] [--output result.json]

SHARED_DATA is a folder with tokenizers/, tokenizer_vectors/, nltk_udhr/udhr.zip and
tatoeba_laser/tatoeba_v1.tar.gz. The reference is made here, without special tokens; `measure.mjs`
then encodes the same texts in Node.js, on the engine that Chromium runs, with the tokenizer of
web_demo, which is the Kotlin core as JavaScript, and with @huggingface/tokenizers, which
transformers.js wraps. A text differs when its list of ids does; tokens and offsets are counted for
the first alone, tokens on real text. With --speed Tatoeba is only timed, and the result's `speed`
and `size` are replaced; --old names a folder with the tokenizer.js that web_demo had until then
(git archive 2d58907 web_demo/src), to time it as well.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

import tokenizers

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "android_demo" / "web" / "target" / "javascript" / "core.mjs"
sys.path.insert(0, str(HERE.parent / "tokenizer_parity"))
from texts import between, declaration, questions, tatoeba  # noqa: E402
from tokenizer_files import make  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "android_demo/core/src/main/kotlin/kzoo/core/tokenizer",
    "android_demo/core/src/main/kotlin/kzoo/core/unicode", "android_demo/web/src/main",
]  # fmt: skip
BATCH = 4096
NAMES = ["bert-base-uncased", "gpt2", "clip", "t5-small", "xlm-roberta-base"]


def vectors(data):
    """The questions of SQuAD's dev set, and a French text."""
    yield from questions(data)
    path = data / "tokenizer_vectors" / "gpt2_encoded.json"
    yield json.loads(path.read_text(encoding="utf-8"))["text"]


REAL = {"vectors": vectors, "udhr": declaration, "tatoeba": tatoeba}
TEXTS = {**REAL, "between letters": between}
TIMED = 4  # of how many sentences of Tatoeba one is timed


def write_reference(path, texts, target, with_tokens):
    """Ids and offsets of all texts, one row after the other, how many each has, and tokens."""
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.no_truncation()
    backend.no_padding()
    columns = {name: array("i") for name in ("counts", "ids", "starts", "ends")}
    tokens = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        for row in backend.encode_batch(batch, add_special_tokens=False):
            columns["counts"].append(len(row.ids))
            columns["ids"].extend(row.ids)
            columns["starts"].extend(offset[0] for offset in row.offsets)
            columns["ends"].extend(offset[1] for offset in row.offsets)
            if with_tokens:
                tokens.append(json.dumps(row.tokens))
    for name, column in columns.items():
        target.with_suffix(f".{name}").write_bytes(column.tobytes())
    if with_tokens:
        target.with_suffix(".tokens").write_text("\n".join(tokens), encoding="utf-8")


def node(*arguments):
    """What `measure.mjs` prints."""
    command = ["node", "--max-old-space-size=6000", HERE / "measure.mjs", *arguments]
    return json.loads(subprocess.check_output(command))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--old", type=Path)
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    sources = {"tatoeba": tatoeba} if arguments.speed else TEXTS
    texts = {
        name: [text for text in read(arguments.data) if text] for name, read in sources.items()
    }
    if arguments.speed:
        texts["tatoeba"] = texts["tatoeba"][::TIMED]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name, found in texts.items():
            lines = "\n".join(json.dumps(text) for text in found)
            (scratch / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        paths = {name: make(name, arguments.data, scratch) for name in NAMES}
        if arguments.speed:
            result = json.loads(arguments.output.read_text(encoding="utf-8"))
            packed = gzip.compress(CORE.read_bytes(), 9)
            result["size"] = {"core.mjs": CORE.stat().st_size, "core.mjs.gz": len(packed)}
            old = [arguments.old] if arguments.old else []
            result["speed"] = {}
            for name, path in paths.items():
                result["speed"][name] = node("--speed", scratch, path, "tatoeba", *old)
                print(name, result["speed"][name], flush=True)
        else:
            result = measure(paths, texts, scratch)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(paths, texts, scratch):
    """Counts of texts with other ids, by tokenizer, candidate and source."""
    result = {
        "provenance": provenance(SOURCES, ["tokenizers"]),
        "texts": {name: len(found) for name, found in texts.items()},
        "measured": {},
    }
    for name, path in paths.items():
        for source, found in texts.items():
            write_reference(path, found, scratch / source, source in REAL)
        answer = node(scratch, path, *texts)
        result |= answer["versions"]
        result["measured"][name] = answer["candidates"]
        for candidate, by_source in answer["candidates"].items():
            counts = {source: found["different"] for source, found in by_source.items()}
            print(f"{name:20}{candidate:26}{counts}", flush=True)
        found = answer["candidates"]["web_demo"]
        places = {source: each["other_tokens_or_offsets"] for source, each in found.items()}
        print(f"{name:20}{'tokens, offsets':26}{places}", flush=True)
    return result


if __name__ == "__main__":
    main()
