"""What the files of an order are measured on, and what comes out; its limits are held here."""

import statistics
from dataclasses import dataclass

from . import evaluate
from .kinds import kind_of
from .limits import BETTER_ON_LABELLED, held, on
from .manifest import MODEL
from .parity import compared_on
from .writing import Files


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
        latency: how long the files take, by their `kinds`.
        golden: the golden examples: text, ids, and the outputs of the file and of Keras.
    """

    files: Files
    parity: dict
    usual: dict | None
    evaluation: dict | None
    limits: list
    latency: dict
    golden: list


def measure_files(files, say):
    """Measure files; the `Measured`, or KzooError on the first limit that is missed."""
    order, kind = files.order, kind_of(files.order.rule)
    say(f"Comparing with Keras, {kind.SAYS}")
    compared = {name: path for name, path in files.paths.items() if name != "float32"}
    parity = kind.distances(order, compared)
    evaluation = _evaluated(files, say)
    rows = _limit_rows(files, parity["file"], evaluation)
    say("Measuring latency")
    speed = _latency(order, kind, files.paths)
    golden = kind.golden(order, files.paths["file"])
    return Measured(files, parity["file"], parity.get("usual"), evaluation, rows, speed, golden)


def _latency(order, kind, paths):
    """Medians of the kind's `measure`: {"lengths", "rounds", name: [milliseconds, ...]}.

    Of files that write these are the times to the first token, and `token` has by name that of each
    one more.
    """
    files = {name: kind.Opened(path) for name, path in paths.items()}
    lengths = kind.usual_lengths(kind.takes(files["file"], order.longest_prompt))
    times, token = kind.measure(files, lengths, kind.ROUNDS)
    medians = {
        name: [round(statistics.median(times[name][length]), 3) for length in lengths]
        for name in files
    }
    result = {"lengths": lengths, **medians, "rounds": kind.ROUNDS}
    if token:
        result["token"] = {name: round(statistics.median(token[name]), 3) for name in files}
    return result


def _evaluated(files, say):
    """What the report says of the labelled texts, or None."""
    order = files.order
    if not order.examples:
        return None
    name = order.evaluation.name
    say(f"Answering the {len(order.examples.texts)} {order.sense.nouns} of {name}")
    measured = evaluate.evaluate(order.examples, order.answerer, order.model, files.paths)
    return {"file": name, "note": order.note, "texts_shared": order.share_texts, **measured}


def _limit_rows(files, parity, evaluation):
    """Every limit with what was measured for it and on what; KzooError on the first one missed."""
    audit = files.audits["file"]
    own = {"megabytes": audit["bytes"] / 1e6, "partitions": audit["partitions"]}
    where = compared_on(parity, files.order.sense)
    sources = [{**on(where, parity), **on(MODEL, own)}]
    if evaluation:
        # Labels of neutral sentences are a toss-up: labelled texts measure agreement better.
        for name in BETTER_ON_LABELLED:
            sources[0].pop(name, None)
        sources.append(on(evaluation["file"], evaluation))
    return held(files.order.limits, sources)
