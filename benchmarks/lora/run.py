"""Fine-tune all-MiniLM-L6-v2 on SST-2 wholly, and by LoRA under 2 % of the weights.

    python benchmarks/lora/run.py --data SST2 --model MINILM [--examples 12000] [--seeds 0]

SST2 is a folder with GLUE's train.tsv (or train.tsv.gz) and dev.tsv; MINILM is the Hugging Face
folder of all-MiniLM-L6-v2. Both arms read the same examples in the same order with the same
settings but for the learning rate, which each chooses of its two by 2,000 of train's sentences that
neither learns from. dev is looked at once, by the model of the chosen rate.
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
from kzoo.keras_hooks import precision

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
LABELS = ["negative", "positive"]
HELD = 2000
RATES = {"full": (5e-5, 1e-4), "lora": (5e-4, 2e-3)}
ADAPTERS = {"rank": 8, "alpha": 16, "targets": ["attention", "feedforward"]}
SETTINGS = {"epochs": 1, "batch_size": 32, "precision": "mixed_bfloat16", "head": "mean"}
SOURCES = ["benchmarks/lora/run.py", "kzoo/adapters.py", "kzoo/nn/dense.py"]


def read(path):
    """The sentences and labels of a file of GLUE, with or without .gz."""
    path = path if path.exists() else path.with_suffix(".tsv.gz")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    return [text for text, _ in rows], np.array([int(label) for _, label in rows])


def learned(model, arm, rate, seed, x, y):
    """A classifier of an arm, trained at a rate; the seconds that took; what learnt and moved."""
    keras.utils.set_random_seed(seed)
    with precision(SETTINGS["precision"]):
        task = kzoo.TextClassifier(kzoo.load(model), labels=LABELS, head=SETTINGS["head"])
    if arm == "lora":
        task = kzoo.lora(task, **ADAPTERS)
    task.compile(optimizer=kzoo.AdamW(rate))
    start = time.monotonic()
    task.fit(x, y, epochs=SETTINGS["epochs"], batch_size=SETTINGS["batch_size"], seed=seed)
    seconds = time.monotonic() - start
    state = sum(int(np.prod(variable.shape)) for variable in task.optimizer.variables)
    facts = {
        "trainable_share": round(kzoo.trainable_share(task), 5),
        "optimizer_megabytes": round(4 * state / 1e6, 2),
        "seconds": round(seconds, 1),
    }
    return task, facts


def accuracy(task, x, y):
    """The share of examples whose likeliest label is right."""
    return float((task.predict(x).argmax(-1) == y).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=12000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    texts, labels = read(arguments.data / "train.tsv")
    rows = np.random.default_rng(0).permutation(len(texts))
    held, rows = rows[:HELD], rows[HELD : HELD + arguments.examples]
    x, y = [texts[row] for row in rows], labels[rows]
    held_x, held_y = [texts[row] for row in held], labels[held]
    dev_x, dev_y = read(arguments.data / "dev.tsv")
    arms = {}
    for arm, rates in RATES.items():
        arms[arm] = []
        for seed in arguments.seeds:
            trials = []
            for rate in rates:
                task, facts = learned(arguments.model, arm, rate, seed, x, y)
                trials.append((accuracy(task, held_x, held_y), rate, facts, task))
                print(arm, seed, rate, trials[-1][:3], flush=True)
            chosen = max(trials, key=lambda trial: trial[0])
            run = {
                "seed": seed,
                "held_out_accuracy": {f"{t[1]:g}": round(t[0], 4) for t in trials},
                "learning_rate": chosen[1],
                "dev_accuracy": round(accuracy(chosen[3], dev_x, dev_y), 4),
                **chosen[2],
            }
            if arm == "lora":
                whole = kzoo.merged(chosen[3])
                run["dev_accuracy_merged"] = round(accuracy(whole, dev_x, dev_y), 4)
            arms[arm].append(run)
            print(json.dumps(run), flush=True)
    means = {arm: float(np.mean([r["dev_accuracy"] for r in runs])) for arm, runs in arms.items()}
    result = {
        "what": "dev accuracy on SST-2 of all-MiniLM-L6-v2, all weights trained and LoRA's alone",
        "provenance": provenance(SOURCES, ("kzoo", "keras", "tensorflow")),
        "examples": len(x),
        "held_out": HELD,
        "dev_sentences": len(dev_x),
        "settings": SETTINGS,
        "adapters": ADAPTERS,
        "arms": arms,
        "dev_accuracy": {arm: round(mean, 4) for arm, mean in means.items()},
        "points_lost": round(100 * (means["full"] - means["lora"]), 2),
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: result[key] for key in ("dev_accuracy", "points_lost")}))


if __name__ == "__main__":
    main()
