"""How right a model is on labelled texts, pictures or sounds, and where it isn't."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import plot, presets, tasks
from .answers import PROBLEMS, described
from .bundle.continuation import foretold, rows_of_texts
from .bundle.evaluate import (
    MOST_CONFUSED,
    columns_of_words,
    gold_answers,
    labelled_spans,
    spans_of_words,
)
from .bundle.manifest import MANIFEST, read_manifest
from .bundle.parity import run_keras
from .bundle.predict import Answerer, Continuer, Predictor, open_writer
from .bundle.senses import Texts, sense_of
from .bundle.towers import TowersPredictor, is_of_towers
from .data.documents import answer_rows, text_rows
from .data.public import columns_of, public_task, with_labels_of
from .data.tables import write_table
from .detections import box_scores, overlaps
from .errors import KzooError
from .files import writing_folder
from .generation.writer import framing, prompt_ids
from .metrics import answer_scores, entity_scores, matthews, shares
from .tasks.inputs import split_pairs
from .tasks.text_scores import SCORES, exact, text_scores
from .values import an, is_whole

RESULT, PICTURE, WRONG = "evaluation.json", "confusion.png", "wrong.csv"
LEVEL = 0.95  # the share of resampled scores that an interval holds
WHOLE = ("boxes", "continuation", "rewriting")  # rules whose scores are of all examples together
CONFUSED = ("single_label", "entities")  # rules with a table of what is taken for what
NONE = "none"  # In a table of kinds of entities: no entity stands there.


@dataclass(frozen=True)
class Asked:
    """What is asked of a measurement.

    Args:
        stride: see `evaluate`.
        measures: the names of the scores that are reported; None for those of the rule.
        positive: the label whose F1 is measured, where "f1" is asked of a classifier.
    """

    stride: int | None = None
    measures: tuple | None = None
    positive: str | None = None


def evaluate(
    source,
    path,
    text=None,
    label=None,
    output=None,
    threads=1,
    stride=None,
    task=None,
    picture=None,
    resamples=1000,
    seed=0,
):
    """Measure a preset, a task or a bundle on a file of labelled texts, pictures or sounds.

    Args:
        source: a task, a preset's name or folder, a Hugging Face folder, or a bundle's folder,
            which runs on LiteRT.
        path: a file as the task's `fit` reads it: a table, CoNLL's columns, SQuAD's JSON; of
            pictures and sounds a folder with a folder for each class, or a table that names files.
        text, label: the columns of the file, by default those beyond doubt; `text` is that of the
            paths where a table names files.
        output: a folder to write evaluation.json (what is returned), wrong.csv (the wrong
            answers), and confusion.png (which label is given to which) where there are labels.
        threads: of a bundle, how many it may use.
        stride: of a CausalLM, see its `evaluate`; the windows of a bundle are as long as those of
            its task, or as its cache where that is shorter.
        task: the name of a public task, a key of `kzoo.data.public.PUBLIC` such as "cola" or
            "stsb": its file's columns are found and its classes named by themselves, and the
            scores are its own.
        picture: a .png file to draw the confusion matrix into, where nothing lies yet.
        resamples: how often examples are drawn anew, with replacement, for the intervals of the
            scores; 0 for none.
        seed: of these draws.

    Returns:
        A dict: `source`, `task`, `read` (what the file was read as), `examples` (how many),
        `scores` ({measure: value}), `intervals` ({measure: [low, high]}, where 95 % of the scores
        of resampled examples lie: the percentile bootstrap of B. Efron, 1979), `resampling`
        (`resamples`, `seed` and `level`, or None), `classes` ({label: precision, recall, f1,
        support}), `confusion` (`labels` and `counts`, a row for each right label and a column for
        each given one; of up to 1,000 labels) or None, and `wrong`, a dict for each example that
        isn't right: `line` (in a folder the path within), `text` (and `text_pair`) or the path of
        the `image` or `sound`, `right`, `given` and maybe `score`. For regression and likeness
        `wrong` has all, the farthest first. Of a public task also `public_task`.

        Scores are accuracy and macro_f1 for one label an example; micro_f1, macro_f1 and
        exact_match for several; mean_absolute_error, pearson and spearman for values; the last two
        of cosines, for a TextEmbedder on pairs and how alike they are; ap, ap50, ap75 and recall
        of boxes, see `kzoo.detections.box_scores`; precision,
        recall and f1 of entities, see `kzoo.metrics.entity_scores`; exact_match and f1 of answers;
        perplexity, loss and accuracy of a CausalLM, which has no wrong answers; of a Seq2SeqLM
        those of `kzoo.tasks.text_scores`, each 0 to 100 but exact, a share. The last two, and
        those of boxes, have no intervals.

    Raises:
        KzooError: where the file can't be read, the source has no task with answers, or the
            public task is another's.
    """
    if not is_whole(resamples, 0) or not is_whole(seed, 0):
        raise KzooError(
            f"Got {resamples!r:.40} resamples with the seed {seed!r:.40}; expected whole numbers "
            "of at least 0."
        )
    public = None if task is None else public_task(task)
    reader = _reader(source, threads)
    if stride is not None and reader.rule != "continuation":
        raise KzooError(
            f"Got stride {stride!r:.40} for {an(reader.task)}; expected it for a CausalLM alone: "
            "leave it out."
        )
    kind, labels = getattr(reader, "kind", tasks.TASKS[reader.task]), reader.labels
    _check_measured(reader, source)
    if picture is not None:
        _check_picture(reader, picture)
    if public is not None:
        _check_answers(reader, public, task)
        if (text, label) == (None, None):
            text, label = columns_of(public, task, path)
    examples, positive = kind.read_file(path, text, label, "required"), None
    if public is not None:
        examples, positive = with_labels_of(labels, public, task, examples)
    _, examples = kind.understand(examples, reader.options.get("problem"), labels, False)
    asked = Asked(stride, None if public is None else public.measures, positive)
    score, classes, confusion, wrong = MEASURED[reader.rule](reader, examples, asked)
    is_drawn = resamples > 0 and reader.rule not in WHOLE
    result = {
        "source": str(source) if isinstance(source, (str, Path)) else source.name,
        "task": reader.task,
        **({} if public is None else {"public_task": str(task)}),
        "read": examples.record(),
        "examples": len(examples),
        "scores": score(np.arange(len(examples))),
        "intervals": _intervals(score, len(examples), resamples, seed) if is_drawn else {},
        "resampling": {"resamples": resamples, "seed": seed, "level": LEVEL} if is_drawn else None,
        "classes": classes,
        "confusion": confusion,
        "wrong": [_row(kind, examples, place, **rest) for place, rest in wrong],
    }
    if output is not None:
        _write(result, output)
    if picture is not None:
        _draw(result, picture)
    return result


def scores_of(source, examples, threads=1):
    """The scores of `evaluate` on examples that were read: {measure: value}.

    Args:
        source: a task, or a bundle's folder.
        examples: `Examples` as the task's `understand` gives them.
        threads: see `evaluate`.
    """
    reader = _reader(source, threads)
    _check_measured(reader, "The model")
    score = MEASURED[reader.rule](reader, examples, Asked())[0]
    return score(np.arange(len(examples)))


def _intervals(score, count, resamples, seed):
    """{measure: [low, high]} of the scores of `resamples` draws of `count` examples."""
    draw, ends = np.random.default_rng(seed), ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    rows = [score(draw.integers(count, size=count)) for _ in range(resamples)]
    return {
        name: [float(end) for end in np.quantile([row[name] for row in rows], ends)]
        for name in rows[0]
    }


def _check_answers(reader, public, name):
    if reader.rule not in public.rules:
        raise KzooError(
            f"Got the task {name} for {an(reader.task)} that answers by {reader.rule}; expected a "
            f"model that answers by {' or '.join(public.rules)}."
        )


def _check_picture(reader, picture):
    picture = Path(picture)
    if reader.rule not in CONFUSED:
        raise KzooError(
            f"Got {picture} to draw a confusion matrix of {an(reader.task)} into; expected a model "
            "that gives one label or entities: leave it out."
        )
    if len(reader.labels) > MOST_CONFUSED:
        raise KzooError(
            f"Got {picture} to draw a confusion matrix of {len(reader.labels):,} labels into; "
            f"expected {MOST_CONFUSED:,} at most: leave it out."
        )
    if picture.suffix.lower() != ".png" or picture.exists():
        raise KzooError(
            f"Got {picture} to draw into; expected a path that ends in .png where nothing lies yet."
        )


def _check_measured(reader, source):
    if reader.rule not in MEASURED:
        raise KzooError(
            f"{source} is {an(reader.task)}; expected a classifier of texts, pictures or sounds, "
            "an ObjectDetector, a TokenClassifier, QuestionAnswering, TextEmbedder, CausalLM or "
            "Seq2SeqLM, whose "
            f"answers are right or wrong: one of the rules {', '.join(MEASURED)}."
        )


def _row(kind, examples, place, **rest):
    x = examples.x[place]
    if "text" in rest:  # A pair may hold what is right.
        texts = {}
    elif not isinstance(sense_of(kind.reads), Texts):
        beside = isinstance(x, tuple)
        texts = {sense_of(kind.reads).noun: str(x[0] if beside else x)}
        texts |= {"text": x[1]} if beside else {}
    elif isinstance(x, tuple):
        texts = {"text": x[0], "text_pair": x[1]}
    else:
        texts = {"text": x if isinstance(x, str) else " ".join(x)}
    return {"line": examples.lines[place], **texts, **rest}


def _write(result, output):
    with writing_folder(output, mark=RESULT) as folder:
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        (folder / RESULT).write_text(text, encoding="utf-8")
        rows = result["wrong"]
        noun = sense_of(tasks.TASKS[result["task"]].reads).noun
        names = list(rows[0]) if rows else ["line", noun, "right", "given"]
        write_table(folder / WRONG, {name: [row[name] for row in rows] for name in names})
        if result["confusion"]:
            _draw(result, folder / PICTURE)


def _draw(result, path):
    labels, matrix = result["confusion"].values()
    plot.write(plot.confusion(matrix, labels=labels), path)


# -- what answers ---------------------------------------------------------------------------------


class _Bundle:
    """A bundle: inputs to answers, and rows of tokens to raw outputs, on LiteRT."""

    def __init__(self, folder, threads):
        self._predictor = Predictor(folder, threads)
        self.answerer = self._predictor.answerer
        self.task, self.rule = self._predictor.manifest["task"], self.answerer.rule
        self.labels = self.answerer.labels
        self.options = self.answerer.options

    def answers(self, texts):
        return [self._predictor(text) for text in texts]

    def outputs(self, rows):
        return [self._predictor.interpreter.run(columns) for columns in rows]


class _WritingBundle:
    """A bundle that writes: how likely texts are to it, by the steps of its file on LiteRT."""

    def __init__(self, folder, threads):
        continuer = Continuer(folder, threads)
        self._step, self._tokenizer = continuer.writer.step, continuer.processor
        manifest = continuer.manifest
        self.task, self.rule, self.labels = manifest["task"], manifest["rule"], None
        self.options = manifest["task_options"]
        self._length = min(manifest["max_length"], self._step.cache)

    def measure(self, texts, stride):
        """As a CausalLM's; windows are no longer than the cache of the file."""
        if stride is not None and not is_whole(stride, 1, self._length):
            raise KzooError(
                f"Got stride={stride!r:.40}; expected 1 to {self._length}, the tokens of a window."
            )
        prompts, answers = split_pairs(texts)
        tokenizer, read = self._tokenizer, self._tokenizer.bare_ids
        before, after = framing(tokenizer)
        if answers is not None:
            prompts = prompt_ids(tokenizer, prompts)
            rows = answer_rows(prompts, read(answers), after, self._length)
            return foretold(self._step, rows_of_texts(rows))
        # A manifest doesn't say how its task cut texts: they are joined, as is usual.
        rows = text_rows(read(prompts), before, after, self._length, stride)
        if not rows:
            raise KzooError("The texts hold fewer than two tokens: there is nothing to predict.")
        return foretold(self._step, rows_of_texts(rows))


