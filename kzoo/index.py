"""An index of documents on disk: vectors in int8, all of them compared, or candidates ranked anew.

A folder: `index.json`, the documents' texts in `texts.jsonl`, and for each stage of a search the
vectors as NumPy files: codes (int8), a scale for each vector, and where vectors are of tokens,
where each document's begin.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from .answers import (
    PROBLEMS,
    READS,
    check_top,
    counted,
    max_similarities,
    nearest,
    similarities,
)  # fmt: skip
from .data.shards import is_records, shards
from .data.sources import TABLES, read_texts
from .data.tables import read_text, suffix_of
from .errors import KzooError
from .files import MANIFEST, read_json, writing_folder
from .values import an, is_whole

FORMAT = 1
INDEX, TEXTS = "index.json", "texts.jsonl"
CHUNK = 8192  # vectors that are numbers again at once
CANDIDATES = 100  # documents that the first stage leaves to the second


class Index:
    """Documents, and the vectors by which a query finds them; made once and kept.

    `Index.build(encoder, documents)` makes one, `save` writes it, `Index.load` reads it.

    Args:
        documents: pairs of an id and a text.
        stages: `Stage`s, the first of which compares all documents.
    """

    def __init__(self, documents, stages):
        self.documents, self.stages = documents, stages

    def __len__(self):
        return len(self.documents)

    @classmethod
    def build(cls, encoder, documents, second=None, threads=1):
        """Encode documents.

        Args:
            encoder: a `TextEmbedder` or `LateInteraction`, as a task, a preset's name or folder,
                or a bundle's folder, which runs on LiteRT.
            documents: a list of texts; a folder or file of plain text (.txt, .text, .md, maybe
                .gz), in which blank lines part documents; or a table with a column of texts.
            second: an encoder that ranks again what the first one found, such as a
                `LateInteraction`.
            threads: of bundles, how many they may use.

        Raises:
            KzooError: for no document, and for vectors that are no numbers.
        """
        documents = read_documents(documents)
        texts = [text for _, text in documents]
        encoders = [encoder_of(e, threads) for e in (encoder, second) if e is not None]
        return cls(documents, [Stage.of(each, texts) for each in encoders])

    def save(self, folder):
        """Write the index into a folder, which is new, or an index already."""
        with writing_folder(folder, mark=INDEX) as tmp_path:
            facts = {"format": FORMAT, "documents": len(self)}
            facts["stages"] = [stage.facts() for stage in self.stages]
            text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
            (tmp_path / INDEX).write_text(text, encoding="utf-8")
            with open(tmp_path / TEXTS, "w", encoding="utf-8") as file:
                for name, text in self.documents:
                    file.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
            for place, stage in enumerate(self.stages):
                for name, array in stage.arrays().items():
                    np.save(tmp_path / f"stage_{place}.{name}.npy", array)

    @classmethod
    def load(cls, folder, encoder=None, second=None, threads=1):
        """Read an index.

        Args:
            folder: where `save` wrote it.
            encoder, second: what encodes queries, as for `build`; by default what it was built
                with, where that still lies in the same place.

        Raises:
            KzooError: for a folder that holds none, a damaged one, and other encoders than those
                that it was built with.
        """
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise KzooError(f"{folder} holds no {INDEX}; expected a folder of `kzoo index`.")
        facts = read_json(folder / INDEX, "an index of documents")
        try:
            if facts["format"] != FORMAT:
                raise KzooError(
                    f"{folder} has format {facts['format']!r:.20}; expected {FORMAT}: index anew."
                )
            with open(folder / TEXTS, encoding="utf-8", newline="\n") as file:  # Texts hold others.
                documents = [(row["id"], row["text"]) for row in map(json.loads, file)]
            stages = []
            if second is not None and len(facts["stages"]) < 2:
                raise KzooError(
                    f"Got a second encoder for {folder}, which was built with one; expected none: "
                    "index anew with both, or rank by it with a reranker."
                )
            for place, stage in enumerate(facts["stages"]):
                given = (encoder, second)[place]
                given = stage["encoder"] if given is None else given
                if given is None:
                    raise KzooError(
                        f"{folder} was built with a model that lay in no folder; expected that "
                        f"model as the {('encoder', 'second')[place]}."
                    )
                given = encoder_of(given, threads)
                stages.append(Stage.read(folder / f"stage_{place}", stage, given, len(documents)))
        except (KeyError, TypeError, IndexError, OSError, json.JSONDecodeError) as error:
            raise KzooError(f"{folder} is no whole index ({error}): index anew.") from None
        if len(documents) != facts["documents"] or not stages:
            raise KzooError(
                f"{folder} has {len(documents)} documents and {len(stages)} stages; {INDEX} says "
                f"{facts['documents']}: index anew."
            )
        return cls(documents, stages)

    def search(self, query, top=5, candidates=CANDIDATES, reranker=None, threads=1):
        """The documents that answer a query best.

        Args:
            query: a text, or a list of some.
            top: how many.
            candidates: how many documents the first stage leaves to the second, or to the
                reranker; None for all.
            reranker: what ranks candidates in the place of a second stage, see `rerank`.
            threads: of a reranker that is a bundle, how many it may use.

        Returns:
            A list of {"index", "score", "text", "id"}, the best first, for a query that is one
            text; for a list a list of such lists. Scores are those of the last stage.
        """
        check_top(top)
        if candidates is not None and not is_whole(candidates, 1):
            raise KzooError(f"Got candidates={candidates!r:.40}; expected at least 1, or None.")
        alone = isinstance(query, str)
        queries = [query] if alone else list(query)
        scorer = None if reranker is None else scorer_of(reranker, threads)
        found = [self._found(each, top, candidates, scorer) for each in queries]
        return found[0] if alone else found

    def _found(self, query, top, candidates, scorer):
        first, *others = self.stages
        scores = first.scores(query)
        ranked = others or scorer is not None
        rows = np.argsort(-scores, kind="stable")
        rows = rows[: max(top, candidates or len(rows)) if ranked else top]
        texts = [self.documents[row][1] for row in rows]
        if scorer is not None:
            scores = scorer(query, texts)
        elif others:
            scores = others[0].scores(query, rows)
        else:
            scores = scores[rows]
        results = nearest(scores, texts, top)
        for each in results:
            each["index"] = int(rows[each["index"]])
            each["id"] = self.documents[each["index"]][0]
        return results


class Stage:
    """The vectors of all documents by one encoder, in int8, and what encodes queries.

    Args:
        encoder: what `encoder_of` gives.
        codes: (vectors, width), int8.
        scales: what the codes of each vector are multiplied by.
        starts: the number of each document's first vector, and of all; None for one each.
    """

    def __init__(self, encoder, codes, scales, starts=None):
        self.encoder, self.codes, self.scales, self.starts = encoder, codes, scales, starts

    @classmethod
    def of(cls, encoder, texts):
        """Encode texts."""
        vectors = encoder.documents(texts)
        starts = None
        if encoder.is_of_tokens:
            starts = np.cumsum([0, *map(len, vectors)]).astype("int64")
            vectors = np.concatenate(vectors)
        vectors = np.asarray(vectors, "float32")
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(-1))[0])
            document = row if starts is None else int(np.searchsorted(starts, row, "right") - 1)
            raise KzooError(
                f"{encoder.name} gives document {document} ({texts[document]!r:.40}) vectors with "
                "NaN or infinite numbers: the model is damaged, or its training diverged."
            )
        return cls(encoder, *quantized(vectors), starts)

    @classmethod
    def read(cls, path, facts, encoder, documents):
        """The stage that lies in files that begin with `path`."""
        if facts["fingerprint"] != encoder.fingerprint:
            raise KzooError(
                f"{path.parent} was made by another model ({facts['task']} of {facts['encoder']}) "
                f"than {encoder.name}, whose vectors mean something else: index anew, or give the "
                "model that it was made by."
            )
        arrays = [
            np.load(f"{path}.{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("codes", "scales")
        ]
        starts = np.load(f"{path}.starts.npy", allow_pickle=False) if encoder.is_of_tokens else None
        count = len(arrays[0]) if starts is None else len(starts) - 1
        last = len(arrays[0]) if starts is None else int(starts[-1])
        fits = arrays[0].dtype == np.int8 and arrays[0].shape == (last, facts["width"])
        if count != documents or not fits or len(arrays[1]) != last:
            raise KzooError(f"{path.parent} has vectors of other numbers or sizes: index anew.")
        if not np.isfinite(arrays[1]).all():
            raise KzooError(f"{path.parent} holds NaN or infinite numbers: index anew.")
        return cls(encoder, *arrays, starts)

    def facts(self):
        """What index.json says of it."""
        return {
            "encoder": self.encoder.source,
            "task": self.encoder.task,
            "fingerprint": self.encoder.fingerprint,
            "measure": self.encoder.measure,
            "width": int(self.codes.shape[1]),
            "vectors": len(self.codes),
        }

    def arrays(self):
        """What is written, by name."""
        arrays = {"codes": self.codes, "scales": self.scales, "starts": self.starts}
        return {name: array for name, array in arrays.items() if array is not None}

    def vectors(self, start, stop):
        """Some vectors as float32."""
        return self.codes[start:stop].astype("float32") * self.scales[start:stop, None]

    def scores(self, query, rows=None):
        """How near a query is to documents, all or those of some numbers: float64."""
        (vector,) = self.encoder.queries([query])
        if not np.isfinite(vector).all():
            raise KzooError(
                f"{self.encoder.name} gives the query {query!r:.40} vectors with NaN or infinite "
                "numbers: the model is damaged, or its training diverged."
            )
        if self.starts is not None:
            rows = range(len(self.starts) - 1) if rows is None else rows
            ends = [(self.starts[row], self.starts[row + 1]) for row in rows]
            groups = [ends[i : i + CHUNK // 64] for i in range(0, len(ends), CHUNK // 64)]
            scores = [
                max_similarities([vector], [self.vectors(*each) for each in group])[0]
                for group in groups
            ]
            return np.concatenate(scores)
        count, measure = len(self.codes), self.encoder.measure
        every = [
            similarities([vector], self.vectors(i, i + CHUNK), measure)[0]
            for i in range(0, count, CHUNK)
        ]
        every = np.concatenate(every)
        return every if rows is None else every[rows]


def quantized(vectors):
    """Vectors (n, width) in int8, and what each is multiplied by: its largest number by 127."""
    scales = np.abs(vectors).max(-1, initial=0) / 127
    codes = np.rint(vectors / np.maximum(scales, 1e-30)[:, None])
    return codes.astype("int8"), scales.astype("float32")


# -- documents ------------------------------------------------------------------------------------


def read_documents(source):
    """Pairs of an id and a text from a list, a table, or a file or folder of plain text."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_file() and suffix_of(path) in TABLES:
            pairs = [(f"{path.name}#{i}", text) for i, text in enumerate(read_texts(path))]
        elif path.is_dir() or path.is_file():
            pairs = _paragraphs(path)
        else:
            raise KzooError(f"{path} doesn't exist: a folder of documents was expected there.")
    else:
        pairs = list(enumerate(source))
    if not pairs:
        raise KzooError(f"{source!s:.60} holds no document; expected one text at least.")
    is_text = [isinstance(text, str) and bool(text.strip()) for _, text in pairs]
    if not all(is_text):
        wrong = is_text.index(False)
        raise KzooError(f"Document {wrong} is {pairs[wrong][1]!r:.40}; expected a text.")
    return pairs


