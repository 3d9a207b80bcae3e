"""Tokenization in the graph gives the tokenizer's ids; a SavedModel answers as Keras, alone."""

import io
import json
import random
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tokenizers
from families import add_noise, one_block

import kzoo
from kzoo.errors import KzooError
from kzoo.serving import GOLDEN

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
if keras.backend.backend() != "tensorflow":
    pytest.skip("serving needs Keras on TensorFlow", allow_module_level=True)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word_piece(cased=False, truncation_side="right", **changes):
    """A WordPiece tokenizer that knows letters, syllables, and marks that stay in a text."""
    pieces = [*SPECIAL, *LETTERS, *(LETTERS.upper() if cased else ""), *"0123456789.,!?'#[]中文豈"]
    pieces += ["##" + piece for piece in pieces[5:] if piece.isalnum()]
    pieces += ["the", "##ing", "##s", "film", "wat", "##ch", "е", "##е", "ᄒ", "##ᅡ", "##ᆫ"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=not cased, **changes)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(SPECIAL)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return kzoo.Tokenizer(backend, truncation_side=truncation_side)


def in_graph(tokenizer, **options):
    from kzoo.text.in_graph import InGraphTokenizer

    return InGraphTokenizer(tokenizer, **options)


def library_words(tokenizer, text):
    backend = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    text = backend.normalizer.normalize_str(text)
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


KINDS = {
    "uncased": {},
    "cased": {"cased": True},
    "accents": {"strip_accents": False},
    "cased, no accents": {"cased": True, "strip_accents": True},
    "raw": {"clean_text": False, "handle_chinese_chars": False},
}


@pytest.mark.parametrize("kind", KINDS)
def test_words_over_code_points(kind):
    tokenizer = word_piece(**KINDS[kind])
    graph = in_graph(tokenizer).words
    codes = [*range(0xD800), *range(0xE000, 0x32000), *range(0xE0000, 0xE0200)]
    codes += range(0x32000, 0x10FF00, 1001)  # Nothing but unassigned and private characters.
    text = " ".join(f"a{chr(code)}b" for code in codes)
    words, rows = graph(tf.constant([text]))
    assert [word.decode() for word in words.numpy()] == library_words(tokenizer, text)
    assert not rows.numpy().any()


ODD = [
    *SPECIAL, "[mask]", "[MAS", "SK]", "##", "\u200d", "\u034f", "\u00ad", "\x00", "\r\n", "\u3000",
    "中", "文", "한", "豈", "\U0002b825", "\U0002b930", "é", "\u0344", "\u0f73", "İ", "ß", "Σ", "≠",
    "\U0010ff03", "\ue000", "\ufffd", "\ufffe", "x" * 99, "y" * 101, "е" * 60, "\u1b44", "\u1bf2",
    "\u302e", "\U0001d165", "\U0001d15e", "\u0345", "the", "watching", "films",
]  # fmt: skip


def odd_texts(count, seed):
    """Strings of letters, combining marks, code points from anywhere, and what breaks rules."""
    chance = random.Random(seed)
    marks = [chr(code) for code in range(0x20000) if unicodedata.combining(chr(code))]
    draws = [
        lambda: chance.choice(LETTERS + LETTERS.upper() + " .,!?'-0123456789      "),
        lambda: chance.choice(ODD),
        lambda: chance.choice(marks),
        lambda: chr(chance.choice([chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)])),
    ]
    for _ in range(count):
        yield "".join(chance.choice(draws)() for _ in range(chance.randrange(25)))


