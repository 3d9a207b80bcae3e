"""A training written down: what is learnt from what, with which settings, and where it goes."""

import contextlib
import inspect
import json
import tempfile
from pathlib import Path

import keras
import numpy as np

from .. import plot, presets, tasks
from ..adapters import bitfit, bottleneck, has_bottlenecks, lora, merged
from ..answers import PROBLEMS, check_labels
from ..checkpoints import save_adapter
from ..compression import (
    AttentionMaps,
    AttentionScores,
    Embeddings,
    HardLabels,
    HiddenStates,
    Logits,
    Pruning,
    Sparsity,
    Teacher,
    ValueRelations,
    cached,
)
from ..data.examples import count_of, listed
from ..data.variations import Variations
from ..errors import KzooError
from ..files import read_json, writing_folder
from ..keras_hooks import precision
from ..models import family_of
from ..models.electra import RATIO
from ..network import freeze, frozen
from ..parts import resolve
from ..spec import Towers
from ..tasks.classes import class_index
from ..values import an, is_number, is_whole
from .best import BestEpoch
from .facts import fact
from .optimizer import OPTIMIZERS, FineTuned
from .progress import Progress
from .resume import EVERY, Checkpoints, clear_unfinished
from .strategy import KINDS, is_chief, strategy

# Every key of a recipe with its default; without one, the key is required.
REQUIRED = object()
KEYS = {
    "summary": "",  # One sentence for the card of what comes out.
    "model": REQUIRED,  # A preset's name or folder, or a Hugging Face folder.
    # A file as the task reads it, maybe with .gz: see kzoo/data. Of pictures and sounds a folder
    # with a folder for each class, or a table that names files and their labels. Of boxes in
    # pictures COCO's .json, Pascal VOC's folder or list, or a .jsonl table. Of raw text a
    # folder or a pattern of files, however large, or records of TensorFlow: see kzoo.Corpus.
    "train": REQUIRED,
    "output": REQUIRED,  # The preset folder to write.
    # One of `TRAINED`; by default the task that the preset is, or the classifier of what it reads
    # where it is none or comes from another library. On a preset that is a MaskedLM it is said.
    "task": None,
    "problem": None,  # single_label, multi_label or regression; what the labels show by default.
    "labels": None,  # Names of the classes; those that the training file holds by default.
    "class_weights": None,  # {label: weight of its examples}, or "balanced".
    "head": None,  # What the head slot holds, a TextEmbedder's pooling; the usual by default.
    # What a MaskedLM or its like hides as one, or what a Seq2SeqLM makes of texts without
    # targets; as the model has it by default.
    "objective": None,
    "pairs": None,  # What a PreTraining learns of two texts: next_sentence or sentence_order.
    # What a ReplacedTokenDetection learns against: the generator's share of its width, or a preset
    # of a MaskedLM; that of the model, or a quarter, by default.
    "generator": None,
    "max_length": None,  # Tokens at most; by default what a task that is trained on has.
    "image_size": None,  # Height and width of pictures; the model's by default.
    # What changes pictures or sounds that are learnt from: a name or {"kind": name, argument:
    # value} of one of Keras' layers for pictures or of SpecAugment, or a list of layers.
    "augment": None,
    # The column of the text, or two for pairs (of a LateInteraction the query's, its document's
    # and those of negatives); places where there is no header. Of plain text:
    # line, file or document (between blank lines), what is a text of its own.
    "text": None,
    # The column of the paths in a table of pictures or sounds; of pictures with texts maybe two,
    # that of the paths and that of the texts.
    "column": None,
    "label": None,  # The column of the labels, or several.
    # A file or folder like `train`, or a share of it below 1, drawn from each class.
    "validation": None,
    # How many of the training examples are learnt from, drawn by the seed: a number, or a share
    # below 1; all by default.
    "examples": None,
    # Copies of the training's texts with small changes, for a teacher to answer: {"copies": 4,
    # argument: value} of kzoo.data.variations.Variations.
    "variations": None,
    # What is learnt from beside the labels: a preset, or {"model": a preset, argument: value} of
    # kzoo.compression.Teacher, where a lesson is a name or {"kind": name, argument: value}. With
    # "answers", a folder, those of a classifier or an embedder are kept there, and not made again.
    "teacher": None,
    # What is masked while it learns: {"kind": "Pruning" or "Sparsity", argument: value} of
    # kzoo.compression; with "examples" a Pruning measures on so many of the training's.
    "masking": None,
    # Which weights learn, where not all do: "lora", "dora" or {"kind": one of them, argument:
    # value} of kzoo.lora; "bottleneck", likewise; or "bitfit". What is written of LoRA is merged;
    # the updates alone lie in the folder `adapter` in it, as PEFT has them. Bottlenecks stay.
    "adapt": None,
    "epochs": 3,
    "batch_size": 32,
    "accumulation": 1,  # Batches whose gradients make one step.
    # What moves the weights: a name of `OPTIMIZERS` or {"kind": name, argument: value}, where an
    # argument is one that not all of them have.
    "optimizer": "AdamW",
    "learning_rate": None,  # The optimizer's own by default, 5e-5 of AdamW.
    "warmup": 0.1,
    "decay": "linear",  # Or cosine, inverse_sqrt (Noam's), constant: see `WarmupDecay`.
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "layer_decay": 1.0,
    "ema": None,  # Momentum of the average over updates that takes the weights' place at the end.
    "precision": "float32",
    # Whether each block is run once more for its gradients, for less memory and more time.
    "gradient_checkpointing": False,
    # Where it learns: mirrored (all GPUs), multi_worker (the processes that TF_CONFIG names), tpu,
    # none (one device), or auto, what there is: see kzoo/training/strategy.py.
    "strategy": "auto",
    "seed": 0,
    "keep": "last",  # Which epoch's weights are written: the last, or the best on validation.
    "patience": None,  # Stop after so many epochs that were no better on validation.
    # A folder for what TensorBoard shows, which Keras' callback writes there.
    "tensorboard": None,
}
# The tasks whose examples are in a file; the others are trained from Python.
TRAINED = (
    "TextClassifier", "TextEmbedder", "MaskedLM", "PreTraining", "ReplacedTokenDetection",
    "NextSentence", "PermutationLM", "SkipGram", "LateInteraction", "TokenClassifier",
    "QuestionAnswering", "CausalLM", "Seq2SeqLM", "ImageClassifier", "AudioClassifier",
    "ImageCaptioner", "VisualQuestionAnswerer", "VisualQuestionClassifier", "ImageTextMatcher",
    "ObjectDetector",
)  # fmt: skip
CLASSIFIERS = (
    "TextClassifier", "NextSentence", "ImageClassifier", "AudioClassifier",
    "VisualQuestionClassifier",
)  # fmt: skip
# What learns of pictures with texts.
BESIDE = (
    "ImageCaptioner", "VisualQuestionAnswerer", "VisualQuestionClassifier", "ImageTextMatcher",
)  # fmt: skip
# What learns from files of their own.
ARRAYS = ("ImageClassifier", "AudioClassifier", "ObjectDetector", *BESIDE)
# The keys that not every task has a use for.
USED_BY = {
    "problem": CLASSIFIERS,
    "labels": (*CLASSIFIERS, "TokenClassifier", "ObjectDetector"),
    "class_weights": (*CLASSIFIERS, "TokenClassifier"),
    "text": (
        "TextClassifier",
        "NextSentence",
        "TextEmbedder",
        "LateInteraction",
        "MaskedLM",
        "PreTraining",
        "PermutationLM",
        "ReplacedTokenDetection",
        "SkipGram",
        "TokenClassifier",
        "CausalLM",
        "Seq2SeqLM",
    ),
    "label": (*CLASSIFIERS, "TextEmbedder", "TokenClassifier", "CausalLM", "Seq2SeqLM", *BESIDE),
    "max_length": (*(name for name in TRAINED if name not in ARRAYS), *BESIDE[1:]),
    "variations": ("TextClassifier", "TextEmbedder"),
    "objective": (
        "MaskedLM",
        "PreTraining",
        "ReplacedTokenDetection",
        "PermutationLM",
        "Seq2SeqLM",
    ),
    "pairs": ("PreTraining",),
    "generator": ("ReplacedTokenDetection",),
    "image_size": ("ImageClassifier", "ObjectDetector", *BESIDE),
    "augment": ARRAYS,
    "column": ("ImageClassifier", "AudioClassifier", *BESIDE),
}
MASKINGS = {"Pruning": Pruning, "Sparsity": Sparsity}
LESSONS = {
    cls.__name__: cls
    for cls in (
        AttentionMaps, AttentionScores, Embeddings, HardLabels, HiddenStates, Logits,
        ValueRelations,
    )
}  # fmt: skip
ADAPTERS = {"lora": lora, "dora": lora, "bottleneck": bottleneck, "bitfit": bitfit}
CURVES = "curves.png"  # loss and metrics by epoch
ADAPTER = "adapter"  # the folder of what was learnt beside the model
# What a folder that is written anew may hold.
FILES = {
    "spec.json", "task.json", "card.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "chat_template.jinja", "additional_chat_templates",
    "preprocessor_config.json", "processor_config.json", presets.WEIGHTS, "training.json",
    "compression.json", CURVES, ADAPTER,
}  # fmt: skip
# What may be another where a run goes on: it ends in the same weights.
UNLIKE = ("summary", "output", "strategy", "tensorboard")
# The keys that are arguments of every optimizer.
COMMON = ("learning_rate", "weight_decay", "warmup", "decay", "clip_norm", "layer_decay")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def train(recipe, verbose="auto", fresh=False, every=EVERY, on_event=None):
    """Run a recipe: fine-tune, and write the preset with its `training.json` and `curves.png`.

    What is learnt is kept in `<output>.unfinished` until it is done, and a run of the same recipe
    goes on from there: one that was killed ends in the same weights as if it had not been.

    Args:
        recipe: the path of a JSON file, or a dict, with the keys of `KEYS`. Paths in a file are
            relative to its folder.
        verbose: as Keras' `fit` has it.
        fresh: begin anew, and drop what a run that didn't end has learnt.
        every: seconds between two checkpoints, see `Checkpoints`.
        on_event: called with a dict at the end of each epoch, see `progress.Progress`.

    Returns:
        The trained task and Keras' `History`.

    Raises:
        KzooError: on a key that isn't known, a value that doesn't fit, a file that can't be read,
            a folder that can't be written, a checkpoint of another recipe: all of it before
            training begins.
    """
    # Workers meet before anything is computed; each goes through all of this, and one writes.
    placed = strategy(filled(recipe, KEYS, "a training recipe")[0]["strategy"])
    verbose = verbose if is_chief() else 0
    settings = read_recipe(recipe)
    paths = settings.pop("paths")
    data, held, known = _read(settings)
    output = Path(settings["output"])
    kept = sorted(file.name for file in output.glob("*") if file.name not in FILES)
    if kept:
        raise KzooError(f"{output} holds {kept[0]}, which would be lost: name another folder.")
    checkpoints = _checkpoints(settings, every)
    with placed.chief_first():
        if fresh:
            checkpoints.clear()
        found = checkpoints.check()
        if is_chief():
            clear_unfinished(output)
    for number, what in zip(
        (found or {"place": (0, 0)})["place"], ("epochs", "batches"), strict=True
    ):
        placed.agree(number, f"finished {what}")
    # The folder comes first: a training must not end in a path that can't be written.
    with _written(settings["output"]) as folder:
        with placed.scope(), precision(settings["precision"]):
            keras.utils.set_random_seed(settings["seed"])
            task = _task(settings, known)
            still, task = frozen(task), _adapted(task, settings["adapt"])
            data, held = (_named(part, task, known) for part in (data, held))
            if verbose not in (0, "0"):
                for part in filter(None, (data, held)):
                    print(part.describe(task.labels), flush=True)
            data = _part(data, settings)
            if settings["variations"] is not None:
                own, data = len(data), _variations(settings).of(data)
                if verbose not in (0, "0"):
                    print(f"Beside them {count_of(len(data) - own, 'variation')}.", flush=True)
            _fit(task, settings, data, held, checkpoints, verbose, on_event if is_chief() else None)
        record = {
            "recipe": {**settings, **paths},
            "task": {"name": settings["task"], **known, "labels": task.labels},
            "data": {
                "train": data.record(task.labels),
                "validation": None if held is None else held.record(task.labels),
            },
            "examples": len(data),
            "validation_examples": len(held) if held else 0,
            "seconds": round(checkpoints.seconds, 1),
            "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
            "epochs": task.history.epoch,
            "history": task.history.history,
        }
        summary = settings["summary"] or (
            f"{Path(str(settings['model'])).name} trained on {Path(settings['train']).name}."
        )
        learnt, task = task, _merged(task, still)
        task.save_preset(folder, card={"summary": summary, "made": "by kzoo train: training.json"})
        if task is not learnt:
            save_adapter(learnt, folder / ADAPTER)
        text = json.dumps(record, indent=2) + "\n"
        (folder / "training.json").write_text(text, encoding="utf-8")
        plot.write(plot.history(task.history), folder / CURVES)
    checkpoints.clear()
    placed.agree(0, "")  # No one leaves before the chief has written.
    return task, task.history


