"""Small bundles of every task with random weights, and what Python answers with them.

Their answers mean nothing: they hold Kotlin's rows, windows and answer rules against Python's.

    python android_demo/tools/make_untrained.py build/untrained

Beside each bundle NAME there is NAME.jsonl: what `kzoo predict --json` says of some texts.
"""

import json
import sys
from pathlib import Path

import numpy as np

import kzoo
from kzoo import presets
from kzoo.litert import export_bundle
from kzoo.network import weights_by_path
from kzoo.text.tokenizer import Tokenizer

TEXTS = [
    "Angela Merkel met Tim Cook in New York, N.Y., last week.",
    "",
    "  two  spaces, a\ttab and 日本語 between café and naïve 😀👍🏽 words  ",
    "\u0001\u0007",
    "It isn't unbelievably over-complicated; re-read it (twice)! " * 8,
]
PAIRS = [
    ("Who met Tim Cook?", TEXTS[0]),
    ("Where?", "In 日本 😀, of course. " * 30),
    ("Is it empty?", ""),
    ("A question that is far too long for the half of the room " * 3, TEXTS[4]),
]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def models():
    """Name: (task, texts, length)."""

    def backbone(seed):
        spec = kzoo.Bert.from_preset("bert_tiny_en_uncased").spec
        model = kzoo.Bert(
            spec.replace(hidden_dim=32, num_heads=2, intermediate_dim=64, max_sequence_length=64)
        )
        for i, (_, weight) in enumerate(sorted(weights_by_path(model).items())):
            noise = np.random.default_rng([seed, i]).standard_normal(weight.shape)
            weight.assign(np.asarray(weight) + 0.3 * noise)
        return model

    tokenizer = Tokenizer.load(presets.find("bert_minilm_l3_en_uncased.sst2"))

    def noisy(kind, seed, **options):
        model = kind(backbone(seed), tokenizer=tokenizer, **options)
        for i, (path, weight) in enumerate(sorted(weights_by_path(model).items())):
            if path.startswith("head"):
                noise = np.random.default_rng([seed, i]).standard_normal(weight.shape)
                weight.assign(0.5 * noise)
        return model

    names = [f"label {i}" for i in range(12)]
    return {
        "classifier": (noisy(kzoo.TextClassifier, 0, labels=names), TEXTS + PAIRS, None),
        "one_label": (noisy(kzoo.TextClassifier, 1, labels=["yes"]), TEXTS, 48),
        "embedder": (noisy(kzoo.TextEmbedder, 2), TEXTS, None),
        "entities": (noisy(kzoo.TokenClassifier, 3, labels=LABELS), TEXTS, None),
        "entities_fixed": (noisy(kzoo.TokenClassifier, 4, labels=LABELS), TEXTS, 40),
        "questions": (noisy(kzoo.QuestionAnswering, 5), PAIRS, None),
        "questions_fixed": (noisy(kzoo.QuestionAnswering, 6), PAIRS, 64),
    }


def main():
    """Write the bundles that are not there yet."""
    output = Path(sys.argv[1])
    for name, (model, texts, length) in models().items():
        if (output / f"{name}.jsonl").is_file():
            continue
        export_bundle(model, output / name, "float32", length, limits={"partitions": 1})
        lines = [json.dumps(a) for a in kzoo.predict_bundle(output / name, texts)]
        (output / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
