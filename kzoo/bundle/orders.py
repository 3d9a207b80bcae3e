"""A model, in float32, and what is to become of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..answers import PROBLEMS, check_labels
from ..compression.rounded import as_floats
from ..errors import KzooError
from ..litert.convert import (
    CACHE,
    Exportable,
    check_arguments,
    exportable,
    model_inputs,
    sizes_of,
)
from ..tasks.task import Task
from ..text.tokenizer import default_stride
from . import evaluate, litertlm, mediapipe
from .calibration import STATIC, check_calibration, told_of
from .kinds import kind_of
from .limits import beside_usual, defaults, partitions_of
from .manifest import LEAST_GOLDEN
from .parity import measure_of
from .predict import Answerer
from .senses import sense_of

# The keys of a recipe, beside quantization, length and limits, that `export_bundle` takes.
REST = (
    "preset", "for", "cache", "compat", "mediapipe", "litertlm", "evaluation", "text", "label",
    "note", "share_texts", "calibration",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """A model and what is to become of it, after every check that needs no file.

    Args:
        exportable: the model in float32, with its weights.
        quantization, length, compat, mediapipe, litertlm, note, share_texts: as in a recipe.
        target: what a recipe calls `for`.
        sizes: {axis: size} of the file's axes, None for any.
        source: what the report calls the model.
        limits: {name: bound}, those that suit the quantization and those that were asked for.
        evaluation: the path of the labelled texts, or None.
        examples: what it holds, an `evaluate.Labelled`, or None.
        calibration: the examples by which ranges of activations are found, or None for shipped
            ones.
        calibrated: what the report says of them, see `calibration.told_of`.
    """

    exportable: Exportable
    quantization: str
    length: int | None
    sizes: dict
    target: str | None
    compat: str | None
    mediapipe: bool
    litertlm: bool
    note: str | None
    share_texts: bool
    source: str | None
    limits: dict
    evaluation: Path | None
    calibration: list | None
    calibrated: dict | None
    examples: evaluate.Labelled | None

    @property
    def model(self):
        """The model in float32."""
        return self.exportable.model

    @property
    def task(self):
        """What a bundle calls its task; a backbone has its class's name."""
        return getattr(self.model, "task_name", None) or type(self.model).__name__

    @property
    def rule(self):
        """By which of `answers.RULES` it answers; None for a backbone."""
        return getattr(self.model, "rule", None)

    @property
    def labels(self):
        """The names of the logits, or None."""
        return getattr(self.model, "labels", None)

    @property
    def options(self):
        """What the manifest says of the task, see `TextTask.task_options`."""
        if not hasattr(self.model, "task_options"):
            return {"reads": "either"}
        options = self.model.task_options()
        if self.rule in PROBLEMS:  # Where clients of formats 1 and 2 look for it.
            options.setdefault("problem", self.rule)
        if "stride" in options:  # A file of fixed length may be shorter than what the model reads.
            options["stride"] = min(options["stride"], default_stride(self.read_length))
        if "source_length" in options:
            longest = options["source_length"]
            options["source_length"] = min(longest, self.length or longest)
        return options

    @property
    def sense(self):
        """What the model reads, see `senses`."""
        return sense_of(getattr(self.model, "reads", None))

    @property
    def processor(self):
        """What reads for the model, or None."""
        return self.sense.processor_of(self.model)

    @property
    def answerer(self):
        """How the task reads and answers."""
        return Answerer(
            self.processor, self.rule, self.labels, self.options, self.max_length, self.length
        )

    @property
    def tokenizer(self):
        """The model's tokenizer, or None."""
        return self.model.processors.get("tokenizer")

    @property
    def cache(self):
        """How many tokens a file that writes keeps; None of another."""
        return self.sizes.get(CACHE)

    @property
    def longest_prompt(self):
        """How many tokens a prompt has at most, or a source."""
        return self.options.get("source_length", self.max_length)

    @property
    def max_length(self):
        """How many tokens the model reads; of one that writes those that it keeps."""
        if self.cache is not None:
            return self.cache
        backbone = getattr(self.model, "backbone", self.model)
        return getattr(self.model, "max_length", backbone.longest)

    @property
    def read_length(self):
        """How many tokens the file reads."""
        if self.cache is not None:  # Longer prompts than the file's length are read in parts.
            return self.cache
        return min(self.max_length, self.length or self.max_length)


def ordered(model, quantization, length, limits, recipe=None):
    """The `Order` for what `export_bundle` was asked for; KzooError where it can't be done."""
    recipe = {**dict.fromkeys(REST), **(recipe or {})}
    unknown = sorted(set(recipe) - set(REST))
    if unknown:
        raise KzooError(f"recipe has the key {unknown[0]!r}; expected: {', '.join(REST)}.")
    check_arguments(model, quantization, length, recipe["compat"], recipe["for"])
    file = calibration = recipe["calibration"]
    if file is not None and isinstance(model, Task):
        calibration = model.read_file(file, None, None, "none").x
    check_calibration(model, quantization, calibration)
    usual = defaults(quantization, measure_of(model), partitions_of(model, length))
    bounds = beside_usual(limits, usual)
    order = Order(
        exportable=exportable(as_floats(model)),
        quantization=quantization,
        length=length,
        sizes=sizes_of(model, length, recipe["cache"]),
        target=recipe["for"],
        compat=recipe["compat"],
        mediapipe=bool(recipe["mediapipe"]),
        litertlm=bool(recipe["litertlm"]),
        note=recipe["note"],
        share_texts=bool(recipe["share_texts"]),
        source=recipe["preset"],
        limits=bounds,
        evaluation=None if recipe["evaluation"] is None else Path(recipe["evaluation"]),
        examples=None,
        calibration=calibration,
        calibrated=told_of(model, quantization, file, calibration),
    )
    if order.processor is None:
        needed = order.sense.processor.replace("_", " ")
        raise KzooError(
            f"A bundle holds the {needed}, and this model has no {needed}: give it one first."
        )
    if order.cache is not None and order.tokenizer is None:
        raise KzooError(
            "A bundle that writes holds the tokenizer of it, and this model has none: give it one "
            "first."
        )
    if order.share_texts and not order.sense.travels:
        raise KzooError(
            f"Got share_texts for a model of {order.sense.nouns}; expected none: a bundle holds "
            f"{order.sense.shipped} alone."
        )
    if order.labels:
        check_labels(order.labels)
    if order.mediapipe:
        prompt = getattr(order.model, "prompt", "")
        mediapipe.check(order.options["reads"], order.rule, order.processor, length, prompt)
    if order.target is not None and None in _read_sizes(order).values():
        raise KzooError(
            f"Got for={order.target!r} without a length; expected one, such as --length 128, for "
            "no delegate takes a file whose sizes are open."
        )
    if order.litertlm:
        litertlm.check(order.model)
        if quantization == STATIC:
            raise KzooError(f"Got {STATIC} for a file for LiteRT-LM's engine; expected int8.")
    columns = recipe["text"], recipe["label"]
    examples = evaluate.labelled_texts(order.model, order.evaluation, bounds, *columns)
    kind = kind_of(order.rule)
    kind.check_sizes(model, order.sizes, fewest=LEAST_GOLDEN)
    if examples and order.share_texts:  # Half of the golden examples are of these.
        kind.check_sizes(model, order.sizes, examples.texts)
    return replace(order, examples=examples)


def _read_sizes(order):
    """{axis: size} of the axes of what the model reads that have a name, but for the batch."""
    axes = {a for e in model_inputs(order.model).values() for a in e.axes if isinstance(a, str)}
    return {axis: order.sizes.get(axis) for axis in axes - {"batch"}}
