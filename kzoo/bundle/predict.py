"""Answers from a bundle, on LiteRT, `tokenizers` and NumPy alone: no TensorFlow, no Keras."""

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import plot
from ..answers import PROBLEMS, READS, RULES, check_top, nearest, similarities
from ..data.tables import check_table_path, write_table
from ..errors import EmptyTextError, KzooError
from ..files import writing_folder
from ..generation.rewriter import Describer, Questioner, Rewriter, check_numbered_alike
from ..generation.writer import Clock, Writer
from ..litert.interpreter import Interpreter
from ..text.tokenizer import TargetTokenizer, Tokenizer
from ..values import an
from .file_step import open_step
from .manifest import LABELS, MODEL, TOKENIZER, check_files, read_manifest
from .senses import COLUMNS, Texts, sense_of


def predict_bundle(folder, texts, threads=1):
    """Answer texts, pictures or sounds with a bundle.

    Args:
        folder: the bundle.
        texts: a string or a list of strings or of pairs of strings, whatever the bundle reads; an
            empty string is a text too, but for a bundle that writes, whose prompts have a token
            at least. Question answering takes pairs (question, context), or
            dicts {"question": ..., "context": ...}. A bundle that reads pictures or sounds takes
            one or several of what its processor reads: paths (of a folder: the files in it), bytes,
            PIL pictures, arrays.
        threads: how many the model may use.

    Returns:
        A dict a text: `text`, `tokens` (how many were read), `truncated` (whether the text was
        too long and its end cut off), and the answer, see `kzoo.answers`: for a classifier
        `label`, `score` and `scores`; for an embedder `embedding`; for a token classifier
        `entities`; for question answering `answer`, `score`, `start` and `end`; of a
        LateInteraction `vectors`, those of a document's tokens, or of a pair (query, document)
        `score`, how well it is answered; of a model that
        writes `continuation`, the likeliest tokens as a text, 64 of them at most, as
        `kzoo.generation.Generation` has it by default; of one that writes of a source, a text or a
        picture, `written`, as the task's own settings say. Characters are counted in code points.
        Of a picture `image`, its path or None, stands in the place of the first three; of a sound
        `sound`, `seconds` (how many were read) and `truncated`.

    Raises:
        KzooError: if the bundle was changed or the texts are none, and for a prompt without a
            token or too long for the file.
    """
    given = inputs_of(folder, texts)
    names = [f"Text {place}" for place in range(len(given))]
    return predict_named(folder, given, names, threads)


def inputs_of(folder, given):
    """A list of what a bundle reads of what a user gave: of a folder of pictures its files."""
    return sense_of(read_manifest(folder)["reads"]).listed(given)


def predict_named(folder, texts, names, threads=1):
    """As `predict_bundle` of a list; `names` are what an error calls its texts."""
    answers = []
    for answer in _each(folder, texts, names, threads):
        if isinstance(answer, KzooError):
            raise answer
        answers.append(answer)
    return answers


def predict_each(folder, texts, names, threads=1):
    """As `predict_named`, but for what can't be answered, which the others don't pay for.

    Returns:
        In the place of its answer such a text has {"text": it, "error": the sentence that says
        why}; what was no text to begin with, a KzooError among `texts`, has the error alone.

    Raises:
        KzooError: where none could be answered.
    """
    sense = sense_of(read_manifest(folder)["reads"])
    answers = list(_each(folder, texts, names, threads))
    if all(isinstance(answer, KzooError) for answer in answers):
        if len(answers) > 1:
            answers[0].add_note(f"None of the {len(answers):,} could be answered.")
        raise answers[0]
    for place, answer in enumerate(answers):
        if isinstance(answer, KzooError):
            echo = {} if isinstance(texts[place], KzooError) else sense.echo(texts[place], 0, False)
            given = {name: value for name, value in echo.items() if name == sense.noun}
            answers[place] = {**given, "error": str(answer)}
    return answers


def _each(folder, texts, names, threads):
    """An answer for each of the texts, or the KzooError that says why there is none."""
    predictor = open_bundle(folder, threads, [t for t in texts if not isinstance(t, KzooError)])
    for text, name in zip(texts, names, strict=True):
        if isinstance(text, KzooError):
            yield text
            continue
        try:
            answer = predictor(text)
        except EmptyTextError as error:
            answer = KzooError(error.named(name))
        except KzooError as error:
            answer = KzooError(f"{name}: {error}" if len(texts) > 1 else str(error))
        yield answer


