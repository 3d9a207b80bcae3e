"""Measure and use: what is right by class, tables in and out, search, pictures, quiet calls."""

import csv
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from families import SPECS, add_noise

import kzoo
from kzoo import logs, plot
from kzoo.bundle import export_bundle, predict_table, search_bundle
from kzoo.cli import main
from kzoo.errors import KzooError
from kzoo.evaluation import PICTURE, RESULT, WRONG
from kzoo.metrics import matthews
from kzoo.models import build
from kzoo.terminal import Screen
from kzoo.views import evaluated

WORDS = "i loved it hated a warm funny dull film the was and not john smith lives in paris who ?"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    pieces += [*"bcdefghjklmnopqrstuvwxyz.,", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return kzoo.Tokenizer.load(path)


@pytest.fixture(scope="module")
def make(tokenizer):
    spec = SPECS["bert"].replace(vocabulary_size=tokenizer.vocabulary_size)

    def of(kind, **options):
        return add_noise(kind(add_noise(build(spec)), tokenizer=tokenizer, **options), seed=3)

    return of


@pytest.fixture(scope="module")
def classifier(make):
    return make(kzoo.TextClassifier, labels=["bad", "fair", "good"])


@pytest.fixture(scope="module")
def bundle(classifier, tmp_path_factory):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a bundle is exported on TensorFlow")
    folder = tmp_path_factory.mktemp("bundle") / "classifier"
    export_bundle(classifier, folder, "float32")
    return folder


TEXTS = ["i loved it, and", 'a "dull" film', "warm funny", "it was not the film", "i hated it"]


def write_labels(classifier, path, turned):
    """A file where the classifier is right on all texts but those whose places are in `turned`."""
    labels = classifier.labels
    given = [int(row.argmax()) for row in classifier.predict(TEXTS)]
    right = [(index + (place in turned)) % 3 for place, index in enumerate(given)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "label"])
        writer.writerows([text, labels[i]] for text, i in zip(TEXTS, right, strict=True))
    return [labels[i] for i in right], [labels[i] for i in given]


