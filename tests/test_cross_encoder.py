"""A classifier of pairs that ranks: what it learns, and what sentence-transformers has of it."""

import json

import keras
import numpy as np
import pytest
from test_index import crosser
from test_late_interaction import DOCUMENTS, QUERIES

import kzoo
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.export import export_bundle
from kzoo.tasks.cross_encoder import ListAccuracy

LISTS = [(QUERIES[0], DOCUMENTS[:3]), (QUERIES[1], DOCUMENTS[1:]), ("food", DOCUMENTS[:3])]


def test_it_ranks_by_what_the_classifier_says(tmp_path):
    judge = crosser(tmp_path)
    task = kzoo.CrossEncoder(judge)
    assert task.labels == ["relevance"] and task.reads == "pair"
    pairs = [(QUERIES[0], text) for text in DOCUMENTS]
    scores = judge.predict(pairs)[:, 0]
    np.testing.assert_array_equal(task.predict(pairs)[:, 0], scores)
    for found in (task.rank(QUERIES[0], DOCUMENTS), kzoo.rerank(task, QUERIES[0], DOCUMENTS)):
        assert [each["index"] for each in found] == np.argsort(-scores).tolist()
        assert found[0]["text"] == DOCUMENTS[found[0]["index"]]
    assert len(task.rank(QUERIES[0], DOCUMENTS, top=2)) == 2
    ranking, asked = kzoo.pipeline("text-ranking", task), {"query": QUERIES[0], "texts": DOCUMENTS}
    assert ranking(asked) == ranking(**asked) == task.rank(QUERIES[0], DOCUMENTS)
    assert ranking([asked], top_k=2) == [task.rank(QUERIES[0], DOCUMENTS, top=2)]
    late = kzoo.CrossEncoder(judge.backbone, tokenizer=judge.tokenizer)
    assert late.labels == ["relevance"]