def _merged(task, still):
    """The task whose preset is written, in which stands still what did before it was adapted.

    One with bottlenecks stays as it is: what is to learn in it has learnt.
    """
    if has_bottlenecks(task):
        return task
    plain = merged(task)
    plain.history = task.history
    freeze(plain, still)
    return plain


@contextlib.contextmanager
def _written(output):
    """`writing_folder` of the chief; what other workers write goes."""
    writing = writing_folder(output) if is_chief() else tempfile.TemporaryDirectory()
    with writing as folder:
        yield Path(folder)


def metrics_of(recipe):
    """The names of what is measured in the training of a recipe, the loss first."""
    settings = read_recipe(recipe)
    settings.pop("paths")
    _, _, known = _read(settings)
    return ["loss", *(metric.name for metric in _task(settings, known).default_metrics())]


def can_resume(recipe):
    """Whether a run of this recipe would go on with a checkpoint, or begin without one."""
    settings = read_recipe(recipe)
    settings.pop("paths")
    try:
        _checkpoints(settings).check()
    except KzooError:
        return False
    return True


def _checkpoints(settings, every=EVERY):
    """What a recipe's training keeps until it is done, beside its output."""
    output = Path(settings["output"]).resolve()
    folder = output.with_name(output.name + ".unfinished")
    anew = "say --fresh (in Python fresh=True)"
    return Checkpoints(folder, every, _facts(settings), anew)


