"""Tasks take strings, learn from them, and answer the same after being saved."""

import gzip
import importlib
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, noisy, one_block, tokens
from families import TEXTS as WITH_TEXTS
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import TemplateProcessing

import kzoo
from kzoo.compression.distill import soft_cross_entropy
from kzoo.errors import KzooError
from kzoo.models import build
from kzoo.network import Network, weights_by_path
from kzoo.registry import HOMES
from kzoo.tasks import TASKS as ALL_TASKS
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
BESIDE = {"padding_mask": [[1, 1], [1]], "segment_ids": [[0, 0], [0]]}
TEXTS, LABELS = GOOD + BAD, [1] * 5 + [0] * 5
TASKS = {
    "TextClassifier": {"labels": ["no", "yes", "maybe"]},
    "TokenClassifier": {"labels": ["O", "B-PER", "I-PER"]},
    "QuestionAnswering": {},
    "MaskedLM": {},
    "ReplacedTokenDetection": {"generator": 0.5},
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
    options = {"backbone": one_block(family), "tokenizer": tokenizer(), **TASKS[name]} | options
    return add_noise(getattr(kzoo, name)(**options))


def classifier(**options):
    return kzoo.TextClassifier(
        one_block(), labels=["negative", "positive"], tokenizer=tokenizer(), **options
    )


def test_a_call_looks_at_its_ids_once(monkeypatch):
    """Looking copies them to the host: a task and its backbone don't both do it."""
    model = task("TextClassifier")
    columns = model.tokenize(TEXTS)
    check, seen = Network._check_range, []

    def counted(value, limit, name):
        seen.append(name)
        return check(value, limit, name)

    monkeypatch.setattr(Network, "_check_range", staticmethod(counted))
    model(columns)
    assert seen == ["token_ids", "segment_ids"]
    seen.clear()
    model.backbone(columns)
    assert seen == ["token_ids", "segment_ids"]


@pytest.mark.parametrize(
    ("name", "family"),
    [*((name, "bert") for name in TASKS), *(("TextClassifier", family) for family in WITH_TEXTS)],
)
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


def test_saved_models_load_where_nothing_of_kzoo_was_used(tmp_path):
    """In a fresh process, whichever of the two is imported first, and compiled ones too.

    Two tasks and two families stand for all, of which Keras is told in the same way (below).
    """
    for name in ("TextClassifier", "TextEmbedder"):
        made = task(name)
        made.compile()
        made.save(tmp_path / f"{name}.keras")
    for family in ("albert", "lamda"):
        noisy(family).save(tmp_path / f"{family}.keras")
    code = """
import sys
IMPORT
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    assert not hasattr(model, "head") or type(model.optimizer).__name__ == "AdamW"
    print(type(model).__name__)
"""
    for first in ("import keras, kzoo", "import kzoo\nimport keras"):
        paths = sorted(tmp_path.glob("*.keras"))
        paths = paths if first.startswith("import keras") else paths[:2]
        run = subprocess.run(
            [sys.executable, "-c", code.replace("IMPORT", first), *paths],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr[-2000:]
        found = [line.lower() for line in run.stdout.split()]
        assert found == [path.stem.lower().replace("_", "") for path in paths]
        assert "Skipping variable loading" not in run.stderr


def test_keras_is_told_of_every_class_that_registers_itself():
    for home in set(HOMES.values()) | {"tasks", "models", "training", "compression", "nn"}:
        importlib.import_module(f"kzoo.{home}")
    registered = {
        name: value.__module__.removeprefix("kzoo.")
        for key, value in keras.saving.get_custom_objects().items()
        for package, _, name in [key.partition(">")]
        if package == "kzoo"
    }
    assert registered == HOMES


LESSONS = {
    "TextClassifier": (TEXTS, LABELS),
    "TokenClassifier": ([["he", "lives"]] * 6, [["O", -100], ["B-PER", "O"]] * 3),
    "QuestionAnswering": ([("he", "he lives in paris")] * 6, [(0, 2)] * 6),
    "MaskedLM": (TEXTS, None),
    "ReplacedTokenDetection": (TEXTS, None),
    "MultipleChoice": ([("the film", ["is good", "is a dog"])] * 6, [0, 1] * 3),
    "TextEmbedder": ([("he", "lives"), ("a film", "a dog")] * 3, [0.5, -0.5] * 3),
}


@pytest.mark.filterwarnings("error::UserWarning:keras")
@pytest.mark.parametrize("name", list(TASKS))
def test_a_saved_task_comes_back_compiled(name, tmp_path):
    """With the loss, the metrics, the optimizer's state, and what stood still standing still."""
    model, (x, y) = task(name), LESSONS[name]
    model.backbone.position.trainable = False
    optimizer, loss = kzoo.AdamW(1e-3, layer_decay=0.9), model.default_loss()
    model.compile(optimizer=optimizer, loss=loss, run_eagerly=True)  # as the loaded one, too
    history = model.fit(x, y, batch_size=2, verbose=0).history
    metric = "cosine_error" if name == "TextEmbedder" else "accuracy"  # Shown by default.
    assert 0 <= history[metric][0] <= 1 and np.isfinite(history["loss"][0])
    model.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    assert again.compiled and again.optimizer.layer_decay == 0.9
    assert type(again.loss) is type(model.loss)
    learned = [weight.path for weight in model.trainable_weights]
    assert [weight.path for weight in again.trainable_weights] == learned
    state, there = model.optimizer.variables, again.optimizer.variables
    assert int(again.optimizer.iterations) == len(x) // 2 and len(there) > len(learned)
    for here, loaded in zip(state, there, strict=True):
        np.testing.assert_array_equal(np.asarray(loaded), np.asarray(here))
    scores = [m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, again)]
    assert scores[0] == scores[1] and len(scores[0]) >= 2


def test_a_training_goes_on_where_it_was_saved(tmp_path):
    """Four epochs in a row, or two, saved and loaded, and two more, end in the same weights."""
    still = {"dropout": 0.0, "attention_dropout": 0.0}

    def begun(stop=None):
        model = task("TextClassifier", backbone=one_block(**still))
        model.compile(optimizer=kzoo.AdamW(1e-3), run_eagerly=True)
        stopping = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, _: setattr(model, "stop_training", epoch == stop)
        )
        model.fit(TEXTS, LABELS, batch_size=4, epochs=4, callbacks=[stopping], verbose=0)
        return model

    begun(stop=1).save(tmp_path / "task.keras")
    half = keras.saving.load_model(tmp_path / "task.keras")
    half.fit(TEXTS, LABELS, batch_size=4, initial_epoch=2, epochs=4, verbose=0)
    for one, other in zip(half.weights, begun().weights, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)


