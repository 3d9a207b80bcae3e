"""Masked tokens and pairs of sentences at once: BERT's and ALBERT's own pre-training."""

import keras
import numpy as np
from keras import ops

from ..answers import probabilities
from ..data.corpus import Corpus
from ..data.drawn import DrawnPlan
from ..data.masked import MOST_WORDS, Masking
from ..data.sentence_pairs import SentencePairs, check_relation, chunks
from ..data.tokens import Writer, in_memory, sentences_of, words_of
from ..errors import KzooError
from ..keras_hooks import of_whole_batch
from .corpora import documents_of, tokens_of
from .masked_lm import MaskedLM, special_mask


@keras.saving.register_keras_serializable("kzoo")
class PreTraining(MaskedLM):
    """A `MaskedLM` that also says whether a second stretch of text follows the first.

    On the token dict it returns {"logits": (batch, length, vocabulary_size), "pair_logits":
    (batch, 2)}, where 0 is "it follows". `fit` takes documents: a `kzoo.Corpus`, a path of one, or
    a list of texts, whose sentences are their lines, or of a single line end in . ! or ?; or of
    lists of sentences. Pairs, lengths and hidden tokens are others in each epoch, see
    `kzoo.data.sentence_pairs`; the loss is the sum of both.

    Args:
        backbone: a network with a pooler; else as for `TextTask`.
        labels, head, max_length, tokenizer, name: as for `TextTask`.
        objective: as for `MaskedLM`.
        pairs: "next_sentence" (BERT) or "sentence_order" (ALBERT); the family's own by default.
    """

    task_name = "PreTraining"

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        objective=None,
        pairs=None,
    ):
        if pairs is not None:
            check_relation(pairs)
        self.pairs = pairs
        super().__init__(backbone, labels, head, max_length, tokenizer, name, objective)
        self.pairs = self.pairs or self.backbone.PAIRS

    def inherit(self, before):
        """Learn from the pairs that the task did that this one goes on from."""
        self.pairs = self.pairs or before.pairs
        return super().inherit(before)

    def check_backbone(self, backbone):
        """Raise KzooError for a network without what reads a pair."""
        super().check_backbone(backbone)
        if backbone.head_spec.pooler == "none":
            raise KzooError(
                f"Got a {backbone.family} without a pooler; expected one, which reads the pair: "
                'take backbone.with_spec(pooler="tanh").'
            )
        if "segment_ids" not in backbone.input_names:
            raise KzooError(
                f"Got a {backbone.family} without segments; expected num_segments of 2 or more, by "
                "which the second text of a pair is told."
            )

    def make_head(self, backbone):
        """The head layer."""
        # Here, for Keras takes no more state once a model is built.
        self.pair_accuracy = keras.metrics.SparseCategoricalAccuracy(name="pair_accuracy")
        return super().make_head(backbone)

    def get_config(self):
        """What rebuilds the task."""
        return {**super().get_config(), "pairs": self.pairs}

    # -- learning -------------------------------------------------------------------------------

    as_inputs = staticmethod(documents_of)

    def batches(self, x, y=None, sample_weight=None, initial_epoch=0, **options):
        """Batches of pairs in which tokens are hidden, other ones each epoch."""
        if y is not None or sample_weight is not None:
            raise KzooError(
                "Got targets or sample weights beside documents; expected documents alone: the "
                "targets are their tokens and their order."
            )
        by_words = self.check_words()
        if isinstance(x, Corpus):
            if x.unit == "file":
                raise KzooError(
                    f'Got {x.path} with a document a file; expected sentences: say "line" or '
                    '"document".'
                )
            tokens, rows = tokens_of(x, self.tokenizer, words=by_words, sentences=True), x.rows
        else:
            writer, rows = Writer(self.tokenizer, by_words), None
            tokens = in_memory(_pieces(x), writer)
        frame = self.tokenizer.frame(pair=True)
        special = sum(len(ids) for ids, _ in frame[::2])
        room = self.max_length - special
        if room < 2:
            raise KzooError(f"Got max_length {self.max_length}; expected places for two tokens.")
        found, alone = chunks(tokens, rows, room)
        if not len(found):
            raise KzooError(
                f"All of the {alone:,} documents have a single sentence; expected two at least: "
                "part documents by blank lines and sentences by lines."
            )
        special_ids = special_mask(self.tokenizer)
        pairs = SentencePairs(tokens, found, rows, self.pairs, room)
        in_a_row = MOST_WORDS if self.objective == "ngrams" else 1
        hide = Masking(in_a_row, self.tokenizer.mask_id, self.tokenizer.vocabulary_size)

        def draw(number, draw):
            *spans, label = pairs(number, draw)
            ids, segments, words, word = [], [], [], 0
            for place, (own, segment) in enumerate(frame):
                if place % 2:
                    begin, end = spans[place // 2]
                    ids.append(tokens.ids[begin:end])
                    own = word + words_of(tokens, begin, end)
                    words.append(np.where(special_ids[ids[-1]], -1, own))
                    word = own[-1] + 1
                else:
                    ids.append(own)
                    words.append([-1] * len(own))
                segments.append(list(segment) * (len(ids[-1]) if place % 2 else 1))
            ids, segments, words = (
                np.concatenate(each).astype("int32") for each in (ids, segments, words)
            )
            shown, targets = hide(ids, words, draw)
            inputs = {"token_ids": shown, "segment_ids": segments}
            return inputs, {"logits": targets, "pair_logits": label}

        return DrawnPlan(
            {"token_ids": pairs.lengths() + special},
            draw,
            x.known_by if isinstance(x, Corpus) else [tokens.ids, tokens.sentences],
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
            epoch=initial_epoch,
            **options,
        ).dataset()

    def loss_count(self, y):
        """The places that have a target."""
        return super().loss_count(y["logits"] if isinstance(y, dict) else y)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the loss of the hidden tokens, and that of the pairs."""
        loss = super().compute_loss(x, y["logits"], y_pred, sample_weight, training)
        follows = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        pairs = follows(y["pair_logits"], y_pred["pair_logits"])
        return loss + of_whole_batch(pairs, ops.shape(y["pair_logits"])[0])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: the metrics of the hidden tokens, and the share of pairs that are right."""
        self.pair_accuracy.update_state(y["pair_logits"], y_pred["pair_logits"])
        return super().compute_metrics(x, y["logits"], y_pred, sample_weight)

    # -- answering ------------------------------------------------------------------------------

    def predict_pairs(self, x, batch_size=32, verbose=0):
        """For each pair of texts how likely the second follows, and does not: (pairs, 2)."""
        order, outputs = self.run_batches(self.encode_examples(x), batch_size, verbose)
        scores = np.concatenate([probabilities(each["pair_logits"]) for each in outputs])
        answers = np.empty_like(scores)
        answers[order] = scores
        return answers


def _pieces(documents):
    for number, document in enumerate(documents):
        sentences = sentences_of(document) if isinstance(document, str) else document
        if not all(isinstance(each, str) for each in sentences):
            raise KzooError(f"Got the document {number} with what is no text; expected sentences.")
        for place, sentence in enumerate(sentences):
            yield not place, f" {sentence}" if place else sentence
