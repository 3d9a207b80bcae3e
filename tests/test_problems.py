"""What a classifier's labels are to a text, and every option of `fit` on targets of each shape."""

import keras
import numpy as np
import pytest
from families import add_noise, one_block
from test_tasks import TEXTS, task, tokenizer

import kzoo
from kzoo.answers import described
from kzoo.errors import KzooError
from kzoo.network import frozen, weights_by_path

STILL = {"dropout": 0.0, "attention_dropout": 0.0}
SETS = [["no", "maybe"], [], {"yes"}, ("maybe",)] + [["no"]] * 6
ROWS = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]] + [[1, 0, 0]] * 6, "float32")
WORDS = [["the", "cat"], ["john", "smith"]]
TAGS = [["O", "O"], ["B-PER", "I-PER"]]


@pytest.fixture(autouse=True)
def eager(request):
    """TensorFlow's functions run as they are written: tracing them is most of such a test."""
    import tensorflow as tf

    tf.config.run_functions_eagerly("traced" not in request.node.name)
    yield
    tf.config.run_functions_eagerly(False)


def still(name, **options):
    """A task without dropout, with noise on all weights."""
    return task(name, backbone=one_block(**STILL), **options)


def loss_of(model, x, y, **options):
    """The loss that `fit` shows, of a step that changes nothing."""
    options = {"batch_size": 32, "verbose": 0, **options}
    return model.fit(x, y, **options).history["loss"][0]


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


# -- problems ------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [SETS, ROWS, ROWS.tolist()], ids=["names", "array", "rows"])
def test_a_text_may_have_several_labels(targets):
    """The loss is transformers' for multi_label_classification, and answers are sigmoids."""
    model = still("TextClassifier", problem="multi_label", threshold=0.4)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    logits = model.run_batches(model.encode_examples(TEXTS), 32)[1][0]["logits"].astype("float64")
    order = model.run_batches(model.encode_examples(TEXTS), 32)[0]
    p = 1 / (1 + np.exp(-logits))
    expected = -np.mean(ROWS[order] * np.log(p) + (1 - ROWS[order]) * np.log(1 - p))
    assert loss_of(model, TEXTS, targets) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(model.predict(TEXTS)[order], p, atol=1e-6)
    scores = model.evaluate(TEXTS, targets, verbose=0, return_dict=True)
    assert scores["accuracy"] == pytest.approx(np.mean((p >= 0.4) == (ROWS[order] > 0)))


def test_values_are_learned_and_answered_when_traced():
    """One value a text, as a list of numbers or as a column; the answers are the values."""
    model = still("TextClassifier", labels=["stars"], problem="regression", head="mean")
    targets = np.linspace(0, 7, 10)
    model.compile(optimizer=kzoo.AdamW(2e-2, warmup=0, decay="constant"))
    model.fit(TEXTS, targets, epochs=40, batch_size=10, verbose=0)
    answers = model.predict(TEXTS)
    assert answers.shape == (10, 1) and np.abs(answers[:, 0] - targets).mean() < 1.0
    column = model.evaluate(TEXTS, targets[:, None].tolist(), verbose=0, return_dict=True)
    assert model.evaluate(TEXTS, targets, verbose=0, return_dict=True) == column
    error = np.abs(answers[:, 0] - targets).mean()
    assert column["mean_absolute_error"] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize(
    ("labels", "loss", "problem", "targets"),
    [
        (["a", "b", "c"], keras.losses.BinaryCrossentropy(), "multi_label", ROWS),
        (["a", "b", "c"], "binary_focal_crossentropy", "multi_label", ROWS),
        (["a"], "mse", "regression", np.linspace(0, 7, 10)),
        (["a"], keras.losses.Huber(), "regression", np.linspace(0, 7, 10)),
        (["a"], "binary_crossentropy", "single_label", [0, 1] * 5),
        (["a", "b"], "categorical_focal_crossentropy", "single_label", [0, 1] * 5),
    ],
)
def test_a_loss_says_which_problem_it_is_for(labels, loss, problem, targets):
    """And what is answered follows, also after the task was kept as a preset or a file."""
    model = still("TextClassifier", labels=labels)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=loss)
    model.fit(TEXTS, targets, verbose=0)
    assert model.problem == problem == model.task_options()["problem"]
    logits = model.predict_on_batch(model.tokenize(TEXTS))["logits"].astype("float64")
    expected = {
        "regression": logits,
        "multi_label": 1 / (1 + np.exp(-logits)),
        "single_label": np.exp(log_softmax(logits))
        if len(labels) > 1
        else 1 / (1 + np.exp(-logits)),
    }[problem]
    np.testing.assert_allclose(model.predict(TEXTS), expected, atol=1e-5)


