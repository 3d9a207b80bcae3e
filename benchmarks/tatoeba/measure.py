"""English to Italian from some hundred pairs: what a Transformer learns of so little.

    pip install ".[scores]"
    python benchmarks/tatoeba/measure.py --data tatoeba_v1.tar.gz

The data is `data/tatoeba/v1` of github.com/facebookresearch/LASER as one archive: at most 1,000
pairs with English for each language. That is far too little to translate, and what comes out is
stated as it is, beside two things that learn nothing: copying the source, and answering with the
target of the trained source that shares most words.

Two networks alike learn: one of Italian's 800 pairs, one of these and the pairs of seven related
languages, where the source begins with the name of the target's language. Pairs whose English
stands in the held-out part or the test are trained in no language. The held-out part says how
the epochs go; the test is looked at once, at the end. It writes `result.json` and `curve.png`
beside this script.
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

LANGUAGE, RELATED = "ita", ("spa", "por", "fra", "cat", "glg", "ron", "lat")
SIZES = {"test": 150, "held_out": 50}  # pairs; the others train
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
    "learning_rate": 1.5e-3,
    "warmup": 0.1,
    "decay": "inverse_sqrt",
    "weight_decay": 0.01,
    "beta_2": 0.98,
    "label_smoothing": 0.1,
    "num_beams": 4,
    "seed": 0,
}
ARMS = {"Italian alone": ((), 60), "with related languages": (RELATED, 12)}  # and epochs
SCORES = ("bleu", "chrf")


def read(archive, language):
    """The pairs of a language, English first."""
    with tarfile.open(archive) as files:
        sides = [
            files.extractfile(f"tatoeba.{language}-eng.{side}").read().decode("utf-8").splitlines()
            for side in ("eng", language)
        ]
    return list(zip(*sides, strict=True))


def parts_of(archive, related, settings):
    """The pairs of each part, each source behind the name of its target's language."""
    rows = read(archive, LANGUAGE)
    random.Random(settings["seed"]).shuffle(rows)
    parts, start = {}, 0
    for part, size in SIZES.items():
        parts[part] = rows[start : start + size]
        start += size
    kept = {source for part in parts.values() for source, _ in part}
    parts = {part: [(f"{LANGUAGE} {a}", b) for a, b in some] for part, some in parts.items()}
    train = [(LANGUAGE, *pair) for pair in rows[start:]]
    train += [(code, *pair) for code in related for pair in read(archive, code)]
    parts["train"] = [(f"{code} {a}", b) for code, a, b in train if a not in kept]
    return parts


def nearest(train, sources):
    """Of each source the target of the trained one that shares most words with it."""
    known = [(_words(source), target) for source, target in train]
    return [_best(known, _words(source)) for source in sources]


def _words(text):
    return set(re.findall(r"\w+", text.lower()))


def _best(known, words):
    return max(known, key=lambda pair: len(pair[0] & words) / len(pair[0] | words))[1]


def learn(archive, related, epochs):
    """Train one network and score it on the test."""
    settings = {**SETTINGS, "epochs": epochs}
    parts, watch = parts_of(archive, related, settings), pairs.Watch()
    sides = [text for pair in parts["train"] for text in pair]
    tokenizer = pairs.byte_tokenizer(sides, settings["tokens"])
    network = pairs.network("transformer_base_en_de", settings, tokenizer)
    task = kzoo.Seq2SeqLM(
        network, tokenizer=tokenizer, generation={"num_beams": settings["num_beams"]}
    )
    steps = -(-len(parts["train"]) // settings["batch_size"]) * epochs
    pairs.compile_task(task, settings, steps)
    course, every = pairs.Course(), max(1, epochs // 12)
    scores = kzoo.WrittenScores(parts["held_out"], scores=["chrf"], every=every, num_beams=1)
    task.fit(
        parts["train"],
        batch_size=settings["batch_size"],
        epochs=epochs,
        seed=settings["seed"],
        validation_data=tuple(map(list, zip(*parts["held_out"], strict=True))),
        callbacks=[scores, course],
        verbose=0,
    )
    sources, targets = map(list, zip(*parts["test"], strict=True))
    written = task.generate(sources, batch_size=75)
    own = [pair for pair in parts["train"] if pair[0].startswith(LANGUAGE)]
    plain = [source.removeprefix(f"{LANGUAGE} ") for source in sources]
    baselines = {"copying": plain, "nearest trained source": nearest(own, sources)}
    return {
        "pairs": {part: len(some) for part, some in parts.items()},
        "epochs": epochs,
        "parameters": task.count_params(),
        **text_scores(written, targets, SCORES),
        "baselines": {name: text_scores(t, targets, SCORES) for name, t in baselines.items()},
        **watch.read(),
        "examples": pairs.examples(parts["test"], written)[:12],
        "course": course.rows,
    }


def main():
    """Learn both, and write what they score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the archive")
    args = parser.parse_args()
    arms = {name: learn(args.data, *arm) for name, arm in ARMS.items()}
    baselines = [arm.pop("baselines") for arm in arms.values()][0]
    curves = {
        name: [
            (arm["pairs"]["train"] * row["epoch"] / 1000, row["val_chrf"])
            for row in arm["course"]
            if "val_chrf" in row
        ]
        for name, arm in arms.items()
    }
    pairs.draw(curves, HERE / "curve.png", "chrF of 50 held-out pairs", 1, "thousand pairs seen")
    result = {
        "what": "English to Italian of some hundred pairs: BLEU and chrF (sacrebleu) on 150 pairs "
        "that were not trained on, beside what learns nothing",
        "settings": SETTINGS,
        "arms": arms,
        "baselines": baselines,
    }
    pairs.write(HERE / "result.json", result, ["benchmarks/tatoeba/measure.py"], ["sacrebleu"])


if __name__ == "__main__":
    main()
