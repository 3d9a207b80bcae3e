"""tf_model.h5 and flax_model.msgpack that transformers 4 writes and runs, as cases for the tests.

    python benchmarks/on_disk/record_transformers.py tf|flax WORK

runs where transformers 4 is installed with tf-keras or with flax, without kzoo. Below WORK it
leaves the genuine folders, each with its inputs and outputs (under kzoo's names) beside it, and it
writes tests/golden/on_disk/tf_model.json or flax_model.json. All weights are noise that follows
from their names, so that the tests can write the same files.
"""

import base64
import json
import os
import sys
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "USE_TORCH": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import transformers

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.insert(0, str(TESTS))
from on_disk import flat, nested, noise  # noqa: E402

GOLDEN = TESTS / "golden" / "on_disk"
WORDS, PADDING, END = 16, 1, 2
LABELS = {0: "bad", 1: "fair", 2: "good"}
BERT = {
    "vocab_size": WORDS, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 16, "pad_token_id": PADDING,
}  # fmt: skip
GPT = {
    "vocab_size": WORDS, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16,
    "pad_token_id": PADDING, "bos_token_id": 0, "eos_token_id": END,
}  # fmt: skip
T5 = {
    "vocab_size": WORDS, "d_model": 8, "d_kv": 3, "d_ff": 12, "num_layers": 2,
    "num_decoder_layers": 1, "num_heads": 2, "relative_attention_num_buckets": 6,
    "pad_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
GATED = {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
BART = {
    "vocab_size": WORDS, "d_model": 8, "encoder_layers": 2, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 10, "max_position_embeddings": 16, "pad_token_id": PADDING,
    "eos_token_id": END, "decoder_start_token_id": END, "forced_eos_token_id": None,
}  # fmt: skip
VIT = {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
    "image_size": 12, "patch_size": 4,
}  # fmt: skip
MOBILEVIT = {
    "hidden_sizes": [8, 8, 12], "neck_hidden_sizes": [4, 4, 6, 8, 8, 8, 12], "expand_ratio": 2.0,
    "num_attention_heads": 2, "image_size": 64,
}  # fmt: skip
CLIP = {
    "text_config": {**BERT, "projection_dim": 6, "bos_token_id": 0, "eos_token_id": WORDS - 1},
    "vision_config": {**VIT, "projection_dim": 6},
    "projection_dim": 6,
}
HEADS = "ForTokenClassification ForQuestionAnswering ForMultipleChoice Model"
# What stands before the names of classes, the configuration, and what follows in each library;
# those with a star are cases of the tests.
FAMILIES = {
    "Bert": (
        BERT,
        "Model* ForSequenceClassification* ForTokenClassification* ForQuestionAnswering* "
        "ForMaskedLM* ForMultipleChoice* ForPreTraining*",
        f"ForMaskedLM* ForPreTraining ForSequenceClassification {HEADS}",
    ),
    "Roberta": (
        {**BERT, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
        f"ForMaskedLM* ForSequenceClassification* {HEADS}",
        f"ForMaskedLM ForSequenceClassification* {HEADS}",
    ),
    "XLMRoberta": (
        {**BERT, "type_vocab_size": 1},
        f"ForMaskedLM* ForSequenceClassification {HEADS}",
        f"ForMaskedLM ForSequenceClassification {HEADS}",
    ),
    "DistilBert": (
        {
            "vocab_size": WORDS, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12,
            "max_position_embeddings": 16, "pad_token_id": PADDING,
        },
        f"ForMaskedLM* ForSequenceClassification* {HEADS}",
        f"ForMaskedLM* ForSequenceClassification {HEADS}",
    ),
    "Albert": (
        {**BERT, "embedding_size": 6, "num_hidden_groups": 1},
        f"ForPreTraining* ForMaskedLM ForSequenceClassification {HEADS}",
        f"ForPreTraining ForMaskedLM* ForSequenceClassification {HEADS}",
    ),
    "GPT2": (
        GPT, "LMHeadModel* ForSequenceClassification* Model", "LMHeadModel* Model"
    ),
    "OpenAIGPT": (GPT, "LMHeadModel* ForSequenceClassification Model", ""),
    "GPTNeo": (
        {
            "vocab_size": WORDS, "hidden_size": 8, "num_layers": 2, "num_heads": 2,
            "attention_types": [[["global", "local"], 1]], "window_size": 3,
            "max_position_embeddings": 16, "pad_token_id": PADDING, "bos_token_id": 0,
            "eos_token_id": END,
        },
        "",
        "ForCausalLM* Model",
    ),
    "Bloom": (
        {"vocab_size": WORDS, "hidden_size": 8, "n_layer": 2, "n_head": 2, "pad_token_id": 3},
        "",
        "ForCausalLM* Model",
    ),
    "T5": (
        T5,
        "ForConditionalGeneration* EncoderModel* Model",
        "ForConditionalGeneration* EncoderModel Model",
    ),
    "MT5": (
        GATED,
        "ForConditionalGeneration* EncoderModel Model",
        "ForConditionalGeneration* EncoderModel Model",
    ),
    "Bart": (
        BART,
        "ForConditionalGeneration* ForSequenceClassification* Model",
        "ForConditionalGeneration ForSequenceClassification ForQuestionAnswering* Model",
    ),
    "MBart": (
        {**BART, "scale_embedding": True},
        "ForConditionalGeneration* Model",
        "ForConditionalGeneration* Model",
    ),
    "Marian": ({**BART, "scale_embedding": True}, "MTModel* Model", "MTModel* Model"),
    "ViT": (VIT, "ForImageClassification* Model", "ForImageClassification* Model"),
    "DeiT": (
        VIT, "ForImageClassificationWithTeacher* ForImageClassification Model", ""
    ),
    "MobileViT": (MOBILEVIT, "ForImageClassification* Model", ""),
    "CLIP": (CLIP, "Model*", "Model*"),
    "CLIPText": (CLIP["text_config"], "", "ModelWithProjection*"),
}  # fmt: skip
COLUMN = {"tf": 1, "flax": 2}
# An output's name in kzoo.
OUTPUTS = {
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
    "prediction_logits": "logits",
    "text_embeds": "text_embedding",
    "image_embeds": "image_embedding",
    "cls_logits": "class_logits",
    "encoder_last_hidden_state": "memory",
}
UNUSED = {"seq_relationship_logits", "sop_logits", "logits_per_text"}


def inputs(stem, suffix, config):
    """Ragged texts, pairs of them or pictures, by kzoo's names."""
    draw, lengths = np.random.default_rng(3), np.array([[6], [4]])
    ids = draw.integers(5, WORDS - 2, (2, 6))
    mask = (np.arange(6) < lengths).astype("int32")
    ids[np.arange(2), lengths[:, 0] - 1] = config.eos_token_id if stem == "Bart" else 5
    padding = getattr(config, "pad_token_id", PADDING)
    texts = {"token_ids": np.where(mask, ids, padding), "padding_mask": mask}
    size = getattr(config, "image_size", VIT["image_size"])
    size = size if isinstance(size, list) else [size, size]
    pictures = {"images": 5 * noise("images", (2, *size, 3))}
    if stem in ("ViT", "DeiT", "MobileViT"):
        return pictures
    if stem in ("CLIP", "CLIPText"):
        texts["token_ids"] = np.where(np.arange(6) < lengths - 1, ids, WORDS - 1)
        return texts | pictures if stem == "CLIP" else texts
    reads = "Encoder" in suffix or "Classification" in suffix or "Question" in suffix
    if config.is_encoder_decoder and not reads:
        later = np.where(mask[::-1], ids[::-1], padding)[:, :5]
        read = {f"encoder_{name}": value for name, value in texts.items()}
        return {**read, "decoder_token_ids": later, "decoder_padding_mask": mask[::-1][:, :5]}
    if getattr(config, "type_vocab_size", 1) > 1:
        texts["segment_ids"] = draw.integers(0, 2, (2, 6)) * mask
    if suffix == "ForMultipleChoice":
        texts = {name: np.stack([value, value[::-1]], axis=1) for name, value in texts.items()}
    return texts


def there(given):
    """The inputs by the names that transformers has for them."""
    names = {"token_ids": "input_ids", "padding_mask": "attention_mask"}
    names["segment_ids"] = "token_type_ids"
    found = {}
    for name, value in given.items():
        tower, _, rest = name.partition("_") if "coder_" in name else ("", "", name)
        if name == "images":
            found["pixel_values"] = value.transpose(0, 3, 1, 2)
        else:
            found["decoder_" * (tower == "decoder") + names[rest]] = value.astype("int32")
    return found


def of_tensorflow(cls, config, given, folder, options):
    import h5py
    from transformers.activations_tf import get_tf_activation

    model = getattr(transformers, f"TF{cls}")(config)
    model.build_in_name_scope()
    for weight in model.weights:
        if "Marian" not in cls or "embed_positions" not in weight.name:  # waves, not learned
            weight.assign(noise(weight.name, weight.shape))
    for block in model.transformer.h if "OpenAI" in cls else ():
        # TensorFlow's class alone takes the form with erf, which the weights weren't trained with.
        block.mlp.act = get_tf_activation("gelu_new")
    model.save_pretrained(folder, **options)
    outputs, files = model(**there(given), return_dict=True), {}
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as file:
            shapes = {name: _shapes(file[name]) for name in _names(file, "layer_names")}
            files[path.name] = nested(shapes)  # The layers' names have no slashes, those of shards.
    return outputs, files


def _shapes(item):
    if not hasattr(item, "keys"):
        return list(item.shape)
    return nested({name: list(item[name].shape) for name in _names(item, "weight_names")})


def _names(item, attribute):
    return [name.decode() if isinstance(name, bytes) else name for name in item.attrs[attribute]]


def of_flax(cls, config, given, folder, options):
    from flax.traverse_util import flatten_dict, unflatten_dict

    model = getattr(transformers, f"Flax{cls}")(config)
    shapes = {name: list(x.shape) for name, x in flatten_dict(model.params, sep="/").items()}
    learned = {name: noise(name, shape) for name, shape in shapes.items()}
    model.params = unflatten_dict(learned, sep="/")
    model.save_pretrained(folder, **options)
    asked = there(given)
    if cls.startswith(("Bert", "Roberta", "XLMRoberta", "Albert")):
        asked.setdefault("token_type_ids", np.zeros_like(asked["input_ids"]))
    outputs, index = model(**asked, return_dict=True), folder / "flax_model.msgpack.index.json"
    places = json.loads(index.read_text())["weight_map"] if index.is_file() else {}
    files = {}
    for name, shape in shapes.items():
        files.setdefault(places.get(name, "flax_model.msgpack"), {})[name] = shape
    return outputs, {name: nested(each) for name, each in files.items()}


def rounded(array):
    return [float(f"{x:.7g}") for x in np.asarray(array, "float32").ravel().tolist()]


def recorded(library, stem, suffix, work, name, changes=None, **options):
    changes = {**FAMILIES[stem][0], **(changes or {})}
    if "Sequence" in suffix or "Token" in suffix or "Image" in suffix:
        changes = {**changes, "id2label": LABELS, "label2id": {v: k for k, v in LABELS.items()}}
    config = getattr(transformers, f"{stem}Config")(**changes)
    given, folder = inputs(stem, suffix, config), work / name
    run = {"tf": of_tensorflow, "flax": of_flax}[library]
    outputs, files = run(stem + suffix, config, given, folder, options)
    names = OUTPUTS | ({"text_embeds": "pooled_output"} if stem == "CLIPText" else {})
    found = {
        names.get(name, name): np.asarray(value)
        for name, value in outputs.items()
        if name not in UNUSED and hasattr(value, "shape")
    }
    if suffix != "Model":  # A head's class gives what the encoder made as well.
        found.pop("memory", None)
    if stem == "MobileViT" and suffix == "Model":  # A map there.
        states = found["sequence_output"]
        found["sequence_output"] = states.reshape(*states.shape[:2], -1).transpose(0, 2, 1)
    np.savez(work / f"{name}.inputs.npz", **given)
    np.savez(work / f"{name}.outputs.npz", **found)
    index = next(iter(folder.glob("*.index.json")), None)
    return {
        "case": name,
        "config": json.loads((folder / "config.json").read_text()),
        "files": files,
        **({"index": json.loads(index.read_text())} if index else {}),
        "inputs": {n: x.tolist() for n, x in given.items() if n != "images"}
        | {n: list(x.shape) for n, x in given.items() if n == "images"},
        "outputs": {n: {"shape": x.shape, "values": rounded(x)} for n, x in found.items()},
    }


def record_bytes():
    """What Flax's codec makes of arrays of every kind, as bytes and as what they are."""
    import flax.serialization
    import ml_dtypes

    draw = np.random.default_rng(8)
    tree = {
        "a_name_that_is_longer_than_31_letters": {"kernel": draw.integers(-9, 9, (2, 3)) / 4},
        "many": {str(i): np.float32([i]) for i in range(17)},
        "row": np.arange(300, dtype="int32"),
        "in_pieces": draw.integers(-9, 9, (20, 30)).astype("float32"),
        "number": np.float32(0.25),
        "truths": np.array([True, False]),
        "half": np.float16([0.5, -2]),
        "brain": np.array([0.5, -2], ml_dtypes.bfloat16),
        "none": np.zeros((0, 4), "float32"),
    }
    flax.serialization.MAX_CHUNK_SIZE = 1500
    arrays = {
        name: [x.dtype.name, list(x.shape), x.ravel().astype("float64").tolist()]
        for name, x in flat(tree).items()
    }
    packed = base64.b64encode(flax.serialization.to_bytes(tree)).decode()
    text = json.dumps({"bytes": packed, "arrays": arrays}, separators=(",", ":"))
    (GOLDEN / "flax_bytes.json").write_text(f"{text}\n")


def main(library, work):
    work.mkdir(parents=True, exist_ok=True)
    cases = []
    for stem, row in FAMILIES.items():
        for marked in row[COLUMN[library]].split():
            suffix = marked.removesuffix("*")
            case = recorded(library, stem, suffix, work, f"{library}_{stem}{suffix}")
            cases += [case] * (marked != suffix)
    small = {"encoder_layers": 1}
    more = ("Bart", "ForConditionalGeneration", work, f"{library}_in_shards", small)
    cases.append(recorded(library, *more, max_shard_size="4KB"))
    # Not for the tests, which write it from another case.
    more = ("Bert", "ForSequenceClassification", work, f"{library}_as_safetensors")
    recorded(library, *more, safe_serialization=True)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    path = GOLDEN / f"{library}_model.json"
    text = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f"[\n{text}\n]\n")
    if library == "flax":
        record_bytes()
    print(len(cases), "cases,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
