"""How far a .tflite file's answers lie from those of the Keras model that it was made of."""

import numpy as np

from ..answers import RULES, class_scores
from ..errors import KzooError
from ..litert.convert import model_inputs
from .limits import USUAL
from .senses import CHOICES

NARROW = 8  # Outputs of fewer numbers a place are compared over the whole text.


def compare(model, interpreter, rows, expected=None):
    """How far the file lies from Keras on the same columns; see `measure` for what comes back.

    expected: what `run_keras` gives for the rows, where it has run.
    """
    expected = run_keras(model, rows) if expected is None else expected
    pairs = [
        (columns, outputs, interpreter.run(columns))
        for (_, columns), outputs in zip(rows, expected, strict=True)
    ]
    if getattr(model, "rule", None) == "choice":
        pairs = _by_question(pairs)
    return measure(pairs, problem_of(model), by_token(model), threshold_of(model))


def by_token(model):
    """The names of the outputs that have a place for each token: those that grow with the text.

    A model of the user's declares nothing: it is called on two lengths.
    """
    if declared := getattr(model, "output_axes", None):
        return {name for name, axes in declared.items() if "length" in axes}
    fixed = getattr(model, "length", None)
    padding_id = getattr(model, "backbone", model).padding_id

    def shapes(length):
        columns = {name: np.ones((1, length), "int32") for name in model_inputs(model)}
        columns["token_ids"] *= padding_id
        if "segment_ids" in columns:
            columns["segment_ids"] *= 0
        return {name: tuple(value.shape) for name, value in model(columns).items()}

    if fixed:  # A model of one length can't be asked what grows.
        return {n for n, shape in shapes(fixed).items() if len(shape) > 2 and shape[1] == fixed}
    one, two = shapes(1), shapes(2)
    return {name for name in one if one[name] != two[name]}


def _by_question(pairs):
    """Choices of one text, which stand together, as one row whose logits are all their scores.

    A score alone says nothing: what a model answers is which of several is the largest.
    """
    rows = []
    for start in range(0, len(pairs), CHOICES):
        columns, *sides = zip(*pairs[start : start + CHOICES], strict=True)
        mask = np.concatenate([entry["padding_mask"] for entry in columns], axis=1)
        joined = [{"logits": np.stack([o["logits"] for o in side], axis=-1)} for side in sides]
        rows.append(({"padding_mask": mask}, *joined))
    return rows


def run_keras(model, rows, batch_size=16):
    """The model's outputs for each row of `samples`, as NumPy, in batches of one length.

    Nothing is filled up, as nothing is where a file reads a row: there are networks for which what
    stands behind a text is a part of it (MobileBERT's trigrams).
    """
    shapes = [tuple(value.shape for value in columns.values()) for _, columns in rows]
    alike = {}
    for i, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(i)
    answers = [None] * len(rows)
    batches = (
        some[at : at + batch_size]
        for some in alike.values()
        for at in range(0, len(some), batch_size)
    )
    for chosen in batches:
        batch = {name: np.concatenate([rows[i][1][name] for i in chosen]) for name in rows[0][1]}
        outputs = model.run_function(next(iter(model.functions)), batch)
        outputs = {name: np.asarray(value, "float32") for name, value in outputs.items()}
        for place, i in enumerate(chosen):
            answers[i] = {name: value[place : place + 1] for name, value in outputs.items()}
    return answers


def run_sides(model, interpreters, rows):
    """What Keras and files give for texts of one or several rows each.

    Args:
        model: the model in Keras, which takes rows in batches.
        interpreters: {name: file}.
        rows: for each text a list of columns.

    Returns:
        {"keras" or a file's name: for each text a list of outputs by name}.
    """
    names = model_inputs(model)
    flat = [(None, {name: columns[name] for name in names}) for own in rows for columns in own]
    by_keras = iter(run_keras(model, flat))
    outputs = {"keras": [[next(by_keras) for _ in own] for own in rows]}
    for name, interpreter in interpreters.items():
        outputs[name] = [[interpreter.run(columns) for columns in own] for own in rows]
    return outputs


def compared_on(parity, sense):
    """What a report calls the inputs of its parity."""
    source = parity.get("source")
    return f"{parity['texts']} " + (f"{sense.nouns} of {source}" if source else sense.shipped)


def problem_of(model):
    """What a model's logits are, as `answers.PROBLEMS` has it; None where they are no answer."""
    rule = getattr(model, "rule", None)
    return RULES[rule].problem if rule else None


