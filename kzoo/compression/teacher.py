"""A teacher that answers inside `fit`, to what the student sees: arXiv:2012.12877, section 4."""

import keras
import numpy as np
from keras import ops

from ..errors import KzooError
from ..keras_hooks import mean_of_all
from ..network import Network
from ..tasks.places import Tied
from ..tasks.task import Task
from ..values import is_number
from .cache import Cache
from .lessons import HardLabels, Lesson, Logits, places_of, size_of


class Teacher:
    """A model that a student learns from in `fit`, beside its targets or in their place.

    `student.compile(teacher=Teacher(model))`. It answers to the very batch that the student sees,
    augmented as that is, and the student is run once. The loss is (1 - share) times the student's
    own and `share` times that of the lessons, each a mean over examples or over places without
    padding. A student with a head "distilled" learns the labels by its class token and the
    teacher's by its distillation token, equations 2 and 3 there. The teacher learns nothing, and
    isn't saved with the student. What lessons learn themselves, maps between widths, stays in a
    `.keras` file, where the optimizer's state has a place for it, and in no preset.

    A classifier's lessons alone (share 1) don't read its labels: with the teacher's best classes
    in their place, accuracy is the agreement of both.

    A teacher reads the student's own tokens. Of one with a larger vocabulary of the same kind, as
    after trimming, it reads them by its own numbers. Where vocabularies are others, take
    `cached(model, texts, folder)`: of texts its answers are known, whatever tokens it reads.

    Args:
        model: a kzoo task; a Keras model that gives logits or probabilities (batch, classes), such
            as one of `keras.applications`; or a `Cache` of a task's answers.
        hard: whether the teacher's best class is learnt as if it were the label; else the whole of
            its probabilities.
        temperature: what logits of both are divided by, where they are learnt softly.
        share: the weight of the lessons; 0.5 where labels are hard and 0.1 where they are soft, as
            in the paper. Where `lessons` say what is learnt it is 1: they alone.
        labels: the names of a Keras model's classes in their order, of which the student's are
            some; those of the student by default.
        preprocess: what a Keras model's inputs are made by from float32 pictures of 0 to 255 in the
            student's size, in Keras' operations; such as
            `keras.applications.mobilenet_v2.preprocess_input`. Nothing by default.
        lessons: what is learnt in the place of labels: a list of `Logits`, `HardLabels`,
            `Embeddings`, `HiddenStates`, `AttentionMaps`, `AttentionScores`, `ValueRelations`, or
            a `Lesson` of your own.

    Raises:
        KzooError: for what is no model, and options out of their range.
    """

    def __init__(
        self,
        model,
        hard=True,
        temperature=3.0,
        share=None,
        labels=None,
        preprocess=None,
        lessons=None,
    ):
        if isinstance(model, Network) or not isinstance(model, (keras.Model, Cache)):
            raise KzooError(
                f"Got a {type(model).__name__} as a teacher; expected a kzoo task, a Cache or a "
                "Keras model."
            )
        if type(hard) is not bool:
            raise KzooError(f"Got hard={hard!r:.40} for a teacher; expected True or False.")
        usual = 1.0 if lessons is not None else 0.5 if hard else 0.1
        share = usual if share is None else share
        if not is_number(share, 0, 1):
            raise KzooError(f"Got share={share!r:.40} for a teacher; expected 0 to 1.")
        soft = Logits(temperature)
        is_ours = isinstance(model, (Task, Cache))
        if is_ours and (labels is not None or preprocess is not None):
            raise KzooError(
                "Got labels or preprocess for a teacher of kzoo's, which has its own: leave them "
                "out."
            )
        self.share = share
        self.lessons = [HardLabels() if hard else soft] if lessons is None else list(lessons)
        if not self.lessons or not all(isinstance(each, Lesson) for each in self.lessons):
            raise KzooError(
                f"Got the lessons {self.lessons!r:.60}; expected a list such as "
                "[Logits(), HiddenStates()]."
            )
        if isinstance(model, Cache):
            self.source = model
        else:
            self.source = _OfOurs(model) if is_ours else _OfOthers(model, labels, preprocess)

    @property
    def needs(self):
        """What lessons compare beside answers, as `Stack.call` returns it."""
        return tuple(sorted({name for lesson in self.lessons for name in lesson.needs}))

    def bridged(self, student):
        """The widths by name that a student learns to map, see `nn.bridges`.

        Raises:
            KzooError: for a student that can't learn from this teacher.
        """
        for lesson in self.lessons:
            lesson.check(student, self.source)
        self.source.check(student)
        return {
            f"{place}_{name}": widths
            for place, lesson in enumerate(self.lessons)
            for name, widths in lesson.bridges(student, self.source).items()
        }

    def batching(self, x):
        """What `fit` adds to the options of its batches, for a list of examples."""
        return self.source.batching(x)

    def loss_of(self, student, inputs, outputs, sample_weight=None):
        """How far a student's outputs are from the teacher's on its inputs, a float32 scalar."""
        answers = self.source.outputs(student, inputs, self.needs)
        answers = keras.tree.map_structure(ops.stop_gradient, answers)
        loss = 0.0
        for place, lesson in enumerate(self.lessons):

            def across(name, x, place=place):
                key, bridges = f"{place}_{name}", student.bridges
                is_bridged = bridges is not None and key in bridges.kernels
                return bridges.across(key, x) if is_bridged else x

            losses, counted = lesson.losses(student, self.source, inputs, outputs, answers, across)
            loss = loss + lesson.weight * _mean(losses, counted, sample_weight)
        return loss


