"""Checkpoints of TensorFlow 1 as Google's releases are, and what transformers makes of them.

    python benchmarks/on_disk/record_google.py WORK

Runs where transformers 4 with torch and TensorFlow are installed. Writes each checkpoint below WORK
with TensorFlow's own Saver, under the names of Google's releases and with what an optimizer leaves,
reads it with transformers' own loader, and writes names, shapes and outputs to
tests/golden/on_disk/google.json.
"""

import os

import triton  # noqa: F401  before TensorFlow: their copies of LLVM end the process otherwise

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import torch
import transformers
from checkpoint_cases import IDS, TEXTS, case, contents, noise
from checkpoint_cases import write as write_golden
from transformers.models.albert.modeling_albert import load_tf_weights_in_albert
from transformers.models.bert.modeling_bert import load_tf_weights_in_bert
from transformers.models.t5.modeling_t5 import load_tf_weights_in_t5

PAIRS = {
    "encoder_token_ids": TEXTS["token_ids"],
    "encoder_padding_mask": TEXTS["padding_mask"],
    "decoder_token_ids": np.array(IDS, "int32")[:, :4],
    "decoder_padding_mask": np.ones((2, 4), "int32"),
}
# An output's name in kzoo.
OUTPUTS = {
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
    "prediction_logits": "logits",
    "logits": "logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
}
SIZES = {
    "vocab_size": 37,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}


def map_(name, inputs, outputs):
    """The variables of a dense layer."""
    return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}


def norm(name, width):
    """The variables of a layer norm."""
    return {f"{name}/gamma": (width,), f"{name}/beta": (width,)}


def embeddings(width):
    """BERT's and ALBERT's embeddings."""
    return {
        "bert/embeddings/word_embeddings": (37, width),
        "bert/embeddings/position_embeddings": (16, width),
        "bert/embeddings/token_type_embeddings": (2, width),
        **norm("bert/embeddings/LayerNorm", width),
    }


def bert():
    """The variables of BERT's encoder."""
    shapes = embeddings(8)
    for layer in (f"bert/encoder/layer_{i}" for i in range(2)):
        for part in ("query", "key", "value"):
            shapes |= map_(f"{layer}/attention/self/{part}", 8, 8)
        shapes |= map_(f"{layer}/attention/output/dense", 8, 8)
        shapes |= norm(f"{layer}/attention/output/LayerNorm", 8)
        shapes |= map_(f"{layer}/intermediate/dense", 8, 12)
        shapes |= map_(f"{layer}/output/dense", 12, 8) | norm(f"{layer}/output/LayerNorm", 8)
    return shapes | map_("bert/pooler/dense", 8, 8)


def albert():
    """The variables of ALBERT's encoder."""
    shapes = embeddings(4) | map_("bert/encoder/embedding_hidden_mapping_in", 4, 8)
    inner = "bert/encoder/transformer/group_0/inner_group_0"
    for part in ("query", "key", "value"):
        shapes |= map_(f"{inner}/attention_1/self/{part}", 8, 8)
    shapes |= map_(f"{inner}/attention_1/output/dense", 8, 8)
    shapes |= norm(f"{inner}/LayerNorm", 8) | norm(f"{inner}/LayerNorm_1", 8)
    shapes |= map_(f"{inner}/ffn_1/intermediate/dense", 8, 12)
    shapes |= map_(f"{inner}/ffn_1/intermediate/output/dense", 12, 8)
    return shapes | map_("bert/pooler/dense", 8, 8)


def pretraining(width):
    """The variables of the two heads of pretraining."""
    return {
        "cls/predictions/output_bias": (37,),
        **map_("cls/predictions/transform/dense", 8, width),
        **norm("cls/predictions/transform/LayerNorm", width),
        "cls/seq_relationship/output_weights": (2, 8),
        "cls/seq_relationship/output_bias": (2,),
    }


def labels(scope, count):
    """The variables of a head that scores labels, or ends of an answer."""
    return {f"{scope}output_weights": (count, 8), f"{scope}output_bias": (count,)}


def t5(wide, tied):
    """The variables of T5, as mesh_tensorflow names them."""
    shapes = {"shared/embedding": (37, 8)}
    for tower, parts in {
        "encoder": ("SelfAttention",),
        "decoder": ("SelfAttention", "EncDecAttention"),
    }.items():
        for i in range(2):
            for place, part in enumerate(parts):
                layer = f"{tower}/block_{i:03d}/layer_{place:03d}"
                shapes |= {f"{layer}/{part}/{p}": (8, 12) for p in "qkv"}
                shapes |= {f"{layer}/{part}/o": (12, 8), f"{layer}/layer_norm/scale": (8,)}
                if i == 0 and part == "SelfAttention":
                    shapes[f"{layer}/{part}/relative_attention_bias"] = (2, 32)
            layer = f"{tower}/block_{i:03d}/layer_{len(parts):03d}"
            shapes |= {f"{layer}/DenseReluDense/{w}/kernel": (8, 10) for w in wide}
            shapes |= {f"{layer}/DenseReluDense/wo/kernel": (10, 8)}
            shapes |= {f"{layer}/layer_norm/scale": (8,)}
        shapes[f"{tower}/final_layer_norm/scale"] = (8,)
    return shapes | ({} if tied else {"decoder/logits/kernel": (8, 37)})


