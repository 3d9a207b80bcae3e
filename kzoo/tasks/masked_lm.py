"""Tokens from their surroundings: the pretraining of BERT, arXiv:1810.04805 section 3.1."""

import keras
import numpy as np

from ..answers import probabilities
from ..data.batches import IGNORED, bucketed_batches
from ..errors import KzooError
from .places import TiedTask


@keras.saving.register_keras_serializable("kzoo")
class MaskedLM(TiedTask):
    """Score the vocabulary at every place.

    On the token dict it returns {"logits": (batch, length, vocabulary_size)}; the scores are
    against the token embeddings themselves. `predict` takes strings that hold the mask token and
    gives, for each, the best tokens for each mask as (text of the token, probability), with the
    space that a token brings. `fit` takes strings
    (of a file, its texts), and hides 15 % of their tokens anew at every call (80 % as the mask
    token, 10 % as another token, 10 % left).
    """

    task_name = "MaskedLM"
    targets = "none"
    rule = "candidates"

    @classmethod
    def head_slots(cls, family, spec):
        """The masked LM head: the activation is the family's own, or the feed-forward nets'."""
        feedforward = spec.slot("feedforward", 0)
        options = feedforward if isinstance(feedforward, dict) else {}
        usual = family.LM_ACTIVATION or options.get("activation", "gelu")
        return [{"kind": "masked_lm", "activation": usual}]

    def batches(self, x, y=None, sample_weight=None, seed=0, **options):
        """Hide tokens, then batch: the targets are the hidden tokens."""
        if y is not None:
            raise KzooError("fit of a MaskedLM takes texts alone; the targets are their tokens.")
        columns = self.encode_examples(x)
        columns["token_ids"], targets = self._hide(columns["token_ids"], seed)
        return bucketed_batches(
            columns,
            targets,
            sample_weight=sample_weight,
            seed=seed,
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
            **options,
        )

    def _hide(self, rows, seed, share=0.15):
        draw = np.random.default_rng(seed)
        special = set(self.tokenizer.special_ids)
        hidden, targets = [], []
        for row in rows:
            ids = np.array(row)
            free = np.array([i not in special for i in row])
            chosen = free & (draw.random(len(ids)) < share)
            if not chosen.any() and free.any():  # A text without a target teaches nothing.
                chosen[draw.choice(np.flatnonzero(free))] = True
            fate = draw.random(len(ids))
            other = draw.integers(0, self.tokenizer.vocabulary_size, len(ids))
            masked = np.where(fate < 0.8, self.tokenizer.mask_id, np.where(fate < 0.9, other, ids))
            hidden.append(np.where(chosen, masked, ids).tolist())
            targets.append(np.where(chosen, ids, IGNORED).tolist())
        return hidden, targets

    def predict(self, x, batch_size=32, verbose=0, top=5, text=None):
        """For each text, for each mask in it, the `top` likeliest tokens with probabilities."""
        texts = self._inputs(x, text)
        columns = self.encode_examples(texts)
        mask_id = self.tokenizer.mask_id
        for i, row in enumerate(columns["token_ids"]):
            if mask_id not in row:
                raise KzooError(
                    f"Text {i} holds no {self.tokenizer.id_to_token(mask_id)} within "
                    f"{self.max_length} tokens; one at least is expected."
                )
        order, outputs = self.run_batches(columns, batch_size, verbose)
        answers = [None] * len(texts)
        known = self.tokenizer.vocabulary_size  # A table may have rows beyond.
        for i, logits in zip(order, (row for out in outputs for row in out["logits"]), strict=True):
            places = [p for p, token in enumerate(columns["token_ids"][i]) if token == mask_id]
            answers[i] = [
                [
                    (self.tokenizer.decode([token], skip_special=False), float(scores[token]))
                    for token in np.argsort(-scores[:known])[:top].tolist()
                ]
                for scores in probabilities(logits[places])
            ]
        return answers
