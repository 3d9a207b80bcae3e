"""Examples per second of fine-tuning: kzoo, transformers + torch, and KerasHub on the same batches.

    python benchmarks/fine_tune/measure.py --data SST2 --model MINILM [--rounds 7] [--losses]

SST2 is a folder with GLUE's train.tsv or train.tsv.gz, MINILM the Hugging Face folder of
all-MiniLM-L6-v2. Each arm is a process that stays alive: it loads the model, takes the same padded
batches of similar length (batch 32, kzoo's own order) through one untimed block, and then trains a
block whenever it is its turn. The arms alternate, so that a busy moment of the machine falls on all
of them; ratios are medians of the ratios within a round. Every arm trains with AdamW (fused where
the library has it), weight decay 0.01, clipping by the global norm, dropout 0.1 and the logits on
BERT's pooler; KerasHub's optimizer is Keras' own, and like kzoo it runs without XLA, which would
compile anew for every length. All arms have oneDNN.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402
from turns import middle, ratio, serve, take, timed  # noqa: E402

ARMS = (
    "kzoo float32",
    "torch float32",
    "keras_hub float32",
    "kzoo bfloat16",
    "torch bfloat16",
    "keras_hub bfloat16",
)
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
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument(
        "--losses",
        action="store_true",
        help="only where each arm ends, after as many blocks; any machine will do for that",
    )
    parser.add_argument("--output", type=Path, help="result.json here, or losses.json")
    parser.add_argument("--worker", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--batch-file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.batch_file = Path(folder) / "batches.npz"
        facts = make_batches(arguments)
        result = compare(arguments, facts)
    shown = ("examples_per_second", "ratios", "loss_at_the_end")
    if arguments.losses:
        result = {key: result[key] for key in LOSSES}
        result["what"] = "mean loss of the last block of fine-tuning all-MiniLM-L6-v2 on SST-2"
    output = Path(__file__).parent / ("losses.json" if arguments.losses else "result.json")
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
        arrays |= {f"{i}/{name}": value for name, value in inputs.items()}
        arrays[f"{i}/labels"] = targets
        tokens += int(inputs["padding_mask"].sum())
        padded += inputs["padding_mask"].size
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
    ratios = {
        f"{arm} / {other}": round(ratio(turns, arm, other, "seconds"), 2)
        for arm in turns
        for other in turns
        if arm.startswith("kzoo") and not other.startswith("kzoo")
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
        "ratios": ratios,
        "loss_at_the_end": {arm: round(of_arm[-1]["loss"], 4) for arm, of_arm in turns.items()},
    }


def work(arguments):
    """Serve an arm: a turn trains a block."""
    import numpy as np

    library, precision = arguments.worker.split()
    with np.load(arguments.batch_file) as file:
        count = len({name.split("/")[0] for name in file.files})
        names = ("token_ids", "padding_mask", "segment_ids", "labels")
        batches = [{name: file[f"{i}/{name}"] for name in names} for i in range(count)]
    makers = {"kzoo": kzoo_block, "torch": torch_block, "keras_hub": keras_hub_block}
    block = makers[library](arguments.model, precision, batches)

    def turn():
        loss, seconds, processor = timed(block)
        return {"seconds": seconds, "processor": processor, "loss": loss}

    serve(turn)


def kzoo_block(model, precision, batches):
    import keras

    import kzoo

    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    keras.utils.set_random_seed(0)
    task = kzoo.TextClassifier(
        kzoo.from_huggingface(model), labels=["negative", "positive"], head="pooled"
    )
    task.compile(optimizer=kzoo.AdamW(RATE, warmup=0, decay="constant"))
    return keras_block(task, kzoo.keras_hooks.DistributedFit, batches)


def keras_hub_block(model, precision, batches):
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
    return keras_block(task, keras.Model, batches)


def keras_block(task, fits, batches):
    """A block as one epoch of Keras' own loop."""
    import tensorflow as tf

    def rows():
        for batch in batches:
            inputs = {name: batch[name] for name in batch if name != "labels"}
            yield inputs, batch["labels"]

    tokens = tf.TensorSpec((None, None), "int32")
    names = ("token_ids", "padding_mask", "segment_ids")
    signature = ({name: tokens for name in names}, tf.TensorSpec((None,), "int32"))
    dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    options = tf.data.Options()
    options.autotune.enabled = False  # as kzoo's own batches; its thread would delay an epoch's end
    dataset = dataset.with_options(options)

    def block():
        history = fits.fit(task, dataset, epochs=1, verbose=0)
        return float(history.history["loss"][-1])

    return block


def torch_block(model, precision, batches):
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
    batches = [{names[k]: torch.from_numpy(v).long() for k, v in b.items()} for b in batches]

    def block():
        total = 0.0
        for batch in batches:
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
