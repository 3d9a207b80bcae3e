"""Do TFLite 2.14 and 2.16 load the files that kzoo makes for them, and what do those cost?

    python benchmarks/old_runtimes/measure.py [--work build/old_runtimes] [--output result.json]

Makes an environment with each runtime (`tflite-runtime` 2.14.0, and TensorFlow 2.16.2's
interpreter) in WORK, once. The sentiment recipe is exported as it is and with `compat`; every file
runs on both runtimes over the labelled texts. So do small models with random weights of every
family and task whose operators differ, and both functions of those that write. `one scale a tensor`
is what the converter itself has for older runtimes, for comparison: kzoo doesn't use it.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import kzoo
from kzoo import presets
from kzoo.answers import probabilities
from kzoo.bundle import manifest as bundle
from kzoo.bundle import parity
from kzoo.bundle.senses import TEXTS
from kzoo.data.sources import read_examples
from kzoo.litert import convert, quantize
from kzoo.litert.function import Function
from kzoo.litert.interpreter import Interpreter, opened
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.values import NOWHERE

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
RECIPE = HERE.parent.parent / "export" / "sentiment.json"
RUNTIMES = {
    "tflite-2.14": ["tflite-runtime==2.14.0", "numpy<2"],
    "tflite-2.16": ["tensorflow-cpu==2.16.2", "numpy<2"],
}
SOURCES = ["kzoo/litert/compat.py", "kzoo/litert/convert.py", "kzoo/litert/quantize.py", "kzoo/nn"]
SMALL = {
    "hidden_dim": 64, "num_heads": 4, "intermediate_dim": 128,
    "max_sequence_length": 64,
}  # fmt: skip
FAMILIES = {
    "bert": {"embedding": {"num_segments": 2}, "schedule": (0, 1)},
    "roberta": {
        "embedding": {"num_segments": 1, "padding_id": 1},
        "schedule": (0, 1),
        "position": "counted",
    },
    "distilbert": {"embedding": {}, "schedule": (0, 1), "pooler": "none"},
    "albert": {"embedding": {"num_segments": 2, "dim": 32}, "schedule": (0, 0)},
}
# Families that write, by a preset whose slots a small model takes.
WRITERS = {
    "gpt": "gpt_base_en_uncased", "gpt2": "gpt2_small_en", "gpt_neo": "gpt_neo_125m_en",
    "gpt3": "gpt3_125m_en", "bloom": "bloom_560m_multi", "palm": "palm_8b_multi",
    "lamda": "lamda_2b_en",
}  # fmt: skip
CACHE, READ = 32, 5  # slots of a small writer, and how many of them hold something
TASKS = {
    "TextClassifier": {"labels": ["no", "yes"]},
    "TokenClassifier": {"labels": ["O", "B-PER", "I-PER"]},
    "QuestionAnswering": {},
    "MaskedLM": {},
    "TextEmbedder": {},
}


def spec_of(family):
    """The small spec of a family."""
    import kzoo

    fields = FAMILIES[family]
    embedding = {"kind": "token", "vocabulary_size": 500, **fields["embedding"]}
    return kzoo.Spec(family, **{**SMALL, **fields, "embedding": embedding})


def environment(work, name):
    """The Python of an environment with a runtime, made when it is not there."""
    python = work / name / "bin" / "python"
    if not python.is_file():
        venv.create(work / name, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *RUNTIMES[name]], check=True)
    return python


def run_on(python, jobs):
    """The runtime's name, and what it makes of the jobs; see runner.py."""
    run = subprocess.run(
        [python, HERE / "runner.py"], input=json.dumps(jobs), capture_output=True, text=True
    )
    if run.returncode:
        sys.exit(f"{python} failed: {run.stderr[-800:]}")
    found = json.loads(run.stdout.splitlines()[-1])
    return found["runtime"], found["found"]


def as_row(columns):
    return {name: np.asarray(columns[name])[0].tolist() for name in columns if name != "offsets"}


def distance(found, expected):
    """The largest distance of an output, as a share of the largest number in it."""
    return max(
        float(np.abs(np.asarray(one[name]) - other[name]).max() / np.abs(other[name]).max())
        for one, other in zip(found, expected, strict=True)
        for name in other
    )