# What of an answer is drawn, the first that it has.
DRAWN = ("scores", "values", "objects")


def draw_answers(folder, answers, output):
    """Draw pictures or sounds with what a bundle answered to them, a .png file for each.

    Args:
        folder: the bundle; of two towers that of pictures.
        answers: what `predict_bundle`, or `TowersPredictor.classify`, gave for files.
        output: the folder to write, which is new or empty.

    Returns:
        The paths of the drawings, in the order of the answers: each is called as its file is; of
        several that are called alike the later ones have their number behind it.
    """
    sense, output = sense_of(read_manifest(folder)["reads"]), Path(output)
    check_free(output)
    processor, names = sense.load(folder), []
    with writing_folder(output) as tmp_path:
        for number, answer in enumerate(answers, 1):
            stem = Path(answer[sense.noun]).stem
            name = f"{stem}.png" if f"{stem}.png" not in names else f"{stem}-{number}.png"
            scores = next(answer[key] for key in DRAWN if key in answer)
            plot.write(sense.drawn(answer[sense.noun], processor, scores), tmp_path / name)
            names.append(name)
    return [str(output / name) for name in names]


def check_drawable(folder, output):
    """Raise KzooError unless a bundle's answers can be drawn into a folder, and none is lost."""
    manifest = read_manifest(folder)
    is_drawn = manifest["rule"] in (*PROBLEMS, "boxes")
    if isinstance(sense_of(manifest["reads"]), Texts) or not is_drawn:
        raise KzooError(
            f"Got {folder} to draw answers of, which holds {an(manifest['task'])}; expected a "
            "bundle that gives labels to pictures or sounds, or boxes: leave --draw out."
        )
    check_free(output)


def check_free(output):
    """Raise KzooError unless drawings can be written into a folder, and no file is lost."""
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise KzooError(
            f"Got {output} to draw into, which is there and not empty; expected a folder that is "
            "new or empty: name another."
        )


def predict_table(folder, path, output=None, text=None, threads=1):
    """Answer every row of a table with a bundle.

    Args:
        folder, threads: as for `predict_bundle`.
        path: a .csv, .tsv or .jsonl file, read as one to train on: of texts, or of the paths of
            pictures or sounds as seen from its own folder.
        output: a .csv, .tsv or .jsonl file to write, where nothing lies yet: the table, and what
            was answered in columns that begin with `predicted_`, such as predicted_label; they
            hold nothing in a row that can't be answered.
        text: the column of the texts, or a list of two for pairs, or that of the paths; by default
            those beyond doubt.

    Returns:
        Without output what `predict_each` gives; else {"output", "rows", "columns" (the new
        ones), "truncated" (how many were cut), "unanswered" ({"line", "error"} of each row that
        has no answer)}. Lists and dicts stand in .csv and .tsv as JSON.

    Raises:
        KzooError: where the table can't be read, or none of its rows be answered.
    """
    if output is not None:
        check_table_path(output)
    sense = sense_of(read_manifest(folder)["reads"])
    table, texts = sense.read_table(path, text)
    names = [f"The {sense.noun} in line {line} of {path}" for line in table.lines]
    answers = predict_each(folder, texts, names, threads)
    if output is None:
        return answers
    added = _added(answers)
    taken = [name for name in added if name in table.columns]
    if taken:
        raise KzooError(f"{path} has a column {taken[0]} already: rename it, or leave it out.")
    write_table(output, {**table.columns, **added})
    return {
        "output": str(output),
        "rows": len(answers),
        "columns": list(added),
        "truncated": sum(answer.get("truncated", False) for answer in answers),
        "unanswered": [
            {"line": line, "error": answer["error"]}
            for line, answer in zip(table.lines, answers, strict=True)
            if "error" in answer
        ],
    }


# What a table with answers has in other columns, or its summary.
UNWRITTEN = {"text", "tokens", "image", "sound", "seconds", "truncated"}


