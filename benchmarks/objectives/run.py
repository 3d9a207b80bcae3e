"""Each objective of pre-training on a tiny model, and how a corpus of files is read.

    python benchmarks/objectives/run.py learn --data FOLDER [--seconds 60] [--only NAME ...]
    python benchmarks/objectives/run.py read [--megabytes 200]

FOLDER holds wikitext2.valid.txt.gz (learnt from) and wikitext2.test.txt.gz (measured on), a
paragraph a line. `learn` writes `learn.json`: for each objective held-out scores before and after,
beside what the frequencies of tokens alone give, or a coin for pairs, and how much of the text was
hidden in an epoch, beside what its paper says. `read` makes a text of that
size of random words and writes `read.json`: how fast it is made token ids and batches, and by how
much a process grows by it.
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
import tensorflow as tf
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

import kzoo
from kzoo.models import build
from kzoo.spec import Towers

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
SOURCES = ["benchmarks/objectives/run.py", "kzoo/data", "kzoo/tasks/pretraining.py"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"<extra_id_{i}>" for i in range(32))]
TOKENS, LENGTH = 2000, 64
# What the papers say of the text that is hidden: arXiv:1810.04805 (15 % of the tokens, of which
# 80 % become the mask and 10 % stay; half of the pairs follow each other), 1909.11942, 1910.10683,
# 1910.13461.
TOKENS_HIDDEN = {"chosen": 0.15, "masked": 0.8, "kept": 0.1}
PAPERS = {
    "masked tokens": TOKENS_HIDDEN,
    "masked n-grams": TOKENS_HIDDEN,
    "next sentence": {**TOKENS_HIDDEN, "true_pairs": 0.5},
    "sentence order": {**TOKENS_HIDDEN, "true_pairs": 0.5},
    "next token, packed": {"filled": 1.0},
    "spans": {"hidden": 0.15, "span_length": 3.0},
    "infilling": {"hidden": 0.3, "span_length": 3.0},
}
PAD, CLS, SEP, MASK = (SPECIAL.index(f"[{name}]") for name in ("PAD", "CLS", "SEP", "MASK"))
HELD_OUT = 600  # paragraphs that are measured on
SIZES = {
    "hidden_dim": 64,
    "num_heads": 4,
    "intermediate_dim": 256,
    "schedule": (0, 1),
    "max_sequence_length": LENGTH,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
OBJECTIVES = {
    "masked tokens": lambda t: kzoo.MaskedLM(encoder(), tokenizer=t),
    "masked n-grams": lambda t: kzoo.MaskedLM(encoder(), tokenizer=t, objective="ngrams"),
    "next sentence": lambda t: kzoo.PreTraining(encoder(), tokenizer=t),
    "sentence order": lambda t: kzoo.PreTraining(encoder(), tokenizer=t, pairs="sentence_order"),
    "next token, packed": lambda t: kzoo.CausalLM(decoder(), tokenizer=t),
    "spans": lambda t: kzoo.Seq2SeqLM(both(), tokenizer=t, objective="spans"),
    "infilling": lambda t: kzoo.Seq2SeqLM(both(), tokenizer=t, objective="infilling"),
}


def words():
    """The embedding slot."""
    return {"kind": "token", "vocabulary_size": TOKENS, "num_segments": 2}


def encoder():
    """A tiny BERT."""
    return build(kzoo.Spec("bert", words(), **SIZES))


def decoder():
    """A tiny GPT-2."""
    slot = {"kind": "token", "vocabulary_size": TOKENS}
    own = {"attention": "causal", "block": "pre_norm", "norms": ("final",), "pooler": "none"}
    return build(kzoo.Spec("gpt2", slot, **SIZES, **own))


def both():
    """A tiny encoder-decoder, whose towers are those of a preset."""
    spec = kzoo.load("transformer_tiny_multi.number_words").spec
    towers = {
        name: tower.replace(dropout=0.0, attention_dropout=0.0)
        for name, tower in spec.towers.items()
    }
    embedding = {**spec.options["embedding"], "vocabulary_size": TOKENS}
    return build(Towers(spec.family, towers, {**spec.options, "embedding": embedding}))


def wordpiece(lines):
    """A tokenizer of these lines."""
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=TOKENS, special_tokens=SPECIAL)
    backend.train_from_iterator(lines, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return kzoo.Tokenizer(backend)


class Limit(keras.callbacks.Callback):
    """Ends a training after some seconds of the processor, counted from its second batch."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.start, self.batches = seconds, None, 0

    def on_train_batch_end(self, batch, logs=None):
        """Look at the time."""
        self.batches += 1
        self.start = self.start or time.process_time()
        self.model.stop_training = time.process_time() - self.start > self.seconds


