"""ColBERT: a vector a token, marked and filled texts, MaxSim, and its checkpoints."""

import json

import numpy as np
import pytest
from families import add_noise, noisy

import kzoo
from kzoo.answers import max_similarities
from kzoo.bundle.agreement import disagreement
from kzoo.bundle.export import export_bundle
from kzoo.bundle.manifest import write_manifest
from kzoo.checkpoints.safetensors import read_tensors
from kzoo.cli import main
from kzoo.keras_hooks import precision
from kzoo.tasks.contrastive import max_sim
from kzoo.tasks.late_interaction import MaxSimAccuracy
from kzoo.tasks.text_embedder import PartnerAccuracy

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] [unused0] [unused1] a man is eating food the ##s . , ? na"
QUERIES = ["a man?", "the food is eating the man, the foods. a man is a man"]
DOCUMENTS = ["a man, eating", "the food.", "is", "na, na. the man is eating the foods ? , ."]


def colbert(folder, family="bert", **options):
    """A tiny ColBERT with noise on every weight."""
    (folder / "vocab.txt").write_text(PIECES.replace(" ", "\n"))
    tokenizer = kzoo.Tokenizer.load(folder / "vocab.txt")
    backbone = noisy(family, vocabulary_size=tokenizer.vocabulary_size, schedule=(0,))
    options = {"dim": 12, "query_length": 10, "max_length": 12, **options}
    return add_noise(kzoo.LateInteraction(backbone, tokenizer=tokenizer, **options), seed=3)


def ids_of(task, texts, query):
    return [
        [task.tokenizer.id_to_token(i) for i in row]
        for row in task.tokenize(texts, query=query)["token_ids"].tolist()
    ]


def test_queries_are_marked_and_filled_and_documents_marked(tmp_path):
    task = colbert(tmp_path)
    first, second = ids_of(task, QUERIES, True)
    assert " ".join(first) == "[CLS] [unused0] a man ? [SEP] " + " ".join(["[MASK]"] * 4)
    assert " ".join(second) == "[CLS] [unused0] the food is eating the man , [SEP]"
    seen = task.tokenize(QUERIES, query=True)["padding_mask"]
    assert seen.tolist() == [[1] * 6 + [0] * 4, [1] * 10]
    task = colbert(tmp_path, attend_to_masks=True)
    assert task.tokenize(QUERIES, query=True)["padding_mask"].all()
    assert (
        " ".join(ids_of(task, DOCUMENTS[1:3], False)[1]) == "[CLS] [unused1] is [SEP] [PAD] [PAD]"
    )


def test_signs_count_in_queries_and_not_in_documents(tmp_path):
    """And mask tokens count, and padding does not; what counts has length one."""
    task = colbert(tmp_path)
    assert [len(each) for each in task.encode_query(QUERIES)] == [10, 10]
    assert [len(each) for each in task.encode_document(DOCUMENTS)] == [6, 5, 4, 10]
    whole = colbert(tmp_path, skip_punctuation=False)
    assert [len(each) for each in whole.encode_document(DOCUMENTS)] == [7, 6, 4, 12]
    for each in task.encode_document(DOCUMENTS):
        np.testing.assert_allclose(np.linalg.norm(each, axis=-1), 1, atol=1e-5)


def test_scores_are_sums_of_the_best_products(tmp_path):
    """By loops, by NumPy and in the graph; search and predict say the same."""
    task = colbert(tmp_path)
    queries, documents = task.encode_query(QUERIES), task.encode_document(DOCUMENTS)
    by_hand = [
        [sum(max(q @ d for d in doc) for q in query) for doc in documents] for query in queries
    ]
    np.testing.assert_allclose(max_similarities(queries, documents), by_hand, atol=1e-6)
    longest = max(map(len, documents))
    filled = np.array([np.pad(d, ((0, longest - len(d)), (0, 0))) for d in documents])
    np.testing.assert_allclose(np.array(max_sim(np.array(queries), filled)), by_hand, atol=1e-5)
    pairs = [(query, text) for query in QUERIES for text in DOCUMENTS]
    np.testing.assert_allclose(task.predict(pairs).reshape(2, 4), by_hand, atol=1e-5)
    found = task.search(QUERIES[0], DOCUMENTS, top=4)
    assert [each["index"] for each in found] == np.argsort(by_hand[0])[::-1].tolist()
    assert found[0]["text"] == DOCUMENTS[found[0]["index"]]
    assert task.search(QUERIES, documents, top=1)[0][0]["index"] == found[0]["index"]