def _added(answers):
    """The columns of a table for answers, {name: values}; None where there is no answer."""
    rows = [
        {name: value for name, value in answer.items() if name not in UNWRITTEN}
        for answer in answers
    ]
    for row in rows:
        if "label" in row:
            del row["scores"]  # The others than the label's are in `--json`.
        row.update(row.pop("values", {}))
    names = next(row for row in rows if "error" not in row)
    return {f"predicted_{name}": [row.get(name) for row in rows] for name in names}


def search_bundle(folder, query, among, top=5, threads=1):
    """The texts or pictures that are nearest to a query, by the measure of an embedder's bundle.

    Args:
        folder, threads: as for `predict_bundle`.
        query: what the bundle reads, such as a text or the path of a picture, or a list of some.
        among: a list of such, or a folder of pictures.
        top: how many.

    Returns:
        A list of {"index", "score", "text"}, or "image" for pictures, the nearest first, for one
        query; for a list of queries a list of such lists.
    """
    check_top(top)
    sense = sense_of(read_manifest(folder)["reads"])
    queries = sense.listed(query)
    searcher = Searcher(folder, among, threads, queries)
    results = [searcher(each, top) for each in queries]
    return results[0] if sense.is_alone(query) else results


class Searcher:
    """An embedder's bundle that is open, and what it looks through, of which vectors are made once.

    Called with a query, and how many are asked for, it gives the list of `search_bundle`.

    Args:
        folder, among, threads: as for `search_bundle`.
        queries: what will come, to refuse the wrong kind before anything is loaded.
    """

    def __init__(self, folder, among, threads=1, queries=()):
        self.sense = sense_of(read_manifest(folder)["reads"])
        among = self.sense.listed(among)
        self.predictor = Predictor(folder, threads, [*queries, *among])
        manifest = self.predictor.manifest
        if manifest["rule"] != "embedding":
            raise KzooError(
                f"{folder} holds {an(manifest['task'])}; expected a TextEmbedder or an "
                "ImageEmbedder, whose vectors say what is near."
            )
        self.measure = manifest["task_options"]["similarity"]
        self.named = [self.sense.echo(each, 0, False)[self.sense.noun] for each in among]
        self.vectors = np.array([self._vector(each) for each in among])

    def _vector(self, given):
        """What the bundle gives, of length one where angles are measured: products are these."""
        vector = np.asarray(self.predictor(given)["embedding"], "float64")
        if self.measure != "cosine":
            return vector
        return vector / max(1e-12, np.linalg.norm(vector))

    def __call__(self, query, top=5):
        """What is nearest to one query."""
        measure = "dot" if self.measure == "cosine" else self.measure
        scores = similarities([self._vector(query)], self.vectors, measure)[0]
        return nearest(scores, self.named, top, self.sense.noun)


class Predictor:
    """A bundle that is open; called with a text or pair it gives that text's dict.

    Args:
        folder, threads: as for `predict_bundle`.
        texts: what will come, to refuse the wrong kind before anything is loaded.
    """

    def __init__(self, folder, threads=1, texts=()):
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.sense = sense_of(self.manifest["reads"])
        self._check_rule(self.folder, self.manifest["rule"])
        self._check_kind(texts)
        check_files(self.folder, self.manifest, {MODEL, *self.sense.files, LABELS})
        _check_runtime(self.folder, self.manifest)
        self.processor = self.sense.load(self.folder)
        self._open(self.folder / MODEL, threads)

    def _check_rule(self, folder, rule):
        if rule is None or RULES[rule].find is None:
            writes = (name for name in OPENERS if isinstance(name, str))
            known = ", ".join([*(name for name in RULES if RULES[name].find), *writes])
            raise KzooError(
                f"{folder} holds {an(self.manifest['task'])}, which answers by "
                f"{rule or 'no rule'}; predict answers by {known}."
            )

    def _open(self, path, threads):
        self.interpreter = Interpreter(path, threads=threads)
        self.sense.check_file(self.interpreter)
        _check_labels(self.interpreter, self.manifest)
        self.answerer = Answerer(
            self.processor,
            self.manifest["rule"],
            self.manifest["labels"],
            self.manifest["task_options"],
            self.manifest["max_length"],
            self.interpreter.length,
        )

    def __call__(self, text):
        """The answer to one text or pair; a bundle's default prompt stands before each text."""
        self._check_kind([text])
        rows, tokens, truncated = self.answerer.read(text)
        return {
            **self.sense.echo(text, tokens, truncated),
            **self.answerer.answer(text, rows, [self.interpreter.run(row) for row, _ in rows]),
        }

    def _check_kind(self, texts):
        """Raise KzooError where strings came for a bundle that reads pairs, or the reverse."""
        reads = READS[self.manifest["reads"]]
        if not isinstance(self.sense, Texts):
            return
        pairs = [not isinstance(text, str) for text in texts]
        if reads == "pair" and not all(pairs):
            raise KzooError(
                f"{self.folder} reads pairs of texts, and text {pairs.index(False)} is a string: "
                'give two texts as ("first", "second"); on the command line add --pair and put a '
                "tab between them."
            )
        if reads == "text" and any(pairs):
            raise KzooError(
                f"{self.folder} reads one text at a time, and text {pairs.index(True)} is a pair: "
                "give its texts one by one; on the command line leave --pair out."
            )


