"""Tokens that a small network put there, told from those of a text: ELECTRA's pre-training."""

from pathlib import Path

import keras
from keras import ops

from ..answers import sigmoid
from ..data.batches import IGNORED
from ..data.masked import DRAWS, ReplacedPlan
from ..errors import KzooError
from ..keras_hooks import mean_of_all, precision
from ..models.electra import generator_of
from ..network import weights_by_path
from ..parts import completed
from ..spec import Spec
from ..values import an, is_number
from .classes import BINARY_LOSSES
from .masked_lm import HidesTokens, MaskedLM
from .places import PlaceAccuracy, by_place
from .probabilities import on_probabilities
from .text_task import TextTask

WEIGHT = 50.0  # of the discriminator's loss beside the generator's, arXiv:2003.10555, section 2


@keras.saving.register_keras_serializable("kzoo")
class ReplacedTokenDetection(HidesTokens, TextTask):
    """Say of every token whether it is the text's own (ELECTRA, arXiv:2003.10555).

    On the token dict it returns {"logits": (batch, length)}, above 0 where a token was replaced;
    `predict` gives for each text its tokens as dicts of text, start, end and score, the
    probability that it was. `fit` takes strings (of a file, its texts) or a `kzoo.Corpus`. It
    hides 15 % of their tokens, lets the generator, a `MaskedLM` that learns with it, draw others
    in their place, and learns which are others; one that is the text's own again counts as that.
    No gradient flows through what is drawn, which (seed, epoch, example) decide. The generator's
    tables of tokens, segments and places are the backbone's own (section 3.2).

    Args:
        backbone, labels, head, max_length, tokenizer, name: as for `TextTask`.
        objective: as for `HidesTokens`.
        generator: what `fit` draws tokens from: its width as a share of the backbone's, such as
            0.25, see `models.electra.generator_of`; a `Spec`; or a `MaskedLM`, or a preset of one,
            whose weights beside the tables are taken. By default that of a task of this kind, or
            none, for a task that doesn't learn.
        weight: that of the backbone's loss beside the generator's.

    Raises:
        KzooError: for a generator of another vocabulary, or of other tables.
    """

    task_name = "ReplacedTokenDetection"
    rule, reads, activation = "replaced", "text", "sigmoid"

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        objective=None,
        generator=None,
        weight=None,
    ):
        if weight is not None and not is_number(weight, 0):
            raise KzooError(f"Got weight = {weight!r:.40} for the loss; expected 0 or more.")
        self.weight = weight
        vars(self)["asked"] = generator  # Past Keras: what is made of it is the task's own.
        super().__init__(backbone, labels, head, max_length, tokenizer, name, objective)
        self.weight = WEIGHT if self.weight is None else float(self.weight)

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Learn with the generator of the task that this one goes on from."""
        if vars(self)["asked"] is None:
            vars(self)["asked"] = before.generator
        self.weight = before.weight if self.weight is None else self.weight
        return super().inherit(before)

    @classmethod
    def head_slots(cls, family, spec):
        """A score for each place, behind a hidden layer as the feed-forward nets are."""
        return [{"kind": "replaced", "activation": spec.activation}]

    @property
    def num_outputs(self):
        """One score."""
        return 1

    def make_head(self, backbone):
        """The head layer."""
        # Here, for Keras takes no more state once a model is built.
        self.masked_accuracy = PlaceAccuracy(name="masked_accuracy")
        return super().make_head(backbone)

    def fitted(self, backbone):
        """The backbone as the head reads it; the generator is made beside it."""
        backbone = super().fitted(backbone)
        asked = vars(self).pop("asked")
        self.generator = None if asked is None else self._made(asked, backbone)
        return backbone

    def _made(self, asked, backbone):
        """The generator that was asked for, a `MaskedLM` on the backbone's tables."""
        from .. import presets
        from ..models import family_of

        if isinstance(asked, (str, Path)):
            asked = presets.load(asked)
        source = asked if isinstance(asked, MaskedLM) else None
        head = None
        if source is not None:
            spec, head = source.spec, source.head_slot
            self._check_tokens(source)
        elif isinstance(asked, dict):
            spec, head = Spec.from_dict(asked["spec"]), asked["head"]
        elif is_number(asked):
            spec = generator_of(backbone.spec, asked)
        else:
            spec = asked
        if not isinstance(spec, Spec):
            raise KzooError(
                f"Got {an(type(asked).__name__)} as a generator; expected its share of the "
                "backbone's width, such as 0.25, a kzoo.Spec or a kzoo.MaskedLM."
            )
        _check_tables(spec, backbone.spec)
        spec = spec.replace(pooler="none")
        with precision(backbone.dtype_policy):
            # Of the backbone's name, by which the tables' weights have their paths.
            stack = family_of(spec)(spec, name=backbone.name, embedded_by=backbone)
            made = MaskedLM(stack, head=head, max_length=self.max_length, name="generator")
        made.processors = self.processors
        if source is not None:
            shared = {id(weight) for weight in backbone.weights}
            there = weights_by_path(source)
            for path, weight in weights_by_path(made).items():
                if id(weight) not in shared and path in there:
                    weight.assign(ops.copy(there[path]))
        return made

    def _check_tokens(self, source):
        """Raise KzooError for a generator whose tokenizer has other tokens."""
        own, other = (each.processors.get("tokenizer") for each in (self, source))
        if own is not None and other is not None and own.vocabulary != other.vocabulary:
            raise KzooError(
                "Got a generator whose tokenizer has another vocabulary than the discriminator's; "
                "expected the same tokens, by the same numbers, whose table they share."
            )

    @property
    def beside(self):
        """Tasks that learn with this one, by name, see `network.weights_by_path`."""
        return {} if self.generator is None else {"generator": self.generator}

    def config_on(self, backbone):
        """See `Task`: with the generator, where the other backbone has its tables."""
        config = super().config_on(backbone)
        if self.generator is None or _tables(self.generator.spec) == _tables(backbone.spec):
            return config
        return {**config, "generator": None}

    def get_config(self):
        """The arguments."""
        made = self.generator
        held = None if made is None else {"spec": made.spec.to_dict(), "head": made.head_slot}
        return {**super().get_config(), "generator": held, "weight": self.weight}

    def check_inputs(self, inputs):
        """The inputs that the backbone reads, and what a batch of `fit` says of hidden tokens."""
        checked = super().check_inputs(inputs)
        return checked | {n: value for n, value in inputs.items() if n.startswith("hidden_")}

    def call(self, inputs, training=None, seen=None):
        """The raw outputs, see `Task`; of a batch of `fit` those of tokens that were drawn.

        Then they have also generator_logits (batch, hidden, vocabulary_size), and by place (batch,
        length) replaced, 1 where a token is another than the text's, and real, 0 at padding.
        """
        if "hidden_places" not in inputs:
            return super().call(inputs, training=training, seen=seen)
        shown = {name: inputs[name] for name in self.backbone.input_names}
        mask, places = inputs["hidden_padding_mask"], ops.expand_dims(inputs["hidden_places"], -1)
        # 1 where each hidden token stands (batch, hidden, length): arithmetic reads and writes.
        at = ops.equal(places, ops.arange(ops.shape(shown["token_ids"])[1], dtype="int32"))
        at = ops.cast(at, "int32") * ops.expand_dims(mask, -1)
        vectors = self.generator.backbone.run(shown, training=training)["sequence_output"]
        vectors = ops.matmul(ops.cast(at, vectors.dtype), vectors)
        scores = self.generator.run_head({"sequence_output": vectors}, shown, training)["logits"]
        scores = ops.cast(scores, "float32")
        put = drawn(scores, inputs["hidden_draws"])

        def laid(values):
            return ops.sum(at * ops.expand_dims(values, -1), axis=1)

        shown["token_ids"] = ops.where(laid(mask) > 0, laid(put), shown["token_ids"])
        others = ops.cast(ops.not_equal(put, inputs["hidden_token_ids"]), "int32")
        return {
            **super().call(shown, training=training, seen=()),
            "generator_logits": scores,
            "replaced": ops.cast(laid(others), "float32"),
            "real": ops.cast(shown["padding_mask"], "float32"),
        }

    # -- learning -------------------------------------------------------------------------------

    def batches(self, x, y=None, sample_weight=None, initial_epoch=0, **options):
        """Batches in which tokens are hidden, other ones each epoch."""
        if self.generator is None:
            raise KzooError(
                f"Got no generator for {an(self.task_name)}; expected one, which draws the tokens "
                "that it learns to find: make it with generator=0.25, a share of its width."
            )
        return super().batches(x, y, sample_weight, initial_epoch, **options)

    def hiding_plan(self, columns, words, in_a_row, **options):
        """See `HidesTokens`: what was hidden is the generator's target."""
        return ReplacedPlan(columns, words, in_a_row, self.tokenizer.mask_id, **options)

    def compile(self, optimizer=None, loss=None, metrics=None, teacher=None, **kwargs):
        """See `Task.compile`; there is no teacher beside the generator."""
        if teacher is not None:
            raise KzooError(
                f"Got a teacher for {an(self.task_name)}, which learns from its generator; "
                "expected none: leave it out."
            )
        super().compile(optimizer, loss, metrics, **kwargs)

    def _compile(self, optimizer, loss, gradient_checkpointing=False, **kwargs):
        # Weights tell places that are padding from others.
        metrics = [*(kwargs.pop("weighted_metrics", None) or ()), *(kwargs.get("metrics") or ())]
        kwargs |= {"metrics": None, "weighted_metrics": metrics}
        super()._compile(optimizer, loss, gradient_checkpointing, **kwargs)
        if self.generator is not None:
            self.generator.backbone.checkpoint_gradients(gradient_checkpointing)

    def suited_loss(self, loss):
        """A loss of two classes, which is that of each place."""
        if not isinstance(loss, BINARY_LOSSES):
            raise KzooError(
                f"Got the loss {getattr(loss, '__name__', type(loss).__name__)} for "
                f"{an(self.task_name)}; expected keras.losses.BinaryCrossentropy(), or none: it "
                "has that by default."
            )
        return loss

    def default_loss(self):
        """Cross-entropy of each place."""
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def default_metrics(self):
        """How many tokens are told right; of those that are said to be replaced; of those that are.

        The generator's share of hidden tokens that it guesses, masked_accuracy, stands beside them.
        """
        return [
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0),
            on_probabilities(keras.metrics.Precision(name="precision"), "sigmoid"),
            on_probabilities(keras.metrics.Recall(name="recall"), "sigmoid"),
        ]

    def loss_count(self, y):
        """The hidden tokens."""
        return ops.sum(ops.cast(ops.not_equal(y, IGNORED), "int32"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the generator's loss of hidden tokens, and `weight` times that of all."""
        hidden = ops.cast(ops.not_equal(y, IGNORED), "float32")
        guesses = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(y, 0), y_pred["generator_logits"], from_logits=True
        )
        real = y_pred["real"]
        of_places = self.loss.call(
            ops.expand_dims(y_pred["replaced"], -1), ops.expand_dims(y_pred["logits"], -1)
        )
        losses = ((1.0, guesses, hidden), (self.weight, of_places, real))
        return sum(
            weight * mean_of_all(ops.sum(_weighted(each * counts, sample_weight)), ops.sum(counts))
            for weight, each, counts in losses
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: the metrics of the tokens that aren't padding."""
        self.masked_accuracy.update_state(y, y_pred["generator_logits"], sample_weight)
        real = _weighted(y_pred["real"], sample_weight)
        # Flat: of rows Keras would take the mean of each row's mean.
        targets, scores, real = (
            ops.reshape(each, (-1,)) for each in (y_pred["replaced"], y_pred["logits"], real)
        )
        return super().compute_metrics(x, targets, {"logits": scores}, real)

    # -- answering ------------------------------------------------------------------------------

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """For each text its tokens, each as {"text", "start", "end", "score"}."""
        texts = self._inputs(x, text)
        self.check_reads("text" if all(isinstance(each, str) for each in texts) else "pair")
        rows = self.tokenizer.encode(texts, max_length=self.max_length, offsets=True)
        columns = {name: rows[name] for name in self.backbone.input_names}
        order, outputs = self.run_batches(columns, batch_size, verbose)
        answers = [None] * len(texts)
        scored = (row for out in outputs for row in sigmoid(out["logits"]))
        for i, scores in zip(order, scored, strict=True):
            answers[i] = [
                {"text": texts[i][start:end], "start": start, "end": end, "score": float(score)}
                for (start, end), score in zip(rows["offsets"][i], scores, strict=False)
                if start >= 0
            ]
        return answers


def drawn(scores, draws):
    """A token of each row of scores (..., tokens), drawn by its probability; no gradient.

    draws: whole numbers below `DRAWS` (...), each of which chooses one token: that within whose
    share of what lies between 0 and 1, one share behind the other, its part of `DRAWS` lies.
    """
    shares = ops.cumsum(ops.softmax(ops.stop_gradient(scores), axis=-1), axis=-1)
    chance = ops.expand_dims(ops.cast(draws, "float32") / DRAWS, -1)
    before = ops.cast(shares <= chance * shares[..., -1:], "int32")
    return ops.minimum(ops.sum(before, axis=-1), scores.shape[-1] - 1)


def _weighted(values, sample_weight):
    """Values by place (batch, ...), times the weights of their examples."""
    return values if sample_weight is None else values * by_place(sample_weight, values)


def _tables(spec):
    """What the layers that two networks share are made of."""
    slot = completed("embedding", spec.embedding)
    return {
        "embedding": {**slot, "dim": slot.get("dim") or spec.hidden_dim},
        "position": completed("position", spec.position),
        "norm": completed("norm", spec.norm) if "embedding" in spec.norms else None,
        "max_sequence_length": spec.max_sequence_length,
    }


def _check_tables(spec, other):
    """Raise KzooError for a generator that can't share the tables of a discriminator."""
    mine, theirs = _tables(spec), _tables(other)
    counts = [each["embedding"].get("vocabulary_size") for each in (mine, theirs)]
    if counts[0] != counts[1]:
        raise KzooError(
            f"Got a generator of {counts[0]} tokens and a discriminator of {counts[1]}; expected "
            "the same vocabulary, whose table they share."
        )
    wrong = next((name for name in mine if mine[name] != theirs[name]), None)
    if wrong is not None:
        raise KzooError(
            f"Got a generator with {wrong} {mine[wrong]!r:.80} and a discriminator with "
            f"{theirs[wrong]!r:.80}; expected the same, which they share: "
            "kzoo.models.electra.generator_of(spec) gives such a spec."
        )
