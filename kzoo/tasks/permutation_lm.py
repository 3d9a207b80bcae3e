"""Tokens in any order, each from those before it: the pretraining of XLNet, arXiv:1906.08237."""

import keras
import numpy as np
from keras import ops

from ..data.permuted import BESIDE, TARGETS, PermutedPlan
from ..errors import KzooError
from ..values import an
from .masked_lm import MaskedLM


@keras.saving.register_keras_serializable("kzoo")
class PermutationLM(MaskedLM):
    """Score the vocabulary at places that aren't seen, from those that come before in some order.

    On the token dict it returns {"logits": (batch, length, vocabulary_size)}, which are the content
    stream's; with `perm_mask` and `target_mapping` beside it, see `kzoo.graphs.TwoStream`,
    (batch, targets, vocabulary_size) of the query stream's. `fit` takes what that of a `MaskedLM`
    does and draws an order for each text and epoch, whose last sixth is foretold, see
    `kzoo.data.permuted`; there is no mask token in what it reads. `predict` is that of a
    `MaskedLM`: a text's masks are seen by no place, each is told from all others, and so does an
    exported file.

    Args:
        backbone: a network of two streams, such as `kzoo.XlNet`; else as for `TextTask`.
        labels, head, max_length, tokenizer, name: as for `TextTask`.
        objective: what is foretold as one: "tokens" (by default) or "whole_words".
    """

    task_name = "PermutationLM"
    units = ("tokens", "whole_words")  # Spans of these are foretold in any case.

    def check_backbone(self, backbone):
        """Raise KzooError for a network of a single stream."""
        super().check_backbone(backbone)
        if "permuted" not in backbone.signatures:
            raise KzooError(
                f"Got {an(backbone.family)}, which has one stream; expected a network of two, such "
                "as an XLNet: a MaskedLM learns with this one."
            )

    def check_inputs(self, inputs):
        """See `TextTask`; an example with an order is as a `PermutedPlan` makes it."""
        if isinstance(inputs, dict) and "order" in inputs:
            return {name: inputs[name] for name in (*self.backbone.input_names, *BESIDE)}
        return super().check_inputs(inputs)

    def call(self, inputs, training=None, seen=None):
        """The raw outputs for the dict of inputs, see `TextTask`."""
        inputs = in_order(inputs) if "order" in inputs else inputs
        return super().call(inputs, training=training, seen=seen)

    def run_function(self, name, inputs):
        """The logits of a file: at each place the query stream's, where no place sees a mask."""
        ids = inputs["token_ids"]
        order = ops.cast(ops.equal(ids, self.tokenizer.mask_id), "int32")
        places = order * 0 + ops.arange(self.backbone.embedding.length(inputs), dtype="int32")
        return super().run_function(name, in_order({**inputs, "order": order, BESIDE[1]: places}))

    def hiding_plan(self, columns, words, in_a_row, **options):
        """See `MaskedLM`; what is foretold in a row is drawn."""
        return PermutedPlan(columns, words, **options)

    def asked(self, columns):
        """See `MaskedLM`; masks come last in the order, and none of them sees another."""
        masks = [np.equal(row, self.tokenizer.mask_id) for row in columns["token_ids"]]
        places = [np.flatnonzero(row).astype("int32") for row in masks]
        order = [row.astype("int32") for row in masks]
        return {**columns, "order": order, "target_places": places, TARGETS: places}

    @staticmethod
    def at(places, logits):
        """See `MaskedLM`: there are those of masks alone, in their order."""
        return logits[: len(places)]


def in_order(inputs):
    """Inputs with an order as inputs with a permutation.

    A place sees those of a lower number, and of 0 those of its own.
    """
    inputs = dict(inputs)
    order, places = (inputs.pop(name) for name in BESIDE)
    rows, length = ops.shape(order)[0], ops.shape(inputs["padding_mask"])[1]
    own, others = (ops.reshape(order, (rows, *shape)) for shape in ((-1, 1), (1, -1)))
    hidden = ops.greater_equal(others, ops.maximum(own, 1))
    every = ops.reshape(ops.arange(length, dtype="int32"), (1, 1, -1))
    mapping = ops.equal(ops.expand_dims(places, -1), every)
    return {
        **inputs,
        "perm_mask": ops.cast(hidden, "int32"),
        "target_mapping": ops.cast(mapping, "int32"),
    }
