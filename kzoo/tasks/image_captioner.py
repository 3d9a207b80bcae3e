"""A text of a picture: what it shows (arXiv:1411.4555, arXiv:2201.12086)."""

import keras
import numpy as np

from ..data.labels import held_out
from ..data.media import PICTURES
from ..data.pairs import Pairs, WrittenPlan
from ..errors import KzooError
from ..generation.rewriter import Describer, rewriting_options
from ..spec import Input
from ..values import an
from .image_task import ImageTask
from .shared_space import caption_column
from .source_task import WritesOfSources, given_options, settled_options
from .task import Task
from .text_task import check_tokenizer, settled_length
from .writing_task import one_or_all

TOWER = "decoder_"  # what the names of a text's columns begin with

# The arguments of its own that a task has from the one that it goes on from.
KEPT = ("max_target_length", "generation")


@keras.saving.register_keras_serializable("kzoo")
class ImageCaptioner(WritesOfSources, ImageTask):
    """Look at a picture and write what it shows.

    On the dict of `kzoo.graphs.PictureReader` it returns {"logits": (batch, decoder_length,
    vocabulary_size)}. `fit` takes pictures and a text of each, as two lists, as pairs, or a table
    that names files and has their texts beside them; a picture that has several texts stands there
    as often. The decoder is given each text one place on (teacher forcing). `predict` gives a text
    for each picture.

    Args:
        backbone: a network such as `VisionEncoderDecoder`; else as for `Task`.
        head, name: as for `Task`.
        max_target_length: tokens of a text at most, its end included; all the places of the
            decoder by default.
        generation: how it writes where a call says nothing else: options of
            `kzoo.generation.Generation` by name, such as {"num_beams": 4}.
        tokenizer, image_processor: the preset's by default.
    """

    task_name = "ImageCaptioner"
    default_head = "tied_lm"
    length_axes = ()  # A picture has always as many places.
    writes_with = Describer

    def __init__(
        self,
        backbone,
        head=None,
        max_target_length=None,
        generation=None,
        tokenizer=None,
        image_processor=None,
        name=None,
    ):
        self.max_target_length, self.generation = max_target_length, given_options(generation)
        given = {"image_processor": image_processor, "tokenizer": tokenizer}
        Task.__init__(self, backbone, None, head, given, name)
        self.generation = settled_options(self.generation)

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Write as the task did that this one goes on from."""
        for name in KEPT:
            if getattr(self, name) is None:
                setattr(self, name, getattr(before, name))
        return super().inherit(before)

    def check_backbone(self, backbone):
        """Raise KzooError for a network that doesn't read pictures alone, or doesn't write."""
        if set(backbone.signatures.get("encode", ())) != {"images"}:
            raise KzooError(
                f"Got {an(backbone.family)} for {an(self.task_name)}; expected a network that "
                "reads a picture and writes of it, such as a VisionEncoderDecoder."
            )

    def settle_sizes(self, backbone):
        """Take the decoder's maximum, or the tokenizer's, where nobody said how much is written."""
        self.max_target_length = settled_length(
            self.max_target_length,
            self.processors.get("tokenizer"),
            backbone.largest["decoder_length"],
            "max_target_length",
        )

    def check_processors(self):
        """Raise KzooError for processors that don't fit the network."""
        super().check_processors()
        tokenizer = self.processors.get("tokenizer")
        check_tokenizer(tokenizer, self.backbone)

    @property
    def tokenizer(self):
        """The tokenizer; an error says what to do if there is none."""
        return self.processor("tokenizer")

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"]
        return {**config, **{name: getattr(self, name) for name in KEPT}}

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def signatures(self):
        """Those of the backbone; a file takes pictures as `read_one` gives them."""
        signatures = dict(self.backbone.signatures)
        if self.processors.get("image_processor") is not None:
            axes = ("batch", *self.array_shape)
            array = {self.input_name: Input(axes, self.array_type)}
            signatures["encode"] = {**signatures["encode"], **array}
        return signatures

    def in_network(self, inputs):
        """What the network reads; what the image processor does last is done here."""
        if self.processors.get("image_processor") is None:
            return inputs
        return {**inputs, **self.in_graph(inputs[self.input_name])}

    # -- examples ---------------------------------------------------------------------------------

    @classmethod
    def read_file(cls, path, column, label, targets):
        """Pictures and their texts from a table, see `data.media.Medium.read`."""
        if targets != "none" and label is None and cls.medium.is_table(path):
            label = caption_column(path)
        return PICTURES.read(path, column, label, targets, "caption")

    @classmethod
    def hold_out(cls, examples, share, seed):
        """See `Task`; texts are no classes that each give their share."""
        held, rest = held_out(None, len(examples), share, seed)
        if not held or not rest:
            raise KzooError(
                f"validation {share} of {len(examples)} examples leaves one side empty."
            )
        return examples.part(rest), examples.part(held)

    def batches(self, x, y=None, sample_weight=None, class_weight=None, **options):
        """Pictures, and texts for the decoder, one place on, as batches."""
        pictures, texts = self.sources_and_targets(x, y)
        rows = self.target_ids(texts)
        pairs = Pairs(pictures, self.columns_of(rows))
        return self._plan(pairs, rows, sample_weight, **options).dataset()

    def columns_of(self, rows):
        """The columns of the decoder, of rows of targets."""
        given = self.given_rows(rows)
        mask = [[1] * len(row) for row in given]
        return {f"{TOWER}token_ids": given, f"{TOWER}padding_mask": mask}

    def _frame(self, language):
        """Nothing before a text, which the decoder's first token begins; behind it its end."""
        return [], super()._frame(language)[1]

    def sources_and_targets(self, x, y=None):
        """Two lists of the same length: pictures, and a text of each."""
        pairs = y is None and all(isinstance(e, (list, tuple)) and len(e) == 2 for e in x)
        pictures, texts = zip(*x, strict=True) if pairs else (x, y)
        if texts is None or len(texts) != len(pictures):
            count = "no texts" if texts is None else f"{len(texts)} texts"
            raise KzooError(
                f"Got {len(pictures)} pictures and {count}; expected a text of each: as y, as "
                "pairs, or in a column of a table, named as label."
            )
        texts = texts.tolist() if hasattr(texts, "tolist") else list(texts)
        for place, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise KzooError(
                    f"Got the text {text!r:.40} of picture {place}; expected what it shows, in "
                    "words."
                )
        return list(pictures), texts

    def augmentation(self, augment):
        """See `ImageTask.unmixed`."""
        return self.unmixed(augment)

    def plan_of(self, columns):
        """See `ArrayTask`; of pairs one with the texts that are to be written."""
        if not isinstance(columns, Pairs):
            return super().plan_of(columns)
        return WrittenPlan, {
            "of": TOWER,
            "longest": self.longest_texts,
            "padding_id": self.backbone.padding_id,
        }

    @property
    def longest_texts(self):
        """How many tokens the texts of each tower have at most."""
        return {TOWER: self.max_target_length}

    # -- writing --------------------------------------------------------------------------------

    def source_inputs(self, sources, rounded=int):
        """Arrays of pictures as what the network reads, by name."""
        return self.in_graph(np.stack(sources))

    @property
    def writer(self):
        """What writes with this model's step and its tokenizer, see `Describer`."""
        return self.writes_with(
            self.step,
            self.writing_tokenizer,
            self.backbone.head_spec.max_sequence_length,
            self.backbone.vocabulary_size,
            self.task_options(),
            self.image_processor,
        )

    def task_options(self):
        """How it writes, see `rewriting_options`."""
        places, start = self.backbone.encoder.longest, self.start_id
        return {
            **super().task_options(),
            **rewriting_options(None, start, places, self.usual_generation(), None, None),
        }

    def usual_generation(self):
        """The task's `generation`; a text ends with the token that ends what is learned from."""
        tokenizer = self.processors.get("tokenizer")
        if tokenizer is None or "end_token_ids" in self.generation:
            return self.generation
        *_, (after, _) = tokenizer.frame()
        ends = [*after[-1:]] or [tokenizer.end_id]
        return self.generation if ends == [None] else {"end_token_ids": ends, **self.generation}

    def prompt_ids(self, pictures):
        """Pictures as arrays of the network's size, uint8."""
        return self.writer.prompt_ids(pictures)

    def generate(self, pictures, batch_size=None, **options):
        """Write what pictures show.

        Args:
            pictures: a picture as `predict` takes it, or a list of some.
            batch_size: pictures that are read at the same time; by default all.
            options: those of `kzoo.generation.Generation`, by default the task's `generation`; the
                tokenizer's end token ends a text by default. Also `prompt`, a text that all that
                is written begins with.

        Returns:
            For a picture a text, for several a list of them; with num_return_sequences above 1 a
            list of so many in the place of each. Without a tokenizer lists of token ids.

        Without `max_new_tokens` 64 tokens are written at most.
        """
        alone = self.is_alone(pictures)
        rows = self.write(self.prompt_ids([pictures] if alone else list(pictures)), batch_size,
                          **options)  # fmt: skip
        is_text = self.writing_tokenizer is not None
        results = [one_or_all([a.text if is_text else a.token_ids for a in row]) for row in rows]
        return results[0] if alone else results

    def is_alone(self, pictures):
        """Whether something is one picture, and not several."""
        if hasattr(pictures, "ndim") or hasattr(pictures, "numpy"):
            return self.is_one(np.asarray(pictures))
        return not isinstance(pictures, (list, tuple))

    def stream(self, picture, **options):
        """Write of one picture; an iterator of pieces of text, which split no character."""
        (array,) = self.prompt_ids([picture])
        return self.write_pieces(array, **options)

    def predict(self, x, batch_size=32, verbose=0, column=None, **options):
        """A text for each picture; x as for every task on pictures, `options` as for `generate`."""
        arrays = self.prompt_ids(self.given(x, column))
        rows = self.write(arrays, batch_size, **options)
        return [one_or_all([each.text for each in row]) for row in rows]
