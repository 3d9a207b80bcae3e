"""Hugging Face folders both ways: the same numbers as transformers, the same bytes back.

The reference models are tiny, but every trainable number in them is noise: the usual
initialisation (zeros and ones in half the tensors) would hide a bias that was never read.
"""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from families import noisy

import kzoo
from kzoo import presets
from kzoo.checkpoints.safetensors import read_tensors, write_tensors
from kzoo.generation import ChatTemplate
from kzoo.models import build
from kzoo.network import weights_by_path

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
pytestmark = pytest.mark.parity

LENGTHS = (11, 7, 3)
LABELS = ("bad", "fair", "good")
TOLERANCE = 1e-5
SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}
# Of DeBERTa, whose classes have other places unless they are told.
DISENTANGLED = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
FAMILIES = {
    "bert": ("Bert", SIZES),
    "roberta": (
        "Roberta",
        {**SIZES, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    ),
    "distilbert": (
        "DistilBert",
        {
            "vocab_size": 50,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 24,
        },
    ),
    "albert": ("Albert", {**SIZES, "embedding_size": 16}),
    "electra": ("Electra", {**SIZES, "embedding_size": 16}),
    "mpnet": ("MPNet", {**SIZES, "layer_norm_eps": 1e-5}),
    "roformer": ("RoFormer", SIZES),
    "deberta": ("Deberta", {**SIZES, **DISENTANGLED, "max_relative_positions": 6}),
    "deberta_v2": (
        "DebertaV2",
        {
            **SIZES,
            **DISENTANGLED,
            "position_buckets": 4,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
    ),
    "mobilebert": (
        "MobileBert",
        {
            **SIZES,  # Narrow, because no norm keeps numbers near 1.
            "hidden_size": 12,
            "embedding_size": 5,
            "intra_bottleneck_size": 8,
            "intermediate_size": 6,
            "num_feedforward_networks": 3,
        },
    ),
}
# Those that write, with what follows the name of their classes.
DECODERS = {
    "gpt2": (
        "GPT2",
        {
            "vocab_size": 50,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 24,
            "pad_token_id": 3,
            "classifier_dropout": 0.2,
        },
        "Model LMHeadModel ForSequenceClassification ForTokenClassification ForQuestionAnswering",
    ),
    "gpt": (
        "OpenAIGPT",
        {
            "vocab_size": 50,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 24,
            "pad_token_id": 3,
        },
        "Model LMHeadModel ForSequenceClassification",
    ),
    "gpt_neo": (
        "GPTNeo",
        {
            "vocab_size": 50,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 3,
            "max_position_embeddings": 24,
            "pad_token_id": 3,
            "classifier_dropout": 0.2,
        },
        "Model ForCausalLM ForSequenceClassification ForTokenClassification ForQuestionAnswering",
    ),
    "bloom": (
        "Bloom",
        {"vocab_size": 50, "hidden_size": 36, "n_layer": 2, "n_head": 6, "pad_token_id": 3},
        "Model ForCausalLM ForSequenceClassification ForTokenClassification ForQuestionAnswering",
    ),
    "palm": (
        "Cohere",
        {
            **SIZES,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "logit_scale": 0.3,
            "layer_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 700.0},
        },
        "Model ForCausalLM",
    ),
}
TASKS = {
    "Model": None,
    "ForSequenceClassification": "TextClassifier",
    "ForTokenClassification": "TokenClassifier",
    "ForQuestionAnswering": "QuestionAnswering",
    "ForMaskedLM": "MaskedLM",
    "ForMultipleChoice": "MultipleChoice",
}
CHOICE = "ForMultipleChoice"
WRITE = {"LMHeadModel": "CausalLM", "ForCausalLM": "CausalLM"}
WRITING = [(family, suffix) for family in DECODERS for suffix in DECODERS[family][2].split()]
READING = [
    (family, suffix)
    for family, (stem, _) in FAMILIES.items()
    for suffix in TASKS
    if hasattr(transformers, stem + suffix)
]
EVERY = READING + WRITING
# There RoFormer's class reads the last place, be it padding, here the last token's; and in DeBERTa
# a padding place sees nothing, the first of a text that is padded on the left too.
SIDES = {
    ("roformer", CHOICE): ("left",),
    ("deberta", "ForSequenceClassification"): ("right",),
    ("deberta_v2", "ForSequenceClassification"): ("right",),
    ("deberta_v2", CHOICE): ("right",),
}


def reference(family, suffix, **changes):
    """A tiny model of transformers with noise on every trainable number."""
    torch.manual_seed(len(family) + len(suffix))
    stem, sizes, *_ = {**FAMILIES, **DECODERS}[family]
    labels = {}
    if "Sequence" in suffix or "Token" in suffix:
        labels = {
            "id2label": dict(enumerate(LABELS)),
            "label2id": {name: i for i, name in enumerate(LABELS)},
        }
    config = getattr(transformers, f"{stem}Config")(**{**sizes, **labels, **changes})
    config._attn_implementation = "eager"
    model = getattr(transformers, stem + suffix)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter) * parameter.requires_grad
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders that transformers wrote, made when first asked for."""
    made = {}

    def folder(family, suffix):
        if (family, suffix) not in made:
            path = tmp_path_factory.mktemp(f"{family}{suffix}")
            model = reference(family, suffix)
            model.save_pretrained(path)
            made[family, suffix] = path, model
        return made[family, suffix]

    return folder


def batch(model, suffix, side="right"):
    """Token ids for kzoo and for transformers, with ragged padding on a side."""
    draw = np.random.default_rng(3)
    padding = model.config.pad_token_id
    ids = draw.integers(5, 50, (len(LENGTHS), max(LENGTHS)))
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    mask = mask if side == "right" else mask[:, ::-1]
    ids = np.where(mask, ids, padding)
    segments = np.where(mask, draw.integers(0, 2, ids.shape), 0)
    columns = {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}
    if suffix == "ForMultipleChoice":
        columns = {k: np.stack([v, v[::-1]], axis=1) for k, v in columns.items()}
    columns = {k: v.astype("int32") for k, v in columns.items()}
    there = {"input_ids": columns["token_ids"], "attention_mask": columns["padding_mask"]}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        there["token_type_ids"] = columns["segment_ids"]
    return columns, {k: torch.from_numpy(v).long() for k, v in there.items()}


def assert_same(model, theirs, suffix, side="right"):
    """Every output of both models agrees wherever there is a token."""
    columns, there = batch(theirs, suffix, side)
    with torch.no_grad():
        expected = theirs(**there, output_hidden_states=True, output_attentions=True)
    mask = columns["padding_mask"].astype(bool)
    if suffix == "Model":
        columns = {name: columns[name] for name in model.input_names}
        ours = model(columns, return_hidden_states=True, return_attention_maps=True)
        pairs = [("sequence_output", "last_hidden_state")]
        pairs += [("pooled_output", "pooler_output")] * (model.spec.pooler != "none")
        assert len(ours["hidden_states"]) == len(expected["hidden_states"]) == 3
        for here, other in zip(ours["hidden_states"], expected["hidden_states"], strict=True):
            assert distance(here, other, mask) < TOLERANCE
        assert len(ours["attention_maps"]) == len(expected["attentions"]) == 2
        for here, other in zip(ours["attention_maps"], expected["attentions"], strict=True):
            rows = np.broadcast_to(mask[:, None, :], here.shape[:3])
            assert distance(here, other, rows) < TOLERANCE
    else:
        ours = model(columns)
        names = ["start_logits", "end_logits"] if "Question" in suffix else ["logits"]
        pairs = [(name, name) for name in names]
    for here, other in pairs:
        shape = tuple(ours[here].shape)
        assert shape == tuple(expected[other].shape)
        places = mask if shape[:2] == mask.shape and "Choice" not in suffix else None
        assert distance(ours[here], expected[other], places) < TOLERANCE


def distance(here, there, mask=None):
    """The largest difference, where the mask allows."""
    difference = np.abs(np.asarray(here) - np.asarray(there))
    return float(difference.max() if mask is None else difference[mask].max())


def add_noise(model):
    """Noise on every weight of a kzoo model."""
    draw = np.random.default_rng(9)
    for weight in weights_by_path(model).values():
        weight.assign_add(draw.normal(0, 0.2, weight.shape).astype("float32"))


def contents(folder):
    """What the weights file says, name by name, to the byte."""
    return {
        name: (lazy.dtype, lazy.shape, lazy.read().tobytes())
        for name, lazy in read_tensors(folder / "model.safetensors").items()
    }


def reload(theirs, folder):
    """A folder of kzoo's as transformers loads it, which must miss and ignore nothing."""
    model, report = type(theirs).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.parametrize(("family", "suffix"), EVERY)
def test_both_ways(family, suffix, folders, tmp_path):
    folder, theirs = folders(family, suffix)
    model = kzoo.from_huggingface(folder)
    expected = {**TASKS, **WRITE}[suffix] or type(model).__name__
    assert type(model).__name__ == expected
    assert getattr(model, "backbone", model).family == family
    if expected in ("TextClassifier", "TokenClassifier"):
        assert model.labels == list(LABELS)
    sides = SIDES.get((family, suffix), ("right", "left"))
    for side in sides:
        assert_same(model, theirs, suffix, side)

    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)

    add_noise(model)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = reload(theirs, tmp_path / "there")
    assert_same(model, theirs, suffix, sides[0])
    if expected in ("TextClassifier", "TokenClassifier"):
        assert theirs.config.id2label == dict(enumerate(LABELS))


