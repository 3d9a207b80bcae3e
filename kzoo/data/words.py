"""Words with tags and texts with spans, from the files that taggers and annotators write."""

import re
from numbers import Integral

from ..answers import trimmed
from ..errors import KzooError
from ..files import parse_json
from .examples import Examples, listed
from .tables import lines_of, read_text, suffix_of

COLUMNS = (".conll", ".txt", ".tsv", ".bio", ".iob", ".iob2", ".conllu", ".ner")
WORDS = ("tokens", "words")
TAGS = ("ner_tags", "tags", "labels", "ner")
SPANS = ("entities", "spans", "label", "labels")
# What a line above the words calls its columns.
WORD_NAMES = ("word", "words", "token", "tokens")
HEADER = (*WORD_NAMES, "tag", "tags", "label", "labels", "ner", "ner_tags")
# "O", or a letter of a scheme and a kind, as CoNLL's last column has them.
_TAG = re.compile(r"O|[BIESLUM]-\S+")
START = "-DOCSTART-"  # of a document: a word of CoNLL's files that is none
_BLANKS = re.compile(r"[ \t]+")


def read_words(path, text=None, label=None, targets="required"):
    """Lists of words with a tag each, or texts with spans, from a file; .gz after any ending.

    Args:
        path: a file with a word a line and its tag in the last column, or in the first of two
            (.conll, .txt, .tsv, .bio, .iob, ...: CoNLL 2002 and 2003, WNUT, MIT's), blank lines
            between sentences; or .json or .jsonl of objects with tokens and ner_tags (Hugging
            Face), or with a text and its spans (spaCy, Prodigy, doccano, Label Studio).
        text: the column of the words, from 0 on; or the key of the words or of the text.
        label: the column of the tags, or the key of the tags or spans.
        targets: as in `read_examples`; files without tags are `predict`'s, which takes texts.

    Returns:
        `Examples`. Those of words have lists of strings and lists of tags, with tags in the IOB1
        scheme turned into IOB2. Those of texts have strings, and lists of (start, end, kind) in
        characters.

    Raises:
        KzooError: with the file and the line.
    """
    suffix = suffix_of(path)
    if suffix in COLUMNS:
        return _columns(path, text, label)
    if suffix not in (".json", ".jsonl"):
        raise KzooError(
            f"{path} is no kind of file with words and tags that is known; expected "
            f"{', '.join(COLUMNS)}, .jsonl or .json, maybe with .gz."
        )
    rows, lines, unit = _objects(path, suffix)
    if isinstance(rows[0], dict) and "annotations" in rows[0] and "data" in rows[0]:
        return _label_studio(path, rows, lines, unit, text)
    rows = [_spacy(row) for row in rows]
    for row, line in zip(rows, lines, strict=True):
        if not isinstance(row, dict):
            raise KzooError(f"{path}, {unit} {line}: got {type(row).__name__}; expected an object.")
    if text in rows[0] and isinstance(rows[0][text], str):
        return _spans(path, rows, lines, unit, text, label)
    if any(key in rows[0] for key in WORDS) or text in rows[0]:
        return _tagged(path, rows, lines, unit, text, label)
    return _spans(path, rows, lines, unit, text, label)


def tag_names(examples, labels=None):
    """The names of the tags, "O" first; of spans "B-" and "I-" of each kind."""
    if labels is not None:
        return list(labels)
    if _has_spans(examples):
        kinds = sorted({kind for spans in examples.y for _, _, kind in spans})
        return ["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")]
    tags = {tag for row in examples.y for tag in row}
    number = next((tag for tag in sorted(tags, key=str) if not isinstance(tag, str)), None)
    if number is not None:
        raise KzooError(
            f"{examples.path} has numbers as {examples.label}, such as {number}: say "
            "labels=['O', 'B-PER', ...], their names in the order of the numbers."
        )
    if tags <= {"O"}:
        raise KzooError(
            f"{examples.path} has the tag O alone, from which nothing can be learnt; add examples "
            "of another."
        )
    return sorted(tags, key=lambda tag: (tag != "O", tag[2:] or tag, tag))


