"""Checkpoints of the Model Garden and SavedModels of TF Hub, and what their own networks make.

    python benchmarks/on_disk/record_garden.py WORK

Runs where tf-models-official is installed. Writes each checkpoint with tf.train.Checkpoint, and
each SavedModel with the package's own exporter, below WORK/garden and WORK/tfhub; names, shapes,
graphs of objects and outputs go to tests/golden/on_disk/garden.json and tfhub.json.
"""

import os

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from checkpoint_cases import GRAPH, PIECES, TEXTS, VALUE, case, contents, cut, noise, write
from official.legacy.bert.configs import BertConfig
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import layers, models, networks
from official.nlp.tools import export_tfhub_lib
from official.vision.modeling.backbones.vit import VisionTransformer
from official.vision.modeling.classification_model import ClassificationModel
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

SIZES = {
    "vocab_size": 37,
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "max_sequence_length": 16,
    "type_vocab_size": 2,
}
GIVEN = {
    "input_word_ids": TEXTS["token_ids"],
    "input_mask": TEXTS["padding_mask"],
    "input_type_ids": TEXTS["segment_ids"],
}
PICTURES = {"images": 5 * noise("images", (2, 8, 8, 3))}
GELU = tf_utils.get_activation("gelu")


def bert(**sizes):
    """The encoder of today."""
    encoder = networks.BertEncoderV2(**SIZES | sizes, inner_dim=12)
    encoder(GIVEN)
    return encoder


def first_bert():
    """The encoder of 2020."""
    return networks.BertEncoder(**SIZES, intermediate_size=12, dict_outputs=True)


def albert():
    """ALBERT's encoder, whose block runs three times."""
    return networks.AlbertEncoder(
        **{**SIZES, "num_layers": 3}, embedding_width=4, intermediate_size=12, dict_outputs=True
    )


def pretrainer():
    """An encoder with both heads of pretraining."""
    head = layers.ClassificationHead(8, num_classes=2, name="next_sentence")
    model = models.BertPretrainerV2(bert(), GELU, classification_heads=[head])
    model(GIVEN | {"masked_lm_positions": PLACES})
    return model


def small_classifier():
    """A classifier of one block."""
    return models.BertClassifier(bert(num_layers=1), 3)


def own_pooler():
    """A classifier that doesn't take the encoder's pooler."""
    encoder = bert()
    head = layers.ClassificationHead(8, num_classes=3, name="sentence_prediction")
    return models.BertClassifier(encoder, 3, cls_head=head, use_encoder_pooler=False)


def vit(**options):
    """ViT for pictures of eight pixels a side."""
    spec = tf_keras.layers.InputSpec(shape=[None, 8, 8, 3])
    return VisionTransformer(
        mlp_dim=12, num_heads=2, num_layers=2, patch_size=4, hidden_size=8, input_specs=spec,
        **options,
    )  # fmt: skip


def classifier_of_pictures():
    """ViT with a head."""
    spec = tf_keras.layers.InputSpec(shape=[None, 8, 8, 3])
    return ClassificationModel(vit(), num_classes=3, input_specs=spec)


PLACES = np.tile(np.arange(8, dtype="int32"), (2, 1))


def encoded(model):
    """What an encoder gives."""
    found = model(GIVEN)
    return {name: found[name].numpy() for name in ("sequence_output", "pooled_output")}


def places(model):
    """What ViT's blocks give at every place."""
    blocks = next(layer for layer in model.layers if hasattr(layer, "_encoder_layers"))
    whole = tf_keras.Model(model.inputs, blocks.output)
    return {"sequence_output": whole(PICTURES["images"]).numpy()}


def logits(model):
    """What a head gives that has one output."""
    found = model(GIVEN)
    return {"logits": (found["logits"] if isinstance(found, dict) else found).numpy()}


def ends(model):
    """Where answers begin and end."""
    found = model(GIVEN)
    return {"start_logits": found[0].numpy(), "end_logits": found[1].numpy()}


def words(model):
    """Scores of masked words, at all places."""
    found = model(GIVEN | {"masked_lm_positions": PLACES})
    return {"logits": found["mlm_logits"].numpy()}


def alone(model):
    """What tf.train.Checkpoint is given of a network that isn't trained."""
    return {"model": model}


