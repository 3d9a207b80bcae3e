"""What each step of compression costs and gains, row by row, on LiteRT's files.

    python benchmarks/sst2/run.py teacher --data DATA/glue_sst2 --model MINILM --output TEACHER
    python benchmarks/compression/measure.py ROW --data DATA --model MINILM --output FOLDER \\
        [--teacher TEACHER]

DATA is a folder with the public sets (`glue_sst2/train.tsv.gz`, `glue_sst2/dev.tsv` and so on),
MINILM the Hugging Face folder of all-MiniLM-L6-v2. A row is a recipe in `recipes/` beside this
script, for `kzoo compress` (its "steps") or `kzoo train` ("train"), without its paths. A row of
another ("of") begins where that one ended, which is made first where it isn't there, or with a
preset of kzoo's; that of "model", and those of `kzoo train`, begin with MINILM, the others with
TEACHER.

What comes out is exported and measured on the test file, which nothing was trained on and nothing
chosen by, and against the file of where its recipe began ("against" says of which quantization;
int8), in turns on one thread. ROW.json is written beside this script. `--ship PRESET` writes what
came out of a row of SST-2 as the preset that kzoo ships.
"""

import argparse
import json
import sys
from pathlib import Path

import kzoo
from kzoo import plot, presets
from kzoo.bundle import export_bundle
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.limits import defaults
from kzoo.bundle.manifest import MANIFEST, MODEL
from kzoo.bundle.parity import measure_of
from kzoo.evaluation import evaluate
from kzoo.network import parameters_of
from kzoo.training import compress

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402
from sets import digits, sentences  # noqa: E402

SOURCES = [
    "benchmarks/compression/measure.py", "benchmarks/compression/sets.py",
    "kzoo/compression", "kzoo/litert", "kzoo/nn", "kzoo/tasks", "kzoo/training",
]  # fmt: skip
# By the beginning of a row's name: what is learnt from, what measures and how, the columns there.
FILES = {
    "sst2": ("glue_sst2/train.tsv.gz", "glue_sst2/dev.tsv", "accuracy", {}),
    "banking77": ("banking77/train.csv.gz", "banking77/test.csv.gz", "accuracy", {}),
    "wnut17": ("wnut17_ner/train.conll.gz", "wnut17_ner/test.conll.gz", "f1", {}),
    "stsb": (
        sentences, "stsb_multi/stsb-en-test.csv.gz", "spearman", {"text": [0, 1], "label": 2},
    ),
    "mnist": (digits, "test", "accuracy", {}),
}  # fmt: skip
ROWS = sorted(path.stem for path in (HERE / "recipes").glob("*.json"))
LENGTHS = [32, 64, 128]


def bundle(model, folder, quantization="int8"):
    """A bundle of a model, made unless it is there; no limit keeps it from being written."""
    if not (folder / MANIFEST).is_file():
        limits = dict.fromkeys(defaults(quantization, measure_of(model)))
        export_bundle(model, folder, quantization, limits=limits)
    return folder


def recipe_of(row):
    """What a row does, as it is written down."""
    return json.loads((HERE / "recipes" / f"{row}.json").read_text(encoding="utf-8"))


def files_of(row, args):
    """What a row learns from, and what it is measured on."""
    train, test, *_ = FILES[row.split("_")[0]]
    if isinstance(train, str):
        return args.data / train, args.data / test
    found = train(args.data, args.output)
    return (found / "train", found / test) if found.is_dir() else (found, args.data / test)


def begun(name, args):
    """What a recipe begins with: MINILM, a preset of kzoo's, or another row."""
    if name not in ("model", *presets.names()):
        return made(name, args)
    folder = args.output / name
    if not folder.is_dir():
        kzoo.load(args.model if name == "model" else name).save_preset(folder)
    return folder, folder


def made(row, args):
    """The preset of a row, and the one that it is measured against: itself if nothing was before.

    Both are made where they aren't there.
    """
    recipe, output = recipe_of(row), args.output / row
    settings = {"train": str(files_of(row, args)[0]), "output": str(output)}
    if "train" in recipe:
        if not (output / "spec.json").is_file():
            kzoo.train({"model": str(args.model), **settings, **recipe["train"]}, verbose=2)
        return output, output
    start, first = begun(recipe["of"], args) if "of" in recipe else (args.teacher, args.teacher)
    for step in recipe["steps"]:
        if "answers" in step.get("teacher", {}):
            # Those of one teacher lie together, whichever row asked for them.
            step["teacher"] |= {"model": str(first)}
            step["teacher"]["answers"] = str(args.output / step["teacher"]["answers"])
    if not (output / "spec.json").is_file():
        steps = {**settings, "model": str(start), "steps": recipe["steps"]}
        compress(steps, verbose=2, say=lambda line: print(line, flush=True))
    return output, first


