"""What labels from a file are: names of classes in their order, or numbers."""

from dataclasses import replace

import numpy as np

from ..errors import KzooError
from .examples import listed

MANY = 20  # Different labels; more of them must be fewer than half as many as the examples.


def class_names(examples, problem=None, labels=None, learning=True):
    """The names of the classes in their order, and examples whose labels are such names.

    Args:
        examples: what `read_examples` gives.
        problem: "single_label", "multi_label" or "regression"; None for what the labels show.
        labels: the names, where they are known.
        learning: whether a model is to learn from them: one label alone teaches nothing.

    Returns:
        The problem, the names and the examples. Whole numbers are in the order of numbers, so
        that 2 stands before 10. For "multi_label" targets are rows of 0 and 1, and for
        "regression" rows of numbers, or numbers where there is one for each text.

    Raises:
        KzooError: where labels are in doubt, as a question with the answers to type.
    """
    several = isinstance(examples.y[0], (list, tuple))
    if problem is None:
        problem = _problem(examples, several, labels)
    if problem == "regression":
        return problem, *_regression(examples, several, labels)
    if problem == "multi_label":
        return problem, *_multi_label(examples, labels)
    if several:
        raise KzooError(
            f"{examples.where(0)}: got the labels {examples.y[0]!r:.60}; expected one: say "
            "problem='multi_label', or name one column."
        )
    examples = replace(examples, y=[_name(examples, i, v) for i, v in enumerate(examples.y)])
    if labels is None:
        labels = _checked_names(examples)
    elif learning and len(set(examples.y)) == 1:
        raise _one_label(examples)
    return problem, list(labels), examples


