"""What KerasNLP wrote before KerasHub, as golden cases for the tests.

    python benchmarks/on_disk/record_keras_nlp.py WORK

runs where an old keras-nlp is installed (0.6.4 on TensorFlow 2.15 with Keras 2, 0.12.1 on
TensorFlow 2.16 with Keras 3.3), without kzoo. It writes
tests/golden/on_disk/keras_nlp_VERSION.json. A folder has config.json, the serialized object, beside
the weights that `save_weights` wrote.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import keras
import keras_nlp
import numpy as np
from recording import PAIR, TEXT, add_noise, inputs, rounded, write_golden

m = keras_nlp.models
T5 = {key: value for key, value in PAIR.items() if key != "max_sequence_length"}


def made(name, *arguments, **options):
    """An object of a class by the name that it has in this version; None where it has none."""
    cls = getattr(m, name, None) or getattr(m, name.replace("Classifier", "TextClassifier"), None)
    return cls(*arguments, **options) if cls and None not in arguments else None


def cases():
    """Each case: its name and the model."""
    albert = made("AlbertBackbone", **PAIR, embedding_dim=6)
    models = {
        "bert": made("BertClassifier", made("BertBackbone", **TEXT), num_classes=3),
        "albert": made("AlbertClassifier", albert, num_classes=3),
        "distil_bert": made(
            "DistilBertClassifier", made("DistilBertBackbone", **PAIR), num_classes=3
        ),
        "roberta": made("RobertaMaskedLM", made("RobertaBackbone", **PAIR)),
        "gpt2": made("GPT2CausalLM", made("GPT2Backbone", **PAIR)),
        "bloom": made("BloomCausalLM", made("BloomBackbone", **T5)),
        "bart": made("BartBackbone", **PAIR),
        "t5": made("T5Backbone", **T5),
    }
    return [(name, model) for name, model in models.items() if model is not None]


def serialized(model):
    """The object of config.json, as Keras serializes it, without what it says of training."""
    held = keras.saving.serialize_keras_object(model)
    for key in ("build_config", "compile_config"):
        held.pop(key, None)
    return json.loads(json.dumps(held))


def recorded(name, model, work):
    """A case: written and, with noise in its files, read and run by KerasNLP."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.weights.h5"
    model.save_weights(str(path))
    tensors = add_noise(path)
    model.load_weights(str(path))
    config = serialized(model)
    (folder / "config.json").write_text(json.dumps(config))
    given = inputs(list(model.input))
    outputs = model(given, training=False)
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    part = "task" if hasattr(model, "backbone") else "backbone"
    outputs = {n: np.asarray(x) for n, x in outputs.items()}
    np.savez(work / f"{name}.inputs.npz", **given)
    np.savez(work / f"{name}.{part}.npz", **outputs)
    return {
        "case": name,
        "config": {"config.json": config},
        "tensors": {"model.weights.h5": tensors},
        "inputs": {n: x.tolist() for n, x in given.items()},
        "outputs": {part: {n: rounded(x) for n, x in outputs.items()}},
    }


def main(work):
    done = [recorded(name, model, work) for name, model in cases()]
    write_golden(f"keras_nlp_{keras_nlp.__version__}", done)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