def test_a_score_below_zero_is_not_beaten_by_padding():
    """A document of zeros alone has no vector, and a query's row of zeros adds nothing."""
    query = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    document = np.array([[[-1.0, 0.0], [0.0, 0.0]]])
    assert np.array(max_sim(query, document)).tolist() == [[-1.0]]


GROUPS = [
    (QUERIES[0], DOCUMENTS[0], DOCUMENTS[1]),
    (QUERIES[1], DOCUMENTS[1], DOCUMENTS[2]),
    ("food", DOCUMENTS[3], DOCUMENTS[0]),
]


def test_the_loss_is_the_cross_entropy_among_all_documents(tmp_path):
    """Hard negatives of every query among them; told apart from pairs alone."""
    task = colbert(tmp_path)
    for groups in (GROUPS, [group[:2] for group in GROUPS]):
        sides = list(zip(*groups, strict=True))
        documents = [text for place in range(3) for text in (side[place] for side in sides[1:])]
        scores = task.similarities(list(sides[0]), documents)
        own = scores[range(3), [place * (len(sides) - 1) for place in range(3)]]
        expected = np.mean(np.log(np.exp(scores).sum(1)) - own)
        task.compile(loss=kzoo.MaxSimLoss())
        actual = task.evaluate(groups, verbose=0, return_dict=True)
        np.testing.assert_allclose(actual["loss"], expected, rtol=1e-5)
        found = np.mean(scores.argmax(1) == np.arange(3) * (len(sides) - 1))
        np.testing.assert_allclose(actual["accuracy"], found, rtol=1e-6)


@pytest.mark.parametrize(
    ("metric", "shape"), [(MaxSimAccuracy, (4, 2, 3, 8)), (PartnerAccuracy, (4, 2, 8))]
)
def test_vectors_that_are_all_the_same_find_by_chance_alone(metric, shape):
    found = metric()
    found.update_state(None, np.full(shape, 0.3, "float32"))
    assert float(found.result()) == pytest.approx(0.25)


