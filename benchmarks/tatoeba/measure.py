"""English to Italian from some hundred pairs: what a Transformer learns of so little.

    pip install ".[scores]"
    python benchmarks/tatoeba/measure.py --data tatoeba_v1.tar.gz

The data is `data/tatoeba/v1` of github.com/facebookresearch/LASER as one archive: at most 1,000
pairs with English for each language. That is far too little to translate, and what comes out is
stated as it is, beside two things that learn nothing: copying the source, and answering with the
target of the trained source that shares most words.

The settings were chosen without looking at the test; the held-out part gives the curve. The test
is looked at once, at the end. It writes `result.json` and `curve.png` beside this script.
"""

import argparse
import random
import re
import sys
import tarfile
from pathlib import Path

import kzoo
from kzoo.tasks.text_scores import text_scores

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import pairs  # noqa: E402

LANGUAGE = "ita"
SIZES = {"test": 150, "held_out": 50}  # Pairs; the others train.
SETTINGS = {
    "layers": 2,
    "width": 128,
    "heads": 4,
    "intermediate": 384,
    "places": 96,
    "tokens": 1_000,
    "initializer_range": 128**-0.5,
    "dropout": 0.2,
    "batch_size": 64,
    "epochs": 60,
    "measured_every": 5,
    "learning_rate": 1.5e-3,
    "warmup": 0.1,
    "decay": "inverse_sqrt",
    "weight_decay": 0.01,
    "beta_2": 0.98,
    "label_smoothing": 0.1,
    "num_beams": 4,
    "seed": 0,
}
SCORES = ("bleu", "chrf")


def parts_of(archive, settings):
    """The pairs of each part, English first."""
    with tarfile.open(archive) as files:
        sides = [
            files.extractfile(f"tatoeba.{LANGUAGE}-eng.{side}").read().decode("utf-8").splitlines()
            for side in ("eng", LANGUAGE)
        ]
    rows = list(zip(*sides, strict=True))
    random.Random(settings["seed"]).shuffle(rows)
    parts, start = {}, 0
    for part, size in SIZES.items():
        parts[part] = rows[start : start + size]
        start += size
    kept = {source for part in parts.values() for source, _ in part}
    parts["train"] = [pair for pair in rows[start:] if pair[0] not in kept]
    return parts


def nearest(train, sources):
    """Of each source the target of the trained one that shares most words with it."""
    known = [(_words(source), target) for source, target in train]
    return [_best(known, _words(source)) for source in sources]


def _words(text):
    return set(re.findall(r"\w+", text.lower()))


def _best(known, words):
    return max(known, key=lambda pair: len(pair[0] & words) / len(pair[0] | words))[1]


def main():
    """Learn, score the test, and write both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the archive")
    args = parser.parse_args()
    parts, watch = parts_of(args.data, SETTINGS), pairs.Watch()
    merged = [text for pair in parts["train"] for text in pair]
    tokenizer = pairs.byte_tokenizer(merged, SETTINGS["tokens"])
    network = pairs.network("transformer_base_en_de", SETTINGS, tokenizer)
    task = kzoo.Seq2SeqLM(
        network, tokenizer=tokenizer, generation={"num_beams": SETTINGS["num_beams"]}
    )
    steps = -(-len(parts["train"]) // SETTINGS["batch_size"]) * SETTINGS["epochs"]
    pairs.compile_task(task, SETTINGS, steps)
    course, every = pairs.Course(), SETTINGS["measured_every"]
    scores = kzoo.WrittenScores(parts["held_out"], scores=["chrf"], every=every, num_beams=1)
    task.fit(
        parts["train"],
        batch_size=SETTINGS["batch_size"],
        epochs=SETTINGS["epochs"],
        seed=SETTINGS["seed"],
        validation_data=tuple(map(list, zip(*parts["held_out"], strict=True))),
        callbacks=[scores, course],
        verbose=0,
    )
    spent = watch.read()
    sources, targets = map(list, zip(*parts["test"], strict=True))
    written = task.generate(sources, batch_size=75)
    result = {
        "what": "English to Italian of some hundred pairs: BLEU and chrF (sacrebleu) on pairs that "
        "were not trained on, beside what learns nothing",
        "settings": SETTINGS,
        "pairs": {part: len(some) for part, some in parts.items()},
        "parameters": task.count_params(),
        "transformer": text_scores(written, targets, SCORES),
        "copying": text_scores(sources, targets, SCORES),
        "nearest trained source": text_scores(nearest(parts["train"], sources), targets, SCORES),
        **spent,
        "examples": pairs.examples(parts["test"], written)[:12],
        "course": course.rows,
    }
    pairs.write(HERE / "result.json", result, ["benchmarks/tatoeba/measure.py"], ["sacrebleu"])
    curve = {"": [(row["epoch"], row["val_chrf"]) for row in course.rows if "val_chrf" in row]}
    pairs.draw(curve, HERE / "curve.png", "chrF of held-out pairs", 1)


if __name__ == "__main__":
    main()
