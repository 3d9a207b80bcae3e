"""One vector a text, near for texts that mean the same: Sentence-BERT, arXiv:1908.10084."""

from functools import partial

import keras
import numpy as np
from keras import ops

from ..errors import KzooError
from ..keras_hooks import of_all_replicas
from ..values import is_whole
from .contrastive import found_first
from .embedder import Embedder
from .in_parts import InParts
from .inputs import split_groups, split_pairs
from .text_task import TextTask


@keras.saving.register_keras_serializable("kzoo")
class TextEmbedder(InParts, Embedder, TextTask):
    """Texts to vectors.

    On the token dict it returns {"embedding": (batch, width)}; `predict` gives an array of
    vectors. `fit` takes pairs of texts: with scores (-1 to 1) as targets it learns their cosines;
    without them, compiled with `loss=kzoo.InBatchLoss()`, to find each partner among those of the
    batch, or of (text, partner, negative, ...) among all of these; `compile(parts=n)` lets batches
    be larger than memory. Other losses: `CoSentLoss` of pairs with scores, `TripletLoss`, and
    `MatryoshkaLoss` round any of them.

    A pretrained pooler that isn't read stays for the way back to its checkpoint; the embedder
    doesn't train it, and a task that is built on the embedder does if its head reads it.

    Args:
        backbone, max_length, tokenizer, name: as for `TextTask`.
        pooling: "mean", "mean_sqrt_len", "first", "max", "pooled", or several one after the other
            as {"kind": "concat", "of": ["mean", "max"]}; mean by default.
        normalize: whether vectors have length one, as by default.
        projections: what stands between pooling and normalization: a list of slots such as
            {"kind": "dense", "units": 256, "activation": "tanh", "bias": True}.
        prompts: texts by name that may stand before a text, as sentence-transformers has them.
        default_prompt: the name of the one that stands before every text, in learning too, or
            None.
        include_prompt: whether a prompt's tokens are pooled.
        similarity: what `similarities` gives, "cosine", "dot", "euclidean" or "manhattan".
    """

    task_name = "TextEmbedder"

    targets = "optional"
    reads = "text"
    has_head_there = False
    settled = {**Embedder.settled, "prompts": {}, "include_prompt": True}

    def __init__(
        self,
        backbone,
        pooling=None,
        normalize=None,
        max_length=None,
        tokenizer=None,
        name=None,
        projections=None,
        prompts=None,
        default_prompt=None,
        include_prompt=None,
        similarity=None,
    ):
        self.ask(pooling, normalize, projections, similarity)
        self.prompts, self.default_prompt = prompts, default_prompt
        self.include_prompt = include_prompt
        TextTask.__init__(self, backbone, None, pooling, max_length, tokenizer, name)

    def inherit(self, before):
        """Pool, scale and prompt as the embedder did that this one goes on from."""
        if self.prompts is None and self.default_prompt is None:
            self.default_prompt = before.default_prompt
        return super().inherit(before)

    def make_head(self, backbone):
        """See `Embedder`; the prompts are checked as well."""
        head = super().make_head(backbone)
        self.prompts = _checked_prompts(self.prompts, self.default_prompt)
        return head

    # -- prompts ----------------------------------------------------------------------------------

    @property
    def prompt(self):
        """The text that stands before every text; empty where there is no default prompt."""
        return self.prompts.get(self.default_prompt, "")

    def _prompt_text(self, prompt):
        """The text of a prompt: a name, a text of its own, or None for the default one."""
        if prompt is None:
            return self.prompt
        if not isinstance(prompt, str):
            raise KzooError(f"Got prompt {prompt!r:.60}; expected a prompt's name, or its text.")
        return self.prompts.get(prompt, prompt)

    def _skip(self, prompt):
        """How many places a prompt takes that are not pooled, what stands before it included."""
        if self.include_prompt or not prompt:
            return 0
        ids = self.tokenizer.encode([prompt], max_length=self.max_length)["token_ids"][0]
        skip = len(ids) - (ids[-1] in self.tokenizer.special_ids)
        if skip >= self.max_length - 1:
            raise KzooError(
                f"The prompt {prompt!r:.40} takes {skip} of {self.max_length} tokens, and nothing "
                "is left to pool: shorten it, or take a larger max_length."
            )
        return skip

    def check_processors(self):
        """See `Task`; how many places a prompt takes is the tokenizer's to say."""
        super().check_processors()
        if self.processors.get("tokenizer") is not None:
            self.head.skip = self._skip(self.prompt)
            self.predict_function = None  # It was made for another prompt's length.

    def _columns(self, texts, padding=None, prompt=None):
        prompt = self._prompt_text(prompt)
        if prompt:
            texts = [f"{prompt}{t}" if isinstance(t, str) else t for t in texts]
        return super()._columns(texts, padding)

    # -- text to tokens ---------------------------------------------------------------------------

    def encode_examples(self, x):
        """Texts as rows; for `fit`, pairs or larger groups as rows of several sequences."""
        sides = split_groups(x)
        if len(sides) == 1:
            return self._columns(sides[0])
        columns = [self._columns(side) for side in sides]
        return {
            name: [list(rows) for rows in zip(*(c[name] for c in columns), strict=True)]
            for name in columns[0]
        }

    def search(self, query, texts, top=5):
        """The texts that are nearest to a query, see `Embedder.search`."""
        return super().search(query, texts, top)

    def listed(self, among):
        """What `search` looks through as a list."""
        return list(among)

    def predict(self, x, batch_size=32, verbose=0, text=None, prompt=None):
        """A vector a text, (texts, width); two a pair of texts, (pairs, 2, width).

        prompt: the name of the prompt that stands before each text, or a text that does; "" for
        none, and by default the default prompt. The rest is as for every task.
        """
        first, second = split_pairs(self._inputs(x, text))
        columns = self._columns([*first, *(second or ())], prompt=prompt)
        skip = self._skip(self._prompt_text(prompt))
        run = None if skip == self.head.skip else partial(self._run_skipping, skip)
        order, outputs = self.run_batches(columns, batch_size, verbose, run)
        vectors = np.concatenate([self.answer(batch) for batch in outputs])
        vectors[order] = vectors.copy()
        return vectors if second is None else np.stack(np.split(vectors, 2), axis=1)

    def _run_skipping(self, skip, inputs):
        """The outputs for the token dict, with another prompt's places left out of the pooling."""
        outputs = self.head(self.backbone(inputs), inputs["padding_mask"], skip=skip)
        return {name: ops.convert_to_numpy(ops.cast(v, "float32")) for name, v in outputs.items()}

    def task_options(self):
        """The prompts and the default one's name as well."""
        return {
            **super().task_options(),
            "prompts": dict(self.prompts),
            "default_prompt": self.default_prompt,
        }

    # -- learning ---------------------------------------------------------------------------------

    def encode_targets(self, y, x=None):
        """Scores, as float32."""
        try:
            scores = np.asarray(y, "float32")
        except (TypeError, ValueError):
            raise KzooError(
                f"The scores of pairs are {y[0]!r} and so on; numbers from -1 to 1 are expected."
            ) from None
        if scores.ndim != 1 or not (np.abs(scores) <= 1).all():
            raise KzooError(
                f"Scores of pairs run from {scores.min()} to {scores.max()}; cosines, -1 to 1, are "
                "expected."
            )
        return scores

    def _examples(self, x, y=None, *args, learning=True, **options):
        """See `Task`; what is measured is pairs, whatever is learnt from."""
        x, y, sample_weight = super()._examples(x, y, *args, learning=learning, **options)
        if not learning and len(split_groups(x)) == 1:
            raise KzooError(
                "Got single texts to measure a TextEmbedder on; expected pairs of texts, with "
                "scores as targets."
            )
        return x, y, sample_weight

    def batches(self, x, y=None, sample_weight=None, **options):
        """Pairs with scores; without them, every text's target is its own partner.

        A teacher alone, whose vectors are the targets, takes single texts as well.
        """
        alone = self.teacher is not None and self.teacher.share == 1
        groups = len(split_groups(x))
        self._check_groups(groups)
        if groups == 1 and not alone:
            raise KzooError(
                "fit and evaluate of a TextEmbedder take pairs of texts; single ones come with a "
                "teacher, compile(teacher=kzoo.compression.Teacher(model))."
            )
        scored = _inner(getattr(self, "loss", None))
        if not alone and y is None and isinstance(scored, (CosineLoss, CoSentLoss)):
            raise KzooError(
                f"The pairs came without scores, which {type(scored).__name__} learns: give them, "
                "or compile(loss=kzoo.InBatchLoss()), which learns to find each text's partner."
            )
        y = np.ones(len(x)) if y is None else y  # Targets that InBatchLoss doesn't read.
        return super().batches(x, y, sample_weight, **options)

    def _check_groups(self, count):
        """Raise KzooError for groups of another size than the loss reads."""
        loss = _inner(getattr(self, "loss", None))
        expected = getattr(loss, "texts", None)
        if expected is not None and count not in (1, expected):
            raise KzooError(
                f"Got examples of {count} texts, and {type(loss).__name__} reads {expected}: give "
                "as many, or compile(loss=kzoo.InBatchLoss()), which takes any number from 2 on."
            )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook; of single texts nothing is learnt but a teacher's lessons."""
        if len(y_pred["embedding"].shape) < 3 and not training:
            return ops.zeros(())  # Keras builds a loss by measuring it before the first step.
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def default_loss(self):
        """Cosines against scores, arXiv:1908.10084 section 3.1."""
        return CosineLoss()

    def loss_without_targets(self):
        """Each text is to find its partner among those of the batch."""
        return InBatchLoss()

    def measured_by(self, x, y):
        """See `Task`; a single text is its own partner, to be told from the rest of a batch."""
        alone = y is None and len(split_groups(x)) == 1
        return ([(text, text) for text in x], None) if alone else (x, y)

    def compile(self, optimizer=None, loss=None, metrics=None, teacher=None, **kwargs):
        """As for every task; beside `InBatchLoss` the share of partners that are found.

        A teacher alone, whose vectors are the targets, has no metric by default.
        """
        if metrics is None and teacher is not None and teacher.share == 1:
            metrics = []
        if metrics is None and isinstance(_inner(loss), (InBatchLoss, TripletLoss)):
            kwargs.setdefault("weighted_metrics", [PartnerAccuracy()])
        super().compile(optimizer, loss, metrics, teacher, **kwargs)

    def default_metrics(self):
        """How far the cosines lie from the scores."""
        return [CosineError()]

    def get_config(self):
        """The arguments."""
        names = ("default_prompt", "include_prompt")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, "prompts": dict(self.prompts)}