def labelled(folder):
    """The token columns of the recipe's labelled texts, and their classes."""
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    examples = read_examples(RECIPE.parent / recipe["evaluation"])
    tokenizer = kzoo.Tokenizer.load(folder)
    rows = [as_row(tokenizer.encode([text], padding="longest")) for text in examples.x]
    names = json.loads((folder / bundle.MANIFEST).read_text(encoding="utf-8"))["labels"]
    return rows, [names.index(label) if label in names else int(label) for label in examples.y]


def classes(outputs):
    return [int(probabilities(row["logits"])[0].argmax()) for row in outputs]


def sentiment(work):
    """{what: folder} of the recipe's bundle as int8, and for each older runtime."""
    folders = {}
    for compat in (None, *RUNTIMES):
        name = compat or "usual"
        folders[name] = work / "bundles" / name
        kzoo.export_recipe(RECIPE, folders[name], changes={"compat": compat})
    return folders


def one_scale(path):
    """Write the converter's own form for older runtimes; the model that it is of."""
    model = presets.load(json.loads(RECIPE.read_text(encoding="utf-8"))["preset"])
    usual = quantize.convert

    def with_one_scale(converter, *arguments):
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        converter._experimental_disable_per_channel = True
        return usual(converter, *arguments)

    quantize.convert = with_one_scale
    try:
        with convert.traced(convert.exportable(model)) as graphs:
            convert.write_file(graphs, path, "int8", partitions=None)
    finally:
        quantize.convert = usual
    return model


def noisy(model):
    """The model with noise on every weight."""
    for i, weight in enumerate(weights_by_path(model).values()):
        noise = np.random.default_rng(i).standard_normal(weight.shape)
        weight.assign(np.asarray(weight) + 0.05 * noise.astype("float32"))
    return model


def small_writers(work):
    """The same of the functions of small models that write."""
    jobs, expected = {}, {}
    for family, preset in WRITERS.items():
        spec = presets.read_spec(preset)
        embedding = {**spec.embedding, "vocabulary_size": 500}
        spec = spec.replace(
            **SMALL, schedule=(0, 1), head_dim=16, embedding=embedding, dropout=0.0,
            attention_dropout=0.0,
        )  # fmt: skip
        model = noisy(kzoo.CausalLM(build(spec)))
        for quantization in ("int8", "float16"):
            path = work / "small" / f"{family}_{quantization}.tflite"
            with convert.traced(
                convert.exportable(model), convert.sizes_of(model, cache=CACHE)
            ) as g:
                convert.write_file(g, path, quantization, "tflite-2.14")
            for name, length in (("prefill", 6), ("decode", 1)):
                inputs = step_inputs(Function(opened(path), name), length)
                job = f"{family} {name} {quantization}"
                jobs[job] = {"model": str(path), "function": name, "rows": [as_row(inputs)]}
                expected[job] = [on_litert(path, name, length, inputs)]
    return jobs, expected


def step_inputs(function, length):
    """Inputs of a step behind `READ` tokens, drawn at random."""
    draw, inputs = np.random.default_rng(0), {}
    for name, shape in function.inputs.items():
        shape = [length if size == -1 else size for size in shape]
        if name == "token_ids":
            inputs[name] = draw.integers(1, 500, shape)
        elif name == "places":
            inputs[name] = READ + np.arange(length)[None]
        elif name == "past_places":
            inputs[name] = np.where(np.arange(CACHE) < READ, np.arange(CACHE), NOWHERE)[None]
        else:
            inputs[name] = draw.standard_normal(shape).astype("float32")
    return inputs


def on_litert(path, name, length, inputs):
    """What LiteRT here makes of a step."""
    function = Function(opened(path), name)
    function.fit(length)
    for each, value in inputs.items():
        function.input(each)[:] = value
    return {each: np.array(value) for each, value in function.run().items()}


