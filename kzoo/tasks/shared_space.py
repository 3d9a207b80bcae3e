"""What tasks share whose towers have one space: texts beside pictures, sounds, or both."""

from dataclasses import replace

import numpy as np
from keras import ops

from ..answers import check_top, nearest, recalls
from ..data.pairs import Pairs
from ..data.tables import read_table
from ..errors import KzooError
from ..values import an
from .audio_embedder import AudioEmbedder
from .contrastive import ContrastiveLoss
from .image_embedder import ImageEmbedder
from .inputs import as_list
from .pair_task import PairTask
from .task import Task
from .text_embedder import PartnerAccuracy, TextEmbedder
from .text_task import check_tokenizer, settled_length

# What a table calls the texts beside its pictures or sounds.
CAPTIONS = ("caption", "text", "sentence", "title", "description")
# What makes vectors of the tower of a sense alone.
EMBEDDERS = {"image": ImageEmbedder, "audio": AudioEmbedder, "text": TextEmbedder}
AT = (1, 5, 10)  # among how many nearest a right one is looked for, where nobody said


def caption_column(path):
    """The column of a table that holds the texts of its pictures or sounds, or None."""
    columns = read_table(path).columns
    return next((name for name in columns if name.strip().lower() in CAPTIONS), None)


class SharedSpaceTask(Task):
    """A task without a head on towers whose vectors lie in one space, one of them of texts.

    A file has a function for each tower. A subclass sets what follows.
    """

    senses = ()  # the towers that it stands on, in the network's order
    such = None  # a family that has these, with its article

    scored_output, activation = "pairs", None
    targets = "optional"
    has_head_there = False

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Read as much of a text as the task did that this one goes on from."""
        self.max_length = self.max_length or before.max_length

    def suited(self, backbone):
        """Of a network of more towers a copy of those that this task stands on."""
        has_more = set(getattr(backbone, "towers", ())) > set(self.senses)
        return backbone.only(self.senses) if has_more and hasattr(backbone, "only") else backbone

    def settle_sizes(self, backbone):
        """Take the model's maximum, or the tokenizer's, where nobody said how much is read."""
        if set(getattr(backbone, "towers", ())) != set(self.senses):
            kinds = {"image": "pictures", "text": "texts", "audio": "sounds"}
            first, *others = (kinds[sense] for sense in self.senses)
            others = " and ".join(f"one of {each}" for each in others)
            raise KzooError(
                f"Got {an(type(backbone).__name__)} for {an(self.task_name)}; expected a network "
                f"of a tower of {first} and {others}, such as {self.such}."
            )
        tokenizer = self.processors.get("tokenizer")
        self.max_length = settled_length(self.max_length, tokenizer, backbone.largest["length"])

    def usual_head(self, backbone):
        """None: the towers' own projections end in the space that they share."""
        return None

    def make_head(self, backbone):
        """None."""
        return None

    def fitted(self, backbone):
        """The backbone itself."""
        return backbone

    def _take_head(self, before):
        """Nothing: there is none."""

    def sides(self, outputs, pair):
        """The vectors of two towers (batch, 2, dim), whose products are logits; or None.

        None where one tower was given nothing, or more than the other. Each side has the root of
        the scale, so that products of both have all of it.
        """
        sides = [outputs.get(f"{name}_embedding") for name in pair]
        if any(side is None for side in sides):
            return None
        if len({side.shape[0] for side in sides} - {None}) > 1:  # None is a size that isn't known.
            return None
        return ops.stack(sides, axis=1) * ops.sqrt(self.backbone.scale_of(pair))

    def scale_of(self, pair):
        """What cosines of two towers are multiplied by before a softmax, as a number."""
        return float(ops.convert_to_numpy(self.backbone.scale_of(pair)))

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def functions(self):
        """A file has one for each tower."""
        return self.backbone.functions

    def function_axes(self, name):
        """The axes of each output of a function, by the names of their sizes."""
        return self.backbone.function_axes(name)

    @property
    def embedders(self):
        """An embedder of each sense, by name, on the towers themselves.

        What they give is what this task does of each sense; a bundle has a bundle of each.
        """
        return {sense: self.embedder(sense) for sense in self.backbone.towers}

    def embedder(self, sense):
        """The embedder of one sense, by the name of its tower; see `embedders`."""
        given = {"pooling": "pooled", "normalize": True, "similarity": "cosine"}
        cls = EMBEDDERS[sense]
        if sense == "text":
            given |= {"tokenizer": self.tokenizer, "max_length": self.max_length}
        else:
            given[cls.processor_kind] = self.processor(cls.processor_kind)
        return cls(self.backbone.towers[sense], **given)

    # -- texts ------------------------------------------------------------------------------------

    @property
    def tokenizer(self):
        """The tokenizer; an error says what to do if there is none."""
        return self.processor("tokenizer")

    def check_processors(self):
        """Raise KzooError for processors that don't fit the towers."""
        super().check_processors()
        check_tokenizer(self.processors.get("tokenizer"), self.backbone)

    def columns_of(self, texts, padding=None):
        """Texts as the token columns that the text tower reads, by name."""
        columns = self.tokenizer.encode(texts, max_length=self.max_length, padding=padding)
        return {name: columns[name] for name in self.backbone.signatures["text"]}

    def tokenize(self, texts):
        """Strings to the padded token dict that the model is called on."""
        return self.columns_of(as_list(texts), padding="longest")

    def answer(self, outputs):
        """The vectors of the tower that ran."""
        return next(iter(outputs.values()))

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"], config["head"]
        return {**config, "max_length": self.max_length}


