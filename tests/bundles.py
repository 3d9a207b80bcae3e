"""Bundles that several modules of tests look at: they are made once, and nothing changes them."""

import json

from families import add_noise, one_block
from test_tasks import TASKS, tokenizer

import kzoo
from kzoo.bundle import export_bundle

LABELS = ["negative", "positive"]
TEXTS = ["the film is good", "", "a very dull film", "my dog lives in paris " * 20]


def noisy_task(name, family="bert", backbone=None, **options):
    """A task with noise on every weight, of a size that keeps its logits small; of one block."""
    options = {"backbone": backbone or one_block(family), **TASKS[name], **options}
    return add_noise(getattr(kzoo, name)(tokenizer=tokenizer(), **options), scale=0.1)


def of_a_recipe(folder):
    """The model of a preset; the bundle that a recipe with every key makes of it; its report."""
    model = noisy_task("TextClassifier", labels=LABELS, max_length=24)
    model.save_preset(folder / "tiny")
    answers = model.predict(TEXTS).argmax(-1)
    lines = [f"{text}\t{LABELS[answer]}" for text, answer in zip(TEXTS, answers, strict=True)]
    (folder / "texts.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")
    recipe = {
        "preset": "tiny",
        "quantization": "int8",
        "length": None,
        "limits": {
            "megabytes": 0.2,
            "accuracy": 0.5,
            "accuracy_drop": 0.5,
            "probability_difference": None,
        },
        "evaluation": "texts.tsv",
        "share_texts": True,
        "note": "Four texts <b>of a test</b>.",
    }
    (folder / "small.json").write_text(json.dumps(recipe))
    steps = []
    report = kzoo.export_recipe(folder / "small.json", folder / "bundle", say=steps.append)
    assert len(steps) >= 4
    return model, folder / "bundle", report


def of_spans(folder):
    """{task: (its model, its bundle)} for those that find spans, in float32."""
    made = {}
    for name, length in (("TokenClassifier", None), ("QuestionAnswering", 20)):
        model = add_noise(
            getattr(kzoo, name)(one_block(), tokenizer=tokenizer(), max_length=20, **TASKS[name])
        )
        export_bundle(model, folder / name, "float32", length)
        made[name] = model, folder / name
    return made