class Continuer(Predictor):
    """A bundle that writes on, open; called with a text it gives that text's dict.

    `writer` is a `kzoo.generation.Writer`, for other settings and for text as it comes.
    """

    says = "continuation"  # what an answer calls what is written

    def _check_rule(self, folder, rule):
        if opener_of(self.manifest) is not type(self):
            raise KzooError(
                f"{folder} holds {an(self.manifest['task'])}, which answers by "
                f"{rule or 'no rule'}; expected a CausalLM, a Seq2SeqLM or an ImageCaptioner, "
                "which write."
            )

    def _open(self, path, threads):
        self.writer = self._writer(open_step(path, threads))

    def _writer(self, step):
        """What writes with a step function of the file."""
        return Writer(step, self.processor, step.cache)

    def prompt_ids(self, prompts):
        """Prompts as token ids, see `Writer.prompt_ids`."""
        return self.writer.prompt_ids(prompts)

    def write(self, ids, **options):
        """For lists of token ids lists of `kzoo.generation.Written`, see `Writer.generate`."""
        return self.writer.generate(ids, **options)

    def write_pieces(self, ids, **options):
        """The text that is written on from token ids, piece by piece."""
        return self.writer.stream(ids, **options)

    def clocked(self):
        """A `Clock` of what is written from now on."""
        self.writer.step = clock = Clock(self.writer.step)
        return clock

    def __call__(self, text):
        """What the model writes behind a text, or of it."""
        self._check_kind([text])
        (ids,) = self.prompt_ids([text])
        ((answer, *_),) = self.write([ids])
        return {"text": text, "tokens": len(ids), "truncated": False, self.says: answer.text}


class SourceReader(Continuer):
    """A bundle that writes of sources, open; `writer` is a `kzoo.generation.Rewriter`."""

    says = "written"

    def prompt_ids(self, prompts, max_length=None):
        """Sources as token ids, cut where a length is given."""
        return self.writer.prompt_ids(prompts, max_length)

    def _writer(self, step):
        options, target = self.manifest["task_options"], self.processor
        if TargetTokenizer.FILE in self.manifest["files"]:
            check_files(self.folder, self.manifest, {TargetTokenizer.FILE})
            target = TargetTokenizer.load(self.folder)
            check_numbered_alike(self.processor, target)
        size = step.vocabulary_size
        return Rewriter(step, target, step.cache, size, options, self.processor)


class PictureReader(SourceReader):
    """A bundle that writes of pictures, open; `writer` is a `kzoo.generation.Describer`."""

    writes, processor_of = Describer, staticmethod(lambda processor: processor)

    def _writer(self, step):
        check_files(self.folder, self.manifest, {TOKENIZER})
        options, size = self.manifest["task_options"], step.vocabulary_size
        tokenizer, processor = Tokenizer.load(self.folder), self.processor_of(self.processor)
        return self.writes(step, tokenizer, step.cache, size, options, processor)

    def __call__(self, given):
        """What the model writes of a picture."""
        (source,) = self.prompt_ids([given])
        ((answer, *_),) = self.write([source])
        tokens = len(source[1]) if isinstance(source, tuple) else 0
        return {**self.sense.echo(given, tokens, False), self.says: answer.text}


class QuestionReader(PictureReader):
    """A bundle that answers questions about pictures; `writer` is a `Questioner`."""

    writes, processor_of = Questioner, staticmethod(lambda both: both.image_processor)


