"""A bundle's files on labelled texts: how often they are right, and how near to Keras."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..answers import detections, label_parts, probabilities
from ..detections import box_scores
from ..errors import KzooError
from ..metrics import answer_scores, entity_scores, spans_of
from ..values import an
from .continuation import MOST, begins, perplexities, rows_of, rows_of_pairs, size_of
from .kinds import kind_of
from .limits import LABELLED
from .parity import label_of, measure, run_keras, run_sides
from .senses import sense_of

MOST_CONFUSED = 1000  # labels; a table of all pairs of more is neither drawn nor read


@dataclass(frozen=True)
class Labelled:
    """Texts with what is right for them.

    Args:
        texts: strings or pairs.
        targets: what is right for each: the index of a class; (words or None, spans), the spans
            as (start, end, kind) of words, or of characters without words; a list of answers.
        rule: by which the texts are answered, a key of `MEASURED`.
    """

    texts: list
    targets: list
    rule: str


def labelled_texts(model, evaluation, asked, text=None, label=None):
    """What an evaluation file holds, as `Labelled`; None without one.

    Args:
        model: the task that is to be measured, which knows how its files are read.
        evaluation: the path, or None.
        asked: {limit: bound}; KzooError where one needs a file and there is none.
        text, label: the columns of the file, by default those that the task finds.
    """
    if evaluation is None:
        wanted = [name for name in asked if name in LABELLED]
        if wanted:
            raise KzooError(f"The limit {wanted[0]} needs labelled texts: name an evaluation file.")
        if (text, label) != (None, None):
            raise KzooError("text and label name columns of an evaluation file: name one.")
        return None
    rule = getattr(model, "rule", None)
    if rule not in MEASURED:
        raise KzooError(
            f"Got an evaluation file for {an(type(model).__name__)} that answers by {rule}; "
            f"expected one for a task that is measured on texts, by "
            f"{', '.join(MEASURED)}: one label a text."
        )
    targets = "none" if model.targets == "optional" else "required"
    examples = model.read_file(evaluation, text, label, targets)
    if examples.y is not None:
        problem = getattr(model, "problem", None)
        _, examples = model.understand(examples, problem, model.labels, False)
    return Labelled(*MEASURED[rule].targets(model, examples), rule)


def evaluate(examples, answerer, model, files):
    """How often Keras and the files are right, and how near `file` is to Keras.

    Args:
        examples: `Labelled`.
        answerer: how the task reads and answers, see `predict.Answerer`.
        model: the task in Keras.
        files: {name: path}, "file" among them.

    Returns:
        `examples` (how many), and what the task's measure gives.
    """
    measure, kind = MEASURED[examples.rule], kind_of(examples.rule)
    opened = {name: kind.Opened(path) for name, path in files.items()}
    return {
        "examples": len(examples.texts),
        **measure.measured(examples, answerer, model, opened),
    }


# -- classifiers ---------------------------------------------------------------------------------


def _classes(model, examples):
    sense_of(model.reads).check(model, examples.x)
    return examples.x, model.class_indices(examples.y)


def _classified(examples, answerer, model, files):
    """Accuracies; the distance of the file to Keras; and what is taken for what.

    `confusion` has a row a label and a column a label: how many texts of the one got the other;
    there is none of more than `MOST_CONFUSED` labels.
    """
    rows = sense_of(model.reads).samples(model, answerer.length, examples.texts)
    outputs = {"keras": run_keras(model, rows)}
    for name, interpreter in files.items():
        outputs[name] = [interpreter.run(columns) for _, columns in rows]
    answers = {
        name: [label_of(probabilities(entry["logits"])[0]) for entry in given]
        for name, given in outputs.items()
    }
    right = {
        name: float(np.mean(np.array(given) == examples.targets)) for name, given in answers.items()
    }
    both = zip(rows, outputs["keras"], outputs["file"], strict=True)
    distance = measure([(columns, *pair) for (_, columns), *pair in both], "single_label")
    counted, size = {}, max(2, len(answerer.labels))
    if size <= MOST_CONFUSED:
        confusion = np.zeros((size, size), int)
        np.add.at(confusion, (examples.targets, answers["file"]), 1)
        counted = {"confusion": confusion.tolist()}
    kept = ("label_agreement", "probability_difference", "probability_difference_max")
    return {
        **_by_name(right, "accuracy"),
        **{name: distance[name] for name in (*kept, "probabilities")},
        **counted,
    }


# -- entities ------------------------------------------------------------------------------------


def labelled_spans(labels, examples):
    """The texts of examples with entities, and for each (words or None, its spans)."""
    texts, targets = [], []
    for x, y in zip(examples.x, examples.y, strict=True):
        if isinstance(x, str):
            texts.append(x)
            targets.append((None, {tuple(span) for span in y}))
        else:
            texts.append(" ".join(x))
            tags = [labels.index(tag) if tag in labels else -1 for tag in y]
            targets.append((x, set(spans_of(tags, _parts(labels)))))
    return texts, targets


def _parts(labels):
    """`label_parts`, and last that of a word without a label, which is no entity."""
    return [*label_parts(labels), (False, "O")]


def _entities(examples, answerer, model, files):
    """F1, precision and recall of entities; of the file also by kind."""
    read = [
        [(columns_of_words(answerer, words), None)] if words is not None else answerer.read(text)[0]
        for text, (words, _) in zip(examples.texts, examples.targets, strict=True)
    ]
    sides = run_sides(model, files, [[row for row, _ in rows] for rows in read])
    predicted = {name: [] for name in sides}
    for name, given in sides.items():
        for text, (words, _), rows, outputs in zip(
            examples.texts, examples.targets, read, given, strict=True
        ):
            if words is not None:
                logits, columns = outputs[0]["logits"][0], rows[0][0]
                spans = spans_of_words(logits, columns, answerer.labels, len(words))
            else:
                entities = answerer.answer(text, rows, outputs)["entities"]
                spans = {(span["start"], span["end"], span["label"]) for span in entities}
            predicted[name].append(spans)
    expected = [spans for _, spans in examples.targets]
    scores = {name: entity_scores(expected, spans) for name, spans in predicted.items()}
    file = scores["file"]
    return {
        **_by_name({name: row["f1"] for name, row in scores.items()}, "f1"),
        "precision": file["precision"],
        "recall": file["recall"],
        "kinds": file["kinds"],
    }


def columns_of_words(answerer, words):
    """One row of a list of words, as a model takes it."""
    return answerer.processor.encode_words(
        [list(words)], answerer.limit, answerer.length or "longest"
    )


def spans_of_words(logits, columns, labels, count):
    """The spans that logits of tokens give to `count` words, whose first tokens speak for them."""
    tags = [-1] * count  # A word without tokens, or behind the last that is read, has no label.
    for place, word in reversed(list(enumerate(columns["word_ids"][0]))):
        if word >= 0:
            tags[word] = int(logits[place].argmax())
    return spans_of(tags, _parts(labels))


# -- answers to questions ------------------------------------------------------------------------


def gold_answers(examples):
    """The (question, context) pairs of examples, and for each the texts that are right."""
    golds = []
    for (_, context), target in zip(examples.x, examples.y, strict=True):
        several = isinstance(target, list) and target and isinstance(target[0], (list, tuple))
        spans = [span for span in (target if several else [target]) if span is not None]
        golds.append([context[slice(*span)] for span in spans])
    return examples.x, golds


def _answers(examples, answerer, model, files):
    """Exact matches and F1 of words, as SQuAD's script counts them."""
    read = [answerer.read(text)[0] for text in examples.texts]
    sides = run_sides(model, files, [[row for row, _ in rows] for rows in read])
    scores = {}
    for name, given in sides.items():
        answers = [
            answerer.answer(text, rows, outputs)["answer"]
            for text, rows, outputs in zip(examples.texts, read, given, strict=True)
        ]
        scores[name] = answer_scores(examples.targets, answers)
    return {
        key: value
        for measure in ("f1", "exact_match")
        for key, value in _by_name({n: row[measure] for n, row in scores.items()}, measure).items()
    }