@pytest.mark.parametrize(("kind", "side"), [("uncased", "left"), ("cased", "right")])
def test_ids_of_odd_texts(kind, side):
    tokenizer = word_piece(**KINDS[kind], truncation_side=side)
    texts = [*GOLDEN, *odd_texts(3000, 1)]
    pairs = [*reversed(GOLDEN), *odd_texts(3000, 2)]
    for max_length in (None, 16):
        graph = in_graph(tokenizer, max_length=max_length)
        for given in ((texts,), (texts, pairs)):
            got = graph(*map(tf.constant, given))
            second = given[1] if len(given) == 2 else None
            expected = tokenizer.encode(texts, second, max_length, "longest")
            for name, rows in expected.items():
                np.testing.assert_array_equal(got[name], rows)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
@pytest.mark.parametrize("vocabulary", ["bert-base-uncased", "bert-base-multilingual-cased"])
def test_ids_of_real_languages(vocabulary):
    tokenizer = kzoo.Tokenizer.load(DATA / "tokenizers" / vocabulary)
    with zipfile.ZipFile(DATA / "nltk_udhr" / "udhr.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith("-UTF8")]
        texts = [archive.read(name).decode("utf-8", "replace") for name in names]
    lines = [line for text in texts for line in io.StringIO(text) if line.strip()]
    assert len(lines) > 3000
    got = in_graph(tokenizer).split(tf.constant(lines)).to_list()
    assert got == [row[1:-1] for row in tokenizer.encode(lines)["token_ids"]]


def test_bytes_that_are_no_text_are_passed_over():
    graph = in_graph(word_piece())
    for given, same in ((b"the\xff film", "the film"), (b"[MASK]\xfe\xed\xa0\x80a", "[MASK]a")):
        np.testing.assert_array_equal(graph.split([given])[0], graph.split([same])[0])
    assert graph(tf.constant([], tf.string))["token_ids"].shape[0] == 0


def test_tokenizers_that_the_graph_cannot_follow(monkeypatch):
    tokenizer = word_piece()
    parts = json.loads(tokenizer.to_json())
    changed = [
        ({"normalizer": {"type": "Lowercase"}}, "WordPiece, Lowercase, BertPreTokenizer"),
        ({"normalizer": None}, "WordPiece, None"),
    ]
    added = {**parts["added_tokens"][4], "lstrip": True}
    changed.append(({"added_tokens": [*parts["added_tokens"][:4], added]}, "'\\[MASK\\]'.*lstrip"))
    for change, message in changed:
        with pytest.raises(KzooError, match=message):
            in_graph(kzoo.Tokenizer.from_json(json.dumps({**parts, **change})))
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(KzooError, match="kzoo\\[serving\\]"):
        in_graph(tokenizer)


# -- SavedModel ------------------------------------------------------------------------------

TASKS = {
    "TextClassifier": {"labels": ["no", "yes", "maybe"]},
    "TextEmbedder": {},
    "TokenClassifier": {"labels": ["O", "B-PER", "I-PER"]},
    "QuestionAnswering": {},
    "MaskedLM": {},
    "MultipleChoice": {},
}
TEXTS = ["The film is good!", "", "watching films " * 30, "Ünïted 中文 [MASK] x"]


def task(name, family="bert", **options):
    made = getattr(kzoo, name)(
        one_block(family), tokenizer=word_piece(), **{**TASKS[name], **options}
    )
    return add_noise(made)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier and its export."""
    model = task("TextClassifier")
    return model, kzoo.export_savedmodel(model, tmp_path_factory.mktemp("serving") / "classifier")


ALONE = """
import json, os, sys
sys.modules["kzoo"] = None  # Importing it is an error from here on.
for folder in sys.argv[3:]:
    os.chdir(os.path.dirname(folder))
    page = open(folder + "/README.md", encoding="utf-8").read()
    exec(page.split("```python\\n")[1].split("```")[0], {})
import tensorflow as tf
import tensorflow_text
answer = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answers = answer(text=tf.constant(json.loads(sys.argv[2])))
assert not any(name.startswith("kzoo.") for name in sys.modules)
print(json.dumps({
    "label": [label.decode() for label in answers["label"].numpy()],
    "labels": [label.decode() for label in answers["labels"].numpy()[0]],
    "probabilities": answers["probabilities"].numpy().tolist(),
}))
"""


def test_a_process_with_tensorflow_alone_answers_as_keras(classifier):
    """As the README.md in each folder says, too."""
    model, folder = classifier
    without_text = folder.parent / "without_text"
    kzoo.export_savedmodel(model, without_text, text=False)
    for each, text in ((folder, True), (without_text, False)):
        page = (each / "README.md").read_text(encoding="utf-8")
        assert ("import tensorflow_text" in page) == text
    command = [sys.executable, "-c", ALONE, folder, json.dumps(TEXTS), without_text, folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    *shown, answers = done.stdout.splitlines()
    assert "\n".join(shown).count("probabilities") == 2
    answers = json.loads(answers)
    expected = model.predict(TEXTS)
    np.testing.assert_allclose(answers["probabilities"], expected, rtol=0, atol=1e-5)
    assert answers["labels"] == model.labels
    assert answers["label"] == [model.labels[i] for i in expected.argmax(-1)]


def test_signatures_agree(classifier):
    model, folder = classifier
    loaded = tf.saved_model.load(str(folder)).signatures
    assert set(loaded) == {"serving_default", "tokenize", "tokens"}
    tokens = model.tokenize(TEXTS)
    ids = loaded["tokenize"](text=tf.constant(TEXTS))
    for name, rows in tokens.items():
        np.testing.assert_array_equal(ids[name], rows)
    answers = loaded["tokens"](**ids)
    logits = model(tokens)["logits"]
    np.testing.assert_allclose(answers["logits"], logits, rtol=0, atol=1e-5)
    by_text = loaded["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_array_equal(answers["label"], by_text["label"])
    too_long = tf.ones([1, 41], "int32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="longer than the 40 tokens"):
        loaded["tokens"](token_ids=too_long, padding_mask=too_long, segment_ids=too_long)


@pytest.mark.parametrize(
    ("name", "family", "options"),
    [
        ("TextClassifier", "distilbert", {"labels": ["spam"]}),
        ("TextClassifier", "bert", {"problem": "multi_label", "threshold": 0.6}),
        ("TextClassifier", "bert", {"problem": "regression"}),
        ("TextEmbedder", "bert", {}),
        ("TokenClassifier", "bert", {}),
        ("QuestionAnswering", "bert", {}),
        ("MaskedLM", "bert", {}),
        ("MultipleChoice", "albert", {}),
    ],
)
def test_every_task(tmp_path, name, family, options):
    model = task(name, family, **options)
    folder = kzoo.export_savedmodel(model, tmp_path / "served", golden=GOLDEN[:3])
    loaded = tf.saved_model.load(str(folder)).signatures
    answer = loaded["serving_default"]
    other = TEXTS[::-1]
    strings = {"text": tf.constant(TEXTS)}
    if name == "MultipleChoice":
        strings["choices"] = tf.constant([[text, "the"] for text in other])
    if name == "QuestionAnswering":
        strings["text_pair"] = tf.constant(other)
    answers = {key: value.numpy() for key, value in answer(**strings).items()}
    if name in ("TextClassifier", "TextEmbedder"):
        expected, problem = model.predict(TEXTS), options.get("problem")
        key = "values" if problem == "regression" else "probabilities"
        key = "embedding" if name == "TextEmbedder" else key
        np.testing.assert_allclose(answers[key], expected, rtol=0, atol=1e-5)
        if problem == "multi_label":
            assert (answers["chosen"] == (expected >= 0.6))[np.abs(expected - 0.6) > 1e-4].all()
        assert set(answers.get("label", ())) <= {b"spam"} and ("label" in answers) == (
            "labels" in options
        )
        return
    if name == "MultipleChoice":
        pairs = [(text, [choice, "the"]) for text, choice in zip(TEXTS, other, strict=True)]
        np.testing.assert_allclose(answers["probabilities"], model.predict(pairs), atol=1e-5)
        return
    second = other if name == "QuestionAnswering" else None
    rows = model.tokenizer.encode(TEXTS, second, model.max_length, "longest")
    words = model.tokenizer.vocabulary
    names = np.array([b""] * model.backbone.vocabulary_size, object)
    names[list(words.values())] = [word.encode() for word in words]
    if name == "MaskedLM":
        np.testing.assert_array_equal(answers["tokens"], names[rows["token_ids"]])
    else:
        answers = loaded["tokens"](**loaded["tokenize"](**strings))
        answers = {key: value.numpy() for key, value in answers.items()}
    outputs = {key: np.array(v) for key, v in model(rows).items()}
    if name == "QuestionAnswering":
        logits = np.where(rows["padding_mask"], outputs["end_logits"], -1e9)
        wanted = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(answers["end_probabilities"], wanted, rtol=0, atol=1e-5)
        return
    chances = np.exp(outputs["logits"]) / np.exp(outputs["logits"]).sum(-1, keepdims=True)
    best = (
        answers["probabilities"] if name == "TokenClassifier" else answers["probabilities"][..., 0]
    )
    np.testing.assert_allclose(best, chances.max(-1), rtol=0, atol=1e-5)
    if name == "TokenClassifier":
        labels = np.array([label.encode() for label in model.labels], object)
        np.testing.assert_array_equal(answers["labels"], labels[chances.argmax(-1)])
    else:
        assert answers["candidates"].shape == (*rows["token_ids"].shape, 5)
        np.testing.assert_array_equal(answers["candidates"][..., 0], names[chances.argmax(-1)])


def test_pairs(tmp_path):
    model = task("TextClassifier")
    folder = kzoo.export_savedmodel(model, tmp_path / "pairs", pairs=True)
    answer = tf.saved_model.load(str(folder)).signatures["serving_default"]
    given = answer(text=tf.constant(TEXTS), text_pair=tf.constant(TEXTS[::-1]))["probabilities"]
    expected = model.predict(list(zip(TEXTS, TEXTS[::-1], strict=True)))
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)


def test_without_strings(tmp_path):
    """A byte-level tokenizer can't run in the graph; the ids signature is left."""
    words = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a"])}
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    model = task("TextClassifier", "roberta")
    model.tokenizer = kzoo.Tokenizer.load(tmp_path)
    with pytest.raises(KzooError, match="BPE.*text=False"):
        kzoo.export_savedmodel(model, tmp_path / "served")
    assert not (tmp_path / "served").exists()
    kzoo.export_savedmodel(model, tmp_path / "served", text=False)
    loaded = tf.saved_model.load(str(tmp_path / "served")).signatures
    assert set(loaded) == {"tokens"}
    tokens = model.tokenize(["a", "aa a"])
    given = loaded["tokens"](**{name: tf.constant(rows) for name, rows in tokens.items()})
    np.testing.assert_allclose(given["logits"], model(tokens)["logits"], rtol=0, atol=1e-5)
    kzoo.export_savedmodel(model.backbone, tmp_path / "backbone")
    loaded = tf.saved_model.load(str(tmp_path / "backbone")).signatures
    assert set(loaded["tokens"].structured_outputs) == set(model.backbone(tokens))


def test_an_export_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    model = task("TextClassifier")
    target = tmp_path / "served"
    target.mkdir()
    (target / "saved_model.pb").write_text("keep")
    model.backbone.weights[0].assign(np.full(model.backbone.weights[0].shape, np.nan))
    with pytest.raises(KzooError, match="NaN"):
        kzoo.export_savedmodel(model, target)
    model = task("TextClassifier")
    right = model.tokenizer.encode
    monkeypatch.setattr(
        model.tokenizer, "encode", lambda texts, *rest: right([text + "." for text in texts], *rest)
    )
    with pytest.raises(KzooError, match="The export gives other"):
        kzoo.export_savedmodel(model, target, golden=TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    assert [path.name for path in target.iterdir()] == ["saved_model.pb"]
    with pytest.raises(KzooError, match="is a file"):
        kzoo.export_savedmodel(model, target / "saved_model.pb")


# -- spans of characters -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["accents", "cased"])
def test_places_of_odd_texts(kind):
    """Where marks are stripped after they changed their order, some stand a place off."""
    tokenizer = word_piece(**KINDS[kind])
    texts = [*GOLDEN, *odd_texts(400, 3)]
    ids, firsts, lasts, _ = in_graph(tokenizer).split_with_places(tf.constant(texts))
    splits = ids.row_splits.numpy()
    expected = tokenizer.encode(texts, offsets=True)["offsets"]
    for text, start, stop, row in zip(texts, splits, splits[1:], expected, strict=False):
        places = zip(firsts[start:stop].numpy(), lasts[start:stop].numpy(), strict=True)
        assert [tuple(map(int, place)) for place in places] == [tuple(p) for p in row[1:-1]], text


# Of several windows, no two of which are alike: rounding would choose between their equal answers.
LONG = " ".join(random.Random(0).choices(["the", "film", "watching", "films."], k=160))
SPAN_TEXTS = [
    *GOLDEN, LONG, "the\u200c. film\u200d watch \x85in\x85the ",
    " ", "中文 the [MASK] ﬁlm", "",
]  # fmt: skip


def test_entities_of_a_savedmodel_are_those_of_predict(tmp_path):
    tokenizer = word_piece()
    backbone = add_noise(one_block(vocabulary_size=tokenizer.vocabulary_size))
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    task = kzoo.TokenClassifier(backbone, labels=labels, tokenizer=tokenizer)
    add_noise(task)
    loaded = tf.saved_model.load(str(kzoo.export_savedmodel(task, tmp_path / "ner")))
    rows = loaded.signatures["serving_default"](text=tf.constant(SPAN_TEXTS))
    rows = {name: value.numpy() for name, value in rows.items()}
    expected = task.predict(SPAN_TEXTS)
    assert max(map(len, expected)) > 40, "no text is longer than a window"
    for place, spans in enumerate(expected):
        count = len(spans)
        for name, key in (("entity", "text"), ("label", "label")):
            assert [v.decode() for v in rows[name][place][:count]] == [s[key] for s in spans]
        for name in ("start", "end"):
            assert rows[name][place][:count].tolist() == [span[name] for span in spans]
        assert rows["score"][place][:count] == pytest.approx([s["score"] for s in spans], abs=1e-5)
        assert (rows["start"][place][count:] == -1).all()


@pytest.mark.parametrize("no_answer", [None, 0.3])
def test_answers_of_a_savedmodel_are_those_of_predict(tmp_path, no_answer):
    tokenizer = word_piece()
    backbone = add_noise(one_block(vocabulary_size=tokenizer.vocabulary_size))
    task = kzoo.QuestionAnswering(backbone, tokenizer=tokenizer, no_answer=no_answer)
    add_noise(task)
    loaded = tf.saved_model.load(str(kzoo.export_savedmodel(task, tmp_path / "qa")))
    answer = loaded.signatures["serving_default"]
    for pairs in (list(zip(SPAN_TEXTS[::-1], SPAN_TEXTS, strict=True)), [("the", "the film")]):
        questions, contexts = zip(*pairs, strict=True)
        rows = answer(text=tf.constant(questions), text_pair=tf.constant(contexts))
        for place, expected in enumerate(task.predict(pairs)):
            assert rows["answer"][place].numpy().decode() == expected["answer"]
            assert int(rows["start"][place]) == expected["start"]
            assert int(rows["end"][place]) == expected["end"]
            assert float(rows["score"][place]) == pytest.approx(expected["score"], abs=1e-5)