# -- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", DECODERS)
def test_it_writes_the_tokens_that_the_reference_writes(family, folders):
    """Prompts of several lengths at once; there each alone, since GPT counts padding as places."""
    suffix = next(suffix for suffix in DECODERS[family][2].split() if suffix in WRITE)
    folder, theirs = folders(family, suffix)
    model = kzoo.from_huggingface(folder)
    prompts, ends = [[7, 8, 9, 10, 11], [30], [22, 5, 40]], [6, 18, 27, 39]
    # No token twice: what noise writes soon repeats one, whatever it sees.
    greedy = {"no_repeat_ngram_size": 1, "min_new_tokens": 4}
    for ways in (greedy, {**greedy, "num_beams": 3, "repetition_penalty": 1.4}):
        actual = model.generate(prompts, max_new_tokens=12, end_token_ids=ends, **ways)
        for prompt, tokens in zip(prompts, actual, strict=True):
            expected = theirs.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)),
                max_new_tokens=12, do_sample=False, eos_token_id=ends, pad_token_id=3, **ways,
            )  # fmt: skip
            assert tokens == expected[0, len(prompt) :].tolist(), (ways, prompt)


@pytest.mark.parametrize(
    "changes", [{"num_key_value_heads": 2, "attention_bias": True}, {"num_key_value_heads": 4}]
)
def test_cohere_with_more_heads_and_biases(changes, tmp_path):
    """And with the rotary base where transformers 4 keeps it."""
    theirs = reference("palm", "ForCausalLM", **changes)
    theirs.save_pretrained(tmp_path / "here")
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    (tmp_path / "here" / "config.json").write_text(json.dumps(config))
    model = kzoo.from_huggingface(tmp_path / "here")
    assert_same(model, theirs, "ForCausalLM")
    kzoo.to_huggingface(model, tmp_path / "there")
    assert "rope_parameters" not in json.loads((tmp_path / "there" / "config.json").read_text())
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "anew")
    assert_same(model, reload(theirs, tmp_path / "anew"), "ForCausalLM")