def _has_spans(examples):
    return bool(examples.x) and isinstance(examples.x[0], str)


# -- a word a line --------------------------------------------------------------------------------


def _columns(path, text, label):
    """CoNLL's columns, parted by tabs where there are any and by blanks else."""
    for name in (text, label):
        if name is not None and type(name) is not int:
            raise KzooError(f"{name!r} names a column of {path}; expected its place, from 0 on.")
    raw = lines_of(read_text(path))
    words = (line for line in raw if line.strip() and not line.startswith(("#", START)))
    top = next(words, "")
    tabs = "\t" in (top.strip() if len(top.split()) > 1 else top)  # A tag may be missing.
    rows = [(_fields(line, tabs), number) for number, line in enumerate(raw, 1)]
    plain = [fields for fields, _ in rows if fields and not fields[0].startswith(("#", START))]
    width = len(plain[0]) if plain else 0
    even = [fields for fields in plain if len(fields) == width]
    place = _tag_place(path, even, width, text, label) if width > 1 else 0
    notes = []
    if even and _names_columns(even, place):
        rows = [(fields, number) for fields, number in rows if fields is not even[0]]
        header = even.pop(0)
        notes.append(f"its first line names the columns ({listed(header)})")
        named = [i for i, name in enumerate(header) if name.lower() in WORD_NAMES and i != place]
        text = named[0] if text is None and len(named) == 1 else text
    tagged = _hold_tags(even, place)
    clear = tagged or width == 2 or label is not None
    sentences, lines, ended = [], [], True
    for fields, number in rows:
        if not fields or fields[0] == START:
            ended = True
            continue
        # "#" is a word too: a comment is what has no tag.
        untagged = len(fields) != width or (tagged and not _TAG.fullmatch(fields[place]))
        if fields[0].startswith("#") and untagged:
            continue
        if len(fields) != width:
            raise KzooError(
                f"{path}, line {number}: got {len(fields)} columns; expected {width}, as in the "
                "lines above."
            )
        if clear and not fields[place]:
            raise KzooError(
                f"{path}, line {number}: {listed(fields[:1])} has no tag in column {place}; "
                "expected one for each word, such as O."
            )
        if ended:
            sentences.append([])
            lines.append(number)
            ended = False
        sentences[-1].append(fields)
    if not sentences or width < 2:
        raise KzooError(f"{path} holds no words with tags; expected a word and its tag a line.")
    if width == 2 and place == 0 and label is None:
        notes.append("its tags stand in the first column")
    word, tag = _places(path, sentences, width, text, label, place)
    words = [[fields[word] for fields in sentence] for sentence in sentences]
    tags = [[fields[tag] for fields in sentence] for sentence in sentences]
    tags = _as_iob2(tags, notes)
    return Examples(
        path=path, x=words, y=tags, lines=lines, text=word, label=tag,
        columns=list(range(width)), kind="sentences of a word a line", notes=notes,
    )  # fmt: skip


def _fields(line, tabs):
    if not line.strip():
        return []
    if line.startswith(START):
        return [START]
    return (
        [field.strip() for field in line.split("\t")]
        if tabs
        else _BLANKS.split(line.strip(" \t\r"))
    )


def _hold_tags(rows, place):
    """Whether a column holds tags, which may be missing in some rows."""
    tags = {fields[place] for fields in rows} - {""}
    return bool(tags) and all(map(_TAG.fullmatch, tags))


def _tag_place(path, rows, width, word, tag):
    """The column of the tags as far as it is clear: the last one, or of two the one with tags."""
    for place in (word, tag):
        if place is not None and not 0 <= place < width:
            raise KzooError(f"{path} has no column {place}; it has {width}, from 0 on.")
    if tag is not None:
        return tag
    if width == 2 and word is not None:
        return 1 - word
    rows = rows[1:] or rows  # The first may name the columns.
    return 0 if width == 2 and _hold_tags(rows, 0) and not _hold_tags(rows, 1) else width - 1