def _paragraphs(path):
    pairs = []
    for file in shards(path):
        if is_records(file):
            raise KzooError(f"{file} holds records of TensorFlow; expected plain text.")
        name = file.relative_to(path) if path.is_dir() else file.name
        parts = [part.strip() for part in re.split(r"\n[^\S\n]*\n", read_text(file))]
        pairs += [(f"{name}#{i}", part) for i, part in enumerate(filter(None, parts))]
    return pairs


# -- models ---------------------------------------------------------------------------------------


def encoder_of(source, threads=1):
    """What encodes queries and documents: of a task, a preset or a bundle."""
    if isinstance(source, (str, Path)) and (Path(source) / MANIFEST).is_file():
        return _Bundle(source, threads)
    return _Model(source)


class _Model:
    """A task in Keras."""

    def __init__(self, source):
        from . import presets

        self.model = presets.load(source) if isinstance(source, (str, Path)) else source
        self.source = str(source) if isinstance(source, (str, Path)) else None
        self.task = getattr(self.model, "task_name", type(self.model).__name__)
        self.name = self.source or f"this {self.task}"
        if self.task not in ("TextEmbedder", "LateInteraction"):
            raise KzooError(
                f"Got {self.name}, {an(self.task)}, to index by; expected a TextEmbedder or a "
                "LateInteraction, whose vectors say what is near."
            )
        self.is_of_tokens = self.task == "LateInteraction"
        self.measure = "max_sim" if self.is_of_tokens else self.model.similarity

    @property
    def fingerprint(self):
        """A checksum of all that vectors follow from."""
        from keras import ops

        from .network import weights_by_path

        total = hashlib.sha256(self.model.tokenizer.to_json().encode())
        facts = [self.model.max_length, self.model.task_options(), self.model.spec.to_json()]
        total.update(json.dumps(facts, sort_keys=True, default=str).encode())
        for path, weight in sorted(weights_by_path(self.model).items()):
            total.update(path.encode())
            total.update(np.ascontiguousarray(ops.convert_to_numpy(weight)).tobytes())
        return total.hexdigest()

    def documents(self, texts):
        """The vectors of documents."""
        return self.model.encode_document(texts) if self.is_of_tokens else self.model.predict(texts)

    def queries(self, texts):
        """The vectors of queries."""
        return self.model.encode_query(texts) if self.is_of_tokens else self.model.predict(texts)


