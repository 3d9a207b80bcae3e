"""Answers from a bundle, on LiteRT, `tokenizers` and NumPy alone: no TensorFlow, no Keras."""

from pathlib import Path

from ..answers import ANSWERS
from ..errors import KzooError
from .bundle import LABELS, MODEL, TOKENIZER, check_files, read_manifest


def predict_bundle(folder, texts, threads=1):
    """Answer texts with a bundle.

    Args:
        folder: the bundle.
        texts: a string or a list of strings or of pairs of strings; an empty string is a text too.
        threads: how many the model may use.

    Returns:
        A dict a text: `text`, `tokens` (how many were read), `truncated` (whether the text was
        too long and its end cut off), and for a classifier `label`, `score` and `scores`, for an
        embedder `embedding`.

    Raises:
        KzooError: if the bundle was changed or the texts are none.
    """
    texts = _checked(texts)
    folder = Path(folder)
    manifest = read_manifest(folder)
    answer = ANSWERS.get(manifest["task"])
    if answer is None:
        raise KzooError(
            f"{folder} holds a {manifest['task'] or 'backbone'}; predict answers for "
            f"{' and '.join(ANSWERS)}."
        )
    check_files(folder, manifest, {MODEL, TOKENIZER, LABELS})

    from ..text.tokenizer import Tokenizer
    from .interpreter import Interpreter

    tokenizer = Tokenizer.load(folder / TOKENIZER)
    interpreter = Interpreter(folder / MODEL, threads=threads)
    answers = []
    for text in texts:
        first, second = (text, None) if isinstance(text, str) else text
        outputs, columns, whole = interpreter.run_text(
            tokenizer, first, second, manifest["max_length"]
        )
        tokens = int(columns["padding_mask"].sum())
        answers.append(
            {
                "text": text if isinstance(text, str) else list(text),
                "tokens": tokens,
                "truncated": whole > tokens,
                **answer(outputs, manifest["labels"]),
            }
        )
    return answers


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