def _checked_prompts(prompts, default):
    is_dict = isinstance(prompts, dict)
    if not is_dict or not all(isinstance(t, str) for pair in prompts.items() for t in pair):
        raise KzooError(f"Got prompts {prompts!r:.60}; expected a dict of texts by name.")
    if default is not None and default not in prompts:
        raise KzooError(
            f"Got default_prompt {default!r:.40}; expected "
            f"{', '.join(map(repr, prompts)) or 'None, since there are no prompts'}."
        )
    return dict(prompts)


@keras.saving.register_keras_serializable("kzoo")
class CosineLoss(keras.losses.Loss):
    """Squared error of the cosines of pairs (batch, 2, dim) against scores (batch,)."""

    texts = 2

    def call(self, y_true, y_pred):
        """One loss a pair."""
        return ops.square(_cosine(y_pred[:, 0], y_pred[:, 1]) - ops.cast(y_true, y_pred.dtype))


@keras.saving.register_keras_serializable("kzoo")
class InBatchLoss(keras.losses.Loss):
    """Find each text's partner among the batch's (multiple negatives ranking, arXiv:1705.00652).

    Of groups (batch, texts, dim) the second is the first's partner; those behind it are hard
    negatives, which all firsts are told from. On replicas the batch is that of all of them.

    Args:
        scale: what cosines are multiplied by before the softmax.
    """

    def __init__(self, scale=20.0, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        self.scale = scale

    def call(self, y_true, y_pred):
        """One loss a pair; targets are not read."""
        own, scores = _to_partners(y_pred)
        return ops.logsumexp(self.scale * scores, axis=-1) - self.scale * own

    def get_config(self):
        """The scale."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("kzoo")
class TripletLoss(keras.losses.Loss):
    """A text is to be nearer to its partner than to a negative, by a margin (arXiv:1503.03832).

    Args:
        margin: by how much.
        distance: "euclidean" (Sentence-BERT, arXiv:1908.10084, section 3) or "cosine".
    """

    texts = 3

    def __init__(
        self, margin=1.0, distance="euclidean", reduction="sum_over_batch_size", name=None
    ):
        super().__init__(reduction=reduction, name=name)
        if distance not in ("euclidean", "cosine"):
            raise KzooError(f"Got distance={distance!r:.40}; expected euclidean or cosine.")
        self.margin, self.distance = margin, distance

    def call(self, y_true, y_pred):
        """One loss a group (batch, 3, dim); targets are not read."""
        near, far = (self._apart(y_pred[:, 0], y_pred[:, i]) for i in (1, 2))
        return ops.relu(near - far + self.margin)

    def _apart(self, x, y):
        if self.distance == "cosine":
            return 1 - _cosine(x, y)
        # Where two are the same the root has no slope; a small number keeps it finite.
        return ops.sqrt(ops.sum(ops.square(x - y), axis=-1) + 1e-12)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "margin": self.margin, "distance": self.distance}


@keras.saving.register_keras_serializable("kzoo")
class CoSentLoss(keras.losses.Loss):
    """Pairs with larger scores are to have larger cosines, whatever these are.

    log(1 + sum of exp(scale * (cosine_j - cosine_i))) over all i, j of the batch where the score of
    i is above that of j (Su 2022, kexue.fm/archives/8847; sentence-transformers' CoSENTLoss). On
    replicas the batch is that of all of them.

    Args:
        scale: what cosines are multiplied by.
    """

    texts = 2

    def __init__(self, scale=20.0, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        self.scale = scale

    def call(self, y_true, y_pred):
        """The batch's one loss, for each of its pairs (batch, 2, dim) with scores (batch,)."""
        own = self.scale * _cosine(y_pred[:, 0], y_pred[:, 1])
        cosines = of_all_replicas(own)
        scores = of_all_replicas(ops.cast(y_true, own.dtype))
        larger = ops.expand_dims(scores, 1) > ops.expand_dims(scores, 0)
        gaps = ops.expand_dims(cosines, 0) - ops.expand_dims(cosines, 1)
        gaps = ops.where(larger, gaps, -1e12)
        # The 1 stands beside them as exp(0).
        every = ops.concatenate([ops.zeros((1,), own.dtype), ops.reshape(gaps, (-1,))])
        return ops.logsumexp(every) + ops.zeros_like(own)

    def get_config(self):
        """The scale."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("kzoo")
class MatryoshkaLoss(keras.losses.Loss):
    """The sum of a loss on the first numbers of vectors, for several widths (arXiv:2205.13147).

    Args:
        loss: an embedder's loss, such as `InBatchLoss()`.
        dims: how many of the first numbers, a list; the whole width is one of them only if named.
        weights: of the widths; 1 each by default.
    """

    def __init__(self, loss, dims, weights=None, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        weights = [1.0] * len(dims) if weights is None else list(weights)
        if not dims or len(weights) != len(dims) or not all(is_whole(d, 1) for d in dims):
            raise KzooError(
                f"Got dims={dims!r:.60} with {len(weights)} weights; expected whole numbers of at "
                "least 1, and a weight for each."
            )
        self.loss, self.dims, self.weights = loss, list(dims), weights

    def call(self, y_true, y_pred):
        """One loss a group (batch, texts, dim)."""
        width = y_pred.shape[-1]
        if width is not None and max(self.dims) > width:
            raise KzooError(
                f"Got dims={self.dims}, and vectors have {width} numbers: take no more of them."
            )
        parts = zip(self.dims, self.weights, strict=True)
        return sum(weight * self.loss.call(y_true, y_pred[..., :dim]) for dim, weight in parts)

    def get_config(self):
        """The loss, the widths and their weights."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": loss, "dims": self.dims, "weights": self.weights}

    @classmethod
    def from_config(cls, config):
        """Keras' hook."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def _inner(loss):
    """The loss itself, of one on several widths."""
    return loss.loss if isinstance(loss, MatryoshkaLoss) else loss


def _to_partners(y_pred):
    """The cosines of firsts and their partners, (batch,), and to all others, (batch, all)."""
    vectors = ops.normalize(y_pred, axis=-1)
    first, width = vectors[:, 0], y_pred.shape[-1]
    others = ops.reshape(of_all_replicas(vectors[:, 1:]), (-1, width))
    return ops.sum(first * vectors[:, 1], axis=-1), ops.matmul(first, ops.transpose(others))


@keras.saving.register_keras_serializable("kzoo")
class CosineError(keras.metrics.Mean):
    """Mean absolute difference of the cosines of pairs (batch, 2, dim) and scores (batch,)."""

    def __init__(self, name="cosine_error", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        error = ops.abs(_cosine(y_pred[:, 0], y_pred[:, 1]) - ops.cast(y_true, y_pred.dtype))
        return super().update_state(error, sample_weight)


@keras.saving.register_keras_serializable("kzoo")
class PartnerAccuracy(keras.metrics.Mean):
    """How many texts lie nearer to their partner than to any other of the batch's.

    Ties are shared. Of groups of more texts than two those behind the partner are others, too.
    """

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; targets are not read."""
        own, scores = _to_partners(y_pred)
        return super().update_state(found_first(own, scores, 1e-5), sample_weight)


def _cosine(x, y):
    return ops.sum(ops.normalize(x, axis=-1) * ops.normalize(y, axis=-1), axis=-1)