def _names_columns(rows, place):
    """Whether the first row names the columns: by its words, or as the only one without a tag."""
    first, *others = rows
    if first[0].lower() in HEADER and first[-1].lower() in HEADER:
        return True
    marked = any(fields[place] not in ("", "O") for fields in others)
    return bool(
        first[place] and not _TAG.fullmatch(first[place]) and marked and _hold_tags(others, place)
    )


def _places(path, sentences, width, word, tag, place):
    """The columns of the words and of the tags, which `place` is where that is clear."""
    if word is not None and tag is not None:
        return word, tag
    rows = [fields for sentence in sentences for fields in sentence]
    tagged = [i for i in range(1, width) if _hold_tags(rows, i)]
    numbered = all(
        fields[0] == str(number)
        for sentence in sentences
        for number, fields in enumerate(sentence, 1)
    )
    if width == 2 and (not numbered or tagged):
        return (1 - place if word is None else word), place
    # Behind words that are numbered stand several columns of tags, outer and inner.
    doubtful = len(tagged) > 1 and numbered
    if tag is None and (doubtful or tagged[-1:] != [width - 1]):
        likely = (tagged or [width - 1])[0]
        raise KzooError(
            f"{path} has {width} columns, the first line being {listed(rows[0], width)}: say "
            f"text={int(numbered)}, label={likely}, the places of words and tags from 0 on."
        )
    return (int(numbered) if word is None else word), place


def _as_iob2(sentences, notes):
    """Tags with a "B-" wherever a span begins, where "B-" only parts spans that touch (IOB1)."""
    tags = {tag for tags in sentences for tag in tags}
    if not any(tag.startswith("B-") for tag in tags) or not all(map(_TAG.fullmatch, tags)):
        return sentences
    for row in sentences:
        for before, tag in zip(["O", *row], row, strict=False):
            if tag.startswith("B-") and (before == "O" or before[2:] != tag[2:]):
                return sentences  # A "B-" that parts nothing: the scheme is IOB2.
    return with_starts(sentences, tags | {"B-" + tag[2:] for tag in tags}, notes)


def with_starts(sentences, labels, notes):
    """Tags with a "B-", if it is a label, wherever a span begins, as CoNLL's scores count them."""
    if any(_TAG.fullmatch(label) and label[0] not in "OBI" for label in labels):
        return sentences
    changed = []
    for row in sentences:
        changed.append([])
        for before, tag in zip(["O", *row], row, strict=False):
            # Behind a number, a word that isn't learned, nobody knows what begins.
            known = isinstance(before, str) and isinstance(tag, str) and tag.startswith("I-")
            begins = known and (before == "O" or before[2:] != tag[2:])
            turned = begins and "B-" + tag[2:] in labels
            changed[-1].append("B-" + tag[2:] if turned else tag)
    note = "tags were turned from IOB1 into IOB2"
    if changed != [list(row) for row in sentences] and note not in notes:
        notes.append(note)
    return changed


# -- JSON -----------------------------------------------------------------------------------------


def _objects(path, suffix):
    """The values of a .jsonl file, or of the list in a .json file; where each stands; and in what.

    A .json file may hold lines of JSON too.
    """
    text = read_text(path)
    if suffix == ".json" and text.lstrip()[:1] == "[":
        rows = parse_json(text, str(path), "a list of examples", list)
        lines, unit = list(range(1, len(rows) + 1)), "entry"
    else:
        numbered = [(line, i) for i, line in enumerate(lines_of(text), 1) if line.strip()]
        rows = [
            parse_json(line, f"{path}, line {i}", "an example", (dict, list))
            for line, i in numbered
        ]
        lines, unit = [i for _, i in numbered], "line"
    if not rows:
        raise KzooError(f"{path} holds no examples; at least one is expected.")
    return rows, lines, unit