class _SourceBundle:
    """A bundle that writes of sources: what it writes, on LiteRT."""

    def __init__(self, folder, threads):
        self._writer = open_writer(folder, threads)
        manifest = self._writer.manifest
        self.task, self.rule, self.labels = manifest["task"], manifest["rule"], None
        self.options = manifest["task_options"]

    def written(self, sources):
        """What is written of each source, which is cut to what the file reads."""
        ids = self._writer.prompt_ids(sources, self.options["source_length"])
        return [rows[0].text for rows in self._writer.write(ids)]


class _Model:
    """The same for a task in Keras, in batches."""

    def __init__(self, model):
        self.model, self.task, self.rule = model, model.task_name, model.rule
        self.labels = model.labels
        # A classifier of the user's own may leave its problem to its rule.
        self.options = {"problem": model.rule, **model.task_options()}
        self.answerer = Answerer(
            model.processor(sense_of(model.reads).processor),
            self.rule,
            self.labels,
            self.options,
            getattr(model, "max_length", None),
            None,
        )

    def answers(self, texts):
        given = self.model.predict(texts)
        if self.rule in PROBLEMS:
            return [described(row, self.labels, self.options) for row in given]
        if self.rule in ("entities", "embedding"):
            return [{self.rule: each} for each in given]
        return given

    def outputs(self, rows):
        return run_keras(self.model, [(None, columns) for columns in rows])

    def measure(self, texts, stride):
        return self.model.measure(texts, stride)

    def written(self, sources):
        """What is written of each source, which is cut as in `fit`."""
        read = self.model.cut_sources(sources)
        return [rows[0].text for rows in self.model.write(read, batch_size=32)]


