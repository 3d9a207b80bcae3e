"""Modules of TF Hub as TensorFlow 1 had them, built by Google's own networks and run.

    python benchmarks/on_disk/record_modules.py WORK BERT_MODELING ALBERT_MODELING

Runs where tf-models-official is installed, whose tf-slim has the layer norm that tf.contrib had.
The two files are modeling.py of google-research/bert and google-research/albert. Writes SavedModels
below WORK, and names, shapes and outputs to tests/golden/on_disk/tfhub_modules.json.
"""

import os

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
import shutil
import sys
import types
from pathlib import Path

import tensorflow as tf
import tf_slim
from checkpoint_cases import PIECES, TEXTS, case, contents, cut, noise, write

v1 = tf.compat.v1
SIZES = {
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}
NAMES = {"input_ids": "token_ids", "input_mask": "padding_mask", "segment_ids": "segment_ids"}


def network(path):
    """Google's module of a network, in a TensorFlow without contrib."""
    text = Path(path).read_text()
    for line in ("import tensorflow as tf", "import tensorflow.compat.v1 as tf"):
        text = text.replace(f"\n{line}\n", "\n")
    text = text.replace("from tensorflow.contrib import layers as contrib_layers", "")
    module = types.ModuleType(Path(path).stem)
    module.tf, module.contrib_layers = v1, tf_slim.layers
    exec(compile(text.replace("tf.contrib.layers", "contrib_layers"), path, "exec"), vars(module))
    return module


def build(folder, module, config):
    """Write a module with noise in every variable."""
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        given = {name: v1.placeholder(tf.int32, [None, None], name) for name in NAMES}
        with v1.variable_scope("module"):
            net = module(config, False, *given.values())
        session.run(v1.global_variables_initializer())
        for variable in v1.global_variables():
            name = variable.name.split(":")[0]
            variable.load(noise(name, variable.shape), session)
        found = {
            "sequence_output": net.get_sequence_output(),
            "pooled_output": net.get_pooled_output(),
        }
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def(given, found)
        vocabulary = folder.parent / "vocab.txt"
        vocabulary.write_text("\n".join(PIECES) + "\n")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(vocabulary)))
        builder.add_meta_graph_and_variables(
            session, [], {"tokens": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )  # fmt: skip
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # the version of the format


def main(work, bert, albert):
    """Write both modules and the golden file."""
    work.mkdir(parents=True, exist_ok=True)
    first, second = network(bert), network(albert)
    made = {
        "module_bert": (first.BertModel, first.BertConfig(37, num_hidden_layers=2, **SIZES)),
        "module_albert": (
            second.AlbertModel,
            second.AlbertConfig(37, embedding_size=4, num_hidden_layers=3, **SIZES),
        ),
    }
    cases = []
    for name, (module, config) in made.items():
        shutil.rmtree(work / name, ignore_errors=True)
        build(work / name, module, config)
        run = tf.saved_model.load(str(work / name), tags=[]).signatures["tokens"]
        found = run(**{there: tf.constant(TEXTS[here]) for there, here in NAMES.items()})
        outputs = {key: value.numpy() for key, value in found.items()}
        tensors, _ = contents(work / name / "variables" / "variables")
        cases.append(case(work, name, tensors, TEXTS, outputs, saved_model=cut(work / name)))
    write("tfhub_modules", cases)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
