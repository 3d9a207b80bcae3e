"""What of a teacher a student learns: scores, vectors, hidden states, maps, relations."""

import math
from functools import partial

import keras
from keras import ops

from ..errors import KzooError
from ..graphs import Stack
from ..nn.attention import additive_mask
from ..tasks.classifier import Classifier
from ..tasks.embedder import Embedder
from ..values import an, is_number, is_whole
from .distill import soft_cross_entropy

FORBIDDEN = -1e3  # Scores below are those of places that may not be looked at, see `nn.attention`.


def squared(here, there):
    """The mean square of the differences of vectors (..., width): (...)."""
    return ops.mean(ops.square(here - there), axis=-1)


def cosine(here, there):
    """1 less the cosine of vectors (..., width): (...). Of length 1, half their square distance."""
    return 1.0 - ops.sum(ops.normalize(here, axis=-1) * ops.normalize(there, axis=-1), axis=-1)


DISTANCES = {"squared": squared, "cosine": cosine}


class Lesson:
    """One thing of a teacher that a student learns, see `Teacher`.

    Args:
        weight: what its loss is multiplied by, beside those of other lessons.
    """

    needs = ()  # What is compared beside the answers, as `Stack.call` returns it.

    def __init__(self, weight=1.0):
        if not is_number(weight, 0) or not weight:
            raise KzooError(
                f"Got weight={weight!r:.40} for {type(self).__name__}; expected a number above 0."
            )
        self.weight = weight

    def check(self, student, source):
        """Raise KzooError where a student, a task, can't learn it of a teacher's source."""

    def bridges(self, student, source):
        """By name the widths (student's, teacher's) of what is compared across a `Bridges`."""
        return {}

    def losses(self, student, source, inputs, here, there, across):
        """How far a student is from its teacher, one example or place beside the other.

        Args:
            student, source: the task that learns, and what answers, see `teacher`.
            inputs: the dict of the student's inputs.
            here, there: the outputs of both by name.
            across: `across(name, x)` is x (..., width) in the teacher's width.

        Returns:
            Losses, (batch,) or (batch, places), and of as many which count: 1, or 0 for padding;
            None where all do.
        """
        raise NotImplementedError


class Logits(Lesson):
    """The teacher's probabilities: Hinton et al. 2015, arXiv:1503.02531.

    Cross-entropy of both sides' scores at a temperature, multiplied by its square so that gradients
    keep their scale: over the labels of an example, over the labels or the vocabulary at each place
    that is no padding, over the places where an answer starts and ends. A student with a head
    "distilled" learns it by its distillation token.

    Args:
        temperature: what the scores of both are divided by.
        weight: as for `Lesson`.
    """

    def __init__(self, temperature=3.0, weight=1.0):
        super().__init__(weight)
        if not is_number(temperature, 0) or not temperature:
            raise KzooError(
                f"Got temperature={temperature!r:.40} for a teacher; expected a number above 0."
            )
        self.temperature = temperature

    def check(self, student, source):
        """The student has scores of the same things, and the teacher knows all of its labels."""
        if student.scored_output not in ("logits", None):
            raise KzooError(
                f"Got {type(self).__name__} for {an(student.task_name)}, which has no logits; "
                "expected Embeddings() or another lesson."
            )
        if source.scored_output != student.scored_output:
            raise KzooError(
                f"Got {source.name} as a teacher of {an(student.task_name)}, and it has no such "
                "scores; expected one of its kind, or lessons about other things."
            )
        if isinstance(student, Classifier):
            if student.problem != "single_label" or len(student.labels) < 2:
                raise KzooError(
                    f"Got a teacher for {len(student.labels)} labels of the problem "
                    f"{student.problem}; expected single_label with two labels or more."
                )
        elif source.kind != student.task_name:
            raise KzooError(
                f"Got {source.name} as a teacher of {an(student.task_name)}, whose scores are of "
                "other things; expected one of its kind."
            )
        unknown = [
            label for label in student.labels or () if label not in (source.labels or [label])
        ]
        if unknown:
            raise KzooError(
                f"The teacher doesn't know {', '.join(unknown[:3])}; expected one that has all of "
                "the student's labels."
            )

    def losses(self, student, source, inputs, here, there, across):
        """See `Lesson`."""
        here = here.get("distillation_logits", student.scored(here, inputs))
        there, here = _float(source.scored(there, inputs)), _float(here)
        if len(there.shape) != len(here.shape):
            raise KzooError(
                f"The teacher {source.name} gives {size_of(there.shape[1:])} numbers for an "
                "example; expected one for each class: make it with include_top=True, or put a "
                "layer of classes behind it."
            )
        order = source.places_of(student)
        there = there if order is None else ops.take(there, order, axis=-1)
        if there.shape[-1] != here.shape[-1]:
            known = student.labels or range(here.shape[-1])
            raise KzooError(
                f"The teacher gives {there.shape[-1]} classes, and the student has {len(known)} "
                "labels: say by labels= which they are."
            )
        is_by_place = len(here.shape) == 3 and student.scored_output is not None
        return self.far(there, here), _mask(inputs) if is_by_place else None

    def far(self, there, here):
        """Scores of both (..., classes) to one loss each."""
        return soft_cross_entropy(there, here, self.temperature)


