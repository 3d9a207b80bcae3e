"""What rows learn from where that is no file of a public set: sentences of many, and digits."""

import csv
import gzip
import io
import json
import re
import tarfile
import zipfile

import numpy as np
from PIL import Image

from kzoo.files import writing_file, writing_folder

TABLES = {  # file: its separator, the places of its texts, whether it has a header
    "glue_sst2/train.tsv.gz": ("\t", (0,), True),
    "glue_cola/in_domain_train.tsv.gz": ("\t", (3,), False),
    "glue_mrpc/msr_paraphrase_train.txt.gz": ("\t", (3, 4), True),
    "glue_qnli_dev/dev.tsv.gz": ("\t", (1, 2), True),
    "stsb_multi/stsb-en-train.csv.gz": (",", (0, 1), False),
    "banking77/train.csv.gz": (",", (0,), True),
    "arc/easy_train.csv.gz": (",", (0,), False),
    "arc/challenge_train.csv.gz": (",", (0,), False),
    "codah/full_data.tsv.gz": ("\t", (1, 2), False),
}
LEFT_OUT = ("stsb_multi/stsb-en-dev.csv.gz", "stsb_multi/stsb-en-test.csv.gz")
WORDS = range(4, 60)  # of a sentence


def sentences(data, output):
    """A table of the English sentences of many sets, each once, in the order of the files.

    Those of STS-B's dev and test files, which are from some of the same sources, are left out.
    """
    table = output / "sentences.tsv"
    if not table.is_file():
        with writing_file(table) as path:
            path.write_text("\n".join(["sentence", *_sentences(data)]) + "\n", encoding="utf-8")
    return table


def digits(data, output):
    """MNIST's pictures as folders of PNG files: `train` (the first 20,000) and `test` (3,000)."""
    folder = output / "mnist"
    if not folder.is_dir():
        with writing_folder(folder) as path:
            for part, name in (("train", "train20k"), ("test", "t3k")):
                pictures, labels = (
                    _idx(data / "mnist" / f"{name}-{what}.gz")
                    for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
                )
                for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
                    (path / part / str(label)).mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(path / part / str(label) / f"{number:05d}.png")
    return folder


def _idx(path):
    """An array in MNIST's format."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    return np.frombuffer(content, "uint8", offset=4 + 4 * axes).reshape(shape)


def _sentences(data):
    """Every sentence once; `data` is the folder of the sets."""
    left_out = {_key(text) for name in LEFT_OUT for text in _columns(data / name, ",", (0, 1))}
    found = {}
    for text in _all(data):
        text = " ".join(text.split())
        key = _key(text)
        if len(text.split()) in WORDS and key not in left_out:
            found.setdefault(key, text)
    return list(found.values())


def _key(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def _columns(path, separator, places, header=False):
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter=separator, quoting=quoting)):
            if number or not header:
                yield from (row[place] for place in places if place < len(row))


def _split(text):
    return re.split(r"(?<=[.!?]) +(?=[A-Z\"])", text)


def _all(data):
    for name, (separator, places, header) in TABLES.items():
        yield from _columns(data / name, separator, places, header)
    with gzip.open(data / "squad_v1/dev-v1.1.json.gz", "rt", encoding="utf-8") as file:
        for article in json.load(file)["data"]:
            for paragraph in article["paragraphs"]:
                yield from _split(paragraph["context"])
                yield from (question["question"] for question in paragraph["qas"])
    for part in ("valid", "test"):
        with gzip.open(data / f"lm_text/wikitext2.{part}.txt.gz", "rt", encoding="utf-8") as file:
            for line in file:
                yield from _split(line.replace("<unk>", "").replace(" @-@ ", "-"))
    with zipfile.ZipFile(data / "nltk_subjectivity/subjectivity.zip") as file:
        for name in ("plot", "quote"):
            own = file.read(f"subjectivity/{name}.tok.gt9.5000").decode("latin-1")
            yield from own.splitlines()
    with gzip.open(data / "scitldr/SciTLDR-A/train.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield from json.loads(line)["source"]
    with tarfile.open(data / "tatoeba_laser/tatoeba_v1.tar.gz") as file:
        for member in file:
            if member.name.endswith("-eng.eng"):
                yield from io.TextIOWrapper(file.extractfile(member), encoding="utf-8")
