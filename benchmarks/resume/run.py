"""A training that is killed again and again ends in the weights of one that never was.

    python benchmarks/resume/run.py [--kills 100] [--minutes 60] [--seed 0] [--output FILE.json]

A recipe of pictures with dropout, shuffling, augmentation, gradual pruning, a teacher, half an
accumulation over from each epoch and a validation is run once whole. Then it is begun, killed with
SIGKILL, begun again, until it ends; and all of that again until there were so many kills. Of each
end the file of weights and the history are compared with those of the whole run, byte by byte.

Half of the kills come after a random time, the others when the training says that it is in a step,
in the writing of a checkpoint, in a validation. With a checkpoint after each batch, writing takes
about as long as learning.

Each run is a process of its own, forked from one that has imported TensorFlow and run nothing.
"""

import argparse
import contextlib
import hashlib
import json
import mmap
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PHASES = ("setup", "step", "write", "validation", "end")
SETUP, STEP, WRITE, VALIDATION, END = range(5)
LONGEST = 0.5  # seconds after its first batch that a run is killed at the latest
SPEC = {
    "family": "vit",
    "embedding": {"kind": "patch", "image_size": 8, "patch_size": 4},
    "hidden_dim": 16,
    "num_heads": 2,
    "intermediate_dim": 16,
    "schedule": [0],
    "max_sequence_length": 5,
    "dropout": 0.1,
    "attention_dropout": 0.1,
}
RECIPE = {
    "model": "start",
    "train": "pictures",
    "validation": 0.25,
    "output": "out",
    "augment": ["RandomFlip", {"kind": "RandomRotation", "factor": 0.1}],
    "teacher": {"model": "start", "share": 0.5},
    "masking": {"kind": "Pruning", "heads": 1, "units": 8, "every": 2, "begin": 0.0, "end": 0.9},
    "epochs": 3,
    "batch_size": 4,
    "accumulation": 2,
    "learning_rate": 0.01,
}


def prepare(folder):
    """Pictures, a model and the recipe."""
    import keras
    import numpy as np
    from PIL import Image

    import kzoo
    from kzoo.images.image_processor import ImageProcessor
    from kzoo.models import build

    draw = np.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(14):
            pixels = draw.integers(0, 160, (8, 8, 3)) + 90 * (label == "light")
            file = folder / "pictures" / label / f"{number}.png"
            Image.fromarray(pixels.astype("uint8")).save(file)
    keras.utils.set_random_seed(0)
    processor = ImageProcessor(size=(8, 8))
    start = kzoo.ImageClassifier(
        build(kzoo.Spec.from_dict(SPEC)), ["dark", "light"], image_processor=processor
    )
    start.save_preset(folder / "start")


def train(folder, output, phase):
    """Run the recipe with a checkpoint after each batch; `phase` is told where it is."""
    import kzoo
    from kzoo.training.resume import Checkpoints

    def within(number, function):
        def run(*args, **kwargs):
            before, phase[0] = phase[0], number
            try:
                return function(*args, **kwargs)
            finally:
                phase[0] = before

        return run

    def learning(function):
        def run(*args, **kwargs):
            phase[0] = STEP
            return function(*args, **kwargs)

        return run

    Checkpoints._save = within(WRITE, Checkpoints._save)
    Checkpoints.restore_callbacks = learning(Checkpoints.restore_callbacks)
    kzoo.ImageClassifier.evaluate = within(VALIDATION, kzoo.ImageClassifier.evaluate)
    settings = {**RECIPE, "output": output}
    for key in ("model", "train", "output"):
        settings[key] = str(folder / settings[key])
    settings["teacher"] = {**RECIPE["teacher"], "model": str(folder / "start")}
    kzoo.train(settings, verbose=0, every=0)
    phase[0] = END


def forked(function, *args):
    """The number of a process that runs a function, and what it is about to say of where it is."""
    phase = mmap.mmap(-1, 1)
    number = os.fork()
    if number:
        return number, phase
    code = 1
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            function(*args, phase) if function is train else function(*args)
        code = 0
    finally:
        if code:
            import traceback

            traceback.print_exc()
        os._exit(code)


def end_of(number):
    """The exit code of a process; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def run_whole(function, *args):
    """Run a function in a process, without a kill."""
    if end_of(forked(function, *args)[0]):
        raise SystemExit(f"{function.__name__} failed.")


def killed(folder, output, draw, aim):
    """Run the recipe and kill it; the phase that it was in, or None where it came to its end.

    Args:
        aim: the phase in which to kill; None for any, after a random time.
    """
    number, phase = forked(train, folder, output)
    begun = None
    wait = draw.uniform(0, LONGEST)
    while os.waitpid(number, os.WNOHANG)[0] == 0:
        at = phase[0]
        if begun is None and at != SETUP:
            begun = time.monotonic()
        is_late = begun is not None and time.monotonic() - begun >= wait
        if is_late and at != END and aim in (None, at):
            time.sleep(draw.uniform(0, 0.002))
            at = phase[0]
            os.kill(number, signal.SIGKILL)
            code = end_of(number)
            return PHASES[at] if code == -signal.SIGKILL else None
        time.sleep(0.0002)
    return None


def what_came(folder, output):
    """The checksum of the weights, and the history."""
    content = (folder / output / "weights.safetensors").read_bytes()
    history = json.loads((folder / output / "training.json").read_text())["history"]
    return hashlib.sha256(content).hexdigest(), history


def measure(folder, kills, seed, minutes):
    """Kill so many times, or so long; what came of it."""
    run_whole(prepare, folder)
    start = time.monotonic()
    latest = start + 60 * minutes
    run_whole(train, folder, "whole")
    seconds, expected = time.monotonic() - start, what_came(folder, "whole")
    draw, counts, ends, different = random.Random(seed), dict.fromkeys(PHASES[:END], 0), 0, 0
    aims, total = [STEP, WRITE, VALIDATION, None, None, None], 0
    while True:
        output = f"out{ends}"
        while True:
            # Behind the last kill the rest runs to its end.
            is_over = total >= kills or time.monotonic() > latest
            aim = END if is_over else aims[total % len(aims)]
            where = killed(folder, output, draw, aim)
            if where is None:
                break
            counts[where] += 1
            total += 1
            print(f"{total} killed in {where}", file=sys.stderr, flush=True)
        ends += 1
        different += what_came(folder, output) != expected
        left = sorted(path.name for path in folder.glob("*.unfinished"))
        left += sorted(path.name for path in folder.glob(".*"))
        if left:
            raise SystemExit(f"{left[0]} was left over.")
        if is_over:
            break
    return {
        "kills": total,
        "killed_in": counts,
        "trainings": ends,
        "trainings_that_ended_otherwise": different,
        "seconds_of_the_whole_run": round(seconds, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60, help="when to stop at the latest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow  # noqa: F401 (for all who are forked)

    import kzoo.tasks
    import kzoo.training  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.kills, options.seed, options.minutes)
    result = {"backend": keras.backend.backend(), "seed": options.seed, **result}
    if options.output:
        sys.path.insert(0, str(ROOT / "benchmarks"))
        from provenance import provenance

        made = provenance(
            ["kzoo/training/resume.py", "kzoo/data/plan.py", "benchmarks/resume"],
            ["keras", "tensorflow" if result["backend"] == "tensorflow" else "jax", "numpy"],
        )
        text = json.dumps({**result, "provenance": made}, indent=2) + "\n"
        options.output.write_text(text, encoding="utf-8")
    print(json.dumps(result))
    return bool(result["trainings_that_ended_otherwise"])


if __name__ == "__main__":
    raise SystemExit(main())
