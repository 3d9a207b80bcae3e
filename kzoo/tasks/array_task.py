"""What tasks share whose every input becomes an array of one shape: a picture, or a sound."""

import inspect
from pathlib import Path

import numpy as np

from ..data.arrays import ArrayPlan
from ..errors import KzooError
from ..files import path_of
from ..spec import Input
from ..values import an
from .inputs import decoded, is_column
from .task import Task


class ArrayTask(Task):
    """A backbone, a processor and a head that learn and answer on pictures or sounds.

    A subclass for each sense sets what follows, and has the methods `read_one` and `in_graph`.

    The work of the processor has two parts. `read_one` makes an array of what a user has, which
    every client of a file does as well; `in_graph` makes the network's inputs of a batch of these
    in Keras' operations, so that a file holds it: such a file takes `signatures`.

    Args:
        backbone, labels, head, name: as for `Task`.
        processor: of the kind that the task reads with; that of the source by default.
    """

    processor_kind = None  # One of `processors.KINDS`.
    medium = None  # The `data.media.Medium` of the files that it reads.
    input_name = None  # What the array is called, of a file and of the network.
    array_type = "float32"  # The type of the numbers of an array.
    augmented_by = "none"  # What `named_augment` knows, for a sentence.

    def __init__(self, backbone, labels=None, head=None, processor=None, name=None):
        super().__init__(backbone, labels, head, {self.processor_kind: processor}, name)

    # -- what becomes an array --------------------------------------------------------------------

    @property
    def array_shape(self):
        """The shape of the array that an example becomes."""
        raise NotImplementedError

    def read_one(self, example, name=None):
        """An example as an array of `array_shape` and `array_type`; an error calls it `name`."""
        raise NotImplementedError

    def in_graph(self, arrays):
        """The network's inputs, by name, of a tensor (batch, *array_shape)."""
        raise NotImplementedError

    def encode_examples(self, x):
        """Examples as `ArrayPlan` takes them: they are read when they are needed."""
        return x

    def prepared(self, x):
        """Examples as the dict that the model is called on."""
        plan = self.plan(self.as_inputs(x), 1)
        return plan.inputs(plan.arrays(np.arange(plan.size)))

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def file_signature(self):
        """What a file takes of an example, of a task with a processor."""
        axes = ("batch", *self.array_shape)
        return {self.input_name: Input(axes, self.array_type)}

    def of_file(self, inputs):
        """The network's inputs of what a file is given; what the processor does last is done."""
        has_processor = self.processors.get(self.processor_kind) is not None
        if not has_processor or self.input_name not in inputs:
            return inputs
        return self.in_graph(inputs[self.input_name])

    @property
    def signatures(self):
        """A file takes what `read_one` gives; without a processor what the backbone does."""
        if self.processors.get(self.processor_kind) is None:
            return super().signatures
        return {"serve": self.file_signature}

    def run_function(self, name, inputs):
        """The outputs of a file's function; what the processor does last is done here."""
        return super().run_function(name, self.of_file(inputs))

    # -- examples ---------------------------------------------------------------------------------

    @classmethod
    def read_file(cls, path, column, label, targets):
        """The files that a folder or a table names, see `data.media.Medium.read`."""
        return cls.medium.read(path, column, label, targets)

    def as_inputs(self, x):
        """A list of examples, or an array of them, from one or from some."""
        if not isinstance(x, np.ndarray) and hasattr(x, "__array__") and hasattr(x, "shape"):
            x = np.asarray(x)  # A tensor.
        if isinstance(x, np.ndarray):
            x = x[None] if self.is_one(x) else x
        elif not is_column(x) or isinstance(x, (bytearray, memoryview)):
            x = [x]
        if not len(x):
            raise KzooError(f"An empty list came; at least one {self.medium.name} is expected.")
        return x

    def is_one(self, array):
        """Whether an array is one example, and not several."""
        raise NotImplementedError

    def listed(self, among):
        """What `search` looks through as a list; of a folder its files."""
        return [str(each) if isinstance(each, Path) else each for each in self.given(among)]

    def starts_with_token(self, backbone):
        """Whether a token stands before an example's patches, for the whole of it."""
        return bool(getattr(getattr(backbone, "embedding", None), "tokens", True))

    def from_dataset(self, dataset):
        """Examples, targets and weights of a whole `tf.data.Dataset`, batched or not.

        Its elements are an example, (example, target) or (example, target, weight), where an
        example is an array or the path of a file.
        """
        if dataset.cardinality() == -1:  # tf.data.INFINITE_CARDINALITY
            raise KzooError("The dataset never ends; its examples are read first: drop repeat().")
        columns = [[], [], []]
        for element in dataset.as_numpy_iterator():
            parts = element if isinstance(element, tuple) else (element,)
            first = parts[0]
            is_path = isinstance(first, bytes) or first.dtype.kind == "O"
            batched = np.ndim(first) > 0 if is_path else not self.is_one(first)
            parts = [decoded(first) if is_path else first, *map(decoded, parts[1:])]
            for column, rows in zip(columns, parts, strict=False):
                column += list(rows) if batched else [rows]
        x, y, sample_weight = columns
        if not x:
            raise KzooError(f"The dataset is empty; at least one {self.medium.name} is expected.")
        return x, y or None, sample_weight or None

    def given(self, x, column=None):
        """A list of examples from whatever `predict` was handed: files, folders, tables too."""
        is_path = isinstance(x, (str, Path))
        folder = is_path and path_of(x, f"The {self.medium.name}").is_dir()
        if folder or (is_path and self.medium.is_table(x)):
            return self.read_file(x, column, None, "none").x
        if column is not None:
            raise KzooError(
                f"Got the column {column!r:.60}, and no table: name one, or leave it out."
            )
        return self.as_inputs(x)

    def batches_of(self, columns, targets, sample_weight, **options):
        """See `ArrayPlan`."""
        return self._plan(columns, targets, sample_weight, **options).dataset()

    def plan(self, columns, batch_size):
        """In their own order."""
        return self._plan(columns, None, None, batch_size=batch_size, cache=0)

    def _plan(self, columns, targets, sample_weight, initial_epoch=0, **options):
        self.processor(self.processor_kind)  # Else it says that there is none.
        plan, own = self.plan_of(columns)
        options |= {"epoch": initial_epoch, **own}
        return plan(columns, self.read_one, self.in_graph, targets, sample_weight, **options)

    def plan_of(self, columns):
        """The class of the plan of what `encode_examples` made, and the options of its own."""
        return ArrayPlan, {}

    # -- learning and answering -------------------------------------------------------------------

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
        column=None,
        label=None,
        class_weight=None,
        augment=None,
        **kwargs,
    ):
        """`keras.Model.fit` on files, or on what is in memory; each is read when it is needed.

        Args:
            x: a folder with a folder for each class; a .csv, .tsv or .jsonl table that names files
                and their labels; a list of files, bytes or arrays, or one array of all of them; or
                a `tf.data.Dataset` of example, (example, target) or (example, target, weight),
                batched or not.
            y: the targets: class indices or label names for a classifier. None where x has them.
            batch_size: examples a batch, over all replicas; None for 32.
            epochs: passes over the data.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, a folder, table or dataset.
            validation_split: the share at the end of the data that is held out instead.
            shuffle: a new order every epoch, decided by `seed`; False for the order they come in.
            sample_weight: one weight an example.
            seed: of the order of the examples.
            column: in tables, the column of the files.
            label: in tables, the column of the targets.
            class_weight: {label or its index: weight}; see `TextTask.fit`.
            augment: what makes others of what is learned from, drawn by `seed`: layers, or what a
                recipe calls them, see `named_augment` and `augmentation`.
            kwargs: `callbacks`, `verbose` and the like, as Keras has them; and `resume`, a folder
                from which a training that was killed goes on, see `kzoo.training.Checkpoints`.

        Returns:
            Keras' `History`.
        """
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
            (column, label),
            class_weight,
            {} if augment is None else {"augment": self.augmentation(self.named_augment(augment))},
            **kwargs,
        )

    def augmentation(self, augment):
        """What `ArrayPlan` takes as `augment`, of what `fit` was given as that."""
        raise KzooError(f"Got augment for {an(self.task_name)}; expected None.")

    @classmethod
    def named_augment(cls, asked):
        """What `augmentation` takes, of what a recipe says.

        asked: a name, or {"kind": name, argument: value}, or a list of such; what is none of these
        is given back as it is.
        """
        if isinstance(asked, list):
            return [cls.named_augment(slot) for slot in asked]
        if not isinstance(asked, (str, dict)):
            return asked
        options = dict(asked) if isinstance(asked, dict) else {"kind": asked}
        kind = options.pop("kind", None)
        make = cls.augmenting(kind)
        if make is None:
            raise KzooError(f"Got the kind {kind!r:.40} in augment; expected {cls.augmented_by}.")
        arguments = inspect.signature(make).parameters.values()
        missing = [a.name for a in arguments if _is_required(a) and a.name not in options]
        if missing:
            written = "".join(f', "{name}": VALUE' for name in missing)
            raise KzooError(
                f"Got {kind} in augment without {' and '.join(missing)}; expected "
                f'{{"kind": "{kind}"{written}}}.'
            )
        try:
            return make(**options)
        except (TypeError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise KzooError(
                f"Got {options} for {kind} in augment, which it doesn't take: {reason}"
            ) from None

    @classmethod
    def augmenting(cls, kind):
        """The class that a recipe calls `kind`, or None."""
        return None

    def loss_of_augmented(self, augment):
        """The loss that what `augment` gives asks for; None for the task's own."""
        return None

    def evaluate(
        self, x, y=None, batch_size=32, sample_weight=None, column=None, label=None, **kwargs
    ):
        """`keras.Model.evaluate`; x, y, column and label as in `fit`."""
        return self.evaluate_examples(x, y, batch_size, sample_weight, (column, label), **kwargs)

    def predict(self, x, batch_size=32, verbose=0, column=None):
        """Answers in the order of the examples: an array with a row each.

        x is one example (a file, its bytes, an array), a list of some, an array of some, a folder
        whose files are read in the order of their names, or a table whose `column` names files.
        """
        return self.answer_all(self.encode_examples(self.given(x, column)), batch_size, verbose)


def _is_required(argument):
    """Whether a call must name an argument of a signature."""
    return argument.kind is argument.POSITIONAL_OR_KEYWORD and argument.default is argument.empty
