"""Tokens from their surroundings: the pretraining of BERT, arXiv:1810.04805 section 3.1."""

import keras
import numpy as np

from ..answers import probabilities
from ..data.corpus import Corpus, read_corpus
from ..data.masked import MOST_WORDS, UNITS, MaskedPlan, check_units
from ..data.ragged import Ragged
from ..data.sources import read_examples
from ..data.tokens import words_of
from ..errors import KzooError
from ..values import an
from .corpora import ReadsCorpora, check_unweighted, tokens_of
from .inputs import split_pairs
from .places import TiedTask


class HidesTokens(ReadsCorpora):
    """A task that learns of tokens that are hidden in texts; it stands before `TextTask`.

    Args:
        backbone, labels, head, max_length, tokenizer, name: as for `TextTask`.
        objective: what is hidden as one: "tokens" (by default), "whole_words", or "ngrams", up to
            three words in a row.
    """

    targets = "none"
    units = UNITS  # What may be hidden as one.
    read_file = read_corpus(read_examples)

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        objective=None,
    ):
        if objective is not None:
            check_units(objective, self.units, self.task_name)
        self.objective = objective
        super().__init__(backbone, labels, head, max_length, tokenizer, name)
        self.objective = self.objective or "tokens"

    def inherit(self, before):
        """Hide what the task did that this one goes on from."""
        self.objective = self.objective or before.objective
        return super().inherit(before)

    def batches(self, x, y=None, sample_weight=None, initial_epoch=0, **options):
        """Batches in which tokens are hidden, other ones each epoch; these are the targets."""
        if y is not None:
            raise KzooError(
                f"fit of {an(self.task_name)} takes texts alone; the targets are their tokens."
            )
        if isinstance(x, Corpus):
            check_unweighted(x, sample_weight)
            columns, words = self._of_corpus(x)
        else:
            columns = self.encode_examples(x)
            words = self._words(x, columns["token_ids"])
        in_a_row = MOST_WORDS if self.objective == "ngrams" else 1
        options |= {"padding_id": self.backbone.padding_id, "max_length": self.max_length}
        options |= {"sample_weight": sample_weight, "epoch": initial_epoch}
        return self.hiding_plan(columns, words, in_a_row, **options).dataset()

    def hiding_plan(self, columns, words, in_a_row, **options):
        """The plan of batches of columns of tokens, some of which are hidden.

        words: the number of what is hidden as one with each token, as `Masking` has it; up to
        `in_a_row` of them in a row.
        """
        raise NotImplementedError

    def _words(self, x, rows):
        """For each token the number of what is hidden as one with it; -1 for what never is."""
        special = list(self.tokenizer.special_ids)
        if not self.check_words():
            words = [np.arange(len(row)) for row in rows]
        else:
            first, second = split_pairs(x)
            found = self.tokenizer.encode(first, second, max_length=self.max_length, offsets=True)
            # A second text begins with another word 0.
            words = [np.cumsum(np.diff(row, prepend=-1) != 0) for row in found["word_ids"]]
        return [
            np.where(np.isin(row, special), -1, own) for row, own in zip(rows, words, strict=True)
        ]

    def check_words(self):
        """Whether words are hidden as one; KzooError for a tokenizer that doesn't know them."""
        if self.objective != "tokens" and not self.tokenizer.cuts_words:
            raise KzooError(
                f"Got the objective {self.objective!r} and a tokenizer that doesn't part words; "
                "expected tokens."
            )
        return self.objective != "tokens"

    def _of_corpus(self, corpus):
        """Pieces of documents as columns, and the numbers of their words."""
        tokens = tokens_of(corpus, self.tokenizer, words=self.check_words())
        (before, left), (_, (segment,)), (after, right) = self.tokenizer.frame()
        around, special = len(before) + len(after), special_mask(self.tokenizer)
        begun, lengths = corpus.windows(tokens, self.max_length - around)

        def framed(inner, before, after):
            return np.concatenate([before, inner, after]).astype("int32")

        def row(n):
            return framed(tokens.ids[begun[n] : begun[n] + lengths[n]], before, after)

        def segments(n):
            return framed(np.full(lengths[n], segment), left, right)

        def words(n):
            own = words_of(tokens, begun[n], begun[n] + lengths[n])
            own = np.where(special[tokens.ids[begun[n] : begun[n] + lengths[n]]], -1, own)
            return framed(own, [-1] * len(before), [-1] * len(after))

        made = {"token_ids": Ragged(lengths + around, row, corpus.known_by)}
        if "segment_ids" in self.backbone.input_names:
            made["segment_ids"] = Ragged(lengths + around, segments)
        return made, Ragged(lengths + around, words)

    def get_config(self):
        """What rebuilds the task."""
        return {**super().get_config(), "objective": self.objective}