class MediaTextEmbedder(SharedSpaceTask, PairTask):
    """Examples of another sense and texts to vectors of length one, near where a text fits one.

    A subclass also inherits of the task of that sense.
    """

    @property
    def pair(self):
        """Both towers; the first is of what isn't a text."""
        return (next(sense for sense in self.senses if sense != "text"), "text")

    @property
    def scale(self):
        """What cosines are multiplied by before a softmax, as a number."""
        return self.scale_of(self.pair)

    def run_head(self, outputs, inputs, training):
        """The backbone's outputs, and of pairs what the loss looks at."""
        pairs = self.sides(outputs, self.pair)
        return outputs if pairs is None else {**outputs, "pairs": pairs}

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def signatures(self):
        """Those of the backbone; a file takes examples as the processor leaves them to it."""
        signatures = dict(self.backbone.signatures)
        if self.processors.get(self.processor_kind) is not None:
            signatures[self.pair[0]] = self.file_signature
        return signatures

    def run_function(self, name, inputs):
        """The outputs of a file's function; what the processor does last is done here."""
        return self(self.of_file(inputs))

    # -- examples ---------------------------------------------------------------------------------

    @classmethod
    def read_file(cls, path, column, label, targets):
        """Examples and texts from a folder or a table, see `data.media.Medium.read`.

        The name of a folder of them is their text. Of a table `label` is the column of texts.
        """
        if targets == "none":
            return super().read_file(path, column, label, targets)
        label = caption_column(path) if label is None and cls.medium.is_table(path) else label
        examples = super().read_file(path, column, label, "required")
        return replace(examples, x=list(zip(examples.x, examples.y, strict=True)), y=None)

    def from_dataset(self, dataset):
        """(example, text) pairs and weights of a whole `tf.data.Dataset`, batched or not."""
        examples, texts, sample_weight = super().from_dataset(dataset)
        if texts is None:
            name = self.medium.name
            raise KzooError(f"Got a dataset of {name}s alone; expected ({name}, text).")
        return list(zip(examples, texts, strict=True)), None, sample_weight

    def encode_examples(self, x):
        """(example, text) pairs as `Pairs`."""
        for place, pair in enumerate(x):
            fits = isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[1], str)
            if not fits:
                raise KzooError(
                    f"Example {place} is a {type(pair).__name__}; expected a pair of a "
                    f"{self.medium.name} and a text."
                )
        examples, texts = zip(*x, strict=True)
        return Pairs(list(examples), self.columns_of(list(texts)))

    def encode_targets(self, y, x):
        """Vectors of pairs as `compression.affinity_targets` gives them; ones where none came."""
        if y is None:
            return np.ones(len(x), "float32")  # ContrastiveLoss doesn't read them.
        targets = np.asarray(y, "float32")
        if targets.shape[:2] != (len(x), 2) or targets.ndim != 3:
            raise KzooError(
                f"Got targets of the shape {targets.shape} for {len(x)} pairs; expected none, or "
                "a teacher's vectors (pairs, 2, dim), see kzoo.compression.affinity_targets."
            )
        return targets

    # -- learning and answering -------------------------------------------------------------------

    def default_loss(self):
        """Each is to find its partner."""
        return ContrastiveLoss()

    def default_metrics(self):
        """The share of firsts whose text is found in the batch; on replicas, in each's part."""
        return [PartnerAccuracy()]

    def embed(self, x, batch_size=32, verbose=0, column=None):
        """A vector of length one an example, (examples, dim); x as for every task of its sense."""
        return self.answer_all(self.given(x, column), batch_size, verbose)

    def predict(self, x, batch_size=32, verbose=0, column=None):
        """A vector of length one an example, (examples, dim); x as for every task of its sense."""
        return self.embed(x, batch_size, verbose, column)

    def predict_texts(self, texts, batch_size=32, verbose=0):
        """A vector of length one a text, (texts, dim)."""
        return self.answer_all(self.columns_of(as_list(texts)), batch_size, verbose)

    def similarities(self, examples, texts):
        """The cosine of each example and each text, (examples, texts).

        Vectors, as `predict` and `predict_texts` give them, may stand in the place of either.
        """
        if not self.is_vectors(examples):
            examples = self.embed(examples)  # A classifier's own `predict` gives probabilities.
        if not (isinstance(texts, np.ndarray) and texts.ndim == 2):
            texts = self.predict_texts(texts)
        return examples @ texts.T

    def is_vectors(self, given):
        """Whether vectors came in the place of examples."""
        is_rows = isinstance(given, np.ndarray) and given.ndim == 2
        return is_rows and given.dtype.kind == "f" and given.shape[1] == self.backbone.dim

    def search(self, query, among, top=5):
        """The examples that a text fits best.

        Args:
            query: a text, or a list of some.
            among: pictures or sounds, as `predict` takes them, or their vectors, as it gives them.
            top: how many.

        Returns:
            A list of {"index", "score" (the cosine), "image" or "sound"}, the nearest first, for
            one text; for a list of texts a list of such lists. Vectors come back without what they
            were made of.
        """
        check_top(top)
        alone = isinstance(query, str)
        given = None if self.is_vectors(among) else self.listed(among)
        scores = self.similarities(among if given is None else given, [query] if alone else query)
        results = [nearest(row, given, top, self.reads) for row in scores.T]
        return results[0] if alone else results

    def recall(self, x, at=AT, batch_size=32, column=None, label=None):
        """How often the right one is among the nearest, from both sides.

        Args:
            x: pairs, as `fit` takes them. Each finds what has the same text as itself.
            at: among how many nearest.
            batch_size: how many are run together.
            column, label: of a table, as in `fit`.

        Returns:
            {"image_to_text": {1: share, ...}, "text_to_image": ...}; "audio" of sounds.
        """
        pairs, _, _ = self._examples(x, columns=(column, label), learning=False)
        self.encode_examples(pairs)
        examples, texts = map(list, zip(*pairs, strict=True))
        vectors = self.embed(examples, batch_size), self.predict_texts(texts, batch_size)
        right = np.equal.outer(np.array(texts), np.array(texts))
        return {
            f"{one}_to_{other}": recalls(scores, right, at)
            for one, other, scores in (
                (*self.pair, vectors[0] @ vectors[1].T),
                (*self.pair[::-1], vectors[1] @ vectors[0].T),
            )
        }
