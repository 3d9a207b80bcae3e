"""What the files of an order are measured on, and what comes out; its limits are held here."""

from dataclasses import dataclass

import numpy as np

from ..litert.convert import CACHE
from ..litert.interpreter import Interpreter
from . import continuation, evaluate
from .bench import latency
from .limits import BETTER_ON_LABELLED, held, on
from .manifest import MODEL
from .parity import compare, compared_on, run_keras, samples
from .writing import Files

GOLDEN = 12
JOINED = (2, 4, 8, 16, 32, 64)  # how many labelled texts are joined, to compare long ones too
PARITY = (16, 64)  # labelled texts from which on they are compared on, and how many at most
ROUNDS = 9  # measurements of latency at each length
WRITER_ROUNDS = 3  # of a file that writes, each of which takes long


@dataclass(frozen=True)
class Measured:
    """Files with what was measured on them.

    Args:
        files: the `Files`.
        parity: how far the file lies from Keras, see `parity.measure`, with the `source` of the
            texts.
        usual: the same for the file for the newest runtime, or None.
        evaluation: what the report says of the labelled texts, or None.
        limits: every limit with what was measured for it and on what.
        latency: see `bench.latency` and `continuation.latency`.
        golden_rows: (text, columns) of the golden examples; none of a file that writes.
        golden: the golden examples: text, ids, and the outputs of the file and of Keras.
    """

    files: Files
    parity: dict
    usual: dict | None
    evaluation: dict | None
    limits: list
    latency: dict
    golden_rows: list
    golden: list


def measure_files(files, say):
    """Measure files; the `Measured`, or KzooError on the first limit that is missed."""
    order = files.order
    writes = order.rule == continuation.RULE
    say(f"Comparing with Keras, {'text that both write' if writes else 'answer by answer'}")
    parity, usual = (_written if writes else _parity)(files)
    evaluation = _evaluated(files, say)
    rows = _limit_rows(files, parity, evaluation)
    say("Measuring latency")
    if writes:
        speed = continuation.latency(files.paths, order.cache, WRITER_ROUNDS)
        shared = order.examples.texts if order.examples and order.share_texts else None
        texts = []
        golden = continuation.golden(order.model, files.paths["file"], order.cache, GOLDEN, shared)
    else:
        speed = latency(files.paths, order.max_length, ROUNDS)
        texts = _golden_rows(order)
        golden = _golden(order, files.paths["file"], texts)
    return Measured(files, parity, usual, evaluation, rows, speed, texts, golden)


def distance(model, path, sizes, texts=None):
    """How far a file lies from Keras on texts, the shipped ones by default, see `Measured`."""
    if getattr(model, "rule", None) == continuation.RULE:
        return continuation.parity(model, path, sizes[CACHE], texts)
    return compare(model, Interpreter(path), samples(model, sizes["length"], texts))


def _written(files):
    """`_parity` of files that write."""
    order = files.order
    distances = {
        name: continuation.parity(order.model, files.paths[name], order.cache)
        for name in ("file", "usual")
        if name in files.paths
    }
    return {**distances["file"], "source": None}, distances.get("usual")


def _parity(files):
    """The distance to Keras of the file, and of the one for the newest runtime or None."""
    order = files.order
    texts, source = _parity_texts(order)
    rows = samples(order.model, order.length, texts)
    expected = run_keras(order.model, rows)
    distances = {
        name: compare(order.model, Interpreter(files.paths[name]), rows, expected)
        for name in ("file", "usual")
        if name in files.paths
    }
    return {**distances["file"], "source": source}, distances.get("usual")


def _parity_texts(order):
    """The texts to compare file and Keras on, and the file that they are from.

    Those of the evaluation, which are of the model's language and subject, if there are enough,
    with some joined to long ones; else (None, None) for the shipped English ones.
    """
    texts = [] if order.examples is None else list(order.examples.texts)
    least, most = PARITY
    if len(texts) < least:
        return None, None
    chosen = _spread(texts, most - len(JOINED), key=lambda text: len("".join(text)))
    return chosen + [_joined(texts[:count]) for count in JOINED], order.evaluation.name


def _joined(texts):
    """Texts as one, or pairs as one whose second text is long."""
    if isinstance(texts[0], str):
        return " ".join(texts)
    return texts[0][0], " ".join(second for _, second in texts)


def _evaluated(files, say):
    """What the report says of the labelled texts, or None."""
    order = files.order
    if not order.examples:
        return None
    name = order.evaluation.name
    say(f"Answering the {len(order.examples.texts)} texts of {name}")
    measured = evaluate.evaluate(order.examples, order.answerer, order.model, files.paths)
    return {"file": name, "note": order.note, "texts_shared": order.share_texts, **measured}


def _limit_rows(files, parity, evaluation):
    """Every limit with what was measured for it and on what; KzooError on the first one missed."""
    audit = files.audits["file"]
    own = {"megabytes": audit["bytes"] / 1e6, "partitions": audit["partitions"]}
    sources = [{**on(compared_on(parity), parity), **on(MODEL, own)}]
    if evaluation:
        # Labels of neutral sentences are a toss-up: labelled texts measure agreement better.
        for name in BETTER_ON_LABELLED:
            sources[0].pop(name, None)
        sources.append(on(evaluation["file"], evaluation))
    return held(files.order.limits, sources)


def _golden(order, path, texts):
    """The golden examples: text, ids, and the outputs of the file and of Keras."""
    interpreter = Interpreter(path)
    return [
        {
            "text": text,
            "token_ids": columns["token_ids"][0].tolist(),
            "outputs": {k: _rounded(v) for k, v in interpreter.run(columns).items()},
            "keras": {k: _rounded(v) for k, v in expected.items()},
        }
        for (text, columns), expected in zip(texts, run_keras(order.model, texts), strict=True)
    ]


def _golden_rows(order):
    """Golden texts: shipped sentences; half of them the evaluation's, if those may travel."""
    model, length = order.model, order.length
    if order.examples is None or not order.share_texts:
        return _spread(samples(model, length), GOLDEN, _tokens)
    half = GOLDEN // 2
    rows = _spread(samples(model, length, order.examples.texts), half, _tokens)
    return rows + _spread(samples(model, length), GOLDEN - half, _tokens)


def _tokens(row):
    return int(row[1]["padding_mask"].sum())


def _spread(rows, count, key):
    """`count` of the rows, from the shortest to the longest in even steps."""
    rows = sorted(rows, key=key)
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _rounded(values):
    """An array as lists of numbers of seven digits, which float32 needs at most."""
    flat = [float(f"{value:.7g}") for value in np.asarray(values, "float64").ravel()]
    return np.array(flat, "float64").reshape(np.shape(values)).tolist()
