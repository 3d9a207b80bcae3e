"""ELECTRA's claim: in one time, telling replaced tokens teaches more than filling masks does.

    python benchmarks/objectives/replaced.py --text FOLDER --questions QC [--seconds 600]

FOLDER holds wikitext2.valid.txt.gz and wikitext2.test.txt.gz, a paragraph a line, which are learnt
from; QC is qc.zip, TREC's questions as nltk has them. One encoder of one size learns for so many
seconds of the processor in each of two ways, by `MaskedLM` and by `ReplacedTokenDetection`, whose
generator is a quarter as wide (arXiv:2003.10555, section 3), with the paper's rate for each small
model, 5e-4; and then, as one that learnt nothing, TREC's six classes on all 5,452 questions, all
of them with the same settings. The 500 test questions are asked once, at the end. One thread;
replaced.json is written beside this script. The paper's small models read 33 GB for days: this
says what an afternoon's reader can see of the claim, and no more.
"""

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import tensorflow as tf

import kzoo
from kzoo.models import build

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import run  # noqa: E402
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/objectives/replaced.py", "kzoo/data/masked.py", "kzoo/tasks/masked_lm.py",
    "kzoo/tasks/replaced_tokens.py",
]  # fmt: skip
SIZES = {**run.SIZES, "hidden_dim": 128, "intermediate_dim": 512, "schedule": (0, 1, 2, 3)}
GENERATOR = 0.25  # of the width
WAYS = {
    "nothing": None,
    "masked tokens": lambda t: kzoo.MaskedLM(encoder(), tokenizer=t),
    "replaced tokens": lambda t: kzoo.ReplacedTokenDetection(
        encoder(), tokenizer=t, generator=GENERATOR
    ),
}
RATE, BATCH = 5e-4, 32
PROBE = {"rate": 5e-4, "batch_size": 32, "epochs": 3}


def encoder():
    """A small ELECTRA."""
    return build(kzoo.Spec("electra", run.words(), **SIZES))


def questions(path, name):
    """Texts and their classes of a file of TREC's questions."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(f"qc/{name}.txt").decode("latin-1").splitlines()
    rows = [line.split(" ", 1) for line in lines if line.strip()]
    return [text for _, text in rows], [kind.partition(":")[0] for kind, _ in rows]


def learnt(way, tokenizer, corpus, seconds, seed):
    """A backbone that learned, and how many batches it took."""
    keras.utils.set_random_seed(seed)
    if way is None:
        backbone = encoder()
        backbone.processors = {"tokenizer": tokenizer}
        return backbone, 0
    task, limit = way(tokenizer), run.Limit(seconds)
    task.compile(kzoo.AdamW(RATE, decay="constant", warmup=100))
    task.fit(corpus, batch_size=BATCH, epochs=1000, verbose=0, seed=seed, callbacks=[limit])
    return task, limit.batches


def probed(source, train, test, seed):
    """The accuracy on the test questions after all others were learnt."""
    keras.utils.set_random_seed(seed)
    task = kzoo.TextClassifier(source, labels=sorted({*train[1]}))
    steps = PROBE["epochs"] * -(-len(train[0]) // PROBE["batch_size"])
    task.compile(kzoo.AdamW(PROBE["rate"], warmup=0.1, total_steps=steps))
    options = {"batch_size": PROBE["batch_size"], "epochs": PROBE["epochs"]}
    task.fit(*train, verbose=0, seed=seed, **options)
    return task.evaluate(*test, verbose=0, return_dict=True)["accuracy"]


def main():
    """Read the command line, learn in each way, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    train, test = (questions(args.questions, name) for name in ("train", "test"))
    rows = {}
    with tempfile.TemporaryDirectory() as tmp:
        text = Path(tmp) / "text"
        text.mkdir()
        for name in ("valid", "test"):
            data = gzip.decompress((args.text / f"wikitext2.{name}.txt.gz").read_bytes())
            (text / f"{name}.txt").write_bytes(data)
        corpus = kzoo.Corpus(text, "line", cache=Path(tmp) / "ids")
        tokenizer = run.wordpiece(corpus.texts())
        for name, way in WAYS.items():
            found = []
            for seed in range(args.seeds):
                source, batches = learnt(way, tokenizer, corpus, args.seconds, seed)
                found.append({"batches": batches, "accuracy": probed(source, train, test, seed)})
                print(name, found[-1], flush=True)
            mean = statistics.mean(each["accuracy"] for each in found)
            rows[name] = {"accuracy": round(mean, 4), "runs": found}
    result = {
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "tokenizers"]),
        "processor_seconds": args.seconds,
        "settings": {**SIZES, "rate": RATE, "batch_size": BATCH, "probe": PROBE},
        "rows": rows,
    }
    (HERE / "replaced.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