def test_it_learns_and_every_weight_does(tmp_path):
    task = colbert(tmp_path)
    task.compile(kzoo.AdamW(1e-2), loss=kzoo.MaxSimLoss(scale=4.0))
    before = [np.array(weight) for weight in task.trainable_weights]
    groups = [(*group[:2], other) for group, other in zip(GROUPS, ("na", "a", "the"), strict=True)]
    history = task.fit(groups, epochs=12, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    still = [
        weight.path
        for weight, old in zip(task.trainable_weights, before, strict=True)
        if not np.abs(np.array(weight) - old).max() > 0
    ]
    assert not still


@pytest.mark.parametrize("form", ["keras", "preset", "huggingface"])
def test_a_colbert_is_kept_whole(form, tmp_path):
    options = {"skip_punctuation": False, "attend_to_masks": True, "markers": ("a", "na")}
    task = colbert(tmp_path, **options)
    there = tmp_path / ("kept.keras" if form == "keras" else "kept")
    writers = {"keras": task.save, "preset": task.save_preset}
    writers.get(form, lambda path: kzoo.to_huggingface(task, path))(there)
    back = kzoo.from_huggingface(there) if form == "huggingface" else kzoo.load(there)
    assert type(back) is kzoo.LateInteraction and back.task_options() == task.task_options()
    assert (back.dim, back.max_length) == (12, 12)
    for one, other in zip(task.encode_query(QUERIES), back.encode_query(QUERIES), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_lies_as_the_authors_code_has_it(tmp_path):
    """Names and shapes; read and written again they are the same to the byte, a pooler too."""
    kzoo.to_huggingface(colbert(tmp_path), tmp_path / "there")
    config = json.loads((tmp_path / "there" / "config.json").read_text())
    assert config["architectures"] == ["HF_ColBERT"] and config["model_type"] == "bert"
    said = json.loads((tmp_path / "there" / "artifact.metadata").read_text())
    assert said["dim"] == 12 and said["query_maxlen"] == 10 and said["doc_maxlen"] == 12
    tensors = read_tensors(tmp_path / "there" / "model.safetensors")
    assert tensors["linear.weight"].shape == (12, 32)
    assert all(name.startswith("bert.") for name in tensors if name != "linear.weight")
    arrays = {name: np.array(lazy.read()) for name, lazy in tensors.items()}
    arrays["bert.pooler.dense.weight"] = np.ones((32, 32), "float32")
    arrays["bert.pooler.dense.bias"] = np.ones(32, "float32")
    kzoo.checkpoints.safetensors.write_tensors(
        tmp_path / "there" / "model.safetensors", arrays, {"format": "pt"}
    )
    kzoo.to_huggingface(kzoo.from_huggingface(tmp_path / "there"), tmp_path / "again")
    again = read_tensors(tmp_path / "again" / "model.safetensors")
    assert set(again) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name].read(), array)
    backbone = kzoo.from_huggingface(tmp_path / "there", task="backbone")
    assert type(backbone) is kzoo.Bert


@pytest.mark.parity
def test_the_authors_class_in_torch_gives_the_same_vectors(tmp_path):
    """transformers' BertModel and what colbert/modeling does round it, written anew, in float64."""
    import string

    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    task = colbert(tmp_path)
    kzoo.to_huggingface(task, tmp_path / "there")
    arrays = read_tensors(tmp_path / "there" / "model.safetensors")
    arrays = {name: torch.tensor(np.array(lazy.read())) for name, lazy in arrays.items()}
    linear = arrays.pop("linear.weight").double()
    config = transformers.BertConfig.from_pretrained(tmp_path / "there")
    bert = transformers.BertModel(config, add_pooling_layer=False)
    bert.load_state_dict({name.removeprefix("bert."): array for name, array in arrays.items()})
    bert.double().eval()
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    signs = {reader(sign, add_special_tokens=False)["input_ids"][0] for sign in ".,?"}
    assert set(string.punctuation) > set(".,?")  # The others are unknown to this vocabulary.

    def vectors(texts, query):
        padding = {"padding": "max_length" if query else "longest"}
        length = 10 if query else 12
        rows = reader([f". {t}" for t in texts], **padding, truncation=True, max_length=length)
        ids, seen = (torch.tensor(rows[name]) for name in ("input_ids", "attention_mask"))
        ids[:, 1] = reader.convert_tokens_to_ids("[unused0]" if query else "[unused1]")
        if query:
            ids[ids == 0] = reader.mask_token_id
        with torch.no_grad():
            found = bert(ids, attention_mask=seen)[0] @ linear.T
        out = set() if query else signs
        counts = torch.tensor([[i != 0 and i not in out for i in row] for row in ids.tolist()])
        return torch.nn.functional.normalize(found * counts[..., None], dim=2), counts

    queries, _ = vectors(QUERIES, True)
    documents, counts = vectors(DOCUMENTS, False)
    for mine, theirs in zip(task.encode_query(QUERIES), queries, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5)
    for mine, theirs, own in zip(task.encode_document(DOCUMENTS), documents, counts, strict=True):
        np.testing.assert_allclose(mine, theirs[own].numpy(), atol=1e-5)
    products = torch.einsum("qad,nbd->qnab", queries, documents)
    products[:, ~counts.any(1)] = -9999
    products = products.masked_fill(~counts[None, :, None], -9999)
    expected = products.max(-1).values.sum(-1).numpy()
    np.testing.assert_allclose(task.similarities(QUERIES, DOCUMENTS), expected, atol=1e-4)


