"""A small T5 1.1 learns to say in a sentence what a paper is about, from 1,992 papers.

    pip install ".[scores]"
    python benchmarks/scitldr/measure.py --data FOLDER

FOLDER is `SciTLDR-Data/SciTLDR-A` of github.com/allenai/scitldr (arXiv:2004.15011), maybe with
.gz: abstracts, and for each at least one sentence that sums it up. The network starts from nothing:
it first fills spans that are left out of the training abstracts (arXiv:1910.10683), then learns
their summaries, behind T5's "summarize: ". Abstracts are cut to 128 tokens.

That is little, and what comes out is stated as it is: ROUGE on the test's 618 papers, against the
first summary of each, beside the abstract's first sentence, which learns nothing. The dev part
gives the curve; nothing is chosen by the test. It writes `result.json` and `curve.png`
beside this script.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import kzoo
from kzoo.tasks.text_scores import text_scores

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import pairs  # noqa: E402

PREFIX = "summarize: "
SENTINELS = [f"<extra_id_{number}>" for number in range(32)]
SETTINGS = {
    "layers": 2,
    "width": 128,
    "heads": 4,
    "intermediate": 384,
    "places": 128,
    "tokens": 2_000,
    "initializer_range": 0.04,
    "dropout": 0.1,
    "batch_size": 16,
    "span_epochs": 6,
    "epochs": 8,
    "learning_rate": 2e-3,
    "warmup": 0.1,
    "decay": "linear",
    "weight_decay": 0.01,
    "beta_2": 0.99,
    "label_smoothing": 0.0,
    "seed": 0,
    "generation": {"num_beams": 4, "no_repeat_ngram_size": 3, "max_new_tokens": 48},
}


def read(folder, part):
    """The sentences of each abstract, and its first summary."""
    path = folder / f"{part}.jsonl"
    path = path if path.is_file() else path.with_name(f"{path.name}.gz")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["source"], row["target"][0]) for row in rows]


def fit(task, settings, epochs, x, **options):
    """Train over some epochs with a schedule of their own."""
    steps = -(-len(x) // settings["batch_size"]) * epochs
    pairs.compile_task(task, settings, steps)
    course = pairs.Course()
    for epoch in range(epochs):  # One by one: spans are drawn anew by the seed of a `fit`.
        task.fit(
            x,
            batch_size=settings["batch_size"],
            initial_epoch=epoch,
            epochs=epoch + 1,
            seed=settings["seed"] + epoch,
            callbacks=[course],
            verbose=0,
            **options,
        )
    return course.rows


def main():
    """Fill spans, learn summaries, and score the test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    papers = {part: read(args.data, part) for part in ("train", "dev", "test")}
    parts = {
        part: [(PREFIX + " ".join(sentences), target) for sentences, target in some]
        for part, some in papers.items()
    }
    watch = pairs.Watch()
    texts = [" ".join(sentences) for sentences, _ in papers["train"]]
    merged = [*texts, *(target for _, target in papers["train"])]
    tokenizer = pairs.byte_tokenizer(merged, SETTINGS["tokens"], SENTINELS)
    task = kzoo.Seq2SeqLM(
        pairs.network("t5_1_1_small_en", SETTINGS, tokenizer),
        tokenizer=tokenizer,
        generation=SETTINGS["generation"],
        objective="spans",
    )
    filled = fit(task, SETTINGS, SETTINGS["span_epochs"], texts)
    held = tuple(map(list, zip(*parts["dev"][:200], strict=True)))
    course = fit(task, SETTINGS, SETTINGS["epochs"], parts["train"], validation_data=held)
    spent = watch.read()
    sources, targets = map(list, zip(*parts["test"], strict=True))
    rows = task.write(task.prompt_ids(sources, task.max_length), 50)  # Cut as in `fit`.
    written = [row[0].text for row in rows]
    lead = [sentences[0] for sentences, _ in papers["test"]]
    result = {
        "what": "a small T5 from nothing on SciTLDR's 1,992 abstracts: ROUGE F1 (rouge-score) on "
        "the test's 618 against the first summary of each, beside the abstract's first sentence",
        "settings": SETTINGS,
        "papers": {part: len(some) for part, some in papers.items()},
        "parameters": task.count_params(),
        "t5": text_scores(written, targets, ["rouge"]),
        "first sentence": text_scores(lead, targets, ["rouge"]),
        **spent,
        "examples": pairs.examples(parts["test"], written)[:8],
        "course of spans": filled,
        "course": course,
    }
    pairs.write(HERE / "result.json", result, ["benchmarks/scitldr/measure.py"], ["rouge-score"])
    pairs.draw(
        {
            "spans": [(row["epoch"], row["loss"]) for row in filled],
            "summaries": [(row["epoch"], row["loss"]) for row in course],
            "summaries of the dev part": [(row["epoch"], row["val_loss"]) for row in course],
        },
        HERE / "curve.png",
        "loss, nats a token",
        1,
    )


if __name__ == "__main__":
    main()
