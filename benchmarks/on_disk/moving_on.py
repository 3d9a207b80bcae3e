"""The two halves of `examples/from_tf_transformers.py` on one model and file: are they the same?

    python benchmarks/on_disk/moving_on.py --transformers PYTHON

PYTHON is that of an environment with transformers 4, tensorflow and tf-keras. It makes a small BERT
with random weights and no dropout as config.json, tf_model.h5 and vocab.txt, the words being those
of the sentences that ship, and both halves then learn from these. Writes `moving_on.json`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

EXAMPLE = ROOT / "examples" / "from_tf_transformers.py"
DATA = ROOT / "export" / "sentiment.tsv"
SOURCES = [
    "benchmarks/on_disk/moving_on.py", "examples/from_tf_transformers.py",
    "kzoo/checkpoints", "kzoo/models/bert.py", "kzoo/nn", "kzoo/tasks",
]  # fmt: skip
MAKE = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow as tf
from transformers import BertConfig, TFBertForSequenceClassification
tf.keras.utils.set_random_seed(0)
folder, count = sys.argv[1], int(sys.argv[2])
labels = {0: "negative", 1: "positive"}
config = BertConfig(
    vocab_size=count, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=128, max_position_embeddings=64, initializer_range=0.15,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0, id2label=labels, label2id={v: k for k, v in labels.items()},
)
model = TFBertForSequenceClassification(config)
model(model.dummy_inputs)
model.save_pretrained(folder)
"""


def main():
    """Make the model, run both halves, and write how far they are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transformers", required=True, help="its environment's Python")
    arguments = parser.parse_args()
    words = sorted(set(re.findall(r"\w+|[^\w\s]", DATA.read_text(encoding="utf-8").lower())))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    other = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "USE_TORCH": "0"}
    other.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        make = [arguments.transformers, "-c", MAKE, folder, str(len(tokens))]
        subprocess.run(make, check=True, env=other)
        Path(folder, "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")

        def half(python, way, environment):
            command = [python, str(EXAMPLE), way, folder, str(DATA)]
            ran = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
            return json.loads(ran.stdout.splitlines()[-1])

        before = half(arguments.transformers, "before", other)
        after = half(sys.executable, "after", {**os.environ, "KERAS_BACKEND": "tensorflow"})
    differences = {
        name: float(np.abs(np.subtract(before[name], after[name])).max())
        for name in ("loss", "probabilities")
    }
    right = np.argmax(before["probabilities"], -1) == np.argmax(after["probabilities"], -1)
    versions = subprocess.run(
        [arguments.transformers, "-m", "pip", "list", "--format", "json"],
        check=True, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    wanted = ("transformers", "tensorflow", "tf_keras")
    result = {
        "what": "a script of transformers' TensorFlow classes and what it becomes with kzoo: the "
        "losses of the epochs and the probabilities after them, largest absolute difference",
        "examples": len(after["probabilities"]),
        "loss": {"before": before["loss"], "after": after["loss"]},
        "worst_difference": differences,
        "same_labels": float(right.mean()),
        "reference": {
            each["name"]: each["version"] for each in json.loads(versions) if each["name"] in wanted
        },
        "provenance": provenance(SOURCES, ["kzoo", "keras", "tensorflow"]),
    }
    (HERE / "moving_on.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
