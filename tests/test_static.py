"""Static embeddings: read, distilled, trained, written and put on a device."""

import gzip
import json

import keras
import numpy as np
import pytest
from families import add_noise, noisy
from test_tasks import tokenizer

import kzoo
from kzoo.bundle.export import export_bundle
from kzoo.bundle.predict import Searcher
from kzoo.checkpoints import formats, word_vectors
from kzoo.checkpoints.safetensors import read_tensors, write_tensors
from kzoo.compression.token_vectors import components
from kzoo.models.static_embeddings import static
from kzoo.network import weights_by_path

WORDS = ["the", "a", "film", "dull", "good", "caf\u00e9", ","]
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 5)).astype("float32")
TEXTS = ["the good film", "a dull film, the dull film", "Caf\u00e9", "unheard of"]


def lines(words=WORDS, vectors=VECTORS):
    """The lines of a file of text."""
    rows = (" ".join(map(repr, row.tolist())) for row in vectors)
    return "".join(f"{word} {row}\n" for word, row in zip(words, rows, strict=True)).encode()


def binary(words=WORDS, vectors=VECTORS, end=b"\n"):
    """What a binary file holds behind its first line."""
    return b"".join(
        word.encode() + b" " + row.astype("<f4").tobytes() + end
        for word, row in zip(words, vectors, strict=True)
    )