BAD = {
    "marker": (lambda t: kzoo.LateInteraction(t, markers=("[Q]", "[D]")), r"no token '\[Q\]'"),
    "markers": (lambda t: kzoo.LateInteraction(t, markers=("a", "a")), "Got markers="),
    "query": (lambda t: kzoo.LateInteraction(t, query_length=2), "Got query_length=2"),
    "width": (lambda t: kzoo.LateInteraction(t, dim=0), "Got dim=0"),
    "single": (lambda t: (t.compile(), t.fit(["a"])), "Got single texts"),
    "groups": (lambda t: (t.compile(), t.fit([("a", "a"), ("a", "a", "a")])), "Example 1 has 3"),
    "targets": (lambda t: (t.compile(), t.fit([("a", "a")], [1.0])), "Got targets"),
    "top": (lambda t: t.search("a", ["a"], top=0), "top=0"),
    "empty": (lambda t: t.search("a", [np.zeros((0, 12))]), "without a vector"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_one_sentence(case, tmp_path):
    call, words = BAD[case]
    with pytest.raises(kzoo.KzooError, match=words):
        call(colbert(tmp_path))


def test_another_way_of_comparing_is_refused(tmp_path):
    kzoo.to_huggingface(colbert(tmp_path), tmp_path / "there")
    path = tmp_path / "there" / "artifact.metadata"
    path.write_text(json.dumps({**json.loads(path.read_text()), "similarity": "l2"}))
    with pytest.raises(kzoo.KzooError, match="similarity 'l2'"):
        kzoo.from_huggingface(tmp_path / "there")


def test_a_recipe_trains_on_triples(tmp_path):
    colbert(tmp_path).save_preset(tmp_path / "start")
    rows = [dict(zip(("query", "positive", "negative"), group, strict=True)) for group in GROUPS]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = {
        "task": "LateInteraction",
        "model": str(tmp_path / "start"),
        "train": str(tmp_path / "train.jsonl"),
        "text": ["query", "positive", "negative"],
        "output": str(tmp_path / "done"),
        "epochs": 1,
    }
    task, history = kzoo.train(recipe, verbose=0)
    assert type(task) is kzoo.LateInteraction and np.isfinite(history.history["loss"]).all()
    assert type(kzoo.load(tmp_path / "done")) is kzoo.LateInteraction


def test_half_precision_loses_no_place(tmp_path):
    """What counts is finite, and what doesn't stays zeros."""
    with precision("mixed_bfloat16"):
        task = colbert(tmp_path)
    vectors = task.encode_document(DOCUMENTS)
    assert [len(each) for each in vectors] == [6, 5, 4, 10]
    assert all(np.isfinite(each).all() for each in vectors)


# -- bundles --------------------------------------------------------------------------------------


def manifest_of(folder):
    return json.loads((folder / "kzoo.json").read_text())


@pytest.mark.parametrize("form", ["float32", "int8"])
@pytest.mark.parametrize("attends", [False, True])
def test_a_bundle_reads_and_compares_as_the_task_does(form, attends, tmp_path):
    """One file for queries and documents, whose golden examples are of both; in one partition."""
    task = colbert(tmp_path, attend_to_masks=attends)
    report = export_bundle(task, tmp_path / "bundle", form)
    kept = {row["limit"]: row["measured"] for row in report["limits"]}
    assert kept["partitions"] == 1 and kept["cosine"] > (0.997 if form == "int8" else 0.99999)
    assert kzoo.verify_bundle(tmp_path / "bundle")["reads"] == "marked"
    manifest = manifest_of(tmp_path / "bundle")
    assert {entry["reading"] for entry in manifest["golden"]} == {"query", "document"}
    queries = [e for e in manifest["golden"] if e["reading"] == "query"]
    mask = task.tokenizer.mask_id
    assert all(len(e["token_ids"]) == 10 for e in queries)
    assert any(e["token_ids"][-1] == mask for e in queries)
    near = 1e-6 if form == "float32" else 0.02
    answers = kzoo.predict_bundle(tmp_path / "bundle", DOCUMENTS)
    for answer, expected in zip(answers, task.encode_document(DOCUMENTS), strict=True):
        np.testing.assert_allclose(answer["vectors"], expected, atol=near)
    assert [each["truncated"] for each in answers] == [False, False, False, True]
    pairs = [(query, text) for query in QUERIES for text in DOCUMENTS]
    scores = [each["score"] for each in kzoo.predict_bundle(tmp_path / "bundle", pairs)]
    np.testing.assert_allclose(scores, task.predict(pairs), atol=2 * near)
    found = kzoo.rerank(tmp_path / "bundle", QUERIES[0], DOCUMENTS)
    assert sorted(e["score"] for e in found) == pytest.approx(sorted(scores[:4]), abs=1e-6)


def test_a_bundle_of_one_length_has_room_for_its_queries(tmp_path, capfd):
    task = colbert(tmp_path)
    export_bundle(task, tmp_path / "bundle", "float32", length=11)
    pairs = [(QUERIES[1], text) for text in DOCUMENTS]
    scores = [each["score"] for each in kzoo.predict_bundle(tmp_path / "bundle", pairs)]
    shorter = kzoo.LateInteraction(task, max_length=11).predict(pairs)
    np.testing.assert_allclose(scores, shorter, atol=1e-5)
    for given, said in (
        ([DOCUMENTS[1]], "5 of 12 numbers"),
        (["--pair", "\t".join(pairs[0])], "query | document"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["predict", str(tmp_path / "bundle"), *given])
        assert ended.value.code == 0 and said in capfd.readouterr().out
    with pytest.raises(kzoo.KzooError, match="a file of 9 tokens, and its query has 10"):
        export_bundle(task, tmp_path / "short", "float32", length=9)
    assert not (tmp_path / "short").exists()


def test_a_bundle_that_was_read_otherwise_is_refused(tmp_path):
    export_bundle(colbert(tmp_path), tmp_path / "bundle", "float32")
    whole = manifest_of(tmp_path / "bundle")

    def changed(change):
        manifest = json.loads(json.dumps(whole))
        change(manifest)
        write_manifest(tmp_path / "bundle", manifest)
        kzoo.verify_bundle(tmp_path / "bundle")

    def swap(manifest):
        manifest["task_options"]["readings"][0]["marker_id"] += 1

    def unnamed(manifest):
        manifest["golden"][0]["reading"] = "title"

    def fewer(manifest):
        del manifest["task_options"]["readings"]

    def other(manifest):
        manifest["task_options"]["readings"][1]["fill_id"] = -1

    for change, words in (
        (swap, "tokenized otherwise from token 1 on"),
        (unnamed, "is read as 'title'; expected query or document"),
        (fewer, "without readings"),
        (other, "task option readings"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            changed(change)


def test_clients_are_held_to_vectors_and_scores():
    """As shares: of the largest number of a vector, of a score that is a sum of products."""
    options = {}
    one = {"text": "a", "vectors": [[0.5, -0.5], [0.1, 0.2]]}
    assert disagreement({**one, "vectors": [[0.5, -0.49], [0.1, 0.2]]}, one, 0.03, options) is None
    off = {**one, "vectors": [[0.5, -0.4], [0.1, 0.2]]}
    assert "scores off by" in disagreement(off, one, 0.03, options)
    assert "shape" in disagreement({**one, "vectors": [[0.5, -0.5]]}, one, 0.03, options)
    pair = {"text": ["a", "b"], "score": 20.0}
    assert disagreement({**pair, "score": 20.5}, pair, 0.03, options) is None
    assert "scores off by" in disagreement({**pair, "score": 21.0}, pair, 0.03, options)
