"""Examples per second of fine-tuning: kzoo, transformers + torch, and KerasHub on the same batches.

    python benchmarks/fine_tune/measure.py --data SST2 --model MINILM [--rounds 7] [--losses]
    python benchmarks/fine_tune/measure.py --data SST2 --model MINILM --steps

SST2 is a folder with GLUE's train.tsv or train.tsv.gz, MINILM the Hugging Face folder of
all-MiniLM-L6-v2. Each arm is a process that stays alive: it loads the model, takes the same padded
batches of similar length (batch 32, kzoo's own order) through one untimed block, and then trains a
block whenever it is its turn. The arms alternate, so that a busy moment of the machine falls on all
of them; ratios are medians of the ratios within a round. Every arm trains with AdamW (fused where
the library has it), weight decay 0.01, clipping by the global norm, dropout 0.1 and the logits on
BERT's pooler; KerasHub's optimizer is Keras' own, and like kzoo it runs without XLA, which would
compile anew for every length. All arms have oneDNN. A turn trains two blocks: one of batches as
long as SST-2's texts are, and one of the first 16 tokens of longer texts.

With `--steps` the arms are kzoo as it is, and with Keras' own form of one of its parts, or of all:
what each of them gains.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

from kzoo.turns import middle, ratio, serve, take, timed  # noqa: E402

ARMS = (
    "kzoo float32",
    "torch float32",
    "keras_hub float32",
    "kzoo bfloat16",
    "torch bfloat16",
    "keras_hub bfloat16",
)
# What is kzoo's own where Keras has one: an arm takes Keras' in the place of one, or of all.
PARTS = ("clipping", "dropout", "gelu")
STEPS = tuple(
    f"kzoo {precision}{part}"
    for precision in ("float32", "bfloat16")
    for part in ("", *(f" with Keras' {part}" for part in (*PARTS, "all")))
)
KINDS = ("real", "16")  # of batches: as long as their texts, of 16 tokens
RATE = 5e-5
LOSSES = ("what", "provenance", "batches", "rounds", "loss_at_the_end")  # kept by --losses
SOURCES = [
    "kzoo/data/batches.py", "kzoo/keras_hooks.py", "kzoo/nn", "kzoo/tasks/task.py",
    "kzoo/tasks/text_classifier.py", "kzoo/training/optimizer.py",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=12, help="batches a block")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--arms", nargs="+", choices=ARMS + STEPS, default=ARMS)
    parser.add_argument(
        "--steps",
        action="store_const",
        dest="arms",
        const=STEPS,
        help="what kzoo's own clipping, dropout and GELU gain",
    )
    parser.add_argument(
        "--losses",
        action="store_true",
        help="only where each arm ends, after as many blocks; any machine will do for that",
    )
    parser.add_argument("--output", type=Path, help="result.json here, or losses.json, steps.json")
    parser.add_argument("--worker", choices=ARMS + STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--batch-file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.batch_file = Path(folder) / "batches.npz"
        facts = make_batches(arguments)
        result = compare(arguments, facts)
    shown = ("examples_per_second", "ratios", "ratios_at_16", "loss_at_the_end")
    if arguments.losses:
        result = {key: result[key] for key in LOSSES}
        result["what"] = "mean loss of the last block of fine-tuning all-MiniLM-L6-v2 on SST-2"
    name = "losses" if arguments.losses else "steps" if arguments.arms == STEPS else "result"
    output = Path(__file__).parent / f"{name}.json"
    (arguments.output or output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in shown if key in result}, indent=2))


def make_batches(arguments):
    """The first batches of a shuffled epoch of SST-2, as every arm reads them."""
    import numpy as np

    import kzoo
    from kzoo.data.batches import bucketed_batches
    from kzoo.data.sources import read_examples

    path = arguments.data / "train.tsv"
    examples = read_examples(path if path.exists() else path.with_suffix(".tsv.gz"))
    tokenizer = kzoo.Tokenizer.load(arguments.model)
    columns = tokenizer.encode(examples.x, max_length=128)
    columns = {k: columns[k] for k in ("token_ids", "padding_mask", "segment_ids")}
    plan = bucketed_batches(
        columns, np.array(examples.y, "int32"), batch_size=arguments.batch_size, shuffle=True
    ).plan
    arrays, tokens, padded = {}, 0, 0
    for i, rows in enumerate(plan.order(0)[: arguments.batches]):
        inputs, targets = plan.batch(rows)
        arrays |= {f"real/{i}/{name}": value for name, value in inputs.items()}
        arrays[f"real/{i}/labels"] = targets
        tokens += int(inputs["padding_mask"].sum())
        padded += inputs["padding_mask"].size
    long = np.flatnonzero(plan.row_lengths >= 16)[: arguments.batches * arguments.batch_size]
    for i, rows in enumerate(np.array_split(long, arguments.batches)):
        for name, column in columns.items():
            arrays[f"16/{i}/{name}"] = np.array([column[row][:16] for row in rows], "int32")
        arrays[f"16/{i}/labels"] = plan.labels[rows]
    np.savez(arguments.batch_file, **arrays)
    count = arguments.batches * arguments.batch_size
    return {"tokens_an_example": tokens / count, "padded_tokens_an_example": padded / count}


def compare(arguments, facts):
    """Let the arms take turns; returns what is written down."""
    command = [sys.executable, __file__, "--model", arguments.model]
    command += ["--batch-file", arguments.batch_file]
    turns, loads = take(
        {arm: [*command, "--worker", arm] for arm in arguments.arms},
        arguments.rounds,
        {arm: {"TF_ENABLE_ONEDNN_OPTS": "1"} for arm in arguments.arms},
    )
    examples = arguments.batches * arguments.batch_size

    def is_other(arm, other):
        """Whether it is another library's, or the arm itself but for a part."""
        return other.startswith(f"{arm} with") or not other.startswith("kzoo")

    def ratios(key):
        return {
            f"{arm} / {other}": round(ratio(turns, arm, other, key), 3 if arm in other else 2)
            for arm in ARMS
            for other in turns
            if arm.startswith("kzoo") and arm in turns and is_other(arm, other)
        }

    packages = ("kzoo", "keras", "tensorflow", "torch", "transformers", "keras-hub")
    return {
        "what": "examples a second of fine-tuning all-MiniLM-L6-v2 (6 x 384) on SST-2 batches",
        "provenance": provenance(SOURCES, packages),
        "load_1min_by_round": loads,
        "batches": {
            "batches_a_block": arguments.batches,
            "batch_size": arguments.batch_size,
            **{name: round(value, 2) for name, value in facts.items()},
        },
        "rounds": arguments.rounds,
        "examples_per_second": {
            arm: {
                name: round(examples / of(turn["seconds"] for turn in of_arm), 1)
                for name, of in (("median", statistics.median), ("min", max), ("max", min))
            }
            for arm, of_arm in turns.items()
        },
        "processor_ms_an_example": {
            arm: round(1000 * middle(turns, arm, "processor") / examples, 2) for arm in turns
        },
        "ms_a_batch_at_16": {
            arm: round(1000 * middle(turns, arm, "seconds_at_16") / arguments.batches, 1)
            for arm in turns
        },
        "ratios": ratios("seconds"),
        "ratios_of_processor_time": ratios("processor"),
        "ratios_at_16": ratios("seconds_at_16"),
        "ratios_at_16_of_processor_time": ratios("processor_at_16"),
        "loss_at_the_end": {arm: round(of_arm[-1]["loss"], 4) for arm, of_arm in turns.items()},
    }