def cost_of(folder):
    """The seed of a preset's recipe, and how long that took behind what it began with.

    A teacher's answers are in it unless they were there.
    """
    path = folder / "compression.json"
    if not path.is_file():
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        return {"seed": record["settings"]["seed"], "seconds": round(record["seconds"])}
    record = json.loads(path.read_text(encoding="utf-8"))
    seconds = sum(step["seconds"] for step in record["steps"])
    return {"seed": record["recipe"]["seed"], "seconds": round(seconds)}


def scored(folder, file, args, row):
    """What a preset and its file get right, and how large the file is."""
    _, _, measure, columns = FILES[row.split("_")[0]]
    test = files_of(row, args)[1]
    return {
        "keras": evaluate(kzoo.load(folder), test, **columns)["scores"][measure],
        "file": evaluate(file, test, **columns)["scores"][measure],
        "megabytes": round((file / MODEL).stat().st_size / 1e6, 3),
        "partitions": json.loads((file / "report.json").read_text())["audit"]["partitions"],
    }


def measured(row, args):
    """The record of a row."""
    recipe = recipe_of(row)
    own, first = made(row, args)
    quantization, against = recipe.get("quantization", "int8"), recipe.get("against", "int8")
    files = {
        folder: bundle(kzoo.load(folder), folder.with_name(f"{folder.name}-{kind}"), kind)
        for folder, kind in ((first, against), (own, quantization))
    }
    scores = {
        name: scored(f, files[f], args, row) for name, f in (("row", own), ("teacher", first))
    }
    lengths = LENGTHS if kzoo.load(own).reads == "text" else None
    speeds = bench_bundle(files[own], files[first], lengths)["lengths"]
    _, test, measure, _ = FILES[row.split("_")[0]]
    return {
        "measure": measure,
        "test": test,
        "quantization": quantization,
        "against": against,
        **scores,
        "drop": scores["teacher"]["file"] - scores["row"]["file"],
        "speed": {str(entry["tokens"]): round(entry["speed"], 3) for entry in speeds},
        "recipe": recipe,
        "parameters": {
            name: parameters_of(kzoo.load(folder))
            for name, folder in (("row", own), ("teacher", first))
        },
        **cost_of(own),
    }


def picture():
    """The rows of SST-2 by size and by time, beside published models."""
    rows = {path.stem: json.loads(path.read_text()) for path in sorted(HERE.glob("sst2_*.json"))}
    rows = {name: row for name, row in rows.items() if row["against"] == "int8"}
    report = {
        "measure": "accuracy",
        "model": {"ms_ratio": 1, **_point(next(iter(rows.values()))["teacher"])},
        "points": [
            {"name": name[5:], "ms_ratio": 1 / row["speed"]["64"], **_point(row["row"])}
            for name, row in rows.items()
        ],
        "references": json.loads((HERE / "references_settings.json").read_text()),
        "budget": {"max_mb": None, "max_ms_ratio": None},
    }
    plot.write(plot.pareto(report), HERE / "sst2.png")


def _point(measured):
    return {"megabytes": measured["megabytes"], "score": measured["file"]}


CARD = {
    "summary": "Sentiment of English sentences: a MiniLM of 4 bits, taught by a whole one.",
    "paper": "Wang et al. 2020, arXiv:2002.10957; Socher et al. 2013 (SST-2); Hinton et al. 2015, "
    "arXiv:1503.02531",
    "source": "sentence-transformers/all-MiniLM-L6-v2, fine-tuned on GLUE's SST-2",
    "license": "apache-2.0",
}


def ship(result, args):
    """Write the preset of a row with a card that says how it was made and what it gets right."""
    row, recipes = args.row, {}
    while row in ROWS:
        recipes[row] = recipe_of(row)
        row = recipes[row].get("of")
    measured = {
        "data": "SST-2 dev, 872 sentences, on which nothing was trained",
        "accuracy": round(result["row"]["keras"], 4),
        "file_accuracy": round(result["row"]["file"], 4),
        "teacher_accuracy": round(result["teacher"]["keras"], 4),
    }
    command = f"python benchmarks/compression/measure.py {args.row}"
    card = {**CARD, "made": command, "settings": recipes, "measured": measured}
    rounded = recipes[args.row]["steps"][-1]["what"]
    model = kzoo.load(args.output / args.row)
    model.reads = "either"  # A second text reads on: SST-2 has none, and apps show how.
    presets.save_preset(model, args.ship, card, rounded)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ship", type=Path)
    args = parser.parse_args()
    if args.ship and (
        not args.row.startswith("sst2") or "what" not in recipe_of(args.row)["steps"][-1]
    ):
        parser.error("--ship takes a row of SST-2 that ends in the step round")
    args.output.mkdir(parents=True, exist_ok=True)
    result = measured(args.row, args)
    facts = provenance(SOURCES, ["kzoo", "keras", "tensorflow", "ai-edge-litert"])
    text = json.dumps({"provenance": facts, **result}, indent=1) + "\n"
    (HERE / f"{args.row}.json").write_text(text, encoding="utf-8")
    print(json.dumps(result, indent=1))
    if args.row.startswith("sst2"):
        picture()
    if args.ship is not None:
        ship(result, args)


if __name__ == "__main__":
    main()