class _BoxModel(_Model):
    """A detector in Keras: all of its boxes, and those that it would show."""

    def answers(self, pictures):
        return [{"objects": each} for each in self.model.predict(pictures, threshold=0.0)]


class _BoxBundle(_Bundle):
    """The same for a bundle."""

    def answers(self, pictures):
        predictor = self._predictor
        options = {**self.options, "threshold": 0.0}
        predictor.answerer = replace(predictor.answerer, options=options)
        return super().answers(pictures)


class _Named:
    """A classifier by what labels are called; examples are read as another classifier's."""

    rule, options = "single_label", {"problem": "single_label"}

    def __init__(self, task, labels, reads):
        self.kind = tasks.AudioClassifier if reads == "sound" else tasks.ImageClassifier
        if not labels:
            wanted = f"ZeroShot{self.kind.task_name}"
            raise KzooError(
                f"Got {an(task)}, which has no labels of its own; expected a {wanted}: "
                f"kzoo.{wanted}(model, labels) makes one."
            )
        self.task, self.labels = task, labels


class _NamedModel(_Named):
    """One in Keras."""

    def __init__(self, model):
        super().__init__(model.task_name, model.labels, model.reads)
        self._model = model

    def answers(self, pictures):
        given = self._model.predict(pictures)
        return [described(row, self.labels, self.options) for row in given]


