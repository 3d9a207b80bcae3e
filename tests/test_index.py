"""An index of documents: what it finds, what it keeps, and what it refuses."""

import json

import numpy as np
import pytest
from families import add_noise, noisy
from test_late_interaction import DOCUMENTS, QUERIES, colbert

import kzoo
from kzoo.bundle.export import export_bundle
from kzoo.index import Index, quantized, read_documents


def embedder(folder, **options):
    """A tiny TextEmbedder with noise, of the ColBERT's vocabulary."""
    tokenizer = colbert(folder).tokenizer
    backbone = noisy("bert", vocabulary_size=tokenizer.vocabulary_size, schedule=(0,))
    return add_noise(kzoo.TextEmbedder(backbone, tokenizer=tokenizer, **options), seed=5)


def crosser(folder):
    """A tiny classifier of pairs with one label, with noise."""
    tokenizer = colbert(folder).tokenizer
    backbone = noisy("bert", vocabulary_size=tokenizer.vocabulary_size, schedule=(0,))
    options = {"labels": ["relevance"], "tokenizer": tokenizer, "reads": "pair"}
    return add_noise(kzoo.TextClassifier(backbone, **options), seed=6)


def test_int8_is_as_near_as_half_a_step():
    vectors = np.random.default_rng(0).normal(size=(50, 16)).astype("float32")
    vectors[3] = 0
    codes, scales = quantized(vectors)
    assert codes.dtype == np.int8 and np.abs(codes).max() == 127
    off = np.abs(codes * scales[:, None] - vectors)
    assert (off <= scales[:, None] / 2 + 1e-7).all() and not codes[3].any()


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_one_stage_finds_what_the_embedder_finds(similarity, tmp_path):
    model = embedder(tmp_path, similarity=similarity, normalize=False)
    found = Index.build(model, DOCUMENTS).search(QUERIES[0], top=4)
    expected = model.search(QUERIES[0], DOCUMENTS, top=4)
    assert [each["index"] for each in found] == [each["index"] for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], rel=0.003, abs=0.01)
        assert one["text"] == other["text"] and one["id"] == one["index"]


def test_a_second_stage_ranks_what_the_first_leaves_it(tmp_path):
    """All of it as it would alone; of two candidates these two, in its own order."""
    first, second = embedder(tmp_path), colbert(tmp_path)
    index = Index.build(first, DOCUMENTS, second)
    alone = [each["index"] for each in second.search(QUERIES[1], DOCUMENTS, top=4)]
    every = index.search(QUERIES[1], top=4, candidates=None)
    assert [each["index"] for each in every] == alone
    scores = second.similarities(QUERIES[1:], DOCUMENTS)[0]
    np.testing.assert_allclose([e["score"] for e in every], scores[alone], atol=0.02)
    left = {each["index"] for each in first.search(QUERIES[1], DOCUMENTS, top=2)}
    few = [each["index"] for each in index.search(QUERIES[1], top=2, candidates=2)]
    assert few == [place for place in alone if place in left]


def test_a_reranker_reads_candidates_with_the_query(tmp_path):
    judge = crosser(tmp_path)
    index = Index.build(embedder(tmp_path), DOCUMENTS)
    scores = judge.predict([(QUERIES[0], text) for text in DOCUMENTS])[:, 0]
    found = index.search(QUERIES[0], top=4, reranker=judge)
    assert [each["index"] for each in found] == np.argsort(-scores).tolist()
    np.testing.assert_allclose([e["score"] for e in found], np.sort(scores)[::-1], atol=1e-6)


def test_an_index_is_kept_and_knows_its_models(tmp_path):
    first, second = embedder(tmp_path), colbert(tmp_path)
    first.save_preset(tmp_path / "first")
    index = Index.build(str(tmp_path / "first"), DOCUMENTS, second)
    index.save(tmp_path / "index")
    back = Index.load(tmp_path / "index", second=second)  # The first is where it was.
    assert back.search(QUERIES, top=3) == index.search(QUERIES, top=3) and len(back) == 4
    index.save(tmp_path / "index")  # An index takes the place of another.
    with pytest.raises(kzoo.KzooError, match="made by another model"):
        Index.load(tmp_path / "index", embedder(tmp_path, max_length=7), second)
    with pytest.raises(kzoo.KzooError, match="made by another model"):
        Index.load(tmp_path / "index", second=add_noise(colbert(tmp_path), seed=9))
    with pytest.raises(kzoo.KzooError, match="expected that model as the second"):
        Index.load(tmp_path / "index")


