"""Pictures, texts and sounds as vectors of one space: AudioCLIP, arXiv:2106.13043."""

import keras
import numpy as np
from keras import ops

from ..answers import check_top, nearest, recalls
from ..data.examples import Examples
from ..data.media import PICTURES, SOUNDS
from ..data.pairs import Pairs, SensesPlan
from ..errors import KzooError
from ..values import an
from .contrastive import PairwiseAccuracy, PairwiseLoss
from .inputs import as_list, is_column
from .shared_space import AT, CAPTIONS, SharedSpaceTask, caption_column
from .task import Task

MEDIA = {"image": PICTURES, "audio": SOUNDS}
CALLED = {"image": "picture", "text": "text", "audio": "sound"}


@keras.saving.register_keras_serializable("kzoo")
class AudioImageTextEmbedder(SharedSpaceTask):
    """Pictures, texts and sounds to vectors of length one, near where they belong together.

    `fit` takes columns of as many of each, {"image": [...], "text": [...], "audio": [...]}, or a
    table with such columns: of each two senses each example is to find its partner among all of the
    batch, under `tf.distribute` among those of all replicas, see `contrastive.PairwiseLoss`. None
    stands for what an example lacks; it has two senses at least, and learns by these.

    `predict` takes one sense or several in such a dict, and gives the vectors of each.

    On what the backbone reads it returns what that does, and for as many of each "pairs" (batch, 3,
    2, dim), whose products are the logits that the loss reads. A file has a function for each
    tower.

    Args:
        backbone: a network of three towers, an `AudioClip`; else as for `Task`.
        max_length, tokenizer, image_processor, name: as for `ImageTextEmbedder`.
        audio_processor: as for `AudioTextEmbedder`.
    """

    task_name = "AudioImageTextEmbedder"
    senses, such = ("image", "text", "audio"), "an AudioClip"
    reads = "image"

    def __init__(
        self,
        backbone,
        max_length=None,
        tokenizer=None,
        image_processor=None,
        audio_processor=None,
        name=None,
    ):
        self.max_length = max_length
        given = {
            "image_processor": image_processor,
            "audio_processor": audio_processor,
            "tokenizer": tokenizer,
        }
        vars(self)["made_embedders"] = {}  # Past Keras: they are no part.
        Task.__init__(self, backbone, None, None, given, name)

    # -- the network ----------------------------------------------------------------------------

    def check_processors(self):
        """Raise KzooError for processors that don't fit the towers."""
        vars(self)["made_embedders"] = {}
        super().check_processors()
        for sense, kind in (("image", "image_processor"), ("audio", "audio_processor")):
            if self.processors.get(kind) is not None:
                self.embedder(sense)

    def embedder(self, sense):
        """The embedder of one sense, by the name of its tower; made once."""
        if sense not in self.made_embedders:
            self.made_embedders[sense] = super().embedder(sense)
        return self.made_embedders[sense]

    def run_head(self, outputs, inputs, training):
        """The backbone's outputs, and of triples what the loss looks at."""
        pairs = [self.sides(outputs, pair) for pair in self.backbone.pairs]
        if any(sides is None for sides in pairs):
            return outputs
        return {**outputs, "pairs": ops.stack(pairs, axis=1)}

    @property
    def scale(self):
        """What cosines of each two towers are multiplied by before a softmax, by their names."""
        return {"_".join(pair): self.scale_of(pair) for pair in self.backbone.pairs}

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def signatures(self):
        """Those of the backbone; a file takes examples as the processors leave them to it."""
        signatures = dict(self.backbone.signatures)
        for sense in MEDIA:
            if sense in self.made_embedders:
                signatures[sense] = self.embedder(sense).file_signature
        return signatures

    def run_function(self, name, inputs):
        """The outputs of a file's function; what the processors do last is done here."""
        return self(self.embedder(name).of_file(inputs) if name in MEDIA else inputs)

    @property
    def tables(self):
        """The constants of the processors' parts of a file, see `AudioTask`."""
        return self.embedder("audio").tables

    # -- examples ---------------------------------------------------------------------------------

    @classmethod
    def read_file(cls, path, column, label, targets):
        """Triples of a table with the columns image, audio and one of texts."""
        from ..data.tables import read_table

        if (column, label) != (None, None):
            raise KzooError(
                "Got the name of a column for a table of three senses; expected the columns image, "
                f"audio and {CAPTIONS[0]} in it: leave the names out."
            )
        table, text = read_table(path), caption_column(path)
        missing = [name for name in MEDIA if name not in table.columns]
        if missing or text is None:
            raise KzooError(
                f"{path} has no column of {missing[0] if missing else 'texts'}; expected image, "
                f"audio and one of {', '.join(CAPTIONS)}."
            )
        files = {sense: MEDIA[sense].rows(path, sense)[2] for sense in MEDIA}
        triples = list(zip(files["image"], table.columns[text], files["audio"], strict=True))
        return Examples(
            path=table.path, x=triples, y=None, lines=table.lines, text="image", label=text,
            columns=list(table.columns), kind=table.kind, notes=table.notes,
        )  # fmt: skip

    def from_dataset(self, dataset):
        """KzooError: a dataset's elements can't lack a sense."""
        raise KzooError(
            "Got a tf.data.Dataset for an AudioImageTextEmbedder; expected columns of as many of "
            'each, {"image": [...], "text": [...], "audio": [...]}, or a table of files.'
        )

    def as_inputs(self, x):
        """A list of (image, text, audio), None for what is missing, from a dict of columns."""
        if isinstance(x, list) and all(isinstance(t, tuple) and len(t) == 3 for t in x) and x:
            return x
        columns = self._columns(x)
        if len(columns) < 2:
            raise KzooError(
                f"Got {' and '.join(columns) or 'nothing'} alone to learn from; expected two or "
                f"three of {', '.join(self.senses)}."
            )
        sizes = {name: len(column) for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            counted = " and ".join(f"{size} of {name}" for name, size in sizes.items())
            raise KzooError(
                f"Got {counted}; expected as many of each, with None for what an example lacks."
            )
        size = next(iter(sizes.values()))
        return list(zip(*(columns.get(s, [None] * size) for s in self.senses), strict=True))

    def _columns(self, x):
        """A dict of lists by sense, of what a user gave."""
        if not isinstance(x, dict) or not x or set(x) - set(self.senses):
            actual = ", ".join(map(str, x)) if isinstance(x, dict) else an(type(x).__name__)
            raise KzooError(
                f"Got {actual or 'an empty dict'} for {an(self.task_name)}; expected columns of "
                'the senses, {"image": [...], "text": [...], "audio": [...]}.'
            )
        for name, column in x.items():
            if isinstance(column, str) or not is_column(column) or not len(column):
                raise KzooError(
                    f"Got {column!r:.60} as the column {name}; expected a list of {CALLED[name]}s, "
                    "one at least."
                )
        return {name: list(x[name]) for name in self.senses if name in x}

    def encode_examples(self, x):
        """Triples as `Pairs` of pictures and texts, with sounds beside them."""
        for place, triple in enumerate(x):
            there = [
                name for name, each in zip(self.senses, triple, strict=True) if each is not None
            ]
            if len(there) < 2:
                actual = f"a {CALLED[there[0]]} alone" if there else "nothing"
                raise KzooError(f"Example {place} has {actual}; expected two senses at least.")
            text = triple[1]
            if text is not None and (not isinstance(text, str) or not text.strip()):
                raise KzooError(
                    f"Example {place} has {text!r:.60} for a text; expected one, or None where it "
                    "has none."
                )
        pictures, texts, sounds = zip(*x, strict=True)
        columns = self.columns_of([text or "" for text in texts])
        return Pairs(list(pictures), columns, {"audio": list(sounds)})

    def encode_targets(self, y, x):
        """Which two senses each example has both of, in the order of the network's pairs."""
        if y is not None:
            raise KzooError(
                f"Got targets for {an(self.task_name)}; expected none: examples are their own."
            )
        has = [
            {name: each is not None for name, each in zip(self.senses, triple, strict=True)}
            for triple in x
        ]
        pairs = [[row[one] and row[other] for one, other in self.backbone.pairs] for row in has]
        return np.array(pairs, "float32")

    def _reader(self, sense):
        """What `ArrayPlan` reads examples of a sense with: `read` and `inputs`."""
        task = self.embedder(sense)
        nothing = np.zeros(task.array_shape, task.array_type)

        def read(example, name):
            return nothing if example is None else task.read_one(example, name)

        return read, task.in_graph

    def batches_of(self, columns, targets, sample_weight, initial_epoch=0, **options):
        """See `SensesPlan`."""
        return self._plan(columns, targets, sample_weight, epoch=initial_epoch, **options).dataset()

    def plan(self, columns, batch_size):
        """In their own order."""
        return self._plan(columns, None, None, batch_size=batch_size, cache=0)

    def _plan(self, columns, targets, sample_weight, **options):
        return SensesPlan(
            columns, *self._reader("image"), targets, sample_weight,
            readers={"audio": self._reader("audio")},
            longest=self.max_length, padding_id=self.backbone.padding_id, **options,
        )  # fmt: skip

    # -- learning and answering -------------------------------------------------------------------

    def default_loss(self):
        """Of each two senses each is to find its partner."""
        return PairwiseLoss()

    def default_metrics(self):
        """The share that finds its partner in the batch; on replicas, in each's part."""
        return [PairwiseAccuracy()]

    def fit(
        self,
        x,
        batch_size=32,
        epochs=1,
        validation_data=None,
        validation_split=0.0,
        shuffle=True,
        sample_weight=None,
        seed=0,
        **kwargs,
    ):
        """`keras.Model.fit` on pictures, texts and sounds; see `ArrayTask.fit`.

        Args:
            x: a dict of as many of each, {"image": [...], "text": [...], "audio": [...]}, with None
                for what an example lacks; or a .csv, .tsv or .jsonl table with the columns image,
                audio and one of texts.
            batch_size, epochs, validation_split, shuffle, sample_weight, seed, kwargs: as there.
            validation_data: another such dict or table.
        """
        return self.fit_examples(
            x, None, batch_size, epochs, validation_data, validation_split, shuffle, sample_weight,
            seed, (None, None), **kwargs,
        )  # fmt: skip

    def evaluate(self, x, batch_size=32, sample_weight=None, **kwargs):
        """`keras.Model.evaluate`; x as in `fit`."""
        return self.evaluate_examples(x, None, batch_size, sample_weight, (None, None), **kwargs)

    def predict(self, x, batch_size=32, verbose=0):
        """Vectors of length one of each sense that came, {sense: (examples, dim)}.

        x: {"image": pictures, "text": texts, "audio": sounds}, or some of these, as the tasks of
            each sense take them; of different numbers.
        """
        if not isinstance(x, dict):
            self._columns(x)  # Says what was expected.
        vectors = {}
        for sense, given in x.items():
            if sense not in self.senses:
                self._columns(x)
            given = as_list(given) if sense == "text" else given
            vectors[sense] = self.embedder(sense).predict(given, batch_size, verbose=verbose)
        return vectors

    def similarities(self, first, second):
        """The cosine of each of the first and each of the second, (first, second).

        first, second: examples of one sense in a dict, such as {"text": ["seven"]}, or vectors.
        """
        one, other = (self._vectors(each) for each in (first, second))
        return one @ other.T

    def _vectors(self, given):
        if isinstance(given, np.ndarray) and given.ndim == 2:
            return given
        if not isinstance(given, dict) or len(given) != 1:
            actual = ", ".join(map(str, given)) if isinstance(given, dict) else f"{given!r:.60}"
            raise KzooError(
                f'Got {actual} to compare; expected one sense in a dict, such as {{"text": '
                '["seven"]}, or vectors.'
            )
        return next(iter(self.predict(given).values()))

    def search(self, query, among, top=5):
        """What of one sense is nearest to examples of another.

        Args:
            query: examples of one sense in a dict, such as {"audio": ["seven.wav"]}.
            among: examples of another in a dict, such as {"image": pictures}, or their vectors.
            top: how many.

        Returns:
            For each query a list of {"index", "score" (the cosine), and by its sense what was
            found}, the nearest first. Vectors come back without what they were made of.
        """
        check_top(top)
        given, key = None, "text"
        if isinstance(among, dict) and len(among) == 1:
            ((key, given),) = among.items()
        given = given if isinstance(given, list) else None
        return [nearest(row, given, top, key) for row in self.similarities(query, among)]

    def recall(self, x, at=AT, batch_size=32):
        """How often the right one is among the nearest, of each sense from each other.

        Args:
            x: examples, as `fit` takes them, each with all three. What has the same text belongs
                together.
            at: among how many nearest.
            batch_size: how many are run together.

        Returns:
            {"image_to_text": {1: share, ...}, "text_to_image": ..., and so on}.
        """
        triples, _, _ = self._examples(x, learning=False)
        self.encode_examples(triples)
        lacking = next((n for n, t in enumerate(triples) if any(e is None for e in t)), None)
        if lacking is not None:
            raise KzooError(f"Example {lacking} lacks a sense; expected all three to compare.")
        columns = dict(zip(self.senses, map(list, zip(*triples, strict=True)), strict=True))
        vectors, texts = self.predict(columns, batch_size), np.array(columns["text"])
        right = np.equal.outer(texts, texts)
        return {
            f"{one}_to_{other}": recalls(vectors[one] @ vectors[other].T, right, at)
            for one in self.senses
            for other in self.senses
            if one != other
        }