def test_a_problem_and_a_loss_that_contradict_are_an_error():
    for problem, loss, message in [
        ("single_label", "binary_crossentropy", "is for the problem multi_label"),
        ("single_label", "mse", "is for the problem regression"),
        ("multi_label", keras.losses.SparseCategoricalCrossentropy(), "problem single_label"),
        ("regression", keras.losses.CategoricalCrossentropy(), "problem single_label"),
    ]:
        model = task("TextClassifier", problem=problem)
        with pytest.raises(KzooError, match=message):
            model.compile(loss=loss)
    with pytest.raises(KzooError, match="single_label, multi_label, regression"):
        task("TextClassifier", problem="multilabel")
    with pytest.raises(KzooError, match="probability, 0 to 1"):
        task("TextClassifier", threshold=1.5)
    with pytest.raises(KzooError, match="for several"):
        task("TextClassifier", labels=["a"]).compile(loss="categorical_crossentropy")


@pytest.mark.parametrize(
    ("problem", "targets", "message"),
    [
        ("multi_label", [["no"]] * 9 + [["never"]], r"Target 9 is \['never'\]; expected a list"),
        ("multi_label", [[1, 0]] * 10, "row of 3 numbers from 0 to 1"),
        ("multi_label", [[1, 0, 2]] * 10, "row of 3 numbers from 0 to 1"),
        ("multi_label", [1] * 10, "row of 3 numbers from 0 to 1"),
        ("regression", ["good"] * 10, "Got the target 'good'; expected a row of 3 numbers"),
        ("regression", [[0.5, np.nan, 1]] * 10, "expected a row of 3 numbers"),
        (None, ROWS, 'problem="multi_label"'),
    ],
)
def test_targets_of_another_problem_are_an_error(problem, targets, message):
    model = task("TextClassifier", problem=problem)
    model.compile()
    with pytest.raises(KzooError, match=message):
        model.fit(TEXTS, targets)


def test_answers_by_problem():
    row, labels = np.array([0.2, 0.7, 0.5]), ["a", "b", "c"]
    scores = {"a": 0.2, "b": 0.7, "c": 0.5}
    assert described(row, labels, {}) == {"label": "b", "score": 0.7, "scores": scores}
    several = {"problem": "multi_label", "threshold": 0.5}
    assert described(row, labels, several) == {"labels": ["b", "c"], "scores": scores}
    assert described(row, labels, {**several, "threshold": 0.9})["labels"] == []
    assert described(row, labels, {"problem": "regression"}) == {"values": scores}


@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_a_problem_is_kept_wherever_a_task_is(problem, tmp_path):
    model = task("TextClassifier", problem=problem, threshold=0.3, reads="text")
    model.save(tmp_path / "task.keras")
    model.save_preset(tmp_path / "preset")
    for again in (kzoo.load(tmp_path / "task.keras"), kzoo.load(tmp_path / "preset")):
        assert again.task_options() == model.task_options()
        np.testing.assert_array_equal(again.predict(TEXTS), model.predict(TEXTS))
    options = {"reads": "text", "problem": problem}
    options |= {"threshold": 0.3} if problem == "multi_label" else {}
    assert model.task_options() == options


def test_a_classifier_learns_whether_it_reads_pairs():
    model = task("TextClassifier")
    assert model.reads is None and model.task_options()["reads"] == "either"
    model.compile()
    model.fit(list(zip(TEXTS, TEXTS, strict=True)), [0] * 10, verbose=0)
    assert model.reads == "pair"
    with pytest.raises(KzooError, match="Got single texts; this TextClassifier reads pairs"):
        model.predict(TEXTS)