def _key(path, rows, lines, unit, asked, known, what):
    """The key of a thing: the one that was asked for, or the one that is known and there."""
    keys = list(rows[0])
    here = [asked] if asked is not None else [key for key in known if key in keys]
    if len(here) > 1:
        raise KzooError(f"{path} has {listed(here)}: say which holds {what}, such as {here[0]!r}.")
    if not here:
        raise KzooError(f"{path} has the keys {listed(keys)}; expected {what} as {listed(known)}.")
    for row, line in zip(rows, lines, strict=True):
        if here[0] not in row:
            raise KzooError(
                f"{path}, {unit} {line}: got the keys {listed(row)}; expected {here[0]} too."
            )
    return here[0]


def _tagged(path, rows, lines, unit, text, label):
    """Objects with a list of words and a list of tags."""
    words = _key(path, rows, lines, unit, text, WORDS, "words")
    tags = _key(path, rows, lines, unit, label, TAGS, "tags")
    kept, left_out = [], {}
    for i, (row, line) in enumerate(zip(rows, lines, strict=True)):
        for key, kinds in ((words, str), (tags, (str, int))):
            fits = isinstance(row[key], list) and all(isinstance(v, kinds) for v in row[key])
            if not fits:
                raise KzooError(
                    f"{path}, {unit} {line}: {key} is {row[key]!r:.40}; expected a list of "
                    f"{'words' if key == words else 'tags'}."
                )
        if len(row[words]) != len(row[tags]):
            raise KzooError(
                f"{path}, {unit} {line}: got {len(row[words])} {words} and {len(row[tags])} "
                f"{tags}; expected one for each."
            )
        if row[words]:
            kept.append(i)
        else:
            left_out.setdefault("no words", []).append(line)
    if not kept:
        raise KzooError(f"{path}: all of its {len(rows):,} rows have no words; fill them in.")
    notes, y = [], [rows[i][tags] for i in kept]
    if all(isinstance(tag, str) for row in y for tag in row):
        y = _as_iob2(y, notes)
    return Examples(
        path=path, x=[rows[i][words] for i in kept], y=y, lines=[lines[i] for i in kept],
        text=words, label=tags, columns=list(rows[0]), kind="lists of words", unit=unit,
        left_out=left_out, notes=notes,
    )  # fmt: skip


def _spacy(row):
    """spaCy's pair of a text and its annotations as one object."""
    pair = isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)
    return {"text": row[0], **row[1]} if pair and isinstance(row[1], dict) else row


def _spans(path, rows, lines, unit, text, label):
    """Objects with a text and a list of spans: [start, end, kind], or objects of those."""
    key = _key(path, rows, lines, unit, text, ("text", "content", "sentence"), "the text")
    spans = _key(path, rows, lines, unit, label, SPANS, "spans")
    y = []
    for row, line in zip(rows, lines, strict=True):
        where = f"{path}, {unit} {line}"
        if not isinstance(row[key], str) or not isinstance(row[spans] or [], list):
            raise KzooError(f"{where}: expected {key}, a string, and {spans}, a list of spans.")
        y.append(checked_spans(where, row[key], row[spans] or []))
    return Examples(
        path=path, x=[row[key] for row in rows], y=y, lines=lines, text=key, label=spans,
        columns=list(rows[0]), kind="texts with spans", unit=unit,
    )  # fmt: skip


def _span(where, value):
    """(start, end, kind) of a span as any of the tools writes it."""
    if isinstance(value, dict):
        kind = value.get("label", value.get("labels", value.get("type")))
        kind = kind[0] if isinstance(kind, list) and len(kind) == 1 else kind
        value = [value.get("start", value.get("start_offset")),
                 value.get("end", value.get("end_offset")), kind]  # fmt: skip
    fits = isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[2], str)
    whole = fits and all(isinstance(n, Integral) and type(n) is not bool for n in value[:2])
    if not whole:
        raise KzooError(
            f"{where}: got the span {value!r:.60}; expected [start, end, kind], the places of "
            "characters from 0 on and a name."
        )
    return int(value[0]), int(value[1]), value[2]