class _Bundle:
    """A bundle on LiteRT; its seal, which covers all that vectors follow from, is its checksum."""

    def __init__(self, source, threads):
        from .bundle.manifest import read_manifest
        from .bundle.predict import Predictor

        self.source, self.name = str(source), str(source)
        manifest = read_manifest(source)
        self.task, self.fingerprint = manifest["task"], manifest["seal"]
        self.is_of_tokens = manifest["rule"] == "late_interaction"
        if not self.is_of_tokens and (manifest["rule"], manifest["reads"]) != ("embedding", "text"):
            raise KzooError(
                f"Got {source}, a bundle of {an(self.task)}, to index by; expected one of a "
                "TextEmbedder or a LateInteraction, whose vectors say what is near."
            )
        options = manifest["task_options"]
        self.measure = "max_sim" if self.is_of_tokens else options["similarity"]
        self.readings = options.get("readings")
        self.predictor = Predictor(source, threads)

    def documents(self, texts):
        """The vectors of documents."""
        if self.is_of_tokens:
            return [np.array(self.predictor(text)["vectors"], "float32") for text in texts]
        return np.array([self.predictor(text)["embedding"] for text in texts], "float32")

    def queries(self, texts):
        """The vectors of queries."""
        return [self._query(t) for t in texts] if self.is_of_tokens else self.documents(texts)

    def _query(self, text):
        from .text.marked import marked_row

        file = self.predictor.interpreter
        row, _, _ = marked_row(self.predictor.processor, text, self.readings[0], file.length)
        return counted(file.run(row)["vectors"][0])