# -- evaluate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["task", "bundle"])
def test_evaluate_measures_each_class(classifier, source, tmp_path, request):
    right, given = write_labels(classifier, tmp_path / "test.csv", {1, 3})
    source = classifier if source == "task" else request.getfixturevalue("bundle")
    result = kzoo.evaluate(source, tmp_path / "test.csv", output=tmp_path / "out")
    assert result["scores"]["accuracy"] == pytest.approx(3 / 5)
    for name, row in result["classes"].items():
        both = sum(a == b == name for a, b in zip(right, given, strict=True))
        assert row["support"] == right.count(name)
        assert row["precision"] == pytest.approx(both / max(1, given.count(name)))
        assert row["recall"] == pytest.approx(both / max(1, right.count(name)))
    labels, counts = result["confusion"]["labels"], np.array(result["confusion"]["counts"])
    for a, b in zip(right, given, strict=True):
        counts[labels.index(a), labels.index(b)] -= 1
    assert not counts.any()
    assert [(row["line"], row["text"]) for row in result["wrong"]] == [(3, TEXTS[1]), (5, TEXTS[3])]
    assert (tmp_path / "out" / PICTURE).read_bytes().startswith(PNG)
    assert json.loads((tmp_path / "out" / RESULT).read_text(encoding="utf-8")) == result
    with open(tmp_path / "out" / WRONG, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [TEXTS[1], TEXTS[3]]
    assert [row["given"] for row in rows] == [given[1], given[3]]


def test_macro_f1_is_over_classes_that_occur(classifier, tmp_path):
    right, given = write_labels(classifier, tmp_path / "test.csv", set())
    assert len(set(given)) < 3, "the noise gives a class to no text"
    result = kzoo.evaluate(classifier, tmp_path / "test.csv")
    assert result["scores"] == {"accuracy": 1.0, "macro_f1": 1.0}


def test_evaluate_of_several_labels_and_of_values(make, tmp_path):
    several = make(kzoo.TextClassifier, labels=["a", "b"], problem="multi_label")
    chosen = [
        [n for n, p in zip("ab", row, strict=True) if p >= 0.5] for row in several.predict(TEXTS)
    ]
    rows = [{"text": text, "labels": c} for text, c in zip(TEXTS, chosen, strict=True)]
    rows[0]["labels"] = [name for name in "ab" if name not in chosen[0]]
    path = tmp_path / "several.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    result = kzoo.evaluate(several, path)
    assert result["scores"]["exact_match"] == pytest.approx(4 / 5)
    assert [row["given"] for row in result["wrong"]] == [chosen[0]]
    values = make(kzoo.TextClassifier, labels=["stars"], problem="regression")
    given = values.predict(TEXTS)[:, 0]
    path = tmp_path / "values.jsonl"
    rows = [{"text": text, "score": float(2 * v + 1)} for text, v in zip(TEXTS, given, strict=True)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    scores = kzoo.evaluate(values, path)["scores"]
    assert scores["pearson"] == pytest.approx(1) and scores["spearman"] == pytest.approx(1)
    assert scores["mean_absolute_error"] == pytest.approx(np.abs(given + 1).mean(), rel=1e-5)


def test_evaluate_of_an_embedder_is_of_the_cosines_of_pairs(make, tmp_path):
    embedder = make(kzoo.TextEmbedder, normalize=False)
    others, scores = TEXTS[1:] + TEXTS[:1], [3.0, 1.0, 5.0, 2.5, 0.0]
    path = tmp_path / "pairs.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(zip(TEXTS, others, scores, strict=True))
    result = kzoo.evaluate(embedder, path, text=[0, 1], label=2)
    one, other = embedder.predict(TEXTS), embedder.predict(others)
    cosines = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    assert result["scores"]["pearson"] == pytest.approx(np.corrcoef(cosines, scores)[0, 1], 1e-4)
    places = [np.argsort(np.argsort(values)) for values in (cosines, scores)]
    assert result["scores"]["spearman"] == pytest.approx(np.corrcoef(*places)[0, 1])
    apart = np.abs(places[0] - places[1])[[row["line"] - 1 for row in result["wrong"]]]
    assert apart.tolist() == sorted(apart, reverse=True)
    assert [row["right"] for row in sorted(result["wrong"], key=lambda row: row["line"])] == scores
    path.write_text("text,label\ni loved it,alike\n", encoding="utf-8")
    with pytest.raises(KzooError, match="Got single examples for a TextEmbedder; expected pairs"):
        kzoo.evaluate(embedder, path)
    path.write_text("text,text_pair,label\ni loved it,a film,alike\n", encoding="utf-8")
    with pytest.raises(KzooError, match="line 2: got 'alike' as how alike a pair is; expected one"):
        kzoo.evaluate(embedder, path)


def test_evaluate_of_entities_and_answers(make, tmp_path):
    tagger = make(kzoo.TokenClassifier, labels=["O", "B-PER", "I-PER", "B-LOC"])
    (tmp_path / "ner.conll").write_text("john B-PER\nsmith I-PER\n\nparis B-LOC\n", "utf-8")
    result = kzoo.evaluate(tagger, tmp_path / "ner.conll", output=tmp_path / "out")
    assert set(result["scores"]) == set(result["intervals"]) == {"precision", "recall", "f1"}
    named = kzoo.evaluate(tagger, tmp_path / "ner.conll", task="ner")
    assert list(named["scores"]) == ["f1", "precision", "recall"]
    assert named["scores"] == result["scores"] and named["intervals"] == result["intervals"]
    assert sum(row["support"] for row in result["classes"].values()) == 2
    assert (tmp_path / "out" / PICTURE).is_file()
    answerer = make(kzoo.QuestionAnswering)
    pair = ("who lives in paris ?", "john smith lives in paris .")
    (given,) = answerer.predict([pair])
    answer = {"text": [given["answer"]], "answer_start": [given["start"]]}
    row = {"question": pair[0], "context": pair[1], "answers": answer}
    (tmp_path / "qa.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    result = kzoo.evaluate(answerer, tmp_path / "qa.jsonl")
    assert result["scores"] == {"exact_match": 1.0, "f1": 1.0} and result["wrong"] == []
    named = kzoo.evaluate(answerer, tmp_path / "qa.jsonl", task="SQuAD v2", resamples=5)
    assert list(named["scores"]) == ["f1", "exact_match"]
    assert named["intervals"] == {"f1": [1.0, 1.0], "exact_match": [1.0, 1.0]}


# What a public task's file looks like, the number or name of a class (or a value) at the end of a
# row, and how a model's classes may be called. GLUE's own first lines.
PUBLIC = {
    "cola": (None, "gj04\t{y}\t\t{a}", ["unacceptable", "acceptable"]),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "{y}\t7\t8\t{a}\t{b}",
        ["not equivalent", "equivalent"],
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse"
        "\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        "0\t1\t2\tfiction\t( a )\t( b )\t(S a)\t(S b)\t{a}\t{b}\t{y}\t{y}",
        ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
    ),
    "rte": ("index\tsentence1\tsentence2\tlabel", "0\t{a}\t{b}\t{y}", ["LABEL_0", "LABEL_1"]),
    "wnli": ("index\tsentence1\tsentence2\tlabel", "0\t{a}\t{b}\t{y}", ["1", "0"]),
}
# What stands in the file for each class of the model, in the model's own order.
IN_FILE = {
    "mnli": ["contradiction", "neutral", "entailment"],
    "rte": ["entailment", "not_entailment"],
    "wnli": ["1", "0"],
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_tasks_are_read_and_measured_by_their_names(make, tmp_path, name):
    """GLUE's own layout is found; classes are told by name or number; the measure is its own."""
    header, row, labels = PUBLIC[name]
    model = make(kzoo.TextClassifier, labels=labels)
    others = TEXTS[1:] + TEXTS[:1]
    x = TEXTS if "{b}" not in row else list(zip(TEXTS, others, strict=True))
    given = model.predict(x).argmax(-1)
    right = given.copy()
    right[[1, 3]] = (right[[1, 3]] + 1) % len(labels)
    called = IN_FILE.get(name, ["0", "1"])
    lines = [
        row.format(a=a, b=b, y=called[y]) for a, b, y in zip(TEXTS, others, right, strict=True)
    ]
    path = tmp_path / "dev.tsv"
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n", encoding="utf-8")
    result = kzoo.evaluate(model, path, task=name.upper(), resamples=0)
    scores = result["scores"]
    if name == "cola":
        both = np.corrcoef(given, right)[0, 1] if len({*given}) > 1 else 0
        assert scores == {"matthews": pytest.approx(both)}
    else:
        assert scores["accuracy"] == pytest.approx(3 / 5)
    assert ("f1" in scores) == (name == "mrpc")
    if "f1" in scores:
        both = np.sum((given == 1) & (right == 1))
        assert scores["f1"] == pytest.approx(2 * both / (given.sum() + right.sum()))
    assert [row["right"] for row in result["wrong"]] == [labels[right[1]], labels[right[3]]]


@pytest.mark.parametrize("layout", ["glue", "three columns"])
def test_stsb_is_of_values_and_of_cosines(make, tmp_path, layout):
    others, scores = TEXTS[1:] + TEXTS[:1], [3.0, 1.0, 5.0, 2.5, 0.0]
    rows = list(zip(TEXTS, others, scores, strict=True))
    path = tmp_path / ("dev.tsv" if layout == "glue" else "dev.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        if layout == "glue":
            names = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
            lines = ["\t".join(["x"] * 7 + list(map(str, row))) for row in rows]
            file.write("\n".join(["\t".join(names.split()), *lines]) + "\n")
        else:
            csv.writer(file).writerows(rows)
    for model in (
        make(kzoo.TextEmbedder),
        make(kzoo.TextClassifier, labels=["score"], problem="regression"),
    ):
        found = kzoo.evaluate(model, path, task="STS-B", resamples=0)["scores"]
        assert list(found) == ["spearman", "pearson"]
        columns = {"text": ["sentence1", "sentence2"], "label": "score"}
        columns = columns if layout == "glue" else {"text": [0, 1], "label": 2}
        assert found.items() <= kzoo.evaluate(model, path, **columns)["scores"].items()


def test_intervals_are_of_examples_drawn_with_replacement(classifier, tmp_path):
    write_labels(classifier, tmp_path / "test.csv", {1, 3})
    right = np.array([1, 0, 1, 0, 1])
    for seed in (5, 6):
        result = kzoo.evaluate(classifier, tmp_path / "test.csv", resamples=21, seed=seed)
        assert result["resampling"] == {"resamples": 21, "seed": seed, "level": 0.95}
        draw = np.random.default_rng(seed)
        means = [right[draw.integers(5, size=5)].mean() for _ in range(21)]
        expected = np.quantile(means, [0.025, 0.975])
        assert result["intervals"]["accuracy"] == pytest.approx(expected)
        assert set(result["intervals"]) == {"accuracy", "macro_f1"}
    none = kzoo.evaluate(classifier, tmp_path / "test.csv", resamples=0)
    assert none["intervals"] == {} and none["resampling"] is None


@pytest.mark.parametrize("classes", [2, 3])
def test_matthews_is_the_correlation_of_classes(classes):
    """Of rows of a one for the class, where there are more than two (J. Gorodkin, 2004)."""
    right, given = np.random.default_rng(0).integers(0, classes, (2, 50))
    rows = [np.eye(classes)[side] - np.eye(classes)[side].mean(0) for side in (right, given)]
    share = (rows[0] * rows[1]).sum() / np.sqrt((rows[0] ** 2).sum() * (rows[1] ** 2).sum())
    counts = [
        np.bincount(side, minlength=classes).tolist()
        for side in (right[right == given], given, right)
    ]
    assert matthews(*counts) == pytest.approx(share)
    if classes == 2:
        assert share == pytest.approx(np.corrcoef(right, given)[0, 1])
    assert matthews([3, 0], [5, 0], [3, 2]) == 0


def test_ten_thousand_labels_are_measured_without_a_table_of_all_pairs(make, tmp_path, capfd):
    """Such a table had 100 million cells, and was drawn."""
    labels = [f"label {number}" for number in range(10_000)]
    model = make(kzoo.TextClassifier, labels=labels)
    given = model.predict(TEXTS).argmax(-1)
    lines = [f"{text}\t{labels[i]}" for text, i in zip(TEXTS, given, strict=True)]
    (tmp_path / "test.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    result = kzoo.evaluate(model, tmp_path / "test.tsv", output=tmp_path / "out", resamples=20)
    assert result["scores"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert result["confusion"] is None and not (tmp_path / "out" / PICTURE).exists()
    assert len(result["classes"]) == 10_000
    Screen(sys.stdout, False).result(result, evaluated)
    assert "Labels of the lowest F1, 100 of 10,000" in capfd.readouterr().out
    with pytest.raises(KzooError, match="of 10,000 labels into; expected 1,000 at most"):
        kzoo.evaluate(model, tmp_path / "test.tsv", picture=tmp_path / "a.png")


@pytest.mark.parametrize(
    ("task", "header", "label", "sentence"),
    [
        ("glue", "sentence,label", "good", "expected one of cola, sst2, mrpc"),
        ("ner", "sentence,label", "good", "Got the task ner for a TextClassifier"),
        (
            "mrpc",
            "sentence,label",
            "1",
            r"the columns sentence, label; expected for mrpc #1 string",
        ),
        ("sst2", "sentence,label", "1", "Got a model with the labels bad, fair, good for sst2"),
        (
            "mnli",
            "sentence1,sentence2,gold_label",
            "5",
            "line 2: the label is '5'; expected for mn",
        ),
    ],
)
def test_a_public_task_of_another_kind_is_refused(make, tmp_path, task, header, label, sentence):
    labels = ["bad", "fair", "good"] if task != "mnli" else ["LABEL_0", "LABEL_1", "LABEL_2"]
    path = tmp_path / "dev.csv"
    path.write_text(f"{header}\n{'a film,' * header.count(',')}{label}\n", encoding="utf-8")
    with pytest.raises(KzooError, match=sentence):
        kzoo.evaluate(make(kzoo.TextClassifier, labels=labels), path, task=task)


def test_the_command_shows_intervals_what_was_left_out_and_a_picture(classifier, tmp_path, capfd):
    write_labels(classifier, tmp_path / "test.csv", {1})
    with open(tmp_path / "test.csv", "a", encoding="utf-8") as file:
        file.write("warm,\nfunny,\n")
    classifier.save_preset(tmp_path / "preset")
    command = ["evaluate", str(tmp_path / "preset"), str(tmp_path / "test.csv")]
    command += ["--plot", str(tmp_path / "seen.png"), "--resamples", "50"]
    with pytest.raises(SystemExit) as end:
        main(command)
    shown = capfd.readouterr().out
    assert not end.value.code and "95 % interval" in shown and "0.8000" in shown
    assert "no label" in shown and "7, 8" in shown
    assert (tmp_path / "seen.png").read_bytes().startswith(PNG)
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2 and "where nothing lies yet" in capfd.readouterr().err


def test_evaluate_refuses_what_answers_nothing(make, tmp_path):
    with pytest.raises(KzooError, match="MaskedLM; expected a classifier"):
        kzoo.evaluate(make(kzoo.MaskedLM), tmp_path / "test.csv")


# -- tables and search -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_a_table_comes_back_with_the_answers(bundle, classifier, tmp_path, ending):
    from kzoo.data.tables import read_table

    write_labels(classifier, tmp_path / "test.csv", {1})
    made = predict_table(bundle, tmp_path / "test.csv", tmp_path / f"out{ending}")
    assert made["columns"] == ["predicted_label", "predicted_score"] and made["rows"] == 5
    columns = read_table(tmp_path / f"out{ending}").columns
    assert columns["sentence"] == TEXTS
    expected = [classifier.labels[row.argmax()] for row in classifier.predict(TEXTS)]
    assert columns["predicted_label"] == expected


def test_a_table_replaces_nobodys_file(bundle, classifier, tmp_path):
    write_labels(classifier, tmp_path / "test.csv", set())
    before = (tmp_path / "test.csv").read_bytes()
    for output in ("test.csv", "out.parquet"):
        with pytest.raises(KzooError, match=r"isn't replaced|ends in \.csv"):
            predict_table(bundle, tmp_path / "test.csv", tmp_path / output)
    (tmp_path / "bad.csv").write_text("sentence,label\nit,a,b\n", encoding="utf-8")
    with pytest.raises(KzooError, match="line 2"):
        predict_table(bundle, tmp_path / "bad.csv", tmp_path / "out.csv")
    assert (tmp_path / "test.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "test.csv"]


@pytest.mark.parametrize("measure", ["cosine", "euclidean"])
def test_search_ranks_by_the_models_measure(make, measure):
    embedder = make(kzoo.TextEmbedder, similarity=measure)
    found = embedder.search("a dull film", [*TEXTS, "a dull film"], top=3)
    assert found[0]["index"] == 5 and found[0]["text"] == "a dull film"
    scores = embedder.similarities(["a dull film"], [*TEXTS, "a dull film"])[0]
    assert [each["score"] for each in found] == pytest.approx(sorted(scores, reverse=True)[:3])
    of_vectors = embedder.search(["a dull film"], embedder.predict(TEXTS), top=1)
    assert "text" not in of_vectors[0][0]


def test_search_needs_an_embedder(bundle):
    with pytest.raises(KzooError, match="expected a TextEmbedder"):
        search_bundle(bundle, "film", TEXTS)


def test_questions_come_as_names_and_dicts(make):
    model = make(kzoo.QuestionAnswering)
    pair = ("who lives in paris ?", "john smith lives in paris .")
    (expected,) = model.predict([pair])
    answer = kzoo.pipeline("question-answering", model)
    named = dict(zip(("question", "context"), pair, strict=True))
    assert answer(**named) == answer(named) == expected
    both = answer(question=[pair[0]] * 2, context=pair[1])
    assert [each["answer"] for each in both] == [expected["answer"]] * 2
    assert answer([named]) == model.predict(named) == [expected]
    with pytest.raises(KzooError, match="expected both"):
        answer(question="who ?")
    with pytest.raises(KzooError, match="question and context"):
        model.predict([{"question": "who ?"}])


# -- what a training shows -------------------------------------------------------------------------


def test_a_training_draws_its_curves(tmp_path):
    plot.write(plot.history({"loss": [1.0, 0.5], "val_loss": [1.0, 0.7]}), tmp_path / "a.png")
    plot.write(plot.history({"loss": [1.0, 0.5]}), tmp_path / "b.png")
    one, other = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert one.startswith(PNG) and other.startswith(PNG) and one != other


def test_progress_is_a_line_an_epoch_where_nobody_watches(classifier, capsys):
    classifier.compile()
    classifier.fit(TEXTS, ["bad", "good", "bad", "fair", "bad"], epochs=2)
    shown = capsys.readouterr().out
    assert "epoch 2/2" in shown and "loss" in shown
    assert not set(shown) & set("\x08\r\x1b")


def test_tensorboard_is_an_extra(classifier, monkeypatch, tmp_path):
    from kzoo import keras_hooks

    monkeypatch.setattr(keras_hooks, "find_spec", lambda name: None)
    classifier.compile()
    board = keras.callbacks.TensorBoard(tmp_path)
    with pytest.raises(KzooError, match=r"pip install kzoo\[tensorboard\]"):
        classifier.fit(TEXTS[:2], ["bad", "good"], callbacks=[board])


NATIVE = (
    b"I0000 00:00:1795680056.800567   31267 cudart_stub.cc:31] Could not find cuda drivers.\n"
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
)


def test_logs_of_libraries_are_hidden_and_nothing_else(capfd, monkeypatch):
    monkeypatch.delenv("KZOO_DEBUG", raising=False)
    with logs.hidden(), logs.hidden():
        os.write(2, NATIVE + b"INFO:mine:this stays\nand this\n")
    assert capfd.readouterr().err == "INFO:mine:this stays\nand this\n"
    monkeypatch.setenv("KZOO_DEBUG", "1")
    with logs.hidden():
        os.write(2, NATIVE)
    assert capfd.readouterr().err == NATIVE.decode()


def test_python_calls_print_nothing_of_the_libraries(bundle, classifier, tmp_path):
    """Whichever comes first; only training sets a variable of the environment."""
    preset, folder = (str(tmp_path / name) for name in ("preset", "checkpoint"))
    classifier.save_preset(preset)
    kzoo.to_huggingface(classifier, folder)
    programs = (
        "import os, kzoo\n"
        f"task = kzoo.load({preset!r}); task.predict(['it'])\n"
        f"kzoo.predict_bundle({str(bundle)!r}, ['it'])\n"
        f"kzoo.export_litert(task, {str(tmp_path / 'a.tflite')!r})\n"
        "assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ",
        "import os; before = dict(os.environ); import kzoo, kzoo.text\n"
        "assert dict(os.environ) == before\n"
        f"kzoo.from_huggingface({folder!r}).predict(['it'])\n"
        "import kzoo.training; assert os.environ['TF_ENABLE_ONEDNN_OPTS'] == '1'",
    )
    left_out = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    for program in programs:
        run = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), program