class HardLabels(Logits):
    """The teacher's best class, as if it were the label: arXiv:2012.12877, section 4.

    Args:
        weight: as for `Lesson`.
    """

    def __init__(self, weight=1.0):
        super().__init__(1.0, weight)

    def far(self, there, here):
        """Scores of both (..., classes) to one loss each."""
        best = ops.argmax(there, axis=-1)
        return keras.losses.sparse_categorical_crossentropy(best, here, from_logits=True)


class Embeddings(Lesson):
    """The teacher's vectors of texts or pictures: arXiv:2004.09813, equation 1.

    A student whose vectors have another width learns a map to the teacher's as well, which isn't
    kept: its own vectors then lie as the teacher's only as far as such a map keeps what is near
    together. With `narrowed(teacher, texts, width)` as the teacher none is needed.

    Args:
        distance: "cosine", or "squared" where lengths are to be learnt too.
        weight: as for `Lesson`.
    """

    def __init__(self, distance="cosine", weight=1.0):
        super().__init__(weight)
        self.distance = _distance(distance)

    def check(self, student, source):
        """Both give vectors."""
        if not isinstance(student, Embedder) or source.width is None:
            raise KzooError(
                f"Got Embeddings for {an(student.task_name)} of the teacher {source.name}; "
                "expected embedders, such as a TextEmbedder of a TextEmbedder."
            )

    def bridges(self, student, source):
        """One, where the vectors differ in width."""
        widths = student.output_width, source.width
        return {} if widths[0] == widths[1] else {"embedding": widths}

    def losses(self, student, source, inputs, here, there, across):
        """See `Lesson`."""
        here = across("embedding", _float(here["embedding"]))
        losses = self.distance(here, _float(there["embedding"]))
        return losses, None


class Inner(Lesson):
    """Base of lessons about what happens in the stacks of both, step by step.

    Args:
        steps: the layer map, {teacher's: student's}; by default the student's are spread evenly.
        weight: as for `Lesson`.
    """

    first = 0  # What is counted from 1 on where the embeddings are 0.

    def __init__(self, steps=None, weight=1.0):
        super().__init__(weight)
        places = [*(steps or ()), *(steps or {}).values()] if isinstance(steps, dict) else [None]
        if steps is not None and not (steps and all(is_whole(place, 0) for place in places)):
            raise KzooError(
                f"Got the layer map {steps!r:.60} for {type(self).__name__}; expected a dict of "
                "the teacher's steps to the student's, such as {2: 1, 5: 2}."
            )
        self.steps = steps

    def check(self, student, source):
        """Both are one stack, and have the steps of the layer map."""
        for side, backbone in (("student", student.backbone), ("teacher", source.backbone)):
            if not isinstance(backbone, Stack):
                name = student.name if side == "student" else source.name
                raise KzooError(
                    f"Got {type(self).__name__} with the {side} {name}, which shows nothing but "
                    "its answers; expected a task of kzoo's on one stack, such as a BERT."
                )
        for there, here in self.pairs(student, source):
            for side, place, most in (
                ("teacher", there, source.backbone.spec.num_layers),
                ("student", here, student.backbone.spec.num_layers),
            ):
                if place >= most + self.first:
                    raise KzooError(
                        f"Got the {side}'s step {place} in the layer map of {type(self).__name__}; "
                        f"expected 0 to {most + self.first - 1}."
                    )

    def pairs(self, student, source):
        """The layer map as pairs (teacher's, student's)."""
        if self.steps is not None:
            return list(self.steps.items())
        most, own = source.backbone.spec.num_layers, student.backbone.spec.num_layers
        behind = [round((step + 1) * most / own) for step in range(own)]
        if self.first:
            return [(0, 0), *zip(behind, range(1, own + 1), strict=True)]
        return [(max(there - 1, 0), here) for here, there in enumerate(behind)]

    def losses(self, student, source, inputs, here, there, across):
        """See `Lesson`: the sum over the steps of the layer map."""
        mask, losses = _mask(inputs), 0.0
        for pair in self.pairs(student, source):
            sides = self.shown(there)[pair[0]], self.shown(here)[pair[1]]
            losses = losses + self.far(*sides, mask, partial(across, _key(*pair)))
        return losses, mask

    def shown(self, outputs):
        """What is compared of the outputs of one side, a tuple by step."""
        (name,) = self.needs
        if name not in outputs:
            raise KzooError(
                f"Got several texts an example for {type(self).__name__}; expected one each."
            )
        return outputs[name]

    def far(self, there, here, mask, across):
        """How far a step is, (batch, places)."""
        raise NotImplementedError