def filled(recipe, keys, what):
    """A recipe with every key of `keys`, and the folder that its paths are relative to.

    `what` names it in the error about a file that isn't one.
    """
    base = Path()
    if isinstance(recipe, (str, Path)):
        base = Path(recipe).parent
        recipe = read_json(recipe, what)
    if not isinstance(recipe, dict):
        raise KzooError(f"A recipe is a JSON object; {type(recipe).__name__} came.")
    unknown = sorted(set(recipe) - set(keys))
    if unknown:
        raise KzooError(
            f"The recipe has the unknown key {unknown[0]!r}; known are {', '.join(keys)}."
        )
    settings = {**keys, **recipe}
    missing = [key for key, value in settings.items() if value is REQUIRED]
    if missing:
        raise KzooError(f"The recipe lacks {' and '.join(missing)}: say which.")
    return settings, base


def read_recipe(recipe, base=None):
    """The settings of a recipe, every key filled in and checked.

    `base` is the folder that paths are relative to where the recipe is a dict.
    """
    settings, here = filled(recipe, KEYS, "a training recipe")
    base = here if base is None else base
    for key, (fits, expected) in TYPES.items():
        _check(settings, key, fits(settings[key]), expected)
    if settings["labels"] is not None:
        check_labels(settings["labels"], "labels in the recipe")
    # The record keeps the paths as they were written: they mean something beside the recipe.
    settings["paths"] = {}
    for key in ("train", "output", "model", "validation", "tensorboard"):
        if isinstance(settings[key], (str, Path)):
            settings["paths"][key] = str(settings[key])
            settings[key] = placed(settings[key], base, is_preset=key == "model")
    teacher = settings["teacher"]
    if teacher is not None:
        settings["paths"]["teacher"] = teacher
        teacher = teacher if isinstance(teacher, dict) else {"model": teacher}
        model = placed(teacher["model"], base, is_preset=True)
        answers = {"answers": placed(teacher["answers"], base)} if "answers" in teacher else {}
        settings["teacher"] = {**teacher, "model": model, **answers}
    if settings["task"] is None:
        settings["task"] = _own_task(settings["model"])
    _check(settings, "task", settings["task"] in TRAINED, " or ".join(TRAINED))
    fits = settings["precision"] in PRECISIONS
    _check(settings, "precision", fits, " or ".join(PRECISIONS))
    _check(settings, "keep", settings["keep"] in ("last", "best"), "last or best")
    for key in ("epochs", "batch_size", "accumulation"):
        value = settings[key]
        _check(settings, key, is_whole(value, 1), "a whole number of at least 1")
    for key in ("learning_rate", "weight_decay", "warmup", "clip_norm", "layer_decay"):
        value = settings[key]
        fits = is_number(value, 0) or (key in ("clip_norm", "learning_rate") and value is None)
        _check(settings, key, fits, "a number above 0")
    _optimizer(settings)  # Else it says what is wrong.
    held = settings["validation"]
    share = type(held) is float and 0 < held < 1
    _check(
        settings,
        "validation",
        held is None or isinstance(held, str) or share,
        "a file, a folder or a share of the training examples between 0 and 1",
    )
    for key, wants in (("keep", settings["keep"] == "best"), ("patience", settings["patience"])):
        if wants and held is None:
            raise KzooError(
                f"{key} in the recipe asks for the best epoch, and there is no validation: name a "
                "file or a share."
            )
    if settings["ema"] is not None and (settings["keep"] == "best" or settings["patience"]):
        raise KzooError(
            "ema in the recipe writes the average over all epochs, and keep or patience asks for "
            "one epoch: leave one of them out."
        )
    if settings["masking"] is not None and (settings["keep"] == "best" or settings["patience"]):
        raise KzooError(
            "masking in the recipe needs all epochs, and keep or patience asks for an earlier one, "
            "in which less was masked: leave one of them out."
        )
    if settings["masking"] is not None and settings["adapt"] is not None:
        raise KzooError(
            "masking in the recipe leaves out weights that adapt lets stand still: leave one of "
            "them out."
        )
    _masking(settings["masking"], None, settings["seed"])  # Else it says what is wrong.
    _adapter(settings["adapt"])
    _lessons(settings["teacher"])
    _variations(settings)
    for key, uses in USED_BY.items():
        if settings[key] is not None and settings["task"] not in uses:
            raise KzooError(
                f"{key} in the recipe means nothing to {an(settings['task'])}, only to a "
                f"{' or '.join(uses)}: leave it out."
            )
    if settings["augment"] is not None:
        tasks.TASKS[settings["task"]].named_augment(settings["augment"])  # Else it says why not.
    return settings