def small_models(work):
    """Jobs of small models of all families and tasks, and what LiteRT here answers."""
    folder = work / "small"
    folder.mkdir(parents=True, exist_ok=True)
    jobs, expected = {}, {}
    wanted = [
        (family, "TextClassifier", kind) for family in FAMILIES for kind in ("int8", "float16")
    ]
    wanted += [("roberta", task, "int8") for task in TASKS if task != "TextClassifier"]
    for family, task, quantization in wanted:
        model = noisy(getattr(kzoo, task)(build(spec_of(family)), **TASKS[task]))
        name = f"{family} {task} {quantization}"
        path = folder / f"{name.replace(' ', '_')}.tflite"
        kzoo.export_litert(model, path, quantization, limits={}, compat="tflite-2.14")
        rows = [columns for _, columns in TEXTS.samples(model)][:8]
        interpreter = Interpreter(path)
        jobs[name] = {"model": str(path), "rows": [as_row(columns) for columns in rows]}
        expected[name] = [interpreter.run(columns) for columns in rows]
    return jobs, expected


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/old_runtimes"))
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    pythons = {name: environment(work, name) for name in RUNTIMES}
    folders = sentiment(work)
    rows, targets = labelled(folders["usual"])
    result = {
        "provenance": provenance(SOURCES, ["kzoo", "tensorflow", "ai-edge-litert"]),
        "labelled_texts": len(rows),
        "files": {},
        "on": {name: {} for name in RUNTIMES},
    }
    here = {}
    for name, folder in folders.items():
        report = json.loads((folder / bundle.REPORT).read_text(encoding="utf-8"))
        latency = report["latency"]
        result["files"][name] = {
            "bytes": report["sizes"]["file"],
            "minimum_runtime": report["audit"]["minimum_runtime"]["tflite"],
            "cosine": report["parity"]["cosine"],
            "accuracy": report["evaluation"]["accuracy"],
            "label_agreement": report["evaluation"]["label_agreement"],
        }
        if "usual" in latency:
            ratios = [f / u for f, u in zip(latency["file"], latency["usual"], strict=True)]
            result["files"][name]["time_against_usual"] = dict(
                zip(map(str, latency["lengths"]), np.round(ratios, 3).tolist(), strict=True)
            )
        interpreter = Interpreter(folder / bundle.MODEL)
        here[name] = [interpreter.run({key: [ids] for key, ids in row.items()}) for row in rows]
    model = one_scale(work / "one_scale.tflite")
    plain = parity.compare(model, Interpreter(work / "one_scale.tflite"), TEXTS.samples(model))
    result["files"]["one scale a tensor"] = {
        "bytes": (work / "one_scale.tflite").stat().st_size,
        **{name: plain[name] for name in ("cosine", "label_agreement")},
    }
    small, expected = small_models(work)
    for one, more in zip((small, expected), small_writers(work), strict=True):
        one.update(more)
    for name, python in pythons.items():
        jobs = [{"model": str(folders[f] / bundle.MODEL), "rows": rows} for f in folders]
        runtime, found = run_on(python, jobs)
        entry = result["on"][name] = {"runtime": runtime, "sentiment": {}, "small_models": {}}
        for file, answer in zip(folders, found, strict=True):
            if "refused" in answer:
                entry["sentiment"][file] = answer
                continue
            labels = classes(answer["outputs"])
            entry["sentiment"][file] = {
                "accuracy": float(np.mean(np.array(labels) == targets)),
                "labels_as_here": float(np.mean(np.array(labels) == classes(here[file]))),
                "largest_difference": round(distance(answer["outputs"], here[file]), 5),
            }
        _, found = run_on(python, list(small.values()))
        for model_name, answer in zip(small, found, strict=True):
            refused = answer.get("refused")
            entry["small_models"][model_name] = (
                {"refused": refused}
                if refused
                else {
                    "largest_difference": round(
                        distance(answer["outputs"], expected[model_name]), 5
                    )
                }
            )
        print(name, runtime, json.dumps(entry["sentiment"], indent=1), flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    refused = [
        (name, file)
        for name, entry in result["on"].items()
        for file, answer in {**entry["sentiment"], **entry["small_models"]}.items()
        if "refused" in answer and file != "usual"
    ]
    for name, file in refused:
        print(f"{name} refuses {file}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
