"""KWT-1, which learned spoken commands, learns spoken digits: FSDD's official split.

    python benchmarks/fsdd/measure.py --data RECORDINGS

RECORDINGS is the folder of the Free Spoken Digit Dataset (github.com/Jakobovski/
free-spoken-digit-dataset, CC BY-SA 4.0) or a part of it: DIGIT_SPEAKER_TAKE.wav, where takes 0 to 4
are the test part. Every sound of 8 kHz is resampled to the 16 kHz that the preset reads.

Settings were chosen on take 9, held out of training (`--held-out`, which leaves the test part
alone); then all of the training part is learnt from, and the test part looked at once. Writes
`result.json`, `curves.png` and `confusion.png`.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

import kzoo
from kzoo import plot
from kzoo.audio import SpecAugment

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/fsdd/measure.py", "kzoo/audio", "kzoo/data/arrays.py", "kzoo/graphs.py",
    "kzoo/models/kwt.py", "kzoo/nn", "kzoo/tasks", "kzoo/training/optimizer.py",
    "presets/kwt1_speech_commands",
]  # fmt: skip
PRESET = "kwt1_speech_commands"
SETTINGS = {
    "epochs": 24,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "weight_decay": 0.05,
    "augment": "SpecAugment(2, 10, 2, 5)",
    "seed": 0,
}
AUGMENT = SpecAugment(2, 10, 2, 5)
TEST_TAKES = range(5)  # the data's own README
HELD_OUT = 9
LABELS = [str(digit) for digit in range(10)]


def recordings(folder):
    """(file, digit, take) of every sound."""
    rows = []
    for path in sorted(folder.glob("*.wav")):
        digit, _, take = path.stem.split("_")
        rows.append((path, digit, int(take)))
    if not rows:
        raise SystemExit(f"error: got {folder} without .wav files; expected FSDD's recordings.")
    return rows


def columns(rows, takes):
    """Files and digits of some takes."""
    chosen = [(path, digit) for path, digit, take in rows if take in takes]
    return [list(column) for column in zip(*chosen, strict=True)]


def classifier():
    """The preset with a new head."""
    keras.utils.set_random_seed(SETTINGS["seed"])
    return kzoo.AudioClassifier(kzoo.load(PRESET), labels=LABELS)


def learn(task, train, test):
    """Train; the history, and seconds."""
    rate = SETTINGS["learning_rate"]
    options = {"warmup": SETTINGS["warmup"], "weight_decay": SETTINGS["weight_decay"]}
    task.compile(kzoo.AdamW(rate, **options))
    start = time.time()
    history = task.fit(
        *train,
        batch_size=SETTINGS["batch_size"],
        epochs=SETTINGS["epochs"],
        validation_data=tuple(test) if test else None,
        seed=SETTINGS["seed"],
        augment=AUGMENT,
        verbose=2,
    ).history
    return {k: [round(float(v), 4) for v in vs] for k, vs in history.items()}, time.time() - start


def confusion(task, test):
    """How often each digit was taken for each, (right, given)."""
    given = task.predict(test[0], batch_size=64).argmax(-1)
    counts = np.zeros((len(LABELS),) * 2, int)
    np.add.at(counts, ([int(digit) for digit in test[1]], given), 1)
    return counts


def main():
    """Learn from the training part, look at the test part once, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="measure on take 9 of training")
    arguments = parser.parse_args()
    rows = recordings(arguments.data)
    takes = sorted({take for _, _, take in rows} - set(TEST_TAKES))
    if arguments.held_out:
        train, held = columns(rows, set(takes) - {HELD_OUT}), columns(rows, {HELD_OUT})
        history, _ = learn(classifier(), train, held)
        print(json.dumps({"take": HELD_OUT, "accuracy": history["val_accuracy"]}))
        return
    train, test = columns(rows, takes), columns(rows, TEST_TAKES)
    task = classifier()
    history, seconds = learn(task, train, None)
    counts = confusion(task, test)
    plot.write(plot.history(history), HERE / "curves.png")
    plot.write(plot.confusion(counts, labels=LABELS), HERE / "confusion.png")
    result = {
        "what": "spoken digits from KWT-1's commands: FSDD, takes 0 to 4 of each speaker to test",
        "settings": SETTINGS,
        "sounds": {"train": len(train[0]), "test": len(test[0])},
        "accuracy": round(float(np.trace(counts) / counts.sum()), 4),
        "confusion": counts.tolist(),
        "history": history,
        "seconds": round(seconds),
        "provenance": provenance(SOURCES, ["kzoo", "keras", keras.backend.backend()]),
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    shown = {name: result[name] for name in ("sounds", "accuracy", "seconds")}
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
