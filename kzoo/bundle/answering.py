"""What a file that answers in one run is measured by: its answers beside those of Keras."""

import time

import numpy as np

from ..answers import PROBLEMS, RULES, class_scores, described
from ..errors import KzooError
from ..litert.interpreter import Interpreter
from .manifest import GOLDEN, MODEL
from .parity import compare, run_keras, run_sides
from .senses import sense_of, spread

SAYS = "answer by answer"
Opened = Interpreter  # what runs a file
PARITY = (16, 64)  # labelled texts from which on they are compared on, and how many at most
LENGTHS = (16, 32, 64, 128, 256)  # tokens
ROUNDS = 9  # measurements of latency at each length
WARM_UP = 2  # rounds that allocate and fill the caches
UNSEEN = ("embedding", "late_interaction", None)  # rules whose answers are nothing to look at


def check_sizes(model, sizes, texts=None, fewest=1):
    """Nothing: a text that is too long for a file is cut."""


def distance(model, path, sizes, texts=None):
    """How far a file lies from Keras on texts, the shipped ones by default, see `parity.measure`.

    Args:
        model: the model in Keras.
        path: the file.
        sizes: {axis: size} of its axes.
        texts: strings or pairs.
    """
    sense = sense_of(getattr(model, "reads", None))
    return compare(model, Interpreter(path), sense.samples(model, sizes["length"], texts))


def distances(order, paths):
    """The distance of each file on one choice of texts, with the `source` that they are from."""
    texts, source = parity_texts(order)
    rows = order.sense.samples(order.model, order.length, texts)
    expected = run_keras(order.model, rows)
    return {
        name: {**compare(order.model, Interpreter(path), rows, expected), "source": source}
        for name, path in paths.items()
    }


def parity_texts(order):
    """The texts to compare file and Keras on, and the file that they are from.

    Those of the evaluation, which are of the model's language and subject, if there are enough,
    with some joined to long ones; else (None, None) for the shipped English ones.
    """
    texts = [] if order.examples is None else list(order.examples.texts)
    least, most = PARITY
    if len(texts) < least:
        return None, None
    return order.sense.chosen(texts, most), order.evaluation.name


# -- golden examples ------------------------------------------------------------------------------


def golden(order, path):
    """The golden examples: the input, and the outputs of the file and of Keras.

    Files that inputs need are written beside the file.
    """
    interpreter, rows = Interpreter(path), golden_rows(order)
    return [
        {
            **order.sense.kept(place, given, columns, path.parent),
            "outputs": {k: _rounded(v) for k, v in interpreter.run(columns).items()},
            "keras": {k: _rounded(v) for k, v in expected.items()},
        }
        for place, ((given, columns), expected) in enumerate(
            zip(rows, run_keras(order.model, rows), strict=True)
        )
    ]


def golden_rows(order):
    """(input, columns) of the golden examples: shipped ones, half where others may travel."""
    model, length, sense = order.model, order.length, order.sense
    if order.examples is None or not order.share_texts:
        return spread(sense.samples(model, length), GOLDEN, sense.size)
    half = GOLDEN // 2
    rows = spread(sense.samples(model, length, order.examples.texts), half, sense.size)
    return rows + spread(sense.samples(model, length), GOLDEN - half, sense.size)


def _rounded(values):
    """An array as lists of numbers of seven digits, which float32 needs at most."""
    flat = [float(f"{value:.7g}") for value in np.asarray(values, "float64").ravel()]
    return np.array(flat, "float64").reshape(np.shape(values)).tolist()


def shown(order, path, golden):
    """The answers of file and Keras to the golden examples, {"file", "keras"} for each.

    Of one label a text only that label is shown; of a vector nothing.
    """
    if order.rule in UNSEEN or RULES[order.rule].find is None:
        return [{} for _ in golden]
    given = [order.sense.given(entry, path.parent) for entry in golden]
    read = [order.answerer.read(each)[0] for each in given]
    rows = [[columns for columns, _ in own] for own in read]
    sides = run_sides(order.model, {"file": Interpreter(path)}, rows)
    answers = [{} for _ in golden]
    for side in ("file", "keras"):
        for each, shown_of, own, outputs in zip(given, answers, read, sides[side], strict=True):
            answer = order.answerer.answer(each, own, outputs)
            unshown = {"scores"} if "label" in answer else set()
            shown_of[side] = {k: v for k, v in answer.items() if k not in unshown}
    return answers


def golden_ids(tokenizer, manifest):
    """The ids of the golden examples, which are texts, as the tokenizer gives them now."""
    sense = sense_of(manifest["reads"])
    again = [sense.again(entry, None, tokenizer, manifest) for entry in manifest["golden"]]
    return [columns["token_ids"][0].tolist() for columns in again]


