"""Sentence models: prompts, poolings and projections are as sentence-transformers has them."""

import json

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


def tokenizer(folder, pieces=PIECES):
    (folder / "vocab.txt").write_text(pieces.replace(" ", "\n"))
    return kzoo.Tokenizer.load(folder / "vocab.txt")


def embedder(folder, options=None, family="bert"):
    """A tiny embedder with noise on every weight."""
    own = tokenizer(folder)
    model = kzoo.TextEmbedder(
        noisy(family, vocabulary_size=own.vocabulary_size + 3),
        tokenizer=own,
        max_length=14,
        **(options or {}),
    )
    return add_noise(model, seed=3)


def said(model):
    """What the manifest says; sentence-transformers writes empty prompts of its own."""
    prompts = {name: text for name, text in model.prompts.items() if text}
    return {**model.task_options(), "prompts": prompts}


def name_of(value):
    return json.dumps(value)[:70]


@pytest.mark.parity
@pytest.mark.parametrize("options", CASES, ids=name_of)
def test_sentence_transformers_gives_the_same_vectors(options, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    model = embedder(tmp_path, options)
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = library.SentenceTransformer(str(tmp_path / "there"), device="cpu")
    theirs.save(str(tmp_path / "saved"))  # as this version of the library writes it
    model.save(tmp_path / "model.keras")
    model.save_preset(tmp_path / "preset")
    folders = ["there", "saved", "model.keras", "preset"]
    names = [None, *(name for name, text in model.prompts.items() if text), "is a man "]
    expected = {
        name: theirs.encode(
            TEXTS, **({"prompt_name": name} if name in PROMPTS else {"prompt": name})
        )
        for name in names
    }
    nearness = theirs.similarity(expected[None], expected[None][::2])
    for each in [model, *(kzoo.load(tmp_path / folder) for folder in folders)]:
        for name, vectors in expected.items():
            np.testing.assert_allclose(each.predict(TEXTS, prompt=name), vectors, atol=2e-5)
        called = each(each.tokenize(TEXTS))["embedding"]
        np.testing.assert_allclose(called, expected[None], atol=2e-5)
        here = each.similarities(expected[None], TEXTS[::2])
        np.testing.assert_allclose(here, nearness, rtol=1e-4, atol=1e-4)
        assert said(each) == said(model)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    np.testing.assert_allclose(model.predict(pairs)[:, 1], theirs.encode(TEXTS[::-1]), atol=2e-5)


@pytest.mark.parity
def test_what_the_transformers_settings_say_is_done(tmp_path):
    library = pytest.importorskip("sentence_transformers")
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