def test_a_text_keeps_the_lines_that_are_parted_by_other_signs(tmp_path):
    texts, first = ["the\u2028man", "a\x85man", "the\r\nfood"], embedder(tmp_path)
    Index.build(first, texts).save(tmp_path / "index")
    back = Index.load(tmp_path / "index", first)
    assert [text for _, text in back.documents] == texts
    with pytest.raises(kzoo.KzooError, match="which was built with one"):
        Index.load(tmp_path / "index", first, second=colbert(tmp_path))


def test_a_text_may_hold_ends_of_lines_of_any_kind(tmp_path):
    model, texts = embedder(tmp_path), ["a\u2028man", "is\x85eating", "the\r\nfood", "na\x0c\x1e"]
    Index.build(model, texts).save(tmp_path / "index")
    assert [text for _, text in Index.load(tmp_path / "index", model).documents] == texts


def test_documents_are_what_blank_lines_part(tmp_path):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "a.txt").write_text("one\ntwo\n \nthree\n\n\n")
    (folder / "b" / "c.md").write_text("four")
    (folder / "picture.png").write_bytes(b"\x89")
    expected = [("a.txt#0", "one\ntwo"), ("a.txt#1", "three"), ("b/c.md#0", "four")]
    assert read_documents(folder) == expected
    (tmp_path / "table.jsonl").write_text('{"text": "a man"}\n{"text": "the food"}\n')
    assert [text for _, text in read_documents(tmp_path / "table.jsonl")] == ["a man", "the food"]


def damaged(folder):
    model = embedder(folder)
    weight = model.backbone.embedding_norm.gamma
    weight.assign(np.full(weight.shape, np.nan, "float32"))
    return model


def test_what_makes_no_index_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "a.txt").write_text(" \n\n")
    model = embedder(tmp_path)
    for documents, words in (
        (tmp_path / "empty", "holds no"),
        (tmp_path / "blank", "holds no document"),
        (tmp_path / "missing", "doesn't exist"),
        ([], "holds no document"),
        (["a", " "], "Document 1 is ' '"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            Index.build(model, documents)
    with pytest.raises(kzoo.KzooError, match="NaN or infinite"):
        Index.build(damaged(tmp_path), DOCUMENTS)
    with pytest.raises(kzoo.KzooError, match="expected a TextEmbedder or a LateInteraction"):
        Index.build(crosser(tmp_path), DOCUMENTS)
    with pytest.raises(kzoo.KzooError, match="holds no index.json"):
        Index.load(tmp_path / "empty", model)
    index = Index.build(model, DOCUMENTS)
    with pytest.raises(kzoo.KzooError, match="Got candidates=0"):
        index.search("a", candidates=0)
    index.save(tmp_path / "index")
    scales = np.load(tmp_path / "index" / "stage_0.scales.npy")
    np.save(tmp_path / "index" / "stage_0.scales.npy", scales * np.nan)
    with pytest.raises(kzoo.KzooError, match="holds NaN"):
        Index.load(tmp_path / "index", model)
    np.save(tmp_path / "index" / "stage_0.scales.npy", scales[:2])
    with pytest.raises(kzoo.KzooError, match="other numbers or sizes"):
        Index.load(tmp_path / "index", model)


def test_bundles_make_the_index_that_their_models_make(tmp_path):
    """Of both kinds, on LiteRT; queries and documents of a ColBERT by one file."""
    for model, name in ((embedder(tmp_path), "one"), (colbert(tmp_path), "many")):
        export_bundle(model, tmp_path / name, "float32")
        index, expected = Index.build(tmp_path / name, DOCUMENTS), Index.build(model, DOCUMENTS)
        for one, other in zip(index.stages, expected.stages, strict=True):
            np.testing.assert_allclose(one.vectors(0, 99), other.vectors(0, 99), atol=0.02)
        found, right = index.search(QUERIES[0], top=4), expected.search(QUERIES[0], top=4)
        assert [each["index"] for each in found] == [each["index"] for each in right]


def test_the_command_line_makes_and_searches_an_index(tmp_path, capfd):
    from kzoo.cli import main

    embedder(tmp_path).save_preset(tmp_path / "model")
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("\n\n".join(DOCUMENTS))

    def here(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        return ended.value.code, capfd.readouterr()

    code, out = here("index", tmp_path / "model", texts, tmp_path / "index", "--json")
    assert code == 0 and json.loads(out.out)["documents"] == 4
    code, out = here("search", tmp_path / "index", QUERIES[0], "--top", 2, "--json")
    found = Index.load(tmp_path / "index").search(QUERIES[0], top=2)
    assert code == 0 and json.loads(out.out)[0]["found"] == found
    code, out = here("search", tmp_path / "index", "a", "--model", tmp_path / "texts")
    assert code == 2 and out.err.startswith("error: ") and out.err.count("\n") == 1