def _rerun(interpreter, folder, processor, manifest):
    """Each golden example with its columns and outputs of now, and how far these lie off by name.

    That is a share of the largest number of an output in all golden examples, for one whose own
    are near nothing would be off by much of them on every other processor; written with seven
    digits, what is nearer than those is equal.
    """
    sense, largest = sense_of(manifest["reads"]), {}
    for entry in manifest["golden"]:
        for name, value in entry["outputs"].items():
            there = np.abs(np.asarray(value, "float64")).max(initial=1e-6)
            largest[name] = max(largest.get(name, 0.0), float(there))
    for place, entry in enumerate(manifest["golden"]):
        columns = sense.again(entry, folder, processor, manifest)
        outputs, off = interpreter.run(columns), {}
        written = {name: np.asarray(value, "float64") for name, value in entry["outputs"].items()}
        if {k: np.shape(v) for k, v in written.items()} != {
            k: np.shape(v) for k, v in outputs.items()
        }:
            raise KzooError(
                f"Golden example {place} ({sense.title(entry)}) has other outputs than the file: "
                "export anew."
            )
        for name, there in written.items():
            share = float(np.abs(np.asarray(outputs[name], "float64") - there).max())
            share /= largest[name]
            off[name] = 0.0 if share < 1e-6 else share
        yield entry, columns, outputs, off


def check_golden(folder, processor, manifest):
    """The largest distance of a golden output, as a share of its largest number in all examples.

    Raises:
        KzooError: for an example that the file answers otherwise.
    """
    worst, sense = 0.0, sense_of(manifest["reads"])
    results = _rerun(Interpreter(folder / MODEL), folder, processor, manifest)
    for place, (entry, columns, outputs, off) in enumerate(results):
        sense.check_again(place, entry, columns)
        for name, share in off.items():
            worst = max(worst, share)
            if not share <= manifest["tolerance"]:
                raise KzooError(
                    f"Golden example {place} ({sense.title(entry)}) gives {name} that lies "
                    f"{100 * share:.3g} % off; {100 * manifest['tolerance']:.3g} % is allowed: "
                    "this runtime computes otherwise, or the file was not made by this export."
                )
        if manifest["rule"] in PROBLEMS:
            title = f"{place} ({sense.title(entry)})"
            check_label(title, entry["outputs"], outputs, manifest["task_options"])
    return worst


def check_label(title, written, outputs, options):
    """The labels must stay, unless two probabilities, or one and its threshold, are near."""
    problem, near = options["problem"], 0.05
    if problem == "regression":
        return
    here, there = (
        class_scores(np.asarray(side["logits"]), problem)[0] for side in (outputs, written)
    )
    if problem == "multi_label":
        clear = np.abs(there - options["threshold"]) > near
        changed = ((here >= options["threshold"]) != (there >= options["threshold"])) & clear
        is_other = bool(changed.any())
    else:
        ranked = np.sort(there)
        clear = len(there) == 1 or ranked[-1] - ranked[-2] > near
        is_other = clear and here.argmax() != there.argmax()
    if is_other:
        raise KzooError(
            f"Golden example {title} gets another label than at the export: this runtime computes "
            "otherwise."
        )


def run_again(predictor):
    """How many golden examples have the labels of the export, or None; the largest difference."""
    manifest, labels, worst = predictor.manifest, 0, 0.0
    results = _rerun(predictor.interpreter, predictor.folder, predictor.processor, manifest)
    for entry, _, outputs, off in results:
        worst = float(np.max([worst, *off.values()]))  # what is no number stays seen
        if manifest["rule"] in PROBLEMS:
            both = (
                class_scores(np.asarray(side["logits"]), manifest["rule"])[0]
                for side in (outputs, entry["outputs"])
            )
            options = manifest["task_options"]
            one, other = (described(row, manifest["labels"], options) for row in both)
            labels += all(one.get(name) == other.get(name) for name in ("label", "labels"))
    return labels if manifest["rule"] in PROBLEMS else None, worst


def client_texts(texts):
    """All of them."""
    return texts


# -- speed ----------------------------------------------------------------------------------------


def measure(files, lengths, rounds, threads=1):
    """Milliseconds that some files take for a text, at batch 1.

    Every round runs every length of every file in turn, so that a busy moment of the machine falls
    on all of them. On one thread it is processor time, which other programs leave alone; on more
    it is time by the clock, since processor time adds the threads up.

    Args:
        files: {name: `Interpreter`}.
        lengths: numbers of tokens.
        rounds: measurements a length.
        threads: how many the files use.

    Returns:
        {name: {length: [milliseconds, ...]}}, a number a round; and None: there is no more.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    times = {name: {length: [] for length in lengths} for name in files}
    for turn in range(WARM_UP + rounds):
        for length in lengths:
            for name, interpreter in files.items():
                columns = interpreter.blank(length)
                interpreter.run(columns)  # another length ran before: allocate outside the time
                if turn < WARM_UP:
                    continue
                start = clock()
                interpreter.run(columns)
                times[name][length].append(1000 * (clock() - start))
    return times, None


def takes(file, longest):
    """How many tokens a file takes, as a range."""
    return range(file.length or 1, (file.length or longest) + 1)


def usual_lengths(taken):
    """The lengths of a range that are measured where nobody names others."""
    return [length for length in LENGTHS if length in taken] or [taken[-1]]