# -- losses and weights as users write them --------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 10])
@pytest.mark.parametrize("targets", ["index", "one-hot"])
def test_label_smoothing_takes_classes_and_rows(targets, size):
    """Accuracy is the share of right labels at every size of batches."""
    model = still("TextClassifier")
    classes = model.predict(TEXTS).argmax(-1)
    classes[:3] = (classes[:3] + 1) % 3  # Three of ten are wrong.
    y = classes if targets == "index" else np.eye(3, dtype="float32")[classes]
    model.compile(
        optimizer=keras.optimizers.SGD(0.0),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
    )
    scores = model.evaluate(TEXTS, y, batch_size=size, verbose=0, return_dict=True)
    assert scores["accuracy"] == pytest.approx(0.7)
    smooth = np.eye(3)[classes] * 0.9 + 0.1 / 3
    logits = model.predict_on_batch(model.tokenize(TEXTS))["logits"].astype("float64")
    expected = -(smooth * log_softmax(logits)).sum(-1).mean()
    assert scores["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "index", "function"])
def test_a_cross_entropy_reads_logits_however_it_is_written(loss):
    model = still("TextClassifier")
    y = [0, 1] * 5
    model.compile()
    expected = model.evaluate(TEXTS, y, verbose=0)
    written = {
        "index": keras.losses.SparseCategoricalCrossentropy(),
        "function": keras.losses.sparse_categorical_crossentropy,
    }
    model.compile(loss=written.get(loss, loss), metrics=["accuracy"])
    np.testing.assert_allclose(model.evaluate(TEXTS, y, verbose=0), expected, rtol=1e-6)


class Sharpened(keras.losses.SparseCategoricalCrossentropy):
    """A loss of a user's, whose config and arguments don't tell all that it holds."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, y_true, y_pred):
        return super().call(y_true, self.factor * y_pred)


@pytest.mark.parametrize("name", ["TextClassifier", "TokenClassifier"])
def test_a_users_kind_of_cross_entropy_reads_logits_and_stays_itself(name):
    """Places without a target are left out of it, too."""
    model, given = still(name), Sharpened(1.0)
    x, y = (TEXTS, [0, 1] * 5) if name == "TextClassifier" else (WORDS, [["O", -100], TAGS[1]])
    model.compile()
    expected = model.evaluate(x, y, verbose=0)[0]
    model.compile(loss=given)
    assert type(model.loss) is Sharpened and not given.from_logits
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(expected)


@pytest.mark.parametrize("wrapped", [lambda x: [x], lambda x: (x,), lambda x: {"logits": x}])
@pytest.mark.parametrize(
    ("labels", "loss", "problem"),
    [
        (["a", "b", "c"], "sparse_categorical_crossentropy", "single_label"),
        (["a", "b", "c"], "binary_crossentropy", "multi_label"),
        (["a"], "mse", "regression"),
        (["a", "b", "c"], None, "single_label"),
    ],
)
def test_a_loss_in_a_list_or_by_name_means_the_same(wrapped, labels, loss, problem):
    bare, model = (task("TextClassifier", labels=labels) for _ in range(2))
    bare.compile(loss=loss)
    model.compile(loss=wrapped(loss))
    assert model.problem == problem
    y = bare.encode_targets([0, 1] * 5 if problem != "multi_label" else ROWS)
    logits = np.linspace(-2, 3, 10 * len(labels), dtype="float32").reshape(10, -1)
    expected = bare.compute_loss(y=y, y_pred={"logits": logits})
    np.testing.assert_array_equal(model.compute_loss(y=y, y_pred={"logits": logits}), expected)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("TextClassifier", {"loss": ["mse", "mse"]}, "2 losses; a TextClassifier takes one"),
        ("TextClassifier", {"loss": {"labels": "mse"}}, "names labels; .* no name but 'logits'"),
        ("TextClassifier", {"loss": "cross"}, "Got loss='cross'; expected one of Keras' losses"),
        ("TextClassifier", {"metrics": {"labels": ["auc"]}}, "Got metrics by the names labels"),
        ("TextClassifier", {"metrics": ["f2"]}, "Got the metric 'f2'; expected one of Keras'"),
        ("QuestionAnswering", {"loss": {"start_logits": "mse"}}, "since both outputs are one"),
    ],
)
def test_what_compile_cannot_take_is_one_sentence(name, given, message):
    with pytest.raises(KzooError, match=message) as caught:
        task(name).compile(**given)
    assert "\n" not in str(caught.value)


def scores_of(model, x, y, **given):
    model.compile(**given)
    return model.evaluate(x, y, verbose=0, return_dict=True)


@pytest.mark.parametrize("problem", ["single_label", "multi_label"])
@pytest.mark.parametrize(
    "metric",
    [
        lambda: keras.metrics.AUC(multi_label=True, name="own"),
        lambda: keras.metrics.F1Score(average="macro", threshold=0.4, name="own"),
        lambda: keras.metrics.Precision(thresholds=0.4, name="own"),
        lambda: keras.metrics.BinaryAccuracy(name="own"),
        lambda: "binary_accuracy",
        lambda: keras.losses.binary_crossentropy,
    ],
)
def test_a_metric_of_probabilities_is_given_them(problem, metric):
    """Those that `predict` gives, beside a row of targets for each text."""
    model = still("TextClassifier", problem=problem)
    y = ROWS if problem == "multi_label" else np.array([0, 2] * 5)
    rows = ROWS if problem == "multi_label" else np.eye(3, dtype="float32")[y]
    alone = metric()
    if not isinstance(alone, keras.metrics.Metric):
        functions = (keras.metrics.binary_accuracy, keras.losses.binary_crossentropy)
        function = functions[0] if alone == "binary_accuracy" else alone
        alone = keras.metrics.MeanMetricWrapper(function, name=function.__name__)
    alone.update_state(rows, model.predict(TEXTS))
    for given in ([metric()], metric(), {"logits": metric()}):
        found = scores_of(model, TEXTS, y, metrics=given)[alone.name]
        assert found == pytest.approx(float(alone.result()), rel=1e-5)


@pytest.mark.parametrize("name", ["TextClassifier", "TokenClassifier", "MultipleChoice"])
@pytest.mark.parametrize(
    "metric", ["sparse_categorical_crossentropy", keras.metrics.CategoricalCrossentropy]
)
def test_a_cross_entropy_as_a_metric_is_the_loss(name, metric):
    model, (x, y) = still(name), LESSONS[name]
    y = [["O", -100], TAGS[1]] if name == "TokenClassifier" else y
    metric = metric if isinstance(metric, str) else metric()
    scores = scores_of(model, x, y, metrics=[metric])
    loss = scores.pop("loss")
    assert list(scores.values()) == [pytest.approx(loss, rel=1e-5)]


@pytest.mark.parametrize(
    "metric",
    [
        keras.metrics.BinaryAccuracy(threshold=0, name="own"),
        keras.metrics.Precision(thresholds=0, name="own"),
        keras.metrics.AUC(from_logits=True, name="own"),
    ],
)
def test_a_metric_that_says_it_reads_logits_does(metric):
    model = still("TextClassifier", problem="multi_label")
    alone = type(metric).from_config(metric.get_config())
    alone.update_state(ROWS, model.predict_on_batch(model.tokenize(TEXTS))["logits"])
    found = scores_of(model, TEXTS, ROWS, metrics=[metric])["own"]
    assert found == pytest.approx(float(alone.result()), rel=1e-5)


def test_a_metric_of_one_class_where_labels_are_many_is_an_error():
    for metric in ("sparse_categorical_crossentropy", keras.metrics.CategoricalAccuracy()):
        with pytest.raises(KzooError, match="is for one class of several.*BinaryAccuracy"):
            task("TextClassifier", problem="multi_label").compile(metrics=[metric])


def test_metrics_of_a_file_are_those_it_was_compiled_with(tmp_path):
    """The default's threshold is a logit, here one that a probability could be."""
    model = still("TextClassifier", problem="multi_label", threshold=0.6)
    model.compile(metrics=["AUC"], weighted_metrics=["accuracy"])
    expected = model.evaluate(TEXTS, ROWS, verbose=0, return_dict=True)
    model.save(tmp_path / "task.keras")
    again = kzoo.load(tmp_path / "task.keras").evaluate(TEXTS, ROWS, verbose=0, return_dict=True)
    assert again == pytest.approx(expected, rel=1e-6)


def test_accuracy_by_name_is_the_tasks_own():
    """Of probabilities of several labels Keras would compare the likeliest ones."""
    model = still("TextClassifier", problem="multi_label")
    model.compile()
    expected = model.evaluate(TEXTS, ROWS, verbose=0)
    model.compile(metrics=["accuracy"])
    np.testing.assert_allclose(model.evaluate(TEXTS, ROWS, verbose=0), expected, rtol=1e-6)


def test_class_weights_of_words_weigh_each_word():
    model = still("TokenClassifier")
    x = WORDS + [["the", "film", "is", "very", "good"]]
    y = TAGS + [["O", "O", "O", -100, "B-PER"]]
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    losses, weights = [], []
    for words, tags in zip(x, y, strict=True):
        ids = np.array(model.tokenizer.encode_words([words])["word_ids"][0])
        columns = model.encode_examples([words])
        logits = model.run_batches(columns, 1)[1][0]["logits"][0].astype("float64")
        for word, tag in enumerate(tags):
            if tag != -100:
                place, index = int(np.argmax(ids == word)), model.labels.index(tag)
                losses.append(-log_softmax(logits[place])[index])
                weights.append({"O": 0.0, "I-PER": 2.0}.get(tag, 1.0))
    assert loss_of(model, x, y) == pytest.approx(np.mean(losses), rel=1e-4)
    expected = np.mean(np.array(losses) * weights)
    for given in ({"O": 0, "I-PER": 2}, {0: 0, 1: 1, 2: 2}):
        assert loss_of(model, x, y, class_weight=given) == pytest.approx(expected, rel=1e-4)
    twice = loss_of(model, x, y, class_weight=given, sample_weight=[2.0, 2.0, 2.0])
    assert twice == pytest.approx(2 * expected, rel=1e-4)


def test_label_smoothing_of_words_leaves_out_places_without_a_target():
    plain, smooth = still("TokenClassifier"), still("TokenClassifier")
    plain.compile(optimizer=keras.optimizers.SGD(0.0))
    smooth.compile(optimizer=keras.optimizers.SGD(0.0), loss=keras.losses.CategoricalCrossentropy())
    y = [["O", -100], ["B-PER", "I-PER"]]
    assert loss_of(smooth, WORDS, y) == pytest.approx(loss_of(plain, WORDS, y), rel=1e-5)
    plain.compile(loss="sparse_categorical_crossentropy")
    expected = smooth.evaluate(WORDS, y, verbose=0)
    np.testing.assert_allclose(plain.evaluate(WORDS, y, verbose=0), expected, rtol=1e-5)


def test_weights_and_losses_by_place_are_the_same_when_traced():
    model, y = still("TokenClassifier"), [["O", -100], ["B-PER", "I-PER"]]
    found = []
    for eager in (True, False):
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
        model.compile(optimizer=keras.optimizers.SGD(0.0), loss=loss, run_eagerly=eager)
        found.append(model.fit(WORDS, y, class_weight={0: 3}, batch_size=1, verbose=0).history)
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("targets", ["index", "one-hot"])
def test_class_weights_of_texts_by_name_or_index(targets):
    model = still("TextClassifier")
    classes = np.array([0, 1, 2, 1, 0] * 2)
    y = classes if targets == "index" else np.eye(3, dtype="float32")[classes]
    loss = None if targets == "index" else keras.losses.CategoricalCrossentropy()
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=loss)
    logits = model.predict_on_batch(model.tokenize(TEXTS))["logits"].astype("float64")
    losses = -log_softmax(logits)[np.arange(10), classes]
    expected = np.mean(losses * np.array([3.0, 1.0, 0.5])[classes])
    for given in ({"no": 3, "maybe": 0.5}, {0: 3, 2: 0.5}):
        assert loss_of(model, TEXTS, y, class_weight=given) == pytest.approx(expected, rel=1e-4)
    for given, message in [({"never": 1}, "names the class 'never'"), ({0: -1}, "weight -1")]:
        with pytest.raises(KzooError, match=message):
            model.fit(TEXTS, y, class_weight=given)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("QuestionAnswering", [("he", "he lives in paris")] * 2, [(0, 2)] * 2),
        ("TextEmbedder", [("he", "lives"), ("a film", "a dog")], [0.5, -0.5]),
        ("MaskedLM", TEXTS, None),
    ],
)
def test_class_weights_without_classes_are_an_error(name, x, y):
    model = task(name)
    model.compile()
    with pytest.raises(KzooError, match=f"Got class_weight for a {name}"):
        model.fit(x, y, class_weight={0: 1.0, 1: 2.0})


