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
import tarfile
import tempfile
import zipfile
from array import array
from importlib.metadata import version
from pathlib import Path

import tokenizers

from kzoo.text import Tokenizer

HERE = Path(__file__).parent
LAST = 0x110000
BATCH = 4096
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


def vectors(data):
    """The questions of SQuAD's dev set, and a French text."""
    folder = data / "tokenizer_vectors"
    with gzip.open(folder / "bert_uncased_question_tokens.json.gz", "rt", encoding="utf-8") as file:
        yield from (entry["original"] for entry in json.load(file))
    yield json.loads((folder / "gpt2_encoded.json").read_text(encoding="utf-8"))["text"]


def declaration(data):
    """Lines of the Declaration of Human Rights in 300 languages."""
    with zipfile.ZipFile(data / "nltk_udhr" / "udhr.zip") as archive:
        for name in sorted(archive.namelist()):
            encoding = ENCODINGS.get(name.rpartition("-")[2])
            if encoding:
                yield from archive.read(name).decode(encoding, "ignore").split("\n")


def tatoeba(data):
    """Sentences of 112 languages, and their English halves."""
    with tarfile.open(data / "tatoeba_laser" / "tatoeba_v1.tar.gz") as archive:
        for member in archive.getmembers():
            if member.isfile() and member.name.startswith("tatoeba."):
                yield from archive.extractfile(member).read().decode("utf-8").split("\n")


def characters():
    """Every code point that UTF-8 can write."""
    return (chr(number) for number in range(LAST) if not 0xD800 <= number < 0xE000)


SOURCES = {
    "vectors": vectors,
    "udhr": declaration,
    "tatoeba": tatoeba,
    "alone": lambda data: characters(),
    "between letters": lambda data: (f"a{character}b" for character in characters()),
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
