"""Questions about contexts with their answers: SQuAD's JSON, and lines of JSON."""

from ..errors import KzooError
from ..files import parse_json
from .examples import Examples, listed
from .tables import read_text, suffix_of


def read_questions(path, text=None, label=None, targets="required"):
    """(question, context) pairs and where their answers stand, from a file; .gz after any ending.

    Args:
        path: a .json file as SQuAD 1.1 and 2.0 are distributed ("data", "paragraphs", "qas"), or
            .jsonl (or a list in .json) of objects with question, context and answers as Hugging
            Face has them.
        text, label: name nothing in such files, and must be None.
        targets: "none" for questions without answers, which `predict` takes.

    Returns:
        `Examples` of pairs; y has (start, end) of the answer in characters, a list of them where
        several count as right, or None for a question that has no answer.

    Raises:
        KzooError: with the file and the question.
    """
    for name in (text, label):
        if name is not None:
            raise KzooError(f"{name!r} names a column, and {path} is of questions: leave it out.")
    suffix = suffix_of(path)
    if suffix not in (".json", ".jsonl"):
        raise KzooError(
            f"{path} is no kind of file with questions that is known; expected .json as SQuAD's, "
            "or .jsonl, maybe with .gz."
        )
    raw = read_text(path)
    if suffix == ".json":
        data = parse_json(raw, str(path), "SQuAD's questions", (dict, list))
        if isinstance(data, dict) and isinstance(data.get("data"), list):
            data = data["data"]
        if not isinstance(data, list):
            raise KzooError(f"{path}: got no list of questions; expected SQuAD's JSON.")
        rows, unit = [(f"{number}", row) for number, row in enumerate(data, 1)], "entry"
        if data and isinstance(data[0], dict) and "paragraphs" in data[0]:
            rows, unit = list(_squad(path, data)), "question"
    else:
        rows = [
            (number, parse_json(line, f"{path}, line {number}", "a question"))
            for number, line in enumerate(raw.split("\n"), 1)
            if line.strip()
        ]
        unit = "line"
    return _examples(path, rows, unit, targets)


def read_pairs(path, text=None):
    """The (question, context) pairs of a file, for `predict`."""
    return read_questions(path, text, targets="none").x


def _squad(path, articles):
    """Each question of SQuAD's articles, with its id, as an object of its own."""
    number = 0
    for article in articles:
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        for paragraph in paragraphs if isinstance(paragraphs, list) else [None]:
            if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
                raise KzooError(f"{path}: got {paragraph!r:.40}; expected a context and its qas.")
            for question in paragraph["qas"]:
                number += 1
                if not isinstance(question, dict):
                    raise KzooError(f"{path}, question {number}: expected an object.")
                name = question.get("id", number)
                yield name, {"context": paragraph.get("context"), **question}


def _examples(path, rows, unit, targets):
    x, y, names, left_out = [], [], [], {}
    for name, row in rows:
        where = f"{path}, {unit} {name}"
        pair = (row.get("question"), row.get("context")) if isinstance(row, dict) else (None,)
        if not all(isinstance(part, str) for part in pair):
            raise KzooError(f"{where}: expected an object with a question and a context, strings.")
        if row.get("is_impossible") not in (None, False, True):
            raise KzooError(
                f"{where}: is_impossible is {row['is_impossible']!r:.40}; expected true or false."
            )
        if targets != "none" and "answers" not in row and not row.get("is_impossible"):
            raise KzooError(f"{where}: got the keys {listed(row)}; expected answers too.")
        none = targets == "none" or row.get("is_impossible")
        answers = [] if none else _answers(where, row.get("answers") or [])
        spans = [
            (start, start + len(content))
            for content, start in answers
            if content and start >= 0 and row["context"][start : start + len(content)] == content
        ]
        if any(content for content, _ in answers) and not spans:
            left_out.setdefault("answers that don't stand where they say", []).append(name)
            continue
        spans = list(dict.fromkeys(spans))
        x.append(pair)
        y.append(None if not spans else spans[0] if len(spans) == 1 else spans)
        names.append(name)
    if not x:
        raise KzooError(f"{path} holds no questions that can be used; expected at least one.")
    without = sum(span is None for span in y)
    meant = any(row.get("is_impossible") for _, row in rows)
    if targets == "required" and without == len(y) and not meant:
        raise KzooError(
            f"{path}: all of its {without:,} questions have empty answers; fill them in, or say "
            "is_impossible where there is none."
        )
    notes = [f"{without:,} questions have no answer"] if without and targets != "none" else []
    return Examples(
        path=path, x=x, y=None if targets == "none" else y, lines=names, text="question + context",
        label="answers", columns=["question", "context", "answers"], kind="questions", unit=unit,
        left_out=left_out, notes=notes,
    )  # fmt: skip


def _answers(where, answers):
    """(text, start) of each answer: a list of objects, or Hugging Face's object of lists."""
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start")
        fits = isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)
        pairs = list(zip(texts, starts, strict=True)) if fits else [None]
    elif isinstance(answers, list):
        pairs = [
            (a.get("text"), a.get("answer_start")) if isinstance(a, dict) else None for a in answers
        ]
    else:
        pairs = [None]
    for pair in pairs:
        if pair is None or not isinstance(pair[0], str) or type(pair[1]) is not int:
            raise KzooError(f"{where}: got {answers!r:.60}; expected text and answer_start.")
    return pairs