def test_a_loss_that_is_not_known_leaves_the_model(tmp_path):
    model = task("TextClassifier")
    model.compile(loss=lambda y, logits: keras.ops.mean(logits))
    model.save(tmp_path / "task.keras")
    with pytest.warns(UserWarning, match="is not compiled"):
        again = kzoo.load(tmp_path / "task.keras")
    np.testing.assert_array_equal(again.predict(TEXTS), model.predict(TEXTS))
    with pytest.raises(KzooError, match="compile"):
        again.fit(TEXTS, LABELS)


def test_a_damaged_tokenizer_in_a_saved_task_is_an_error(tmp_path):
    task("TextClassifier").save(tmp_path / "whole.keras")
    with (
        zipfile.ZipFile(tmp_path / "whole.keras") as whole,
        zipfile.ZipFile(tmp_path / "damaged.keras", "w") as damaged,
    ):
        for name in whole.namelist():
            data = whole.read(name)
            damaged.writestr(name, data[:99] if name.endswith("tokenizer.json") else data)
    with pytest.raises(ValueError, match=r"tokenizer\.json is not"):  # Keras' frame round ours
        keras.saving.load_model(tmp_path / "damaged.keras")
    bare = kzoo.TextClassifier(build(SPECS["bert"]), labels=["a", "b"])
    bare.save(tmp_path / "bare.keras")
    with pytest.raises(KzooError, match="no tokenizer"):
        keras.saving.load_model(tmp_path / "bare.keras").predict(["a"])