def placed(path, base, is_preset=False):
    """A path as seen from here; a preset's name, which is no path, stays one."""
    beside = base / path
    return str(beside if not is_preset or beside.exists() else path)


def _own_task(model):
    """The task that a preset is; of a backbone and of other files the classifier of what it reads.

    A task that learns without targets is what published backbones come with: whether it is to
    learn more, or another is to stand on it, the recipe says.
    """
    task, _ = presets.read_task(model) or (_usual_task(model), None)
    if task not in TRAINED or tasks.TASKS[task].targets == "none":
        raise KzooError(
            f"Got {model}, {an(task)}, and no task in the recipe; expected it to say "
            f"{' or '.join(TRAINED)}."
        )
    return task


def _usual_task(model):
    """The first of `TRAINED` that makes what a model's embedding reads."""
    # Of what another library wrote only reading tells.
    spec = presets.load(model).spec if presets.class_of(model) is None else presets.read_spec(model)
    own = next((name for name in TRAINED if name in family_of(spec).HEADS), None)
    if isinstance(spec, Towers) and "embedding" not in spec.options and own is not None:
        return own  # Towers without a common table are what their family is for.
    slot = spec.options.get("embedding") if isinstance(spec, Towers) else spec.embedding
    reads = resolve("embedding", slot)[0].input_name if slot else None
    for name in TRAINED:
        if tasks.TASKS[name].input_name == reads:
            return name
    raise KzooError(
        f"Got {model}, a network of the family {spec.family}, for which kzoo train has no task; "
        "expected one that reads texts, pictures or sounds: train it in Python."
    )