def unigram(learnt, held):
    """The loss and the accuracy of the frequencies of targets alone."""
    counts = np.ones(TOKENS)
    for _, targets in learnt:
        np.add.at(counts, tokens_of(targets), 1)
    shares, found = counts / counts.sum(), np.concatenate([tokens_of(t) for _, t in held])
    right = float((found == counts.argmax()).mean())
    return {"loss": round(float(-np.log(shares[found]).mean()), 4), "accuracy": round(right, 4)}


def tokens_of(targets):
    """The targets of places, without those that are none."""
    targets = np.asarray(targets["logits"] if isinstance(targets, dict) else targets)
    return targets[targets != -100]


def statistics(batches):
    """How much of a text was hidden, as shares of its tokens and of those that were chosen."""
    counts = dict.fromkeys(
        ("text", "chosen", "masked", "kept", "spans", "pairs", "true", "places"), 0
    )
    for inputs, found in batches:
        targets = np.asarray(found["logits"] if isinstance(found, dict) else found)
        ids = np.asarray(inputs.get("encoder_token_ids", inputs.get("token_ids")))
        counts["places"] += targets.size
        if "encoder_token_ids" not in inputs:
            chosen = targets != -100
            counts["text"] += int((chosen | ~np.isin(ids, (PAD, CLS, SEP))).sum())
            counts["chosen"] += int(chosen.sum())
            counts["masked"] += int((ids == MASK)[chosen].sum())
            counts["kept"] += int((ids == targets)[chosen].sum())
        else:
            marks = [i for i, token in enumerate(SPECIAL) if token.startswith("<")]
            none = (-100, PAD, CLS, SEP, MASK, *marks)
            read, written = ((~np.isin(each, none)).sum() for each in (ids, targets))
            is_spans = np.isin(targets, marks).any()  # Else all of the text is written.
            counts["text"] += int(written + read if is_spans else written)
            counts["chosen"] += int(written if is_spans else written - read)
            counts["spans"] += int(np.isin(ids, (MASK, *marks)).sum())
        if isinstance(found, dict):
            counts["pairs"] += len(ids)
            counts["true"] += int((np.asarray(found["pair_logits"]) == 0).sum())
    share = counts["chosen"] / counts["text"]
    shown = {"chosen": share, "hidden": share, "filled": counts["chosen"] / counts["places"]}
    shown |= {name: counts[name] / counts["chosen"] for name in ("masked", "kept")}
    shown |= {"span_length": counts["chosen"] / max(counts["spans"], 1)}
    return shown | {"true_pairs": counts["true"] / max(counts["pairs"], 1)}


def scores(task, held, examples):
    """Held-out scores; the loss of tokens alone where pairs have another."""
    found = task.evaluate(held, verbose=0, return_dict=True)
    if "pair_accuracy" in found:
        losses = []
        for x, y in held:
            rows = tf.nn.log_softmax(task(x, training=False)["pair_logits"]).numpy()
            losses += (-rows[np.arange(len(rows)), np.asarray(y["pair_logits"])]).tolist()
        found |= {"pair_loss": float(np.mean(losses)), "pairs": examples}
        found["loss"] -= found["pair_loss"]
    return {name: round(float(value), 4) for name, value in found.items()}