@keras.saving.register_keras_serializable("kzoo")
class MaskedLM(HidesTokens, TiedTask):
    """Score the vocabulary at every place.

    On the token dict it returns {"logits": (batch, length, vocabulary_size)}; the scores are
    against the token embeddings themselves. `predict` takes strings that hold the mask token and
    gives, for each, the best tokens for each mask as (text of the token, probability), with the
    space that a token brings. `fit` takes strings (of a file, its texts) or a `kzoo.Corpus`, and
    hides 15 % of their tokens, others in each epoch, see `kzoo.data.masked`.

    Args:
        backbone, labels, head, max_length, tokenizer, name: as for `TextTask`.
        objective: what is hidden as one: "tokens" (by default), "whole_words", or "ngrams", up to
            three words in a row.
    """

    task_name = "MaskedLM"
    rule = "candidates"

    @classmethod
    def head_slots(cls, family, spec):
        """The family's own, or the masked LM head with its activation or the feed-forward nets'."""
        if cls.task_name in family.HEADS:
            return super().head_slots(family, spec)
        return [
            {
                "kind": family.LM_HEADS[cls.task_name],
                "activation": family.LM_ACTIVATION or spec.activation,
            }
        ]

    def hiding_plan(self, columns, words, in_a_row, **options):
        """See `HidesTokens`: what was hidden is the target of its place."""
        mask_id, count = self.tokenizer.mask_id, self.tokenizer.vocabulary_size
        return MaskedPlan(columns, words, in_a_row, mask_id, count, **options)

    def predict(self, x, batch_size=32, verbose=0, top=5, text=None):
        """For each text, for each mask in it, the `top` likeliest tokens with probabilities."""

        def likeliest(_ids, _place, scores):
            return [
                (self.tokenizer.decode([token], skip_special=False), float(scores[token]))
                for token in np.argsort(-scores)[:top].tolist()
            ]

        return self.of_masks(self._inputs(x, text), likeliest, batch_size, verbose)

    def of_masks(self, texts, find, batch_size=32, verbose=0):
        """For each text, for each mask in it, what `find` makes of it.

        Args:
            texts: a list of strings, each with one mask at least.
            find: a function of a text's token ids, the place of a mask among them, and how likely
                each token of the tokenizer stands there.
            batch_size, verbose: as for `predict`.
        """
        columns = self.encode_examples(texts)
        mask_id = self.tokenizer.mask_id
        for i, row in enumerate(columns["token_ids"]):
            if mask_id not in row:
                raise KzooError(
                    f"Text {i} holds no {self.tokenizer.id_to_token(mask_id)} within "
                    f"{self.max_length} tokens; one at least is expected."
                )
        order, outputs = self.run_batches(self.asked(columns), batch_size, verbose)
        answers = [None] * len(texts)
        known = self.tokenizer.vocabulary_size  # A table may have rows beyond.
        for i, logits in zip(order, (row for out in outputs for row in out["logits"]), strict=True):
            ids = columns["token_ids"][i]
            places = [p for p, token in enumerate(ids) if token == mask_id]
            rows = probabilities(self.at(places, logits))
            answers[i] = [
                find(ids, place, row[:known]) for place, row in zip(places, rows, strict=True)
            ]
        return answers

    def asked(self, columns):
        """The columns of texts with masks, with what else says that these are asked."""
        return columns

    @staticmethod
    def at(places, logits):
        """Of a text's logits those of the places of its masks."""
        return logits[places]


def special_mask(tokenizer):
    """For each token of the vocabulary whether it is a special one."""
    special = np.zeros(tokenizer.vocabulary_size, bool)
    special[list(tokenizer.special_ids)] = True
    return special
