"""Small bundles with tokenizers of other kinds than BERT's, and what Python answers with them.

    python web_demo/test/make_tokenizers.py build/small

Byte-level BPE and Unigram, trained on the texts themselves; the weights are random and the answers
mean nothing. Beside each bundle NAME there is NAME.jsonl, as of android_demo/tools/make_small.py.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

import kzoo
from kzoo.litert import export_bundle
from kzoo.network import weights_by_path
from kzoo.text.tokenizer import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "android_demo" / "tools"))
from make_small import ENTITIES, TEXTS, TOWER  # noqa: E402

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def trained(model, trainer, pre_tokenizer, normalizer=None):
    """The tokenizer of a model, trained on the texts."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator([*TEXTS, *ENTITIES, TOWER], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    return tokenizer


def byte_pairs():
    """Byte-level BPE, as GPT-2 has it."""
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


def unigram():
    """Unigram between visible spaces, as T5 has it."""
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    return trained(models.Unigram(), trainer, pre_tokenizers.Metaspace(), normalizers.NFKC())


def task(kind, backend, **options):
    """A small model with random weights."""
    spec = kzoo.Bert.from_preset("bert_tiny_en_uncased").spec
    spec = spec.replace(
        vocabulary_size=backend.get_vocab_size(), hidden_dim=32, num_heads=2, intermediate_dim=64,
        max_sequence_length=64,
    )  # fmt: skip
    made = kind(kzoo.Bert(spec), tokenizer=Tokenizer(backend), **options)
    for i, (_, weight) in enumerate(sorted(weights_by_path(made).items())):
        noise = np.random.default_rng(i).standard_normal(weight.shape)
        weight.assign(np.asarray(weight) + 0.3 * noise)
    return made


def main():
    """Write the bundles that are not there yet."""
    output = Path(sys.argv[1])
    for name, make, kind, options in (
        ("byte_pairs", byte_pairs, kzoo.TokenClassifier, {"labels": ["B-A", "I-A", "B-B", "I-B"]}),
        ("unigram", unigram, kzoo.TextClassifier, {"labels": ["one", "two", "three"]}),
    ):
        if (output / f"{name}.jsonl").is_file():
            continue
        model = task(kind, make(), **options)
        export_bundle(model, output / name, "float32", limits={"partitions": 1})
        lines = [json.dumps(answer) for answer in kzoo.predict_bundle(output / name, TEXTS)]
        (output / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