def learn(folder, seconds, names):
    """The result of every objective, or of those that are named."""
    results = {}
    with tempfile.TemporaryDirectory() as tmp:
        for name in ("valid", "test"):
            data = gzip.decompress((folder / f"wikitext2.{name}.txt.gz").read_bytes())
            (Path(tmp) / f"{name}.txt").write_bytes(data)
        lines = (Path(tmp) / "valid.txt").read_text(encoding="utf-8").splitlines()
        tokenizer = wordpiece(lines)
        for name in names or OBJECTIVES:
            make = OBJECTIVES[name]
            keras.utils.set_random_seed(0)
            task, limit = make(tokenizer), Limit(seconds)
            corpora = [kzoo.Corpus(Path(tmp) / f"{n}.txt", "line") for n in ("valid", "test")]
            task.compile(optimizer=kzoo.AdamW(2e-3, decay="constant", warmup=20))
            held = task.batches(corpora[1][:HELD_OUT], batch_size=64)
            before = scores(task, held, held.plan.size)
            options = {"batch_size": 32, "epochs": 1000, "verbose": 0, "callbacks": [limit]}
            task.fit(corpora[0], **options)
            drawn = statistics(task.batches(corpora[0], batch_size=64))
            results[name] = {
                "batches": limit.batches,
                "text": {
                    key: {"actual": round(drawn[key], 4), "paper": paper}
                    for key, paper in PAPERS[name].items()
                },
                "held_out_examples": held.plan.size,
                "before": before,
                "after": scores(task, held, held.plan.size),
                "trivial": unigram(task.batches(corpora[0], batch_size=64), held),
            }
            if "pair_loss" in before:
                results[name]["trivial"] |= {"pair_loss": 0.6931, "pair_accuracy": 0.5}
            print(name, json.dumps(results[name]), flush=True)
    return {
        "processor_seconds": seconds,
        "text": "WikiText-2, valid and test",
        "objectives": results,
    }


def read(megabytes):
    """How a large text is read."""
    draw = np.random.default_rng(0)
    vocabulary = ["".join(draw.choice(list("abcdefghij"), 5)) for _ in range(1500)]
    pieces = {word: i for i, word in enumerate([*SPECIAL, *dict.fromkeys(vocabulary)])}
    backend = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(SPECIAL)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    task = kzoo.MaskedLM(encoder(), tokenizer=kzoo.Tokenizer(backend))
    with tempfile.TemporaryDirectory() as tmp:
        path, small = Path(tmp) / "large.txt", Path(tmp) / "small.txt"
        lines = [" ".join(draw.choice(vocabulary, 100)) for _ in range(1000)]
        small.write_text("\n".join(lines), encoding="utf-8")
        with open(path, "w", encoding="utf-8") as file:
            while file.tell() < megabytes << 20:
                file.write("\n".join(lines) + "\n")
        next(iter(task.batches(kzoo.Corpus(small, "line"), batch_size=32, shuffle=True)))
        grown = Grown()
        start = time.monotonic()
        corpus = kzoo.Corpus(path, "line")
        counted = time.monotonic()
        tokens = corpus.tokens(task.tokenizer)
        made = time.monotonic()
        batches = task.batches(corpus, batch_size=32, shuffle=True)
        shown, begun = 0, time.monotonic()
        for number, (inputs, _) in enumerate(batches):
            shown += int(np.asarray(inputs["padding_mask"]).sum())
            if number == 500:
                break
        seconds = time.monotonic() - begun
        return {
            "megabytes": path.stat().st_size >> 20,
            "tokens": len(tokens.ids),
            "seconds_to_count_and_check": round(counted - start, 1),
            "tokens_a_second_made": round(len(tokens.ids) / (made - counted)),
            "tokens_a_second_in_batches": round(shown / seconds),
            "own_memory_grown_by_megabytes": round(grown.ended() / 2**20, 1),
        }


class Grown:
    """By how many bytes a process' own memory grows, looked at every 5 ms."""

    def __init__(self):
        self.first = self.most = self._own()
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    @staticmethod
    def _own():
        with open("/proc/self/status", encoding="utf-8") as file:
            line = next(line for line in file if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024

    def _watch(self):
        while not self.ends.wait(0.005):
            self.most = max(self.most, self._own())

    def ended(self):
        """The growth."""
        self.ends.set()
        self.thread.join()
        return max(self.most, self._own()) - self.first


def main():
    """Run one of both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["learn", "read"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", nargs="+", choices=OBJECTIVES)
    parser.add_argument("--megabytes", type=int, default=200)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if arguments.what == "learn":
        result = learn(arguments.data, arguments.seconds, arguments.only)
    else:
        result = read(arguments.megabytes)
    result["provenance"] = provenance(SOURCES, ["keras", "tensorflow", "numpy", "tokenizers"])
    text = json.dumps(result, indent=2) + "\n"
    (HERE / f"{arguments.what}.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