def test_choices_take_smoothed_labels_and_weights_by_place():
    model = still("MultipleChoice")
    x, y = [("the film", ["is good", "is a dog"])] * 4, [0, 1, 1, 0]
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    plain = model.evaluate(x, y, verbose=0)
    twice = loss_of(model, x, y, class_weight={0: 2, 1: 2})
    assert twice == pytest.approx(2 * loss_of(model, x, y), rel=1e-6)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="categorical_crossentropy")
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), plain, rtol=1e-6)


@pytest.mark.parametrize("name", ["TextClassifier", "TokenClassifier"])
def test_the_default_metric_counts_sample_weights(name):
    model = still(name)
    x = ["the", "film"] if name == "TextClassifier" else [["the"], ["film"]]
    columns = {key: np.array(rows) for key, rows in model.encode_examples(x).items()}
    scores = model.predict_on_batch(columns)["logits"]
    best = scores.argmax(-1) if name == "TextClassifier" else scores[:, 1].argmax(-1)
    y = [best[0], (best[1] + 1) % 3]  # The first is right, the second isn't.
    y = y if name == "TextClassifier" else [[int(target)] for target in y]
    model.compile()
    for weights, share in [([1.0, 0.0], 1.0), ([0.0, 1.0], 0.0), ([3.0, 1.0], 0.75)]:
        scores = model.evaluate(x, y, sample_weight=np.array(weights), verbose=0, return_dict=True)
        assert scores["accuracy"] == pytest.approx(share)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_loss_and_accuracy_of_words_are_the_same_in_batches_of_any_size(size):
    model = still("TokenClassifier")
    x = [["the", "film", "is", "good"][: 1 + i % 4] for i in range(7)]
    y = [["O", "B-PER", -100, "I-PER"][: len(row)] for row in x]
    model.compile()
    options = {"verbose": 0, "return_dict": True}
    expected, right, count = model.evaluate(x, y, batch_size=7, **options)["loss"], 0, 0
    for words, tags in zip(x, y, strict=True):
        share = model.evaluate([words], [tags], **options)["accuracy"]
        places = sum(tag != -100 for tag in tags)
        right, count = right + share * places, count + places
    scores = model.evaluate(x, y, batch_size=size, **options)
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)
    assert scores["accuracy"] == pytest.approx(right / count, rel=1e-5)