def test_a_saved_model_keeps_its_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = task("TextClassifier")
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "task.keras")
    model.backbone.save(tmp_path / "backbone.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    body = keras.saving.load_model(tmp_path / "backbone.keras")
    assert keras.config.dtype_policy().name == "float32"
    layers = (again, again.head, again.backbone, again.backbone.block_list[0], body)
    assert {layer.compute_dtype for layer in layers} == {"bfloat16"}
    np.testing.assert_array_equal(again.predict(TEXTS), model.predict(TEXTS))
    # A task computes as its backbone does, whatever is set when it is made.
    assert kzoo.TextClassifier(model, labels=["a", "b"]).head.compute_dtype == "bfloat16"


def learn(model, x, y=None, **options):
    model.compile(optimizer=kzoo.AdamW(3e-3))
    return model.fit(x, y, batch_size=4, epochs=12, verbose=0, **options)


def test_a_classifier_learns_from_every_source(tmp_path):
    import tensorflow as tf

    names = [["negative", "positive"][label] for label in LABELS]
    rows = [f"{text}\t{name}\n" for text, name in zip(TEXTS, names, strict=True)]
    lines = [json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(TEXTS, names, strict=True)]
    (tmp_path / "data.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    (tmp_path / "data.jsonl").write_text("".join(lines))
    with gzip.open(tmp_path / "data.tsv.gz", "wt") as file:
        file.write("sentence\tlabel\n" + "".join(rows))
    sources = {
        "list": (TEXTS, LABELS),
        "names": (np.array(TEXTS), names),
        "dataset": (tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(3), None),
        "tsv": (tmp_path / "data.tsv", None),
        "jsonl": (str(tmp_path / "data.jsonl"), None),
        "gz": (tmp_path / "data.tsv.gz", None),
    }
    keras.utils.set_random_seed(0)
    model = classifier(head="mean")
    # At a constant rate the step is traced once for all.
    model.compile(optimizer=kzoo.AdamW(3e-3, warmup=0, decay="constant"))
    untrained = model.get_weights()
    for source, (x, y) in sources.items():
        model.set_weights(untrained)
        loss = model.fit(x, y, batch_size=4, epochs=20, verbose=0).history["loss"]
        assert loss[-1] < 0.5 * loss[0], source
        assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == 1.0, source
        answers = model.predict(TEXTS)
        assert answers.shape == (10, 2) and (answers.argmax(-1) == LABELS).all(), source
        np.testing.assert_allclose(answers.sum(-1), 1, atol=1e-6)


def dataset(*columns, batch=None):
    import tensorflow as tf

    made = tf.data.Dataset.from_tensor_slices(columns if len(columns) > 1 else columns[0])
    return made.batch(batch) if batch else made


def test_a_file_is_read_wherever_its_path_comes(tmp_path, monkeypatch):
    """With columns of any name, and by `predict` too, which takes strings for texts otherwise."""
    rows = "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))
    for name in ("plain.csv", "my plain.csv"):
        (tmp_path / name).write_text("review,stars\n" + rows)
    monkeypatch.chdir(tmp_path)
    model, columns = classifier(), {"text": "review", "label": "stars"}
    model.compile()
    options = {**columns, "verbose": 0}
    assert "val_loss" in model.fit("plain.csv", validation_data="plain.csv", **options).history
    expected = model.evaluate(TEXTS, LABELS, verbose=0)
    assert model.evaluate("plain.csv", **options) == pytest.approx(expected)
    for path in ("plain.csv", "my plain.csv", tmp_path / "plain.csv"):
        np.testing.assert_array_equal(model.predict(path, text="review"), model.predict(TEXTS))
    assert len(task("TokenClassifier").predict("plain.csv", text="review")) == len(TEXTS)
    assert len(model.predict("the file is in dev.tsv")) == len(model.predict(["plain.csv"])) == 1
    for call, message in [
        (lambda: model.predict("dev.tsv"), "dev.tsv doesn't exist"),
        (lambda: model.predict("plain.csv"), "text='review'"),
        (lambda: model.fit("plain.csv", text="review"), "label='stars'"),
        (lambda: model.evaluate(TEXTS, LABELS, text="review"), "no path of one came"),
        (lambda: model.predict("a film", text="review"), "a film is no kind of table"),
    ]:
        with pytest.raises(KzooError, match=message):
            call()


@pytest.mark.parametrize("batch", [None, 3])
def test_datasets_hold_text_targets_and_weights(batch):
    model, pairs = task("TextClassifier"), list(zip(TEXTS, GOOD + GOOD, strict=True))
    weights = np.arange(10, dtype="float32")
    for columns, expected in [
        ((TEXTS,), (TEXTS, None, None)),
        ((TEXTS, LABELS), (TEXTS, LABELS, None)),
        ((TEXTS, ["no"] * 10, weights), (TEXTS, ["no"] * 10, weights.tolist())),
        (((TEXTS, GOOD + GOOD), LABELS), (pairs, LABELS, None)),
    ]:
        assert model._examples(dataset(*columns, batch=batch)) == expected
    rows = np.eye(2, dtype="float32")[LABELS]
    np.testing.assert_array_equal(model._examples(dataset(TEXTS, rows, batch=batch))[1], rows)
    matrix = model._examples(dataset(np.array(pairs), LABELS, batch=4))[0]
    assert [tuple(pair) for pair in matrix] == pairs
    with pytest.raises(KzooError, match="never ends"):
        model._examples(dataset(TEXTS, LABELS).repeat())


def test_validation_has_its_own_weights():
    model = task("TextClassifier")
    model.compile()
    for options in (
        {"validation_data": (TEXTS, LABELS, np.zeros(10))},
        {"validation_split": 0.5, "sample_weight": [1.0] * 5 + [0.0] * 5},
    ):
        history = model.fit(TEXTS, LABELS, batch_size=None, verbose=0, **options).history
        assert history["val_loss"] == [0]


@pytest.mark.parametrize("name", ["TextClassifier", "QuestionAnswering", "MultipleChoice"])
def test_targets_that_are_missing_are_named(name):
    x = {"MultipleChoice": [("he", ["a", "b"])], "QuestionAnswering": [("he", "a")]}
    model = task(name)
    model.compile()
    for call in (model.fit, model.evaluate):
        with pytest.raises(KzooError, match="No targets came"):
            call(x.get(name, TEXTS), verbose=0)
    if name == "TextClassifier":
        model.fit(TEXTS, LABELS, verbose=0)  # Nothing was built on what was wrong.


def test_weights_of_examples_weigh_their_places():
    """A weight of 0 leaves an example out of what is learned, and halves the mean."""
    words, labels = [["he", "lives"], ["my", "dog"]], [["O", "B-PER"], ["O", "O"]]
    model = task("TokenClassifier")
    model.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    first, *_ = model.evaluate(words[:1], labels[:1], verbose=0)
    both, *_ = model.evaluate(words, labels, sample_weight=[1.0, 0.0], verbose=0)
    assert both == pytest.approx(first / 2, rel=1e-5)
    model.fit(words, labels, sample_weight=[1.0, 0.5], verbose=0)
    masked = task("MaskedLM")
    masked.compile()
    assert masked.fit(TEXTS, sample_weight=np.zeros(10), verbose=0).history["loss"] == [0]


def test_texts_alone_come_from_every_source(tmp_path):
    (tmp_path / "texts.tsv").write_text("\n".join(["sentence", *TEXTS]) + "\n")
    (tmp_path / "labelled.tsv").write_text(
        "sentence\tlabel\n" + "".join(f"{t}\t1\n" for t in TEXTS)
    )
    model = task("MaskedLM")
    model.compile()
    for x in (tmp_path / "texts.tsv", tmp_path / "labelled.tsv", dataset(TEXTS, batch=3)):
        assert model._examples(x) == (TEXTS, None, None)
    options = {"validation_split": 0.2, "sample_weight": np.ones(10)}
    assert "val_loss" in model.fit(tmp_path / "texts.tsv", verbose=0, **options).history


def test_an_embedder_without_scores_needs_a_loss_that_reads_none(tmp_path):
    """Cosines of 1 for all pairs would make one vector of all texts."""
    rows = "".join(f"{a}\t{b}\n" for a, b in zip(GOOD, BAD, strict=True))
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\n" + rows)
    model = task("TextEmbedder")
    model.compile()
    with pytest.raises(KzooError, match="InBatchLoss"):
        model.fit(tmp_path / "pairs.tsv", verbose=0)
    model.compile(loss=kzoo.InBatchLoss())
    history = model.fit(tmp_path / "pairs.tsv", validation_split=0.2, verbose=0).history
    assert history["loss"][0] > 0 and 0 <= history["accuracy"][0] <= 1


def test_an_embedder_leaves_the_pooler_of_others_alone():
    source = task("TextClassifier", head="pooled")
    model = kzoo.TextEmbedder(source)
    assert model.backbone is source.backbone and source.backbone.pooler.trainable
    assert len(model.trainable_weights) + 2 == len(weights_by_path(model))
    assert not any("pooler" in weight.path for weight in model.trainable_weights)
    np.testing.assert_array_equal(
        np.asarray(model.backbone.pooler.kernel), np.asarray(source.backbone.pooler.kernel)
    )
    assert kzoo.TextEmbedder(source, pooling="pooled").backbone is source.backbone


def test_a_target_is_a_name_or_else_an_index():
    """The same in a .tsv, where all is text, and in a .jsonl, where numbers are numbers."""
    stars = task("TextClassifier", labels=["1", "2", "3"])
    for targets in ([1, 3], ["1", "3"], np.array([1.0, 3.0])):
        assert stars.encode_targets(targets).tolist() == [0, 2]
    with pytest.raises(KzooError, match="Target 0 is 0"):
        stars.encode_targets([0])
    named = task("TextClassifier", labels=["no", "yes"])
    for targets in ([0, 1], ["0", "1"], ["no", "yes"], [False, True]):
        assert named.encode_targets(targets).tolist() == [0, 1]
    for wrong in (None, float("nan"), 2, -1, "-1", 0.5, "maybe", {}):
        with pytest.raises(KzooError, match="Target 1"):
            named.encode_targets([0, wrong])
    places = task("TokenClassifier", labels=["1", "2"])
    assert places.encode_targets([[2, "1"]], [["he", "is"]]) == [[-100, 1, 0, -100]]


def test_a_single_label_is_there_or_not():
    model = task("TextClassifier", labels=["spam"])
    assert model.encode_targets(["spam", 1, "1", 0, "0"]).tolist() == [1, 1, 1, 0, 0]
    with pytest.raises(KzooError, match="Target 0 is 'ham'"):
        model.encode_targets(["ham"])


def test_ids_outside_the_table_are_one_sentence():
    model, inputs = task("TextClassifier"), tokens(SPECS["bert"])
    wrong = {**inputs, "token_ids": inputs["token_ids"] + 500}
    for call in (
        model,
        model.predict_on_batch,
        model.backbone,
        model.backbone.predict,
        model.backbone.predict_on_batch,
    ):
        call(inputs)
        for ids in (wrong, {name: keras.ops.array(value) for name, value in wrong.items()}):
            with pytest.raises(KzooError, match="does the tokenizer belong") as caught:
                call(ids)
            assert "\n" not in str(caught.value)


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
    model = kzoo.TextEmbedder(one_block(), tokenizer=tokenizer())
    history = learn(model, pairs * 4, [0.9, -0.5, 0.1] * 4).history
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    model.compile(optimizer=kzoo.AdamW(3e-3), loss=InBatchLoss())
    history = model.fit(pairs * 4, epochs=8, batch_size=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    vectors = model.predict([a for a, _ in pairs])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)


def test_entities_come_as_spans_of_the_text():
    keras.utils.set_random_seed(0)
    model = kzoo.TokenClassifier(one_block(), labels=["O", "B-LOC"], tokenizer=tokenizer())
    sentences = [["he", "lives", "in", "paris"], ["the", "dog", "lives", "in", "paris"]]
    learn(model, sentences * 4, [["O", "O", "O", "B-LOC"], ["O"] * 4 + ["B-LOC"]] * 4)
    (spans,) = model.predict(["He lives in Paris"])
    assert [(s["label"], s["text"], s["start"], s["end"]) for s in spans] == [
        ("LOC", "Paris", 12, 17)
    ]


def test_an_entity_beyond_the_longest_row_is_found():
    keras.utils.set_random_seed(0)
    model = kzoo.TokenClassifier(
        one_block(), labels=["O", "B-LOC"], tokenizer=tokenizer(), max_length=12
    )
    sentences = [["he", "lives", "in", "paris"], ["the", "dog", "lives", "in", "the", "film"]]
    learn(model, sentences * 4, [["O", "O", "O", "B-LOC"], ["O"] * 6] * 4)
    text = "the dog lives in the film " * 9 + "he lives in paris the dog " * 2
    found = model.predict([text, ""])
    assert [e["start"] for e in found[0]] == [text.index("paris"), text.rindex("paris")]
    assert found[1] == []


def test_a_words_first_token_learns_and_no_other():
    model = task("TokenClassifier", max_length=9)
    words = [["zebra", "\u200b", "paris", "in", "nel"], ["ne\u0301l"]]
    first, second = model.encode_targets([["B-PER", "O", "B-PER", -100, "O"], ["B-PER"]], words)
    person = model.labels.index("B-PER")
    assert model.tokenizer.tokens("zebra")[1:-1] == ["z", "##e", "##b", "##r", "##a"]
    assert first == [-100, person, -100, -100, -100, -100, person, -100, -100]
    assert second == [-100, person, -100, -100, -100]
    (entity,) = model_that_says(model, person).predict(["ne\u0301l"])[0]
    assert (entity["text"], entity["start"]) == ("ne\u0301l", 0)


def model_that_says(model, index):
    """The model with a head that gives every token this label."""
    kernel, bias = model.head.weights[-2:]
    kernel.assign(0 * kernel)
    bias.assign(10.0 * np.eye(len(model.labels))[index])
    return model


@pytest.mark.parametrize(
    ("context", "span"),
    [
        ("he lives in paris , the dog", (12, 17)),
        ("he lives in paris , the dog", (11, 18)),
        ("he lives in paris\n, the dog", (12, 18)),
        ("he lives in paris\u200b , the dog", (12, 18)),
        ("he lives in \ufeffparis , the dog", (12, 18)),
        ("he lives in \u3000 paris\u00a0, the dog", (11, 20)),
        ("he lives in par\u0301i\u0301s\u0301 , the dog", (12, 20)),  # Its tokens end before it.
        ("he lives in paris , the dog", {"text": ["paris"], "answer_start": [12]}),
        ("he lives in paris , the dog", [{"text": " paris", "answer_start": 11}]),
        ("he lives in paris , the dog", {"answers": {"text": ["paris"], "answer_start": [12]}}),
    ],
)
def test_an_answer_is_learned_at_the_tokens_inside_its_span(context, span):
    model = task("QuestionAnswering")
    batch = next(iter(model.batches([("he", context)], [span])))
    assert np.asarray(batch[1]).tolist() == [[6, 6]]  # [CLS] he [SEP] he lives in paris


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        [],
        (),
        {"text": [], "answer_start": []},
        {"answers": {"text": np.array([]), "answer_start": np.array([])}},
        {"is_impossible": True, "text": "he", "answer_start": 0},
    ],
)
def test_a_question_without_an_answer_points_at_the_first_token(nothing):
    model = task("QuestionAnswering")
    batch = next(iter(model.batches([("he", "he lives")] * 2, [(0, 2), nothing])))
    assert np.asarray(batch[1]).tolist() == [[3, 3], [0, 0]]