def work(arguments):
    """Serve an arm: a turn trains a block."""
    import numpy as np

    library, precision, *rest = arguments.worker.split(maxsplit=2)
    with np.load(arguments.batch_file) as file:
        count = len({name.split("/")[1] for name in file.files})
        names = ("token_ids", "padding_mask", "segment_ids", "labels")
        batches = {
            kind: [{name: file[f"{kind}/{i}/{name}"] for name in names} for i in range(count)]
            for kind in KINDS
        }
    for part in rest:
        undo(part.removeprefix("with Keras' "))
    makers = {"kzoo": kzoo_block, "torch": torch_block, "keras_hub": keras_hub_block}
    block = makers[library](arguments.model, precision)

    def turn():
        loss, seconds, processor = timed(lambda: block(batches["real"]))
        _, seconds_at_16, processor_at_16 = timed(lambda: block(batches["16"]))
        return {
            "seconds": seconds,
            "processor": processor,
            "seconds_at_16": seconds_at_16,
            "processor_at_16": processor_at_16,
            "loss": loss,
        }

    serve(turn)


def undo(part):
    """Let kzoo take Keras' own form of a part."""
    import keras

    from kzoo import keras_hooks
    from kzoo.nn import dense, dropout

    clip = keras.optimizers.Optimizer._clip_gradients
    if part in ("clipping", "all"):
        keras_hooks.OneUpdate._clip_gradients = lambda self, grads: clip(
            self, [keras_hooks.dense(grad) for grad in grads]
        )
    if part in ("dropout", "all"):
        dropout.Dropout.call = keras.layers.Dropout.call
    if part in ("gelu", "all"):
        dense.ACTIVATIONS["gelu"] = lambda x: keras.ops.gelu(x, approximate=False)


