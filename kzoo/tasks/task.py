"""What all text tasks share: raw text in, token batches for Keras, raw answers out."""

import contextlib
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ..data.batches import BatchPlan, bucketed_batches
from ..data.sources import read_examples
from ..errors import KzooError
from ..keras_hooks import DistributedFit
from ..network import Network
from ..parts import make
from ..spec import Spec
from ..text.tokenizer import Tokenizer


class TextTask(DistributedFit, keras.Model):
    """A backbone, a tokenizer and a head that learn and answer on strings.

    Called on the backbone's token dict it returns a dict of raw outputs (logits); `fit`,
    `evaluate` and `predict` take text. Rows may also hold several sequences each, as
    (batch, sequences, length): they are folded, run and unfolded.

    Args:
        backbone: a `Network`, another task (its backbone and tokenizer are taken), a preset's
            name or folder, or a Hugging Face folder. A pooler that the head doesn't read is left
            out of a copy.
        labels: the names of the classes, in the order of the logits.
        head: what the head slot holds; the family's usual head by default.
        max_length: tokens at most; longer text is cut. The model's maximum by default.
        tokenizer: a `Tokenizer`; the preset's by default.
        name: the Keras name.
    """

    default_head = None

    def __init__(
        self, backbone, labels=None, head=None, max_length=None, tokenizer=None, name=None
    ):
        super().__init__(name=name or _snake_case(type(self).__name__))
        backbone, tokenizer = _taken(backbone, tokenizer)
        self.labels = None if labels is None else [str(label) for label in labels]
        self.head_slot = head or self.usual_head(backbone)
        self.max_length = _checked_length(max_length, backbone.spec)
        self.head = self.make_head(backbone)
        pool = getattr(self.head, "pool", None)
        if pool is not None and pool.needs_pooler and backbone.spec.pooler == "none":
            raise KzooError(
                f"{self.head_slot!r} reads the backbone's pooler, and this one has none: take "
                "'mean' or 'first'."
            )
        if not self.head.needs_pooler and backbone.spec.pooler != "none":
            backbone = backbone.with_spec(pooler="none")
        self.backbone = backbone
        self._tokenizer = tokenizer
        self._check_tokenizer()
        self(self.backbone.symbolic_inputs())

    # -- the network ----------------------------------------------------------------------------

    def usual_head(self, backbone):
        """The head that this task has on this family by default; mean on one without a pooler."""
        head = backbone.HEADS.get(type(self).__name__, self.default_head)
        return "mean" if head == "pooled" and backbone.spec.pooler == "none" else head

    def make_head(self, backbone):
        """The head layer."""
        return make("head", self.head_slot, spec=backbone.spec, units=self.num_outputs, name="head")

    @property
    def num_outputs(self):
        """How many logits the head has."""
        return len(self.labels)

    @property
    def spec(self):
        """The backbone's spec."""
        return self.backbone.spec

    def call(self, inputs, training=None):
        """The raw outputs, in float32, for the dict of the backbone's inputs."""
        folded = len(inputs["token_ids"].shape) == 3
        if folded:
            count = ops.shape(inputs["token_ids"])[1]
            inputs = {
                k: ops.reshape(v, (-1, v.shape[2] or ops.shape(v)[2])) for k, v in inputs.items()
            }
        inputs = {name: inputs[name] for name in self.backbone.input_names if name in inputs}
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
                f"This {type(self).__name__} has no tokenizer: give tokenizer=kzoo.Tokenizer.load("
                "folder), or call it on token ids."
            )
        return self._tokenizer

    def __setattr__(self, name, value):
        # No setter: Keras reads an attribute before it sets it, and ours raises while unset.
        super().__setattr__("_tokenizer" if name == "tokenizer" else name, value)
        if name == "tokenizer":
            self._check_tokenizer()

    def _check_tokenizer(self):
        tokenizer = self._tokenizer
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

        The default optimizer is `kzoo.AdamW(5e-5)`. Lengths differ from batch to batch, so
        `jit_compile` is off unless asked for.
        """
        from ..training import AdamW

        kwargs.setdefault("jit_compile", False)
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
        **kwargs,
    ):
        """`keras.Model.fit` on raw text, in batches of similar length.

        Args:
            x: a list or array of strings or of pairs; a `tf.data.Dataset` of (text, target); or
                the path of a .tsv, .csv or .jsonl file (maybe .gz) with the columns sentence (or
                text; sentence1 and sentence2 for pairs) and label.
            y: the targets; class indices or label names for a classifier. None where x holds them.
            batch_size: examples a batch, over all replicas.
            epochs: passes over the data.
            validation_data: `(x, y)`, a path or a dataset.
            validation_split: the share at the end of the data that is held out instead.
            shuffle: a new order every epoch, decided by `seed`.
            sample_weight: one weight an example.
            seed: of the order of the examples.
            kwargs: `callbacks`, `verbose`, `initial_epoch` and the like, as Keras has them.

        Returns:
            Keras' `History`.
        """
        self._check_compiled()
        x, y = self._examples(x, y)
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
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data, None)
            held_x, held_y = self._examples(*validation_data[:2])
            validation_data = self.batches(held_x, held_y, batch_size=batch_size)
        return super().fit(
            batches, epochs=epochs, validation_data=validation_data, shuffle=False, **kwargs
        )

    def evaluate(self, x, y=None, batch_size=32, sample_weight=None, **kwargs):
        """`keras.Model.evaluate` on raw text; x and y as in `fit`."""
        self._check_compiled()
        if hasattr(x, "plan"):  # Batches that `fit` made, for its validation.
            return super().evaluate(x, **kwargs)
        x, y = self._examples(x, y)
        return super().evaluate(self.batches(x, y, sample_weight, batch_size=batch_size), **kwargs)

    def predict(self, x, batch_size=32, verbose=0):
        """Answers for raw text, in its order: an array with a row an example."""
        columns = self.encode_examples(_as_list(x))
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
        columns = self.encode_examples(x)
        targets = None if y is None else self.encode_targets(y, x)
        return bucketed_batches(
            columns,
            targets,
            sample_weight=sample_weight,
            padding_id=self.spec.padding_id,
            **options,
        )

    def _run(self, columns, batch_size, verbose=0):
        """The raw outputs of ragged columns, batch by batch from short to long, and the order."""
        plan = BatchPlan(columns, None, None, batch_size, padding_id=self.spec.padding_id)
        bar = keras.utils.Progbar(plan.size, verbose=1 if verbose else 0)
        outputs = []
        for rows in plan.order():
            batch = self.predict_on_batch(plan.batch(rows)[0])
            outputs.append({name: np.asarray(value) for name, value in batch.items()})
            if verbose:
                bar.add(len(rows))
        return np.concatenate(plan.order()), outputs

    def _check_compiled(self):
        if not self.compiled:
            raise KzooError("Call compile() before fit() or evaluate(); its defaults will do.")

    def _examples(self, x, y):
        """Lists of inputs and targets from whatever `fit` was handed."""
        if isinstance(x, (str, Path)):
            return read_examples(x)
        if hasattr(x, "as_numpy_iterator"):
            return _from_dataset(x)
        x = _as_list(x)
        if y is not None and len(y) != len(x):
            raise KzooError(f"{len(x)} inputs came with {len(y)} targets: one each is expected.")
        return x, y

    # -- keeping --------------------------------------------------------------------------------

    def get_config(self):
        """What rebuilds the task: the backbone's spec and the task's own arguments."""
        return {
            "backbone": self.spec.to_dict(),
            "labels": self.labels,
            "head": self.head_slot,
            "max_length": self.max_length,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`; the tokenizer comes with the saved assets."""
        from ..models import build

        config = dict(config)
        return cls(build(Spec.from_dict(config.pop("backbone"))), **config)

    def save_assets(self, folder):
        """Keras' hook: the tokenizer goes into the .keras file."""
        if self._tokenizer is not None:
            self._tokenizer.save(folder)

    def load_assets(self, folder):
        """Keras' hook: the tokenizer comes back from the .keras file."""
        with contextlib.suppress(KzooError):
            self._tokenizer = Tokenizer.load(folder)

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