# -- heads that go on ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TextClassifier", "TokenClassifier"])
def test_a_classifier_that_is_trained_further_keeps_its_head(name):
    source = task(name, problem="multi_label") if name == "TextClassifier" else task(name)
    source.max_length = 17
    turned = source.labels[::-1]
    again, other = (getattr(kzoo, name)(source, labels=given) for given in (None, turned))
    inputs = source.tokenize(["the film is good"])
    expected = source(inputs)["logits"]
    np.testing.assert_array_equal(again(inputs)["logits"], expected)
    np.testing.assert_array_equal(other(inputs)["logits"], np.asarray(expected)[..., ::-1])
    assert again.labels == source.labels and other.labels == turned
    assert again.max_length == other.max_length == 17
    assert again.task_options() == source.task_options()
    with pytest.warns(UserWarning, match="for good, bad starts anew: the one with"):
        fresh = getattr(kzoo, name)(source, labels=["good", "bad"])
    assert fresh.num_outputs == 2


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("name", ["QuestionAnswering", "MaskedLM", "MultipleChoice"])
def test_other_tasks_keep_their_heads_too(name):
    source = task(name, no_answer=0.5) if name == "QuestionAnswering" else task(name)
    again = getattr(kzoo, name)(source)
    assert again.head_slot == source.head_slot and again.task_options() == source.task_options()
    heads = [
        {path: np.asarray(w) for path, w in weights_by_path(model).items() if "head/" in path[:5]}
        for model in (source, again)
    ]
    for path, value in heads[0].items():
        np.testing.assert_array_equal(heads[1][path], value)
    embedder = kzoo.TextEmbedder(source, pooling="first", normalize=False, max_length=9)
    again = kzoo.TextEmbedder(embedder)
    assert (again.pooling, again.normalize, again.max_length) == ("first", False, 9)