def kzoo_block(model, precision):
    import keras

    import kzoo

    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    keras.utils.set_random_seed(0)
    task = kzoo.TextClassifier(
        kzoo.from_huggingface(model), labels=["negative", "positive"], head="pooled"
    )
    task.compile(optimizer=kzoo.AdamW(RATE, warmup=0, decay="constant"))
    return keras_block(task, kzoo.keras_hooks.DistributedFit)


def keras_hub_block(model, precision):
    import keras
    import keras_hub

    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    keras.utils.set_random_seed(0)
    config = json.loads((model / "config.json").read_text())
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
        dropout=config["hidden_dropout_prob"],
        max_sequence_length=config["max_position_embeddings"],
    )
    task = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    task.compile(
        optimizer=keras.optimizers.AdamW(RATE, weight_decay=0.01, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return keras_block(task, keras.Model)


def keras_block(task, fits):
    """A block as one epoch of Keras' own loop."""
    import tensorflow as tf

    tokens = tf.TensorSpec((None, None), "int32")
    names = ("token_ids", "padding_mask", "segment_ids")
    signature = ({name: tokens for name in names}, tf.TensorSpec((None,), "int32"))
    options = tf.data.Options()
    options.autotune.enabled = False  # as kzoo's own batches; its thread would delay an epoch's end

    def dataset(batches):
        def rows():
            for batch in batches:
                inputs = {name: batch[name] for name in batch if name != "labels"}
                yield inputs, batch["labels"]

        made = tf.data.Dataset.from_generator(rows, output_signature=signature)
        made = made.apply(tf.data.experimental.assert_cardinality(len(batches)))
        return made.with_options(options)

    def block(batches):
        history = fits.fit(task, dataset(batches), epochs=1, verbose=0)
        return float(history.history["loss"][-1])

    return block


def torch_block(model, precision):
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    task = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2).train()
    matrices = [p for p in task.parameters() if p.ndim > 1]
    others = [p for p in task.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
    names = {
        "token_ids": "input_ids",
        "padding_mask": "attention_mask",
        "segment_ids": "token_type_ids",
        "labels": "labels",
    }

    def block(batches):
        total = 0.0
        for batch in batches:
            batch = {names[key]: torch.from_numpy(value).long() for key, value in batch.items()}
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = task(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            total += float(loss.detach())
        return total / len(batches)

    return block


if __name__ == "__main__":
    main()
