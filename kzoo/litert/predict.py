"""Answers from a bundle, on LiteRT, `tokenizers` and NumPy alone: no TensorFlow, no Keras."""

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..answers import ANSWERS
from ..errors import KzooError
from .bundle import LABELS, MODEL, TOKENIZER, check_files, read_manifest
from .interpreter import Interpreter, encode

COLUMNS = ("token_ids", "padding_mask", "segment_ids")  # what a text becomes


def predict_bundle(folder, texts, threads=1):
    """Answer texts with a bundle.

    Args:
        folder: the bundle.
        texts: a string or a list of strings or of pairs of strings; an empty string is a text too.
            Question answering takes pairs (question, context).
        threads: how many the model may use.

    Returns:
        A dict a text: `text`, `tokens` (how many were read), `truncated` (whether the text was
        too long and its end cut off), and the answer, see `kzoo.answers`: for a classifier
        `label`, `score` and `scores`; for an embedder `embedding`; for a token classifier
        `entities`; for question answering `answer`, `score`, `start` and `end`. Characters are
        counted in code points.

    Raises:
        KzooError: if the bundle was changed or the texts are none.
    """
    texts = _checked(texts)
    predictor = Predictor(folder, threads, texts)
    return [predictor(text) for text in texts]


class Predictor:
    """A bundle that is open; called with a text or pair it gives that text's dict.

    Args:
        folder, threads: as for `predict_bundle`.
        texts: what will come, to refuse the wrong kind before anything is loaded.
    """

    def __init__(self, folder, threads=1, texts=()):
        from ..text.tokenizer import Tokenizer

        folder = Path(folder)
        self.manifest = read_manifest(folder)
        task = self.manifest["task"]
        if task not in ANSWERS:
            raise KzooError(
                f"{folder} holds a {task or 'backbone'}; predict answers for {', '.join(ANSWERS)}."
            )
        _check_kind(folder, task, texts)
        check_files(folder, self.manifest, {MODEL, TOKENIZER, LABELS})
        _check_runtime(folder, self.manifest)
        self.tokenizer = Tokenizer.load(folder / TOKENIZER)
        self.interpreter = Interpreter(folder / MODEL, threads=threads)
        _check_model(self.interpreter, self.manifest["labels"])
        self._answer = ANSWERS[task]
        self._read = _windows if task == "QuestionAnswering" else _row

    def __call__(self, text):
        """The answer to one text or pair."""
        limit, length = self.manifest["max_length"], self.interpreter.length
        rows, tokens, truncated = self._read(self.tokenizer, text, limit, length)
        outputs = [(self.interpreter.run(columns), offsets) for columns, offsets in rows]
        return {
            "text": text if isinstance(text, str) else list(text),
            "tokens": tokens,
            "truncated": truncated,
            **self._answer(text, outputs, self.manifest["labels"]),
        }


def _row(tokenizer, text, limit, length):
    """One row of columns with its offsets, how many tokens it has, and whether the text has more.

    The columns are padded to `length` where the file has one; offsets stop before padding.
    """
    first, second = (text, None) if isinstance(text, str) else text
    columns, whole = encode(tokenizer, first, second, limit, length)
    tokens = int(columns["padding_mask"].sum())
    return [(columns, columns["offsets"][0, :tokens])], tokens, whole > tokens


def _windows(tokenizer, text, limit, length):
    """The same for a question and its context: overlapping rows, only the question is ever cut."""
    columns = tokenizer.windows([text[0]], [text[1]], max_length=limit, padding=length)
    rows = []
    for place, mask in enumerate(columns["padding_mask"]):
        row = {name: np.array(columns[name][place : place + 1]) for name in COLUMNS}
        rows.append((row, columns["offsets"][place][: sum(mask)]))
    question = len(tokenizer.encode([text[0]])["token_ids"][0]) - tokenizer.count_special_tokens()
    cut = max(0, question - (limit - tokenizer.count_special_tokens(pair=True)) // 2)
    whole = len(tokenizer.encode([text[0]], [text[1]])["token_ids"][0])
    return rows, whole - cut, cut > 0


def _check_kind(folder, task, texts):
    """Raise KzooError where strings came for a task of pairs, or pairs for one of strings."""
    pairs = [not isinstance(text, str) for text in texts]
    if task == "QuestionAnswering" and not all(pairs):
        raise KzooError(
            f"{folder} answers questions: pairs (question, context) are expected (--pair on the "
            f"command line); text {pairs.index(False)} is a string."
        )
    if task == "TokenClassifier" and any(pairs):
        raise KzooError(
            f"{folder} finds entities in one text at a time; text {pairs.index(True)} is a pair."
        )


def _check_runtime(folder, manifest):
    def numbers(text):
        return [int(part) for part in re.findall(r"\d+", str(text))]

    needed, here = manifest["minimum_runtime"].get("litert", "0"), version("ai-edge-litert")
    if numbers(here) < numbers(needed):
        raise KzooError(f"{folder} needs LiteRT {needed} or newer; this is {here}: update it.")


def _check_model(interpreter, labels):
    """Raise KzooError unless the file reads what a text gives, and has a number for each label."""
    other = sorted(set(interpreter.input_names) - set(COLUMNS))
    if other:
        raise KzooError(
            f"{interpreter.path} wants the input {other[0]}; a text gives {', '.join(COLUMNS)}: "
            "export anew."
        )
    width = interpreter.width("logits") if labels else None
    if width not in (None, len(labels or ())):
        raise KzooError(
            f"{interpreter.path} gives {width} numbers, and there are {len(labels)} labels: one "
            "for each is expected; export anew."
        )


def _checked(texts):
    if isinstance(texts, str):
        return [texts]
    if not hasattr(texts, "__iter__"):
        raise KzooError(f"texts is {texts!r:.60}; a list of strings is expected.")
    texts = list(texts)
    if not texts:
        raise KzooError("No text came; at least one is expected.")
    for place, text in enumerate(texts):
        pair = isinstance(text, (tuple, list)) and len(text) == 2
        if not isinstance(text, str) and not (pair and all(isinstance(t, str) for t in text)):
            raise KzooError(f"Text {place} is {text!r:.60}; a string or a pair is expected.")
    return texts
