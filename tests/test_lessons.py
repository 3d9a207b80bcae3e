"""What a teacher's lessons measure, what learns by them, and answers that are kept on disk."""

import contextlib

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, tokens
from test_tasks import SPECIAL, TEXTS, tokenizer
from test_teacher import log_softmax, pictures
from test_teacher import student as picture_student
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece

import kzoo
from kzoo.compression import (
    AttentionMaps,
    AttentionScores,
    Cache,
    Embeddings,
    HardLabels,
    HiddenStates,
    Lesson,
    Logits,
    Teacher,
    ValueRelations,
    cached,
    narrowed,
)
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.training import Checkpoints

LABELS, FULL = ["a", "b", "c"], tokenizer()
NARROW = {"hidden_dim": 16, "num_heads": 2, "intermediate_dim": 24}


def task(kind="TextClassifier", seed=0, tokenizer=FULL, **changes):
    """A tiny task with noise on every weight; `changes` are those of its spec."""
    changes = {"schedule": (0,), "dropout": 0.0, "attention_dropout": 0.0, **changes}
    options = {"labels": LABELS} if kind in ("TextClassifier", "TokenClassifier") else {}
    family = "gpt2" if kind == "CausalLM" else "bert"
    options |= {"packing": False} if kind == "CausalLM" else {}
    own = getattr(kzoo, kind)(
        build(SPECS[family].replace(**changes)), tokenizer=tokenizer, **options
    )
    return add_noise(own, seed)


def taught(student, teacher, *lessons, **options):
    """The student, compiled to learn from the teacher."""
    student.compile(
        kzoo.AdamW(1e-2, warmup=0, decay="constant"),
        teacher=Teacher(teacher, lessons=lessons, **options),
    )
    return student


def seen(model, inputs):
    """What a task gives, and all that its backbone shows, as float64."""
    names = ("attention_maps", "attention_scores", "hidden_states", "projections")
    outputs = model(inputs, seen=names)
    return keras.tree.map_structure(lambda x: np.asarray(x, "float64"), outputs)


def mean(losses, mask, weights):
    """The mean over what the mask counts, each by the weight of its example."""
    return (losses * mask * weights.reshape(-1, *[1] * (losses.ndim - 1))).sum() / mask.sum()


# -- what they measure -----------------------------------------------------------------------------


def by_logits(here, there, mask, weights, _):
    losses = -(np.exp(log_softmax(there["logits"] / 2)) * log_softmax(here["logits"] / 2)).sum(-1)
    return mean(4 * losses, mask if losses.ndim == 2 else np.ones(3), weights)


def by_hard_labels(here, there, mask, weights, _):
    losses = -log_softmax(here["logits"])[range(3), there["logits"].argmax(-1)]
    return mean(losses, np.ones(3), weights)


def by_states(here, there, mask, weights, kernels):
    pairs = [(there["hidden_states"][t], here["hidden_states"][h]) for t, h in ((0, 0), (2, 1))]
    gaps = [b @ kernel - a for (a, b), kernel in zip(pairs, kernels, strict=True)]
    return mean(sum((gap**2).mean(-1) for gap in gaps), mask, weights)


def by_angles(here, there, mask, weights, kernels):
    a, b = there["hidden_states"][2], here["hidden_states"][1] @ kernels[0]
    sizes = [np.linalg.norm(side, axis=-1) for side in (a, b)]
    return mean(1 - (a * b).sum(-1) / sizes[0] / sizes[1], mask, weights)


def by_maps(here, there, mask, weights, _, name="attention_maps"):
    total = 0
    for a, b in zip(there[name], here[name], strict=True):
        a, b = (np.where(side < -1000, 0, side) for side in (a, b))
        one = a.shape[1] == b.shape[1]
        gaps = ((a - b) ** 2).mean(1) if one else (a.mean(1) - b.mean(1)) ** 2
        for gap, counts, weight in zip(gaps, mask.astype(bool), weights, strict=True):
            total += gap[counts][:, counts].mean(-1).sum() * weight
    return total / mask.sum()


def by_scores(*sides):
    return by_maps(*sides, name="attention_scores")