def _read(settings):
    """The examples to learn from, those held out or None, and what they say of the task."""
    kind = tasks.TASKS[settings["task"]]

    def examples_of(path):
        column = settings["text"] if settings["column"] is None else settings["column"]
        return kind.read_file(path, column, settings["label"], kind.targets)

    # The labels are those of the whole file, also where a share of it is held out.
    data = examples_of(settings["train"])
    known, data = kind.understand(data, settings["problem"], settings["labels"])
    share = settings["validation"]
    if not isinstance(share, float):
        held = None if share is None else examples_of(share)
        if held is not None:
            _, held = kind.understand(held, known.get("problem"), known.get("labels"), False)
        return data, held, known
    return *kind.hold_out(data, share, settings["seed"]), known


def _facts(settings):
    """What must be the same where a run goes on: the recipe, what it reads, the libraries."""
    facts = fact({k: v for k, v in settings.items() if k not in UNLIKE})
    return {**facts, "keras": keras.__version__, "backend": keras.backend.backend()}


def _is_path(value):
    return isinstance(value, (str, Path)) and str(value) != ""


def _is_names(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(v, str) for v in value)
    )


def _is_size(value):
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(v, 1) for v in value)
    )


def _is_column(value):
    return isinstance(value, str) or is_whole(value, 0)


