"""Vectors of words that are learnt from a text, beside gensim's of the same words and settings.

    pip install gensim
    python benchmarks/static/skip_gram.py --data FOLDER [--epochs 20]

FOLDER holds texts, a paragraph a line, as wikitext2.valid.txt.gz: all of them are learnt from. One
thread each. What comes out is asked, where all words of a question are known, for similarities of
pairs (WordSim-353 and SimLex-999: rank correlation with what people said) and for analogies
(Mikolov et al. 2013, arXiv:1301.3781, section 4.1: the nearest word to b - a + c, of those learnt),
whose files come with gensim. Of a text this small neither says much; the paper's had a thousand
times as many words. Words a second are those of the texts; seconds are the processor's, of the
whole fit. It writes skip_gram.json.
"""

import argparse
import gzip
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gensim
import keras
import tensorflow as tf
from gensim.test.utils import datapath

import kzoo

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
SOURCES = ["benchmarks/static/skip_gram.py", "kzoo/data/near.py", "kzoo/tasks/skip_gram.py"]
DIM, LEAST, WINDOW, DRAWN, THRESHOLD, SEED = 100, 5, 5, 5, 1e-3, 0
RATE, BATCH = 2e-3, 64  # of AdamW; texts a batch
GENSIM_RATE = 0.025  # which falls to nothing, gensim's own
ASKED = ("king", "river", "war", "album", "film", "three", "north", "team")


def ours(texts, epochs):
    """The task that learned, and the processor's seconds of its fit."""
    keras.utils.set_random_seed(SEED)
    options = {"window": WINDOW, "drawn": DRAWN, "threshold": THRESHOLD}
    task = kzoo.SkipGram.of_texts(texts, dim=DIM, least=LEAST, **options)
    steps = epochs * -(-len(texts) // BATCH)
    task.compile(kzoo.AdamW(RATE, weight_decay=0.0, warmup=0.0, total_steps=steps))
    started = time.process_time()
    task.fit(texts, epochs=epochs, batch_size=BATCH, seed=SEED, verbose=2)
    return task, time.process_time() - started


def theirs(words, epochs):
    """gensim's model of the same words, and the processor's seconds of its training."""
    model = gensim.models.Word2Vec(
        vector_size=DIM, window=WINDOW, negative=DRAWN, sample=THRESHOLD, min_count=LEAST, sg=1,
        alpha=GENSIM_RATE, min_alpha=0.0, workers=1, seed=SEED,
    )  # fmt: skip
    model.build_vocab(words)
    started = time.process_time()
    model.train(words, total_examples=len(words), epochs=epochs)
    return model, time.process_time() - started


def asked(vectors):
    """What `gensim.models.KeyedVectors` answer."""
    known = len(vectors)
    found = {}
    for name in ("wordsim353.tsv", "simlex999.txt"):
        _, spearman, missing = vectors.evaluate_word_pairs(datapath(name), restrict_vocab=known)
        found[name] = {"spearman": round(float(spearman[0]), 4), "missing_percent": round(missing)}
    score, sections = vectors.evaluate_word_analogies(
        datapath("questions-words.txt"), restrict_vocab=known
    )
    asked = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
    found["questions-words.txt"] = {"accuracy": round(score, 4), "questions": asked}
    found["nearest"] = {
        word: [near for near, _ in vectors.most_similar(word, topn=5)]
        for word in ASKED
        if word in vectors
    }
    return found


def main():
    """Read the command line, learn twice, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    texts = []
    for path in sorted(args.data.glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [line.strip() for line in file if line.strip()]
    task, seconds = ours(texts, args.epochs)
    ids = task.tokenizer.encode(texts)["token_ids"]
    words = [[task.tokenizer.id_to_token(int(n)) for n in row if n > 1] for row in ids]
    count = sum(map(len, words))
    known = [task.tokenizer.id_to_token(n) for n in range(2, task.tokenizer.vocabulary_size)]
    made = gensim.models.KeyedVectors(DIM)
    table = keras.ops.convert_to_numpy(task.backbone.embedding.embeddings)
    made.add_vectors(known, table[2:])
    model, their_seconds = theirs(words, args.epochs)
    rows = {
        "kzoo": {**asked(made), "seconds": round(seconds), "words": len(known)},
        "gensim": {**asked(model.wv), "seconds": round(their_seconds), "words": len(model.wv)},
    }
    for row in rows.values():
        row["words_per_second"] = round(count * args.epochs / row["seconds"])
    result = {
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "gensim"]),
        "settings": {"dim": DIM, "window": WINDOW, "drawn": DRAWN, "threshold": THRESHOLD,
                     "least": LEAST, "epochs": args.epochs, "texts": len(texts), "words": count},
        "rows": rows,
    }  # fmt: skip
    (HERE / "skip_gram.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