HEAD = f"{len(WORDS)} 5\n".encode()
FILES = {
    "glove.txt": lines(),
    "word2vec.txt": HEAD + lines().replace(b"\n", b" \n"),
    "word2vec.bin": HEAD + binary(),
    "no_line_ends.bin": HEAD + binary(end=b""),
    "glove.txt.gz": gzip.compress(lines()),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_word_vectors_is_an_embedder_of_means(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    assert formats.recognised(tmp_path / name).format.name == "word-vectors"
    embedder = kzoo.load(tmp_path / name)
    assert embedder.tokenizer.bare_ids(["The caf\u00e9, unheard"]) == [[2, 7, 8, 1]]
    expected = [
        VECTORS[[0, 4, 2]].sum(0), VECTORS[[1, 3, 2, 6, 0, 3, 2]].sum(0), VECTORS[5], np.zeros(5),
    ]  # fmt: skip
    for vector, whole in zip(embedder.predict(TEXTS), expected, strict=True):
        np.testing.assert_allclose(vector, whole / max(1e-12, np.linalg.norm(whole)), atol=1e-6)
    kzoo.convert(tmp_path / name, tmp_path / "preset")
    again = kzoo.load(tmp_path / "preset")
    np.testing.assert_array_equal(again.predict(TEXTS), embedder.predict(TEXTS))


def test_words_with_capitals_spaces_and_doubles(tmp_path):
    file, capitals = tmp_path / "vectors.txt", ["The", "the", ". . .", "the", "<unk>"]
    file.write_bytes(lines(capitals, VECTORS[:5]))
    with pytest.warns(UserWarning, match="1 words twice"):
        embedder = kzoo.load(file)
    assert embedder.tokenizer.vocabulary.keys() == {"<pad>", "<unk>", "The", "the", ". . ."}
    table = np.asarray(embedder.backbone.embedding.embeddings)
    np.testing.assert_array_equal(table, [np.zeros(5), VECTORS[4], *VECTORS[:3]])
    assert embedder.tokenizer.bare_ids(["The the THE"]) == [[2, 3, 1]]


NAN = VECTORS.copy()
NAN[3, 1] = np.nan
DAMAGED = {
    "nan.txt": (lines(vectors=NAN), "'dull' in line 4 of .* NaN"),
    "nan.bin": (HEAD + binary(vectors=NAN), "'dull' in word 4 of .* NaN"),
    "short.txt": (lines() + b"the 1.0 2.0\n", "Line 8 of .* no word with 5 numbers"),
    "long.txt": (lines() + b"an 1 2 3 4 5 6\n", "Line 8 of .* no word with 5 numbers"),
    "words.txt": (HEAD + lines() + b"an 1 2 x 4 5\n", "Line 9 of .* no word with 5 numbers"),
    "more.txt": (b"9 5\n" + lines(), "says that it has 9 words and has 7"),
    "less.txt": (b"3 5\n" + lines(), "says that it has 3 words and has 7"),
    "cut.bin": (HEAD + binary()[:-9], "ends in number 7"),
    "more.bin": (b"9 5\n" + binary(), "ends in number 8"),
    "less.bin": (b"3 5\n" + binary(), "holds more"),
    "vast.bin": (b"999999999 999999\n" + binary(), "ends in number 1"),
    "cut.txt.gz": (gzip.compress(lines() * 99)[:-30], "can't be read"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_sentence(name, tmp_path):
    content, words = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        kzoo.load(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"7 5\n", b"a text of words\nand more\n"])
def test_another_file_is_none_of_vectors(content, tmp_path):
    (tmp_path / "file.txt").write_bytes(content)
    assert formats.recognised(tmp_path / "file.txt") is None
    with pytest.raises(kzoo.KzooError, match="no vectors of words"):
        word_vectors.read(tmp_path / "file.txt")


# -- made of a sentence encoder ------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    return add_noise(kzoo.TextEmbedder(noisy("bert"), tokenizer=tokenizer(), normalize=False))


def test_it_is_made_of_what_the_encoder_says_of_each_token(encoder):
    """All directions and no weights: but for a rotation, the vectors less their mean."""
    made = kzoo.static_embedder(encoder, dim=32, coefficient=None, batch_size=7)
    known = encoder.tokenizer
    numbers = set(known.vocabulary.values()) - set(known.special_ids)
    whole = [n for n in sorted(numbers) if known.bare_ids([known.id_to_token(n)]) == [[n]]]
    alone = encoder.predict([known.id_to_token(n) for n in whole])
    table = np.asarray(made.backbone.embedding.embeddings)
    assert not table[known.special_ids].any()
    distances = np.linalg.norm(alone[:, None] - alone[None], axis=-1)
    got = np.linalg.norm(table[whole][:, None] - table[whole][None], axis=-1)
    np.testing.assert_allclose(got, distances, atol=1e-4)
    assert len(whole) > 30
    assert made.tokenizer.count_special_tokens() == 0
    ids = known.bare_ids(["the film"])[0]
    np.testing.assert_allclose(made.predict(["the film"])[0], table[ids].mean(0), atol=1e-6)


def test_frequent_tokens_count_little(encoder):
    plain, weighted = (
        np.asarray(kzoo.static_embedder(encoder, 8, each).backbone.embedding.embeddings)
        for each in (None, 1e-2)
    )
    told = np.linalg.norm(plain, axis=1) > 0
    ratio = np.linalg.norm(weighted[told], axis=1) / np.linalg.norm(plain[told], axis=1)
    places = np.arange(1, told.sum() + 1)
    frequency = 1 / places / (1 / places).sum()
    np.testing.assert_allclose(ratio, 1e-2 / (1e-2 + frequency), rtol=1e-4)


def test_components_are_those_that_differ_most():
    draw = np.random.default_rng(0)
    hidden = draw.standard_normal((50, 2)) * [5, 3]
    rotation, _ = np.linalg.qr(draw.standard_normal((6, 6)))
    vectors = hidden @ rotation[:2] + 7 + 1e-6 * draw.standard_normal((50, 6))
    found = components(vectors, 2)
    centred = hidden - hidden.mean(0)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-3)
    assert found[:, 0].var() > found[:, 1].var()


def test_what_it_can_not_be_made_of_is_one_sentence(encoder):
    for arguments, words in (
        ({"dim": 33}, "dim = 33 .* 1 to 32"),
        ({"dim": 8, "coefficient": 0}, "coefficient = 0"),
        ({"dim": 8, "max_length": 1}, "max_length = 1"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.static_embedder(encoder, **arguments)
    with pytest.raises(kzoo.KzooError, match="a Bert to distil; expected a TextEmbedder"):
        kzoo.static_embedder(noisy("bert"))
    with pytest.raises(kzoo.KzooError, match="no blocks"):
        kzoo.models.build(static(VECTORS, 0, 9).spec.replace(schedule=(0,)))


# -- it learns, and stays what it is -------------------------------------------------------------


@pytest.fixture
def embedder():
    known = tokenizer().bare()
    table = np.random.default_rng(0).standard_normal((known.vocabulary_size, 16))
    return kzoo.TextEmbedder(static(table, known.padding_id, 40), tokenizer=known)


def test_it_learns_as_an_embedder_and_as_a_classifier(embedder, tmp_path):
    pairs, scores = [("the good film", "a dull film"), ("the cat", "my dog")], [1.0, -0.5]
    embedder.compile(kzoo.AdamW(0.05))
    before = embedder.evaluate(pairs, scores, return_dict=True, verbose=0)["loss"]
    embedder.fit(pairs, scores, epochs=20, verbose=0)
    assert embedder.evaluate(pairs, scores, return_dict=True, verbose=0)["loss"] < 0.1 * before
    embedder.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(TEXTS[:2]), embedder.predict(TEXTS[:2]))
    classifier = kzoo.TextClassifier(embedder, labels=["bad", "good"])
    texts, labels = ["a dull film", "the good film"] * 8, ["bad", "good"] * 8
    classifier.compile(kzoo.AdamW(0.05))
    classifier.fit(texts, labels, epochs=10, verbose=0)
    assert classifier.predict(texts[:2]).argmax(-1).tolist() == [0, 1]


def test_a_bundle_of_it_is_the_model(embedder, tmp_path):
    found = kzoo.export_litert(embedder, tmp_path / "bundle.tflite", "int8", limits={})
    assert found["audit"]["partitions"] == 1 and not found["audit"]["custom"]
    assert found["audit"]["weight_bytes"]["int8"] >= embedder.backbone.vocabulary_size * 16
    assert found["parity"]["cosine"] > 0.999


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_an_open_bundle_finds_what_the_model_finds(similarity, embedder, tmp_path):
    model = kzoo.TextEmbedder(embedder, normalize=False, similarity=similarity)
    export_bundle(model, tmp_path / "bundle", "float32")
    texts = ["a very dull film", "the good film", "my dog", "the cat sat"]
    search, query = Searcher(tmp_path / "bundle", texts), "a good film"
    found, expected = search(query, top=3), model.search(query, texts, top=3)
    assert [each["text"] for each in found] == [each["text"] for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    assert kzoo.search_bundle(tmp_path / "bundle", query, texts, top=3) == found


# -- other libraries -----------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("normalize", [True, False])
def test_sentence_transformers_reads_and_writes_the_same(normalize, embedder, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    model = kzoo.TextEmbedder(embedder, normalize=normalize)
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = library.SentenceTransformer(str(tmp_path / "there"), device="cpu")
    texts = ["the good film", "a very dull film and my dog"]
    np.testing.assert_allclose(model.predict(texts), theirs.encode(texts), atol=1e-6)
    theirs.save(str(tmp_path / "saved"))
    for folder in ("there", "saved"):
        again = kzoo.load(tmp_path / folder)
        assert again.normalize is normalize and again.tokenizer == model.tokenizer
        np.testing.assert_allclose(again.predict(texts), model.predict(texts), atol=1e-6)


def folder_of(path, embedder, **tensors):
    """A folder as Model2Vec writes it."""
    path.mkdir()
    write_tensors(path / "model.safetensors", tensors)
    config = {"model_type": "model2vec", "normalize": True}
    (path / "config.json").write_text(json.dumps(config))
    embedder.tokenizer.save(path)
    return path


def test_shared_rows_and_weights_of_model2vec(embedder, tmp_path):
    count = embedder.backbone.vocabulary_size
    rows, weights = VECTORS, np.linspace(0.1, 2, count).astype("float32")
    mapping = np.arange(count) % len(rows)
    tensors = {"embeddings": rows.astype("float16"), "weights": weights, "mapping": mapping}
    model = kzoo.load(folder_of(tmp_path / "here", embedder, **tensors))
    expected = rows.astype("float16").astype("float32")[mapping] * weights[:, None]
    np.testing.assert_array_equal(np.asarray(model.backbone.embedding.embeddings), expected)
    assert model.normalize and model.pooling == "mean"
    kzoo.to_huggingface(model, tmp_path / "there")
    written = read_tensors(tmp_path / "there" / "model.safetensors")
    np.testing.assert_array_equal(written["embeddings"].read(), expected)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"vectors": VECTORS}, "tensors vectors; expected embeddings"),
        ({"embeddings": VECTORS}, "tokens and the table 7 rows"),
        ({"embeddings": VECTORS[0]}, r"embeddings in .* \(5,\); expected tokens by numbers"),
        ({"embeddings": NAN}, "NaN or infinite"),
        ({"embeddings": VECTORS, "weights": VECTORS}, "weights in .* a number for each"),
        ({"embeddings": VECTORS, "mapping": np.array([0, 7])}, "mapping in .* rows"),
    ],
)
def test_a_folder_that_holds_no_table_is_one_sentence(tensors, words, embedder, tmp_path):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        kzoo.load(folder_of(tmp_path / "here", embedder, **tensors))
    assert "\n" not in str(caught.value)


def test_what_other_libraries_have_no_name_for_is_one_sentence(embedder, tmp_path):
    of_max = kzoo.TextEmbedder(embedder, pooling="max")
    classifier = kzoo.TextClassifier(embedder, labels=["bad", "good"])
    for model, words in ((of_max, "pools by 'max'"), (classifier, "Got a TextClassifier")):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.to_huggingface(model, tmp_path / "there")
    assert not list(tmp_path.iterdir())


def test_only_the_table_has_a_name(embedder):
    assert list(weights_by_path(embedder)) == ["backbone/token_embedding/embeddings"]
