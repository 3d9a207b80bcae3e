"""What LiteRT-LM's engine writes with the file that kzoo makes for it, and how fast.

    python benchmarks/litertlm/measure.py --engine-python PYTHON [--rounds 9] [--files FOLDER]

PYTHON is one that has litert-lm-api, which kzoo doesn't need; `engine.py` beside this script runs
there. The Shakespeare preset is exported as float32 and as int8, each with `--to litertlm`. Then
Keras, the bundle's own file (through `kzoo.bundle.file_step`) and the engine write greedily behind
the same prompts, and their texts are counted that are the same to the letter. The engine is to
write what Keras does in float32, and in int8 what the bundle's own file does.

Tokens a second are of one text behind one prompt, on one thread; file and engine take turns.
Ratios are medians of the ratios within a round. Beside the clock the processor's time is given,
which other processes lengthen less. The loop round the own file is Python, the engine's is not: of
a network this small it takes a good part.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

from kzoo.turns import middle, ratio, serve, take, timed  # noqa: E402

HERE = Path(__file__).parent
RECIPE = HERE.parent.parent / "export" / "shakespeare.json"
PRESET = "gpt2_tiny_en.shakespeare"
SOURCES = [
    "benchmarks/litertlm", "kzoo/bundle/file_step.py", "kzoo/bundle/litertlm.py",
    "kzoo/generation", "kzoo/graphs.py", "kzoo/litert", "kzoo/nn", "kzoo/tasks/causal_lm.py",
    "presets/gpt2_tiny_en.shakespeare",
]  # fmt: skip
PACKAGES = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "litert-lm-builder")
QUANTIZATIONS = ("float32", "int8")
PROMPTS, NEW = 40, 64  # texts that are compared, and tokens that are written behind each
TIMED, LONG = "First Citizen:\nBefore we proceed any further, hear me speak.\n", 128
ENGINE, OWN, KERAS = "engine", "own file", "Keras"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine-python", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=Path, default=Path("build/litertlm"))
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        write = writer(arguments.worker)
        serve(lambda: answer(write, TIMED, LONG))
        return
    result = measured(arguments)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "provenance"}, indent=2))
    float32, int8 = (result[name]["texts_equal"] for name in QUANTIZATIONS)
    if float32[f"{ENGINE} and {KERAS}"] < PROMPTS or int8[f"{ENGINE} and {OWN}"] < PROMPTS:
        raise SystemExit("error: the engine writes otherwise.")


def measured(arguments):
    """What is written down."""
    import kzoo
    from kzoo.bundle import litertlm

    origin, results = provenance(SOURCES, PACKAGES), {}
    task = kzoo.load(PRESET)
    for quantization in QUANTIZATIONS:
        folder = arguments.files / quantization
        changes = {"quantization": quantization, "litertlm": True}
        report = kzoo.export_recipe(RECIPE, folder, changes=changes)
        file = folder / litertlm.FILE
        texts, version = written(task, folder, [arguments.engine_python, HERE / "engine.py", file])
        origin["versions"] |= version
        results[quantization] = {
            "texts_equal": {
                f"{one} and {other}": sum(row[one] == row[other] for row in texts)
                for one, other in ((ENGINE, OWN), (ENGINE, KERAS), (OWN, KERAS))
            },
            "megabytes": {
                ENGINE: round(report["litertlm"]["bytes"] / 1e6, 3),
                OWN: round(report["sizes"]["file"] / 1e6, 3),
            },
            **speeds(folder, file, arguments),
        }
    return {
        "what": "greedy text of the Shakespeare preset, batch 1, one thread: the file for "
        "LiteRT-LM on its engine, beside the bundle's own file",
        "provenance": origin,
        "rounds": arguments.rounds,
        "texts": PROMPTS,
        "new_tokens": NEW,
        "timed_new_tokens": LONG,
        **results,
    }


def written(task, folder, command):
    """What each side writes behind each prompt, and the engine's version."""
    from kzoo.bundle.continuation import CACHE, prompts_of

    engine = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
        text=True,
    )
    version, write, texts = json.loads(engine.stdout.readline()), writer(folder), []
    cache = task.spec.max_sequence_length
    for prompt, ids in prompts_of(task, {CACHE: cache}, PROMPTS):
        count = min(NEW, cache - len(ids))
        engine.stdin.write(json.dumps({"prompt": prompt, "count": count}) + "\n")
        engine.stdin.flush()
        texts.append(
            {
                ENGINE: json.loads(engine.stdout.readline())["text"],
                OWN: write(prompt, count),
                KERAS: task.generate(prompt, max_new_tokens=count),
            }
        )
    engine.stdin.close()
    engine.wait()
    return texts, version


def speeds(folder, file, arguments):
    """Tokens a second of engine and own file, which take turns."""
    commands = {
        ENGINE: [arguments.engine_python, HERE / "engine.py", file, TIMED, LONG],
        OWN: [sys.executable, __file__, "--engine-python", "", "--worker", folder],
    }
    turns, _ = take(commands, arguments.rounds)
    if len({turn["text"] for rows in turns.values() for turn in rows}) > 1:
        raise SystemExit("error: engine and own file write different texts.")
    return {
        "tokens_per_second": {arm: round(LONG / middle(turns, arm, "seconds"), 1) for arm in turns},
        "engine_over_own_file": {
            "clock": ratio(turns, ENGINE, OWN, "seconds"),
            "processor": ratio(turns, ENGINE, OWN, "processor"),
        },
    }


def writer(folder):
    """A function that writes with a bundle's own file: the text of so many tokens."""
    from kzoo.bundle.predict import open_bundle
    from kzoo.generation.writer import prompt_ids

    own = open_bundle(folder)

    def write(prompt, count):
        ids = prompt_ids(own.processor, [prompt])
        ((answer,),) = own.writer.generate(ids, max_new_tokens=count)
        return answer.text

    return write


def answer(write, prompt, count):
    text, seconds, processor = timed(lambda: write(prompt, count))
    return {"text": text, "seconds": seconds, "processor": processor}


if __name__ == "__main__":
    main()
