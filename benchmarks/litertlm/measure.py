"""What LiteRT-LM's engine writes with the file that kzoo makes for it, and how fast.

    python benchmarks/litertlm/measure.py --engine-python PYTHON [--rounds 9] [--files FOLDER]

PYTHON is one that has litert-lm-api, which kzoo doesn't need; `engine.py` beside this script runs
there. The Shakespeare preset is exported as float32 and as int8, each with `--to litertlm`. Then
Keras, the bundle's own file (through `kzoo.bundle.file_step`) and the engine write greedily behind
the same prompts, and their texts are counted that are the same to the letter. The engine is to
write what Keras does in float32, and in int8 what the bundle's own file does.

Tokens a second are of one text behind one prompt, on one thread; file and engine take turns, each
in a process that stays alive, so that a busy moment of the machine falls on both. Ratios are
medians of the ratios within a round. Beside the clock the processor's time is given, which other
processes lengthen less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
RECIPE = HERE.parent.parent / "export" / "shakespeare.json"
SOURCES = [
    "benchmarks/litertlm", "kzoo/bundle/file_step.py", "kzoo/bundle/litertlm.py",
    "kzoo/generation", "kzoo/graphs.py", "kzoo/litert", "kzoo/nn", "kzoo/tasks/causal_lm.py",
    "presets/gpt2_tiny_en.shakespeare",
]  # fmt: skip
PACKAGES = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "litert-lm-builder")
QUANTIZATIONS = ("float32", "int8")
PROMPTS, NEW = 40, 64  # texts that are compared, and tokens that are written behind each
TIMED, LONG = "First Citizen:\nBefore we proceed any further, hear me speak.\n", 128


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine-python", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=Path, default=Path("build/litertlm"))
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    result = measured(arguments)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "provenance"}, indent=2))
    float32, int8 = (result[name]["texts_equal"] for name in QUANTIZATIONS)
    if float32["engine and Keras"] < PROMPTS or int8["engine and own file"] < PROMPTS:
        raise SystemExit("error: the engine writes otherwise.")


def measured(arguments):
    origin = provenance(SOURCES, PACKAGES)
    result = {
        "what": "greedy text of the Shakespeare preset, batch 1, one thread: the file for "
        "LiteRT-LM on its engine, beside the bundle's own file",
        "provenance": origin,
        "rounds": arguments.rounds,
        "texts": PROMPTS,
        "new_tokens": NEW,
        "timed_new_tokens": LONG,
    }
    for quantization in QUANTIZATIONS:
        result[quantization] = compared(quantization, arguments, origin["versions"])
    return result


def compared(quantization, arguments, versions):
    """Texts and times of one quantization; notes the version of the engine."""
    import kzoo
    from kzoo.bundle import litertlm
    from kzoo.bundle.continuation import prompts_of
    from kzoo.bundle.file_step import FileStep
    from kzoo.generation import Writer

    folder = arguments.files / quantization
    changes = {"quantization": quantization, "litertlm": True}
    report = kzoo.export_recipe(RECIPE, folder, changes=changes)
    task = kzoo.load("gpt2_tiny_en.shakespeare")
    step = FileStep(folder / "model.tflite")
    own = Writer(step, task.tokenizer, step.cache)
    engine = start(arguments.engine_python, folder / litertlm.FILE)
    versions |= json.loads(engine.stdout.readline())

    def by_engine(prompt, count):
        engine.stdin.write(json.dumps({"prompt": prompt, "count": count}) + "\n")
        engine.stdin.flush()
        return json.loads(engine.stdout.readline())

    def by_file(prompt, count):
        clock, processor = time.perf_counter(), time.process_time()
        ((answer,),) = own.generate(task.prompt_ids([prompt]), max_new_tokens=count)
        seconds = time.perf_counter() - clock
        return {
            "text": answer.text, "seconds": seconds, "processor": time.process_time() - processor,
        }  # fmt: skip

    texts = []
    for prompt, ids in prompts_of(task, step.cache, PROMPTS):
        count = min(NEW, step.cache - len(ids))
        sides = by_engine(prompt, count)["text"], by_file(prompt, count)["text"]
        texts.append((*sides, task.generate(prompt, max_new_tokens=count)))
    turns = {"engine": [], "own file": []}
    for turn in range(1 + arguments.rounds):
        for name, write in (("engine", by_engine), ("own file", by_file)):
            took = write(TIMED, LONG)
            if turn:
                turns[name].append(took)
    engine.stdin.close()
    engine.wait()
    if len({took["text"] for rows in turns.values() for took in rows}) > 1:
        raise SystemExit(f"error: in {quantization} engine and file write different texts.")
    names = ("engine and own file", "engine and Keras", "own file and Keras")
    pairs = ((0, 1), (0, 2), (1, 2))
    return {
        "texts_equal": {
            name: sum(row[one] == row[other] for row in texts)
            for name, (one, other) in zip(names, pairs, strict=True)
        },
        "megabytes": {
            "engine": round(report["litertlm"]["bytes"] / 1e6, 3),
            "own file": round(report["sizes"]["file"] / 1e6, 3),
        },
        "tokens_per_second": {
            name: round(LONG / statistics.median(took["seconds"] for took in rows), 1)
            for name, rows in turns.items()
        },
        "engine_over_own_file": {
            key: round(
                statistics.median(
                    own[key] / there[key]
                    for there, own in zip(turns["engine"], turns["own file"], strict=True)
                ),
                3,
            )
            for key in ("seconds", "processor")
        },
    }


def start(python, path):
    """The engine in a process of its own, on a file."""
    return subprocess.Popen(
        [python, HERE / "engine.py", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )


if __name__ == "__main__":
    main()
