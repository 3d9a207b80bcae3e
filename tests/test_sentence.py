"""Sentence models: prompts, poolings and projections are as sentence-transformers has them."""

import json
import shutil
import warnings

import numpy as np
import pytest
from families import add_noise, noisy

import kzoo
from kzoo.answers import similarities

TEXTS = ["A man is eating food.", "", "the the the food, the man", "a"]
PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] a man is eating food the ##s ##e na q : . , ? A Food"
DENSE = {"kind": "dense", "units": 12, "activation": "tanh", "bias": True}
PLAIN = {"kind": "dense", "units": 7, "activation": None, "bias": False}
PROMPTS = {"query": "q: the ", "document": "", "other": "food man is: "}


def tokenizer(folder, pieces=PIECES):
    (folder / "vocab.txt").write_text(pieces.replace(" ", "\n"))
    return kzoo.Tokenizer.load(folder / "vocab.txt")


def embedder(folder, options=None, family="bert"):
    """A tiny embedder with noise on every weight."""
    own = tokenizer(folder)
    model = kzoo.TextEmbedder(
        noisy(family, vocabulary_size=own.vocabulary_size + 3, schedule=(0,)),
        tokenizer=own,
        max_length=14,
        **(options or {}),
    )
    return add_noise(model, seed=3)


def test_a_length_of_the_tokenizer_bounds_an_embedder(tmp_path):
    kzoo.to_huggingface(embedder(tmp_path), tmp_path / "there")
    (tmp_path / "there" / "sentence_bert_config.json").write_text("{}")
    config = tmp_path / "there" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 11}))
    assert kzoo.from_huggingface(tmp_path / "there").max_length == 11


def changed(folder, name, **changes):
    value = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**value, **changes}))


def other_type(folder):
    text = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(text.replace("sentence_transformers.models", "mine"))


BAD = {
    "modes": (
        lambda f: changed(f, "1_Pooling/config.json", pooling_mode=["mean", "weightedmean"]),
        "weightedmean",
    ),
    "include_prompt": (
        lambda f: changed(f, "1_Pooling/config.json", include_prompt="no"),
        "include_prompt 'no'",
    ),
    "activation": (
        lambda f: changed(f, "2_Dense/config.json", activation_function="my.Own"),
        "activation_function 'my.Own'",
    ),
    "residual": (lambda f: changed(f, "2_Dense/config.json", use_residual=True), "use_residual"),
    "tokens": (
        lambda f: changed(f, "2_Dense/config.json", module_input_name="token_embeddings"),
        "token_embeddings",
    ),
    "units": (lambda f: changed(f, "2_Dense/config.json", out_features=5), r"2_Dense has the"),
    "default prompt": (
        lambda f: changed(f, "config_sentence_transformers.json", default_prompt_name="x"),
        "default_prompt 'x'",
    ),
    "prompts": (
        lambda f: changed(f, "config_sentence_transformers.json", prompts={"x": 3}),
        "prompts",
    ),
    "similarity": (
        lambda f: changed(f, "config_sentence_transformers.json", similarity_fn_name="hyper"),
        "similarity 'hyper'",
    ),
    "lower": (
        lambda f: changed(f, "sentence_bert_config.json", do_lower_case="yes"),
        "do_lower_case 'yes'",
    ),
    "code of one's own": (other_type, "mine.Transformer"),
    "long prompt": (
        lambda f: (
            changed(f, "1_Pooling/config.json", include_prompt=False),
            changed(
                f,
                "config_sentence_transformers.json",
                prompts={"x": "a " * 20},
                default_prompt_name="x",
            ),
        ),
        "nothing is left to pool",
    ),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentence")
    kzoo.to_huggingface(embedder(folder, {"projections": [DENSE]}), folder / "there")
    return folder / "there"


def test_a_tokenizer_that_fills_up_with_another_token_is_told(exported, tmp_path):
    """As one of another family would: BERT's has its padding at 0, RoBERTa's weights at 1."""
    with warnings.catch_warnings(action="error"):
        kzoo.from_huggingface(exported)
    shutil.copytree(exported, tmp_path / "there")
    changed(tmp_path / "there", "config.json", pad_token_id=1)
    words = r"fills up with '\[PAD\]', token 0, and config.json says token 1"
    with pytest.warns(UserWarning, match=words):
        kzoo.from_huggingface(tmp_path / "there")


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_one_sentence(case, exported, tmp_path):
    import shutil

    spoil, match = BAD[case]
    shutil.copytree(exported, tmp_path / "there")
    spoil(tmp_path / "there")
    with pytest.raises(kzoo.KzooError, match=match) as caught:
        kzoo.from_huggingface(tmp_path / "there")
    assert "\n" not in str(caught.value)


def test_measures_of_nearness():
    first, second = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[3.0, 0.0]])
    assert similarities(first, second, "cosine").tolist() == [[0.6], [0.0]]
    assert similarities(first, second, "dot").tolist() == [[9.0], [0.0]]
    assert similarities(first, second, "euclidean").tolist() == [[-4.0], [-3.0]]
    assert similarities(first, second, "manhattan").tolist() == [[-4.0], [-3.0]]


def test_a_prompt_and_a_projection_learn_and_stay(tmp_path):
    options = {"prompts": PROMPTS, "default_prompt": "query", "projections": [DENSE]}
    model = embedder(tmp_path, {**options, "include_prompt": False})
    before = np.array(model.head.projections[0].kernel)
    model.compile()
    model.fit([("a man", "the man"), ("food", "a")], [1.0, 0.0], epochs=1, verbose=0)
    assert np.abs(np.array(model.head.projections[0].kernel) - before).max() > 0
    model.tokenizer = model.tokenizer
    assert model.head.skip == 4  # [CLS] q : the


@pytest.mark.parametrize("form", ["keras", "preset"])
def test_what_a_sentence_model_says_is_kept(form, tmp_path):
    options = {"pooling": {"kind": "concat", "of": ["first", "mean"]}, "projections": [PLAIN]}
    options |= {"prompts": PROMPTS, "default_prompt": "query", "include_prompt": False}
    model = embedder(tmp_path, {**options, "similarity": "dot"})
    if form == "keras":
        model.save(tmp_path / "kept.keras")
        back = kzoo.load(tmp_path / "kept.keras")
    else:
        model.save_preset(tmp_path / "kept")
        back = kzoo.load(tmp_path / "kept")
    assert back.get_config() == model.get_config()
    assert back.task_options() == {
        "reads": "text", "prompts": PROMPTS, "default_prompt": "query", "similarity": "dot",
    }  # fmt: skip
    np.testing.assert_allclose(back.predict(TEXTS), model.predict(TEXTS), atol=1e-6)