def measure_of(model):
    """By what a file is held to Keras where nobody asks for other limits, see `limits.USUAL`."""
    rule = getattr(model, "rule", None)
    return rule if rule in USUAL else problem_of(model)


def threshold_of(model):
    """From which probability on a label is in the answer of a model that may give several."""
    return getattr(model, "threshold", 0.5)


def measure(pairs, problem=None, long=(), threshold=0.5):
    """The distance between outputs.

    Args:
        pairs: (columns, outputs of Keras, outputs of the file) for each text.
        problem: what `logits` say of each text, see `problem_of`.
        long: the names of the outputs that have a place for each token.
        threshold: see `threshold_of`.

    Returns:
        A dict: `texts`, `tokens` (a list, by text); unless every output is a single number, whose
        cosine says nothing, `cosines` (a list, by text, the smallest of its outputs), `cosine`
        and `cosine_min` over all; for probabilities of labels `probabilities` (a list of [Keras,
        file] for the likeliest label of Keras), `probability_difference`, its `_max`, and
        `label_agreement`; for values `values` (a list of [Keras, file] for the value that differs
        most), their `spread` (the standard deviation of Keras' values over the texts, the largest
        of any), and as shares of it `value_difference` and its `_max`.
    """
    cosines, tokens, differences, agreed, shown, rows = [], [], [], [], [], []
    for columns, expected, got in pairs:
        real = columns["padding_mask"][0] > 0 if "padding_mask" in columns else None
        tokens.append(1 if real is None else int(real.sum()))
        if set(expected) != set(got):
            raise KzooError(f"The file's outputs are {sorted(got)}; Keras' are {sorted(expected)}.")
        near = [_cosine(expected[k], got[k], real if k in long else None) for k in expected]
        cosines.append(min((cosine for cosine in near if cosine is not None), default=None))
        if problem is not None:
            one, other = (class_scores(side["logits"], problem)[0] for side in (expected, got))
            rows.append(one)
            differences.append(float(np.abs(one - other).max()))
            agreed.append(label_of(one, problem, threshold) == label_of(other, problem, threshold))
            place = one if problem != "regression" else np.abs(one - other)
            best = int(place.argmax())
            shown.append([float(one[best]), float(other[best])])
    result = {
        "texts": len(pairs),
        "tokens": tokens,
    }
    if None not in cosines:
        result |= {
            "cosines": cosines,
            "cosine": float(np.mean(cosines)),
            "cosine_min": float(np.min(cosines)),
        }
    if problem == "regression":
        spread = max(float(np.std(rows, axis=0).max()), 1e-9)
        result |= {
            "values": shown,
            "spread": spread,
            "value_difference": float(np.mean(differences)) / spread,
            "value_difference_max": float(np.max(differences)) / spread,
        }
    elif problem is not None:
        result |= {
            "probabilities": shown,
            "probability_difference": float(np.mean(differences)),
            "probability_difference_max": float(np.max(differences)),
            "label_agreement": float(np.mean(agreed)),
        }
    return result


def label_of(row, problem="single_label", threshold=0.5):
    """The index of the label that a row of probabilities stands for; of several, which they are."""
    if problem != "single_label":
        return tuple(int(i) for i in np.flatnonzero(row >= threshold))
    return int(row[0] >= 0.5) if len(row) == 1 else int(row.argmax())


def _cosine(one, other, real):
    """The mean cosine over places, or one over all numbers where places hold few.

    `real` says which places are no padding, for an output that has places. Of a single number
    there is no cosine but 1, so it is None.
    """
    if one.shape != other.shape:
        raise KzooError(f"The file's output has the shape {other.shape}; Keras' has {one.shape}.")
    one, other = one.astype("float64"), other.astype("float64")
    if real is not None:
        one, other = one[:, real], other[:, real]  # What stands at padding is nobody's answer.
    elif one.size < 2:
        return None
    if one.ndim < 2 or one.shape[-1] < NARROW or one.shape[:-1] == ():
        one, other = one.reshape(1, -1), other.reshape(1, -1)
    here, there = (np.linalg.norm(side, axis=-1) for side in (one, other))
    cosines = (one * other).sum(-1) / np.maximum(here * there, 1e-30)
    # Zeros that both have are the same answer: a place that doesn't count.
    return float(np.mean(np.where((here == 0) & (there == 0), 1.0, cosines)))
