"""Longformer and BigBird beside transformers, at a length of several windows."""

import numpy as np
import pytest
from families import add_noise, noisy

import kzoo
from kzoo.checkpoints.config import spec_from_config
from kzoo.checkpoints.safetensors import read_tensors
from kzoo.models import FAMILIES as FAMILY_CLASSES
from kzoo.network import weights_by_path

LENGTHS, SEPARATOR = (37, 29, 18), 2
SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "sep_token_id": SEPARATOR,
}
FAMILIES = {
    "longformer": (
        "Longformer",
        {
            **SIZES,
            "attention_window": [4, 8],
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 1,
        },
    ),
    "bigbird": ("BigBird", {**SIZES, "block_size": 4, "num_random_blocks": 1}),
    "bigbird without biases": (
        "BigBird",
        {**SIZES, "block_size": 2, "num_random_blocks": 3, "use_bias": False, "hidden_act": "relu"},
    ),
    "bigbird of all pairs": ("BigBird", {**SIZES, "attention_type": "original_full"}),
}
HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
CASES = [
    *(("longformer", head) for head in HEADS),
    *(("bigbird", head) for head in [*HEADS, "ForPreTraining"]),
    ("bigbird without biases", "Model"),
    ("bigbird without biases", "ForSequenceClassification"),
    ("bigbird of all pairs", "ForQuestionAnswering"),
]


def pairs(model, suffix, lengths=LENGTHS):
    """Rows of two texts with what stands between and behind them, padded raggedly."""
    draw = np.random.default_rng(3)
    ids = draw.integers(5, 50, (len(lengths), max(lengths)))
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    for row, length in enumerate(lengths):
        end = 4 + 3 * row  # of the question
        ids[row, [end, end + 1, length - 1]] = SEPARATOR
    ids = np.where(mask, ids, model.config.pad_token_id)
    segments = np.where(mask, np.arange(max(lengths)) > 8, 0)
    columns = {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}
    if suffix == "ForMultipleChoice":
        columns = {k: np.stack([v, v[::-1]], axis=1) for k, v in columns.items()}
    return {k: v.astype("int32") for k, v in columns.items()}


def assert_same(model, theirs, suffix):
    """Every output agrees wherever there is a token."""
    from test_huggingface import TOLERANCE, distance, torch

    columns = pairs(theirs, suffix)
    there = {"input_ids": columns["token_ids"], "attention_mask": columns["padding_mask"]}
    if theirs.config.type_vocab_size > 1:
        there["token_type_ids"] = columns["segment_ids"]
    with torch.no_grad():
        expected = theirs(**{k: torch.from_numpy(v).long() for k, v in there.items()})
    mask, ours = columns["padding_mask"].astype(bool), model(columns)
    if suffix == "ForQuestionAnswering":  # BigBird's takes 1e6 off the question's scores there.
        mask = mask & (np.arange(mask.shape[1]) > 12)
        names = [("start_logits", "start_logits", mask), ("end_logits", "end_logits", mask)]
    elif suffix == "Model":
        names = [("sequence_output", "last_hidden_state", mask)]
        names += [("pooled_output", "pooler_output", None)]
    elif suffix == "ForPreTraining":
        names = [("logits", "prediction_logits", mask)]
        names += [("pair_logits", "seq_relationship_logits", None)]
    else:
        at_places = suffix in ("ForMaskedLM", "ForTokenClassification")
        names = [("logits", "logits", mask if at_places else None)]
    for here, other, places in names:
        assert tuple(ours[here].shape) == tuple(expected[other].shape)
        assert distance(ours[here], expected[other], places) < TOLERANCE


def reference(name, suffix, **changes):
    """A tiny model of transformers with noise on every number."""
    from test_huggingface import torch, transformers

    stem, sizes = FAMILIES[name]
    torch.manual_seed(len(name) + len(suffix))
    labels = {"num_labels": 3} if "Classification" in suffix else {}
    config = getattr(transformers, f"{stem}Config")(**{**sizes, **labels, **changes})
    model = getattr(transformers, stem + suffix)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.parity
@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_long_texts_are_those_of_transformers_both_ways(name, suffix, tmp_path):
    from test_huggingface import contents

    theirs = reference(name, suffix)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    assert_same(model, theirs, suffix)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    del model.origin
    add_noise(model)
    kzoo.to_huggingface(model, tmp_path / "there")
    again, report = type(theirs).from_pretrained(tmp_path / "there", output_loading_info=True)
    unread = {"bert.pooler.weight", "bert.pooler.bias"}  # There even where nothing reads it.
    assert not any(set(each) - unread for each in report.values()), report
    assert_same(model, again.eval(), suffix)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["longformer", "bigbird"])
