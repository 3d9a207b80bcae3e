"""What a bundle is measured on, what its report shows of it, and which texts travel."""

import json
import re

import numpy as np
import pytest
from families import add_noise, one_block
from test_tasks import TASKS, tokenizer

import kzoo
from kzoo.bundle import answering, evaluate, manifest, parity, report, senses
from kzoo.bundle.orders import ordered

WORDS = [["he", "lives", "in", "paris"], ["the", "film"], ["john", "smith", "lives"]]


def task(name, **options):
    made = getattr(kzoo, name)(one_block(), tokenizer=tokenizer(), **{**TASKS[name], **options})
    return add_noise(made)


class Run:
    """What runs in place of a file: the model itself, or one that always says the same."""

    def __init__(self, run):
        self.run = run


def measured(model, path, wrong=None):
    """What `evaluate` gives where the file is Keras, or answers as `wrong` does."""
    order = ordered(model, "float32", None, {}, {"evaluation": path})

    def same(columns):
        inputs = {name: columns[name] for name in parity.model_inputs(order.model)}
        return {name: np.asarray(value) for name, value in order.model(inputs).items()}

    return evaluate.MEASURED[order.rule].measured(
        order.examples, order.answerer, order.model, {"file": Run(wrong or same)}
    )


def test_what_is_confused_is_counted_for_pairs_of_few_labels(tmp_path, monkeypatch):
    """A table of ten thousand labels would have a hundred million cells."""
    model = task("TextClassifier")
    (tmp_path / "a.csv").write_text("text,label\nhe lives,no\nbad film,yes\n", encoding="utf-8")
    found = measured(model, tmp_path / "a.csv")
    assert np.shape(found["confusion"]) == (3, 3) and np.sum(found["confusion"]) == 2
    monkeypatch.setattr(evaluate, "MOST_CONFUSED", 2)
    assert "confusion" not in measured(model, tmp_path / "a.csv")


def test_entities_are_measured_by_words_as_conll_counts_them(tmp_path):
    model = task("TokenClassifier", labels=["O", "B-PER", "I-PER", "B-LOC"])
    columns = model.tokenizer.encode_words(WORDS, padding="longest")
    outputs = model({name: columns[name] for name in model.backbone.input_names})["logits"]
    tags = [
        [int(np.argmax(row[ids.index(word)])) for word in range(len(words))]
        for row, ids, words in zip(
            np.asarray(outputs), columns["word_ids"].tolist(), WORDS, strict=True
        )
    ]
    lines = [
        "\n".join(f"{word} {model.labels[tag]}" for word, tag in zip(words, row, strict=True))
        for words, row in zip(WORDS, tags, strict=True)
    ]
    (tmp_path / "right.conll").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    result = measured(model, tmp_path / "right.conll")
    entities = any(tag for row in tags for tag in row)
    assert entities and result["f1"] == result["f1_keras"] == 1 and result["f1_drop"] == 0

    def nothing(columns):
        shape = (*np.shape(columns["token_ids"]), 4)
        return {"logits": np.where(np.arange(4) == 0, 9.0, 0.0) * np.ones(shape)}

    result = measured(model, tmp_path / "right.conll", nothing)
    assert result["f1"] == 0 and result["f1_drop"] == 1
    assert sum(row["support"] for row in result["kinds"].values()) > 0