class HiddenStates(Inner):
    """Vectors of every place between the blocks: TinyBERT, arXiv:1909.10351, equations 8 and 9.

    Steps are those of `hidden_states`: 0 is what the embedding gives, n what the n-th block gives.
    Where widths differ, each pair learns a map from the student's to the teacher's, which isn't
    kept. The loss is the mean over all places but padding, of the sum over the layer map.

    Args:
        steps: as for `Inner`, such as {0: 0, 2: 1, 4: 2, 6: 3}.
        distance: "squared" (TinyBERT), or "cosine" (DistilBERT, arXiv:1910.01108).
        weight: as for `Lesson`.
    """

    needs, first = ("hidden_states",), 1

    def __init__(self, steps=None, distance="squared", weight=1.0):
        super().__init__(steps, weight)
        self.distance = _distance(distance)

    def bridges(self, student, source):
        """One a pair, where widths differ."""
        widths = student.spec.hidden_dim, source.backbone.spec.hidden_dim
        pairs = self.pairs(student, source)
        return {} if widths[0] == widths[1] else {_key(*pair): widths for pair in pairs}

    def far(self, there, here, mask, across):
        """See `Inner`."""
        _check_places(there.shape[1], here.shape[1])
        return self.distance(across(_float(here)), _float(there))


class AttentionMaps(Inner):
    """What each place looks at: Zagoruyko and Komodakis 2017, arXiv:1612.03928; MobileBERT.

    The mean square of the differences of the maps, over all places and what they look at but
    padding, and over heads; where the numbers of heads differ, of the means over heads. Steps are
    counted from 0.

    Args:
        steps: as for `Inner`, such as {1: 0, 3: 1, 5: 2}.
        weight: as for `Lesson`.
    """

    needs = ("attention_maps",)

    def far(self, there, here, mask, across):
        """See `Inner`."""
        there, here = self.readied(_float(there)), self.readied(_float(here))
        _check_places(there.shape[2], here.shape[2])
        if there.shape[1] != here.shape[1]:
            there, here = (ops.mean(each, axis=1, keepdims=True) for each in (there, here))
        gap = ops.mean(ops.square(there - here), axis=1)  # (batch, queries, keys)
        if mask is None:
            return ops.mean(gap, axis=-1)
        count = ops.maximum(ops.sum(mask, axis=-1, keepdims=True), 1.0)
        return ops.sum(gap * mask[:, None], axis=-1) / count

    def readied(self, x):
        """What is compared of maps (batch, heads, queries, keys)."""
        return x


class AttentionScores(AttentionMaps):
    """Attention before the softmax: TinyBERT, arXiv:1909.10351, equation 7.

    As `AttentionMaps`; what a place may not look at is left out, as there.
    """

    needs = ("attention_scores",)

    def readied(self, x):
        """See `AttentionMaps`."""
        return ops.where(x < FORBIDDEN, 0.0, x)


