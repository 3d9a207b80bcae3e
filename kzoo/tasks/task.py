"""What all tasks share: a backbone, a head, a loss; what users have in, their answers out."""

import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops

from .. import processors
from ..answers import RULES, check_labels
from ..data.examples import listed
from ..data.labels import held_out
from ..errors import KzooError
from ..keras_hooks import (
    DistributedFit,
    ExportsTokens,
    outputs_of,
    placed_with,
    precision,
    set_trainable,
)
from ..logs import verbosity
from ..network import Network, Served, freeze, frozen, weights_by_path
from ..nn.bridges import Bridges, nothing
from ..parts import make
from ..spec import Spec
from ..values import an
from .classes import on_logits, weighted_by_class
from .inputs import is_column, split
from .probabilities import on_probabilities


class Task(DistributedFit, Served, ExportsTokens, keras.Model):
    """A backbone and a head that learn and answer on what users have: texts, pictures, sounds.

    Called on the dict of the backbone's inputs it returns a dict of raw outputs (logits); `fit`,
    `evaluate` and `predict` take what its processors read. A subclass for each of them says how.

    Args:
        backbone: a `Network`, another task (its backbone and processors are taken), a preset's
            name or folder (a warning says if it holds no weights), or a Hugging Face folder. The
            task shares it, and computes in its precision; a pooler that the head doesn't read is
            left out of a copy. Of a task of the same kind the head is taken too, if it has the
            same labels (in any order) and form; a warning says where a new head starts.
        labels: the names of the classes, in the order of the logits; those of a task of the same
            kind by default.
        head: what the head slot holds; the family's usual head by default.
        given: processors by kind, in the place of those of the source.
        name: the Keras name.
    """

    task_name = None  # The public task that this is; a subclass of the user's is saved as it.
    default_head = None
    names_labels = False  # Whether the outputs are classes that the user names.
    usual_labels = None  # Their names where neither the user nor the source has any.
    # Whether `fit` takes targets: "required", "optional", or "none" where texts hold their own.
    targets = "required"
    scored_output = "logits"  # The output that loss and metrics look at.
    activation = "softmax"  # What makes probabilities of it, for metrics; None of what has none.
    rule = None  # By which of `answers.RULES` outputs become an answer.
    has_head_there = True  # Whether a folder of Hugging Face's of such a task holds a head.
    remembers_how_it_writes = False  # Whether it has options of writing of its own.
    input_name = None  # Which of a network's inputs is made of that.
    reads = None  # What a user gives, one of `answers.READS`; None until `fit` tells.
    teacher = None  # The `compression.Teacher` that is learnt from in `fit`.
    bridges = None  # The `Bridges` that learn with it; they are no part of the task.
    beside = {}  # Tasks that learn with this one, by name, see `network.weights_by_path`.

    def __init__(self, backbone, labels=None, head=None, given=None, name=None):
        source = loaded(backbone)
        backbone = self.suited(_backbone_of(source))
        super().__init__(name=name or _snake_case(type(self).__name__), dtype=backbone.dtype_policy)
        given = {k: processors.checked(k, p) for k, p in (given or {}).items() if p is not None}
        self.processors = {**source.processors, **given}
        is_same = isinstance(source, Task) and source.task_name == self.task_name
        before = source if is_same else None
        if self.names_labels:
            known = before.labels if is_same else self.usual_labels
            labels = known if labels is None else labels
            check_labels(labels)
        self.labels = None if labels is None else [str(label) for label in labels]
        if before is not None:
            inherited = self.inherit(before)
            head = head or inherited
        self.check_backbone(backbone)
        self.head_slot = head or self.usual_head(backbone)
        self.settle_sizes(backbone)
        with precision(backbone.dtype_policy):
            self.head = self.make_head(backbone)
        pool = getattr(self.head, "pool", None)
        if pool is not None and pool.needs_pooler and backbone.head_spec.pooler == "none":
            raise KzooError(
                f"{self.head_slot!r} reads the backbone's pooler, and this one has none: take "
                "'mean' or 'first'."
            )
        self.backbone = self.fitted(backbone)
        self.check_processors()
        skipped = getattr(self.head, "skip", 0)  # Of what is read nothing must be left out.
        outputs = outputs_of(self, self.backbone.symbolic_inputs(2 + skipped))
        actual = {output: len(value.shape) for output, value in outputs.items()}
        expected = {output: len(axes) for output, axes in self.output_axes.items()}
        if {**actual, **expected} != actual:
            raise KzooError(
                f"The head {self.head_slot!r} gives {_axes(actual)}; {an(self.task_name)} needs "
                f"{_axes(expected)}: take its usual head, or another of that kind."
            )
        if before is not None:
            self._take_head(before)

    # -- the network ----------------------------------------------------------------------------

    def build(self, _shape=None):
        """Make nothing, see `nn.composed.Composed`."""

    @classmethod
    def head_slots(cls, family, spec):
        """The heads of this task that a family has elsewhere, as slots, the usual one first."""
        slots = family.HEADS.get(cls.task_name, cls.default_head)
        slots = slots(spec) if callable(slots) else slots  # Some follow from the nets.
        return slots if isinstance(slots, list) else [slots]

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes.

        Those that the task's rule reads; a task that gives others as well adds them.
        """
        return dict(RULES[self.rule].outputs) if self.rule else {}

    def suited(self, backbone):
        """The backbone, or another of its weights that reads as this task does."""
        return backbone

    def check_backbone(self, backbone):
        """Raise KzooError for a network that this task can't stand on."""

    def settle_sizes(self, backbone):
        """Decide how much is read at most, where nobody said."""

    def check_processors(self):
        """Raise KzooError for processors that don't fit the backbone."""

    def usual_head(self, backbone):
        """The head that this task has on this family by default; mean on one without a pooler."""
        head = self.head_slots(type(backbone), backbone.spec)[0]
        return "mean" if head == "pooled" and backbone.head_spec.pooler == "none" else head

    def make_head(self, backbone):
        """The head layer."""
        return make(
            "head", self.head_slot, spec=backbone.head_spec, units=self.num_outputs, name="head"
        )

    def fitted(self, backbone):
        """The backbone itself, or a copy that lacks what the head doesn't read."""
        if not self.head.needs_pooler and backbone.head_spec.pooler != "none":
            return backbone.with_spec(pooler="none")
        return backbone

    def continues(self, before):
        """Whether a task of this kind answers the same, so that its head can be taken."""
        return set(self.labels or ()) == set(before.labels or ())

    def inherit(self, before):
        """Take over what wasn't asked for from a task of this kind; its head slot, or None."""
        return before.head_slot if self.continues(before) else None

    def _take_head(self, before):
        """Copy the head of a task of the same kind, its rows in the order of our labels."""
        here, there = (
            {
                path: weight
                for path, weight in weights_by_path(task).items()
                if path.startswith("head/")
            }
            for task in (self, before)
        )
        shapes = [{path: tuple(w.shape) for path, w in some.items()} for some in (here, there)]
        if not self.continues(before) or shapes[0] != shapes[1]:
            own = "" if self.labels is None else f" for {_shortened(self.labels)}"
            theirs = "" if before.labels is None else f" with {_shortened(before.labels)}"
            warnings.warn(
                f"The head of this {self.task_name}{own} starts anew: the one{theirs} of the task "
                "that it was made of is another.",
                stacklevel=5,
            )
            return
        order = None
        if self.labels is not None and self.labels != before.labels:
            order = self.order_of(before)
        for path, weight in here.items():
            value = ops.convert_to_numpy(there[path])
            rows = order is not None and path.split("/")[1].endswith("logits")
            weight.assign(value[..., order] if rows else value)

    def order_of(self, before):
        """Which of the scores of a task with the same labels is that of each of ours, in order."""
        return [before.labels.index(label) for label in self.labels]

    def on(self, backbone, values=None):
        """A copy of this task on another backbone, whose processors it has, with the same head.

        `values` by path, such as "head/logits/kernel", stand in place of the head's weights.
        """
        copy = type(self)(backbone, **self.config_on(backbone))
        there = weights_by_path(self) | (values or {})
        for path, weight in weights_by_path(copy).items():
            if not path.startswith("backbone/") and path in there:
                weight.assign(there[path])
        return copy

    def config_on(self, backbone):
        """The arguments beside the backbone of a copy of this task on another one."""
        return {key: value for key, value in self.get_config().items() if key != "backbone"}

    def under(self, spec, values=None, processors=None):
        """A copy of this task whose backbone has another spec, see `Network.under`.

        `values` are by the paths of `weights_by_path(self)`, those of the head among them.
        """
        values = values or {}
        own = {p.removeprefix("backbone/"): v for p, v in values.items() if p[:9] == "backbone/"}
        backbone = self.backbone.under(spec, own)
        backbone.processors = {**self.processors, **(processors or {})}
        copy = self.on(backbone, values)
        freeze(copy, frozen(self))
        return copy

    @property
    def unread(self):
        """Weights that the head doesn't read: kept for a checkpoint's sake, and never trained."""
        return []

    @property
    def trainable_variables(self):
        """Keras' list, without what the head doesn't read, and with what a teacher's lessons learn.

        That stands last, and is in no other list of weights.
        """
        return self._without_unread(super().trainable_variables) + self._of_bridges

    @property
    def trainable_weights(self):
        """Keras' list, as `trainable_variables`."""
        return self._without_unread(super().trainable_weights) + self._of_bridges

    @property
    def _of_bridges(self):
        return [] if self.bridges is None else self.bridges.trainable_variables

    @property
    def non_trainable_variables(self):
        """Keras' list, with what the head doesn't read."""
        return self._without(self.variables, self.trainable_variables)

    @property
    def non_trainable_weights(self):
        """Keras' list, with what the head doesn't read."""
        return self._without(self.weights, self.trainable_weights)

    def _without_unread(self, weights):
        return self._without(weights, self.unread)

    @staticmethod
    def _without(weights, others):
        others = {id(weight) for weight in others}
        return [weight for weight in weights if id(weight) not in others]

    @property
    def num_outputs(self):
        """How many logits the head has."""
        return len(self.labels)

    @property
    def spec(self):
        """The backbone's spec."""
        return self.backbone.spec

    @property
    def signatures(self):
        """What a file of the task may read, as of a `Network`: what the backbone reads."""
        return self.backbone.signatures

    def export_inputs(self):
        """Shape, with None for each size that varies, and type of each input, by name."""
        return self.backbone.export_inputs()

    def check_inputs(self, inputs):
        """The inputs that the backbone reads; what doesn't fit is an error that says so."""
        return self.backbone.check_inputs(inputs)

    def __call__(self, inputs, *args, **kwargs):
        """Run the model on the dict of its inputs; what doesn't fit is an error that says so."""
        return super().__call__(self.check_inputs(inputs), *args, **kwargs)

    def predict_on_batch(self, x):
        """The raw outputs, as NumPy, for the dict of inputs."""
        return super().predict_on_batch(self.check_inputs(x))

    def call(self, inputs, training=None, seen=None):
        """The raw outputs, in float32, for the dict of the backbone's inputs.

        `seen` names what the outputs are to have beside them of what the backbone can return, such
        as "hidden_states", see `Stack.call`; by default, in training, what a teacher compares.
        """
        if seen is None:
            seen = self.teacher.needs if training and self.teacher is not None else ()
        if seen:
            asked = {f"return_{name}": True for name in seen}
            inner = self.backbone.run(inputs, training=training, **asked)
        else:
            inner = self.backbone.run_for(inputs, getattr(self.head, "places", None), training)
        outputs = self.run_head(inner, inputs, training)
        outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
        return outputs | {name: inner[name] for name in seen}

    def run_function(self, name, inputs):
        """The outputs of a file's function: those that the rule reads, not what only `fit` does."""
        outputs = self(inputs)
        return {name: outputs[name] for name in self.output_axes or outputs}

    def run_head(self, outputs, inputs, training):
        """The head's outputs from the backbone's."""
        return self.head(outputs, inputs.get("padding_mask"), training=training)

    def __setattr__(self, name, value):
        if name == "trainable":  # As for a `Network`.
            set_trainable(self, bool(value))
        elif name in processors.KINDS:
            # No setter: Keras reads an attribute before it sets it, and one that is missing raises.
            self.processors[name] = processors.checked(name, value)
            self.check_processors()
        else:
            super().__setattr__(name, value)

    def in_graph(self, arrays):
        """The network's inputs of what was read: what a processor still does in the graph."""
        return arrays

    def before_graph(self, inputs):
        """What was read, of the network's inputs: `in_graph` the other way."""
        return inputs

    def processor(self, kind):
        """A processor of this task; an error says what to do if there is none."""
        if self.processors.get(kind) is None:
            cls = processors.KINDS[kind]
            raise KzooError(
                f"This {self.task_name} has no {kind.replace('_', ' ')}: give {kind}=kzoo."
                f"{cls.__name__}.load(folder), or call it on what its backbone reads."
            )
        return self.processors[kind]

    def task_options(self):
        """What a bundle's manifest says of this task beside its labels, as JSON types."""
        return {"reads": self.reads}

    def encode_targets(self, y, x):
        """Raw targets of `fit` as an array."""
        raise NotImplementedError

    # -- learning -------------------------------------------------------------------------------

    @classmethod
    def understand(cls, examples, problem=None, labels=None, learning=True):
        """What examples from a file say of the task, and the examples as it takes them.

        Args:
            examples: `Examples` that `read_file` gave.
            problem, labels: what is known already; None for what the examples show.
            learning: whether they are to be learnt from, and not only to be measured on.

        Returns:
            The arguments of the task that the examples decide, such as {"labels": [...]}, and
            `Examples`; KzooError is a question where they leave that in doubt.
        """
        return {}, examples

    @classmethod
    def hold_out(cls, examples, share, seed):
        """Examples to learn from, and a share of them to measure on, which `seed` draws.

        Raises:
            KzooError: where one side would be empty.
        """
        held, rest = held_out(examples.y, len(examples), share, seed)
        if not held or not rest:
            raise KzooError(
                f"validation {share} of {len(examples)} examples leaves one side empty."
            )
        return examples.part(rest), examples.part(held)

    def compile(
        self,
        optimizer=None,
        loss=None,
        metrics=None,
        teacher=None,
        gradient_checkpointing=False,
        **kwargs,
    ):
        """`keras.Model.compile` with the task's loss and metrics as defaults.

        A `compression.Teacher` says what is learnt in `fit` beside the targets, or in their place.

        The outputs are logits: Keras' cross-entropies are taken with `from_logits`, whatever they
        say, and its metrics that read probabilities are given them. The loss may stand in a list
        of one, or by the output's name. The task's own metrics, which are the default and stand
        for "accuracy" in a list, are weighted by `sample_weight` and `class_weight`. The default
        optimizer is `kzoo.AdamW(5e-5)`. `jit_compile` follows the backend: on JAX it is on, since
        without it each operation runs by itself, and lengths come in few sizes; on TensorFlow it
        is off, where a graph runs anyway and XLA would compile each length anew.

        With `gradient_checkpointing` each block is run once more for its gradients in place of
        being remembered (arXiv:1604.06174): the same learning in less memory, and more time.
        """
        if teacher is not None and not hasattr(teacher, "bridged"):
            raise KzooError(
                f"Got {an(type(teacher).__name__)} as a teacher; expected "
                "kzoo.compression.Teacher(model)."
            )
        loss = self._settled_loss(loss)
        weighted = kwargs.pop("weighted_metrics", None)
        own = metrics is None and weighted is None
        weighted = self.default_metrics() if own else self._suited_metrics(weighted)
        metrics = self._suited_metrics(metrics)
        kwargs |= {"metrics": metrics, "weighted_metrics": weighted}
        self._compile(optimizer, loss, gradient_checkpointing, **kwargs)
        self._learn_from(teacher, None if teacher is None else teacher.bridged(self))

    def _learn_from(self, teacher, bridges):
        """Take a teacher, and bridges by name as the widths (here, there) that they lie between."""
        self.teacher, made = teacher, None
        if bridges:
            with placed_with(self):
                made = Bridges(bridges)
        vars(self)["bridges"] = made  # Past Keras, which would count them among our weights.

    def _compile(self, optimizer, loss, gradient_checkpointing=False, **kwargs):
        """`keras.Model.compile` with losses and metrics that read this task's outputs."""
        from ..training import AdamW

        if not isinstance(gradient_checkpointing, bool):
            raise KzooError(
                f"Got gradient_checkpointing={gradient_checkpointing!r:.40}; expected True or "
                "False."
            )
        self.backbone.checkpoint_gradients(gradient_checkpointing)
        self.gradient_checkpointing = gradient_checkpointing
        if not kwargs.get("run_eagerly"):
            kwargs.setdefault("jit_compile", compiles_by_default())
        super().compile(AdamW(5e-5) if optimizer is None else optimizer, loss=loss, **kwargs)

    def _settled_loss(self, loss):
        """The loss of the scored output: bare, in a list of one, or by the output's name."""
        if isinstance(loss, (list, tuple)) and len(loss) == 1:
            loss = loss[0]
        loss = self._by_name(loss, "loss")
        if isinstance(loss, (list, tuple)):
            raise KzooError(
                f"Got loss={loss!r:.60}, {len(loss)} losses; {an(self.task_name)} takes one: give "
                "it alone."
            )
        return self.default_loss() if loss is None else self.suited_loss(on_logits(loss))

    def _by_name(self, given, argument):
        """What a dict has for the scored output, which must be all; else what was given."""
        if not isinstance(given, dict):
            return given
        if list(given) != [self.scored_output]:
            name = self.scored_output
            expected = f"no name but {name!r}" if name else "no names, since both outputs are one"
            raise KzooError(
                f"Got {argument} by the names {listed(given)}; {an(self.task_name)} takes "
                f"{expected}: give it without a dict."
            )
        return given[self.scored_output]

    def suited_loss(self, loss):
        """What `compile` makes of a loss that it was given, for this task's targets."""
        return loss

    def _suited_metrics(self, metrics):
        """The metrics, with the task's own for "accuracy": Keras' would guess from shapes."""
        if metrics is None:
            return None
        own = [metric for metric in self.default_metrics() if metric.name == "accuracy"]
        return [
            own[0]
            if own and isinstance(m, str) and m in ("accuracy", "acc")
            else on_probabilities(m, self.activation)
            for m in keras.tree.flatten(self._by_name(metrics, "metrics"))
        ]

    def default_loss(self):
        """The loss that `compile` takes by default."""
        raise NotImplementedError

    def loss_without_targets(self):
        """The loss that a recipe takes where examples have no targets; None for the default."""
        return None

    def measured_by(self, x, y):
        """Examples whose loss says what the task can, where some have no targets of their own."""
        return x, y

    def default_metrics(self):
        """The metrics that `compile` takes by default."""
        return []

    def monitored(self):
        """The metric that says which epoch is best: of the loss the least, of others the most."""
        return "loss"

    def scored(self, outputs, inputs):
        """The output that loss and metrics look at, for the dict of inputs."""
        return outputs[self.scored_output]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the loss of the scored output, and in training that of a teacher's lessons.

        On replicas it is what each adds to that of the whole batch.
        """
        teacher = self.teacher if training else None
        if teacher is not None and teacher.share == 1:
            loss = teacher.loss_of(self, x, y_pred, sample_weight)
            ends = self.head, getattr(self.backbone, "pooler", None)  # Lessons needn't read them.
            return loss + nothing(w for end in ends if end for w in end.trainable_variables)
        loss = super().compute_loss(x, y, self.scored(y_pred, x), sample_weight, training=training)
        if teacher is None:
            return loss + nothing(self._of_bridges) if training and self._of_bridges else loss
        taught = teacher.loss_of(self, x, y_pred, sample_weight)
        return (1 - teacher.share) * loss + teacher.share * taught

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: the metrics of the scored output."""
        return super().compute_metrics(x, y, self.scored(y_pred, x), sample_weight)

    def fit_examples(
        self,
        x,
        y,
        batch_size,
        epochs,
        validation_data,
        validation_split,
        shuffle,
        sample_weight,
        seed,
        columns,
        class_weight=None,
        batching=None,
        callbacks=None,
        resume=None,
        **kwargs,
    ):
        """What `fit` of every task does.

        `columns` are a file's, of inputs and of targets; `batching` are options of `batches_of`
        that hold for what is learned from alone. `resume` is a folder in which checkpoints are
        kept and gone on from, or `kzoo.training.Checkpoints`. A loss that is no number is an
        error.
        """
        from ..training import Checkpoints
        from ..training.finite import FiniteLoss
        from ..training.progress import Progress

        if resume is not None and not isinstance(resume, Checkpoints):
            resume = Checkpoints(resume)
        shown = []
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [FiniteLoss(), *keras.tree.flatten(callbacks or [])]
            if not any(isinstance(each, keras.callbacks.ProgbarLogger) for each in callbacks):
                callbacks.append(Progress())
            shown = [each for each in callbacks if isinstance(each, Progress)]
        self._check_compiled()
        if not self.trainable_weights:
            raise KzooError(
                f"All weights of this {type(self).__name__} stand still, so there is nothing to "
                "train: set trainable = True on the parts that are to learn, then compile()."
            )
        say = None if kwargs.get("verbose", "auto") in (0, "0") else print
        x, y, sample_weight = self._examples(x, y, sample_weight, columns, say)
        self.settle(x)
        batching = dict(batching or {})
        if class_weight is not None:
            batching["class_weight"] = self.class_weights(class_weight, x)
        if validation_split:
            x, y, sample_weight, validation_data = split(x, y, sample_weight, validation_split)
        if self.teacher is not None:
            batching |= self.teacher.batching(x)
        batches = self.batches(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            initial_epoch=kwargs.get("initial_epoch", 0),
            **batching,
        )
        for each in shown:
            each.plan = getattr(batches, "plan", None)
        if validation_data is not None:
            held = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            if not 1 <= len(held) <= 3:
                raise KzooError(
                    f"validation_data has {len(held)} parts; (x, y) or (x, y, sample_weight) is "
                    "expected."
                )
            examples = self._examples(*held, columns=columns, say=say, learning=False)
            validation_data = self.batches(*examples, batch_size=batch_size)
        return super().fit(
            batches,
            epochs=epochs,
            validation_data=validation_data,
            shuffle=False,
            callbacks=callbacks,
            resume=resume,
            **kwargs,
        )

    def evaluate_examples(self, x, y, batch_size, sample_weight, columns, **kwargs):
        """What `evaluate` of every task does once it knows `columns`, as in `fit_examples`."""
        self._check_compiled()
        if hasattr(x, "plan"):  # Batches that `fit` made, for its validation.
            return self.evaluate_batches(x, **kwargs)
        examples = self._examples(x, y, sample_weight, columns, learning=False)
        return self.evaluate_batches(self.batches(*examples, batch_size=batch_size), **kwargs)

    def evaluate_batches(self, batches, **kwargs):
        """`keras.Model.evaluate` on what `batches` gives."""
        return super().evaluate(batches, **kwargs)

    def answer_all(self, columns, batch_size, verbose=0):
        """What `predict` gives for what `encode_examples` made, in its order."""
        order, outputs = self.run_batches(columns, batch_size, verbose)
        answers = np.concatenate([self.answer(batch) for batch in outputs])
        restored = np.empty_like(answers)
        restored[order] = answers
        return restored

    def answer(self, outputs):
        """What `predict` gives for raw outputs, as NumPy."""
        raise NotImplementedError

    def settle(self, x):
        """What `fit` learns from its examples about the task itself, before they are encoded."""

    def class_weights(self, class_weight, x):
        """The weights of the classes in their order; KzooError where a task has none."""
        raise KzooError(
            f"Got class_weight for {an(self.task_name)}, whose targets are no classes: leave it "
            "out, and weight examples by sample_weight."
        )

    def batches(self, x, y=None, sample_weight=None, class_weight=None, **options):
        """Raw examples as what Keras' loops take.

        `class_weight` is what `class_weights` gives; the other `options` are those of
        `batches_of`: batch_size, shuffle, seed, initial_epoch.
        """
        self._check_targets(y)
        targets = self.encode_targets(y, x)
        if class_weight is not None:
            sample_weight = weighted_by_class(targets, sample_weight, class_weight)
        return self.batches_of(self.encode_examples(x), targets, sample_weight, **options)

    def batches_of(self, columns, targets, sample_weight, **options):
        """What `encode_examples` made, with its targets and weights, as what Keras' loops take."""
        raise NotImplementedError

    def plan(self, columns, batch_size):
        """Which of what `encode_examples` made are run together, see `data.batches.BatchPlan`."""
        raise NotImplementedError

    def run_batches(self, columns, batch_size, verbose=0, run=None, plan=None):
        """The raw outputs of what `encode_examples` made, batch by batch, and the order.

        `run` gives the outputs of a batch in the place of `predict_on_batch`; `plan` stands in the
        place of the task's own of these columns.
        """
        run = run or self.predict_on_batch
        plan = self.plan(columns, batch_size) if plan is None else plan
        bar = keras.utils.Progbar(plan.size, verbose=verbosity("auto") if verbose else 0)
        outputs = []
        for rows in plan.order():
            batch = run(plan.batch(plan.rounded(rows))[0])
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
                f"No targets came: fit and evaluate of {an(self.task_name)} take one for each "
                "input, as y or beside it in a file or dataset."
            )

    # What reads the examples of a file: `read_file(path, inputs, targets, which)` gives `Examples`
    # of its columns, where `which` is as `targets` above.
    read_file = None

    def as_inputs(self, x):
        """A list of inputs from whatever a user has them in."""
        raise NotImplementedError

    def from_dataset(self, dataset):
        """Inputs, targets and weights of a whole `tf.data.Dataset`."""
        raise NotImplementedError

    def _examples(
        self, x, y=None, sample_weight=None, columns=(None, None), say=None, learning=True
    ):
        """Lists of inputs, targets and weights from whatever `fit` was handed.

        `say` is called with a line on what a file was read as.
        """
        if isinstance(x, (str, Path)):
            x, y = self._from_file(x, y, columns, say, learning)
        elif hasattr(x, "as_numpy_iterator"):
            x, y, sample_weight = self.from_dataset(x)
        x = self.as_inputs(x)
        for name, given in (("targets", y), ("sample weights", sample_weight)):
            if given is not None and not is_column(given):
                raise KzooError(
                    f"{given!r:.60} came as {name}; a list or array of one for each of the "
                    f"{len(x)} inputs is expected."
                )
            if given is not None and len(given) != len(x):
                raise KzooError(
                    f"{len(x)} inputs came with {len(given)} {name}: one each is expected."
                )
        return x, y, sample_weight

    def _from_file(self, path, y, columns, say, learning):
        """The examples of a file, with targets `y` in place of its own where there are any."""
        examples = self.read_file(path, *columns, self.targets if y is None else "none")
        known = {}
        if examples.y is not None:
            problem = getattr(self, "problem", None)
            known, examples = self.understand(examples, problem, self.labels, learning)
        if say:
            say(examples.describe(known.get("labels")))
        return examples.x, examples.y if y is None else y

    # -- keeping --------------------------------------------------------------------------------

    def get_config(self):
        """What rebuilds the task: the backbone's config and the task's own arguments."""
        return {
            "backbone": self.backbone.get_config(),
            "labels": self.labels,
            "head": self.head_slot,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`; processors come with the saved assets."""
        from ..models import family_of

        config = dict(config)
        backbone = config.pop("backbone")
        family = family_of(Spec.from_dict(backbone["spec"]))
        return cls(family.from_config(backbone), **config)

    def get_compile_config(self):
        """Keras' hook: what the task was compiled with, and the weights that stand still."""
        config = super().get_compile_config()
        if config:
            if config["jit_compile"] == compiles_by_default():
                del config["jit_compile"]  # It follows the backend, which may be another there.
            config["frozen"] = frozen(self)
            if self.gradient_checkpointing:
                config["gradient_checkpointing"] = True
            config["optimizer_built"] = self.optimizer.built
            if self.bridges is not None:
                config["bridges"] = self.bridges.widths
        return config

    def compile_from_config(self, config):
        """Keras' hook: a loaded task is compiled as it was; the optimizer's state comes next.

        The state has a place for each weight that learns, so the same ones must.
        """
        config = dict(config)
        if not config.get("jit_compile"):  # Files of kzoo 0.1 hold the default, which was False.
            config.pop("jit_compile", None)
        still, built = set(config.pop("frozen", ())), config.pop("optimizer_built", True)
        # Files of kzoo 0.1 name what the head doesn't read, too: that is no wish of the user's.
        not_read = {id(weight) for weight in self.unread}
        unread = {path for path, w in weights_by_path(self).items() if id(w) in not_read}
        if not set(weights_by_path(self.backbone)) <= {p.partition("/")[2] for p in still}:
            still -= unread
        freeze(self, still)
        config = keras.saving.deserialize_keras_object(config)
        config["loss"] = self._settled_loss(config.get("loss"))
        bridges = config.pop("bridges", None)
        self._compile(**config)
        # The teacher is gone; what its lessons learnt keeps its place in the optimizer's state.
        self._learn_from(None, bridges)
        if built:
            self.optimizer.build(self.trainable_variables)

    def save_assets(self, folder):
        """Keras' hook: processors go into the .keras file."""
        processors.save(self.processors, folder)

    def load_assets(self, folder):
        """Keras' hook: processors come back from the .keras file."""
        self.processors = processors.load(folder) if folder else {}  # Keras gives none of none.
        self.check_processors()

    @classmethod
    def from_preset(cls, name):
        """Load a task: a name that `kzoo list` shows, or a folder."""
        from .. import presets

        task = presets.load(name)
        if not isinstance(task, cls):
            raise KzooError(f"{str(name)!r} is {an(type(task).__name__)}, not {an(cls.__name__)}.")
        return task

    def save_preset(self, folder, card=None):
        """Write the task as a preset folder that `kzoo.load` reads."""
        from .. import presets

        presets.save_preset(self, folder, card=card)


def check_model(model, doing):
    """Raise KzooError for what is neither a task nor a network; `doing` is such as "to prune"."""
    if not isinstance(model, (Network, Task)):
        raise KzooError(
            f"Got {an(type(model).__name__)} {doing}; expected a task or a network: "
            "kzoo.load(name) gives one."
        )


def compiles_by_default():
    """Whether XLA pays: on JAX nothing else joins operations, on TensorFlow a graph has them."""
    return keras.backend.backend() == "jax"


def _axes(outputs):
    return " and ".join(f"{name} of {axes} axes" for name, axes in outputs.items())


def loaded(source):
    """The model behind a preset's name or folder; whatever else came as it is."""
    if isinstance(source, (str, Path)):
        from .. import presets

        name, source = source, presets.load(source)
        presets.warn_if_random(name, source)
    return source


def _backbone_of(source):
    """The backbone of whatever a task is made of."""
    backbone = source.backbone if isinstance(source, Task) else source
    if isinstance(backbone, Network):
        return backbone
    raise KzooError(
        f"A task stands on a backbone, a task or a preset's name; {type(source).__name__} came."
    )


def _shortened(labels):
    return f"{', '.join(labels[:3])}{f' and {len(labels) - 3} more' * (len(labels) > 3)}"


def _snake_case(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