def test_an_answer_that_no_window_holds_whole_is_said():
    model = task("QuestionAnswering", max_length=12)
    context = "the dog lives in paris " * 4
    with pytest.warns(UserWarning, match="1 of 2 answers stand whole in no window of 12 tokens"):
        batch = next(iter(model.batches([("he", context)] * 2, [(0, len(context)), (4, 7)])))
    rows = np.asarray(batch[1]).tolist()
    assert [4, 4] in rows and all(row in ([0, 0], [4, 4]) for row in rows)


def test_a_threshold_for_no_answer_is_chosen_and_kept(tmp_path):
    keras.utils.set_random_seed(0)
    model = kzoo.QuestionAnswering(one_block(), tokenizer=tokenizer())
    pairs = [("he lives in", "he lives in paris"), ("he lives in", "the film was bad")]
    learn(model, pairs * 4, [(12, 17), None] * 4)
    assert all(entry["answer"] for entry in model.predict(pairs))
    assert model.choose_no_answer(pairs, [(12, 17), None]) == 1.0
    found = model.predict(pairs)
    assert [entry["answer"] for entry in found] == ["paris", ""]
    assert (found[1]["start"], found[1]["end"]) == (0, 0) and 0 < found[1]["score"] <= 1
    assert model.task_options()["no_answer"] == model.no_answer
    model.save(tmp_path / "m.keras")
    model.save_preset(tmp_path / "preset")
    for again in (kzoo.load(tmp_path / "m.keras"), kzoo.load(tmp_path / "preset")):
        assert again.no_answer == model.no_answer
        assert [entry["answer"] for entry in again.predict(pairs)] == ["paris", ""]


