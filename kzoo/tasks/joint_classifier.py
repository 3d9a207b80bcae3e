"""What a picture and a text are together: the answer to a question, whether both fit."""

import keras
import numpy as np

from ..answers import check_top, nearest
from ..data.pairs import Pairs
from ..data.picture_texts import asked, read_questions
from ..errors import KzooError
from ..spec import Input
from ..values import an
from .classifier import Classifier
from .image_task import ImagePairTask, ImageTask
from .inputs import as_list
from .task import Task
from .text_task import check_tokenizer, settled_length


class JointClassifier(Classifier, ImagePairTask):
    """A classifier of pictures with a text each, on a `kzoo.graphs.JointEncoder`.

    On {"images", "token_ids", "padding_mask"} it returns {"logits": (batch, labels)}. `fit`,
    `evaluate` and `predict` take (picture, text) pairs, dicts {"image", "question"}, or a table
    that names files and has a text beside each.

    Args:
        backbone: a network that reads a picture and a text together, such as a `BlipMatcher`.
        labels, head, problem, threshold, name: as for `ImageClassifier`.
        max_length: tokens of a text at most; longer text is cut. The model's maximum by default,
            or the tokenizer's where that is less.
        tokenizer, image_processor: the preset's by default.
    """

    default_head = "first"
    reads = "image_text"
    length_axes = ()  # Texts are filled up to what is read at most.

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        image_processor=None,
        name=None,
        problem=None,
        threshold=None,
    ):
        self.ask(problem, threshold)
        self.max_length = max_length
        given = {"image_processor": image_processor, "tokenizer": tokenizer}
        Task.__init__(self, backbone, labels, head, given, name)

    # -- the network ----------------------------------------------------------------------------

    def inherit(self, before):
        """Read as much of a text as the task did that this one goes on from."""
        self.max_length = self.max_length or before.max_length
        return super().inherit(before)

    def check_backbone(self, backbone):
        """Raise KzooError for a network that doesn't read a picture and a text together."""
        if set(backbone.signature) != {"images", "token_ids", "padding_mask"} or (
            backbone.signature["images"].axes[0] != backbone.signature["token_ids"].axes[0]
        ):
            raise KzooError(
                f"Got {an(backbone.family)} for {an(self.task_name)}; expected a network that "
                "reads a picture and a text together, such as a BlipMatcher."
            )

    def settle_sizes(self, backbone):
        """Take the model's maximum, or the tokenizer's, where nobody said how much is read."""
        tokenizer = self.processors.get("tokenizer")
        self.max_length = settled_length(self.max_length, tokenizer, backbone.largest["length"])
        super().settle_sizes(backbone)

    def fitted(self, backbone):
        """The backbone itself: what its poolers give is of use without the head."""
        return backbone

    def check_processors(self):
        """Raise KzooError for processors that don't fit the network."""
        super().check_processors()
        check_tokenizer(self.processors.get("tokenizer"), self.backbone)

    @property
    def tokenizer(self):
        """The tokenizer; an error says what to do if there is none."""
        return self.processor("tokenizer")

    def run_head(self, outputs, inputs, training):
        """Logits of pairs; of pictures or texts alone the vectors that the network gives."""
        if "sequence_output" not in outputs:
            return outputs
        return super().run_head(outputs, inputs, training)

    @property
    def functions(self):
        """A file reads texts of one length, filled up."""
        return {"serve": ("serve", {"length": self.max_length})}

    @property
    def signatures(self):
        """Those of the backbone; a file takes pictures as `read_one` gives them."""
        signatures = dict(self.backbone.signatures)
        if self.processors.get("image_processor") is not None:
            axes = ("batch", *self.array_shape)
            array = {self.input_name: Input(axes, self.array_type)}
            signatures["serve"] = {**signatures["serve"], **array}
        return signatures

    def run_function(self, name, inputs):
        """The outputs of a file's function; what the image processor does last is done here."""
        if self.processors.get("image_processor") is not None:
            inputs = {**inputs, **self.in_graph(inputs[self.input_name])}
        return Task.run_function(self, name, inputs)

    # -- examples ---------------------------------------------------------------------------------

    read_file = staticmethod(read_questions)

    def as_inputs(self, x):
        """A list of (picture, text) pairs, from one or from some."""
        return asked(x)

    def given(self, x, column=None):
        """A list of pairs from whatever `predict` was handed, tables too."""
        if isinstance(x, (str, bytes)) or not hasattr(x, "__len__"):
            return self.read_file(x, column, None, "none").x
        return asked(x)

    def columns_of(self, texts, padding=None):
        """Texts as the token columns that the network reads, by name."""
        columns = self.tokenizer.encode(texts, max_length=self.max_length, padding=padding)
        return {name: columns[name] for name in self.backbone.signatures["text"]}

    def encode_examples(self, x):
        """(picture, text) pairs as `Pairs`."""
        pictures, texts = zip(*asked(x), strict=True)
        return Pairs(list(pictures), self.columns_of(list(texts)))

    def predict(self, x, batch_size=32, verbose=0, column=None):
        """A row of probabilities for each pair, (pairs, labels); x as in `fit`, without targets."""
        return self.answer_all(self.encode_examples(self.given(x, column)), batch_size, verbose)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "max_length": self.max_length}


