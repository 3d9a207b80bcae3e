"""Pipelines on texts answer as transformers' of the same names do."""

import numpy as np
import pytest

# Before TensorFlow: the two libraries don't bear the other order.
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from families import add_noise, noisy  # noqa: E402
from test_sentence import embedder, tokenizer  # noqa: E402

import kzoo  # noqa: E402

NLI = ["contradiction", "neutral", "entailment"]
TEXTS = ["a man is eating food", "the food"]
parity = pytest.mark.parity


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that makes a task on one tiny noisy network."""
    own = tokenizer(tmp_path_factory.mktemp("vocabulary"))

    def of(kind, **options):
        network = noisy("bert", vocabulary_size=own.vocabulary_size, schedule=(0,))
        task = add_noise(kind(network, tokenizer=own, **options), seed=3)
        head = getattr(task, "head", None)
        for weight in head.weights if head is not None else ():
            if weight.path.endswith("kernel"):
                weight.assign(np.random.default_rng(1).standard_normal(weight.shape))
        return task

    return of


def theirs(task, model, folder):
    kzoo.to_huggingface(model, folder)
    return transformers.pipeline(task, model=str(folder), device="cpu")


def same(actual, expected):
    """Equal but for numbers, which lie within 1e-5."""
    if isinstance(expected, dict):
        assert set(actual) == set(expected)
        for name in expected:
            same(actual[name], expected[name])
    elif isinstance(expected, (list, tuple)) and not isinstance(expected, str):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            same(one, other)
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, abs=1e-5)
    else:
        assert actual == expected


@parity
@pytest.mark.parametrize(
    "labels", [NLI, ["ENTAILMENT", "not_entailment"], ["x", "entailment", "contradiction"]], ids=len
)
def test_zero_shot_classification_is_transformers(made, labels, tmp_path):
    model = made(kzoo.TextClassifier, labels=labels)
    ours = kzoo.pipeline("zero-shot-classification", model)
    pipe = theirs("zero-shot-classification", model, tmp_path / "hf")
    named = ["food", "man", "the"]
    # transformers takes the first or the last label for a contradiction, whatever it is called.
    for apart in (False, True) if labels[-1] != "contradiction" else (False,):
        same(ours(TEXTS, named, multi_label=apart), pipe(TEXTS, named, multi_label=apart))
    asked = {"candidate_labels": "food, man", "hypothesis_template": "the {} is food"}
    same(ours(TEXTS[0], **asked), pipe(TEXTS[0], **asked))
    if labels[-1] != "contradiction":
        same(ours(TEXTS[0], ["food"]), pipe(TEXTS[0], ["food"]))


@parity
def test_fill_mask_is_transformers(made, tmp_path):
    model = made(kzoo.MaskedLM)
    ours, pipe = kzoo.pipeline("fill-mask", model), theirs("fill-mask", model, tmp_path / "hf")
    one, several = "a [MASK] is eating food.", "the [MASK] is [MASK]"
    same(ours(one), pipe(one))
    same(ours(several, top_k=3), pipe(several, top_k=3))
    same(ours([one, several]), pipe([one, several]))
    same(ours(one, targets=["food", "man"]), pipe(one, targets=["food", "man"]))


@parity
@pytest.mark.parametrize("family", ["bert", "xlnet"])
def test_feature_extraction_of_a_network_is_transformers(made, tmp_path, family):
    own = tokenizer(tmp_path)
    network = noisy(family, vocabulary_size=own.vocabulary_size, schedule=(0,))
    network.tokenizer = own
    ours = kzoo.pipeline("feature-extraction", network)
    rows = ours(TEXTS)
    assert [np.shape(row)[:2] for row in rows] == [(1, 7), (1, 4)]
    same(ours(TEXTS[1]), rows[1]), "padding changes nothing"
    if family == "bert":
        same(rows, theirs("feature-extraction", network, tmp_path / "hf")(TEXTS))


def test_zero_shot_and_likeness_by_an_embedder(tmp_path):
    model = embedder(tmp_path, {"normalize": False})
    texts, labels = TEXTS, ["food", "man", "the"]
    vectors = model.predict([*texts, *(f"{label} is" for label in labels)])
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    cosines = vectors[:2] @ vectors[2:].T
    ours = kzoo.pipeline("zero-shot-classification", model)
    for apart in (True, False):
        rows = cosines if apart else np.exp(20 * cosines)
        rows = rows if apart else rows / rows.sum(-1, keepdims=True)
        found = ours(texts, labels, hypothesis_template="{} is", multi_label=apart)
        for text, row, answer in zip(texts, rows, found, strict=True):
            order = np.argsort(-row)
            assert answer["sequence"] == text
            assert answer["labels"] == [labels[i] for i in order]
            assert answer["scores"] == pytest.approx(row[order].tolist(), abs=1e-4)
    alike = kzoo.pipeline("sentence-similarity", model)
    asked = {"source_sentence": texts[0], "sentences": [texts[1], texts[0]]}
    expected = model.similarities(model.predict(texts[:1]), model.predict(asked["sentences"]))[0]
    assert alike(asked) == pytest.approx(np.asarray(expected).tolist(), abs=1e-6)
    assert alike(**asked) == alike(asked)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda m: kzoo.pipeline(
                "zero-shot-classification", m(kzoo.TextClassifier, labels=["a", "b"])
            ),
            "begins with entail; a TextClassifier with a, b came",
        ),
        (
            lambda m: kzoo.pipeline("zero-shot-classification", m(kzoo.TextClassifier, labels=NLI))(
                "a", ["food"], hypothesis_template="food"
            ),
            "hypothesis_template 'food'; expected a text with {} in",
        ),
        (
            lambda m: kzoo.pipeline("fill-mask", m(kzoo.MaskedLM))("a [MASK]", targets=["zebra"]),
            "'zebra' is not among the",
        ),
        (
            lambda m: kzoo.pipeline("sentence-similarity", m(kzoo.TextEmbedder))("a"),
            "Got 'a'; expected {\"source_sentence\"",
        ),
    ],
    ids=["no entailment", "template", "targets", "sentences"],
)
def test_pipelines_say_what_they_expect(made, call, sentence):
    with pytest.raises(kzoo.KzooError, match=sentence.replace("{", "\\{")):
        call(made)