def test_padding_is_no_place_for_an_answer():
    model = task("QuestionAnswering")
    model.compile()
    pairs = [("he", "he lives in paris"), ("he", "the film was bad . " * 6)]
    spans = [(0, 2), (4, 8)]
    alone = [
        model.evaluate([pair], [span], verbose=0)[0]
        for pair, span in zip(pairs, spans, strict=True)
    ]
    assert model.evaluate(pairs, spans, verbose=0)[0] == pytest.approx(np.mean(alone), abs=1e-5)


@pytest.mark.parametrize("family", ["albert", "bert", "gpt2", "roberta"])
def test_the_row_of_padding_learns_nothing_where_it_is_looked_up(family):
    model = task("TextClassifier", family, head="mean")
    tables = [model.backbone.token_embedding.embeddings]
    if SPECS[family].position == "counted":
        tables.append(model.backbone.position.embeddings)
    before = [np.array(table) for table in tables]
    model.compile(optimizer=keras.optimizers.SGD(0.5))
    padding = model.tokenizer.id_to_token(model.backbone.padding_id)
    model.fit([f"he {padding} lives in paris", "a dog"], [0, 1], epochs=2, verbose=0)
    for table, old in zip(tables, before, strict=True):
        moved = np.abs(np.array(table) - old).max(-1) > 0
        assert not moved[model.backbone.padding_id] and moved.sum() > 2