def with_slots(model):
    """A network and the first Adam, which keeps its slots in the graph."""
    optimizer = tf_keras.optimizers.legacy.Adam()
    weights = model.trainable_variables
    optimizer.apply_gradients([(tf.zeros_like(w), w) for w in weights])
    return {"model": model, "optimizer": optimizer}


def fitted(model, optimizer=tf_keras.optimizers.Adam):
    """A classifier that Keras fitted, which has the optimizer."""
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer(), loss=loss, metrics=["accuracy"])
    model.fit(GIVEN, np.array([0, 1]), epochs=1, verbose=0)
    return {"model": model}


def fitted_before(model):
    """The same with the first Adam."""
    return fitted(model, tf_keras.optimizers.legacy.Adam)


def in_a_loop(model):
    """As in TensorFlow's guide to checkpoints: whatever names, counters and a best score."""
    optimizer = fitted(model)["model"].optimizer
    counters = {"step": tf.Variable(1), "epoch": tf.Variable(1, name="epoch")}
    return {"net": model, "adam": optimizer, **counters, "best": tf.Variable(0.5)}


# case: the model, its outputs, the files beside it, what is saved of it
CASES = {
    "bert": (bert, encoded, {}, alone),
    "bert_first": (first_bert, encoded, {}, alone),
    "bert_masked_lm": (pretrainer, words, {}, alone),
    "bert_classifier": (lambda: models.BertClassifier(bert(), 3), logits, {}, alone),
    "bert_fitted": (small_classifier, logits, {}, fitted),
    "bert_fitted_before": (small_classifier, logits, {}, fitted_before),
    "bert_in_a_loop": (small_classifier, logits, {}, in_a_loop),
    "bert_own_pooler": (own_pooler, logits, {}, alone),
    "bert_first_classifier": (lambda: models.BertClassifier(first_bert(), 3), logits, {}, alone),
    "bert_tokens": (lambda: models.BertTokenClassifier(bert(), 3), logits, {}, alone),
    "bert_spans": (lambda: models.BertSpanLabeler(bert()), ends, {}, alone),
    "albert": (albert, encoded, {"params.yaml": "task:\n  model:\n    num_layers: 3\n"}, alone),
    "albert_classifier": (
        lambda: models.BertClassifier(albert(), 3),
        logits,
        {"albert_config.json": '{"num_hidden_layers": 3, "hidden_act": "gelu"}'},
        alone,
    ),
    "vit_classifier": (
        classifier_of_pictures,
        lambda model: {"logits": model(PICTURES["images"]).numpy()},
        {},
        with_slots,
    ),
    "vit": (
        vit,
        places,
        {},
        alone,
    ),
}


def saved(folder, model, objects):
    """Save a model with noise in every weight, with what objects a function gives for it."""
    checkpoint = tf.train.Checkpoint(**objects(model))
    prefix = checkpoint.save(str(folder / "ckpt"))
    reader = tf.train.load_checkpoint(prefix)
    graph = TrackableObjectGraph.FromString(reader.get_tensor(GRAPH))
    by_name = {}
    for node in graph.nodes:
        for attribute in node.attributes:
            by_name.setdefault(attribute.full_name, []).append(attribute.checkpoint_key)
    for weight in model.weights:
        keys = [k for k in by_name[weight.name.split(":")[0]] if "OPTIMIZER_SLOT" not in k]
        assert len(keys) == 1, (weight.name, keys)
        weight.assign(noise(keys[0].removesuffix(VALUE), weight.shape))
    for file in folder.glob("ckpt-1*"):
        file.unlink()
    return checkpoint.write(str(folder / "ckpt-1")), graph


def garden(work):
    """The checkpoints."""
    work.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, (build, run, files, objects) in CASES.items():
        folder = work / name
        folder.mkdir(exist_ok=True)
        model = build()
        prefix, _ = saved(folder, model, objects)
        for file, text in files.items():
            (folder / file).write_text(text)
        tensors, graph = contents(prefix)
        inputs = PICTURES if name.startswith("vit") else TEXTS
        cases.append(case(work, name, tensors, inputs, run(model), files=files, graph=graph))
        print(name)
    write("garden", cases)