# What opens a bundle by its rule, where not `Predictor`; and by what it reads, where that is said.
OPENERS = {
    "continuation": Continuer,
    "rewriting": SourceReader,
    ("rewriting", "image"): PictureReader,
    ("rewriting", "image_text"): QuestionReader,
}


def opener_of(manifest, usual=None):
    """What opens a bundle by its manifest."""
    rule = manifest["rule"]
    return OPENERS.get((rule, manifest["reads"]), OPENERS.get(rule, usual))


def open_bundle(folder, threads=1, texts=()):
    """What answers by a bundle's rule; arguments as for `Predictor`."""
    return opener_of(read_manifest(folder), Predictor)(folder, threads, texts)


def open_writer(folder, threads=1):
    """A `Continuer` or `SourceReader`; KzooError for a bundle that doesn't write."""
    return opener_of(read_manifest(folder), Continuer)(folder, threads)


@dataclass(frozen=True)
class Answerer:
    """How a task reads a text and answers it, whatever runs the model.

    Args:
        processor: what reads for the task, such as its `Tokenizer`.
        rule: a name in `answers.RULES`.
        labels: the names of the logits, or None.
        options: the manifest's `task_options`.
        max_length: tokens at most.
        length: the one number of tokens that the model takes, or None.
    """

    processor: object
    rule: str
    labels: list | None
    options: dict
    max_length: int
    length: int | None

    @property
    def limit(self):
        """How many tokens a row has at most."""
        return min(self.max_length, self.length or self.max_length)

    def read(self, text):
        """The rows of a text or pair, how many tokens they have, and whether it has more."""
        if isinstance(text, str):
            prompts = self.options.get("prompts", {})
            text = prompts.get(self.options.get("default_prompt"), "") + text
        sense = sense_of(self.options.get("reads"))
        reader = READERS.get(self.rule, sense.row)
        return reader(self.processor, text, self.limit, self.length, self.options)

    def answer(self, text, rows, outputs):
        """The answer to a text, from what `read` made of it and the outputs for each row."""
        pairs = [(output, places) for output, (_, places) in zip(outputs, rows, strict=True)]
        return RULES[self.rule].find(text, pairs, self.labels, self.options)


def _windows(tokenizer, text, limit, length, options):
    """What `Sense.row` gives, for a text of any length: overlapping rows, and nothing is cut."""
    columns = tokenizer.windows([text], None, limit, options.get("stride"), length or "longest")
    return _rows(columns, length), int(columns["lengths"][0]), False


def _pair_windows(tokenizer, text, limit, length, options):
    """The same for a question and its context: only the question is ever cut."""
    stride = options.get("stride")
    columns = tokenizer.windows([text[0]], [text[1]], limit, stride, length or "longest")
    whole, cut = int(columns["lengths"][0]), int(columns["cut"][0])
    return _rows(columns, length), whole - cut, cut > 0


def _rows(columns, length):
    """The rows of `Tokenizer.windows`; without padding where the file takes any length."""
    rows = []
    for place, mask in enumerate(columns["padding_mask"]):
        tokens = int(mask.sum())
        row = {name: columns[name][place : place + 1, : length or tokens] for name in COLUMNS}
        places = {name: columns[name][place][:tokens] for name in ("offsets", "word_ids")}
        rows.append((row, {**places, "starts": int(columns["starts"][place])}))
    return rows


# The rules whose texts are read whole, in overlapping rows.
READERS = {"entities": _windows, "span": _pair_windows}


def _check_runtime(folder, manifest):
    def numbers(text):
        return [int(part) for part in re.findall(r"\d+", str(text))]

    needed, here = manifest["minimum_runtime"].get("litert", "0"), version("ai-edge-litert")
    if numbers(here) < numbers(needed):
        raise KzooError(f"{folder} needs LiteRT {needed} or newer; this is {here}: update it.")


def _check_labels(interpreter, manifest):
    """Raise KzooError unless the file has a number for each label, and what its rule has beside."""
    labels = manifest["labels"] or ()
    width = interpreter.width("logits") if labels else None
    if width not in (None, len(labels) + RULES[manifest["rule"]].beside):
        raise KzooError(
            f"{interpreter.path} gives {width} numbers, and there are {len(labels)} labels: one "
            "for each is expected; export anew."
        )
