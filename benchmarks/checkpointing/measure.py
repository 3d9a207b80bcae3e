"""How much memory gradient checkpointing saves in training, and what time it takes.

    python benchmarks/checkpointing/measure.py [--backends tensorflow jax] [--rows FILE]
        [--output FILE.json]

A BERT of 12 blocks, 256 wide, takes two steps of AdamW in float32 with dropout at batches that
double, with and without `gradient_checkpointing`, each in a process of its own. Its peak is the
largest resident memory (VmHWM) less what it held once the model and the optimizer were built; what
compiles the step is in it on both sides. `rows_at_the_same_memory` is by batch how many times as
many rows take no more with it than that batch takes without. `--rows` names a file of the lines
that an earlier run printed, which are not measured again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from provenance import provenance  # noqa: E402

LENGTH, BATCHES = 128, (8, 16, 32)
STEPS = 2
SHAPE = {
    "hidden_dim": 256,
    "num_heads": 4,
    "intermediate_dim": 1024,
    "schedule": tuple(range(12)),
    "max_sequence_length": LENGTH,
}
SOURCES = [
    "benchmarks/checkpointing", "kzoo/graphs.py", "kzoo/keras_hooks.py", "kzoo/nn/attention.py",
    "kzoo/nn/block.py", "kzoo/nn/context.py",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    backends = ("tensorflow", "jax")
    parser.add_argument("--backends", nargs="+", choices=backends, default=backends)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        learn(*arguments.child)
        return
    rows, ratios, done = [], {}, {}
    for line in arguments.rows.read_text().splitlines() if arguments.rows else ():
        if line.startswith('{"backend"'):
            row = json.loads(line)
            done[row["backend"], row["batch"], row["checkpointing"]] = row
    for backend in arguments.backends:
        for batch in arguments.batches:
            for checkpointing in (0, 1):
                row = {"backend": backend, "batch": batch, "checkpointing": bool(checkpointing)}
                found = done.get(tuple(row.values()))
                rows.append(found or {**row, **measured(backend, batch, checkpointing)})
                print(json.dumps(rows[-1]), flush=True)
        ratios[backend] = compared([row for row in rows if row["backend"] == backend])
        print(json.dumps({backend: ratios[backend]}), flush=True)
    result = {
        "what": f"resident MiB beyond the built model's, and seconds of a step of {LENGTH} tokens",
        "shape": SHAPE,
        "runs": rows,
        "ratios": ratios,
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "jax"]),
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


def measured(backend, batch, checkpointing):
    """What a process of its own says."""
    run = subprocess.run(
        [sys.executable, __file__, "--child", str(batch), str(checkpointing)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def learn(batch, checkpointing):
    """Take the steps and print what they took."""
    import keras
    import numpy as np

    import kzoo
    from kzoo.models import build

    keras.utils.set_random_seed(0)
    spec = kzoo.Spec("bert", {"kind": "token", "vocabulary_size": 1000, "num_segments": 2}, **SHAPE)
    task = kzoo.TextClassifier(build(spec), labels=["a", "b"])
    task.compile(kzoo.AdamW(1e-4), gradient_checkpointing=bool(checkpointing))
    shape = (batch, LENGTH)
    inputs = {
        "token_ids": np.random.default_rng(0).integers(1, 1000, shape).astype("int32"),
        "padding_mask": np.ones(shape, "int32"),
        "segment_ids": np.zeros(shape, "int32"),
    }
    y = np.arange(batch) % 2
    task.optimizer.build(task.trainable_variables)
    before, seconds = kilobytes("VmRSS"), []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        loss = float(task.train_on_batch(inputs, y, return_dict=True)["loss"])
        seconds.append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                "MiB": round((kilobytes("VmHWM") - before) / 1024, 1),
                "seconds": round(min(seconds[1:]), 2),  # The first compiles.
                "loss": loss,
            }
        )
    )


def kilobytes(what):
    """A line of what Linux says of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1])


def compared(rows):
    """By batch memory and time of the runs with, over those without; how many more rows fit."""
    by = {(row["batch"], row["checkpointing"]): row for row in rows}
    batches = sorted({batch for batch, _ in by})
    found = {
        str(batch): {
            key: round(by[batch, True][key] / by[batch, False][key], 3)
            for key in ("MiB", "seconds")
        }
        for batch in batches
    }
    fits = {}
    for batch in batches[:-1]:
        most = by[batch, False]["MiB"]
        largest = max((b for b in batches if by[b, True]["MiB"] <= most), default=0)
        fits[str(batch)] = largest / batch
    return {"with_over_without": found, "rows_at_the_same_memory": fits}


if __name__ == "__main__":
    main()