def _by_name(shares, measure):
    """{measure: the file's, measure_drop: what it lost, measure_keras and so on: the others'}."""
    return {
        **{f"{measure}_{name}": share for name, share in shares.items() if name != "file"},
        measure: shares["file"],
        f"{measure}_drop": shares["keras"] - shares["file"],
    }


# -- boxes ----------------------------------------------------------------------------------------


def _things(model, examples):
    """Pictures, and for each its boxes with labels."""
    return examples.x, examples.y


def _found(examples, answerer, model, files):
    """Average precision of boxes, as COCO's evaluation has it."""
    read = [answerer.read(picture)[0][0] for picture in examples.texts]
    rows = [(None, columns) for columns, _ in read]
    outputs = {"keras": run_keras(model, rows)}
    for name, interpreter in files.items():
        outputs[name] = [interpreter.run(columns) for columns, _ in read]
    scores = {}
    for name, given in outputs.items():
        shown = [
            detections(out["logits"][0], out["boxes"][0], answerer.labels, beside["size"], 0.0)
            for out, (_, beside) in zip(given, read, strict=True)
        ]
        shown = [[{**each, "box": list(each["box"].values())} for each in row] for row in shown]
        scores[name] = box_scores(examples.targets, shown, answerer.labels)
    return {
        key: value
        for measure in ("ap50", "ap")
        for key, value in _by_name({n: row[measure] for n, row in scores.items()}, measure).items()
    }


