"""Limits of an export: what each means, which hold by default, and the error of one missed."""

from ..errors import KzooError
from ..values import is_number

# name: (whether more is better, what it says, of which kind of model)
KNOWN = {
    "megabytes": (False, "size of model.tflite in millions of bytes"),
    "partitions": (False, "groups of operators that XNNPACK runs as one"),
    "cosine": (True, "mean cosine between the outputs of the file and of Keras"),
    "cosine_min": (True, "smallest cosine between the outputs of the file and of Keras"),
    "probability_difference": (
        False,
        "mean over examples of the largest difference between a probability of the file and Keras'",
    ),
    "probability_difference_max": (False, "the same, of the worst example"),
    "value_difference": (
        False,
        "mean over examples of the largest difference between a value of the file and Keras', as a "
        "share of the standard deviation of Keras' values",
    ),
    "value_difference_max": (False, "the same, of the worst example"),
    "tokens_equal": (
        True,
        "share of tokens that file and Keras have alike at their places, of the first 16 that each "
        "writes greedily by itself behind the same prompts",
    ),
    "perplexity_ratio": (False, "perplexity of the file's steps, as a multiple of Keras'"),
    "perplexity": (False, "perplexity of the file's steps on the evaluation file"),
    "label_agreement": (True, "share of examples to which the file gives Keras' label"),
    "accuracy": (True, "share of labelled examples that the file gets right"),
    "accuracy_drop": (False, "accuracy of Keras minus accuracy of the file"),
    "f1": (True, "F1 of the file's entities, or of the words of its answers, on labelled examples"),
    "f1_drop": (False, "F1 of Keras minus F1 of the file"),
    "exact_match": (
        True,
        "share of questions that the file answers word by word",
    ),
    "exact_match_drop": (False, "exact matches of Keras minus those of the file"),
    "ap": (True, "average precision of the file's boxes on labelled pictures, as COCO counts it"),
    "ap_drop": (False, "average precision of Keras minus that of the file"),
    "ap50": (True, "the same of boxes that overlap the right ones by half"),
    "ap50_drop": (False, "that of Keras minus that of the file"),
}
# Those that labelled texts alone show.
LABELLED = {
    "accuracy", "accuracy_drop", "f1", "f1_drop", "exact_match", "exact_match_drop", "ap",
    "ap_drop", "ap50", "ap50_drop", "perplexity",
}  # fmt: skip
# Each about twice what all-MiniLM-L6 and classifiers on it lose on the shipped sentences.
DEFAULTS = {
    "float32": {
        "cosine": 0.99999, "probability_difference": 0.0002, "value_difference": 0.002,
        "tokens_equal": 1.0, "perplexity_ratio": 1.001,
    },
    "float16": {
        "cosine": 0.9999, "probability_difference": 0.002, "value_difference": 0.02,
        "perplexity_ratio": 1.01,
    },
    "int8": {
        "cosine": 0.997, "probability_difference": 0.03, "value_difference": 0.2,
        "perplexity_ratio": 1.1,
    },
    "int8_int4_table": {"cosine": 0.995, "probability_difference": 0.05, "value_difference": 0.3},
    "int8_static": {
        "cosine": 0.992, "probability_difference": 0.04, "value_difference": 0.3,
        "perplexity_ratio": 1.1,
    },
    "int4": {"cosine": 0.93, "probability_difference": 0.15, "value_difference": 0.6},
}  # fmt: skip
# Which of them hold by what a file is measured by, see `parity.measure_of`; of others that of
# probabilities. A whole text written alike is asked of float32 alone: one token that is another
# changes all behind it.
USUAL = {
    None: ("cosine",),
    "regression": ("value_difference",),
    "continuation": ("tokens_equal", "perplexity_ratio"),
    "rewriting": ("tokens_equal", "perplexity_ratio"),
}
# Limits on what labelled texts tell better, where there are some: of shipped ones not held.
BETTER_ON_LABELLED = ("label_agreement", "perplexity_ratio")
# How far golden outputs may lie from those written, as a share of the largest number in all:
# XNNPACK's kernels differ from one CPU to the next, and int8 activations round otherwise then.
# Measured for int8: 0.9 % between x86 and ARM64, 4.8 % on the kernels that stand in for XNNPACK.
TOLERANCE = {
    "float32": 0.001, "float16": 0.01, "int8": 0.1, "int8_int4_table": 0.1, "int8_static": 0.1,
    "int4": 0.1,
}  # fmt: skip