def test_a_recipe_goes_on_with_the_head_of_a_preset(tmp_path):
    """With a rate of next to nothing the answers stay, also where the file lacks a label."""
    source = task("TextClassifier", labels=["no", "yes", "maybe"])
    source.save_preset(tmp_path / "before")
    rows = "".join(f"{text}\t{'yes' if i % 2 else 'no'}\n" for i, text in enumerate(TEXTS))
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n" + rows)
    recipe = {
        "model": str(tmp_path / "before"),
        "train": str(tmp_path / "train.tsv"),
        "output": str(tmp_path / "after"),
        "epochs": 1,
        "learning_rate": 1e-9,
    }
    kzoo.train(recipe, verbose=0)
    after = kzoo.load(tmp_path / "after")
    assert after.labels == source.labels
    np.testing.assert_allclose(after.predict(TEXTS), source.predict(TEXTS), atol=1e-5)


# -- what stands still ----------------------------------------------------------------------------


LESSONS = {
    "TextClassifier": (TEXTS, [0, 1] * 5),
    "TokenClassifier": (WORDS, TAGS),
    "QuestionAnswering": ([("he", "he lives in paris")] * 2, [(0, 2)] * 2),
    "MaskedLM": (TEXTS, None),
    "MultipleChoice": ([("the film", ["is good", "is a dog"])] * 2, [0, 1]),
    "TextEmbedder": ([("he", "lives"), ("a film", "a dog")], [0.5, -0.5]),
}
PARTS = {
    "backbone": lambda bert: bert,
    "block": lambda bert: bert.block_list[0],
    "within": lambda bert: bert.block_list[-1].attention.query,
    "table": lambda bert: bert.token_embedding,
}


