"""Sounds around us from KWT-1's spoken commands, against the same network from scratch: ESC-10.

    python benchmarks/esc10/measure.py --data FOLDER

FOLDER is ESC-10 (github.com/karolpiczak/ESC-10, CC BY 3.0) or a part of it: a folder for each
class, with FOLD-CLIP-TAKE.ogg. Each of the five folds is the test part once. The network hears a
second: a clip of five is learned as windows of one second each, and answered by the mean of the
probabilities of all of its windows. Settings were fixed before anything was measured. Writes
`result.json` and `confusion.png`.
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
from kzoo.audio.sounds import read_sound
from kzoo.models import build

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/esc10/measure.py", "kzoo/audio", "kzoo/data/arrays.py", "kzoo/graphs.py",
    "kzoo/models/kwt.py", "kzoo/nn", "kzoo/tasks", "kzoo/training/optimizer.py",
    "presets/kwt1_speech_commands",
]  # fmt: skip
PRESET = "kwt1_speech_commands"
RATE, SECONDS = 16000, 5
SETTINGS = {
    "epochs": 10,
    "batch_size": 20,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "weight_decay": 0.05,
    "seed": 0,
}
FOLDS = range(1, 6)


def windows_of(path):
    """A clip as (5, samples): its seconds, silence behind a shorter one."""
    samples = read_sound(path, RATE, str(path))[: SECONDS * RATE]
    return np.pad(samples, (0, SECONDS * RATE - len(samples))).reshape(SECONDS, RATE)


def clips(folder):
    """Windows, class and fold of every clip, and the classes' names."""
    files = sorted(folder.glob("*/[1-5]-*.ogg"))
    if not files:
        raise SystemExit(f"error: got {folder} without folders of .ogg; expected ESC-10.")
    names = sorted({file.parent.name for file in files})
    windows = np.stack([windows_of(file) for file in files])
    classes = np.array([names.index(file.parent.name) for file in files])
    folds = np.array([int(file.name[0]) for file in files])
    return windows, classes, folds, [name.split(" - ")[-1] for name in names]


def classifier(from_preset, labels):
    """The preset with a new head; or its network with fresh weights."""
    keras.utils.set_random_seed(SETTINGS["seed"])
    source = kzoo.load(PRESET)
    if from_preset:
        return kzoo.AudioClassifier(source, labels=labels)
    processor = source.audio_processor
    return kzoo.AudioClassifier(build(source.spec), labels, audio_processor=processor)


def answers(task, train, test):
    """Learn from clips, and the class of each of others."""
    windows, classes = train
    rate, options = SETTINGS["learning_rate"], ("warmup", "weight_decay")
    task.compile(kzoo.AdamW(rate, **{name: SETTINGS[name] for name in options}))
    task.fit(
        windows.reshape(-1, RATE),
        np.repeat(classes, SECONDS),
        batch_size=SETTINGS["batch_size"],
        epochs=SETTINGS["epochs"],
        seed=SETTINGS["seed"],
        verbose=0,
    )
    probabilities = task.predict(test.reshape(-1, RATE), batch_size=50)
    return probabilities.reshape(len(test), SECONDS, -1).mean(1).argmax(-1)


def main():
    """Both arms on every fold; write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    windows, classes, folds, labels = clips(parser.parse_args().data)
    arms, start = {}, time.time()
    for name, from_preset in (("from the preset", True), ("from scratch", False)):
        given = np.empty_like(classes)
        for fold in FOLDS:
            test = folds == fold
            task = classifier(from_preset, labels)
            given[test] = answers(task, (windows[~test], classes[~test]), windows[test])
            print(name, fold, np.mean(given[test] == classes[test]), flush=True)
        counts = np.zeros((len(labels),) * 2, int)
        np.add.at(counts, (classes, given), 1)
        by_fold = [float(np.mean((given == classes)[folds == fold])) for fold in FOLDS]
        arms[name] = {
            "accuracy": round(float(np.mean(by_fold)), 4),
            "by_fold": [round(share, 4) for share in by_fold],
            "confusion": counts.tolist(),
        }
    matrix = arms["from the preset"]["confusion"]
    plot.write(plot.confusion(matrix, labels=labels), HERE / "confusion.png")
    result = {
        "what": f"ESC-10 in 5 folds, {len(classes)} clips: mean accuracy over the folds",
        "settings": SETTINGS,
        "clips": len(classes),
        "labels": labels,
        "arms": arms,
        "seconds": round(time.time() - start),
        "provenance": provenance(SOURCES, ["kzoo", "keras", keras.backend.backend()]),
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: arm["accuracy"] for name, arm in arms.items()}, indent=1))


if __name__ == "__main__":
    main()