def _mean(losses, counted, sample_weight):
    """The mean of the losses that count, each multiplied by its example's weight."""
    counted = ops.ones_like(losses) if counted is None else counted
    total = losses * counted
    if sample_weight is not None:
        weight = ops.cast(sample_weight, "float32")
        more = len(total.shape) - len(weight.shape)
        total = total * ops.reshape(weight, (*ops.shape(weight), *[1] * more))
    return mean_of_all(ops.sum(total), ops.sum(counted))


class _OfOurs:
    """A kzoo task that answers."""

    def __init__(self, model):
        self.model, self.name, self.kind = model, model.name, model.task_name
        self.labels, self.backbone = model.labels, model.backbone
        self.scored_output, self.scored = model.scored_output, model.scored
        self.width = getattr(model, "output_width", None)

    def check(self, student):
        """Raise KzooError where it can't read what the student reads."""
        own, other = (each.backbone.signature for each in (self.model, student))
        missing = sorted(own.keys() - other.keys())
        if missing:
            raise KzooError(
                f"The teacher {self.name} reads {', '.join(missing)}, which the student doesn't "
                "have; expected one that reads no more than it, or "
                "kzoo.compression.cached(teacher, texts, folder)."
            )
        for name in own.keys() & other.keys():
            sizes = [axes[name].axes[1:] for axes in (own, other)]
            if sizes[0] == sizes[1]:
                continue
            resized = f": Teacher(model.resized({list(sizes[1][:2])})) has it"
            raise KzooError(
                f"The teacher {self.name} reads {name} of {size_of(sizes[0])}, and the student "
                f"of {size_of(sizes[1])}; expected the student's size"
                f"{resized if hasattr(self.model, 'resized') else ''}."
            )
        longest = getattr(student, "max_length", None) or 0
        if longest > self.backbone.longest:
            raise KzooError(
                f"The teacher {self.name} reads {self.backbone.longest} tokens, and the student "
                f"{longest}: make the student with max_length={self.backbone.longest}."
            )
        self._numbers(student)

    def batching(self, x):
        """Nothing: it sees the batches themselves."""
        return {}

    def outputs(self, student, inputs, needs):
        """What it gives for the student's inputs, by name."""
        numbers = self._numbers(student)
        inputs = self.model.in_graph(student.before_graph(inputs))
        if numbers is not None:
            inputs = {
                name: ops.take(numbers, value, axis=0) if name.endswith("token_ids") else value
                for name, value in inputs.items()
            }
        seen = {"seen": needs} if needs else {}  # A task of the user's own needn't know it.
        return self.model(inputs, training=False, **seen)

    def _numbers(self, student):
        """Its number of each of the student's tokens, int32; None where they are the same."""
        if "tokenizer" not in {*self.model.processors, *student.processors}:
            return None
        mine, theirs = (each.processors.get("tokenizer") for each in (self.model, student))
        if mine is None or theirs is None:
            return None
        here, there = theirs.vocabulary, mine.vocabulary
        if here == there:
            return None
        unknown = [token for token in here if token not in there]
        if unknown or mine.kind != theirs.kind:
            raise KzooError(
                f"The teacher {self.name} has another vocabulary than the student, of whose "
                f"{len(here)} tokens it lacks {len(unknown)}; expected all of them, or its answers "
                "by kzoo.compression.cached(teacher, texts, folder)."
            )
        numbers = np.zeros(max(here.values()) + 1, "int32")
        numbers[list(here.values())] = [there[token] for token in here]
        return numbers

    def places_of(self, student):
        """Where the student's classes stand among its own, or None where they are the same."""
        scores_tokens = isinstance(student, Tied)
        return self._numbers(student) if scores_tokens else places_of(self.labels, student)


class _OfOthers:
    """A Keras model of pictures that answers."""

    kind, backbone, width, scored_output = None, None, None, "logits"

    def __init__(self, model, labels, preprocess):
        self.model, self.name, self.labels = model, model.name, labels
        self.preprocess = preprocess or (lambda pictures: pictures)

    def check(self, student):
        """Whether it reads what the student reads is seen where it is called."""

    def batching(self, x):
        """Nothing: it sees the batches themselves."""
        return {}

    def scored(self, outputs, inputs):
        """The logits."""
        return outputs["logits"]

    def outputs(self, student, inputs, needs):
        """Its logits; of probabilities their logarithms, which are logits too."""
        arrays = student.before_graph(inputs)
        pictures = self.preprocess(arrays)
        try:
            answers = self.model(pictures, training=False)
        except ValueError:
            raise KzooError(
                f"The teacher {self.name} takes no pictures of {tuple(pictures.shape[1:])}, "
                "which are the student's; expected its own size from preprocess, such as "
                "keras.layers.Resizing(224, 224)."
            ) from None
        if _ends_in_softmax(self.model):
            answers = ops.log(ops.maximum(ops.cast(answers, "float32"), keras.config.epsilon()))
        return {"logits": answers}

    def places_of(self, student):
        """Where the student's classes stand among its own, or None where they are the same."""
        return places_of(self.labels, student)


def _ends_in_softmax(layer):
    """Whether the last of a model's layers, and of the model that this may be, is a softmax."""
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    is_softmax = getattr(layer, "activation", None) is keras.activations.softmax
    return is_softmax or isinstance(layer, keras.layers.Softmax)
