"""How often a browser's tokenizer gives other ids than the `tokenizers` library.

    npm ci --prefix benchmarks/web_tokenizer
    python benchmarks/web_tokenizer/measure.py SHARED_DATA [--speed] [--output result.json]

SHARED_DATA is a folder with tokenizers/, tokenizer_vectors/, nltk_udhr/udhr.zip and
tatoeba_laser/tatoeba_v1.tar.gz. The reference ids are made here, without special tokens;
`measure.mjs` then encodes the same texts in Node.js, on the engine that Chromium runs, with
@huggingface/tokenizers (which transformers.js wraps) and, for WordPiece, with the tokenizer of
web_demo. A text differs when its list of ids does. With --speed only those two are timed, with
bert-base-uncased, and the result's `speed` is replaced.
"""

import argparse
import gzip
import json
import platform
import subprocess
import sys
import tempfile
from array import array
from importlib.metadata import version
from pathlib import Path

import tokenizers

from kzoo.text import Tokenizer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tokenizer_parity"))
from texts import alone, between, declaration, questions, tatoeba  # noqa: E402

BATCH = 4096


def vectors(data):
    """The questions of SQuAD's dev set, and a French text."""
    yield from questions(data)
    path = data / "tokenizer_vectors" / "gpt2_encoded.json"
    yield json.loads(path.read_text(encoding="utf-8"))["text"]


SOURCES = {
    "vectors": vectors,
    "udhr": declaration,
    "tatoeba": tatoeba,
    "alone": alone,
    "between letters": between,
}


def unpacked(source, target):
    """A file or its .gz, written to `target`."""
    packed = source.with_name(source.name + ".gz")
    target.write_bytes(gzip.decompress(packed.read_bytes()) if packed.is_file()
                       else source.read_bytes())  # fmt: skip


def readable(data, scratch):
    """{name: tokenizer.json} of every tokenizer of the folder that needs no conversion."""
    found = {}
    for folder in sorted((data / "tokenizers").iterdir()):
        place = scratch / folder.name
        names = {path.name.removesuffix(".gz") for path in folder.iterdir()}
        wanted = [
            files
            for files in (["tokenizer.json"], ["vocab.txt"], ["vocab.json", "merges.txt"])
            if set(files) <= names
        ]
        if folder.name == "roberta-base":  # Its merges are GPT-2's.
            wanted = [["vocab.json"]]
        if not wanted:
            continue
        place.mkdir()
        for name in wanted[0]:
            unpacked(folder / name, place / name)
        if folder.name == "roberta-base":
            unpacked(data / "tokenizers" / "gpt2" / "merges.txt", place / "merges.txt")
        if "tokenizer.json" not in wanted[0]:
            Tokenizer.load(place).save(place)
        found[folder.name] = place / "tokenizer.json"
    return found


def write_reference(path, texts, target):
    """The ids of all texts, one row after the other, and how many each has."""
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.no_truncation()
    backend.no_padding()
    ids, counts = array("i"), array("i")
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        for row in backend.encode_batch_fast(batch, add_special_tokens=False):
            ids.extend(row.ids)
            counts.append(len(row.ids))
    target.with_suffix(".ids").write_bytes(ids.tobytes())
    target.with_suffix(".counts").write_bytes(counts.tobytes())


def node(*arguments):
    """What `measure.mjs` prints."""
    return json.loads(subprocess.check_output(["node", HERE / "measure.mjs", *arguments]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    sources = {"tatoeba": tatoeba} if arguments.speed else SOURCES
    texts = {
        name: [text for text in read(arguments.data) if text] for name, read in sources.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name, found in texts.items():
            lines = "\n".join(json.dumps(text) for text in found)
            (scratch / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        paths = readable(arguments.data, scratch)
        if arguments.speed:
            result = json.loads(arguments.output.read_text(encoding="utf-8"))
            path = paths["bert-base-uncased"]
            result["speed"] = {"tatoeba": node("--speed", scratch, path, "tatoeba")}
            print(result["speed"])
        else:
            result = measure(paths, texts, scratch)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(paths, texts, scratch):
    """Counts of texts with other ids, by tokenizer, candidate and source."""
    result = {
        "python": platform.python_version(),
        "tokenizers": version("tokenizers"),
        "texts": {name: len(found) for name, found in texts.items()},
        "measured": {},
    }
    for name, path in paths.items():
        for source, found in texts.items():
            write_reference(path, found, scratch / source)
        answer = node(scratch, path, *texts)
        result |= answer["versions"]
        result["measured"][name] = answer["candidates"]
        for candidate, by_source in answer["candidates"].items():
            counts = {source: found["different"] for source, found in by_source.items()}
            print(f"{name:30}{candidate:26}{counts}", flush=True)
    return result


if __name__ == "__main__":
    main()
