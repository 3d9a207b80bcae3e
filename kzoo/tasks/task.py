"""What all text tasks share: raw text in, token batches for Keras, raw answers out."""

from numbers import Number
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ..data.batches import IGNORED, BatchPlan, bucketed_batches
from ..data.sources import is_table, read_examples
from ..errors import KzooError
from ..keras_hooks import DistributedFit, precision
from ..network import Network, weights_by_path
from ..parts import make
from ..spec import Spec
from ..text.tokenizer import Tokenizer, check_tokenizer


class TextTask(DistributedFit, keras.Model):
    """A backbone, a tokenizer and a head that learn and answer on strings.

    Called on the backbone's token dict it returns a dict of raw outputs (logits); `fit`,
    `evaluate` and `predict` take text. Rows may also hold several sequences each, as
    (batch, sequences, length): they are folded, run and unfolded.

    Args:
        backbone: a `Network`, another task (its backbone and tokenizer are taken), a preset's
            name or folder (a warning says if it holds no weights), or a Hugging Face folder. The
            task shares it, and computes in its precision; a pooler that the head doesn't read is
            left out of a copy.
        labels: the names of the classes, in the order of the logits.
        head: what the head slot holds; the family's usual head by default.
        max_length: tokens at most; longer text is cut. The model's maximum by default.
        tokenizer: a `Tokenizer`; the preset's by default.
        name: the Keras name.
    """

    task_name = None  # The public task that this is; a subclass of the user's is saved as it.
    default_head = None
    # Whether `fit` takes targets: "required", "optional", or "none" where texts hold their own.
    targets = "required"
    output_axes = {}  # How many each output has for rows of tokens, which a head must give.

    def __init__(
        self, backbone, labels=None, head=None, max_length=None, tokenizer=None, name=None
    ):
        backbone, tokenizer = _taken(backbone, tokenizer)
        super().__init__(name=name or _snake_case(type(self).__name__), dtype=backbone.dtype_policy)
        self.labels = None if labels is None else [str(label) for label in labels]
        self.head_slot = head or self.usual_head(backbone)
        self.max_length = _checked_length(max_length, backbone.spec)
        with precision(backbone.dtype_policy):
            self.head = self.make_head(backbone)
        pool = getattr(self.head, "pool", None)
        if pool is not None and pool.needs_pooler and backbone.spec.pooler == "none":
            raise KzooError(
                f"{self.head_slot!r} reads the backbone's pooler, and this one has none: take "
                "'mean' or 'first'."
            )
        self.backbone = self.fitted(backbone)
        self._tokenizer = tokenizer
        self._check_tokenizer()
        outputs = self(self.backbone.symbolic_inputs())
        came = {output: len(value.shape) for output, value in outputs.items()}
        if {**came, **self.output_axes} != came:
            raise KzooError(
                f"The head {self.head_slot!r} gives {_axes(came)}; a {self.task_name} needs "
                f"{_axes(self.output_axes)}: take its usual head, or another of that kind."
            )

    # -- the network ----------------------------------------------------------------------------

    def usual_head(self, backbone):
        """The head that this task has on this family by default; mean on one without a pooler."""
        head = backbone.HEADS.get(self.task_name, self.default_head)
        return "mean" if head == "pooled" and backbone.spec.pooler == "none" else head

    def make_head(self, backbone):
        """The head layer."""
        return make("head", self.head_slot, spec=backbone.spec, units=self.num_outputs, name="head")

    def fitted(self, backbone):
        """The backbone itself, or a copy that lacks what the head doesn't read."""
        if not self.head.needs_pooler and backbone.spec.pooler != "none":
            return backbone.with_spec(pooler="none")
        return backbone

    @property
    def num_outputs(self):
        """How many logits the head has."""
        return len(self.labels)

    @property
    def spec(self):
        """The backbone's spec."""
        return self.backbone.spec

    def __call__(self, inputs, *args, **kwargs):
        """Run the model on the token dict; what doesn't fit is an error that says so."""
        if isinstance(inputs, (str, list, tuple)):
            raise KzooError(
                f"A {self.task_name} is called on the dict that its tokenize() gives, and a "
                f"{type(inputs).__name__} came: call predict() for strings."
            )
        inputs = self.backbone.check_inputs(inputs, ranks=(2, 3))
        return super().__call__(inputs, *args, **kwargs)

    def predict_on_batch(self, x):
        """The raw outputs, as NumPy, for the token dict."""
        return super().predict_on_batch(self.backbone.check_inputs(x, ranks=(2, 3)))

    def call(self, inputs, training=None):
        """The raw outputs, in float32, for the dict of the backbone's inputs."""
        folded = len(inputs["token_ids"].shape) == 3
        if folded:
            count = ops.shape(inputs["token_ids"])[1]
            inputs = {
                k: ops.reshape(v, (-1, v.shape[2] or ops.shape(v)[2])) for k, v in inputs.items()
            }
        outputs = self.run_head(self.backbone(inputs, training=training), inputs, training)
        outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
        if folded:
            outputs = {k: ops.reshape(v, (-1, count, *v.shape[1:])) for k, v in outputs.items()}
        return outputs

    def run_head(self, outputs, inputs, training):
        """The head's outputs from the backbone's."""
        return self.head(outputs, inputs["padding_mask"], training=training)

    # -- text to tokens -------------------------------------------------------------------------

    @property
    def tokenizer(self):
        """The tokenizer; an error says what to do if there is none."""
        if self._tokenizer is None:
            raise KzooError(
                f"This {self.task_name} has no tokenizer: give tokenizer=kzoo.Tokenizer.load("
                "folder), or call it on token ids."
            )
        return self._tokenizer

    def __setattr__(self, name, value):
        # No setter: Keras reads an attribute before it sets it, and ours raises while unset.
        super().__setattr__("_tokenizer" if name == "tokenizer" else name, value)
        if name == "tokenizer":
            self._check_tokenizer()

    def _check_tokenizer(self):
        tokenizer = check_tokenizer(self._tokenizer)
        if tokenizer is not None and tokenizer.vocabulary_size > self.spec.vocabulary_size:
            raise KzooError(
                f"The tokenizer has {tokenizer.vocabulary_size} tokens and the embedding "
                f"{self.spec.vocabulary_size} rows: they don't belong together."
            )

    def tokenize(self, texts):
        """Strings, or pairs of strings, to the padded token dict that the model is called on."""
        columns = self._columns(texts, padding="longest")
        return {name: columns[name] for name in self.backbone.input_names}

    def _columns(self, texts, padding=None):
        first, second = split_pairs(texts)
        columns = self.tokenizer.encode(first, second, max_length=self.max_length, padding=padding)
        return {name: columns[name] for name in self.backbone.input_names}

    def encode_examples(self, x):
        """Raw inputs of `fit` as ragged token columns."""
        return self._columns(x)

    def encode_targets(self, y, x):
        """Raw targets of `fit` as an array."""
        raise NotImplementedError

    # -- learning -------------------------------------------------------------------------------

    def compile(self, optimizer=None, loss=None, metrics=None, **kwargs):
        """`keras.Model.compile` with the task's loss and metrics as defaults.

        The default optimizer is `kzoo.AdamW(5e-5)`. `jit_compile` follows the backend: on JAX it
        is on, since without it each operation runs by itself, and lengths come in few sizes; on
        TensorFlow it is off, where a graph runs anyway and XLA would compile each length anew.
        """
        from ..training import AdamW

        kwargs.setdefault("jit_compile", keras.backend.backend() == "jax")
        super().compile(
            optimizer=AdamW(5e-5) if optimizer is None else optimizer,
            loss=self.default_loss() if loss is None else loss,
            metrics=self.default_metrics() if metrics is None else metrics,
            **kwargs,
        )

    def default_loss(self):
        """The loss that `compile` takes by default."""
        raise NotImplementedError

    def default_metrics(self):
        """The metrics that `compile` takes by default."""
        return []

    def scored(self, outputs):
        """The output that loss and metrics look at."""
        return outputs["logits"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the loss of the scored output."""
        return super().compute_loss(x, y, self.scored(y_pred), sample_weight, training=training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: the metrics of the scored output."""
        return super().compute_metrics(x, y, self.scored(y_pred), sample_weight)

    def fit(
        self,
        x,
        y=None,
        batch_size=32,
        epochs=1,
        validation_data=None,
        validation_split=0.0,
        shuffle=True,
        sample_weight=None,
        seed=0,
        text=None,
        label=None,
        **kwargs,
    ):
        """`keras.Model.fit` on raw text, in batches of similar length.

        Args:
            x: a list or array of strings or of pairs; a `tf.data.Dataset` of text, (text, target)
                or (text, target, weight), batched or not, where a pair is ((text, text), target);
                or the path of a .tsv, .csv or .jsonl file (maybe .gz) with the columns sentence
                (or text; sentence1 and sentence2 for pairs) and label, or those named below.
            y: the targets; class indices or label names for a classifier. None where x holds them,
                or where the task makes them of the texts.
            batch_size: examples a batch, over all replicas; None for 32.
            epochs: passes over the data.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, a path, a dataset, or a list of
                inputs where there are no targets.
            validation_split: the share at the end of the data that is held out instead.
            shuffle: a new order every epoch, decided by `seed`.
            sample_weight: one weight an example.
            seed: of the order of the examples.
            text: in files, the column of the text, or a list of two for pairs.
            label: in files, the column of the targets.
            kwargs: `callbacks`, `verbose`, `initial_epoch` and the like, as Keras has them.

        Returns:
            Keras' `History`.
        """
        self._check_compiled()
        _check_columns(text, label, x, *(() if validation_data is None else (validation_data,)))
        x, y, sample_weight = self._examples(x, y, sample_weight, text, label)
        if validation_split:
            x, y, sample_weight, validation_data = _split(x, y, sample_weight, validation_split)
        batches = self.batches(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            initial_epoch=kwargs.get("initial_epoch", 0),
        )
        if validation_data is not None:
            held = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            if not 1 <= len(held) <= 3:
                raise KzooError(
                    f"validation_data has {len(held)} parts; (x, y) or (x, y, sample_weight) is "
                    "expected."
                )
            examples = self._examples(*held, text=text, label=label)
            validation_data = self.batches(*examples, batch_size=batch_size)
        return super().fit(
            batches, epochs=epochs, validation_data=validation_data, shuffle=False, **kwargs
        )

    def evaluate(
        self, x, y=None, batch_size=32, sample_weight=None, text=None, label=None, **kwargs
    ):
        """`keras.Model.evaluate` on raw text; x, y, text and label as in `fit`."""
        self._check_compiled()
        if hasattr(x, "plan"):  # Batches that `fit` made, for its validation.
            return super().evaluate(x, **kwargs)
        _check_columns(text, label, x)
        examples = self._examples(x, y, sample_weight, text, label)
        return super().evaluate(self.batches(*examples, batch_size=batch_size), **kwargs)

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """Answers for raw text, in its order: an array with a row an example.

        x is a text, a list of texts or of pairs, or the path of a file as in `fit`, whose columns
        `text` names. A string is taken as a path if `text` is given, or where it ends in .tsv,
        .csv or .jsonl (maybe .gz) and has no space in it or is a file; in a list it is a text.
        """
        columns = self.encode_examples(self._inputs(x, text))
        order, outputs = self._run(columns, batch_size, verbose)
        answers = np.concatenate([self.answer(batch) for batch in outputs])
        restored = np.empty_like(answers)
        restored[order] = answers
        return restored

    def answer(self, outputs):
        """What `predict` gives for raw outputs, as NumPy."""
        raise NotImplementedError

    def batches(self, x, y=None, sample_weight=None, **options):
        """Raw examples as what Keras' loops take: padded batches of similar length.

        `options` are those of `bucketed_batches`: batch_size, shuffle, seed, initial_epoch.
        """
        self._check_targets(y)
        return bucketed_batches(
            self.encode_examples(x),
            self.encode_targets(y, x),
            sample_weight=sample_weight,
            padding_id=self.spec.padding_id,
            max_length=self.max_length,
            **options,
        )

    def _run(self, columns, batch_size, verbose=0):
        """The raw outputs of ragged columns, batch by batch from short to long, and the order."""
        plan = BatchPlan(
            columns,
            None,
            None,
            batch_size,
            padding_id=self.spec.padding_id,
            max_length=self.max_length,
        )
        bar = keras.utils.Progbar(plan.size, verbose=1 if verbose else 0)
        outputs = []
        for rows in plan.order():
            batch = self.predict_on_batch(plan.batch(plan.rounded(rows))[0])
            outputs.append({name: np.asarray(value)[: len(rows)] for name, value in batch.items()})
            if verbose:
                bar.add(len(rows))
        return np.concatenate(plan.order()), outputs

    def _check_compiled(self):
        if not self.compiled:
            raise KzooError("Call compile() before fit() or evaluate(); its defaults will do.")

    def _check_targets(self, y):
        if y is None and self.targets == "required":
            raise KzooError(
                f"No targets came: fit and evaluate of a {self.task_name} take one for each "
                "input, as y or beside it in a file or dataset."
            )

    def _inputs(self, x, text=None):
        """A list of inputs from whatever `predict` was handed."""
        if isinstance(x, Path) or (isinstance(x, str) and (text is not None or is_table(x))):
            return read_examples(x, text, require_label=False)[0]
        _check_columns(text, None, x)
        return _as_list(x)

    def _examples(self, x, y=None, sample_weight=None, text=None, label=None):
        """Lists of inputs, targets and weights from whatever `fit` was handed."""
        if isinstance(x, (str, Path)):
            x, found = read_examples(x, text, label, self.targets == "required" and y is None)
            y = None if self.targets == "none" else (found if y is None else y)
        elif hasattr(x, "as_numpy_iterator"):
            x, y, sample_weight = _from_dataset(x)
        x = _as_list(x)
        for name, given in (("targets", y), ("sample weights", sample_weight)):
            if given is not None and not _is_column(given):
                raise KzooError(
                    f"{given!r:.60} came as {name}; a list or array of one for each of the "
                    f"{len(x)} inputs is expected."
                )
            if given is not None and len(given) != len(x):
                raise KzooError(
                    f"{len(x)} inputs came with {len(given)} {name}: one each is expected."
                )
        return x, y, sample_weight

    # -- keeping --------------------------------------------------------------------------------

    def get_config(self):
        """What rebuilds the task: the backbone's config and the task's own arguments."""
        return {
            "backbone": self.backbone.get_config(),
            "labels": self.labels,
            "head": self.head_slot,
            "max_length": self.max_length,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`; the tokenizer comes with the saved assets."""
        from ..models import family_of

        config = dict(config)
        backbone = config.pop("backbone")
        family = family_of(Spec.from_dict(backbone["spec"]))
        return cls(family.from_config(backbone), **config)

    def get_compile_config(self):
        """Keras' hook: what the task was compiled with, and the weights that stand still."""
        config = super().get_compile_config()
        if config:
            weights = weights_by_path(self)
            config["frozen"] = [path for path in weights if not weights[path].trainable]
            config["optimizer_built"] = self.optimizer.built
        return config

    def compile_from_config(self, config):
        """Keras' hook: a loaded task is compiled as it was; the optimizer's state comes next.

        The state has a place for each weight that learns, so the same ones must.
        """
        config = dict(config)
        frozen, built = set(config.pop("frozen", ())), config.pop("optimizer_built", True)
        for path, weight in weights_by_path(self).items():
            weight.trainable = path not in frozen
        self.compile(**keras.saving.deserialize_keras_object(config))
        if built:
            self.optimizer.build(self.trainable_variables)

    def save_assets(self, folder):
        """Keras' hook: the tokenizer goes into the .keras file."""
        if self._tokenizer is not None:
            self._tokenizer.save(folder)

    def load_assets(self, folder):
        """Keras' hook: the tokenizer comes back from the .keras file."""
        if (Path(folder) / "tokenizer.json").is_file():  # A task may have been saved without one.
            self.tokenizer = Tokenizer.load(folder)

    @classmethod
    def from_preset(cls, name):
        """Load a task: a name that `kzoo list` shows, or a folder."""
        from .. import presets

        task = presets.load(name)
        if not isinstance(task, cls):
            raise KzooError(f"{str(name)!r} is a {type(task).__name__}, not a {cls.__name__}.")
        return task

    def save_preset(self, folder, card=None):
        """Write the task as a preset folder that `kzoo.load` reads."""
        from .. import presets

        presets.save_preset(self, folder, card=card)


class PlaceTask(TextTask):
    """A task with a target for each place, or none where that is `IGNORED`."""

    def default_loss(self):
        """Cross-entropy over the places that have a target."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)

    def default_metrics(self):
        """Accuracy over the places that have a target."""
        return [PlaceAccuracy()]

    def loss_count(self, y):
        """The places that have a target: the loss is their mean."""
        return ops.sum(ops.cast(ops.not_equal(y, IGNORED), "int32"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the weight of an example is that of each of its places."""
        return super().compute_loss(x, y, y_pred, _by_place(sample_weight, y), training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: the weight of an example is that of each of its places."""
        return super().compute_metrics(x, y, y_pred, _by_place(sample_weight, y))


@keras.saving.register_keras_serializable("kzoo")
class PlaceAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """How many places are right of those that have a target."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        counted = ops.cast(ops.not_equal(y_true, IGNORED), "float32")
        weight = counted if sample_weight is None else counted * sample_weight
        return super().update_state(y_true, y_pred, weight)


def split_pairs(texts):
    """`(texts, None)` or `(firsts, seconds)` from strings or pairs of strings."""
    texts = _as_list(texts)
    pairs = [isinstance(text, (tuple, list)) for text in texts]
    if not any(pairs):
        return texts, None
    if not all(pairs) or any(len(text) != 2 for text in texts):
        wrong = next(
            i
            for i, text in enumerate(texts)
            if not isinstance(text, (tuple, list)) or len(text) != 2
        )
        raise KzooError(
            f"Text {wrong} is {texts[wrong]!r}; others are pairs, so a pair of strings is expected."
        )
    return [text[0] for text in texts], [text[1] for text in texts]


def _axes(outputs):
    return " and ".join(f"{name} of {axes} axes" for name, axes in outputs.items())


def _taken(source, tokenizer):
    """A backbone and a tokenizer from whatever stands for them."""
    if isinstance(source, (str, Path)):
        from .. import presets

        name, source = source, presets.load(source)
        presets.warn_if_random(name, source)
    if isinstance(source, TextTask):
        return source.backbone, tokenizer or source._tokenizer
    if not isinstance(source, Network):
        raise KzooError(
            f"A task stands on a backbone, a task or a preset's name; {type(source).__name__} came."
        )
    return source, tokenizer or getattr(source, "tokenizer", None)


def _checked_length(max_length, spec):
    if max_length is None:
        return spec.max_sequence_length
    whole = isinstance(max_length, (int, np.integer)) and not isinstance(max_length, bool)
    if not whole or not 2 <= max_length <= spec.max_sequence_length:
        raise KzooError(
            f"max_length is {max_length!r:.40}; 2 to {spec.max_sequence_length} tokens are "
            "expected."
        )
    return int(max_length)


def _as_list(x):
    if isinstance(x, str):
        return [x]
    if hasattr(x, "tolist"):
        x = x.tolist()
    if not isinstance(x, (list, tuple)):
        raise KzooError(f"A list of strings or of pairs is expected; {type(x).__name__} came.")
    if not len(x):
        raise KzooError("An empty list came; at least one text is expected.")
    return [_decoded(text) if isinstance(text, bytes) else text for text in x]


def _is_column(value):
    """Whether a value holds others in an order; a string is one of a column's, not a column."""
    sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    scalar = isinstance(value, (str, bytes, dict)) or getattr(value, "shape", None) == ()
    return sized and not scalar


def _check_columns(text, label, *sources):
    """Names of columns mean something for files alone."""
    if (text, label) != (None, None) and not any(isinstance(x, (str, Path)) for x in sources):
        raise KzooError(
            f"text {text!r} and label {label!r} name columns of a file, and no path of one came: "
            "give it, or leave them out."
        )


def _from_dataset(dataset):
    """Texts, targets and weights of a whole `tf.data.Dataset`, batched or not.

    Its elements are text, (text, target) or (text, target, weight); text is a string, a tuple of
    two, or an array of them.
    """
    if dataset.cardinality() == -1:  # tf.data.INFINITE_CARDINALITY
        raise KzooError("The dataset never ends; its examples are read first: drop repeat().")
    columns = [[], [], []]
    for element in dataset.as_numpy_iterator():
        text, *rest = element if isinstance(element, tuple) else (element,)
        batched = np.ndim(text[0] if isinstance(text, tuple) else text) > 0
        texts = [_decoded(part) for part in (text if isinstance(text, tuple) else (text,))]
        if isinstance(text, tuple):
            texts = list(zip(*texts, strict=True)) if batched else [tuple(texts)]
        elif batched:
            (texts,) = texts
        rest = [list(part) if batched else [part] for part in map(_decoded, rest)]
        for column, rows in zip(columns, [texts, *rest], strict=False):
            column += rows
    x, y, sample_weight = columns
    if not x:
        raise KzooError("The dataset is empty; at least one text is expected.")
    return x, y or None, sample_weight or None


def _decoded(value):
    """Python strings where `tf.data` gives bytes, in scalars and arrays; numbers as they are."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise KzooError(f"A text is not UTF-8: {value!r:.60} came; convert it first.") from None
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return [_decoded(part) for part in value]
    return value


def _split(x, y, sample_weight, share):
    """The first examples to learn from and the last ones to hold out."""
    if isinstance(share, bool) or not isinstance(share, Number) or not 0 < share < 1:
        raise KzooError(f"validation_split is {share!r:.40}; a share between 0 and 1 is expected.")
    cut = int(len(x) * (1 - share))
    if not 0 < cut < len(x):
        raise KzooError(f"validation_split {share} of {len(x)} examples leaves a side empty.")
    columns = (x, y, sample_weight)
    first = [None if column is None else column[:cut] for column in columns]
    return *first, tuple(None if column is None else column[cut:] for column in columns)


def _by_place(sample_weight, y):
    if sample_weight is None:
        return None
    return ops.broadcast_to(ops.expand_dims(sample_weight, -1), ops.shape(y))


def class_index(value, labels):
    """The index of a target in `labels`, or None where it is none of them.

    A target is the name of a label. Where no label reads as a whole number itself, a target may
    also be the label's index, as a number or (from a file) as text.
    """
    if isinstance(value, Number) and np.isfinite(value) and value == int(value):
        value = str(int(value))
    if not isinstance(value, str):
        return None
    if value in labels:
        return labels.index(value)
    if any(_whole(label) for label in labels) or not _whole(value):
        return None
    return int(value) if int(value) < len(labels) else None


def _whole(text):
    return text.isascii() and text.isdigit()


def _snake_case(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