def _taken(source, tokenizer):
    """A backbone and a tokenizer from whatever stands for them."""
    if isinstance(source, (str, Path)):
        from .. import presets

        source = presets.load(source)
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
    if not 2 <= max_length <= spec.max_sequence_length:
        raise KzooError(
            f"max_length is {max_length}; 2 to {spec.max_sequence_length} tokens are expected."
        )
    return max_length


def _as_list(x):
    if isinstance(x, str):
        return [x]
    if hasattr(x, "tolist"):
        x = x.tolist()
    if not isinstance(x, (list, tuple)):
        raise KzooError(f"A list of strings or of pairs is expected; {type(x).__name__} came.")
    if not len(x):
        raise KzooError("An empty list came; at least one text is expected.")
    return [text.decode("utf-8") if isinstance(text, bytes) else text for text in x]


def _from_dataset(dataset):
    """Every example of a `tf.data.Dataset` of (text, target), batched or not."""
    x, y = [], []
    for text, target in dataset.as_numpy_iterator():
        batched = np.ndim(target) > 0
        x += (
            _as_list(text)
            if batched
            else [text.decode("utf-8") if isinstance(text, bytes) else text]
        )
        y += list(target) if batched else [target]
    if not x:
        raise KzooError("The dataset is empty; at least one (text, target) is expected.")
    return x, [t.decode("utf-8") if isinstance(t, bytes) else t for t in y]


def _split(x, y, sample_weight, share):
    """The first examples to learn from and the last ones to hold out."""
    cut = int(len(x) * (1 - share))
    if not 0 < cut < len(x):
        raise KzooError(f"validation_split {share} of {len(x)} examples leaves a side empty.")
    weight = None if sample_weight is None else sample_weight[:cut]
    return x[:cut], y[:cut], weight, (x[cut:], y[cut:])


def _snake_case(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
