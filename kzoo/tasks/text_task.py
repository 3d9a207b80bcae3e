"""What all text tasks share: strings in, token batches for Keras, raw answers out."""

from pathlib import Path

import numpy as np
from keras import ops

from ..answers import READS
from ..data.batches import BatchPlan, bucketed_batches
from ..data.sources import TABLES, is_file, read_examples, read_texts
from ..errors import KzooError
from ..graphs import BothRead
from ..spec import Towers
from ..text.tokenizer import check_not_empty
from ..values import an, is_whole
from .inputs import as_list, check_columns, from_dataset, split_pairs
from .task import Task


class TextTask(Task):
    """A backbone, a tokenizer and a head that learn and answer on strings.

    Called on the backbone's token dict it returns a dict of raw outputs (logits); `fit`,
    `evaluate` and `predict` take text. Rows may also hold several sequences each, as
    (batch, sequences, length): they are folded, run and unfolded.

    Args:
        backbone, labels, head, name: as for `Task`; a task of the same kind also gives its
            `max_length`.
        max_length: tokens at most; longer text is cut. The model's maximum by default, or the
            tokenizer's (`model_max_length`) where that is less.
        tokenizer: a `Tokenizer`; the preset's by default.
    """

    both_may_read = False  # Whether it stands on an encoder-decoder whose towers both read.
    several = False  # Whether an example is several sequences: an axis more, behind the first.
    read_file = staticmethod(read_examples)
    # What reads the inputs of a file for `predict`, and the endings of such files.
    read_inputs, inputs_end = staticmethod(read_texts), TABLES
    reads, input_name = "either", "token_ids"
    as_inputs, from_dataset = staticmethod(as_list), staticmethod(from_dataset)

    def __init__(
        self, backbone, labels=None, head=None, max_length=None, tokenizer=None, name=None
    ):
        self.max_length = max_length
        super().__init__(backbone, labels, head, {"tokenizer": tokenizer}, name)

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Read as much as the task did that this one goes on from."""
        self.max_length = self.max_length or before.max_length
        return super().inherit(before)

    def suited(self, backbone):
        """One that reads as this task does.

        Of an encoder-decoder the one whose towers both read, where this task can stand on it.
        """
        backbone = backbone.as_reader() if self.both_may_read else backbone
        return backbone.reading_for(self.task_name)

    def check_backbone(self, backbone):
        """Raise KzooError for a network of several towers, but those that read a text together."""
        both_read = self.both_may_read and isinstance(backbone, BothRead)
        if isinstance(backbone.spec, Towers) and not both_read:
            read = backbone.signatures.get("encode")
            fitting = "Seq2SeqLM" if read and "images" not in read else "ImageTextEmbedder"
            fitting = next(iter(backbone.HEADS), fitting)
            raise KzooError(
                f"Got {an(backbone.family)} for {an(self.task_name)}; expected a network of one "
                f"stack, such as a BERT: of {' and '.join(backbone.towers)} make a {fitting}."
            )

    def settle_sizes(self, backbone):
        """Take the model's maximum, or the tokenizer's, where nobody said how much is read."""
        self.max_length = settled_length(
            self.max_length, self.processors.get("tokenizer"), backbone.longest
        )

    def export_inputs(self):
        """Shape, with None for each size that varies, and type of each input, by name."""
        inputs, several = super().export_inputs(), [None] * self.several
        return {
            k: ([*shape[:1], *several, *shape[1:]], dtype) for k, (shape, dtype) in inputs.items()
        }

    def check_inputs(self, inputs):
        """The inputs that the backbone reads; what doesn't fit is an error that says so."""
        if isinstance(inputs, (str, list, tuple)):
            raise KzooError(
                f"A {self.task_name} is called on the dict that its tokenize() gives, and a "
                f"{type(inputs).__name__} came: call predict() for strings."
            )
        return self.backbone.check_inputs(inputs, several=True)

    def call(self, inputs, training=None, seen=None):
        """The raw outputs, in float32, for the dict of the backbone's inputs, see `Task`.

        Of rows of several sequences nothing else is `seen`.
        """
        first = next(iter(inputs.values()))
        if len(first.shape) < 3:
            return super().call(inputs, training=training, seen=seen)
        count = ops.shape(first)[1]
        folded = {k: ops.reshape(v, (-1, v.shape[2] or ops.shape(v)[2])) for k, v in inputs.items()}
        outputs = self.run_folded(folded, training)
        return {k: ops.reshape(v, (-1, count, *ops.shape(v)[1:])) for k, v in outputs.items()}

    def run_folded(self, inputs, training):
        """The outputs for rows that several sequences of an example were made, one each."""
        return super().call(inputs, training=training, seen=())

    # -- text to tokens -------------------------------------------------------------------------

    @property
    def tokenizer(self):
        """The tokenizer; an error says what to do if there is none."""
        return self.processor("tokenizer")

    def check_processors(self):
        """Raise KzooError for a tokenizer of more tokens than the embedding has."""
        check_tokenizer(self.processors.get("tokenizer"), self.backbone)

    def tokenize(self, texts):
        """Strings, or pairs of strings, to the padded token dict that the model is called on."""
        columns = self._columns(texts, padding="longest")
        return {name: columns[name] for name in self.backbone.input_names}

    def _columns(self, texts, padding=None):
        first, second = split_pairs(texts)
        self.check_reads("text" if second is None else "pair")
        columns = self.tokenizer.encode(first, second, max_length=self.max_length, padding=padding)
        return {name: columns[name] for name in self.backbone.input_names}

    def check_reads(self, received):
        """Raise KzooError where texts came ("text") for a task that reads pairs, or the reverse."""
        expected = READS[self.reads or "either"]
        if expected not in ("either", received):
            kinds = {"text": "single texts", "pair": 'pairs of texts, ("first", "second")'}
            raise KzooError(
                f"Got {kinds[received]}; this {self.task_name} reads {kinds[expected]}: give it "
                'those, or set its attribute reads to "either".'
            )

    def task_options(self):
        """See `Task`."""
        return {**super().task_options(), "reads": self.reads or "either"}

    def encode_examples(self, x):
        """Raw inputs of `fit` as ragged token columns."""
        return self._columns(x)

    def columns_of_lists(self, x):
        """Rows of a text and each of a list, (text, [choice, ...]): several sequences in a row.

        All rows have as many; those that a shorter list lacks are padding alone.
        """
        for i, row in enumerate(x):
            pair = isinstance(row, (list, tuple)) and len(row) == 2
            if not pair or not isinstance(row[1], (list, tuple)) or not len(row[1]):
                raise KzooError(
                    f"Example {i} is {row!r:.60}; a text and the list of its choices is expected."
                )
        pairs = [(text, choice) for text, choices in x for choice in choices]
        counts = [len(choices) for _, choices in x]
        ends, most = np.cumsum(counts), max(counts)
        columns = self._columns(pairs)
        # What fills up is a place that is padding, as at the end of a short text.
        fill = {"token_ids": self.backbone.padding_id}
        return {
            name: [
                [*rows[end - count : end], *[[fill.get(name, 0)]] * (most - count)]
                for end, count in zip(ends, counts, strict=True)
            ]
            for name, rows in columns.items()
        }

    # -- learning -------------------------------------------------------------------------------

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
        class_weight=None,
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
            shuffle: a new order every epoch, decided by `seed`; False for the order they come in.
            sample_weight: one weight an example.
            seed: of the order of the examples.
            text: in files, the column of the text, or a list of two for pairs.
            label: in files, the column of the targets.
            class_weight: {label or its index: weight} for tasks whose targets are classes; a
                class that isn't named weighs 1. It multiplies `sample_weight`; where words have
                classes, each word has its own.
            kwargs: `callbacks`, `verbose` and the like, as Keras has them; and `resume`, a folder
                from which a training that was killed goes on, see `kzoo.training.Checkpoints`.

        Returns:
            Keras' `History`.
        """
        check_columns(text, label, x, *(() if validation_data is None else (validation_data,)))
        return self.fit_examples(
            x,
            y,
            batch_size,
            epochs,
            validation_data,
            validation_split,
            shuffle,
            sample_weight,
            seed,
            (text, label),
            class_weight,
            **kwargs,
        )

    def evaluate(
        self, x, y=None, batch_size=32, sample_weight=None, text=None, label=None, **kwargs
    ):
        """`keras.Model.evaluate` on raw text; x, y, text and label as in `fit`."""
        check_columns(text, label, x)
        return self.evaluate_examples(x, y, batch_size, sample_weight, (text, label), **kwargs)

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """Answers for raw text, in its order: an array with a row an example.

        x is a text, a list of texts or of pairs (dicts such as {"question": ..., "context": ...}
        among them), or the path of a file as in `fit`, whose columns
        `text` names. A string is taken as a path if `text` is given, or where it ends in .tsv,
        .csv or .jsonl (maybe .gz) and has no space in it or is a file; in a list it is a text.
        """
        return self.answer_all(self.encode_examples(self._inputs(x, text)), batch_size, verbose)

    def batches_of(self, columns, targets, sample_weight, **options):
        """Padded batches of similar length, see `bucketed_batches`."""
        return bucketed_batches(
            columns,
            targets,
            sample_weight=sample_weight,
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
            **options,
        )

    def plan(self, columns, batch_size):
        """From short to long."""
        check_not_empty(
            [
                len(part)
                for row in columns["token_ids"]
                for part in (row if np.ndim(row[:1]) > 1 else [row])
            ]
        )
        return BatchPlan(
            columns,
            None,
            None,
            batch_size,
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
        )

    def _run_windows(self, rows, batch_size, verbose):
        """For each text the raw outputs of its windows: (outputs, what `rows` has of the window).

        `rows` is what `Tokenizer.windows` gives, ragged.
        """
        columns = {name: rows[name] for name in self.backbone.input_names}
        order, batches = self.run_batches(columns, batch_size, verbose)
        outputs = [
            dict(zip(batch, values, strict=True))
            for batch in batches
            for values in zip(*batch.values(), strict=True)
        ]
        windows = [[] for _ in range(rows["sample_ids"][-1] + 1)]
        for row, place in sorted(zip(order.tolist(), range(len(outputs)), strict=True)):
            known = {name: rows[name][row] for name in ("offsets", "word_ids", "starts")}
            windows[rows["sample_ids"][row]].append((outputs[place], known))
        return windows

    def _inputs(self, x, text=None):
        """A list of inputs from whatever `predict` was handed."""
        if isinstance(x, Path) or (
            isinstance(x, str) and (text is not None or is_file(x, self.inputs_end))
        ):
            return self.read_inputs(x, text)
        check_columns(text, None, x)
        return as_list(x)

    # -- keeping --------------------------------------------------------------------------------

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "max_length": self.max_length}


def settled_length(asked, tokenizer, longest, name="max_length"):
    """How many tokens a text has at most: what was asked for, or else the tokenizer's own limit.

    longest: how many the network takes. name: what an error calls it.
    """
    if asked is None:
        asked = min(getattr(tokenizer, "max_length", None) or longest, longest)
    if not is_whole(asked, 2, longest):
        raise KzooError(f"{name} is {asked!r:.40}; 2 to {longest} tokens are expected.")
    return int(asked)


def check_tokenizer(tokenizer, backbone):
    """Raise KzooError for a tokenizer of more tokens than the embedding has."""
    if tokenizer is not None and tokenizer.vocabulary_size > backbone.vocabulary_size:
        raise KzooError(
            f"The tokenizer has {tokenizer.vocabulary_size} tokens and the embedding "
            f"{backbone.vocabulary_size} rows: they don't belong together."
        )