def by_relations(here, there, mask, weights, _):
    total = 0
    for a, b in zip(there["projections"][0], here["projections"][1], strict=True):
        for row, (weight, count) in enumerate(zip(weights, mask.sum(-1), strict=True)):
            logs = []
            for side in (a, b):
                joined = side[row].transpose(1, 0, 2).reshape(side.shape[2], -1)[:count]
                parts = np.split(joined, 8, axis=-1)
                logs.append([log_softmax(p @ p.T / np.sqrt(p.shape[-1])) for p in parts])
            a_log, b_log = map(np.array, logs)
            total += weight * (np.exp(a_log) * (a_log - b_log)).sum(-1).mean(0).sum()
    return total / mask.sum()


@pytest.mark.parametrize(
    ("lesson", "formula", "kind", "layers"),
    [
        (Logits(2.0), by_logits, "TextClassifier", (0,)),
        (Logits(2.0), by_logits, "TokenClassifier", (0,)),
        (HardLabels(), by_hard_labels, "TextClassifier", (0,)),
        (HiddenStates(), by_states, "TextClassifier", (0,)),
        (HiddenStates({2: 1}, "cosine"), by_angles, "TextClassifier", (0,)),
        (AttentionMaps(), by_maps, "TextClassifier", (0, 1)),
        (AttentionMaps(), by_maps, "TokenClassifier", (0, 1)),
        (AttentionScores(), by_scores, "TextClassifier", (0, 1)),
        (ValueRelations(0, 1, heads=8), by_relations, "TextClassifier", (0, 1)),
    ],
)
def test_a_lesson_measures_what_its_paper_says(lesson, formula, kind, layers):
    """With padding left out, weights of examples, other widths and other numbers of heads."""
    heads = 4 if kind == "TokenClassifier" else 2
    narrow = {**NARROW, "num_heads": heads}
    teacher, student = task(kind, schedule=(0, 1)), task(kind, 1, schedule=layers, **narrow)
    taught(student, teacher, lesson)
    inputs, weights = tokens(SPECS["bert"]), np.array([1.0, 0.5, 2.0], "float32")
    mask = inputs["padding_mask"]
    assert 0 < mask.mean() < 1
    kernels = [] if student.bridges is None else student.bridges.trainable_variables
    kernels = [np.asarray(kernel, "float64") for kernel in kernels]
    expected = formula(seen(student, inputs), seen(teacher, inputs), mask, weights, kernels)
    outputs = student(inputs, training=True)
    actual = student.compute_loss(inputs, np.zeros(3), outputs, weights)
    assert float(actual) == pytest.approx(expected, rel=1e-4) and expected > 1e-3