def moved(model, x, y):
    """The paths of the backbone's weights that a step changes."""
    before = {path: np.asarray(w) for path, w in weights_by_path(model.backbone).items()}
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.fit(x, y, verbose=0)
    return {
        path
        for path, weight in weights_by_path(model.backbone).items()
        if (np.asarray(weight) != before[path]).any()
    }


@pytest.mark.parametrize("name", sorted(LESSONS))
def test_what_is_frozen_before_a_task_is_made_does_not_move(name):
    """And trains again once it is thawed, from the top or part by part."""
    bert = add_noise(one_block())
    options = {"tokenizer": tokenizer()}
    options |= {"labels": ["O", "B-PER", "I-PER"]} if name.startswith("T") else {}
    options |= {"head": "mean"} if name == "TextClassifier" else {}
    if name == "TextEmbedder":
        del options["labels"]
    for part in PARTS.values():
        part(bert).trainable = False
        model = getattr(kzoo, name)(bert, **options)
        still = {w.path for w in part(bert).weights}
        paths = {path for path, w in weights_by_path(bert).items() if w.path in still}
        assert paths & set(weights_by_path(model.backbone)) == set(frozen(model.backbone))
        bert.trainable = True
        assert not frozen(bert)
    bert.block_list[-1].attention.query.trainable = False
    model = getattr(kzoo, name)(bert, **options)
    changed = moved(add_noise(model), *LESSONS[name])
    assert changed and not any(path.startswith("block_0/attention/query") for path in changed)
    model.backbone.trainable = True
    assert any(p.startswith("block_0/attention/query") for p in moved(model, *LESSONS[name]))


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_frozen_part_thaws_after_loading(part, tmp_path):
    """All that stood still learns again after `backbone.trainable = True`."""
    model = task("TextClassifier", head="mean")
    PARTS[part](model.backbone).trainable = False
    frozen_paths = frozen(model)
    assert frozen_paths
    model.save(tmp_path / "plain.keras")
    model.save_preset(tmp_path / "preset")
    kzoo.presets.save_preset(model.backbone, tmp_path / "bert")
    model.compile()
    model.fit(*LESSONS["TextClassifier"], verbose=0)
    model.save(tmp_path / "task.keras")
    model.backbone.save(tmp_path / "bert.keras")
    for name in ("bert.keras", "bert"):
        assert frozen(kzoo.load(tmp_path / name)) == frozen(model.backbone)
    for name in ("plain.keras", "task.keras", "preset"):
        again = kzoo.load(tmp_path / name)
        assert frozen(again) == frozen_paths
        assert not PARTS[part](again.backbone).trainable
        again.backbone.trainable = True
        assert not frozen(again)
        assert len(again.trainable_weights) == len(weights_by_path(again))


def test_an_embedder_of_an_older_file_has_a_pooler_to_train():
    """Such a file names the pooler among what stands still, which was no wish of the user's."""
    model = task("TextEmbedder")
    model.compile()
    config = model.get_compile_config()
    assert config["frozen"] == []
    pooler = [path for path in weights_by_path(model) if "pooler" in path]
    model.compile_from_config({**config, "frozen": pooler})
    assert not frozen(model)
    whole = [path for path in weights_by_path(model) if path.startswith("backbone/")]
    model.compile_from_config({**config, "frozen": whole})
    assert frozen(model) == whole


def test_a_task_with_nothing_to_learn_says_so():
    model = task("TextClassifier")
    model.trainable = False
    model.compile()
    with pytest.raises(KzooError, match="stand still"):
        model.fit(TEXTS, [0] * 10)


@pytest.mark.parametrize("name", ["TextClassifier", "MultipleChoice"])
def test_a_task_on_an_embedder_trains_the_pooler(name, tmp_path):
    """Which the embedder itself leaves alone, before and after it was saved and loaded."""
    embedder = task("TextEmbedder")
    embedder.compile()
    embedder.fit(*LESSONS["TextEmbedder"], verbose=0)
    embedder.save(tmp_path / "embedder.keras")
    for source in (embedder, kzoo.load(tmp_path / "embedder.keras")):
        assert not any("pooler" in path for path in moved(source, *LESSONS["TextEmbedder"]))
        options = {"labels": ["no", "yes"]} if name == "TextClassifier" else {}
        model = add_noise(getattr(kzoo, name)(source, **options))
        assert {"pooler/kernel", "pooler/bias"} <= moved(model, *LESSONS[name])


