"""Tasks take strings, learn from them, and answer the same after being saved."""

import gzip
import json

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, tokens
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

import kzoo
from kzoo.compression import DistillationLoss, DistilledAccuracy, cut, distillation_targets
from kzoo.errors import KzooError
from kzoo.models import build
from kzoo.tasks.text_embedder import InBatchLoss

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "the",
    "a",
    "film",
    "is",
    "was",
    "good",
    "great",
    "fine",
    "bad",
    "awful",
    "dull",
    "not",
    "very",
    "my",
    "dog",
    "paris",
    "in",
    "lives",
    "he",
]
GOOD = ["the film is good", "a great film", "very fine", "the film was great", "very good film"]
BAD = ["the film is bad", "an awful film", "very dull", "the film was awful", "very bad film"]
TEXTS, LABELS = GOOD + BAD, [1] * 5 + [0] * 5
TASKS = {
    "TextClassifier": {"labels": ["no", "yes", "maybe"]},
    "TokenClassifier": {"labels": ["O", "B-PER", "I-PER"]},
    "QuestionAnswering": {},
    "MaskedLM": {},
    "MultipleChoice": {},
    "TextEmbedder": {},
}


def tokenizer():
    """A real WordPiece over a small vocabulary."""
    pieces = SPECIAL + WORDS + list("abcdefghijklmnopqrstuvwxyz?.")
    pieces += ["##" + letter for letter in "abcdefghijklmnopqrstuvwxyz"]
    backend = Backend(WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    backend.add_special_tokens(SPECIAL)
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return kzoo.Tokenizer(backend)


def task(name, family="bert", **options):
    keras.utils.set_random_seed(0)
    made = getattr(kzoo, name)(
        build(SPECS[family]), tokenizer=tokenizer(), **{**TASKS[name], **options}
    )
    return add_noise(made)


def classifier(**options):
    return kzoo.TextClassifier(
        build(SPECS["bert"]), labels=["negative", "positive"], tokenizer=tokenizer(), **options
    )


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize("family", sorted(SPECS))
def test_a_saved_task_gives_the_same_outputs(name, family, tmp_path):
    made = task(name, family)
    inputs = tokens(SPECS[family])
    if name == "MultipleChoice":
        inputs = {key: np.stack([value, value[:, ::-1]], 1) for key, value in inputs.items()}
    outputs = {key: np.asarray(value) for key, value in made(inputs).items()}
    made.save(tmp_path / "task.keras")
    made.save_preset(tmp_path / "preset")
    for again in (keras.saving.load_model(tmp_path / "task.keras"), kzoo.load(tmp_path / "preset")):
        assert type(again) is type(made) and again.labels == made.labels
        assert again.tokenizer == made.tokenizer and again.max_length == made.max_length
        for key, value in outputs.items():
            np.testing.assert_array_equal(np.asarray(again(inputs)[key]), value)


def learn(model, x, y=None, **options):
    model.compile(optimizer=kzoo.AdamW(3e-3))
    return model.fit(x, y, batch_size=4, epochs=12, verbose=0, **options)


@pytest.mark.parametrize("source", ["list", "names", "dataset", "tsv", "jsonl", "gz"])
def test_a_classifier_learns_from_every_source(source, tmp_path):
    import tensorflow as tf

    names = [["negative", "positive"][label] for label in LABELS]
    rows = [f"{text}\t{name}\n" for text, name in zip(TEXTS, names, strict=True)]
    lines = [json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(TEXTS, names, strict=True)]
    (tmp_path / "data.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    (tmp_path / "data.jsonl").write_text("".join(lines))
    with gzip.open(tmp_path / "data.tsv.gz", "wt") as file:
        file.write("sentence\tlabel\n" + "".join(rows))
    x, y = {
        "list": (TEXTS, LABELS),
        "names": (np.array(TEXTS), names),
        "dataset": (tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(3), None),
        "tsv": (tmp_path / "data.tsv", None),
        "jsonl": (str(tmp_path / "data.jsonl"), None),
        "gz": (tmp_path / "data.tsv.gz", None),
    }[source]
    keras.utils.set_random_seed(0)
    model = classifier(head="mean")
    history = learn(model, x, y).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == 1.0
    answers = model.predict(TEXTS)
    assert answers.shape == (10, 2) and (answers.argmax(-1) == LABELS).all()
    np.testing.assert_allclose(answers.sum(-1), 1, atol=1e-6)


def test_predict_keeps_the_order_and_needs_no_company():
    model = task("TextClassifier")
    texts = ["a very very very good film", "bad", "", "the film is fine"]
    together = model.predict(texts, batch_size=2)
    alone = np.concatenate([model.predict([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
    logits = np.asarray(model(model.tokenize(texts))["logits"])
    np.testing.assert_allclose(
        np.log(together / together[:, :1]), logits - logits[:, :1], atol=1e-4
    )


def test_pairs_are_one_input():
    model = task("TextClassifier")
    answers = model.predict([("the film", "is good"), ("is good", "the film")])
    assert np.abs(answers[0] - answers[1]).max() > 1e-4
    row = model.tokenize([("the film", "is good")])
    assert row["segment_ids"][0].tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_an_embedder_learns_pairs():
    keras.utils.set_random_seed(0)
    pairs = [("good film", "great film"), ("bad film", "awful film"), ("my dog", "he lives")]
    model = kzoo.TextEmbedder(build(SPECS["bert"]), tokenizer=tokenizer())
    history = learn(model, pairs * 4, [0.9, -0.5, 0.1] * 4).history
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    model.compile(optimizer=kzoo.AdamW(3e-3), loss=InBatchLoss())
    history = model.fit(pairs * 4, epochs=8, batch_size=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    vectors = model.predict([a for a, _ in pairs])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)


def test_entities_come_as_spans_of_the_text():
    keras.utils.set_random_seed(0)
    model = kzoo.TokenClassifier(build(SPECS["bert"]), labels=["O", "B-LOC"], tokenizer=tokenizer())
    sentences = [["he", "lives", "in", "paris"], ["the", "dog", "lives", "in", "paris"]]
    learn(model, sentences * 4, [["O", "O", "O", "B-LOC"], ["O"] * 4 + ["B-LOC"]] * 4)
    (spans,) = model.predict(["He lives in Paris"])
    assert [(s["label"], s["text"], s["start"], s["end"]) for s in spans] == [
        ("LOC", "Paris", 12, 17)
    ]


def test_questions_find_their_answers_in_long_contexts():
    keras.utils.set_random_seed(0)
    model = kzoo.QuestionAnswering(build(SPECS["bert"]), tokenizer=tokenizer(), max_length=20)
    context = "the film was dull . " * 6 + "he lives in paris . the film was bad ."
    start = context.index("paris")
    learn(model, [("he lives in", context)] * 8, [(start, start + 5)] * 8)
    (answer,) = model.predict([("he lives in", context)])
    assert answer["answer"] == "paris" and answer["start"] == start


def test_a_masked_word_comes_back():
    keras.utils.set_random_seed(0)
    model = kzoo.MaskedLM(build(SPECS["bert"]), tokenizer=tokenizer())
    model.compile(optimizer=kzoo.AdamW(3e-3))
    model.fit(["he lives in paris"] * 32, batch_size=8, epochs=20, verbose=0)
    (((best, probability), *_),) = model.predict(["he lives in [MASK]"])[0]
    assert best == "paris" and 0 < probability <= 1


def test_a_choice_is_learned():
    keras.utils.set_random_seed(0)
    model = kzoo.MultipleChoice(build(SPECS["bert"]), tokenizer=tokenizer())
    x = [("he lives", ["in paris", "bad film"]), ("he lives", ["awful film", "in paris"])] * 4
    learn(model, x, [0, 1] * 4)
    assert model.predict(x).argmax(-1).tolist() == [0, 1] * 4


def test_a_student_learns_its_teachers_scores():
    keras.utils.set_random_seed(0)
    teacher = kzoo.TextClassifier(
        build(SPECS["bert"].replace(schedule=(0, 1, 2))),
        labels=["negative", "positive"],
        head="mean",
        tokenizer=tokenizer(),
    )
    learn(teacher, TEXTS, LABELS)
    student = cut(teacher, (0, 2))
    targets = distillation_targets(teacher, TEXTS, LABELS)
    np.testing.assert_allclose(
        targets[:, 1:], np.asarray(teacher(teacher.tokenize(TEXTS))["logits"]), atol=1e-4
    )
    student.compile(
        optimizer=kzoo.AdamW(2e-3), loss=DistillationLoss(), metrics=[DistilledAccuracy()]
    )
    history = student.fit(TEXTS, targets, epochs=10, batch_size=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and history["accuracy"][-1] == 1.0


def test_the_int8_preset_is_exactly_what_was_rounded(tmp_path):
    from kzoo import presets

    model = task("TextClassifier")
    presets.round_tables(model)
    before = model.predict(TEXTS)
    presets.save_preset(model, tmp_path / "small", int8_tables=True)
    np.testing.assert_array_equal(kzoo.load(tmp_path / "small").predict(TEXTS), before)


def test_the_pipeline_gives_familiar_answers():
    model = task("TextClassifier")
    (answer,) = kzoo.pipeline("sentiment-analysis", model)("very good")
    scores = model.predict(["very good"])[0]
    assert answer == {"label": model.labels[scores.argmax()], "score": float(scores.max())}
    (ranked,) = kzoo.pipeline("text-classification", model)(["very good"], top_k=None)
    assert [entry["score"] for entry in ranked] == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.predict([]), "empty list"),
        (lambda m: m.predict(3), "list of strings"),
        (lambda m: m.predict(["a", 3]), "3"),
        (lambda m: m.predict(["a", ("a", "b")]), "pair"),
        (lambda m: m.fit(["a", "b"], [0]), "2 inputs came with 1 targets"),
        (lambda m: m.fit(["a", "b"], [0, 7]), "Target 1 is 7"),
        (lambda m: m.fit(["a", "b"], ["no", "never"]), "never"),
        (lambda m: m.fit("nowhere.tsv"), "nowhere.tsv"),
        (lambda m: m.fit(["a"], [0], validation_split=0.5), "leaves a side empty"),
        (lambda m: kzoo.TextClassifier(m, labels=[]), "labels"),
        (lambda m: kzoo.TextClassifier(m, labels=["a", "a"]), "labels"),
        (lambda m: kzoo.TextClassifier(m, labels=["a"], max_length=999), "max_length is 999"),
        (lambda m: kzoo.TextClassifier("nothing", labels=["a"]), "nothing"),
        (lambda m: kzoo.TextClassifier(3, labels=["a"]), "backbone"),
        (lambda m: kzoo.pipeline("poetry"), "poetry"),
        (lambda m: kzoo.pipeline("ner", m), "TokenClassifier"),
        (
            lambda m: kzoo.TextClassifier(
                build(SPECS["bert"].replace(vocabulary_size=9)), labels=["a"], tokenizer=m.tokenizer
            ),
            "9 rows",
        ),
        (
            lambda m: kzoo.TextClassifier(build(SPECS["bert"]), labels=["a"]).predict(["a"]),
            "no tokenizer",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    model = task("TextClassifier")
    model.compile()
    with pytest.raises(KzooError, match=message):
        call(model)


def test_fit_before_compile_says_so():
    with pytest.raises(KzooError, match="compile"):
        task("TextClassifier").fit(["a"], [0])


def test_a_task_without_a_tokenizer_takes_one_later():
    model = kzoo.TextClassifier(build(SPECS["bert"]), labels=["no", "yes"])
    with pytest.raises(KzooError, match="no tokenizer"):
        model.predict(["a film"])
    model.tokenizer = tokenizer()
    assert model.predict(["a film"]).shape == (1, 2)