def ordered(names):
    """Names of classes in order: whole numbers as numbers, else by the alphabet."""
    names = set(names)
    if all(_is_whole(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _problem(examples, several, labels):
    if several:
        columns = isinstance(examples.label, (list, tuple))
        numbers = not columns and _decimals([v for row in examples.y for v in row])
        if numbers and not _whole_rows(examples.y):
            raise KzooError(
                f"{examples.where(0)}: the label is {examples.y[0]!r:.60}, decimal numbers: say "
                "problem='regression' to learn them."
            )
        if columns and not _zeros_and_ones(examples):
            raise KzooError(
                f"{examples.path} has several labels a text that aren't all 0 or 1: say "
                "problem='regression' to learn the numbers."
            )
        return "multi_label"
    if labels is None and _decimals(examples.y) and not all(map(_is_integral, examples.y)):
        shown = next(value for value in examples.y if not _is_integral(value))
        row = examples.y.index(shown)
        raise KzooError(
            f"{examples.where(row)}: the label is {shown}, a decimal number: say "
            "problem='regression' to learn the numbers, or problem='single_label' to take each as "
            "a class."
        )
    comma = next((value for value in examples.y if "," in str(value)), None)
    if labels is None and comma is not None and _decimals(_with_points(examples.y)):
        raise KzooError(
            f"{examples.where(examples.y.index(comma))}: the label is {comma!r:.40}, digits and "
            "a comma: write decimal numbers with a point, several labels as a list in .jsonl, or "
            "say problem='single_label' to take each as a class."
        )
    _check_not_joined(examples, labels)
    return "single_label"


def _check_not_joined(examples, labels):
    """Several labels in one cell, `film|good`: their parts come back in other company."""
    values = set(map(str, examples.y))
    for mark in ";|,":
        joined = next((value for value in examples.y if mark in str(value)), None)
        parts = {part.strip() for value in values for part in value.split(mark)}
        if labels is None and joined is not None and len(parts) < len(values):
            raise KzooError(
                f"{examples.where(examples.y.index(joined))}: the label is {joined!r:.40}: write "
                "several labels as a list in .jsonl, or say problem='single_label' to take each "
                "such text as a class."
            )


def _whole_rows(rows):
    return all(_is_integral(value) for row in rows for value in row)


def _rows_of_bits(rows):
    """Whether lists are no names of labels but a 0 or 1 for each of several labels."""
    return (
        all(isinstance(row, (list, tuple)) for row in rows)
        and len({len(row) for row in rows}) == 1
        and len(rows[0]) > 1
        and {type(value) for row in rows for value in row} <= {int, float, bool}
        and {value for row in rows for value in row} <= {0, 1}
    )


def _zeros_and_ones(examples):
    values = {str(value) for row in examples.y for value in row}
    return values <= {"0", "1", "0.0", "1.0", "False", "True"}


def _decimals(values):
    return all(_number(value) is not None for value in values)


def _with_points(values):
    return [str(value).replace(",", ".") for value in values]


def _name(examples, row, value):
    """A label as text; a whole number that was written as a decimal one is itself."""
    if isinstance(value, (dict, list)):
        raise KzooError(
            f"{examples.where(row)}: the label is {value!r:.40}; expected text or a whole number."
        )
    if isinstance(value, float) or (isinstance(value, str) and value.endswith(".0")):
        number = _number(value)
        if number is not None and number == int(number):
            return str(int(number))
    return str(value)


def _checked_names(examples):
    names = ordered(examples.y)
    if len(names) == 1:
        raise _one_label(examples)
    as_list = next((name for name in names if name[:1] + name[-1:] in ("[]", "{}")), None)
    if as_list is not None:
        raise KzooError(
            f"{examples.where(examples.y.index(as_list))}: the label {as_list!r:.40} is a list "
            "written as text: write the examples as .jsonl, where a label may be a list."
        )
    if len(names) > MANY and 2 * len(names) >= len(examples):
        raise KzooError(
            f"{examples.path} has {len(names):,} different labels in {len(examples):,} examples of "
            f"the column {examples.label}: say label= another column, or labels=[...] if they are."
        )
    return names


def _one_label(examples):
    return KzooError(
        f"{examples.path} has the one label {examples.y[0]!r:.40} in all of its {len(examples):,} "
        "examples, from which nothing can be learnt; add examples of another."
    )


def _multi_label(examples, labels):
    if isinstance(examples.label, (list, tuple)):  # A column each, of 0 and 1.
        names = list(labels or examples.label)
        rows = [[_number(value) for value in row] for row in examples.y]
        for i, row in enumerate(rows):
            if not set(row) <= {0.0, 1.0}:
                raise KzooError(
                    f"{examples.where(i)}: got the labels {listed(examples.y[i])}; expected 0 or 1 "
                    "in each column."
                )
        return names, replace(examples, y=rows)
    if _rows_of_bits(examples.y):
        width = len(examples.y[0])
        if labels is None or len(labels) != width:
            raise KzooError(
                f"{examples.where(0)}: the label is {examples.y[0]!r:.60}, a row of 0 and 1 as "
                f"in every line: say labels=[...], the names of its {width} places, or write each "
                "text's labels by name."
            )
        return list(labels), replace(examples, y=[list(map(float, row)) for row in examples.y])
    held = []
    for i, values in enumerate(examples.y):
        if not isinstance(values, (list, tuple)):
            raise KzooError(
                f"{examples.where(i)}: the label is {values!r:.40}; expected a list of labels, or "
                "label= a list of columns of 0 and 1."
            )
        held.append([_name(examples, i, value) for value in values])
    names = list(labels) if labels else ordered(name for row in held for name in row)
    for i, row in enumerate(held):
        unknown = next((name for name in row if name not in names), None)
        if unknown is not None:
            raise unknown_label(examples.where(i), unknown, names)
    rows = [[float(name in row) for name in names] for row in held]
    return names, replace(examples, y=rows)


def _regression(examples, several, labels):
    columns = examples.label if isinstance(examples.label, (list, tuple)) else [examples.label]
    if several and len(columns) == 1:  # A list in one column of a .jsonl.
        columns = [f"{columns[0]}_{place}" for place, _ in enumerate(examples.y[0], 1)]
    # The place of a column says nothing of what stands there.
    names = list(labels or ("score" if str(name).isdigit() else str(name) for name in columns))
    if len(set(names)) < len(names):
        names = [f"score_{place}" for place in range(1, len(names) + 1)]
    rows = []
    for i, value in enumerate(examples.y):
        numbers = [_number(part) for part in (value if isinstance(value, list) else [value])]
        if None in numbers or len(numbers) != len(names):
            raise KzooError(
                f"{examples.where(i)}: got {value!r:.40}; expected "
                f"{'a number' if len(names) == 1 else f'{len(names)} numbers'} to learn."
            )
        rows.append(numbers if several else numbers[0])
    return names, replace(examples, y=rows)


def unknown_label(where, label, names):
    """The error for a label that is none of `names`."""
    return KzooError(f"{where}: the label is {label!r:.40}; expected one of {listed(names)}.")


def held_out(targets, count, share, seed):
    """The places of a random share of `count` examples, and those of the rest.

    Where targets are names of classes each gives its share, and none its last example; rows or
    numbers, or None, are drawn from as a whole. The order follows from the seed.
    """
    draw = np.random.default_rng(seed)
    classes = targets is not None and all(isinstance(target, str) for target in targets)
    groups = {}
    for place in draw.permutation(count).tolist():
        groups.setdefault(targets[place] if classes else None, []).append(place)
    # Each class's share rounded down, and one more of those that lost most by it.
    sizes = {name: int(share * len(places)) for name, places in groups.items()}
    lost = sorted(groups, key=lambda name: sizes[name] - share * len(groups[name]))
    for name in lost[: round(share * count) - sum(sizes.values())]:
        sizes[name] += sizes[name] < len(groups[name]) - 1
    held = {place for name, places in groups.items() for place in places[: sizes[name]]}
    order = draw.permutation(count).tolist()
    return [place for place in order if place in held], [p for p in order if p not in held]


def _number(value):
    if isinstance(value, bool):
        return float(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number - number == 0 else None  # neither infinite nor NaN


def _is_integral(value):
    """Whether a number is whole and written as one, or as pandas does beside empty cells."""
    return isinstance(value, (bool, int)) or _is_whole(str(value).removesuffix(".0"))


def _is_whole(text):
    return text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()