def _are_columns(value):
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_column, value))


def _is_weights(value):
    return (
        isinstance(value, dict) and len(value) > 0 and all(is_number(v, 0) for v in value.values())
    )


# What the values of keys must be, where nothing else of the recipe decides it.
TYPES = {
    "summary": (lambda v: isinstance(v, str), "text"),
    "model": (_is_path, "a preset's name or a folder"),
    "train": (_is_path, "the path of a file or folder"),
    "output": (_is_path, "the path of a folder"),
    "labels": (lambda v: v is None or _is_names(v), "a list of names"),
    "head": (lambda v: v is None or isinstance(v, (str, dict)), 'a kind such as "mean"'),
    "objective": (lambda v: v is None or isinstance(v, str), "a name"),
    "pairs": (lambda v: v is None or isinstance(v, str), "a name"),
    "generator": (
        lambda v: v is None or is_number(v, 0, 1) or _is_path(v),
        "a share of the width, or a preset",
    ),
    "max_length": (lambda v: v is None or is_whole(v), "a whole number of tokens"),
    "image_size": (
        lambda v: v is None or is_whole(v, 1) or _is_size(v),
        "a whole number of pixels or a list of height and width",
    ),
    "augment": (
        lambda v: v is None or isinstance(v, (str, dict, list)),
        'a kind such as "RandomFlip" or a list of some',
    ),
    "column": (
        lambda v: v is None or isinstance(v, str) or (_are_columns(v) and len(v) == 2),
        "the name of a column or a list of two",
    ),
    "problem": (lambda v: v is None or v in PROBLEMS, " or ".join(PROBLEMS)),
    "class_weights": (
        lambda v: v is None or v == "balanced" or _is_weights(v),
        'an object of labels with their weights, or "balanced"',
    ),
    "text": (
        lambda v: v is None or _is_column(v) or (_are_columns(v) and len(v) > 1),
        "a column or a list of two or more",
    ),
    "label": (
        lambda v: v is None or _is_column(v) or _are_columns(v),
        "a column or a list of some",
    ),
    "patience": (lambda v: v is None or is_whole(v, 1), "a number of epochs"),
    "optimizer": (lambda v: isinstance(v, (str, dict)), 'a name such as "AdamW"'),
    "ema": (lambda v: v is None or (is_number(v, 0, 1) and v < 1), "a number from 0 to below 1"),
    "examples": (
        lambda v: v is None or is_whole(v, 1) or (is_number(v, 0, 1) and v),
        "a number of examples, or a share of them",
    ),
    "teacher": (
        lambda v: (
            v is None
            or _is_path(v)
            or (
                isinstance(v, dict) and _is_path(v.get("model")) and _is_path(v.get("answers", "."))
            )
        ),
        'a preset, or an object whose "model" is one and whose "answers", if any, are a folder',
    ),
    "variations": (lambda v: v is None or isinstance(v, dict), 'an object such as {"copies": 4}'),
    "masking": (
        lambda v: v is None or (isinstance(v, dict) and isinstance(v.get("kind"), str)),
        'an object whose "kind" is Pruning or Sparsity',
    ),
    "adapt": (
        lambda v: v is None or isinstance(v, (str, dict)),
        f"an object whose kind is {' or '.join(ADAPTERS)}",
    ),
    "gradient_checkpointing": (lambda v: isinstance(v, bool), "true or false"),
    "strategy": (lambda v: isinstance(v, str) and v in KINDS, " or ".join(KINDS)),
    "tensorboard": (lambda v: v is None or _is_path(v), "a folder"),
    "seed": (lambda v: is_whole(v, 0, 2**32 - 1), "a whole number from 0 to 2**32 - 1"),
}


def _check(settings, key, fits, expected):
    if not fits:
        raise KzooError(f"{key} in the recipe is {settings[key]!r}; {expected} is expected.")