class _NamedBundle(_Named):
    """A bundle of towers."""

    def __init__(self, folder, threads):
        self._predictor = TowersPredictor(folder, threads)
        together, (first, *_) = self._predictor.together, self._predictor.others
        reads = self._predictor.towers[first].manifest["reads"]
        super().__init__(together["task"], together["labels"], reads)

    def answers(self, pictures):
        return self._predictor.classify(pictures)


# What reads a bundle of a rule, where that isn't `_Bundle`.
BUNDLES = {"continuation": _WritingBundle, "rewriting": _SourceBundle, "boxes": _BoxBundle}
# What reads a task in Keras, where that isn't `_Model`.
MODELS = {
    "ImageTextEmbedder": _NamedModel,
    "ZeroShotImageClassifier": _NamedModel,
    "AudioTextEmbedder": _NamedModel,
    "AudioImageTextEmbedder": _NamedModel,
    "ZeroShotAudioClassifier": _NamedModel,
    "ObjectDetector": _BoxModel,
}


def _reader(source, threads):
    if isinstance(source, (str, Path)):
        if is_of_towers(source):
            return _NamedBundle(source, threads)
        if (Path(source) / MANIFEST).is_file():
            return BUNDLES.get(read_manifest(source)["rule"], _Bundle)(source, threads)
        presets.check_has_weights(source, "its answers would be random")
        source = presets.load(source)
    if getattr(source, "task_name", None) is None:
        raise KzooError(
            f"Got a {type(source).__name__}, which answers nothing; expected a task, such as a "
            "preset that kzoo train wrote."
        )
    return MODELS.get(source.task_name, _Model)(source)


