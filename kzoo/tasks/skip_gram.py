"""Vectors of words from what stands near them: skip-gram, arXiv:1301.3781 and 1310.4546."""

import keras
import numpy as np
from keras import ops

from ..data.corpus import Corpus, read_corpus
from ..data.near import NearPlan, counts_of
from ..data.sources import read_examples
from ..errors import KzooError
from ..models.static_embeddings import static
from ..text.whole_words import tokenizer_of_texts
from ..values import an, is_number, is_whole
from .corpora import ReadsCorpora, check_unweighted, tokens_of
from .inputs import as_list
from .places import PlaceLoss, PlaceTask, Vocabulary

NOT_COUNTED = -1e9  # the score of a drawn word that is the right one
WINDOW, DRAWN, THRESHOLD = 5, 5, 1e-3


@keras.saving.register_keras_serializable("kzoo")
class SkipGram(ReadsCorpora, Vocabulary, PlaceTask):
    """Foretell the words near a word, which gives words of a like use vectors that are alike.

    On the token dict it returns {"logits": (batch, length, vocabulary_size)}, how well each token
    goes near that of each place: the products of its vector with a second table's, that of what
    stands near. `fit` takes strings (of a file, its texts) or a `kzoo.Corpus` and tells what stands
    near each word from words that are drawn, see `kzoo.data.near`; the loss is the mean of the
    binary cross-entropies of a pair and of those drawn beside it, accuracy how often the pair
    scores best. `predict` takes words and gives for each those whose vectors point its way, as
    (word, cosine). What is wanted in the end are the backbone's vectors: `TextEmbedder(task)`.

    Args:
        backbone: static embeddings, such as `of_texts` makes.
        labels, head, max_length, tokenizer, name: as for `TextTask`.
        window: how many words before and behind one count as near at most.
        drawn: how many words each pair is told from.
        threshold: the share of all words from which on a word is left out now and then; 0 for
            none.

    Raises:
        KzooError: for a network in which a word's vector depends on others.
    """

    task_name = "SkipGram"
    targets, reads, default_head = "none", "text", "near"
    read_file = read_corpus(read_examples)

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        window=None,
        drawn=None,
        threshold=None,
    ):
        for option, value in (("window", window), ("drawn", drawn)):
            if value is not None and not is_whole(value, 1):
                raise KzooError(f"Got {option} = {value!r:.40}; expected a whole number from 1.")
        if threshold is not None and not is_number(threshold, 0):
            raise KzooError(f"Got threshold = {threshold!r:.40}; expected a share, 0 or more.")
        self.window, self.drawn, self.threshold = window, drawn, threshold
        super().__init__(backbone, labels, head, max_length, tokenizer, name)
        usual = (WINDOW, DRAWN, THRESHOLD)
        own = (self.window, self.drawn, self.threshold)
        self.window, self.drawn, self.threshold = (
            default if value is None else value for value, default in zip(own, usual, strict=True)
        )

    @classmethod
    def of_texts(cls, texts, dim=100, least=5, most=100_000, max_length=512, **options):
        """A task whose vectors are of the words of texts, which begin anywhere.

        Args:
            texts: strings, or a `kzoo.Corpus`.
            dim: how wide the vectors are.
            least: how often a word must be there, to have a vector.
            most: how many words have one, the frequent ones.
            max_length: words of a text that are learnt from at once.
            options: as for the task.

        Raises:
            KzooError: for sizes out of their range, and texts without such words.
        """
        whole = {"dim": dim, "least": least, "most": most, "max_length": max_length}
        for name, value in whole.items():
            if not is_whole(value, 1):
                raise KzooError(f"Got {name} = {value!r:.40}; expected a whole number from 1.")
        texts = texts.texts() if isinstance(texts, Corpus) else as_list(texts)
        tokenizer = tokenizer_of_texts(texts, least, most)
        table = np.random.default_rng(0).uniform(-0.5, 0.5, (tokenizer.vocabulary_size, dim)) / dim
        return cls(static(table, 0, max_length), tokenizer=tokenizer, **options)

    # -- the network ----------------------------------------------------------------------------

    def check_backbone(self, backbone):
        """Raise KzooError for a network with blocks."""
        super().check_backbone(backbone)
        if backbone.spec.schedule:
            raise KzooError(
                f"Got {an(backbone.family)}, in which words change each other's vectors; expected "
                "static embeddings, such as kzoo.SkipGram.of_texts makes: take a MaskedLM for this."
            )

    def inherit(self, before):
        """Learn from what the task did that this one goes on from."""
        for option in ("window", "drawn", "threshold"):
            if getattr(self, option) is None:
                setattr(self, option, getattr(before, option))
        return super().inherit(before)

    def check_inputs(self, inputs):
        """The inputs that the backbone reads, and what a batch of `fit` says of words near them."""
        checked = super().check_inputs(inputs)
        return checked | {n: each for n, each in inputs.items() if n.startswith("near_")}

    def call(self, inputs, training=None, seen=None):
        """The raw outputs, see `Task`; of a batch of `fit` (batch, pairs, 1 + drawn).

        Of these the first is the score of what stands near.
        """
        if "near_0" not in inputs:
            return super().call(inputs, training=training, seen=seen)
        own = {name: inputs[name] for name in self.backbone.input_names}
        vectors = self.backbone.run(own, training=training)["sequence_output"]
        near = [inputs[f"near_{n}"] for n in range(1 + self.drawn)]
        near = ops.stack(near, axis=-1)
        products = ops.expand_dims(vectors, -2) * self.head.rows(near)
        scores = ops.cast(ops.sum(products, axis=-1), "float32")
        others = ops.not_equal(near[..., 1:], near[..., :1])
        counted = ops.concatenate([ops.ones_like(others[..., :1]), others], axis=-1)
        return {"logits": ops.where(counted, scores, NOT_COUNTED)}

    # -- learning -------------------------------------------------------------------------------

    def default_loss(self):
        """The binary cross-entropies of a pair and of those drawn beside it, their mean."""
        return PlaceLoss(keras.losses.BinaryCrossentropy(from_logits=True))

    def batches(self, x, y=None, sample_weight=None, initial_epoch=0, **options):
        """Batches of pairs of words, other ones each epoch."""
        if y is not None:
            raise KzooError(
                f"fit of {an(self.task_name)} takes texts alone; the targets are their words."
            )
        if isinstance(x, Corpus):
            check_unweighted(x, sample_weight)
            tokens = tokens_of(x, self.tokenizer)
            begun, lengths = x.windows(tokens, self.max_length)
            ids = x.column(tokens.ids, begun, lengths)
        else:
            rows, size = self.tokenizer.encode(x)["token_ids"], self.max_length
            starts = [range(0, len(row), size) for row in rows]
            ids = [
                np.asarray(row[start : start + size], "int32")
                for row, places in zip(rows, starts, strict=True)
                for start in places
            ]
            if sample_weight is not None:
                sample_weight = np.repeat(sample_weight, list(map(len, starts)))
        counts = counts_of(ids, self.num_outputs, self.tokenizer.special_ids)
        options |= {"sample_weight": sample_weight, "epoch": initial_epoch}
        options |= {"padding_id": self.backbone.padding_id}
        return NearPlan(ids, counts, self.window, self.drawn, self.threshold, **options).dataset()

    # -- answering ------------------------------------------------------------------------------

    def predict(self, x, batch_size=32, verbose=0, text=None, top=5):
        """For each word (or text, of whose words it takes the mean) the `top` nearest others."""
        rows = self.encode_examples(self._inputs(x, text))["token_ids"]
        table = ops.convert_to_numpy(self.backbone.embedding.embeddings).astype("float64")
        table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
        special, known = list(self.tokenizer.special_ids), self.tokenizer.vocabulary_size
        answers = []
        for number, row in enumerate(rows):
            own = np.setdiff1d(row, special)
            if not len(own):
                raise KzooError(f"Text {number} holds no word of the vocabulary; expected one.")
            mean = table[own].mean(axis=0)
            cosines = table[:known] @ (mean / max(np.linalg.norm(mean), 1e-12))
            cosines[[*own, *special]] = -np.inf
            best = np.argsort(-cosines)[: min(top, known - len(own) - len(special))]
            answers.append([(self.tokenizer.id_to_token(int(n)), float(cosines[n])) for n in best])
        return answers

    def get_config(self):
        """The arguments."""
        own = {name: getattr(self, name) for name in ("window", "drawn", "threshold")}
        return {**super().get_config(), **own}