def test_special_tokens_are_never_hidden():
    model = task("MaskedLM")
    texts = ["he [SEP] lives in [MASK] paris [PAD]"] * 60
    special = set(model.tokenizer.special_ids)
    plain = model.tokenizer.encode(texts, padding="longest")["token_ids"]
    for seed in range(3):
        ((inputs, targets),) = model.batches(texts, batch_size=60, seed=seed)
        kept = np.isin(plain, list(special))
        assert (np.asarray(targets)[kept] == -100).all()
        assert (np.asarray(inputs["token_ids"])[kept] == plain[kept]).all()
        assert (np.asarray(targets) != -100).any(-1).all()


def test_a_masked_token_is_answered_as_text():
    alphabet = sorted(ByteLevel.alphabet())
    merges = ["c a", "ca f", "caf Ã", "cafÃ ©", "Ġ cafÃ©"]
    pieces = [*SPECIAL, *alphabet, *(merge.replace(" ", "") for merge in merges)]
    model = BPE({p: i for i, p in enumerate(pieces)}, [tuple(m.split()) for m in merges])
    backend = Backend(model)
    backend.pre_tokenizer, backend.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    backend.add_special_tokens(SPECIAL)
    spec = SPECS["bert"].replace(vocabulary_size=len(pieces) + 4)
    filler = add_noise(kzoo.MaskedLM(build(spec), tokenizer=kzoo.Tokenizer(backend)))
    ((answers,),) = filler.predict(["a [MASK]"], top=len(pieces))
    texts = [text for text, _ in answers]
    assert " café" in texts and "[SEP]" in texts and not any("Ġ" in text for text in texts)


def test_questions_find_their_answers_in_long_contexts():
    keras.utils.set_random_seed(0)
    model = kzoo.QuestionAnswering(one_block(), tokenizer=tokenizer(), max_length=20)
    context = "the film was dull . " * 6 + "he lives in paris . the film was bad ."
    start = context.index("paris")
    learn(model, [("he lives in", context)] * 8, [(start, start + 5)] * 8)
    (answer,) = model.predict([("he lives in", context)])
    assert answer["answer"] == "paris" and answer["start"] == start


def test_a_masked_word_comes_back():
    keras.utils.set_random_seed(0)
    model = kzoo.MaskedLM(one_block(), tokenizer=tokenizer())
    model.compile(optimizer=kzoo.AdamW(3e-3))
    model.fit(["he lives in paris"] * 32, batch_size=8, epochs=20, verbose=0)
    (((best, probability), *_),) = model.predict(["he lives in [MASK]"])[0]
    assert best == "paris" and 0 < probability <= 1


def test_a_choice_is_learned():
    keras.utils.set_random_seed(0)
    model = kzoo.MultipleChoice(one_block(), tokenizer=tokenizer())
    x = [("he lives", ["in paris", "bad film"]), ("he lives", ["awful film", "in paris"])] * 4
    learn(model, x, [0, 1] * 4)
    assert model.predict(x).argmax(-1).tolist() == [0, 1] * 4