# -- classifiers ----------------------------------------------------------------------------------


def _single_label(reader, examples, asked):
    """One label an example; of a single label whether an example has it."""
    labels = reader.labels
    names = labels if len(labels) > 1 else [f"not {labels[0]}", *labels]
    right = [names.index(target) if target in names else 0 for target in examples.y]
    answers = reader.answers(examples.x)
    if len(labels) > 1:
        given = [names.index(answer["label"]) for answer in answers]
    else:
        given = [int(answer["score"] >= 0.5) for answer in answers]
    sides, size = (np.array(right), np.array(given)), len(names)
    positive = names.index(asked.positive) if asked.positive is not None else None

    def counted(rows):
        """Of each class how many are right and given, given, and right."""
        one, other = (side[rows] for side in sides)
        return [np.bincount(s, minlength=size) for s in (one[one == other], other, one)]

    def score(rows):
        counts = counted(rows)
        return {name: OF_COUNTS[name](counts, positive) for name in asked.measures or OF_LABELS}

    columns = [column.tolist() for column in counted(slice(None))]
    classes, _ = _classes(dict(zip(names, zip(*columns, strict=True), strict=True)))
    confusion = None
    if size <= MOST_CONFUSED:
        cells = np.zeros((size, size), int)
        np.add.at(cells, sides, 1)
        confusion = {"labels": list(names), "counts": cells.tolist()}
    wrong = [
        (place, {"right": names[a], "given": names[b], "score": answers[place]["score"]})
        for place, (a, b) in enumerate(zip(right, given, strict=True))
        if a != b
    ]
    return score, classes, confusion, wrong


def _macro_f1(counts, _positive=None):
    """The mean F1 of the classes that are right or given somewhere."""
    correct, given, right = counts
    both = given + right
    return float((2 * correct / np.maximum(1, both))[both > 0].mean())


# Measures of how many examples of each class are right and given, given, and right; and those that
# nobody needs to ask for.
OF_COUNTS = {
    "accuracy": lambda counts, _: float(counts[0].sum() / counts[2].sum()),
    "macro_f1": _macro_f1,
    "matthews": lambda counts, _: float(matthews(*(column.tolist() for column in counts))),
    "f1": lambda counts, positive: shares(*(int(column[positive]) for column in counts))["f1"],
}
OF_LABELS = ("accuracy", "macro_f1")


def _multi_label(reader, examples, asked):
    """Any number of labels a text."""
    labels = reader.labels
    has = np.asarray(examples.y) >= 0.5
    answers = reader.answers(examples.x)
    says = np.array([[name in answer["labels"] for name in labels] for answer in answers])

    def counted(rows):
        return {
            name: (int((a & b).sum()), int(b.sum()), int(a.sum()))
            for name, a, b in zip(labels, has[rows].T, says[rows].T, strict=True)
        }

    def score(rows):
        counts = counted(rows)
        return {
            "micro_f1": shares(*map(sum, zip(*counts.values(), strict=True)))["f1"],
            "macro_f1": _classes(counts)[1],
            "exact_match": float((has[rows] == says[rows]).all(1).mean()),
        }

    wrong = [
        (
            int(place),
            {
                "right": [name for name, its in zip(labels, has[place], strict=True) if its],
                "given": answers[place]["labels"],
            },
        )
        for place in np.flatnonzero((has != says).any(1))
    ]
    return score, _classes(counted(slice(None)))[0], None, wrong


def _regression(reader, examples, asked):
    """Values of texts."""
    labels = reader.labels
    right = np.reshape(np.asarray(examples.y, "float64"), (-1, len(labels)))
    answers = [answer["values"] for answer in reader.answers(examples.x)]
    given = np.array([[values[name] for name in labels] for values in answers])
    far = np.abs(right - given).max(axis=1)
    plain = len(labels) == 1
    wrong = [
        (
            int(place),
            {
                name: float(rows[place][0])
                if plain
                else dict(zip(labels, map(float, rows[place]), strict=True))
                for name, rows in (("right", right), ("given", given))
            },
        )
        for place in np.argsort(-far, kind="stable")
    ]

    def score(rows):
        scores = {"mean_absolute_error": float(np.abs(right[rows] - given[rows]).mean())}
        return _asked(scores | _correlations(right[rows], given[rows]), asked)

    return score, {}, None, wrong