def check_names(limits, source="limits"):
    """Raise KzooError unless `limits` is a dict of known names and numbers."""
    if not isinstance(limits, dict):
        raise KzooError(f"{source} is {limits!r}; a dict such as {{'cosine': 0.997}} is expected.")
    unknown = sorted(set(limits) - set(KNOWN))
    if unknown:
        raise KzooError(
            f"{source} has the unknown limit {unknown[0]!r}; known: {', '.join(KNOWN)}."
        )
    for name, value in limits.items():
        if not is_number(value):
            raise KzooError(f"The limit {name} in {source} is {value!r}; a number is expected.")


def greedy_tokens(parity):
    """Which tokens a report's `tokens_equal` is a share of, as words."""
    most = max(len(ids) for pair in parity["continuations"] for ids in pair)
    return f"the first {most} tokens from each of {parity['texts']} prompts"


def partitions_of(model, length):
    """How many groups XNNPACK makes of a model's file, of a length or of an open one, None."""
    backbone = getattr(model, "backbone", model)
    splits = getattr(getattr(backbone, "position", None), "splits", False)
    return 1 + backbone.spec.num_layers if splits and length is None else 1


def defaults(quantization, measure, partitions=1):
    """The limits that hold when a recipe names none, by what a file is measured by."""
    usual = DEFAULTS[quantization]
    kept = USUAL.get(measure, ("probability_difference",))
    return {"partitions": partitions, **{name: usual[name] for name in kept if name in usual}}


def beside_usual(asked, usual, source="limits"):
    """The usual limits with those that were asked for; one whose bound is None is left out."""
    if asked is None:
        return usual
    bounds = asked
    if isinstance(asked, dict):
        bounds = {name: 0 if bound is None else bound for name, bound in asked.items()}
    check_names(bounds, source)
    return {name: bound for name, bound in {**usual, **asked}.items() if bound is not None}


def check(limits, measured):
    """The limits beside what was measured; KzooError, one sentence, on the first one missed.

    Returns a list of {"limit", "meaning", "bound", "measured"}.
    """
    rows = []
    for name, bound in limits.items():
        more_is_better, meaning = KNOWN[name]
        value = measured.get(name)
        if value is None:
            needed = (
                "labelled examples of such a task" if name in LABELLED else "another kind of model"
            )
            raise KzooError(f"Nothing here measures the limit {name}: it needs {needed}.")
        missed = not (value >= bound if more_is_better else value <= bound)  # NaN misses too
        if missed:
            raise KzooError(
                f"The export misses the limit {name} ({meaning}): {_number(value)} came, "
                f"{'at least' if more_is_better else 'at most'} {_number(bound)} was expected."
            )
        rows.append({"limit": name, "meaning": meaning, "bound": bound, "measured": value})
    return rows


def on(where, measured):
    """What was measured that has a limit, with what it was measured on: {name: (value, where)}."""
    return {name: (measured[name], where) for name in KNOWN if name in measured}


def held(limits, sources):
    """The rows of `check` over several measurements, each with what it was measured on as "on".

    Args:
        limits: {name: bound}.
        sources: dicts as `on` gives them; each is held to every limit that it has a value for.

    Raises:
        KzooError: on the first limit that is missed, or that nothing measures.
    """
    rows = []
    for source in sources:
        bounds = {name: bound for name, bound in limits.items() if name in source}
        values = {name: value for name, (value, _) in source.items()}
        rows += [{**row, "on": source[row["limit"]][1]} for row in check(bounds, values)]
    unmeasured = next(
        (name for name in limits if not any(name in source for source in sources)), None
    )
    if unmeasured:
        raise KzooError(
            f"Nothing here measures the limit {unmeasured}; expected one of "
            f"{', '.join(sorted(set().union(*sources)))}: leave it out."
        )
    return rows


def _number(value):
    return f"{value:.6g}"