@pytest.mark.parametrize("family", ["bert", "roformer", "xlnet"])
def test_texts_may_have_different_numbers_of_choices(family):
    """Each is answered, and learnt from, as alone; what isn't there has no share."""
    model = task("MultipleChoice", family)
    x = [("he lives", ["in paris", "bad film"]), ("awful", ["film", "paris", "bad"]), ("he", ["a"])]
    found = model.predict(x)
    assert found.shape == (3, 3)
    for row, given in zip(found, x, strict=True):
        count = len(given[1])
        np.testing.assert_allclose(row[:count], model.predict([given])[0], atol=1e-6)
        assert not row[count:].any()
    model.compile(jit_compile=False)
    losses = [model.evaluate([each], [0], return_dict=True, verbose=0)["loss"] for each in x]
    together = model.evaluate(x, [0, 0, 0], return_dict=True, verbose=0)["loss"]
    assert together == pytest.approx(np.mean(losses), abs=1e-5)
    model.fit(x, [1, 2, 0], epochs=1, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    with pytest.raises(KzooError, match="Target 0 is 2; the index of a choice, 0 to 1"):
        model.fit(x, [2, 2, 0])
    with pytest.raises(KzooError, match="Example 1 is .*the list of its choices"):
        model.predict([x[0], ("he", [])])


@pytest.mark.parametrize("asked", [None, True])
def test_a_task_that_is_loaded_compiles_as_its_backend_does(asked):
    """Unless XLA was asked for: a file of TensorFlow's would train without a compiler on JAX."""
    model = task("TextClassifier")
    model.compile(**({} if asked is None else {"jit_compile": asked}))
    assert model.jit_compile is bool(asked)
    config = model.get_compile_config()
    assert config.get("jit_compile") is asked
    model.compile_from_config({**config, "jit_compile": bool(asked)})  # As kzoo 0.1 wrote it.
    assert model.get_compile_config().get("jit_compile") is asked


def test_the_teachers_scores_weigh_the_same_at_every_temperature():
    """Cross-entropy at 4 by hand, times 16; the gradient to the logits then stays of one size."""
    logits, taught = np.array([[1.0, -2.0, 0.5]]), np.array([[3.0, 0.0, -1.0]])
    soft = np.exp(taught / 4) / np.exp(taught / 4).sum()
    expected = -16 * (soft * (logits / 4 - np.log(np.exp(logits / 4).sum()))).sum()
    found = soft_cross_entropy(keras.ops.array(taught), keras.ops.array(logits), 4.0)
    np.testing.assert_allclose(float(found[0]), expected, rtol=1e-6)


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


@pytest.mark.parametrize(
    "name, calls",
    [
        (
            "TextClassifier",
            [
                (lambda m: kzoo.TextClassifier(m, labels=2), "labels is 2"),
                (lambda m: kzoo.TextClassifier(m, labels=["a", "b", "b"]), "'b' twice"),
                (lambda m: kzoo.TextClassifier(m, labels=["1", 1, 1]), "'1' 3 times"),
                (lambda m: kzoo.TextClassifier(m, labels=["a"], max_length="8"), "is '8'; 2 to"),
                (lambda m: kzoo.TextClassifier(m, labels=["a"], head=5), "The head is 5"),
                (lambda m: kzoo.TextClassifier(m, labels=["a"], head={"kind": 5}), "head is {'k"),
                (lambda m: kzoo.TextClassifier(m, labels=["a"], head="token"), "logits of 3 axes"),
                (lambda m: kzoo.TokenClassifier(m, labels=["a"], head="mean"), "needs logits of 3"),
                (lambda m: kzoo.QuestionAnswering(m, head="token"), "needs start_logits of 2"),
                (lambda m: kzoo.MultipleChoice(m, head="token"), "needs logits of 1 axes"),
                (
                    lambda m: kzoo.TextClassifier(m, ["a"], head={"kind": "mean", "dropout": "x"}),
                    "dropout of the head is 'x'",
                ),
                (lambda m: m({"token_ids": [[1, 2], [3]]} | BESIDE), "rows of token_ids differ"),
                (lambda m: m.predict([b"caf\xe9"]), "not UTF-8"),
                (lambda m: m.fit(TEXTS, LABELS, validation_split="0.1"), "split is '0.1'; a share"),
                (lambda m: m.fit(TEXTS, LABELS, validation_data=()), "has 0 parts"),
                (lambda m: m.fit(TEXTS, LABELS, seed="a"), "seed is 'a'; a whole number"),
                (lambda m: m.fit(["a"], [[0, 1, 0]]), "rows of 3 numbers, and the loss"),
                (lambda m: kzoo.TextEmbedder(m, pooling=5), "The pooling is 5; a kind such as '"),
                (lambda m: kzoo.TextClassifier(m, labels=["a"], tokenizer="x"), "tokenizer is 'x'"),
                (lambda m: kzoo.from_huggingface("nowhere", tokenizer="x"), "tokenizer is 'x'"),
                (lambda m: m.fit(["a"], 0), "0 came as targets"),
                (lambda m: m.fit(["a"], np.array(0)), r"array\(0\) came as targets"),
                (lambda m: m.fit(["a", "b"], "ab"), "'ab' came as targets"),
                (lambda m: m.fit(["a"], [["no"]]), "rows of numbers"),
                (lambda m: m.fit(["a", "b"], [[1], [1, 0]]), "rows of numbers"),
                (lambda m: m.evaluate(["a"], [0], sample_weight=1.0), "as sample weights"),
                (lambda m: m.fit(["a"], [0], sample_weight=["x"]), "weight 0 is 'x'"),
                (lambda m: m.fit(["a", "b"], [0, 1], sample_weight=[1, None]), "weight 1 is None"),
                (lambda m: m.fit(["a"], [0], sample_weight=[[1]]), r"weight 0 is \[1\]"),
                (lambda m: kzoo.TokenClassifier(m, labels="abc"), "labels is 'abc'"),
                (lambda m: m.backbone.with_spec(schdule=(0,)), "schdule"),
                (lambda m: m(["a"]), "call predict"),
                (lambda m: m.fit(["a"], [0], batch_size="2"), "batch_size is '2'"),
                (lambda m: kzoo.count_parameters("bert"), "read_spec"),
                (lambda m: kzoo.TextClassifier("a/b", labels=["a"]), "from_huggingface.'a/b'"),
                (lambda m: kzoo.load("bert_bas"), "did you mean bert_base"),
                (lambda m: kzoo.from_huggingface("all-MiniLM-L6-v2"), "with its owner"),
            ],
        ),
        (
            "MultipleChoice",
            [
                (lambda m: m.predict(["hello"]), "list of its choices"),
                (lambda m: m.predict([("a", "b", ["c", "d"])]), "list of its choices"),
                (lambda m: m.predict([()]), "list of its choices"),
                (lambda m: m.fit([("a", ["b", "c"])], ["b"]), "Target 0 is 'b'; the index of a"),
                (lambda m: m.fit([("a", ["b", "c"])] * 2, [1, 2]), "Target 1 is 2; .* 0 to 1"),
                (lambda m: m.fit([("a", ["b", "c"])], [0.5]), "Target 0 is 0.5"),
            ],
        ),
        (
            "TokenClassifier",
            [
                (lambda m: m.predict(5), "list of strings"),
                (lambda m: m.fit([["a"]], [1]), "one a word"),
                (lambda m: m.fit([5], [[1]]), "lists of words"),
            ],
        ),
        (
            "QuestionAnswering",
            [
                (lambda m: m.fit([("a", "b c")], [1]), "Answer 0 is 1"),
                (lambda m: m.fit([("a", "b c")], [("a", "b")]), "Answer 0 is"),
                (lambda m: m.fit([("a", "b c")], [(1, 2)]), "only blanks"),
                (lambda m: m.fit([("a", "b \u0301")], [(2, 3)]), "leaves nothing"),
                (
                    lambda m: m.fit([("a", "b c")], [{"text": ["c"], "answer_start": [1]}]),
                    "expected the same",
                ),
                (lambda m: m.fit([("a", "b c")], [{"start": 1}]), "text and answer_start"),
                (lambda m: type(m)(m, no_answer="0"), "no_answer is '0'"),
            ],
        ),
    ],
)
def test_what_another_task_takes_is_one_sentence(name, calls):
    model = task(name)
    model.compile()
    for call, message in calls:
        with pytest.raises(KzooError, match=message) as caught:
            call(model)
        assert "\n" not in str(caught.value)


def test_accuracy_by_place_counts_the_places_that_have_a_label():
    (metric,) = (m for m in task("TokenClassifier").default_metrics() if m.name == "accuracy")
    metric.update_state([[1, -100, 0]], np.eye(3, dtype="float32")[[[1, 1, 1]]])
    assert float(metric.result()) == 0.5


def test_a_subclass_of_a_task_is_that_task(tmp_path):
    class Mine(kzoo.TextClassifier):
        pass

    model = Mine(task("TextClassifier"), labels=["no", "yes"])
    model.save_preset(tmp_path / "preset")
    assert type(kzoo.load(tmp_path / "preset")) is kzoo.TextClassifier
    assert kzoo.pipeline("sentiment-analysis", model)("very good")[0]["label"] in ("no", "yes")
    kzoo.to_huggingface(model, tmp_path / "folder")
    assert model.rule == "single_label"
    assert {*TASKS, "CausalLM"} < {*ALL_TASKS}
    assert all(cls.task_name == name for name, cls in ALL_TASKS.items())


def test_a_keras_file_is_loaded_by_its_path(tmp_path):
    model = task("TextClassifier")
    model.save(tmp_path / "task.keras")
    again = kzoo.load(tmp_path / "task.keras")
    np.testing.assert_array_equal(again.predict(TEXTS), model.predict(TEXTS))
    whole = (tmp_path / "task.keras").read_bytes()
    (tmp_path / "task.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(KzooError, match="is no .keras file, or only a part of one"):
        kzoo.load(tmp_path / "task.keras")
    with pytest.raises(KzooError, match="other.keras is missing"):
        kzoo.load(tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "task.keras", "w") as other:
        other.writestr("a.txt", "b")
    with pytest.raises(KzooError, match="can't be loaded"):
        kzoo.load(tmp_path / "task.keras")


def test_a_task_on_a_preset_without_weights_warns():
    with pytest.warns(UserWarning, match="no weights and no tokenizer.*from_huggingface"):
        kzoo.TextClassifier("bert_tiny_en_uncased", labels=["a", "b"])


def test_backbones_and_rates_of_other_forms_are_taken():
    assert kzoo.MaskedLM(build(SPECS["bert"].replace(feedforward="mlp"))).head is not None
    assert kzoo.AdamW(np.float32(1e-4)).schedule.peak == pytest.approx(1e-4)
    backbone = build(SPECS["bert"])
    backbone.tokenizer = tokenizer()
    assert backbone.with_spec(schedule=(0,)).tokenizer is backbone.tokenizer


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    model = task("TextClassifier")
    model.head.logits.bias.assign(np.array([np.nan, 0, 0]))
    with pytest.raises(KzooError, match="NaN"):
        model.save_preset(tmp_path / "preset")
    with pytest.raises(KzooError, match=r"\.tflite"):
        kzoo.export_litert(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_fit_before_compile_says_so():
    with pytest.raises(KzooError, match="compile"):
        task("TextClassifier").fit(["a"], [0])


def test_a_task_without_a_tokenizer_takes_one_later():
    model = kzoo.TextClassifier(build(SPECS["bert"]), labels=["no", "yes"])
    with pytest.raises(KzooError, match="no tokenizer"):
        model.predict(["a film"])
    model.tokenizer = tokenizer()
    assert model.predict(["a film"]).shape == (1, 2)
