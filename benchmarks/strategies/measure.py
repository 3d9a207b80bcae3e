"""How far each strategy's weights lie from one device's after 50 steps, feature by feature.

    python benchmarks/strategies/measure.py [--strategies "mirrored 2" ...] [--output FILE]

The features are the trainings of tests/on_devices.py with Adam, each of tiny models on fixed
examples with uneven last batches. Replicas are logical processors of one process, workers are real
processes on this machine that meet on its loopback address. Every strategy has processes of its
own. `result.json` is written anew after each strategy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]
from provenance import provenance  # noqa: E402

STEPS = 50
STRATEGIES = ("mirrored 2", "mirrored 4", "workers 2", "workers 3")
FEATURES = {
    "clipped": "clipping by norm, EMA, two steps at once, validation",
    "accumulated": "accumulation of 2, EMA that overwrites, clipping, validation",
    "by place": "a loss over places, some ignored, without clipping; hashed attention",
    "taught": "distillation of logits, states, attention and values",
    "contrastive": "the contrastive loss over the global batch",
    "mimicking": "affinities to a teacher's vectors over the global batch",
    "sentences": "hidden tokens and the order of sentences, drawn anew each epoch",
    "adapted": "DoRA's maps alone",
    "recomputed": "gradient checkpointing; attention by patterns and to sums",
    "rounding": "quantization-aware training of int8",
    "float16": "mixed_float16 with loss scaling and accumulation",
}
# Batches an epoch, of four examples; else 1.
BATCHES = {"clipped": 2, "contrastive": 2, "mimicking": 2, "sentences": 2}
SOURCES = [
    "kzoo/adapters.py", "kzoo/compression/lessons.py", "kzoo/compression/teacher.py",
    "kzoo/data/batches.py", "kzoo/data/plan.py", "kzoo/keras_hooks.py",
    "kzoo/tasks/contrastive.py", "kzoo/tasks/pretraining.py", "kzoo/tasks/task.py",
    "kzoo/training/optimizer.py", "kzoo/training/strategy.py", "tests/on_devices.py",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        learn(*arguments.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        one = ends_of("one 1", Path(folder))[0]
        found = {
            "what": f"largest difference of any weight from one device's after {STEPS} steps",
            "provenance": provenance(SOURCES, ["kzoo", "keras", "tensorflow"]),
            "features": FEATURES,
            "largest_difference": {},
            "seconds": {},
        }
        for name in arguments.strategies:
            start = time.monotonic()
            ends = ends_of(name, Path(folder))
            found["seconds"][name] = round(time.monotonic() - start)
            found["largest_difference"][name] = {
                feature: max(difference(one, end, feature) for end in ends) for feature in FEATURES
            }
            print(name, found["largest_difference"][name], flush=True)
            arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def difference(one, end, feature):
    """The largest difference of a weight, which is what has a path; losses are beside them."""
    weights = [key for key in one if key.startswith(f"{feature}/") and key.count("/") > 1]
    assert len(weights) > 10
    largest = np.max([np.abs(one[key] - end[key]).max() for key in weights])  # NaN stays.
    assert np.isfinite(largest), f"{feature} ends in weights that are no numbers"
    return float(f"{largest:.2g}")


def ends_of(name, folder):
    """What the processes of a strategy end with, a dict of arrays each."""
    from kzoo.training.workers import cluster

    kind, count = name.split()
    environments = cluster(int(count)) if kind == "workers" else [{}]
    files = [folder / f"{name}-{place}.npz" for place in range(len(environments))]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--child", name, file],
            env={**os.environ, **environment, "KERAS_BACKEND": "tensorflow"},
        )
        for environment, file in zip(environments, files, strict=True)
    ]
    try:
        assert [process.wait() for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()
    return [dict(np.load(file)) for file in files]


def learn(name, file):
    """Every feature under one strategy."""
    import on_devices
    import tensorflow as tf

    from kzoo.training import strategy

    kind, count = name.split()
    if kind == "mirrored":
        cpu, parts = tf.config.list_physical_devices("CPU")[0], int(count)
        each = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [each] * parts)
    placed = strategy({"one": "none", "workers": "multi_worker"}.get(kind, kind))
    # Graphs as they are written: rewritten ones round in another order.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    found = {}
    with placed.scope():
        assert placed.replicas == int(count)
        for feature in FEATURES:
            epochs = -(-STEPS // BATCHES.get(feature, 1))
            ends = on_devices.RUNS[feature](epochs)
            found |= {f"{feature}/{key}": value for key, value in ends.items()}
    np.savez(file, **found)


if __name__ == "__main__":
    main()
