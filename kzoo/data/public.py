"""Public tasks by their names: how their files are laid out, and what is measured on them.

GLUE's are those of arXiv:1804.07461, table 1, with the columns of its .tsv files; the names of
classes and their order are those that its labels have in transformers' and datasets' copies.
"""

import re
from dataclasses import dataclass, replace

from ..errors import KzooError
from .examples import listed
from .tables import read_table


@dataclass(frozen=True)
class Layout:
    """The columns of a kind of file: names, or places of one without a header that has `width`."""

    text: str | int | tuple
    label: str | int
    width: int | None = None

    def __str__(self):
        names = [*(self.text if isinstance(self.text, tuple) else (self.text,)), self.label]
        if self.width is None:
            return " + ".join(names)
        return f"{self.width} without a header (places {', '.join(map(str, names))})"

    def found(self, names):
        """The text and the label among the cells of a first line, or None."""
        if self.width is not None:
            fits = len(names) == self.width
            text = list(self.text) if isinstance(self.text, tuple) else self.text
            return (text, self.label) if fits else None
        lowered = {name.lower(): name for name in reversed(names)}
        asked = [*(self.text if isinstance(self.text, tuple) else (self.text,)), self.label]
        if not set(asked) <= set(lowered):
            return None
        *texts, label = (lowered[name] for name in asked)
        return texts if len(texts) > 1 else texts[0], label


@dataclass(frozen=True)
class PublicTask:
    """What a public task is.

    Args:
        rules: the rules, see `kzoo.answers`, that may answer it.
        measures: what is reported, the official first.
        layouts: of its files; without any what the file itself shows.
        labels: the names of its classes, in the order of the numbers that stand for them.
        positive: the class whose F1 is measured.
    """

    rules: tuple
    measures: tuple
    layouts: tuple = ()
    labels: tuple = ()
    positive: str | None = None


def _pairs(first, second, labels, measures=("accuracy",), label="label", positive=None):
    layout = Layout((first, second), label)
    return PublicTask(("single_label",), measures, (layout,), labels, positive)


def _likeness(*layouts):
    return PublicTask(("regression", "embedding"), ("spearman", "pearson"), layouts)


TWO = ("entailment", "not_entailment")
THREE = ("entailment", "neutral", "contradiction")
F1 = ("f1", "accuracy")
PUBLIC = {
    "cola": PublicTask(
        ("single_label",),
        ("matthews",),
        (Layout(3, 1, width=4), Layout("sentence", "label")),
        ("unacceptable", "acceptable"),
    ),
    "sst2": PublicTask(
        ("single_label",),
        ("accuracy",),
        (Layout("sentence", "label"),),
        ("negative", "positive"),
    ),
    "mrpc": _pairs(
        "#1 string",
        "#2 string",
        ("not_equivalent", "equivalent"),
        F1,
        "quality",
        positive="equivalent",
    ),
    "qqp": _pairs(
        "question1",
        "question2",
        ("not_duplicate", "duplicate"),
        F1,
        "is_duplicate",
        positive="duplicate",
    ),
    "stsb": _likeness(Layout(("sentence1", "sentence2"), "score"), Layout((0, 1), 2, width=3)),
    "mnli": _pairs("sentence1", "sentence2", THREE, label="gold_label"),
    "qnli": _pairs("question", "sentence", TWO),
    "rte": _pairs("sentence1", "sentence2", TWO),
    "wnli": _pairs("sentence1", "sentence2", ("not_entailment", "entailment")),
    "sts": _likeness(),
    "ner": PublicTask(("entities",), ("f1", "precision", "recall")),
    "squad": PublicTask(("span",), ("f1", "exact_match")),
    "squad_v2": PublicTask(("span",), ("f1", "exact_match")),
}


def public_task(name):
    """The `PublicTask` of a name such as "mrpc", "MRPC" or "STS-B"."""
    known = {key.replace("_", ""): key for key in PUBLIC}
    key = known.get(re.sub(r"[^a-z0-9]", "", str(name).lower()))
    if key is None:
        raise KzooError(
            f"Got the task {name!r:.40}; expected one of {', '.join(PUBLIC)}: or leave it out, and "
            "what the model answers is measured."
        )
    return PUBLIC[key]


def columns_of(task, name, path):
    """The text and label columns of a public task in a file, (None, None) where it has no layout.

    Raises:
        KzooError: where the file has none of the task's layouts.
    """
    if not task.layouts:
        return None, None
    table = read_table(path, headed=False)
    first = [str(column[0]).strip() for column in table.columns.values()]
    names = list(table.columns) if table.kind == "JSON lines" else first
    for layout in task.layouts:
        found = layout.found(names)
        if found is not None:
            return found
    raise KzooError(
        f"{path} has the columns {listed(names)}; expected for {name} "
        f"{', or '.join(map(str, task.layouts))}: name those that it has as text and label."
    )


def with_labels_of(model_labels, task, name, examples):
    """Examples whose classes, which a file of the task names or numbers, are called as the model's.

    Args:
        model_labels: the model's, in its own order: the task's names, their numbers, or LABEL_0
            and so on, as transformers calls classes that nobody named.
        task: the `PublicTask`.
        name: what it is called, for errors.
        examples: as they were read.

    Returns:
        `Examples`; and the model's label for the task's `positive`, or None.
    """
    if not task.labels:
        return examples, None
    spelt = [_spelt(label) for label in model_labels]
    ways = [
        list(task.labels),
        [str(place) for place in range(len(task.labels))],
        [f"label_{place}" for place in range(len(task.labels))],
    ]
    way = next((way for way in ways if sorted(way) == sorted(spelt)), None)
    if way is None:
        raise KzooError(
            f"Got a model with the labels {listed(model_labels)} for {name}; expected "
            f"{', '.join(task.labels)}, or as many called 0, 1 or LABEL_0, LABEL_1: leave the task "
            "out, or take a model of its classes."
        )
    called = [model_labels[spelt.index(each)] for each in way]
    given = []
    for place, value in enumerate(examples.y):
        number = _number(value, task.labels)
        if number is None:
            raise KzooError(
                f"{examples.where(place)}: the label is {value!r:.40}; expected for {name} one of "
                f"{', '.join(task.labels)}, or their numbers from 0 on."
            )
        given.append(called[number])
    notes = list(examples.notes)
    if way is ways[2]:
        notes.append(f"LABEL_0 and on were taken for {', '.join(task.labels)}")
    positive = None if task.positive is None else called[task.labels.index(task.positive)]
    return replace(examples, y=given, notes=notes), positive


def _number(value, labels):
    """Which of a task's classes a file means, or None."""
    text = _spelt(str(value).removesuffix(".0"))
    if text in labels:
        return labels.index(text)
    return int(text) if text.isascii() and text.isdigit() and int(text) < len(labels) else None


def _spelt(label):
    return re.sub(r"[\s-]+", "_", str(label).strip().lower())
