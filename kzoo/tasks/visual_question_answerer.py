"""An answer to a question about a picture, in words: BLIP, arXiv:2201.12086."""

import keras
import numpy as np

from ..data.batches import padded
from ..data.pairs import Pairs
from ..data.picture_texts import asked, check_answers, is_alone, read_questions
from ..errors import KzooError
from ..generation.rewriter import Questioner, rewriting_options
from ..values import an
from .image_captioner import ImageCaptioner
from .task import Task
from .text_task import settled_length
from .writing_task import one_or_all

ASKS = "question_"  # what the names of a question's columns begin with


@keras.saving.register_keras_serializable("kzoo")
class VisualQuestionAnswerer(ImageCaptioner):
    """Look at a picture, read a question about it and write the answer.

    On the dict of `kzoo.graphs.QuestionReader` it returns {"logits": (batch, decoder_length,
    vocabulary_size)}. `fit` takes (picture, question) pairs and an answer to each, or a table that
    names files and has a question and an answer beside each; `predict` gives an answer for each
    pair. `VisualQuestionClassifier` chooses among answers that it knows.

    Args:
        backbone: a network such as `BlipAnswerer`; else as for `Task`.
        max_length: tokens of a question at most; longer ones are cut in `fit`, and refused where
            an answer is asked for. The model's maximum by default, or the tokenizer's.
        head, max_target_length, generation, tokenizer, image_processor, name: as for
            `ImageCaptioner`.
    """

    task_name = "VisualQuestionAnswerer"
    reads = "image_text"
    length_axes = ("question_length", "memory_length")
    writes_with = Questioner

    def __init__(
        self,
        backbone,
        head=None,
        max_length=None,
        max_target_length=None,
        generation=None,
        tokenizer=None,
        image_processor=None,
        name=None,
    ):
        self.max_length = max_length
        super().__init__(
            backbone, head, max_target_length, generation, tokenizer, image_processor, name
        )

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Read and write as the task did that this one goes on from."""
        self.max_length = self.max_length or before.max_length
        return super().inherit(before)

    def check_backbone(self, backbone):
        """Raise KzooError for a network that doesn't read a picture and a question, and write."""
        read = {"images", f"{ASKS}token_ids", f"{ASKS}padding_mask"}
        if set(backbone.signatures.get("encode", ())) != read:
            raise KzooError(
                f"Got {an(backbone.family)} for {an(self.task_name)}; expected a network that "
                "reads a picture and a question and writes, such as a BlipAnswerer."
            )

    def settle_sizes(self, backbone):
        """Take the towers' maxima, or the tokenizer's, where nobody said how much is read."""
        longest = backbone.largest[f"{ASKS}length"]
        self.max_length = settled_length(self.max_length, self.processors.get("tokenizer"), longest)
        super().settle_sizes(backbone)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "max_length": self.max_length}

    # -- examples ---------------------------------------------------------------------------------

    read_file = staticmethod(read_questions)

    def as_inputs(self, x):
        """A list of (picture, question) pairs, from one or from some."""
        return asked(x)

    def batches(self, x, y=None, sample_weight=None, class_weight=None, **options):
        """Pictures, questions, and answers for the decoder, one place on, as batches."""
        pairs, answers = self.sources_and_targets(x, y)
        pictures, questions = zip(*pairs, strict=True)
        read = self.tokenizer.encode(list(questions), max_length=self.max_length)
        rows = self.target_ids(answers)
        columns = {f"{ASKS}{name}": read[name] for name in ("token_ids", "padding_mask")}
        columns |= self.columns_of(rows)
        return self._plan(Pairs(list(pictures), columns), rows, sample_weight, **options).dataset()

    def sources_and_targets(self, x, y=None):
        """Two lists of the same length: (picture, question) pairs, and an answer to each."""
        pairs = asked(x)
        return pairs, check_answers(pairs, y)

    def given(self, x, column=None):
        """A list of pairs from whatever `predict` was handed, tables too."""
        if isinstance(x, (str, bytes)) or not hasattr(x, "__len__"):
            return self.read_file(x, column, None, "none").x
        return asked(x)

    @property
    def longest_texts(self):
        """See `ImageCaptioner`; questions as well."""
        return {ASKS: self.max_length, **super().longest_texts}

    # -- answering ------------------------------------------------------------------------------

    def source_inputs(self, sources, rounded=int):
        """Pairs of an array and token ids as what the network reads, by name."""
        pictures, questions = zip(*sources, strict=True)
        longest = max(map(len, questions))
        size = max(longest, min(rounded(longest), self.backbone.largest[f"{ASKS}length"]))
        return {
            **self.in_graph(np.stack(pictures)),
            f"{ASKS}token_ids": padded(questions, size, self.backbone.padding_id),
            f"{ASKS}padding_mask": padded([[1] * len(ids) for ids in questions], size, 0),
        }

    def task_options(self):
        """How it writes, see `rewriting_options`."""
        return {
            **Task.task_options(self),
            **rewriting_options(
                None, self.start_id, self.max_length, self.usual_generation(), None, None
            ),
        }

    def prompt_ids(self, pairs, max_length=None):
        """(picture, question) pairs as (array, token ids), cut where a length is given."""
        return self.writer.prompt_ids(pairs, max_length)

    def cut_sources(self, sources):
        """The same, cut as in `fit`."""
        return self.prompt_ids(sources, self.max_length)

    def generate(self, pairs, batch_size=None, **options):
        """Answer questions about pictures.

        Args:
            pairs: a (picture, question) pair, a dict {"image": ..., "question": ...}, or a list of
                either.
            batch_size: pairs that are read at the same time; by default all.
            options: as for `ImageCaptioner.generate`.

        Returns:
            For a pair a text, for several a list of them; with num_return_sequences above 1 a list
            of so many in the place of each.
        """
        rows = self.write(self.prompt_ids(asked(pairs)), batch_size, **options)
        results = [one_or_all([each.text for each in row]) for row in rows]
        return results[0] if is_alone(pairs) else results

    def stream(self, pair, **options):
        """Answer one question; an iterator of pieces of text, which split no character."""
        (source,) = self.prompt_ids(asked(pair))
        return self.write_pieces(source, **options)
