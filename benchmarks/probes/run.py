"""all-MiniLM-L6 fine-tuned on four public sets by recipes of `kzoo train`, one command for all.

    python benchmarks/probes/run.py --data FOLDER --model MINILM --work WORK [--only trec ...]

FOLDER holds `glue_mrpc`, `glue_cola`, `nltk_qc` and `banking77` as `SETS` names their files; MINILM
is the Hugging Face folder of all-MiniLM-L6-v2. A tenth of what is learnt from is held out, by which
the epoch is chosen; nothing else is. The test file is looked at once, by `kzoo evaluate`, when a
set has no row yet in `result.json`; so a run that was stopped goes on, in a training too. With
`--examples` so many are learnt from for one epoch, and the result lies in WORK: a trial of this.

CoLA's own test labels aren't public: GLUE's dev sentences, in and out of domain, are the test here.
Beside them stand the figures of BERT-Tiny (2 blocks, 128 wide) and BERT-Mini (4 blocks, 256 wide)
on GLUE's test server, from the README of google-research/bert (11 March 2020).
"""

import argparse
import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
SOURCES = [
    "benchmarks/probes/run.py",
    "kzoo/nn", "kzoo/tasks/text_classifier.py", "kzoo/training",
    "kzoo/evaluation.py", "kzoo/data/public.py",
]  # fmt: skip
PACKAGES = ("keras", "tensorflow", "numpy")
USUAL = {
    "task": "TextClassifier",
    "validation": 0.1,
    "keep": "best",
    "head": "mean",
    "learning_rate": 2e-4,
    "layer_decay": 0.85,
    "epochs": 3,
    "max_length": 128,
    "precision": "mixed_bfloat16",
    "seed": 0,
}
# What of a recipe is a set's own, and how its test file is measured.
SETS = {
    "mrpc": {
        "recipe": {
            "train": "glue_mrpc/msr_paraphrase_train.txt.gz",
            "text": ["#1 String", "#2 String"],
            "label": "Quality",
        },
        "test": "glue_mrpc/msr_paraphrase_test.txt.gz",
        "options": ["--task", "mrpc"],
    },
    "cola": {
        "recipe": {"train": "glue_cola/in_domain_train.tsv.gz", "text": 3, "label": 1},
        "test": "cola.tsv",
        "options": ["--task", "cola"],
    },
    "trec": {
        "recipe": {"train": "trec_train.tsv", "text": "text", "label": "label"},
        "test": "trec_test.tsv",
        "options": ["--text", "text", "--label", "label"],
    },
    "banking77": {
        "recipe": {
            "train": "banking77/train.csv.gz",
            "text": "text",
            "label": "category",
            "epochs": 5,
        },
        "test": "banking77/test.csv.gz",
        "options": ["--text", "text", "--label", "category"],
    },
}
# On GLUE's test server, in shares; F1 and accuracy of MRPC, Matthews' correlation of CoLA.
PUBLISHED = {
    "source": "README.md of google-research/bert, Smaller BERT Models, 11 March 2020",
    "mrpc": {
        "bert_tiny": {"f1": 0.811, "accuracy": 0.711},
        "bert_mini": {"f1": 0.811, "accuracy": 0.718},
    },
    "cola": {"bert_tiny": {"matthews": 0.0}, "bert_mini": {"matthews": 0.0}},
}


def prepare(data, work):
    """Write the files that a reader of tables doesn't read as they are."""
    work.mkdir(parents=True, exist_ok=True)
    dev = [data / "glue_cola" / f"{which}_domain_dev.tsv.gz" for which in ("in", "out_of")]
    text = "".join(gzip.decompress(path.read_bytes()).decode("utf-8") for path in dev)
    (work / "cola.tsv").write_text(text, encoding="utf-8")
    with zipfile.ZipFile(data / "nltk_qc" / "qc.zip") as archive:
        for part in ("train", "test"):
            rows = ["text\tlabel"]
            for line in archive.read(f"qc/{part}.txt").decode("latin-1").splitlines():
                label, question = line.split(" ", 1)
                rows.append(f"{question}\t{label.split(':')[0]}")
            (work / f"trec_{part}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def place(name, data, work):
    """Where a file of a set lies: in the data, or where `prepare` wrote it."""
    return str(work / name if (work / name).is_file() else data / name)


def kzoo(*arguments):
    """What a command of kzoo prints as JSON."""
    command = [sys.executable, "-m", "kzoo", *arguments, "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout


def measured(name, data, model, work, examples):
    """Train on one set, and look at its test file."""
    kind = SETS[name]
    recipe = {**USUAL, **kind["recipe"], "model": str(model), "output": str(work / name)}
    recipe["train"] = place(recipe["train"], data, work)
    if examples:
        recipe |= {"examples": examples, "epochs": 1}
    (work / f"{name}.json").write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    if not (work / name / "training.json").is_file():
        kzoo("train", str(work / f"{name}.json"))
    record = json.loads((work / name / "training.json").read_text(encoding="utf-8"))
    test = place(kind["test"], data, work)
    found = json.loads(kzoo("evaluate", str(work / name), test, *kind["options"]))
    kept = {key: value for key, value in recipe.items() if key not in ("model", "train", "output")}
    return {
        "recipe": kept,
        "minutes": round(record["seconds"] / 60, 1),
        "history": {key: values for key, values in record["history"].items() if "val" in key},
        "examples": found["examples"],
        "test": found["scores"],
        "intervals": found["intervals"],
        "resampling": found["resampling"],
    }


def main():
    """Every set that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--examples", type=int)
    arguments = parser.parse_args()
    prepare(arguments.data, arguments.work)
    path = (arguments.work if arguments.examples else HERE) / "result.json"
    result = json.loads(path.read_text()) if path.is_file() else {"rows": {}}
    for name in arguments.only:
        if name in result["rows"]:
            continue
        row = measured(name, arguments.data, arguments.model, arguments.work, arguments.examples)
        print(name, row["test"], f"{row['minutes']} minutes", flush=True)
        result["rows"][name] = row
        result |= {"published": PUBLISHED, "provenance": provenance(SOURCES, PACKAGES)}
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