def test_lists_are_learnt_by_place_and_by_grades(tmp_path):
    """The loss is the cross-entropy of shares, worked out by NumPy; a place is a grade alone."""
    task = kzoo.CrossEncoder(crosser(tmp_path))
    task.compile(kzoo.AdamW(1e-2), loss=kzoo.ListLoss())
    grades = np.array([[0, 1, 3], [2, 0, 0], [1, 1, 0]], "float32")
    scores = np.array(
        [task.predict([(q, t) for t in texts])[:, 0] for q, texts in LISTS], "float64"
    )
    logits = np.log(scores) - np.log(1 - scores)
    shares = grades / grades.sum(1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = task.evaluate(LISTS, grades.tolist(), return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(-(shares * logs).sum(1).mean(), rel=1e-4)
    found = task.evaluate(LISTS, [2, 0, 1], return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(-logs[range(3), [2, 0, 1]].mean(), rel=1e-4)
    history = task.fit(LISTS, [2, 0, 1], epochs=15, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    metric = ListAccuracy()
    metric.update_state([[0, 1], [1, 1]], [[[2.0], [1.0]], [[0.0], [1.0]]])
    assert float(metric.result()) == 0.5
    metric.update_state([[0, 1]], [[[2.0], [2.0]]])  # Equals say nothing.
    assert float(metric.result()) == 0.5


@pytest.mark.parametrize("problem", ["single_label", "regression"])
def test_pairs_are_learnt_as_a_classifier_does(problem, tmp_path):
    judge = crosser(tmp_path)
    task = kzoo.CrossEncoder(judge.backbone, tokenizer=judge.tokenizer, problem=problem)
    task.compile(kzoo.AdamW(1e-2))
    pairs = [(QUERIES[0], DOCUMENTS[0]), (QUERIES[1], DOCUMENTS[1])]
    history = task.fit(pairs, [1, 0], epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    task.save(tmp_path / "kept.keras")
    back = keras.saving.load_model(tmp_path / "kept.keras")
    assert type(back) is kzoo.CrossEncoder
    np.testing.assert_array_equal(back.predict(pairs), task.predict(pairs))
    task.save_preset(tmp_path / "preset")
    again = kzoo.CrossEncoder(tmp_path / "preset")
    np.testing.assert_array_equal(again.predict(pairs), task.predict(pairs))


@pytest.mark.parametrize("form", ["float32", "int8"])
def test_a_bundle_ranks_as_the_task_does(form, tmp_path):
    """Pairs as golden examples, within the limits that suit the form; predict, bench and rerank."""
    task = kzoo.CrossEncoder(crosser(tmp_path))
    report = export_bundle(task, tmp_path / "bundle", form)
    assert {row["limit"] for row in report["limits"]} >= {"partitions", "probability_difference"}
    verified = kzoo.verify_bundle(tmp_path / "bundle")
    assert (verified["reads"], verified["quantization"]) == ("pair", form)
    manifest = json.loads((tmp_path / "bundle" / "kzoo.json").read_text())
    assert all(len(entry["text"]) == 2 for entry in manifest["golden"])
    near = 1e-5 if form == "float32" else 0.02
    pairs = [(QUERIES[0], text) for text in DOCUMENTS]
    scores = task.predict(pairs)[:, 0]
    answers = kzoo.predict_bundle(tmp_path / "bundle", pairs)
    np.testing.assert_allclose([each["score"] for each in answers], scores, atol=near)
    found = kzoo.rerank(tmp_path / "bundle", QUERIES[0], DOCUMENTS)
    by_place = {each["index"]: each["score"] for each in found}
    np.testing.assert_allclose([by_place[i] for i in range(4)], scores, atol=near)
    timed = bench_bundle(tmp_path / "bundle", lengths=[8], rounds=2)["lengths"]
    assert timed[0]["tokens"] == 8 and timed[0]["milliseconds"] > 0


@pytest.mark.parity
def test_sentence_transformers_scores_pairs_the_same(tmp_path):
    """A folder of ours there, and one that it wrote here."""
    library = pytest.importorskip("sentence_transformers")
    judge = crosser(tmp_path)
    task = kzoo.CrossEncoder(kzoo.TextClassifier(judge, head="pooled", max_length=20))
    kzoo.to_huggingface(task, tmp_path / "there")
    theirs = library.CrossEncoder(str(tmp_path / "there"), device="cpu")
    pairs = [(query, text) for query in QUERIES for text in DOCUMENTS]
    np.testing.assert_allclose(task.predict(pairs)[:, 0], theirs.predict(pairs), atol=1e-5)
    theirs.save_pretrained(str(tmp_path / "saved"))
    back = kzoo.CrossEncoder(kzoo.from_huggingface(tmp_path / "saved"))
    np.testing.assert_allclose(back.predict(pairs), task.predict(pairs), atol=1e-6)
    assert json.loads((tmp_path / "there" / "config.json").read_text())["id2label"] == {
        "0": "relevance"
    }


def test_what_does_not_fit_is_one_sentence(tmp_path):
    judge = crosser(tmp_path)
    with pytest.raises(kzoo.KzooError, match="Got 2 labels"):
        kzoo.CrossEncoder(judge.backbone, labels=["a", "b"], tokenizer=judge.tokenizer)
    task = kzoo.CrossEncoder(judge)
    task.compile(loss=kzoo.ListLoss())
    for x, y, words in (
        (LISTS, [3, 0, 0], "Target 0 is 3"),
        (LISTS, [[0, 0, 0]] * 3, "expected 3 grades"),
        ([("a", ["a"]), ("a", ["a", "the"])], [0, 0], r"The lists have \[1, 2\] texts"),
        ([("a", "the")], [1], "pairs with it"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            task.fit(x, y, verbose=0)
    with pytest.raises(kzoo.KzooError, match="of 2 labels to rank by"):
        kzoo.rerank(
            kzoo.TextClassifier(judge.backbone, ["a", "b"], tokenizer=judge.tokenizer), "a", ["a"]
        )
    with pytest.raises(kzoo.KzooError, match="'a'; expected {\"query\""):
        kzoo.pipeline("text-ranking", task)("a")
    with pytest.raises(kzoo.KzooError, match='expected {"query"'):
        kzoo.pipeline("text-ranking", task)(query="a")
    for other in (judge.backbone, kzoo.TextEmbedder(judge.backbone, tokenizer=judge.tokenizer)):
        with pytest.raises(kzoo.KzooError, match="to rank by; expected a CrossEncoder"):
            kzoo.pipeline("text-ranking", other)
    with pytest.raises(kzoo.KzooError, match="Got no text to rank"):
        kzoo.rerank(task, "a", [])
