"""A vector a token, and texts compared by their best matches: ColBERT, arXiv:2004.12832."""

import string

import keras
import numpy as np
from keras import ops

from ..answers import check_top, counted, max_similarities, nearest
from ..data.batches import padded
from ..errors import KzooError
from ..keras_hooks import of_all_replicas
from ..text.marked import marked_rows
from ..values import is_whole
from .contrastive import found_first, max_sim
from .in_parts import InParts
from .inputs import split_groups, split_pairs
from .text_task import TextTask

LONGEST_DOCUMENT = 180  # tokens, as the authors' checkpoints are trained
QUERY_LENGTH, WIDTH = 32, 128  # sections 3.2 and 4.1
MARKERS = ("[unused0]", "[unused1]")


@keras.saving.register_keras_serializable("kzoo")
class LateInteraction(InParts, TextTask):
    """Queries and documents to a vector for each token (ColBERT, arXiv:2004.12832, 2112.01488).

    On the token dict it returns {"vectors": (batch, length, dim)}, of length one, and zeros where
    a place doesn't count: padding, and punctuation of a document. The token behind the first
    special ones says which a text is, a query or a document. A query is filled up to its length
    with mask tokens, whose vectors count as well. Two texts are compared by the sum, over the
    query's vectors, of the largest product with a vector of the document.

    `fit` takes (query, document) or (query, document, negative, ...) and learns to find each
    query's document among all documents of the batch, of all replicas; `compile(parts=n)` lets
    batches be larger than memory. `predict` gives pairs' scores, and of single texts, which are
    documents, a list of arrays (tokens, dim).

    Args:
        backbone, tokenizer, name: as for `TextTask`.
        dim: how many numbers a vector has; 128 by default.
        max_length: tokens of a document at most; 180 by default, or what the backbone takes.
        head: another head slot than "late_interaction".
        query_length: tokens that every query has; 32 by default.
        markers: the tokens that say of a text that it is a query, and that it is a document.
        skip_punctuation: whether tokens of documents that are a sign of punctuation don't count.
        attend_to_masks: whether a query's tokens look at the mask tokens behind them.
    """

    task_name = "LateInteraction"

    default_head = "late_interaction"
    reads = "marked"
    rule = "late_interaction"
    targets = "none"
    scored_output, activation = "vectors", None
    settled = {
        "dim": WIDTH,
        "query_length": None,
        "markers": MARKERS,
        "skip_punctuation": True,
        "attend_to_masks": False,
    }

    def __init__(
        self,
        backbone,
        dim=None,
        max_length=None,
        tokenizer=None,
        name=None,
        head=None,
        query_length=None,
        markers=None,
        skip_punctuation=None,
        attend_to_masks=None,
    ):
        self.dim, self.query_length, self.markers = dim, query_length, markers
        self.skip_punctuation, self.attend_to_masks = skip_punctuation, attend_to_masks
        super().__init__(backbone, None, head, max_length, tokenizer, name)

    def inherit(self, before):
        """Read and compare as the task did that this one goes on from."""
        for option in self.settled:
            if getattr(self, option) is None:
                setattr(self, option, getattr(before, option))
        return super().inherit(before)

    def settle_sizes(self, backbone):
        """Take the authors' lengths where nobody said others, or the model's maximum."""
        for option, usual in self.settled.items():
            if getattr(self, option) is None:
                setattr(self, option, usual)
        self.max_length = self.max_length or min(LONGEST_DOCUMENT, backbone.longest)
        super().settle_sizes(backbone)
        if self.query_length is None:
            self.query_length = min(QUERY_LENGTH, backbone.longest)
        self.markers = tuple(self.markers) if isinstance(self.markers, (list, tuple)) else ()
        self._check_options(backbone.longest)

    def _check_options(self, longest):
        checks = {
            "dim": (is_whole(self.dim, 1, 2**16), "a whole number of at least 1"),
            "query_length": (
                is_whole(self.query_length, 4, longest),
                f"4 to {longest} tokens",
            ),
            "markers": (
                len(set(self.markers)) == 2 and all(isinstance(m, str) for m in self.markers),
                "two different tokens, of queries and of documents",
            ),
            "skip_punctuation": (isinstance(self.skip_punctuation, bool), "True or False"),
            "attend_to_masks": (isinstance(self.attend_to_masks, bool), "True or False"),
        }
        for option, (fits, expected) in checks.items():
            if not fits:
                raise KzooError(f"Got {option}={getattr(self, option)!r:.60}; expected {expected}.")

    @property
    def num_outputs(self):
        """How many numbers a vector has."""
        return self.dim

    def check_processors(self):
        """Raise KzooError for a tokenizer that lacks what marks and fills texts."""
        super().check_processors()
        tokenizer = self.processors.get("tokenizer")
        self.marker_ids, self.marker_place, self.skipped_ids = None, 0, ()
        if tokenizer is None:
            return
        missing = [marker for marker in self.markers if marker not in tokenizer.vocabulary]
        if missing:
            raise KzooError(
                f"The tokenizer has no token {missing[0]!r}, which marks texts: name two that it "
                "has and that no text does, as markers=(of queries, of documents)."
            )
        if tokenizer.mask_id is None:
            raise KzooError(
                "The tokenizer has no mask token, which fills queries up; expected one, as BERT "
                "has it."
            )
        self.marker_ids = [tokenizer.token_to_id(marker) for marker in self.markers]
        self.marker_place = len(tokenizer.frame()[0][0])
        signs = tokenizer.bare_ids(list(string.punctuation)) if self.skip_punctuation else []
        alone = {ids[0] for ids in signs if len(ids) == 1}
        self.skipped_ids = tuple(sorted(alone - {tokenizer.unknown_id}))
        self.predict_function = None  # It was made for another tokenizer's signs.

    # -- the network ------------------------------------------------------------------------------

    def run_head(self, outputs, inputs, training):
        """The vectors, and zeros for places that don't count."""
        outputs = super().run_head(outputs, inputs, training)
        counted = ops.cast(self._counted(inputs["token_ids"]), outputs["vectors"].dtype)
        return {"vectors": outputs["vectors"] * ops.expand_dims(counted, -1)}

    def _counted(self, ids):
        """Which places are compared, (batch, length): what is no padding, no sign in a document."""
        present = ops.not_equal(ids, self.backbone.padding_id)
        if not self.skipped_ids:
            return present
        signs = np.array(self.skipped_ids, "int32").reshape(1, 1, -1)
        is_sign = ops.any(ops.equal(ops.expand_dims(ids, -1), signs), axis=-1)
        place = self.marker_place
        is_query = ops.equal(ids[:, place : place + 1], self.marker_ids[0])
        return ops.logical_and(present, ops.logical_or(is_query, ops.logical_not(is_sign)))

    # -- text to tokens ---------------------------------------------------------------------------

    def tokenize(self, texts, query=False):
        """Documents, or queries, to the padded token dict that the model is called on."""
        columns = self._columns(texts, query=query)
        longest = max(map(len, columns["token_ids"]))
        fill = {"token_ids": self.backbone.padding_id}
        return {n: padded(rows, longest, fill.get(n, 0)) for n, rows in columns.items()}

    def _columns(self, texts, padding=None, query=False):
        """Ragged columns of documents, or of queries."""
        columns = marked_rows(self.tokenizer, texts, self.readings[not query])
        return {name: columns[name] for name in self.backbone.input_names}

    def encode_examples(self, x):
        """A query and its documents as rows of several sequences; single texts are documents."""
        sides = split_groups(x)
        if len(sides) == 1:
            return self._columns(sides[0])
        columns = [self._columns(side, query=not place) for place, side in enumerate(sides)]
        return {
            name: [list(rows) for rows in zip(*(c[name] for c in columns), strict=True)]
            for name in columns[0]
        }

    # -- comparing --------------------------------------------------------------------------------

    def encode_query(self, texts, batch_size=32, verbose=0):
        """The vectors of queries: a list of arrays (query_length, dim)."""
        return self._vectors(texts, True, batch_size, verbose)

    def encode_document(self, texts, batch_size=32, verbose=0):
        """The vectors of documents' tokens: a list of arrays (tokens that count, dim)."""
        return self._vectors(texts, False, batch_size, verbose)

    def _vectors(self, texts, query, batch_size, verbose):
        columns = self._columns([texts] if isinstance(texts, str) else list(texts), query=query)
        order, outputs = self.run_batches(columns, batch_size, verbose)
        rows = [counted(row) for batch in outputs for row in batch["vectors"]]
        restored = dict(zip(order.tolist(), rows, strict=True))
        return [restored[place] for place in range(len(rows))]

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """Of (query, document) pairs their scores, an array; of documents their vectors, a list.

        The rest is as for every `TextTask`.
        """
        first, second = split_pairs(self._inputs(x, text))
        if second is None:
            return self.encode_document(first, batch_size, verbose)
        queries = self.encode_query(first, batch_size, verbose)
        documents = self.encode_document(second, batch_size, verbose)
        pairs = zip(queries, documents, strict=True)
        return np.array([max_similarities([q], [d])[0, 0] for q, d in pairs], "float32")

    def similarities(self, queries, documents):
        """How well documents answer queries, (queries, documents): texts, or their vectors."""
        sides = (queries, self.encode_query), (documents, self.encode_document)
        return max_similarities(*(s if _are_vectors(s) else encode(s) for s, encode in sides))

    def search(self, query, among, top=5):
        """The documents that answer a query best.

        Args:
            query: a text, or a list of some.
            among: a list of documents, or their vectors as `encode_document` gives them.
            top: how many.

        Returns:
            A list of {"index", "score", "text"}, the best first; for a list of queries a list of
            such lists. Vectors come back without a text.
        """
        check_top(top)
        alone = isinstance(query, str)
        texts = None if _are_vectors(among) else list(among)
        scores = self.similarities([query] if alone else query, among)
        results = [nearest(row, texts, top) for row in scores]
        return results[0] if alone else results

    @property
    def readings(self):
        """How a query is read, and how a document is, see `text.marked.marked_rows`.

        Beside that `name`, the `marker` as a text, and `in_file`, what the network itself does:
        places that don't count get vectors of zeros.
        """
        if self.marker_ids is None:
            return []
        filled = {"fill_id": self.tokenizer.mask_id, "attend_to_fill": self.attend_to_masks}
        signs = ["skip_punctuation"] if self.skip_punctuation else []
        ways = (
            ("query", self.query_length, filled, []),
            ("document", self.max_length, {"fill_id": None, "attend_to_fill": False}, signs),
        )
        return [
            {"name": name, "marker": marker, "marker_id": number, "length": length, **fill,
             "in_file": done}
            for (name, length, fill, done), marker, number in zip(
                ways, self.markers, self.marker_ids, strict=True
            )
        ]  # fmt: skip

    def task_options(self):
        """The two ways in which a reader of a file makes rows of texts."""
        return {**super().task_options(), "readings": self.readings}

    # -- learning ---------------------------------------------------------------------------------

    def batches(self, x, y=None, sample_weight=None, **options):
        """Groups of a query, its document and negatives; each query's target is its document."""
        if y is not None:
            raise KzooError(
                "Got targets for a LateInteraction; expected (query, document, negative, ...) "
                "alone: the first document is the target."
            )
        if len(split_groups(x)) < 2:
            raise KzooError(
                "Got single texts; fit and evaluate of a LateInteraction take (query, document) "
                "or (query, document, negative, ...)."
            )
        return super().batches(x, np.ones(len(x), "float32"), sample_weight, **options)

    def encode_targets(self, y, x):
        """Nothing that is read."""
        return y

    def default_loss(self):
        """Each query is to find its document among those of the batch."""
        return MaxSimLoss()

    def default_metrics(self):
        """How many queries find it."""
        return [MaxSimAccuracy()]

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"]
        return {**config, **{name: getattr(self, name) for name in self.settled}}