# -- ranking again --------------------------------------------------------------------------------


def scorer_of(source, threads=1):
    """A function of a query and texts that gives their scores: of a task, a preset or a bundle."""
    if isinstance(source, (str, Path)) and (Path(source) / MANIFEST).is_file():
        from .bundle.manifest import read_manifest
        from .bundle.predict import Predictor

        if read_manifest(source)["rule"] == "late_interaction":
            encoder = encoder_of(source, threads)
            return lambda query, texts: max_similarities(
                encoder.queries([query]), encoder.documents(texts)
            )[0]
        predictor = Predictor(source, threads)
        return lambda query, texts: np.array(
            [_relevance(predictor((query, text)), source) for text in texts]
        )
    from . import presets

    model = presets.load(source) if isinstance(source, (str, Path)) else source
    rule = getattr(model, "rule", None)
    if rule == "late_interaction":
        return lambda query, texts: model.similarities([query], texts)[0]
    if rule not in PROBLEMS or READS[model.reads or "either"] not in ("pair", "either"):
        raise KzooError(
            f"Got {an(type(model).__name__)} to rank by; expected a CrossEncoder, a TextClassifier "
            "of pairs with one label or value, or a LateInteraction."
        )
    return lambda query, texts: _one_column(model, [(query, text) for text in texts])


def _one_column(model, pairs):
    scores = np.asarray(model.predict(pairs))
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.shape[1] != 1:
        raise KzooError(
            f"Got {an(model.task_name)} of {scores.shape[1]} labels to rank by; expected one label "
            "or one value a pair."
        )
    return scores[:, 0]


def _relevance(answer, source):
    values = list(answer.get("values", {}).values()) or list(answer.get("scores", {}).values())
    if len(values) != 1:
        raise KzooError(f"{source} gives {len(values)} numbers a pair; expected one to rank by.")
    return values[0]


def rerank(source, query, texts, top=None, threads=1):
    """Texts in the order in which they answer a query, by a model that reads both at once.

    Args:
        source: a `CrossEncoder`, a `TextClassifier` of pairs with one label or value, or a
            `LateInteraction`: a task, a preset's name or folder, or a bundle's folder.
        query: a text.
        texts: a list of some.
        top: how many come back; all by default.
        threads: of a bundle, how many it may use.

    Returns:
        A list of {"index", "score", "text"}, the best first.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts:
        raise KzooError("Got no text to rank; expected one at least.")
    if top is not None:
        check_top(top)
    return nearest(scorer_of(source, threads)(query, texts), texts, top or len(texts))
