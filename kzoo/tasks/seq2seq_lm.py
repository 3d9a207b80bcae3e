"""A text of a text: translations, summaries, answers (arXiv:1409.3215, arXiv:1706.03762)."""

import keras
import numpy as np

from ..data.batches import BatchPlan, bucketed_batches, lengths_of, padded
from ..data.corpus import Corpus, read_corpus
from ..data.documents import read_documents
from ..data.drawn import DrawnPlan
from ..data.objectives import check_objective
from ..data.objectives import objective as objective_of
from ..errors import KzooError
from ..generation.rewriter import (
    Rewriter,
    beginning,
    check_numbered_alike,
    rewriting_options,
    source_ids,
)
from ..text.languages import code_id
from .corpora import ReadsCorpora, check_unweighted, tokens_of
from .inputs import check_columns, split_pairs
from .source_task import WritesOfSources, given_options, settled_options
from .text_task import settled_length
from .writing_task import WritingTask, one_or_all

# The arguments of its own that a task has from the one that it goes on from.
KEPT = ("max_target_length", "generation", "source_language", "target_language", "objective")


@keras.saving.register_keras_serializable("kzoo")
class Seq2SeqLM(ReadsCorpora, WritesOfSources, WritingTask):
    """Read a source and write a target: an encoder-decoder with scores of every token.

    On the dict of `kzoo.graphs.EncoderDecoder` it returns {"logits": (batch, decoder_length,
    vocabulary_size)}. `fit` takes sources and targets, as two lists, as pairs, or in a table; the
    decoder is given each target one place on (teacher forcing). Label smoothing (arXiv:1706.03762,
    section 5.4) is `compile(loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1))`.

    Args:
        backbone: a network such as `T5`; else as for `TextTask`.
        labels, head, tokenizer, name: as for `TextTask`.
        max_length: tokens of a source at most; longer ones are cut in `fit`.
        max_target_length: tokens of a target at most, its end included; all the places of the
            decoder by default.
        generation: how it writes where a call says nothing else: options of
            `kzoo.generation.Generation` by name, such as {"num_beams": 4}.
        source_language, target_language: codes of languages that the tokenizer has tokens for, such
            as "en_XX" (mBART); those that its special tokens name by default.
        objective: what `fit` makes of texts without targets, see `kzoo.data.objectives`: "spans"
            (T5), "masking", "deletion", "infilling", "permutation" or "rotation" (BART), drawn anew
            in each epoch.
        target_tokenizer: a `TargetTokenizer` where targets are cut by another tokenizer than
            sources, with the same ids (Marian).
    """

    task_name = "Seq2SeqLM"
    default_head = "tied_lm"
    targets = "optional"
    reads, columns_given = "prompt", ("text", "label")
    length_axes = ("encoder_length", "memory_length")
    read_file = read_corpus(read_documents)

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        max_target_length=None,
        generation=None,
        source_language=None,
        target_language=None,
        objective=None,
        target_tokenizer=None,
    ):
        self.max_target_length, self.generation = max_target_length, given_options(generation)
        self.source_language, self.target_language = source_language, target_language
        check_objective(objective)
        self.objective = objective
        super().__init__(backbone, labels, head, max_length, tokenizer, name)
        if target_tokenizer is not None:
            self.target_tokenizer = target_tokenizer
        self.generation = settled_options(self.generation)

    def inherit(self, before):
        """Read and write as the task did that this one goes on from."""
        for name in KEPT:
            if getattr(self, name) is None:
                setattr(self, name, getattr(before, name))
        return super().inherit(before)

    def check_processors(self):
        """Raise KzooError for tokenizers that don't fit, or have no token of a language."""
        super().check_processors()
        source, target = map(self.processors.get, ("tokenizer", "target_tokenizer"))
        padding, own = source and source.padding_id, self.backbone.padding_id
        if padding is not None and padding != own:
            raise KzooError(
                f"The tokenizer pads with the token {padding} and this {self.backbone.family} with "
                f"{own}: give the tokenizer that belongs to the weights."
            )
        if target is not None and source is None:
            raise KzooError(
                "Got a target_tokenizer alone; expected the tokenizer of what is read as well."
            )
        if target is not None:
            check_numbered_alike(source, target)
        for language in filter(None, (self.source_language, self.target_language)):
            code_id(self.tokenizer, language)

    def check_backbone(self, backbone):
        """Raise KzooError for a network that reads no source."""
        if "encoder_token_ids" not in backbone.signatures.get("encode", ()):
            raise KzooError(
                f"Got a {backbone.family} for a Seq2SeqLM; expected a network that reads a source "
                "and writes of it, such as a T5."
            )

    def settle_sizes(self, backbone):
        """Take the towers' maxima, or the tokenizer's, where nobody said how much is read."""
        tokenizer, largest = self.processors.get("tokenizer"), backbone.largest
        self.max_length = settled_length(self.max_length, tokenizer, largest["encoder_length"])
        self.max_target_length = settled_length(
            self.max_target_length, tokenizer, largest["decoder_length"], "max_target_length"
        )

    @property
    def target_tokenizer(self):
        """The tokenizer of what is written; that of what is read where it has no other."""
        return self.processors.get("target_tokenizer") or self.tokenizer

    @property
    def writing_tokenizer(self):
        """What the writer decodes by; None where there is no tokenizer."""
        return self.processors.get("target_tokenizer") or self.processors.get("tokenizer")

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), **{name: getattr(self, name) for name in KEPT}}

    # -- learning -------------------------------------------------------------------------------

    def batches(self, x, y=None, sample_weight=None, seed=0, **options):
        """Sources and targets as batches of similar lengths."""
        if isinstance(x, Corpus):
            check_unweighted(x, sample_weight)
            if y is not None or self.objective is None:
                raise KzooError(
                    f"Got {x!r} for a Seq2SeqLM; expected an objective, which makes sources and "
                    "targets of raw text, and no targets beside it."
                )
            return self._spoiled(x, None, seed, **options)
        sources, targets = split_pairs(x)
        targets = y if targets is None else targets
        if targets is None and self.objective is not None:
            return self._spoiled(sources, sample_weight, seed, **options)
        columns, rows = self._encoded(sources, targets)
        return bucketed_batches(
            columns,
            rows,
            sample_weight=sample_weight,
            seed=seed,
            padding_id=self.backbone.padding_id,
            **options,
        )

    def encode_examples(self, x):
        """(source, target) pairs as ragged columns of both towers."""
        return self._encoded(*split_pairs(x))[0]

    def plan(self, columns, batch_size):
        """From short to long."""
        return BatchPlan(columns, None, None, batch_size, padding_id=self.backbone.padding_id)

    def _encoded(self, sources, targets):
        """Columns of both towers, and the rows of targets."""
        if targets is None:
            raise KzooError(
                "Got sources without targets; expected a text of each, as y, as pairs, or in a "
                "second column of a table, named as label; or an objective, which makes both of "
                "raw text."
            )
        wrong = next((each for each in targets if not isinstance(each, str)), None)
        if wrong is not None:
            raise KzooError(f"Got the target {wrong!r:.40} of a source; expected a text.")
        read, rows = self.cut_sources(sources), self.target_ids(targets)
        return {"encoder_token_ids": read, "decoder_token_ids": self.given_rows(rows)}, rows

    def _spoiled(self, texts, sample_weight, seed, initial_epoch=0, **options):
        """Batches of what the objective makes of texts, other sources and targets each epoch."""
        make, (before, after) = objective_of(self.objective, self.tokenizer), self._frame(None)
        start, _ = beginning(self.task_options())
        most = min(self.max_length, self.max_target_length) - len(before) - len(after) - 1
        if most < 2:
            raise KzooError(
                f"Got max_length {self.max_length} and max_target_length {self.max_target_length} "
                "with an objective; expected places for two tokens of a text at least."
            )
        texts = self._pieces(texts, most)

        def draw(number, draw):
            read, written = make(np.asarray(texts[number]).tolist(), draw)
            # Spans of no length put marks in: one, and there would be no place for more.
            read = [*before, *read[: most + 1], *after]
            written = [*before, *written, *after]
            return {"encoder_token_ids": read, "decoder_token_ids": [start, *written[:-1]]}, written

        lengths = lengths_of(texts) + len(before) + len(after) + 1
        return DrawnPlan(
            {"encoder_token_ids": lengths, "decoder_token_ids": lengths},
            draw,
            getattr(texts, "texts", texts),
            sample_weight=sample_weight,
            seed=seed,
            padding_id=self.backbone.padding_id,
            epoch=initial_epoch,
            **options,
        ).dataset()

    def _pieces(self, texts, most):
        """Token ids of texts, cut off behind so many; of a corpus all of them, piece by piece."""
        if isinstance(texts, Corpus):
            tokens = tokens_of(texts, self.tokenizer)
            return texts.column(tokens.ids, *texts.windows(tokens, most, least=2))
        rows = [ids[:most] for ids in self.tokenizer.bare_ids(texts)]
        short = next((number for number, ids in enumerate(rows) if len(ids) < 2), None)
        if short is not None:
            raise KzooError(
                f"Got fewer than two tokens in text {short}; expected more to learn of."
            )
        return rows

    def check_columns(self, columns, x):
        """Names of columns mean something for files alone."""
        check_columns(*columns, x)

    def cut_sources(self, sources):
        """Texts as lists of token ids, `max_length` at most."""
        return self.prompt_ids(sources, self.max_length)

    def source_inputs(self, sources, rounded=int):
        """Lists of token ids as what the network reads, by name."""
        longest = max(map(len, sources))
        size = min(rounded(longest), self.backbone.largest["encoder_length"])
        token_ids = padded(sources, max(longest, size), self.backbone.padding_id)
        mask = padded([[1] * len(source) for source in sources], token_ids.shape[1], 0)
        return {"encoder_token_ids": token_ids, "encoder_padding_mask": mask}

    def sources_and_targets(self, x, y=None):
        """Two lists of the same length, of what `score` takes."""
        sources, targets = split_pairs(x)
        targets = list(y) if targets is None and y is not None else targets
        if targets is None or len(targets) != len(sources):
            count = "no" if targets is None else len(targets)
            raise KzooError(
                f"Got {len(sources)} sources and {count} targets; expected a target of each."
            )
        return sources, targets

    # -- writing --------------------------------------------------------------------------------

    @property
    def writer(self):
        """What writes with this model's step and its tokenizer, see `Rewriter`."""
        return Rewriter(
            self.step,
            self.writing_tokenizer,
            self.backbone.head_spec.max_sequence_length,
            self.backbone.vocabulary_size,
            self.task_options(),
            self.processors.get("tokenizer"),
        )

    def task_options(self):
        """How it writes of sources, see `rewriting_options`."""
        own = rewriting_options(
            self.processors.get("tokenizer"),
            self.start_id,
            self.backbone.largest["encoder_length"],
            self.generation,
            self.source_language,
            self.target_language,
        )
        return {**super().task_options(), **own}

    def prompt_ids(self, prompts, max_length=None):
        """Sources as lists of token ids, in their language, cut where a length is given.

        Raises:
            KzooError: for a source without a token.
        """
        return source_ids(self.tokenizer, prompts, self.source_language, max_length)

    def generate(self, sources, batch_size=None, **options):
        """Write of sources.

        Args:
            sources: a text, a list of texts, or a list of lists of token ids of any lengths.
            batch_size: sources that are read at the same time; by default all.
            options: those of `kzoo.generation.Generation`, by default the task's `generation`; the
                tokenizer's end token ends a text by default. Also `target_language`, a code.

        Returns:
            For a text a text, for texts a list of them, for token ids lists of ids; with
            num_return_sequences above 1 a list of so many in the place of each.

        Raises:
            KzooError: for an option out of its range, an empty source, or one that is longer than
                the encoder has places.

        Without `max_new_tokens` 64 tokens are written at most.
        """
        answers, is_text = self.written(sources, options, batch_size)
        results = [
            one_or_all([each.text if is_text else each.token_ids for each in rows])
            for rows in answers
        ]
        return results[0] if isinstance(sources, str) else results