def _are_vectors(given):
    """Whether lists of vectors came in the place of texts."""
    return not isinstance(given, str) and len(given) > 0 and np.ndim(given[0]) == 2


def _scores(y_pred):
    """Of queries to their own documents, (batch,), and to all that any replica has."""
    queries, documents = y_pred[:, 0], y_pred[:, 1:]
    length, width = ops.shape(documents)[2], documents.shape[-1]  # Gathered, no size is known.
    flat = ops.reshape(of_all_replicas(documents), (-1, length, width))
    return _own_score(queries, documents[:, 0]), max_sim(queries, flat)


def _own_score(queries, documents):
    """The score of each query and the document at its place, (batch,)."""
    absent = ops.cast(ops.all(ops.equal(documents, 0), axis=-1), documents.dtype)
    products = ops.matmul(queries, ops.transpose(documents, (0, 2, 1)))
    best = ops.max(products - 1e4 * ops.expand_dims(absent, 1), axis=-1)
    counted = ops.cast(ops.any(ops.not_equal(queries, 0), axis=-1), best.dtype)
    return ops.sum(best * counted, axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class MaxSimLoss(keras.losses.Loss):
    """Cross-entropy of each query's document among all of the batch, negatives included.

    arXiv:2112.01488, section 3.2, without its distillation. On replicas the batch is that of all
    of them.

    Args:
        scale: what scores are multiplied by before the softmax.
    """

    def __init__(self, scale=1.0, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        self.scale = scale

    def call(self, y_true, y_pred):
        """One loss an example (batch, texts, length, dim), a query first; targets are not read."""
        own, scores = _scores(y_pred)
        return ops.logsumexp(self.scale * scores, axis=-1) - self.scale * own

    def get_config(self):
        """The scale."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("kzoo")
class MaxSimAccuracy(keras.metrics.Mean):
    """How many queries score their document above every other of the batch's; ties are shared."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; targets are not read."""
        own, scores = _scores(y_pred)
        return super().update_state(found_first(own, scores, 1e-4), sample_weight)