def test_gradients_of_long_texts_are_those_of_torch(name, tmp_path):
    import tensorflow as tf
    from test_huggingface import torch

    theirs = reference(name, "ForQuestionAnswering")
    theirs.save_pretrained(tmp_path / "here")
    task = kzoo.from_huggingface(tmp_path / "here")
    columns = pairs(theirs, "ForQuestionAnswering", LENGTHS[:1])
    read = {"input_ids": "token_ids", "attention_mask": "padding_mask"}
    read |= {"token_type_ids": "segment_ids"} if name == "bigbird" else {}
    # Behind the question, of whose scores BigBird's takes 1e6 off.
    given = {there: torch.from_numpy(columns[here]).long() for there, here in read.items()}
    theirs(**given).start_logits[:, 12:].pow(2).sum().backward()
    weights = weights_by_path(task)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(task(columns)["start_logits"][:, 12:] ** 2)
    made = tape.gradient(loss, [weight.value for weight in weights.values()])
    for weight, gradient in zip(weights.values(), made, strict=True):
        # Each weight takes its gradient's place, so that the exported file has them by name there.
        weight.assign(tf.convert_to_tensor(gradient).numpy())
    del task.origin
    kzoo.to_huggingface(task, tmp_path / "there")
    found = dict(theirs.named_parameters())
    for path, lazy in read_tensors(tmp_path / "there" / "model.safetensors").items():
        expected = found[path].grad.numpy()
        bound = 1e-4 * max(1.0, np.abs(expected).max())
        assert np.abs(lazy.read() - expected).max() < bound, path


def test_a_task_says_which_places_see_all():
    model = noisy("longformer", attention={"kind": "window_and_first", "window": 4, "first": 0})
    usual = {
        kzoo.TextClassifier: ("window_and_first", 1),
        kzoo.QuestionAnswering: ("window_and_question", 64),
        kzoo.MultipleChoice: ("window_and_choice", 64),
        kzoo.MaskedLM: ("window_and_first", 0),
    }
    for cls, expected in usual.items():
        options = {"labels": ["no", "yes"]} if cls is kzoo.TextClassifier else {}
        slot = cls(model, **options).spec.attention
        assert (slot["kind"], slot["first"], slot["window"]) == (*expected, 4)
    more = noisy("longformer", attention={"kind": "window_and_first", "window": 4, "first": 3})
    classifier = kzoo.TextClassifier(more, labels=["no", "yes"])
    assert classifier.spec.attention["first"] == 3  # The user's own.
    assert kzoo.QuestionAnswering(classifier).spec.attention["kind"] == "window_and_question"


def test_more_first_places_than_a_class_there_has_are_not_written(tmp_path):
    slot = {"kind": "window_and_first", "window": 4, "first": 3}
    task = kzoo.TextClassifier(noisy("longformer", attention=slot), labels=["no", "yes"])
    with pytest.raises(kzoo.KzooError, match="attention.first 3; Hugging Face's longformer has"):
        kzoo.to_huggingface(task, tmp_path / "there")


@pytest.mark.parametrize(
    ("family", "config", "match"),
    [
        ("longformer", {"attention_window": 5}, "attention_window = .5, 5.; even numbers from 4"),
        ("longformer", {"attention_window": [8, 0]}, "attention_window = .8, 0.; even numbers"),
        ("longformer", {"attention_window": [8]}, "2 layers and says of 1 what attention"),
        ("longformer", {"sep_token_id": 3}, "sep_token_id = 3; kzoo computes only 2"),
        ("bigbird", {"attention_type": "dense"}, "attention_type = 'dense'"),
    ],
)
def test_what_a_config_can_not_ask_is_one_sentence(family, config, match):
    with pytest.raises(kzoo.KzooError, match=match):
        spec_from_config({"num_hidden_layers": 2, **config}, FAMILY_CLASSES[family])


@pytest.mark.parametrize("family", ["longformer", "bigbird"])
def test_a_text_longer_than_the_table_is_one_sentence(family):
    ids = np.full((1, 41), 5, "int32")
    with pytest.raises(kzoo.KzooError, match="41 tokens long; .* takes at most 40"):
        noisy(family)({"token_ids": ids, "padding_mask": ids, "segment_ids": ids * 0})