def checked_spans(where, text, spans):
    """(start, end, kind) of spans in their order, which hold some of the text and don't overlap."""
    if not isinstance(spans, (list, tuple)):
        raise KzooError(f"{where}: got {spans!r:.60}; expected a list of spans, [] for none.")
    spans = sorted((_span(where, span) for span in spans), key=lambda span: span[:2])
    last, shown = 0, None
    for span in spans:
        start, end, _ = span
        if not 0 <= start < end <= len(text):
            raise KzooError(
                f"{where}: the span {list(span)} isn't within the text's {len(text)} characters; "
                f"expected 0 <= start < end <= {len(text)}."
            )
        first, after = trimmed(text, start, end)
        if first == after:
            raise KzooError(
                f"{where}: the span {list(span)} holds blanks alone; move it to a word, or drop it."
            )
        if start < last:
            raise KzooError(f"{where}: the spans {list(shown)} and {list(span)} overlap; keep one.")
        last, shown = end, span
    return spans


def _label_studio(path, rows, lines, unit, text):
    """Label Studio's JSON: tasks with annotations, whose offsets may count UTF-16 units."""
    texts, y, kept, left_out = [], [], [], {}
    keys = [key for key, value in rows[0]["data"].items() if isinstance(value, str)]
    key = text if text is not None else ("text" if "text" in keys else None)
    if key is None and len(keys) != 1:
        raise KzooError(
            f"{path} has {listed(keys) or 'no strings'} in its data: say which is the text, such "
            f"as text={(keys or ['text'])[0]!r}."
        )
    key = key or keys[0]
    for row, line in zip(rows, lines, strict=True):
        where = f"{path}, {unit} {line}"
        data = row.get("data") if isinstance(row, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get(key), str):
            raise KzooError(f"{where}: expected data with {key!r}, a string.")
        done = [a for a in row.get("annotations") or [] if not a.get("was_cancelled")]
        chosen = [a for a in done if a.get("ground_truth")] or done
        annotations = [_label_studio_spans(where, data[key], a.get("result") or []) for a in chosen]
        if not annotations:
            left_out.setdefault("no annotation", []).append(line)
        elif any(spans != annotations[0] for spans in annotations):
            raise KzooError(
                f"{where}: got {len(annotations)} annotations that differ; keep one, or mark it as "
                "the ground truth."
            )
        else:
            texts.append(data[key])
            y.append(annotations[0])
            kept.append(line)
    if not kept:
        raise KzooError(f"{path}: none of its {len(rows):,} tasks has an annotation.")
    return Examples(
        path=path, x=texts, y=y, lines=kept, text=key, label="annotations", columns=list(rows[0]),
        kind="Label Studio's texts with spans", unit=unit, left_out=left_out,
    )  # fmt: skip


def _label_studio_spans(where, text, results):
    spans = []
    for result in results:
        value = result.get("value") or {}
        if "labels" not in value or "start" not in value:
            continue  # A choice or a rating of the whole text.
        start, end, kind = _span(where, {k: value.get(k) for k in ("start", "end", "labels")})
        written = value.get("text")
        if isinstance(written, str) and text[start:end] != written:
            units = text.encode("utf-16-le")
            try:
                before, within = units[: 2 * start].decode("utf-16-le"), units[2 * start : 2 * end]
                start, end = len(before), len(before) + len(within.decode("utf-16-le"))
            except UnicodeDecodeError:
                pass
            if text[start:end] != written:
                raise KzooError(
                    f"{where}: the span at {value['start']} is {text[start:end]!r:.30}; expected "
                    f"{written!r:.30}, as the annotation says."
                )
        spans.append((start, end, kind))
    return checked_spans(where, text, spans)
