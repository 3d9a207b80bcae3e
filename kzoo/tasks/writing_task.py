"""What tasks that write share: a step function, what is written of texts, perplexity."""

from functools import cached_property

import keras
import numpy as np
from keras import ops

from ..data.batches import IGNORED
from ..errors import KzooError
from ..generation.decoding import is_listed
from ..generation.writer import Clock, Writer
from .places import PlaceAccuracy, Tied, TiedTask, by_place

LOGITS = 2**27  # float32 numbers of a batch whose texts are scored: half a gigabyte


class Writes(Tied):
    """Of a task that scores the next token, and so writes; see `places.ByPlace`."""

    def default_metrics(self):
        """Perplexity, and the share of tokens that were the likeliest."""
        return [Perplexity(), PlaceAccuracy()]

    @cached_property
    def step(self):
        """The model as the step function of `kzoo.generation`, compiled once."""
        from ..generation.runner import CachedModel

        return CachedModel(self)

    @property
    def writer(self):
        """What writes with this model's step and its tokenizer, see `kzoo.generation.Writer`."""
        places = self.backbone.head_spec.max_sequence_length
        return Writer(self.step, self.writing_tokenizer, places)

    @property
    def writing_tokenizer(self):
        """The tokenizer of what is written, or None."""
        return self.processors.get("tokenizer")

    def measured(self, batches, run=None):
        """How well the targets of batches are foretold, however the task is compiled.

        Args:
            batches: what `batches` gives.
            run: gives the outputs of a batch in the place of `predict_on_batch`.

        Returns:
            {"perplexity", "loss" (nats a token), "accuracy" (share of tokens that were likeliest)}.
        """
        metrics, run = [Perplexity(), PlaceAccuracy()], run or self.predict_on_batch
        for inputs, targets, *_ in batches:
            logits = run(inputs)["logits"]
            for metric in metrics:
                metric.update_state(targets, logits)
        scores = {metric.name: float(metric.result()) for metric in metrics}
        return {**scores, "loss": float(np.log(scores["perplexity"]))}

    def rows_at_once(self, length):
        """How many rows of a length to run at once, for their logits to fit the memory."""
        return min(32, max(1, LOGITS // (length * self.backbone.vocabulary_size)))

    def prompt_ids(self, prompts):
        """Texts that are written on or of, as lists of token ids."""
        raise NotImplementedError

    def write(self, ids, batch_size=None, **options):
        """For lists of token ids lists of `kzoo.generation.Written`, see `Writer.generate`."""
        return self.writer.generate(ids, batch_size, **options)

    def clocked(self):
        """A `Clock` of what is written from now on."""
        self.__dict__["step"] = clock = Clock(self.step)
        return clock

    def stream(self, prompt, **options):
        """Write on from one text, or of it; an iterator of pieces, which split no character."""
        if not isinstance(prompt, str):
            raise KzooError(f"Got {prompt!r:.40} to write on from; expected one text.")
        (ids,) = self.prompt_ids([prompt])
        return self.write_pieces(ids, **options)

    def write_pieces(self, ids, **options):
        """The text that is written on from token ids, or of them, piece by piece."""
        return self.writer.stream(ids, **options)

    def written(self, prompts, options, batch_size=None):
        """What is written of texts or of lists of ids, and whether they are texts."""
        given = [prompts] if isinstance(prompts, str) else prompts
        if not is_listed(given):
            raise KzooError(
                f"Got {prompts!r:.60} to write on from; expected a text, a list of texts, or lists "
                "of token ids."
            )
        kinds = {isinstance(prompt, str) for prompt in given}
        if len(kinds) > 1:
            raise KzooError(
                "Got texts and token ids among the prompts; expected the same kind throughout."
            )
        ids = self.prompt_ids(list(given)) if kinds == {True} else given
        return self.write(ids, batch_size, **options), kinds == {True}


class WritingTask(Writes, TiedTask):
    """A task on texts that writes."""

    def predict(self, x, batch_size=32, verbose=0, text=None, **options):
        """What is written after each text, or of it; `options` as for `generate`."""
        answers, _ = self.written(self._inputs(x, text), options, batch_size)
        return [one_or_all([each.text for each in rows]) for rows in answers]


def one_or_all(answers):
    """The answer to a prompt where there is one, else the list of them."""
    return answers[0] if len(answers) == 1 else answers


@keras.saving.register_keras_serializable("kzoo")
class Perplexity(keras.metrics.Mean):
    """e to the mean cross-entropy of the places that have a target, however batches were cut."""

    def __init__(self, name="perplexity", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch: targets (batch, length), logits (batch, length, classes)."""
        counted = ops.not_equal(y_true, IGNORED)
        classes = ops.where(counted, y_true, 0)
        losses = ops.sparse_categorical_crossentropy(classes, y_pred, from_logits=True)
        weight = ops.cast(counted, "float32")
        weight = weight if sample_weight is None else weight * by_place(sample_weight, y_true)
        return super().update_state(ops.reshape(losses, (-1,)), ops.reshape(weight, (-1,)))

    def result(self):
        """The perplexity so far."""
        return ops.exp(super().result())
