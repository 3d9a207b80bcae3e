"""Pictures and texts as vectors of one space: CLIP, arXiv:2103.00020."""

from dataclasses import replace

import keras
import numpy as np
from keras import ops

from ..answers import check_top, nearest
from ..data.pairs import Pairs
from ..data.tables import read_table
from ..errors import KzooError
from ..spec import Input
from ..values import an
from .contrastive import ContrastiveLoss
from .image_embedder import ImageEmbedder
from .image_task import PairTask
from .inputs import as_list
from .task import Task
from .text_embedder import PartnerAccuracy, TextEmbedder
from .text_task import check_tokenizer, settled_length

# What a table calls the texts beside its pictures.
CAPTIONS = ("caption", "text", "sentence", "title", "description")


def caption_column(path):
    """The column of a table that holds the texts of its pictures, or None."""
    columns = read_table(path).columns
    return next((name for name in columns if name.strip().lower() in CAPTIONS), None)


@keras.saving.register_keras_serializable("kzoo")
class ImageTextEmbedder(PairTask):
    """Pictures and texts to vectors of length one, near where a text says what a picture shows.

    `predict` gives the vectors of pictures, `predict_texts` those of texts, `similarities` their
    cosines. `fit` takes (picture, text) pairs: each is to find its partner among all of the batch,
    under `tf.distribute` among those of all replicas.

    On {"images", "token_ids", "padding_mask"} it returns what the backbone does, and for as many
    texts as pictures "pairs" (batch, 2, dim), whose products are the logits that the loss reads;
    on pictures or texts alone their vectors. A file has a function for each, "image" and "text".

    Args:
        backbone: a network of a tower of pictures and one of texts (`Clip`); else as for `Task`.
        max_length: tokens of a text at most; longer text is cut, and keeps its end token. The
            model's maximum by default (CLIP: 77), or the tokenizer's where that is less.
        tokenizer, image_processor: the preset's by default.
        name: the Keras name.
    """

    task_name = "ImageTextEmbedder"

    scored_output, activation = "pairs", None
    targets = "optional"
    has_head_there = False
    functions = {"image": ("image", {}), "text": ("text", {})}

    def __init__(self, backbone, max_length=None, tokenizer=None, image_processor=None, name=None):
        self.max_length = max_length
        given = {"image_processor": image_processor, "tokenizer": tokenizer}
        Task.__init__(self, backbone, None, None, given, name)

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Read as much of a text as the task did that this one goes on from."""
        self.max_length = self.max_length or before.max_length

    def settle_sizes(self, backbone):
        """Take the model's maximum, or the tokenizer's, where nobody said how much is read."""
        if set(getattr(backbone, "towers", ())) != {"image", "text"}:
            raise KzooError(
                f"Got {an(type(backbone).__name__)} for {an(self.task_name)}; expected a network "
                "of a tower of pictures and one of texts, such as a Clip."
            )
        tokenizer = self.processors.get("tokenizer")
        self.max_length = settled_length(self.max_length, tokenizer, backbone.largest["length"])

    def usual_head(self, backbone):
        """None: the towers' own projections end in the space that both share."""
        return None

    def make_head(self, backbone):
        """None."""
        return None

    def fitted(self, backbone):
        """The backbone itself."""
        return backbone

    def _take_head(self, before):
        """Nothing: there is none."""

    def run_head(self, outputs, inputs, training):
        """The backbone's outputs, and of pairs what the loss looks at.

        Each side has the root of the scale, so that products of both have all of it.
        """
        sides = [outputs.get(f"{name}_embedding") for name in ("image", "text")]
        if any(side is None for side in sides):
            return outputs
        if len({side.shape[0] for side in sides} - {None}) > 1:  # None is a size that isn't known.
            return outputs
        return {**outputs, "pairs": ops.stack(sides, axis=1) * ops.sqrt(self.backbone.scale)}

    @property
    def scale(self):
        """What cosines are multiplied by before a softmax, as a number."""
        return float(ops.convert_to_numpy(self.backbone.scale))

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def signatures(self):
        """Those of the backbone; a file takes pictures as `read_one` gives them."""
        signatures = dict(self.backbone.signatures)
        if self.processors.get("image_processor") is not None:
            axes = ("batch", *self.array_shape)
            signatures["image"] = {self.input_name: Input(axes, self.array_type)}
        return signatures

    def run_function(self, name, inputs):
        """The outputs of a file's function; what the image processor does last is done here."""
        if self.processors.get("image_processor") is not None and self.input_name in inputs:
            inputs = self.in_graph(inputs[self.input_name])
        return self(inputs)

    def function_axes(self, name):
        """The axes of each output of a function, by the names of their sizes."""
        return self.backbone.function_axes(name)

    @property
    def embedders(self):
        """An embedder of pictures and one of texts, by name, on the towers themselves.

        What they give is what `predict` and `predict_texts` do; a bundle has a bundle of each.
        """
        image, text = (self.backbone.towers[name] for name in ("image", "text"))
        both = {"pooling": "pooled", "normalize": True, "similarity": "cosine"}
        return {
            "image": ImageEmbedder(image, image_processor=self.image_processor, **both),
            "text": TextEmbedder(
                text, tokenizer=self.tokenizer, max_length=self.max_length, **both
            ),
        }

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

    # -- examples ---------------------------------------------------------------------------------

    @classmethod
    def read_file(cls, path, column, label, targets):
        """Pictures and texts from a folder or a table, see `data.media.Medium.read`.

        The name of a folder of pictures is their text. Of a table `label` is the column of texts.
        """
        if targets == "none":
            return super().read_file(path, column, label, targets)
        label = caption_column(path) if label is None and cls.medium.is_table(path) else label
        examples = super().read_file(path, column, label, "required")
        return replace(examples, x=list(zip(examples.x, examples.y, strict=True)), y=None)

    def from_dataset(self, dataset):
        """(picture, text) pairs and weights of a whole `tf.data.Dataset`, batched or not."""
        pictures, texts, sample_weight = super().from_dataset(dataset)
        if texts is None:
            raise KzooError("Got a dataset of pictures alone; expected (picture, text).")
        return list(zip(pictures, texts, strict=True)), None, sample_weight

    def encode_examples(self, x):
        """(picture, text) pairs as `Pairs`."""
        for place, pair in enumerate(x):
            fits = isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[1], str)
            if not fits:
                raise KzooError(
                    f"Example {place} is a {type(pair).__name__}; expected a pair of a picture and "
                    "a text."
                )
        pictures, texts = zip(*x, strict=True)
        return Pairs(list(pictures), self.columns_of(list(texts)))

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
        """The share of pictures whose text is found in the batch; on replicas, in each's part."""
        return [PartnerAccuracy()]

    def predict(self, x, batch_size=32, verbose=0, column=None):
        """A vector of length one a picture, (pictures, dim); x as for every task on pictures."""
        return self.answer_all(self.given(x, column), batch_size, verbose)

    def predict_texts(self, texts, batch_size=32, verbose=0):
        """A vector of length one a text, (texts, dim)."""
        return self.answer_all(self.columns_of(as_list(texts)), batch_size, verbose)

    def answer(self, outputs):
        """The vectors of the tower that ran."""
        return next(iter(outputs.values()))

    def similarities(self, pictures, texts):
        """The cosine of each picture and each text, (pictures, texts).

        Vectors, as `predict` and `predict_texts` give them, may stand in the place of either.
        """
        is_vectors = isinstance(pictures, np.ndarray) and pictures.ndim == 2
        if not (is_vectors and pictures.dtype.kind == "f"):
            # A classifier's own `predict` gives probabilities.
            pictures = ImageTextEmbedder.predict(self, pictures)
        if not (isinstance(texts, np.ndarray) and texts.ndim == 2):
            texts = self.predict_texts(texts)
        return pictures @ texts.T

    def search(self, query, among, top=5):
        """The pictures that a text fits best.

        Args:
            query: a text, or a list of some.
            among: pictures, as `predict` takes them, or their vectors, as it gives them.
            top: how many.

        Returns:
            A list of {"index", "score" (the cosine), "image"}, the nearest first, for one text;
            for a list of texts a list of such lists. Vectors come back without their pictures.
        """
        check_top(top)
        alone = isinstance(query, str)
        is_vectors = isinstance(among, np.ndarray) and among.ndim == 2 and among.dtype.kind == "f"
        given = None if is_vectors else self.listed(among)
        scores = self.similarities(among if is_vectors else given, [query] if alone else query)
        results = [nearest(row, given, top, "image") for row in scores.T]
        return results[0] if alone else results

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"], config["head"]
        return {**config, "max_length": self.max_length}
