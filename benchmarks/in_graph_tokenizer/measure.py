"""How often ids of the in-graph tokenizer differ from Hugging Face's, and how fast it is.

    python benchmarks/in_graph_tokenizer/measure.py SHARED_DATA [--rounds 5] [--output result.json]

SHARED_DATA is a folder with nltk_udhr/udhr.zip (the Declaration of Human Rights in 300 languages),
tatoeba_laser/tatoeba_v1.tar.gz (sentences of 112 languages), xquad/*.json.gz and
tokenizers/bert-base-*/vocab.txt. Every line of text goes through three tokenizers without special
tokens: the `tokenizers` library (the reference), kzoo's in the graph, and tensorflow-text's
FastBertTokenizer as it comes. A line differs when its list of ids does. Speed is measured on one
thread each, the arms alternating in every round; medians of process CPU time are reported, so only
their ratios mean something on another machine.
"""

import argparse
import gzip
import io
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tensorflow as tf
import tensorflow_text

from kzoo.text import Tokenizer
from kzoo.text.in_graph import InGraphTokenizer

sys.path.insert(0, str(Path(__file__).parent.parent / "tokenizer_parity"))
from texts import declaration, tatoeba  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

SOURCES = ["kzoo/text"]

VOCABULARIES = {  # And whether its models read lower-cased text.
    "bert-base-uncased": True,
    "bert-base-cased": False,
    "bert-base-multilingual-cased": False,
    "bert-base-chinese": True,
}
BATCH = 512


def xquad(data):
    """Paragraphs and questions in four languages."""
    for path in sorted((data / "xquad").glob("*.json.gz")):
        with gzip.open(path) as file:
            articles = json.load(io.TextIOWrapper(file, "utf-8"))["data"]
        for paragraph in (p for article in articles for p in article["paragraphs"]):
            yield paragraph["context"]
            yield from (question["question"] for question in paragraph["qas"])


def in_batches(function, lines):
    ids = []
    for start in range(0, len(lines), BATCH):
        ids += function(lines[start : start + BATCH])
    return ids


def arms(folder, lower):
    """{name: function from a list of strings to a list of lists of ids}."""
    tokenizer = Tokenizer.load(folder)
    words = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    plain = tensorflow_text.FastBertTokenizer(
        words, token_out_type=tf.int32, lower_case_nfd_strip_accents=lower
    )
    signature = [tf.TensorSpec([None], tf.string)]
    ours = tf.function(InGraphTokenizer(tokenizer).split, input_signature=signature)
    theirs = tf.function(plain.tokenize, input_signature=signature)
    return {
        "tokenizers": lambda lines: [row[1:-1] for row in tokenizer.encode(lines)["token_ids"]],
        "kzoo in the graph": lambda lines: ours(tf.constant(lines)).to_list(),
        "FastBertTokenizer": lambda lines: theirs(tf.constant(lines)).to_list(),
    }, {
        "tokenizers": tokenizer._backend.encode_batch_fast,
        "kzoo in the graph": ours,
        "FastBertTokenizer": theirs,
    }


def speed(functions, lines, rounds):
    """Megabytes of UTF-8 a second of CPU, the median over alternating rounds."""
    size = sum(len(line.encode()) for line in lines) / 1e6
    batches = [lines[i : i + BATCH] for i in range(0, len(lines), BATCH)]
    given = {name: batches if name == "tokenizers" else [tf.constant(batch) for batch in batches]
             for name in functions}  # fmt: skip
    times = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = time.process_time()
            for batch in given[name]:
                function(batch)
            times[name].append(time.process_time() - start)
    return {name: round(size / statistics.median(took[1:]), 2) for name, took in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    sources = {"udhr": declaration, "tatoeba": tatoeba, "xquad": xquad}
    texts = {
        name: [line for line in read(arguments.data) if line.strip()]
        for name, read in sources.items()
    }
    result = {
        "provenance": provenance(SOURCES, ["tokenizers", "tensorflow", "tensorflow-text"]),
        "lines": {name: len(lines) for name, lines in texts.items()},
        "megabytes": {
            name: round(sum(len(line.encode()) for line in lines) / 1e6, 3)
            for name, lines in texts.items()
        },
        "differing_lines": {},
        "megabytes_per_cpu_second": {},
    }
    english = [line for line in texts["xquad"] if line.isascii()]
    for vocabulary, lower in VOCABULARIES.items():
        as_lists, raw = arms(arguments.data / "tokenizers" / vocabulary, lower)
        counts = result["differing_lines"][vocabulary] = {}
        for source, lines in texts.items():
            reference = in_batches(as_lists["tokenizers"], lines)
            counts[source] = {}
            for name in ("kzoo in the graph", "FastBertTokenizer"):
                ids = in_batches(as_lists[name], lines)
                different = sum(a != b for a, b in zip(ids, reference, strict=True))
                counts[source][name] = {
                    "lines": different,
                    "percent": round(100 * different / len(lines), 3),
                }
                print(f"{vocabulary:30}{source:10}{name:20}{different:7} of {len(lines)} differ")
        result["megabytes_per_cpu_second"][vocabulary] = {
            "ascii": speed(raw, english, arguments.rounds),
            "tatoeba": speed(raw, texts["tatoeba"][:20000], arguments.rounds),
        }
        print(vocabulary, result["megabytes_per_cpu_second"][vocabulary], flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