def test_transformers_ends_where_the_tokenizer_says(tmp_path):
    from test_causal_lm import END, SPEC, byte_tokenizer

    task = kzoo.CausalLM(build(SPEC), tokenizer=byte_tokenizer())
    template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    task.tokenizer.chat_template = ChatTemplate({"default": template}, {"eos_token": END})
    task.save_preset(tmp_path / "preset")
    for name, source in (("there", task), ("again", kzoo.load(tmp_path / "preset"))):
        kzoo.to_huggingface(source, tmp_path / name)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / name)
        assert theirs.generation_config.eos_token_id == theirs.config.eos_token_id == 0
        assert theirs.generation_config.bos_token_id == 0
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
        assert tokenizer.eos_token == END
        chat = [{"role": "user", "content": "hi"}]
        assert tokenizer.apply_chat_template(chat, tokenize=False) == f"hi{END}"
        back = kzoo.from_huggingface(tmp_path / name)
        assert back.tokenizer.chat_template.templates == {"default": template}
    kzoo.to_huggingface(back, tmp_path / "back")
    for path in (tmp_path / "again").glob("*.j*"):
        assert (tmp_path / "back" / path.name).read_text() == path.read_text(), path.name


@pytest.mark.parametrize("family", ["bert", "mobilebert"])
def test_a_next_sentence_is_that_of_transformers(family, tmp_path):
    """Both ways; the head is what a `PreTraining` of the family learns of pairs."""
    theirs = reference(family, "ForNextSentencePrediction")
    theirs.save_pretrained(tmp_path / "there")
    model = kzoo.from_huggingface(tmp_path / "there")
    assert type(model) is kzoo.NextSentence and not model.origin.carried
    assert_same(model, theirs, "ForNextSentencePrediction")
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "there")
    del model.origin
    add_noise(model)
    kzoo.to_huggingface(model, tmp_path / "again")
    assert_same(model, reload(theirs, tmp_path / "again").eval(), "ForNextSentencePrediction")


def test_the_order_of_an_albert_is_that_of_its_pre_training(folders):
    folder, theirs = folders("albert", "ForPreTraining")
    model = kzoo.NextSentence(kzoo.from_huggingface(folder))
    assert model.labels == ["follows", "does not follow"]
    columns, there = batch(theirs, "ForPreTraining")
    with torch.no_grad():
        expected = theirs(**there).sop_logits
    assert distance(model(columns)["logits"], expected) < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "albert", "mobilebert"])
def test_pre_training_has_both_scores_of_transformers(family, folders, tmp_path):
    """Tokens and pairs, both ways; the loss on the same targets too."""
    folder, theirs = folders(family, "ForPreTraining")
    model = kzoo.from_huggingface(folder)
    assert type(model) is kzoo.PreTraining and not model.origin.carried
    assert model.pairs == {"albert": "sentence_order"}.get(family, "next_sentence")
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)
    del model.origin
    add_noise(model)
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = reload(theirs, tmp_path / "there").eval()
    columns, there = batch(theirs, "ForPreTraining")
    draw = np.random.default_rng(0)
    chosen = (draw.random(columns["token_ids"].shape) < 0.4) & (columns["padding_mask"] > 0)
    targets = np.where(chosen, draw.integers(5, 50, chosen.shape), -100)
    label = np.array([0, 1, 1])
    name = {"albert": "sentence_order_label"}.get(family, "next_sentence_label")
    with torch.no_grad():
        expected = theirs(
            **there, labels=torch.from_numpy(targets), **{name: torch.from_numpy(label)}
        )
    pairs = {"albert": "sop_logits"}.get(family, "seq_relationship_logits")
    ours = model(columns)
    mask = columns["padding_mask"].astype(bool)
    # Noise upon noise: float32 rounds numbers of this size by more.
    size = max(1.0, float(expected.prediction_logits.abs().max()))
    assert distance(ours["logits"], expected.prediction_logits, mask) < TOLERANCE * size
    assert distance(ours["pair_logits"], expected[pairs]) < TOLERANCE
    model.compile()
    y = {"logits": targets.astype("int32"), "pair_logits": label.astype("int32")}
    loss = model.compute_loss(columns, y, ours, training=False)
    assert abs(float(loss) - float(expected.loss)) < TOLERANCE