def test_keras_still_leaves_a_part_frozen():
    """When this fails, Keras thaws all below a layer, and `set_trainable` has no more to do."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.build((1, 1))
    model.layers[0].trainable = False
    model.trainable = True
    assert not model.layers[0].trainable


def test_keras_still_weights_the_loss_of_a_batch_by_its_examples():
    """When this fails, Keras counts what the loss is a mean of, and `loss_count` is replicas'."""
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    model.compile(loss=loss)
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    y = np.array([[0, -100], [1, -100], [0, 1]])
    whole, single = (model.evaluate(x, y, batch_size=size, verbose=0) for size in (3, 1))
    assert abs(whole - single) > 1e-3


# -- words and spans ------------------------------------------------------------------------------

IO = "john I-PER\n\nis O\n"
STRAY = "john I-PER\nsmith I-PER\n\nmary B-PER\n\nis O\n"
IOB1 = "john I-PER\nsmith B-PER\nis O\nit O\nann I-PER\nlee I-PER\n"


def understood(tmp_path, content, labels=None, name="a.conll"):
    """The labels and tags that a task makes of a file, and what it notes."""
    (tmp_path / name).write_text(content)
    examples = kzoo.TokenClassifier.read_file(tmp_path / name)
    known, examples = kzoo.TokenClassifier.understand(examples, labels=labels)
    return known["labels"], examples.y, examples.notes


@pytest.mark.parametrize("train", [STRAY, IOB1])
def test_a_span_begins_with_b_in_every_file_of_a_task_that_has_it(tmp_path, train):
    labels, y, notes = understood(tmp_path, train)
    assert labels == ["O", "B-PER", "I-PER"] and y[0][0] == "B-PER"
    for words, tags in [
        ("anna I-PER\n", ["B-PER"]),
        ("he O\nann I-PER\nlee I-PER\n", ["O", "B-PER", "I-PER"]),
        ("ann B-PER\nlee I-PER\nbo B-PER\n", ["B-PER", "I-PER", "B-PER"]),
    ]:
        assert understood(tmp_path, words, labels)[:2] == (labels, [tags])
    assert notes == ["tags were turned from IOB1 into IOB2"]
    row = '{"tokens": ["x", "ann", "lee", "bo"], "tags": [0, 2, 2, -100]}'
    assert understood(tmp_path, row, labels, "a.jsonl")[1] == [["O", "B-PER", "I-PER", -100]]
    row = '{"tokens": ["x", "ann"], "tags": [-100, 2]}'  # It may go on with what isn't learned.
    assert understood(tmp_path, row, labels, "a.jsonl")[1] == [[-100, "I-PER"]]


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (IO, None),
        (IO, ["O", "I-PER"]),
        (IO, ["O", "I-PER", "B-LOC"]),
        (IO, ["O", "B-PER", "I-PER", "E-PER", "S-PER"]),
        ("john NN\n\nis VB\n", ["NN", "VB"]),
    ],
)
def test_tags_stay_where_the_labels_have_no_b_for_them(tmp_path, content, labels):
    first = content.split()[1]
    labels, y, notes = understood(tmp_path, content, labels)
    assert (y[0], notes) == ([first], []) and first in labels


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(4, 99, "PER")], "isn't within the text's 15 characters; expected 0 <= start < end"),
        ([(4, 0, "PER")], "isn't within"),
        ([(0, 0, "PER")], "isn't within"),
        ([(-4, 2, "PER")], "isn't within"),
        ([(0.0, 4.0, "PER")], "got the span .* expected .start, end, kind., the places of char"),
        ([(0, True, "PER")], "got the span"),
        ([(0, 4)], "got the span"),
        ([3], "got the span 3"),
        ([(5, 10, "PER"), (0, 6, "PER")], "the spans .*0, 6, 'PER'.* and .* overlap; keep one"),
        ([(4, 5, "PER")], "holds blanks alone; move it to a word, or drop it"),
        ("PER", "got 'PER'; expected a list of spans"),
        (None, "got None; expected a list of spans"),
        ([(0, 4, "LOC")], "with a kind of O, PER"),
    ],
)
def test_spans_that_cannot_be_learned_are_said(spans, message):
    model = still("TokenClassifier")
    with pytest.raises(KzooError, match=f"Example 1.*{message}"):
        model.encode_targets([[], spans], ["he is", "john smith good"])


def test_spans_in_any_order_of_any_integers_are_learned():
    model = still("TokenClassifier")
    place = np.int64
    spans = [[place(11), place(13), "PER"], (0, 10, "PER")]  # go of good
    (row,) = model.encode_targets([spans], ["john smith good"])
    tags = [model.labels[index] for index in row if index != -100]
    assert tags == ["B-PER", "I-PER", "B-PER"]