class ValueRelations(Inner):
    """How queries, keys and values lie to each other: MiniLM v2, arXiv:2012.15828.

    Of one step of each, the softmax over all places of the products of its queries with each
    other, divided by the root of their width; the same of keys, and of values. The loss is the sum
    of the three divergences of the student's from the teacher's, the mean over relation heads and
    places without padding. Widths and heads may differ, since all heads are joined and cut anew.

    Args:
        teacher_step, student_step: the steps, counted from 0; the last by default.
        heads: how many relation heads there are, more being finer; by default the most that divide
            all widths up to the teacher's heads.
        weight: as for `Lesson`.
    """

    needs = ("projections",)

    def __init__(self, teacher_step=None, student_step=None, heads=None, weight=1.0):
        super().__init__(None, weight)
        for name, value, least in (
            ("teacher_step", teacher_step, 0),
            ("student_step", student_step, 0),
            ("heads", heads, 1),
        ):
            if value is not None and not is_whole(value, least):
                raise KzooError(
                    f"Got {name}={value!r:.40} for ValueRelations; expected {least} or more."
                )
        self.at, self.heads = (teacher_step, student_step), heads

    def pairs(self, student, source):
        """The one pair."""
        sides = zip(self.at, (source.backbone, student.backbone), strict=True)
        return [tuple(b.spec.num_layers - 1 if at is None else at for at, b in sides)]

    def check(self, student, source):
        """The relation heads divide all widths."""
        super().check(student, source)
        count, widths = self._heads(student, source)
        if any(width % count for width in widths):
            raise KzooError(
                f"Got heads={count} for ValueRelations; expected a divisor of the widths of "
                f"queries, keys and values, {', '.join(map(str, sorted(widths)))}: such as "
                f"{math.gcd(*widths)}."
            )

    def _heads(self, student, source):
        """How many relation heads there are, and the widths of queries, keys and values."""
        ((there, here),) = self.pairs(student, source)
        both = [_attention(source.backbone, there), _attention(student.backbone, here)]
        widths = {
            count * each.head_dim
            for each in both
            for count in (each.num_heads, each.key_value_heads)
        }
        usual = range(both[0].num_heads, 0, -1)
        return self.heads or next(n for n in usual if not math.gcd(*widths) % n), widths

    def losses(self, student, source, inputs, here, there, across):
        """See `Lesson`."""
        mask, (count, _) = _mask(inputs), self._heads(student, source)
        ((there_step, here_step),) = self.pairs(student, source)
        sides = zip(there["projections"][there_step], self.shown(here)[here_step], strict=True)
        return sum(_divergence(*pair, count, mask) for pair in sides), mask


def _divergence(there, here, count, mask):
    """KL divergence of relations, (batch, places), from projections (batch, heads, places, dim)."""
    _check_places(there.shape[2], here.shape[2])
    there, here = (ops.log_softmax(_relations(each, count, mask)) for each in (there, here))
    return ops.mean(ops.sum(ops.exp(there) * (there - here), axis=-1), axis=1)


def _relations(x, count, mask):
    """Products of all places, (batch, count, places, places), padding aside."""
    shape = ops.shape(x)
    width = x.shape[1] * x.shape[3] // count
    x = ops.reshape(ops.transpose(_float(x), (0, 2, 1, 3)), (shape[0], shape[2], count, width))
    scores = ops.einsum("bqhd,bkhd->bhqk", x, x) / math.sqrt(width)
    return scores if mask is None else scores + additive_mask(mask, "float32")


def _attention(backbone, step):
    """The attention of a step of the schedule."""
    blocks = dict(zip(backbone.spec.blocks, backbone.block_list, strict=True))
    return blocks[backbone.spec.schedule[step]].attention


def _distance(name):
    if not isinstance(name, str) or name not in DISTANCES:
        raise KzooError(f"Got distance={name!r:.40}; expected {' or '.join(map(repr, DISTANCES))}.")
    return DISTANCES[name]


def _float(x):
    return ops.cast(x, "float32")


def _mask(inputs):
    """1 for a place and 0 for padding, float32 (batch, places); None where nothing is padded."""
    for name in ("padding_mask", "decoder_padding_mask"):
        if name in inputs:
            return _float(inputs[name])
    return None


def _key(there, here):
    """What the bridge of a pair of steps is called."""
    return f"{there}_to_{here}"


def _check_places(there, here):
    if None not in (there, here) and there != here:
        raise KzooError(
            f"The teacher has {there} places where the student has {here}; expected as many: of "
            "pictures, squares of one size and the same tokens before them."
        )


def size_of(shape):
    """A shape in a sentence."""
    return " x ".join(map(str, shape))


def places_of(labels, student):
    """Where a student's labels stand among those of its teacher; None where they are the same."""
    if None in (labels, student.labels) or list(labels) == student.labels:
        return None
    return [list(labels).index(label) for label in student.labels]