def test_electras_discriminator_and_generator_learn_as_those_of_transformers(tmp_path):
    """Both ways; the losses of both on the same tokens."""
    theirs = reference("electra", "ForPreTraining")
    theirs.save_pretrained(tmp_path / "discriminator")
    masked = reference("electra", "ForMaskedLM", hidden_size=16, num_attention_heads=2)
    for name, tensor in theirs.electra.embeddings.state_dict().items():
        masked.electra.embeddings.state_dict()[name].copy_(tensor)
    masked.save_pretrained(tmp_path / "generator")
    model = kzoo.from_huggingface(tmp_path / "discriminator")
    assert type(model) is kzoo.ReplacedTokenDetection and model.generator is None
    assert_same(model, theirs, "ForPreTraining")
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "discriminator")

    generator = kzoo.from_huggingface(tmp_path / "generator")
    model = kzoo.ReplacedTokenDetection(model, generator=generator)
    add_noise(model)
    kzoo.to_huggingface(model, tmp_path / "there")
    kzoo.to_huggingface(model.generator, tmp_path / "generator_there")
    theirs, masked = (
        reload(theirs, tmp_path / "there"),
        reload(masked, tmp_path / "generator_there"),
    )
    assert_same(model, theirs, "ForPreTraining")
    columns, there = batch(theirs, "ForPreTraining")
    places = np.array([[1, 4], [2, 5], [0, 0]])  # Of the last row one is hidden.
    counted = np.array([[1, 1], [1, 1], [1, 0]])
    original = np.take_along_axis(columns["token_ids"], places, 1)
    shown = columns["token_ids"].copy()
    shown[np.repeat(range(3), 2), places.ravel()] = 4
    hidden = {
        "hidden_places": places, "hidden_padding_mask": counted, "hidden_token_ids": original,
        "hidden_draws": np.random.default_rng(0).integers(0, 2**24, (3, 2)),
    }  # fmt: skip
    hidden = {name: value.astype("int32") for name, value in hidden.items()}
    outputs = model({**columns, "token_ids": shown, **hidden})
    model.compile()
    y = np.where(counted, original, -100).astype("int32")
    loss = model.compute_loss(columns, y, outputs, training=False)
    labels = np.full(shown.shape, -100)
    put = shown.copy()
    rows = [(row, i) for row in range(3) for i in range(2) if counted[row, i]]
    for row, i in rows:
        labels[row, places[row, i]] = original[row, i]
    with torch.no_grad():
        ids = {**there, "input_ids": torch.from_numpy(shown).long()}
        first = masked(**ids, labels=torch.from_numpy(labels))
        shares = np.cumsum(first.logits.softmax(-1).numpy(), -1)
        for row, i in rows:
            chance = hidden["hidden_draws"][row, i] / 2**24
            put[row, places[row, i]] = np.searchsorted(shares[row, places[row, i]], chance)
        replaced = torch.from_numpy(put != columns["token_ids"]).long()
        ids = {**there, "input_ids": torch.from_numpy(put).long()}
        second = theirs(**ids, labels=replaced)
    assert replaced.sum() > 2
    assert abs(float(loss) - float(first.loss + 50 * second.loss)) < 50 * TOLERANCE


# -- what a file may hold besides ---------------------------------------------------------------


def full_file(theirs, folder, carried, dtype="float32"):
    """A folder with everything that old files hold: tied duplicates, buffers, unused layers."""
    theirs.save_pretrained(folder)
    prefix = theirs.base_model_prefix
    width = theirs.config.hidden_size
    draw = np.random.default_rng(1)
    arrays = {name: value.numpy() for name, value in theirs.state_dict().items()}
    arrays = {name: value.astype(dtype) for name, value in arrays.items()}
    arrays[f"{prefix}.embeddings.position_ids"] = np.arange(24, dtype="int64")[None]
    for name in carried:
        shape = (width,) if name.endswith("bias") else (width, width)
        rows = 2 if "seq_relationship" in name or "sop_" in name else width
        shape = (rows, *shape[1:])
        arrays.setdefault(name, draw.normal(size=shape).astype(dtype))
    write_tensors(folder / "model.safetensors", arrays, {"format": "pt"})
    return arrays