def hub(work):
    """The SavedModels."""
    work.mkdir(parents=True, exist_ok=True)
    vocabulary = work / "vocab.txt"
    vocabulary.write_text("\n".join(PIECES) + "\n")
    config = BertConfig(
        vocab_size=37, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=12, max_position_embeddings=16,
    )  # fmt: skip
    narrow = encoders.EncoderConfig(
        type="albert",
        albert=encoders.AlbertEncoderConfig(
            vocab_size=37, embedding_width=4, hidden_size=8, num_layers=3, num_attention_heads=2,
            intermediate_size=12, max_position_embeddings=16, type_vocab_size=2,
        ),
    )  # fmt: skip
    words_of = {"vocab_file": str(vocabulary), "do_lower_case": True}
    made = {
        "bert_masked_lm": ({"bert_config": config}, True, words_of),
        "bert_cased": ({"bert_config": config}, False, words_of | {"do_lower_case": False}),
        "albert": ({"encoder_config": narrow}, False, {"sp_model_file": str(pieces(work))}),
    }
    cases = []
    for name, (of, with_mlm, files) in made.items():
        _, model = export_tfhub_lib._create_model(**of, with_mlm=with_mlm)
        for weight in model.weights:
            weight.assign(noise(weight.name.split(":")[0], weight.shape))
        items = model.checkpoint_items if with_mlm else {"model": model, "encoder": model}
        prefix = tf.train.Checkpoint(**items).save(str(work / "checkpoints" / name))
        folder = work / name
        export_tfhub_lib.export_model(
            str(folder), **of, model_checkpoint_path=prefix, with_mlm=with_mlm, **files
        )
        loaded = tf.saved_model.load(str(folder))
        given = {name: tf.constant(value) for name, value in GIVEN.items()}
        found = loaded(given)
        outputs = {n: found[n].numpy() for n in ("sequence_output", "pooled_output")}
        if with_mlm:
            scored = loaded.mlm(given | {"masked_lm_positions": tf.constant(PLACES)})
            outputs = {"logits": scored["mlm_logits"].numpy()}
        tensors, graph = contents(folder / "variables" / "variables")
        names = {a.checkpoint_key: a.full_name for a in attributes(folder)}
        cases.append(
            case(
                work,
                name,
                tensors,
                TEXTS,
                outputs,
                graph=graph,
                saved_model=cut(folder),
                names=names,
                assets=[file.name for file in (folder / "assets").iterdir()],
            )  # fmt: skip
        )
        print(name)
    cases.append(exact(work))
    export_tfhub_lib.export_preprocessing(
        str(work / "preprocessing"), vocab_file=str(vocabulary), do_lower_case=True,
        tokenize_with_offsets=False, default_seq_length=8,
    )  # fmt: skip
    _, graph = contents(work / "preprocessing" / "variables" / "variables")
    small = cut(work / "preprocessing")
    cases.append({"case": "preprocessing", "tensors": {}, "saved_model": small, "graph": graph})
    write("tfhub", cases)


def exact(work):
    """An encoder with the exact GELU, saved as it is."""
    model = networks.BertEncoder(
        **SIZES, intermediate_size=12, dict_outputs=True, activation=tf.nn.gelu
    )
    for weight in model.weights:
        weight.assign(noise(weight.name.split(":")[0], weight.shape))
    folder = work / "bert_exact"
    tf.saved_model.save(model, str(folder))
    tensors, graph = contents(folder / "variables" / "variables")
    names = {a.checkpoint_key: a.full_name for a in attributes(folder)}
    more = {"graph": graph, "saved_model": cut(folder), "names": names}
    return case(work, "bert_exact", tensors, TEXTS, encoded(model), **more)


def attributes(folder):
    """The attributes of all objects of a SavedModel."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    graph = TrackableObjectGraph.FromString(reader.get_tensor(GRAPH))
    return [a for node in graph.nodes for a in node.attributes]


def pieces(work):
    """A model of SentencePiece as ALBERT's."""
    import sentencepiece

    text = work / "text.txt"
    text.write_text("\n".join(["the cat sat on the mat", "a dog ran far away", "birds sing"] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(work / "30k-clean"), vocab_size=27, pad_id=0, unk_id=1,
        bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"], minloglevel=2,
    )  # fmt: skip
    return work / "30k-clean.model"


if __name__ == "__main__":
    WORK = Path(sys.argv[1])
    garden(WORK / "garden")
    hub(WORK / "tfhub")