@keras.saving.register_keras_serializable("kzoo")
class VisualQuestionClassifier(JointClassifier):
    """Choose the answer to a question about a picture among those that are known.

    VQA as arXiv:1505.00468 and arXiv:2102.03334 have it: `labels` are the answers. A
    `VisualQuestionAnswerer` writes its answers.
    """

    task_name = "VisualQuestionClassifier"

    def answers(self, x, batch_size=32, top=1):
        """For each pair its likeliest answers, a list of {"answer", "score"}, the likeliest first.

        Args:
            x: as for `predict`.
            batch_size: pairs that are run together.
            top: how many, or None for all.
        """
        rows = self.predict(x, batch_size)
        return [
            [{"answer": self.labels[i], "score": float(row[i])} for i in row.argsort()[::-1][:top]]
            for row in rows
        ]


@keras.saving.register_keras_serializable("kzoo")
class ImageTextMatcher(JointClassifier):
    """Say how well a text fits a picture (BLIP's matching and its contrast, arXiv:2201.12086).

    `predict` gives for each (picture, text) pair the probabilities of "no" and "yes", of both read
    together. `similarities` gives the cosines of pictures and texts, each read alone, and `search`
    finds by them what is near, and then reads the nearest together.

    `fit` takes pairs with "yes" or "no" to each; pairs alone are all taken to fit, and beside each
    stands one with a text of another picture, which `seed` draws, that doesn't. It teaches what is
    read together; the projections of what is read alone stay as they came, so that what learnt from
    nothing is searched with `read_together` for all.

    Args:
        backbone, head, max_length, tokenizer, image_processor, name: as for `JointClassifier`.
    """

    task_name = "ImageTextMatcher"
    names_labels = False
    targets = "optional"
    LABELS = ("no", "yes")

    def __init__(
        self,
        backbone,
        head=None,
        max_length=None,
        tokenizer=None,
        image_processor=None,
        name=None,
        problem=None,
        threshold=None,
    ):
        super().__init__(
            backbone, self.LABELS, head, max_length, tokenizer, image_processor, name, problem,
            threshold,
        )  # fmt: skip

    @classmethod
    def understand(cls, examples, problem=None, labels=None, learning=True):
        """See `Task`: the labels are known."""
        if examples.y is None:
            return {}, examples
        _, examples = super().understand(examples, "single_label", list(cls.LABELS), False)
        return {}, examples

    def batches(self, x, y=None, sample_weight=None, class_weight=None, seed=0, **options):
        """Pairs with whether they fit; where nobody says, with others that don't beside them."""
        if y is None:
            x, y, sample_weight = self.with_others(x, sample_weight, seed)
        return super().batches(x, y, sample_weight, class_weight, seed=seed, **options)

    def with_others(self, x, sample_weight=None, seed=0):
        """Pairs that fit, and as many with a text of another picture: pairs, targets, weights.

        Pictures are the same that are the same file, or the same object.
        """
        pairs, draw = asked(x), np.random.default_rng(seed)
        names = [p if isinstance(p, str) else id(p) for p, _ in pairs]
        own, texts = {}, [text for _, text in pairs]
        for name, text in zip(names, texts, strict=True):
            own.setdefault(name, set()).add(text)
        count, others = len(set(texts)), []
        for (picture, other), name in zip(pairs, names, strict=True):
            if len(own[name]) == count:
                raise KzooError(
                    f"Got {len(pairs)} pairs, of which a picture has all the texts (the same text "
                    "for all pictures, or all for one); expected others as well, of which some "
                    'don\'t fit, or "yes" and "no" to each pair.'
                )
            while other in own[name]:
                other = texts[draw.integers(len(texts))]
            others.append((picture, other))
        targets = [self.LABELS[1]] * len(pairs) + [self.LABELS[0]] * len(pairs)
        weights = None if sample_weight is None else [*sample_weight, *sample_weight]
        return [*pairs, *others], targets, weights

    def vectors(self, pictures=None, texts=None, batch_size=32):
        """A vector of length one for each picture, or for each text, (examples, dim)."""
        if texts is not None:
            columns, name = self.columns_of(as_list(texts)), "text_embedding"
        else:
            columns, name = list(ImageTask.as_inputs(self, pictures)), "image_embedding"
        order, outputs = self.run_batches(columns, batch_size)
        found = np.concatenate([batch[name] for batch in outputs])
        restored = np.empty_like(found)
        restored[order] = found
        return restored

    def similarities(self, pictures, texts):
        """The cosine of each picture and each text, each read alone: (pictures, texts)."""
        return self.vectors(pictures=pictures) @ self.vectors(texts=texts).T

    def search(self, query, among, top=5, read_together=16):
        """The pictures that a text fits best.

        Args:
            query: a text.
            among: pictures, a list.
            top: how many.
            read_together: of how many, those with the nearest vectors, both are read together.

        Returns:
            A list of {"index", "score" (the probability that they fit), "image"}, best first.
        """
        check_top(top)
        cosines = self.similarities(among, [query])[:, 0]
        near = np.argsort(-cosines, kind="stable")[: max(top, read_together)]
        fits = self.predict([(among[i], query) for i in near])[:, 1]
        found = nearest(fits, [among[i] for i in near], top, "image")
        return [{**each, "index": int(near[each["index"]])} for each in found]

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"]
        return config