FULL = {
    "bert": (
        "ForMaskedLM",
        [
            "bert.pooler.dense.weight",
            "bert.pooler.dense.bias",
            "cls.seq_relationship.weight",
            "cls.seq_relationship.bias",
        ],
    ),
    "roberta": ("ForMaskedLM", ["roberta.pooler.dense.weight", "roberta.pooler.dense.bias"]),
    "distilbert": ("ForMaskedLM", []),
    "mobilebert": (
        "ForMaskedLM",
        [
            "mobilebert.pooler.dense.weight",
            "mobilebert.pooler.dense.bias",
            "cls.seq_relationship.weight",
            "cls.seq_relationship.bias",
        ],
    ),
    "albert": (
        "ForMaskedLM",
        [
            "albert.pooler.weight",
            "albert.pooler.bias",
            "sop_classifier.classifier.weight",
            "sop_classifier.classifier.bias",
        ],
    ),
    "electra": ("ForMaskedLM", []),
    "mpnet": ("ForMaskedLM", ["mpnet.pooler.dense.weight", "mpnet.pooler.dense.bias"]),
    "roformer": ("ForMaskedLM", ["roformer.encoder.embed_positions.weight"]),
    "deberta": ("ForMaskedLM", ["deberta.embeddings.position_embeddings.weight"]),
    "deberta_v2": ("ForMaskedLM", ["mask_predictions.dense.weight", "mask_predictions.dense.bias"]),
}
TIED = {
    "bert": "cls.predictions.decoder.weight",
    "roberta": "lm_head.decoder.weight",
    "distilbert": "vocab_projector.weight",
    "albert": "predictions.decoder.weight",
    "electra": "generator_lm_head.weight",
    "mpnet": "lm_head.decoder.weight",
    "roformer": "cls.predictions.decoder.weight",
    "deberta": "cls.predictions.decoder.weight",
    "deberta_v2": "cls.predictions.decoder.weight",
    "mobilebert": "cls.predictions.decoder.weight",
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tied_and_unused_tensors_come_back_to_the_byte(family, dtype, tmp_path):
    suffix, carried = FULL[family]
    theirs = reference(family, suffix)
    arrays = full_file(theirs, tmp_path / "full", carried, dtype)
    model = kzoo.from_huggingface(tmp_path / "full")
    assert type(model).__name__ == "MaskedLM"
    position_ids = f"{theirs.base_model_prefix}.embeddings.position_ids"
    assert set(model.origin.carried) == {*carried, position_ids}
    assert TIED[family] in arrays
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "full")
    if dtype == "float16":
        return
    if family == "bert":
        kzoo.convert(tmp_path / "full", tmp_path / "preset")
        kzoo.convert(tmp_path / "preset", tmp_path / "again")
        assert contents(tmp_path / "again") == contents(tmp_path / "full")

    body = kzoo.from_huggingface(tmp_path / "full", task="backbone")
    assert body.spec.pooler == ("tanh" if "pooler" in str(carried) else "none")
    body.token_embedding.embeddings.assign_add(np.ones((50, 1), "float32"))
    kzoo.to_huggingface(body, tmp_path / "body")
    back = contents(tmp_path / "body")
    assert back.keys() == arrays.keys()
    moved = {name for name in arrays if back[name] != contents(tmp_path / "full")[name]}
    table = f"{theirs.base_model_prefix}.embeddings.word_embeddings.weight"
    assert moved == {table, TIED[family]}  # a trained table takes its duplicate along


def test_untied_duplicates_are_named(tmp_path):
    theirs = reference("bert", "ForMaskedLM")
    arrays = full_file(theirs, tmp_path / "full", [])
    arrays[TIED["bert"]] = arrays[TIED["bert"]] + 1
    write_tensors(tmp_path / "full" / "model.safetensors", arrays)
    with pytest.raises(kzoo.KzooError, match="word_embeddings.*cls.predictions.decoder.* differ"):
        kzoo.from_huggingface(tmp_path / "full")


@pytest.mark.parametrize("form", ["shards", "torch", "torch before 1.6", "torch shards"])
def test_other_containers_hold_the_same_model(form, folders, tmp_path):
    folder, theirs = folders("bert", "ForSequenceClassification")
    theirs.save_pretrained(tmp_path, max_shard_size="10KB" if form == "shards" else "1GB")
    if form == "shards":
        assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    else:
        (tmp_path / "model.safetensors").unlink()
        state = theirs.state_dict()
        if form == "torch shards":
            names = sorted(state)
            halves = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
            for file, some in halves.items():
                torch.save({name: state[name] for name in some}, tmp_path / file)
            index = {"weight_map": {n: file for file, some in halves.items() for n in some}}
            (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        else:
            torch.save(
                state,
                tmp_path / "pytorch_model.bin",
                _use_new_zipfile_serialization=form == "torch",
            )
    kzoo.to_huggingface(kzoo.from_huggingface(tmp_path), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)


class Shell:
    """What a hostile pickle would run."""

    def __reduce__(self):
        return print, ("this must not be printed",)


@pytest.mark.parametrize("content", ["hostile", "truncated", "text"])
def test_torch_files_are_not_trusted(content, folders, tmp_path, capsys):
    theirs = folders("bert", "Model")[1]
    theirs.config.save_pretrained(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": Shell()} if content == "hostile" else theirs.state_dict(), path)
    if content != "hostile":
        path.write_bytes(path.read_bytes()[:999] if content == "truncated" else b"hello")
    with pytest.raises(kzoo.KzooError, match=r"pytorch_model\.bin.*torch file") as caught:
        kzoo.from_huggingface(tmp_path)
    assert "\n" not in str(caught.value)
    assert "printed" not in capsys.readouterr().out


# -- what a config may say ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "suffix", "changes"),
    [
        ("bert", "ForMaskedLM", {"hidden_act": "gelu_new"}),
        ("bert", "Model", {"hidden_act": "gelu_pytorch_tanh"}),
        ("bert", "Model", {"hidden_act": "relu", "layer_norm_eps": 1e-3}),
        ("bert", "Model", {"hidden_act": "silu", "type_vocab_size": 3}),
        ("roberta", "ForMaskedLM", {"hidden_act": "relu"}),
        ("roberta", "Model", {"type_vocab_size": 2, "pad_token_id": 4}),
        ("distilbert", "ForMaskedLM", {"activation": "relu"}),
        ("albert", "ForMaskedLM", {"hidden_act": "gelu"}),
        ("electra", "Model", {"embedding_size": 32}),
        ("electra", "ForMaskedLM", {"hidden_act": "relu"}),
        ("mpnet", "ForMaskedLM", {"hidden_act": "relu"}),
        ("roformer", "ForSequenceClassification", {"hidden_act": "relu"}),
        ("roformer", "ForMaskedLM", {"embedding_size": 16}),
        ("albert", "Model", {"num_hidden_layers": 2, "num_hidden_groups": 2}),
        ("gpt", "Model", {"afn": "silu"}),
        ("gpt_neo", "Model", {"attention_types": [[["local"], 2]], "window_size": 4}),
        ("gpt_neo", "Model", {"attention_types": [[["local"], 1], [["global"], 1]]}),
    ],
)
def test_configs_mean_what_they_say(family, suffix, changes, tmp_path):
    theirs = reference(family, suffix, **changes)
    theirs.save_pretrained(tmp_path / "there")
    model = kzoo.from_huggingface(tmp_path / "there")
    assert_same(model, theirs, suffix)
    add_noise(model)
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "back")
    theirs = reload(theirs, tmp_path / "back")
    assert_same(model, theirs, suffix)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("roformer", {"rotary_value": True}, "rotary_value = True; kzoo computes only False"),
        ("mpnet", {"pad_token_id": 0}, "pad_token_id = 0; kzoo knows 1"),
        ("electra", {"summary_type": "mean"}, "summary_type = 'mean'; kzoo computes only 'first'"),
        (
            "mpnet",
            {"relative_attention_num_buckets": 16},
            "relative_attention_num_buckets = 16; kzoo computes only 32",
        ),
    ],
)
def test_what_an_encoder_does_not_compute_is_named(family, changes, message, folders, tmp_path):
    folder, _ = folders(family, "Model")
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(kzoo.KzooError, match=message):
        kzoo.from_huggingface(tmp_path)


