"""Sentence models give the vectors of sentence-transformers, whatever their folder says."""

import json

import numpy as np
import pytest

# Before TensorFlow: the two libraries don't bear the other order.
library = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

from families import noisy  # noqa: E402
from test_sentence import DENSE, PIECES, PLAIN, PROMPTS, TEXTS, embedder, tokenizer  # noqa: E402

import kzoo  # noqa: E402

pytestmark = pytest.mark.parity
CASES = [
    {},
    {"prompts": PROMPTS, "default_prompt": "query"},
    {"prompts": PROMPTS, "default_prompt": "query", "include_prompt": False},
    {"prompts": PROMPTS, "include_prompt": False, "pooling": "first"},
    {"prompts": PROMPTS, "default_prompt": "other", "include_prompt": False, "pooling": "max"},
    {"pooling": "mean_sqrt_len", "normalize": False, "similarity": "dot"},
    {"pooling": {"kind": "concat", "of": ["first", "mean"]}, "similarity": "euclidean"},
    {"pooling": {"kind": "concat", "of": ["mean", "max"]}, "normalize": False},
    {"projections": [DENSE], "similarity": "manhattan", "normalize": False},
    {"projections": [DENSE, PLAIN]},
    {
        "pooling": {"kind": "concat", "of": ["max", "mean_sqrt_len"]},
        "projections": [{**DENSE, "activation": "gelu"}],
        "prompts": PROMPTS,
        "default_prompt": "query",
        "include_prompt": False,
    },
]


def said(model):
    """What the manifest says; sentence-transformers writes empty prompts of its own."""
    prompts = {name: text for name, text in model.prompts.items() if text}
    return {**model.task_options(), "prompts": prompts}


def name_of(value):
    return json.dumps(value)[:70]


@pytest.mark.parametrize("options", CASES, ids=name_of)
def test_sentence_transformers_gives_the_same_vectors(options, tmp_path):
    model = embedder(tmp_path, options)
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = library.SentenceTransformer(str(tmp_path / "there"), device="cpu")
    theirs.save(str(tmp_path / "saved"))  # as this version of the library writes it
    back = kzoo.from_huggingface(tmp_path / "saved")
    assert said(back) == said(model)
    named = {name: {"prompt_name": name} for name, text in model.prompts.items() if text}
    for name, asked in {None: {}, **named, "is a man ": {"prompt": "is a man "}}.items():
        expected = theirs.encode(TEXTS, **asked)
        np.testing.assert_allclose(back.predict(TEXTS, prompt=name), expected, atol=2e-5)
    expected = theirs.encode(TEXTS)
    here = back.similarities(expected, expected[::2])
    there = theirs.similarity(expected, expected[::2])
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-4)


def test_what_the_transformers_settings_say_is_done(tmp_path):
    own = tokenizer(tmp_path, PIECES + " É")
    assert own.tokens("A")[1] == "A"  # a cased tokenizer, lower-cased by the settings alone
    backbone = noisy("bert", vocabulary_size=own.vocabulary_size)
    model = kzoo.TextEmbedder(backbone, tokenizer=own, max_length=9)
    kzoo.to_huggingface(model, tmp_path / "there")
    settings = {"max_seq_length": 6, "do_lower_case": True}
    (tmp_path / "there" / "sentence_bert_config.json").unlink()
    (tmp_path / "there" / "sentence_roberta_config.json").write_text(json.dumps(settings))
    theirs = library.SentenceTransformer(str(tmp_path / "there"), device="cpu")
    back = kzoo.from_huggingface(tmp_path / "there")
    assert back.max_length == 6
    assert back.tokenizer.tokens("A Food") == ["[CLS]", "a", "food", "[SEP]"]
    np.testing.assert_allclose(back.predict(TEXTS), theirs.encode(TEXTS), atol=2e-5)
    kzoo.to_huggingface(back, tmp_path / "again")
    theirs = library.SentenceTransformer(str(tmp_path / "again"), device="cpu")
    np.testing.assert_allclose(back.predict(TEXTS), theirs.encode(TEXTS), atol=2e-5)


def test_an_mpnet_as_sentence_transformers_writes_it(tmp_path):
    """As all-mpnet-base-v2 is: MPNet's own tokenizer class, the mean of places, length one."""
    import transformers
    from sentence_transformers import models

    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    first = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    pieces = [p for p in (names.get(p, p) for p in PIECES.split()) if p not in first]
    words = {piece: number for number, piece in enumerate([*first, *pieces])}
    made = transformers.MPNetTokenizer(vocab=words)
    made.save_pretrained(tmp_path / "body")
    config = transformers.MPNetConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=24, layer_norm_eps=1e-5,
    )  # fmt: skip
    body = transformers.MPNetModel(config)
    for parameter in body.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    body.save_pretrained(tmp_path / "body")
    transformer = models.Transformer(str(tmp_path / "body"), max_seq_length=20)
    pooling = models.Pooling(32, pooling_mode="mean")
    theirs = library.SentenceTransformer(modules=[transformer, pooling, models.Normalize()])
    theirs.save(str(tmp_path / "there"))
    model = kzoo.from_huggingface(tmp_path / "there")
    assert model.backbone.family == "mpnet" and model.max_length == 20 and model.normalize
    expected = theirs.encode(TEXTS)
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    np.testing.assert_allclose(model.predict(TEXTS), expected, atol=1e-5)
    kzoo.to_huggingface(model, tmp_path / "back")
    back = library.SentenceTransformer(str(tmp_path / "back"), device="cpu")
    np.testing.assert_allclose(back.encode(TEXTS), expected, atol=1e-5)