# -- what is written -----------------------------------------------------------------------------


def _plain(model, examples):
    """Texts, of which each token is what is right behind those before it."""
    if examples.y is not None or not all(isinstance(text, str) for text in examples.x):
        raise KzooError(
            f"Got pairs in {examples.path}; expected texts, for perplexity is measured on all of "
            "a text: name its column."
        )
    return examples.x, [None] * len(examples.x)


def _perplexity(examples, answerer, model, files):
    """Perplexity of the file, of the float32 file and of Keras, on the first tokens of the texts.

    The steps of files of one's own length take as long as an app's, so that `MOST` are enough.
    """
    rows = rows_of(model, examples.texts, answerer.max_length, MOST)
    return perplexities(model, files, rows)


def _targets(model, examples):
    """Sources and their targets."""
    pairs = examples.x if examples.y is None else zip(examples.x, examples.y, strict=True)
    pairs = [pair for pair in pairs if isinstance(pair, tuple | list)]
    if len(pairs) < len(examples.x) or not all(isinstance(target, str) for _, target in pairs):
        raise KzooError(
            f"Got no target of each source in {examples.path}; expected pairs of texts: name both "
            "columns."
        )
    return tuple(map(list, zip(*pairs, strict=True)))


def _foretold(examples, answerer, model, files):
    """Perplexity of the targets of sources; sources that the file doesn't take are left out."""
    room, most = answerer.options["source_length"], answerer.max_length
    sources, targets = model.prompt_ids(examples.texts), model.target_ids(examples.targets)
    pairs = [
        (source, target[:most])
        for source, target in zip(sources, targets, strict=True)
        if size_of(source) <= room
    ]
    if not pairs:
        raise KzooError(
            f"Got sources of more than {room} tokens; expected some that the file takes."
        )
    rows, count = [], 0
    for row in rows_of_pairs(*zip(*pairs, strict=True), begins(answerer.options)):
        rows.append(row)
        count += len(row[1])
        if count > MOST:
            break
    return perplexities(model, files, rows)


class Measure(NamedTuple):
    """How a rule's answers are measured on examples.

    Args:
        targets: (model, examples) -> (texts, targets), as `Labelled` has them.
        measured: (`Labelled`, answerer, model, {name: opened file}) -> what the report says.
    """

    targets: Callable
    measured: Callable


MEASURED = {
    "single_label": Measure(_classes, _classified),
    "entities": Measure(lambda model, examples: labelled_spans(model.labels, examples), _entities),
    "span": Measure(lambda model, examples: gold_answers(examples), _answers),
    "boxes": Measure(_things, _found),
    "continuation": Measure(_plain, _perplexity),
    "rewriting": Measure(_targets, _foretold),
}