def test_waves_that_are_not_those_of_roformer_are_refused(tmp_path):
    theirs = reference("roformer", "Model")
    theirs.encoder.embed_positions.weight += 0.01
    theirs.save_pretrained(tmp_path)
    with pytest.raises(kzoo.KzooError, match="encoder.embed_positions.weight .* no training"):
        kzoo.from_huggingface(tmp_path)


def test_erf_and_tanh_gelu_differ_in_these_tests(tmp_path):
    theirs = reference("bert", "Model")
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "gelu_new"}))
    with pytest.raises(AssertionError):
        assert_same(kzoo.from_huggingface(tmp_path), theirs, "Model")


def test_xlm_roberta_is_a_roberta(tmp_path):
    config = transformers.XLMRobertaConfig(**FAMILIES["roberta"][1])
    theirs = transformers.XLMRobertaForMaskedLM(config).eval()
    theirs.save_pretrained(tmp_path / "there")
    model = kzoo.from_huggingface(tmp_path / "there")
    assert type(model.backbone) is kzoo.Roberta
    kzoo.to_huggingface(model, tmp_path / "back")
    assert_same(model, reload(theirs, tmp_path / "back"), "ForMaskedLM")


DATA = Path(os.environ.get("KZOO_DATA", Path(__file__).parents[2] / "shared" / "data"))
LANGUAGES = ["Der Hund schläft.", "Кошка спит", "犬が眠る", "le chat dort , n'est-ce pas ?", ""]


def multilingual_bert(folder):
    shutil.copy(DATA / "tokenizers" / "bert-base-multilingual-cased" / "vocab.txt", folder)
    return "BertTokenizer"


def multilingual_roberta(folder):
    """Its pieces with their scores, in the order of their ids."""
    with zipfile.ZipFile(DATA / "tokenizers/xlm-roberta-base/pos.dict.utf8.zip") as archive:
        lines = archive.read("pos.dict.utf8").decode().split("\n")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [
        (piece, float(score)) for piece, _, score in (line.split("\t") for line in lines if line)
    ]
    pieces = [each for each in pieces if each[0] not in special][:249_997]
    scored = [*((piece, 0.0) for piece in special), *pieces, ("<mask>", 0.0)]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(scored, 3))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.add_special_tokens([*special, "<mask>"])
    backend.save(str(folder / "tokenizer.json"))
    return "XLMRobertaTokenizer"


