"""A teacher that answers inside `fit`, to what the student sees: arXiv:2012.12877, section 4."""

import keras
from keras import ops

from ..errors import KzooError
from ..tasks.classifier import Classifier
from ..values import is_number
from .distill import soft_cross_entropy


class Teacher:
    """A classifier whose answers a student learns in `fit`, beside the labels.

    `student.compile(teacher=Teacher(model))`. It answers to the very batch that the student sees,
    augmented as that is. The loss is (1 - share) times the student's own and `share` times that
    of the answers, equations 2 and 3 there; a student with a head "distilled" learns the labels
    by its class token and the answers by its distillation token. The teacher learns nothing, and
    isn't saved with the student.

    Args:
        model: a kzoo classifier of what the student reads; or a Keras model that gives logits or
            probabilities (batch, classes), such as one of `keras.applications`.
        hard: whether the teacher's best class is learnt as if it were the label; else the whole of
            its probabilities.
        temperature: what logits of both are divided by, where they are learnt softly.
        share: the weight of the teacher's answers; 0.5 where they are hard and 0.1 where they are
            soft, as in the paper.
        labels: the names of a Keras model's classes in their order, of which the student's are
            some; those of the student by default.
        preprocess: what a Keras model's inputs are made by from float32 pictures of 0 to 255 in the
            student's size, in Keras' operations; such as
            `keras.applications.mobilenet_v2.preprocess_input`. Nothing by default.

    Raises:
        KzooError: for what is no classifier, and options out of their range.
    """

    def __init__(self, model, hard=True, temperature=3.0, share=None, labels=None, preprocess=None):
        if not isinstance(model, keras.Model):
            raise KzooError(
                f"Got a {type(model).__name__} as a teacher; expected a kzoo classifier or a Keras "
                "model."
            )
        share = (0.5 if hard else 0.1) if share is None else share
        if not is_number(share, 0, 1):
            raise KzooError(f"Got share={share!r:.40} for a teacher; expected 0 to 1.")
        if not is_number(temperature, 0) or not temperature:
            raise KzooError(
                f"Got temperature={temperature!r:.40} for a teacher; expected a number above 0."
            )
        is_ours = isinstance(model, Classifier)
        if is_ours and (labels is not None or preprocess is not None):
            raise KzooError(
                "Got labels or preprocess for a teacher of kzoo's, which has its own: leave them "
                "out."
            )
        self.model, self.labels, self.share = model, model.labels if is_ours else labels, share
        self.answer = self._of_ours if is_ours else self._of_others
        self.preprocess = preprocess or (lambda pictures: pictures)
        self.loss = _Hard(from_logits=True) if hard else _Soft(temperature)

    def check(self, student):
        """Raise KzooError for a student that can't learn this teacher's answers."""
        if student.problem != "single_label" or len(student.labels) < 2:
            raise KzooError(
                f"Got a teacher for {len(student.labels)} labels of the problem {student.problem}; "
                "expected single_label with two labels or more."
            )
        unknown = [label for label in student.labels if label not in (self.labels or [label])]
        if unknown:
            raise KzooError(
                f"The teacher doesn't know {', '.join(unknown[:3])}; expected one that has all of "
                "the student's labels."
            )
        if self.answer == self._of_ours:
            self._check_size(student)

    def _check_size(self, student):
        """Raise KzooError where a kzoo teacher reads arrays of another size than the student."""
        own, other = (each.backbone.signature for each in (self.model, student))
        for name in own.keys() & other.keys():
            sizes = [axes[name].axes[1:] for axes in (own, other)]
            if sizes[0] == sizes[1]:
                continue
            resized = f": Teacher(model.resized({list(sizes[1][:2])})) has it"
            raise KzooError(
                f"The teacher {self.model.name} reads {name} of {_size(sizes[0])}, and the student "
                f"of {_size(sizes[1])}; expected the student's size"
                f"{resized if hasattr(self.model, 'resized') else ''}."
            )

    def loss_of(self, student, inputs, logits, sample_weight=None):
        """How far a student's logits (batch, labels) are from the teacher's on its inputs."""
        there = ops.stop_gradient(ops.cast(self.answer(student, inputs), "float32"))
        if len(there.shape) != 2:
            raise KzooError(
                f"The teacher {self.model.name} gives {_size(there.shape[1:])} numbers for an "
                "example; expected one for each class: make it with include_top=True, or put a "
                "layer of classes behind it."
            )
        if self.labels is not None and list(self.labels) != student.labels:
            order = [list(self.labels).index(label) for label in student.labels]
            there = ops.take(there, order, axis=-1)
        if there.shape[-1] != len(student.labels):
            raise KzooError(
                f"The teacher gives {there.shape[-1]} classes, and the student has "
                f"{len(student.labels)} labels: say by labels= which they are."
            )
        return self.loss(there, logits, sample_weight)

    def _of_ours(self, student, inputs):
        """The logits of a kzoo classifier."""
        return self.model(self.model.in_graph(student.before_graph(inputs)))["logits"]

    def _of_others(self, student, inputs):
        """The logits of a Keras model; of probabilities their logarithms, which are logits too."""
        arrays = student.before_graph(inputs)
        pictures = self.preprocess(arrays)
        try:
            answers = self.model(pictures, training=False)
        except ValueError:
            raise KzooError(
                f"The teacher {self.model.name} takes no pictures of {tuple(pictures.shape[1:])}, "
                "which are the student's; expected its own size from preprocess, such as "
                "keras.layers.Resizing(224, 224)."
            ) from None
        if not _ends_in_softmax(self.model):
            return answers
        return ops.log(ops.maximum(ops.cast(answers, "float32"), keras.config.epsilon()))


def _size(shape):
    return " x ".join(map(str, shape))


def _ends_in_softmax(layer):
    """Whether the last of a model's layers, and of the model that this may be, is a softmax."""
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    is_softmax = getattr(layer, "activation", None) is keras.activations.softmax
    return is_softmax or isinstance(layer, keras.layers.Softmax)


class _Hard(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy to the teacher's best class."""

    def call(self, y_true, y_pred):
        """The teacher's logits and the student's, both (batch, labels), to one loss each."""
        return super().call(ops.argmax(y_true, axis=-1), y_pred)


class _Soft(keras.losses.Loss):
    """Cross-entropy to the teacher's probabilities."""

    def __init__(self, temperature):
        super().__init__(name="soft")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        """The teacher's logits and the student's, both (batch, labels), to one loss each."""
        return soft_cross_entropy(y_true, y_pred, self.temperature)
