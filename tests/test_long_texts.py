"""Longformer and BigBird beside transformers, at a length of several windows."""

import numpy as np
import pytest
from families import add_noise

import kzoo

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