@pytest.mark.skipif(not (DATA / "tokenizers").is_dir(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("preset", "make"),
    [("bert_base_multi_cased", multilingual_bert), ("roberta_base_multi", multilingual_roberta)],
)
def test_multilingual_folders_load_with_their_tokenizers(preset, make, tmp_path):
    """In the size of the published vocabulary, and narrow."""
    few = {"hidden_dim": 4, "num_heads": 1, "intermediate_dim": 4, "schedule": (0,)}
    kzoo.to_huggingface(build(presets.read_spec(preset).replace(**few)), tmp_path)
    settings = {"tokenizer_class": make(tmp_path), "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    again = kzoo.load(tmp_path)
    assert again.vocabulary_size == again.tokenizer.vocabulary_size
    assert again.padding_id == again.tokenizer.padding_id
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = again.tokenizer.encode(LANGUAGES, padding="longest")["token_ids"]
    assert ours.tolist() == theirs(LANGUAGES, padding=True)["input_ids"]
    assert again.tokenizer.unknown_id not in ours
    outputs = again(again.tokenizer.encode(LANGUAGES, padding="longest"))["sequence_output"]
    assert np.isfinite(np.asarray(outputs)).all()


def test_a_bloom_as_it_was_published(tmp_path):
    """Some sizes under older names, and the tensors of the backbone without its name before."""
    theirs = reference("bloom", "ForCausalLM")
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["n_embed"], config["num_attention_heads"] = config.pop("hidden_size"), config["n_head"]
    del config["n_head"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = read_tensors(tmp_path / "model.safetensors")
    arrays = {name.removeprefix("transformer."): lazy.read() for name, lazy in tensors.items()}
    write_tensors(tmp_path / "model.safetensors", arrays, {"format": "pt"})
    model = kzoo.from_huggingface(tmp_path)
    assert_same(model, theirs, "ForCausalLM")
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path)
    assert_same(model, reload(theirs, tmp_path / "back"), "ForCausalLM")


def test_gpt3_is_gpt2_with_bands(folders, tmp_path):
    """No class there has its layers in turn: GPT-2's blocks, each with the mask of its kind."""
    folder, theirs = folders("gpt2", "Model")
    gpt2 = kzoo.from_huggingface(folder)
    kinds = ["causal", {"kind": "local", "window": 3}]
    model = build(gpt2.spec.replace(family="gpt3", attention=kinds))
    for path, weight in weights_by_path(gpt2).items():
        weights_by_path(model)[path].assign(weight)
    columns, there = batch(theirs, "Model")
    length = max(LENGTHS)
    gap = torch.arange(length)[:, None] - torch.arange(length)
    with torch.no_grad():
        x = theirs.wte(there["input_ids"]) + theirs.wpe(torch.arange(length))
        for block, window in zip(theirs.h, (length, 3), strict=True):
            seen = (gap >= 0) & (gap < window) & there["attention_mask"][:, None, None].bool()
            x = block(x, attention_mask=torch.where(seen, 0.0, -1e9))
        expected = theirs.ln_f(x)
    mask = columns["padding_mask"].astype(bool)
    assert distance(model(columns)["sequence_output"], expected, mask) < TOLERANCE
    with pytest.raises(kzoo.KzooError, match="no class that computes what Gpt3 does"):
        kzoo.to_huggingface(model, tmp_path / "there")


def test_dropouts_of_heads_survive(tmp_path):
    theirs = reference("albert", "ForSequenceClassification", classifier_dropout_prob=0.3)
    theirs.save_pretrained(tmp_path / "there")
    model = kzoo.from_huggingface(tmp_path / "there")
    assert model.head_slot == {"kind": "pooled", "dropout": 0.3}
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "back")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "back")
    assert config.classifier_dropout_prob == 0.3
    assert config.hidden_dropout_prob == 0.0


def test_a_cut_student_runs_there(tmp_path):
    student = noisy("bert", schedule=(0, 2, 4))
    kzoo.to_huggingface(student, tmp_path / "cut")
    theirs, report = transformers.AutoModel.from_pretrained(
        tmp_path / "cut", output_loading_info=True
    )
    assert not any(report.values()), report
    theirs.config._attn_implementation = "eager"
    columns, there = batch(theirs, "Model")
    with torch.no_grad():
        expected = theirs.eval()(**there)
    mask = columns["padding_mask"].astype(bool)
    ours = student(columns)["sequence_output"]
    assert distance(ours, expected.last_hidden_state, mask) < TOLERANCE
    pooled = student(columns)["pooled_output"]
    assert distance(pooled, expected.pooler_output) < TOLERANCE


# -- tokenizers and sentence models -------------------------------------------------------------

TEXTS = ["A man is eating food.", "", "Straße, naïve? 東京 🙂", "the the the food"]


def word_pieces(folder):
    """A lower-casing WordPiece tokenizer with BERT's special tokens."""
    pieces = "[PAD] [UNK] [CLS] [SEP] [MASK] a man is eating food the ##s ##e na st . , ?"
    (folder / "vocab.txt").write_text(pieces.replace(" ", "\n"))
    return kzoo.Tokenizer.load(folder)