def test_answers_are_measured_as_squad_counts_them(tmp_path):
    model = task("QuestionAnswering")
    pairs = [("who lives", "he lives in paris"), ("is it good", "the film is good " * 20)]
    answers = model.predict(pairs)
    rows = [
        {
            "question": question,
            "context": context,
            "answers": {"text": [answer["answer"]], "answer_start": [answer["start"]]},
        }
        for (question, context), answer in zip(pairs, answers, strict=True)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = measured(model, path)
    assert result["exact_match"] == result["f1"] == result["f1_keras"] == 1

    def elsewhere(columns):
        logits = {name: np.zeros(columns["token_ids"].shape) for name in model.output_axes}
        for values in logits.values():
            values[0, int(columns["padding_mask"].sum()) - 2] = 9  # the last token of the context
        return logits

    result = measured(model, path, elsewhere)
    assert result["exact_match"] < 1 and result["f1_drop"] == 1 - result["f1"]


def test_an_evaluation_file_may_name_its_columns(tmp_path):
    model = task("TextClassifier")
    path = tmp_path / "reviews.csv"
    path.write_text(f"what,stars\nthe film,{model.labels[0]}\n", encoding="utf-8")
    recipe = {"evaluation": path, "text": "what", "label": "stars"}
    assert ordered(model, "float32", None, {}, recipe).examples.texts == ["the film"]
    with pytest.raises(kzoo.KzooError, match="name columns of an evaluation file"):
        ordered(model, "float32", None, {}, {"text": "what"})


def test_own_limits_stand_beside_the_usual_ones():
    model = task("TextClassifier")
    usual = {"partitions": 1, "probability_difference": 0.03}
    assert ordered(model, "int8", None, None).limits == usual
    assert ordered(model, "int8", None, {"megabytes": 9}).limits == {**usual, "megabytes": 9}
    own = {"probability_difference": None, "partitions": 2}
    assert ordered(model, "int8", None, own).limits == {"partitions": 2}
    with pytest.raises(kzoo.KzooError, match="unknown limit 'speed'"):
        ordered(model, "int8", None, {"speed": None})


def test_parity_is_measured_on_the_evaluations_texts_and_they_stay_at_home(tmp_path):
    model = task("TextClassifier")
    texts = [f"la película {number} es buena" for number in range(100)]
    lines = [f"{text}\t{model.labels[0]}" for text in texts]
    path = tmp_path / "textos.tsv"
    path.write_text("sentence\tlabel\n" + "\n".join(lines) + "\n", encoding="utf-8")

    def order(**recipe):
        return ordered(model, "float32", None, {}, {"evaluation": path, **recipe})

    chosen, source = answering.parity_texts(order())
    assert source == "textos.tsv" and len(chosen) == 64
    assert sum(text in texts for text in chosen) == 64 - len(senses.JOINED)
    assert max(chosen, key=len) == " ".join(texts[:64])  # a long one, in the same language
    golden = {text for text, _ in answering.golden_rows(order())}
    assert golden <= set(senses.sentences())
    golden = {text for text, _ in answering.golden_rows(order(share_texts=True))}
    assert len(golden & set(texts)) == manifest.GOLDEN // 2
    path.write_text("sentence\tlabel\n" + "\n".join(lines[:3]) + "\n", encoding="utf-8")
    assert answering.parity_texts(order()) == (None, None)  # too few to say anything


# -- the page ------------------------------------------------------------------------------------


def test_many_labels_show_what_is_confused_and_few_a_picture():
    counts = np.eye(77, dtype=int) * 9
    counts[3, 5], counts[70, 2] = 4, 2
    names = [f"label_{number}<b>" for number in range(77)]
    (table,) = report._confusions(names, counts.tolist())
    rows = re.findall(r"<td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", table)
    plain = [tuple(cell.replace("<wbr>", "") for cell in row) for row in rows]
    assert plain == [
        ("label_3&lt;b&gt;", "label_5&lt;b&gt;", "4 of 13"),
        ("label_70&lt;b&gt;", "label_2&lt;b&gt;", "2 of 11"),
    ]
    picture, table = report._confusions(["a", "b"], [[3, 1], [0, 2]])
    assert "<svg" in picture and table.count("<tr>") == 2
    assert len(report._confusions(["a", "b"], [[3, 0], [0, 2]])) == 1


def test_ticks_have_room_and_the_last_one_stays():
    assert report._with_room([16, 32, 64, 128, 256]) == ["", "32", "64", "128", "256"]
    assert report._with_room([16, 32]) == ["16", "32"] and report._with_room([9]) == ["9"]


def test_a_limit_on_a_mean_shows_the_worst_text_beside_it():
    figures = {"probability_difference": 0.01, "probability_difference_max": 0.2}
    row = {"limit": "probability_difference", "measured": 0.01}
    shown = report._worst({"parity": figures, "evaluation": None}, row)
    assert "worst example has 0.2" in shown
    assert report._worst({"parity": {}, "evaluation": None}, {"limit": "x", "measured": 1}) == ""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"entities": [{"text": "<i>", "label": "PER", "score": 0.5}]},
            ["&lt;i&gt;", "PER 50.0 %"],
        ),
        ({"entities": []}, ["none"]),
        ({"answer": "in Paris", "score": 0.25}, ["in Paris", "25.0 %"]),
        ({"answer": "", "score": 0.25}, ["no answer"]),
        ({"label": "a_b", "score": 1.0}, ["a_<wbr>b", "100.0 %"]),
    ],
)
def test_examples_of_every_task_have_answers(answer, words):
    shown = report._answer(answer).replace(".<wbr>", ".")
    assert all(word in shown for word in words)