def _asked(scores, asked):
    """The scores that are asked for, in that order."""
    return {name: scores[name] for name in asked.measures or scores}


def _classes(counts):
    """The shares of each class, and their mean F1 over those that are right or given somewhere.

    counts: {class: (given and right, given, right)}.
    """
    classes = {name: shares(*row) for name, row in counts.items()}
    seen = [classes[name]["f1"] for name, (_, given, right) in counts.items() if given or right]
    return classes, sum(seen) / max(1, len(seen))


def _correlations(right, given):
    """Pearson's and Spearman's, the mean over the columns of two tables (examples, values)."""
    scores = {}
    for name, of in (("pearson", lambda values: values), ("spearman", _ranks)):
        columns = [(of(a), of(b)) for a, b in zip(right.T, given.T, strict=True)]
        scores[name] = float(np.mean([_correlation(a, b) for a, b in columns]))
    return scores


def _correlation(one, other):
    spread = np.std(one) * np.std(other)
    return 0.0 if spread == 0 else np.mean((one - one.mean()) * (other - other.mean())) / spread


def _ranks(values):
    """The place of each value in their order; equals share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


# -- boxes ----------------------------------------------------------------------------------------


def _boxes(reader, examples, asked):
    """Average precision, as COCO's evaluation has it; wrong is what is missed or too much.

    Of boxes that the task would show, at an overlap of one half.
    """
    right = [[{"label": each["label"], "box": _sides(each)} for each in row] for row in examples.y]
    given = [
        [{**each, "box": _sides(each)} for each in answer["objects"]]
        for answer in reader.answers(examples.x)
    ]
    scores = box_scores(right, given, reader.labels)
    classes = scores.pop("labels")
    del scores["support"]
    least, wrong = reader.options.get("threshold", 0.5), []
    for place, (expected, shown) in enumerate(zip(right, given, strict=True)):
        shown = [each for each in shown if each["score"] > least]
        missed, other = _unpaired(expected, shown)
        if missed or other:
            named = [list(map(_named_box, boxes)) for boxes in (missed, other)]
            wrong.append((place, dict(zip(("right", "given"), named, strict=True))))
    return lambda _rows: scores, classes, None, wrong


def _sides(thing):
    """A box as [left, top, right, bottom]."""
    box = thing["box"]
    return list(box.values()) if isinstance(box, dict) else list(box)


def _unpaired(expected, shown):
    """The right boxes that none of those shown, the likeliest first, finds; and those in vain."""
    missed, other = list(expected), []
    for each in shown:
        own = [place for place, one in enumerate(missed) if one["label"] == each["label"]]
        shares = overlaps([each["box"]], [missed[place]["box"] for place in own])[0]
        if len(own) and shares.max() >= 0.5:
            del missed[own[int(shares.argmax())]]
        else:
            other.append(each)
    return missed, other


def _named_box(thing):
    sides = " ".join(f"{side:.0f}" for side in thing["box"])
    return f"{thing['label']} {sides}"


# -- vectors --------------------------------------------------------------------------------------


def _likeness(reader, examples, asked):
    """How alike the texts of a pair are: cosines against what judges said, on a scale of theirs."""
    firsts, seconds = split_pairs(examples.x)
    if seconds is None:
        raise KzooError(
            f"Got single examples for {an(reader.task)}; expected pairs of texts for a "
            "TextEmbedder, and how alike they are: name the two columns of the texts."
        )
    for place, value in enumerate(examples.y):
        try:
            fits = math.isfinite(float(value))
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise KzooError(
                f"{examples.where(place)}: got {value!r:.40} as how alike a pair is; expected one "
                "number: name its column."
            )
    right = np.asarray(examples.y, "float64")
    sides = [[answer["embedding"] for answer in reader.answers(s)] for s in (firsts, seconds)]
    one, other = (np.asarray(side, "float64") for side in sides)
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    given = (one * other).sum(-1) / np.maximum(lengths, 1e-12)
    apart = np.abs(_ranks(right) - _ranks(given))
    wrong = [
        (int(place), {"right": float(right[place]), "given": float(given[place])})
        for place in np.argsort(-apart, kind="stable")
    ]

    def score(rows):
        return _asked(_correlations(right[rows, None], given[rows, None]), asked)

    return score, {}, None, wrong


# -- entities, and answers to questions -----------------------------------------------------------


def _entities(reader, examples, asked):
    texts, targets = labelled_spans(reader.labels, examples)
    right = [spans for _, spans in targets]
    if any(words is None for words, _ in targets):
        given = [
            {(e["start"], e["end"], e["label"]) for e in answer["entities"]}
            for answer in reader.answers(texts)
        ]
    else:
        rows = [columns_of_words(reader.answerer, words) for words, _ in targets]
        outputs = reader.outputs(rows)
        given = [
            set(spans_of_words(out["logits"][0], columns, reader.labels, len(words)))
            for out, columns, (words, _) in zip(outputs, rows, targets, strict=True)
        ]
    kinds = entity_scores(right, given)["kinds"]
    wrong = []
    for place, (a, b) in enumerate(zip(right, given, strict=True)):
        if a != b:
            words = targets[place][0]
            shown = [
                [_named(span, texts[place], words) for span in sorted(spans)] for spans in (a, b)
            ]
            wrong.append((place, dict(zip(("right", "given"), shown, strict=True))))
    names = [*kinds, NONE]
    counts = np.zeros((len(names),) * 2, int)
    for a, b in zip(right, given, strict=True):
        kinds_at = [{span[:2]: span[2] for span in spans} for spans in (a, b)]
        for at in kinds_at[0].keys() | kinds_at[1].keys():
            counts[tuple(names.index(kinds.get(at, NONE)) for kinds in kinds_at)] += 1
    # For each text how many spans are right and given, given, and right.
    found = np.array([(len(a & b), len(b), len(a)) for a, b in zip(right, given, strict=True)])

    def score(rows):
        scores = shares(*found[rows].sum(0).tolist())
        del scores["support"]
        return _asked(scores, asked)

    return score, kinds, {"labels": names, "counts": counts.tolist()}, wrong


def _named(span, text, words):
    start, end, kind = span
    return f"{' '.join(words[start:end]) if words else text[start:end]} {kind}"


def _answers(reader, examples, asked):
    pairs, golds = gold_answers(examples)
    answers = reader.answers(pairs)
    given = [answer["answer"] for answer in answers]
    alone = [answer_scores([gold], [text]) for gold, text in zip(golds, given, strict=True)]
    wrong = [
        (place, {"right": gold, "given": text, "score": answers[place]["score"]})
        for place, (gold, text) in enumerate(zip(golds, given, strict=True))
        if not alone[place]["exact_match"]
    ]
    columns = {name: np.array([row[name] for row in alone]) for name in alone[0]}

    def score(rows):
        return _asked({name: float(column[rows].mean()) for name, column in columns.items()}, asked)

    return score, {}, None, wrong


# -- texts that are foretold ----------------------------------------------------------------------


def _continuation(reader, examples, asked):
    scores = reader.measure(examples.x, asked.stride)
    return lambda _rows: scores, {}, None, []


# -- texts that are written of others -------------------------------------------------------------


def _rewriting(reader, examples, asked):
    apart = examples.y is not None  # Texts stand beside pictures, and within pairs of texts.
    sources, targets = (examples.x, examples.y) if apart else split_pairs(examples.x)
    if targets is None:
        raise KzooError(
            f"{examples.path} gives sources alone; expected a target of each: name its column as "
            'label, such as label="summary".'
        )
    given = reader.written(sources)
    wrong = [
        (place, {**({} if apart else {"text": sources[place]}), "right": right, "given": text})
        for place, (right, text) in enumerate(zip(targets, given, strict=True))
        if not exact([text], [right])["exact"]
    ]
    scores = text_scores(given, targets, SCORES)
    return lambda _rows: scores, {}, None, wrong


# By rule, a function of the reader, the examples and `Asked`, which gives a function from places of
# examples to their scores, classes, confusion, and the place and the answers of each that is wrong.
MEASURED = {
    "single_label": _single_label,
    "multi_label": _multi_label,
    "regression": _regression,
    "boxes": _boxes,
    "entities": _entities,
    "span": _answers,
    "embedding": _likeness,
    "continuation": _continuation,
    "rewriting": _rewriting,
}