def _task(settings, known):
    kind = tasks.TASKS[settings["task"]]
    source = presets.load(settings["model"])
    if settings["image_size"] is not None:
        source = source.resized(settings["image_size"])
    options = {}
    if settings["task"] in USED_BY["max_length"]:
        options["max_length"] = settings["max_length"] or getattr(source, "max_length", None)
    asked = ("objective", "pairs", "generator")
    options |= {key: settings[key] for key in asked if settings[key] is not None}
    if kind is tasks.ReplacedTokenDetection and getattr(source, "generator", None) is None:
        options.setdefault("generator", RATIO)
    if kind is tasks.TextEmbedder:
        return kind(source, pooling=settings["head"], **options)
    known = dict(known)
    if settings["labels"] is None and "labels" in known:
        known["labels"] = _names(source, known["labels"])
    return kind(source, head=settings["head"], **known, **options)


def _names(source, names):
    """The labels of a model that is trained further, where its examples have no others.

    As in `fit`, whole numbers stand for the labels at their places.
    """
    known = getattr(source, "labels", None) or []
    return known if all(class_index(name, known) is not None for name in names) else names


def _named(examples, task, known):
    """The examples with the labels that the task has for theirs."""
    if examples is None or task.labels == known.get("labels"):
        return examples
    return task.understand(examples, known.get("problem"), task.labels, False)[1]


def _part(data, settings):
    """As many of the examples as the recipe says, in the file's order."""
    asked = settings["examples"]
    if asked is None:
        return data
    count = round(asked * len(data)) if isinstance(asked, float) else asked
    draw = np.random.default_rng(settings["seed"]).permutation(len(data))
    return data.part(sorted(draw[: max(1, count)].tolist()))


def _variations(settings):
    """What makes the copies that a recipe asks for, or None."""
    options = settings["variations"]
    if options is None:
        return None
    return _made(Variations, {"seed": settings["seed"], **options}, "variations")


def _teacher(asked, x, placed):
    """The teacher that a recipe asks for, or None; `x` are the examples that it is to answer."""
    if asked is None:
        return None
    model = presets.load(asked["model"])
    if asked.get("answers") is not None:
        with placed.chief_first():
            model = cached(model, x, asked["answers"])
    options = {key: value for key, value in asked.items() if key not in ("model", "answers")}
    return _made(Teacher, {"model": model, **options, **_lessons(asked)}, "teacher")


def _lessons(asked):
    """What a teacher is asked to give, its `lessons` alone; KzooError for what it hasn't got."""
    if asked is None:
        return {}
    presets.check_has_weights(asked["model"], "it has nothing to teach")
    known = [*inspect.signature(Teacher).parameters, "answers"]
    _check_options(asked, known, "teacher")
    lessons = asked.get("lessons")
    if lessons is None:
        return {}
    if not isinstance(lessons, list):
        raise KzooError(f"Got the lessons {lessons!r:.60} in the recipe; expected a list of them.")
    return {"lessons": [_named_of(LESSONS, lesson, "lesson") for lesson in lessons]}


def _masking(asked, data, seed):
    """The callback that a recipe asks for, in a list; or none."""
    if asked is None:
        return []
    options = dict(asked)
    count = options.pop("examples", 0)
    if not is_whole(count, 0):
        raise KzooError(
            f"Got examples={count!r:.40} for the masking in the recipe; expected how many of the "
            "training's it measures on."
        )
    if count and data is not None:
        rows = np.random.default_rng(seed).permutation(len(data))[:count]
        options["data"] = tuple(data.part(sorted(rows.tolist())))
    return [_named_of(MASKINGS, options, "masking")]


def _adapter(asked):
    """The function of kzoo.adapters that a recipe asks for, and its arguments; or (None, {})."""
    if asked is None:
        return None, {}
    kind, options = _kind_of(ADAPTERS, asked, "adapt")
    known = [name for name in inspect.signature(ADAPTERS[kind]).parameters if name != "model"]
    _check_options(options, [name for name in known if name != "dora"], f"adapt {kind}")
    return ADAPTERS[kind], {**options, **({"dora": kind == "dora"} if "dora" in known else {})}


def _adapted(task, asked):
    """The task as the recipe lets it learn."""
    function, options = _adapter(asked)
    return task if function is None else function(task, **options)


def _optimizer(settings):
    """The optimizer that a recipe asks for; what all have is said by keys of their own."""
    asked = settings["optimizer"]
    kind, options = _kind_of(OPTIMIZERS, asked, "optimizer")
    given = sorted(set(options) & set(COMMON))
    if given:
        raise KzooError(
            f"Got {given[0]!r} within the optimizer of the recipe; expected only what {kind} alone "
            "has: say it as a key of the recipe."
        )
    common = inspect.signature(FineTuned).parameters
    known = [n for n in inspect.signature(OPTIMIZERS[kind]).parameters if n not in common]
    _check_options(options, known, f"optimizer {kind}")
    steps, momentum = settings["accumulation"], settings["ema"]
    own = {key: settings[key] for key in COMMON if settings[key] is not None or key == "clip_norm"}
    own["gradient_accumulation_steps"] = steps if steps > 1 else None
    if momentum is not None:
        own |= {"use_ema": True, "ema_momentum": momentum}
    return _named_of(OPTIMIZERS, asked, "optimizer", **own)