def with_training(shapes):
    """The same with what an optimizer leaves beside them."""
    first = next(iter(shapes))
    slots = ("_slot_vr", "_slot_vc") if first == "shared/embedding" else ("/adam_m", "/adam_v")
    return shapes | {f"{first}{slot}": shapes[first] for slot in slots} | {"global_step": ()}


BERT = {**SIZES, "hidden_act": "gelu", "pooler_type": "first_token_transform"}
ALBERT = {
    **SIZES,
    "hidden_act": "gelu_new",
    "embedding_size": 4,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "net_structure_type": 0,
}
T5 = {
    "vocab_size": 37,
    "d_model": 8,
    "d_kv": 6,
    "d_ff": 10,
    "num_heads": 2,
    "num_layers": 2,
    "decoder_start_token_id": 0,
}
GATED = {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
# case: variables, the config, its file, the class there, the head that its loader can't read
CASES = {
    "bert": (bert(), BERT, "bert_config.json", "BertModel", None),
    "bert_masked_lm": (bert() | pretraining(8), BERT, "bert_config.json", "BertForPreTraining", ()),
    "bert_classifier": (
        bert() | labels("", 3), BERT, "bert_config.json", "BertForSequenceClassification",
        ("classifier", ""),
    ),
    "bert_squad": (
        bert() | labels("cls/squad/", 2), BERT, "bert_config.json", "BertForQuestionAnswering",
        ("qa_outputs", "cls/squad/"),
    ),
    "albert": (albert(), ALBERT, "albert_config.json", "AlbertModel", None),
    "albert_masked_lm": (
        albert() | pretraining(4), ALBERT, "albert_config.json", "AlbertForPreTraining", (),
    ),
    "albert_classifier": (
        albert() | labels("", 3), ALBERT, "albert_config.json", "AlbertForSequenceClassification",
        ("classifier", ""),
    ),
    "albert_squad": (
        albert() | labels("cls/squad/", 2), ALBERT, "albert_config.json",
        "AlbertForQuestionAnswering", ("qa_outputs", "cls/squad/"),
    ),
    "t5": (t5(["wi"], True), T5, None, "T5ForConditionalGeneration", None),
    "t5_gated": (t5(["wi_0", "wi_1"], False), GATED, None, "T5ForConditionalGeneration", None),
}  # fmt: skip


def write(prefix, arrays):
    """Save arrays under their names as TensorFlow 1 does."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        for name, array in arrays.items():
            tf.compat.v1.Variable(array, name=name, use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(prefix))


def model_of(prefix, arrays, config, name, head):
    """transformers' model of a checkpoint, by its own loader; heads that it can't read by hand."""
    model = getattr(transformers, name)
    made = model(model.config_class(**config, **({"num_labels": 3} if "Sequence" in name else {})))
    for weight in made.parameters():
        weight.data.fill_(float("nan"))  # what the loader leaves out would be seen
    loaders = {
        "Bert": load_tf_weights_in_bert,
        "Albert": load_tf_weights_in_albert,
        "T5": load_tf_weights_in_t5,
    }
    loader = next(f for stem, f in loaders.items() if name.startswith(stem))
    if not head:
        # Without a head the loader is to find the scope "bert" in what it fills.
        target = type("Scope", (torch.nn.Module,), {})() if head is None else made
        if head is None and name != "T5ForConditionalGeneration":
            setattr(target, made.base_model_prefix, made)
        else:
            target = made
        loader(target, made.config, str(prefix))
    else:
        bare = prefix.with_name("bare.ckpt")
        without = ("output_", "pooler") if name.endswith("Answering") else ("output_",)
        write(bare, {n: a for n, a in arrays.items() if not any(part in n for part in without)})
        loader(made, made.config, str(bare))
        for file in bare.parent.glob("bare.ckpt*"):
            file.unlink()
        attribute, scope = head
        layer = getattr(made, attribute)
        layer.weight.data = torch.from_numpy(arrays[f"{scope}output_weights"])
        layer.bias.data = torch.from_numpy(arrays[f"{scope}output_bias"])
    return made.eval()


def outputs_of(model, name):
    """The outputs by the names that a test knows."""
    with torch.no_grad():
        if name.startswith("T5"):
            found = model(
                input_ids=torch.tensor(PAIRS["encoder_token_ids"]),
                attention_mask=torch.tensor(PAIRS["encoder_padding_mask"]),
                decoder_input_ids=torch.tensor(PAIRS["decoder_token_ids"]),
            )
        else:
            found = model(
                input_ids=torch.tensor(TEXTS["token_ids"]),
                attention_mask=torch.tensor(TEXTS["padding_mask"]),
                token_type_ids=torch.tensor(TEXTS["segment_ids"]),
            )
    return {here: found[there].numpy() for there, here in OUTPUTS.items() if there in found}


def main(work):
    """Write all cases below a folder, and the golden file."""
    cases = []
    for name, (shapes, config, file, cls, head) in CASES.items():
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        prefix = folder / "model.ckpt"
        arrays = {n: noise(n, shape) for n, shape in with_training(shapes).items()}
        arrays["global_step"] = np.array(7, "int64")
        write(prefix, arrays)
        if file:
            (folder / file).write_text(json.dumps(config, indent=2))
        outputs = outputs_of(model_of(prefix, arrays, config, cls, head), cls)
        assert not any(np.isnan(x).any() for x in outputs.values())
        tensors, _ = contents(prefix)
        inputs = PAIRS if cls.startswith("T5") else TEXTS
        given = {"file": file, "config": config if file else None}
        cases.append(case(work, name, tensors, inputs, outputs, **given))
    write_golden("google", cases)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