@pytest.mark.parametrize("distance", ["cosine", "squared"])
def test_vectors_are_compared_in_the_teachers_width(distance):
    """1 - cosine, or the mean square; across a map that the lesson learns."""
    teacher, student = task("TextEmbedder"), task("TextEmbedder", 1, **NARROW)
    taught(student, teacher, Embeddings(distance))
    inputs = tokens(SPECS["bert"])
    (kernel,) = (np.asarray(k, "float64") for k in student.bridges.trainable_variables)
    here, there = (np.asarray(m(inputs)["embedding"], "float64") for m in (student, teacher))
    here, sizes = here @ kernel, np.linalg.norm(here @ kernel, axis=-1)
    cosines = (here * there).sum(-1) / sizes  # The teacher's have length 1.
    expected = (1 - cosines).mean() if distance == "cosine" else ((here - there) ** 2).mean()
    actual = student.compute_loss(inputs, np.ones(3), student(inputs, training=True))
    assert float(actual) == pytest.approx(expected, rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    teacher = task()
    lessons = [HiddenStates(), AttentionMaps(), AttentionScores(), ValueRelations()]
    student = taught(task(), teacher, *lessons)
    assert student.bridges is None
    inputs = tokens(SPECS["bert"])
    outputs = student(inputs, training=True)
    assert float(student.compute_loss(inputs, np.zeros(3), outputs)) == pytest.approx(0, abs=1e-6)
    other = taught(task(seed=1), teacher, *lessons)
    assert float(other.compute_loss(inputs, np.zeros(3), other(inputs, training=True))) > 0.1


def test_where_an_answer_stands_is_learnt_without_padding():
    """Both sides' scores of padding are out of the softmax, however large."""
    teacher, student = task("QuestionAnswering"), task("QuestionAnswering", 1)
    taught(student, teacher, Logits(1.0))
    inputs = tokens(SPECS["bert"])
    mask, losses = inputs["padding_mask"].astype(bool), []
    for name in ("start_logits", "end_logits"):
        sides = [np.asarray(model(inputs)[name]) for model in (student, teacher)]
        for row, counts in enumerate(mask):
            here, there = (log_softmax(side[row, counts]) for side in sides)
            losses.append(-(np.exp(there) * here).sum())
    outputs = student(inputs, training=True)
    actual = student.compute_loss(inputs, np.zeros((3, 2)), outputs)
    assert float(actual) == pytest.approx(np.mean(losses), rel=1e-4)


# -- learning --------------------------------------------------------------------------------------

SPANS = [("who lives", "he lives in paris")] * 2, [(12, 17), (0, 2)]
FITS = {
    "TextClassifier": (TEXTS, [0, 1] * 5, [Logits(), HiddenStates()]),
    "TokenClassifier": ([["he", "lives"], ["a", "film"]], [[0, 1], [2, 0]], [Logits()]),
    "QuestionAnswering": (*SPANS, [Logits(), ValueRelations()]),
    "MaskedLM": (TEXTS, None, [Logits(), AttentionScores()]),
    "CausalLM": (TEXTS, None, [Logits(), ValueRelations()]),
    "TextEmbedder": (TEXTS, None, [Embeddings(), HiddenStates()]),
}


class Counted(Lesson):
    """A lesson that is always learnt already, and knows how often it was asked."""

    asked = 0

    def losses(self, student, source, inputs, here, there, across):
        """Nothing for each example."""
        self.asked += 1
        return keras.ops.zeros(keras.ops.shape(inputs["token_ids"])[:1]), None


@pytest.mark.parametrize("kind", FITS)
def test_every_task_learns_from_one_run_of_the_student_a_step(kind):
    """And what lies between the widths learns with it."""
    x, y, lessons = FITS[kind]
    student, counted = task(kind, 1, schedule=(0,), **NARROW), Counted()
    taught(student, task(kind), *lessons, counted)
    student.run_eagerly, runs, run = True, [], student.backbone.call

    def counting(*args, **options):
        runs.append(options["training"])
        return run(*args, **options)

    student.backbone.call = counting
    before = weights_by_path(student) | dict(enumerate(student.trainable_variables))
    before = {key: np.array(keras.ops.convert_to_numpy(w)) for key, w in before.items()}
    student.fit(x, y, batch_size=5, epochs=2, verbose=0)
    assert runs == [True] * counted.asked and len(runs) == 2 * -(-len(x) // 5)
    bridged = [] if student.bridges is None else student.bridges.trainable_variables
    assert bool(bridged) is (kind in ("TextClassifier", "TextEmbedder"))
    start = len(student.trainable_variables) - len(bridged)
    moved = ["backbone/block_0/attention/query/kernel", *range(start, start + len(bridged))]
    after = weights_by_path(student) | dict(enumerate(student.trainable_variables))
    assert all(np.abs(before[key] - after[key]).max() > 1e-4 for key in moved)


def test_what_lessons_learn_is_kept_with_the_optimizer_and_in_no_preset(tmp_path):
    student = taught(task(seed=1, **NARROW), task(), HiddenStates())
    student.run_eagerly = True
    student.fit(TEXTS, [0, 1] * 5, verbose=0)
    student.save(tmp_path / "student.keras")
    again = keras.saving.load_model(tmp_path / "student.keras")
    for here, there in (
        (again.optimizer.variables, student.optimizer.variables),
        (again.trainable_variables, student.trainable_variables),
    ):
        assert len(here) == len(there)
        assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
    again.run_eagerly = True
    again.fit(TEXTS, [0, 1] * 5, verbose=0)
    assert int(again.optimizer.iterations) == 2
    student.save_preset(tmp_path / "preset")
    kept = kzoo.load(tmp_path / "preset")
    assert kept.bridges is None and not {id(w) for w in student.weights} & {
        id(w) for w in student.bridges.weights
    }
    bridges = student.bridges.trainable_variables
    assert len(kept.trainable_variables) == len(student.trainable_variables) - len(bridges)
    student.compile()
    assert student.bridges is None and student.teacher is None


def test_a_training_that_was_interrupted_goes_on_with_its_lessons(tmp_path):
    """What lies between the widths is kept with a checkpoint, and lost with none."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    ends = []
    for stops in ([], [Stop()]):
        for callbacks in ([each] for each in [*stops, None]):
            student = taught(task(seed=1, **NARROW), task(), HiddenStates())
            student.run_eagerly = True
            callbacks = list(filter(None, callbacks))
            folder = tmp_path / str(len(stops))
            with contextlib.suppress(KeyboardInterrupt):
                options = {"resume": Checkpoints(folder, every=0), "callbacks": callbacks}
                student.fit(TEXTS, [0, 1] * 5, batch_size=5, epochs=2, verbose=0, **options)
        ends.append([np.asarray(weight) for weight in student.trainable_variables])
    for one, two in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_trimmed_student_asks_by_the_teachers_numbers():
    """Its tokens are some of the teacher's, in another order."""
    small = trimmed()
    student = task(tokenizer=small, seed=1)
    teacher = task()
    taught(student, teacher, Logits(1.0))
    texts = ["the film is good", "he lives in paris"]
    there = log_softmax(teacher(teacher.tokenize(texts))["logits"])
    inputs = student.tokenize(texts)
    assert not np.array_equal(inputs["token_ids"], teacher.tokenize(texts)["token_ids"])
    here = log_softmax(student(inputs)["logits"])
    actual = student.compute_loss(inputs, np.zeros(2), student(inputs, training=True))
    expected = -(np.exp(there) * here).sum(-1).mean()
    assert float(actual) == pytest.approx(expected, rel=1e-4)


def trimmed(*more):
    """The tokenizer without two of its words, the others the other way round, and some more."""
    backend = Backend.from_str(FULL.to_json())
    names = [name for name in sorted(FULL.vocabulary) if name not in ("dog", "very", *SPECIAL)]
    vocabulary = {name: i for i, name in enumerate([*SPECIAL, *more, *names[::-1]])}
    backend.model = WordPiece(vocabulary, unk_token="[UNK]")
    return kzoo.Tokenizer(backend)


# -- answers on disk -------------------------------------------------------------------------------


def test_kept_answers_teach_as_the_teacher_does(tmp_path):
    """Whatever the student's tokens are, in any order of the examples, some of them or all."""
    teacher = task("TextEmbedder")
    cache = cached(teacher, TEXTS, tmp_path / "answers", dtype="float16")
    np.testing.assert_allclose(
        cache.read(cache.rows_of(TEXTS[::-1])), teacher.predict(TEXTS[::-1]), atol=1e-3
    )
    losses = []
    for source, own in ((teacher, FULL), (cache, FULL), (cache, trimmed("new"))):
        student = taught(task("TextEmbedder", 1, own), source, Embeddings())
        student.run_eagerly = True
        fitted = student.fit(TEXTS[3:8], batch_size=2, epochs=2, verbose=0)
        losses.append(fitted.history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-3)
    assert losses[2][1] < losses[2][0]


def test_kept_answers_are_found_by_what_a_student_reads_in_their_place(tmp_path):
    teacher, other = task(), [text.upper() + "!" for text in TEXTS]
    cache = cached(teacher, TEXTS, tmp_path / "answers", read_as=other)
    expected = np.asarray(teacher(teacher.tokenize(TEXTS))["logits"])
    np.testing.assert_allclose(cache.read(cache.rows_of(other)), expected, atol=1e-4)
    np.testing.assert_array_equal(cache.rows_of(np.array(other)), np.arange(10))
    with pytest.raises(kzoo.KzooError, match="no answer to 10 of 10 examples, such as example 0"):
        cache.rows_of(TEXTS)


def test_a_run_that_was_killed_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("kzoo.compression.cache.SHARD", 4)
    teacher, folder = task(), tmp_path / "answers"
    whole = cached(teacher, TEXTS, folder).read(range(10))
    files = sorted(folder.glob("answers-*.npy"))
    assert len(files) == 3
    files[1].unlink()
    (folder / ".answers-00001.npy.1234.npy").write_bytes(b"half")
    with pytest.raises(kzoo.KzooError, match="lacks 1 of its files, such as answers-00001.npy"):
        Cache(folder)
    before = [file.stat().st_mtime_ns for file in (files[0], files[2])]
    np.testing.assert_array_equal(cached(teacher, TEXTS, folder).read(range(10)), whole)
    assert before == [file.stat().st_mtime_ns for file in (files[0], files[2])]


def test_answers_of_others_or_to_others_are_refused(tmp_path):
    folder = tmp_path / "answers"
    cached(task(), TEXTS[:4], folder)
    for model, texts, words in (
        (task(), TEXTS[:3] + ["other"], "of the same teacher to other examples"),
        (task(seed=1), TEXTS[:4], "of another teacher to the same examples"),
        (task(tokenizer=trimmed()), TEXTS[:4], "of another teacher"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            cached(model, texts, folder)
    with pytest.raises(kzoo.KzooError, match="holds other files"):
        cached(task(), TEXTS, tmp_path)
    student = taught(task(seed=1), Cache(folder), Logits())
    with pytest.raises(kzoo.KzooError, match=f"no answer to 1 of 5 examples.*{TEXTS[4]}"):
        student.fit(TEXTS[:5], [0] * 5, verbose=0)


def test_pictures_find_their_answers(tmp_path):
    """As they are: not beside what makes others of them."""
    teacher, student = picture_student("vit", LABELS), picture_student("vit", LABELS)
    teacher.head.logits.kernel.assign(np.random.default_rng(0).normal(size=(32, 3)))
    cache = cached(teacher, pictures(), tmp_path / "answers")
    student.compile(teacher=Teacher(cache, hard=False))
    student.run_eagerly = True
    student.fit(pictures()[::-1], [0, 1] * 3, verbose=0)
    with pytest.raises(kzoo.KzooError, match="augment beside a teacher's cached answers"):
        student.fit(pictures(), [0, 1] * 3, augment=keras.layers.RandomFlip(), verbose=0)


def test_vectors_are_narrowed_along_what_holds_most_of_them():
    """Products stay what they are where all of them lie in so few directions."""
    teacher = task("TextEmbedder")
    words = [" ".join(pair) for pair in zip(TEXTS * 4, TEXTS[3:] * 6, strict=False)]
    narrow, report = narrowed(teacher, words, 12)
    vectors = teacher.predict(words)
    _, values, directions = np.linalg.svd(vectors)
    expected = vectors @ directions[:12].T
    expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    actual = narrow.predict(words)
    np.testing.assert_allclose(actual @ actual.T, expected @ expected.T, atol=1e-4)
    assert report["kept"] == pytest.approx((values[:12] ** 2).sum() / (values**2).sum())
    assert teacher.output_width == 32 and narrow.output_width == report["width"] == 12
    student = task("TextEmbedder", 1, hidden_dim=12, num_heads=2, intermediate_dim=24)
    assert taught(student, narrow, Embeddings()).bridges is None


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Logits(0), "temperature=0"),
        (lambda: HiddenStates({2: -1}), "the layer map {2: -1}"),
        (lambda: HiddenStates(distance="far"), "distance='far'; expected 'squared' or 'cosine'"),
        (lambda: ValueRelations(heads=0), "heads=0"),
        (lambda: Embeddings(weight=0), "weight=0 for Embeddings"),
        (lambda: Teacher(task(), lessons=[]), "the lessons"),
        (lambda: Teacher(task().backbone), "Got a Bert as a teacher"),
        (lambda: taught(task(), task(), HiddenStates({2: 1})), "teacher's step 2.*0 to 1"),
        (lambda: taught(task(), task(), AttentionMaps({0: 1})), "student's step 1.*0 to 0"),
        (lambda: taught(task(), task(), ValueRelations(heads=5)), "heads=5.*such as 32"),
        (lambda: taught(task(), task(), Embeddings()), "Embeddings for a TextClassifier"),
        (lambda: taught(task("TextEmbedder"), task(), Logits()), "has no logits"),
        (lambda: taught(task(), task("TextEmbedder"), Logits()), "no such scores"),
        (lambda: taught(task("MaskedLM"), task("TokenClassifier"), Logits()), "one of its kind"),
        (lambda: taught(task(tokenizer=trimmed("new")), task(), Logits()), "another vocabulary"),
    ],
)
def test_what_cannot_be_learnt_is_said_in_a_sentence(make, words):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_lessons_about_places_take_one_text_an_example():
    student = taught(task("TextEmbedder"), task("TextEmbedder", 1), HiddenStates())
    student.run_eagerly = True
    with pytest.raises(kzoo.KzooError, match="several texts an example for HiddenStates"):
        student.fit([("a film", "the film")] * 2, verbose=0)
    with pytest.raises(kzoo.KzooError, match="single texts to measure"):
        student.fit(TEXTS, validation_data=TEXTS, verbose=0)