def _kind_of(known, asked, what):
    """The kind and the options of what a recipe names: "kind", or {"kind": it, argument: value}."""
    options = {"kind": asked} if isinstance(asked, str) else asked
    kind = options.get("kind") if isinstance(options, dict) else None
    if not isinstance(kind, str) or kind not in known:
        raise KzooError(f"Got the {what} {asked!r:.60}; expected one of {', '.join(known)}.")
    return kind, {key: value for key, value in options.items() if key != "kind"}


def _named_of(known, asked, what, **given):
    """One of some classes: its name, or {"kind": its name, argument: value}; `given` beside it."""
    kind, options = _kind_of(known, asked, what)
    if isinstance(options.get("steps"), dict):  # JSON has no numbers as keys.
        options["steps"] = {int(k) if k.isdecimal() else k: v for k, v in options["steps"].items()}
    return _made(known[kind], {**options, **given}, f"{what} {kind}")


def _made(cls, options, what):
    """An object of a class; an option that it doesn't have is an error that names it."""
    parameters = inspect.signature(cls).parameters
    _check_options(options, list(parameters), what)
    empty = inspect.Parameter.empty
    missing = [n for n, p in parameters.items() if p.default is empty and n not in options]
    if missing:
        raise KzooError(f"The {what} in the recipe lacks {missing[0]}: say which.")
    return cls(**options)


def _check_options(options, known, what):
    """Raise KzooError for options that nobody knows."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise KzooError(
            f"The {what} in the recipe has the unknown option {unknown[0]!r}; known are "
            f"{', '.join(known)}."
        )


def _fit(task, settings, data, held, checkpoints, verbose, on_event):
    options = {}
    masking = _masking(settings["masking"], data, settings["seed"])
    loss = task.loss_without_targets() if data.y is None else None
    if settings["augment"] is not None:
        options["augment"] = task.named_augment(settings["augment"])
        loss = task.loss_of_augmented(options["augment"])
    batches = -(-len(data) // settings["batch_size"]) * settings["epochs"]
    if settings["accumulation"] > batches:
        raise KzooError(
            f"Got accumulation {settings['accumulation']} for a training of {batches} batches, in "
            "which nothing would be learnt; expected no more than these."
        )
    task.compile(
        loss=loss,
        optimizer=_optimizer(settings),
        teacher=_teacher(settings["teacher"], data.x, strategy(settings["strategy"])),
        gradient_checkpointing=settings["gradient_checkpointing"],
    )
    monitor = "val_" + task.monitored()
    best = BestEpoch(monitor, settings["keep"] == "best", settings["patience"])
    task.fit(
        data.x,
        data.y,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        class_weight=_class_weights(settings["class_weights"], data, task),
        validation_data=None if held is None else tuple(held),
        callbacks=[*masking, best, Progress(on_event), *_board(settings["tensorboard"])],
        verbose=verbose,
        resume=checkpoints,
        **options,
    )


def _board(folder):
    """Keras' TensorBoard in a list, or none; of several workers the chief alone writes."""
    return [keras.callbacks.TensorBoard(folder)] if folder is not None and is_chief() else []


def _class_weights(asked, data, task):
    """Keras' class_weight: {index: weight}, or None."""
    if asked is None:
        return None
    if getattr(task, "problem", "single_label") != "single_label":
        raise KzooError(
            f"class_weights in the recipe are of classes, and the problem is {task.problem}: leave "
            "them out."
        )
    if asked == "balanced":
        counts = data.counts(task.labels)
        total = sum(counts.values())
        asked = {
            label: total / (len(task.labels) * counts[label])
            for label in task.labels
            if counts[label]
        }
    unknown = sorted(set(asked) - set(task.labels))
    if unknown:
        raise KzooError(
            f"class_weights in the recipe has {unknown[0]!r:.40}; expected labels of "
            f"{listed(task.labels)}."
        )
    return {number: float(asked.get(label, 1.0)) for number, label in enumerate(task.labels)}