def byte_pairs(folder):
    """A byte-level BPE tokenizer with RoBERTa's special tokens in RoBERTa's places."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(TEXTS * 9, trainer)
    backend.model.save(str(folder))
    return kzoo.Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("family", "make", "cls"),
    [
        ("bert", word_pieces, "TextClassifier"),
        ("roberta", byte_pairs, "TextClassifier"),
        ("distilbert", word_pieces, "TokenClassifier"),
        ("bert", word_pieces, None),
    ],
)
def test_exported_tokenizers_give_the_same_ids(family, make, cls, tmp_path):
    tokenizer = make(tmp_path)
    backbone = noisy(family, vocabulary_size=tokenizer.vocabulary_size)
    if cls:
        model = getattr(kzoo, cls)(
            backbone, labels=["a", "b"], tokenizer=tokenizer, head=backbone.HEADS.get(cls)
        )
    else:
        model = backbone
        model.tokenizer = tokenizer
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    for pairs in (None, TEXTS[::-1]):
        ours = tokenizer.encode(TEXTS, pairs, max_length=12, padding="longest")
        there = theirs(TEXTS, pairs, max_length=12, truncation=True, padding=True)
        assert ours["token_ids"].tolist() == there["input_ids"]
        assert ours["padding_mask"].tolist() == there["attention_mask"]
        assert ("token_type_ids" in there) == ("segment_ids" in backbone.input_names)
        if "token_type_ids" in there:
            assert ours["segment_ids"].tolist() == there["token_type_ids"]
    assert theirs.mask_token_id == tokenizer.mask_id
    assert theirs.pad_token_id == tokenizer.padding_id
    back = kzoo.from_huggingface(tmp_path / "there")
    found = back.tokenizer.encode(TEXTS, padding="longest")
    assert (
        found["token_ids"].tolist()
        == tokenizer.encode(TEXTS, padding="longest")["token_ids"].tolist()
    )


PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


@pytest.mark.parametrize(
    ("problem", "labels"),
    [("single_label", LABELS), ("multi_label", LABELS), ("regression", LABELS),
     ("single_label", ["spam"]), ("multi_label", ["spam"]), ("regression", ["stars"])],
)  # fmt: skip
def test_a_pipeline_gives_the_same_answers_whatever_the_problem(problem, labels, tmp_path):
    """`problem_type` both ways; without it, one label is a sigmoid's in a pipeline, as here."""
    tokenizer = word_pieces(tmp_path)
    backbone = noisy("bert", vocabulary_size=tokenizer.vocabulary_size)
    model = kzoo.TextClassifier(backbone, labels=labels, tokenizer=tokenizer, problem=problem)
    add_noise(model)
    kzoo.to_huggingface(model, tmp_path / "there")
    texts = [text for text in TEXTS if text]
    for folder in ("there", "back"):
        config = transformers.AutoConfig.from_pretrained(tmp_path / folder)
        written = None if problem == "single_label" else PROBLEM_TYPES[problem]
        assert config.problem_type == written
        pipe = transformers.pipeline("text-classification", str(tmp_path / folder), top_k=None)
        scores = [{entry["label"]: entry["score"] for entry in row} for row in pipe(texts)]
        expected = np.array([[row[label] for label in labels] for row in scores])
        np.testing.assert_allclose(model.predict(texts), expected, atol=1e-5)
        again = kzoo.from_huggingface(tmp_path / folder)
        assert again.problem == problem
        np.testing.assert_allclose(again.predict(texts), expected, atol=1e-5)
        if folder == "there":
            kzoo.to_huggingface(again, tmp_path / "back")
    file = tmp_path / "there" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "problem_type": "ranking"}))
    with pytest.raises(kzoo.KzooError, match="problem_type = 'ranking'"):
        kzoo.from_huggingface(tmp_path / "there")


@pytest.mark.parametrize(
    ("pooling", "normalize"), [("mean", True), ("first", False), ("max", False)]
)
def test_sentence_transformers_gives_the_same_vectors(pooling, normalize, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    tokenizer = word_pieces(tmp_path)
    backbone = noisy("bert", vocabulary_size=tokenizer.vocabulary_size)
    model = kzoo.TextEmbedder(
        backbone, pooling=pooling, normalize=normalize, max_length=9, tokenizer=tokenizer
    )
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = library.SentenceTransformer(str(tmp_path / "there"), device="cpu")
    expected = theirs.encode(TEXTS)
    ours = model(model.tokenize(TEXTS))["embedding"]
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE)
    theirs.save(str(tmp_path / "saved"))  # as this version of the library writes it
    for folder in ("there", "saved"):
        back = kzoo.from_huggingface(tmp_path / folder)
        assert (back.pooling, back.normalize, back.max_length) == (pooling, normalize, 9)
        same = back(back.tokenize(TEXTS))["embedding"]
        np.testing.assert_allclose(same, expected, atol=TOLERANCE)


def test_entities_are_those_of_the_pipeline_that_asks_first_tokens(tmp_path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *letters,
        *("##" + c for c in letters),
        *"世界.,'",
    ]
    model = tokenizers.models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = tokenizers.normalizers.BertNormalizer()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(pieces[:4])
    backend.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    task = kzoo.TokenClassifier(
        noisy("bert", schedule=(0,)),
        labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
        tokenizer=kzoo.Tokenizer(backend),
    )
    draw = np.random.default_rng(0)
    kernel = next(weight for weight in task.head.weights if weight.path.endswith("kernel"))
    kernel.assign(draw.standard_normal(kernel.shape))
    kzoo.to_huggingface(task, tmp_path / "hf")
    pipe = transformers.pipeline(
        "token-classification",
        model=str(tmp_path / "hf"),
        aggregation_strategy="first",
    )
    texts = [
        "John ne\u0301l in Zu\u0308rich.",
        "He, of 世界, it's here",
        "a na\u00efve caf\u00e9 \u00c5ngstrom o'er",
        "  two  blanks\tand\na line ",
        "b.c.d 世a界, e",
    ]
    labels = set()
    for text, found in zip(texts, task.predict(texts), strict=True):
        expected = pipe(text)
        for one, other in zip(found, expected, strict=True):
            assert (one["label"], one["start"], one["end"]) == (
                other["entity_group"], other["start"], other["end"],
            )  # fmt: skip
            assert one["score"] == pytest.approx(float(other["score"]), abs=1e-4)
            labels.add(one["label"])
    assert labels == {"PER", "LOC"}
