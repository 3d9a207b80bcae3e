"""Texts on lines: the one rule by which every program of kzoo reads them.

A stream is UTF-8; a byte order mark (U+FEFF) at its very beginning belongs to no line. A line ends
with a line feed or with the stream, and one carriage return right before that is part of the end.
Nothing else ends a line: a carriage return elsewhere, U+0085 and U+2028 are characters of it. An
empty line is a text too; but the last lines are none as long as they hold nothing but spaces, tabs
and carriage returns.

A line of a pair is a JSON array of two strings where it begins with "[" and is one; else two texts
with one tab between. A string with an unpaired surrogate (`"\\ud83d"`) is no text, because UTF-8
can't write it.

`kzoo predict`, the Kotlin command, the page's `client.mjs` and MediaPipe's client read so;
`tests/golden/lines.json` holds odd lines, which the tests of each of them read.
"""

from .errors import KzooError
from .files import parse_json

BLANK = " \t\r"  # what the last lines may hold and still be none


def read_lines(data, name):
    """The texts in the bytes of a stream; `name` says in an error what it is.

    Raises:
        KzooError: if they are not UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise KzooError(f"Line {number} of {name} is not UTF-8: convert it first.") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip(BLANK):
        lines.pop()
    return lines


def as_pair(line, name="A pair"):
    """The two texts of a line; `name` says in an error which it is.

    Raises:
        KzooError: if it is no pair.
    """
    both = _two_strings(line) if line.startswith("[") else None
    if both is None:
        both = tuple(line.split("\t"))
    if len(both) != 2:
        raise KzooError(
            f"{name} is {line!r:.60}, with {len(both) - 1 or 'no'} tabs; expected two texts with "
            "one tab between them, or a JSON array of two strings."
        )
    for text in both:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise KzooError(
                f"{name} is {line!r:.60}, with an unpaired surrogate; expected text that UTF-8 can "
                "write: take it out."
            ) from None
    return both


def _two_strings(line):
    """The strings of a JSON array of two; None of anything else."""
    try:
        value = parse_json(line, "The line", "a pair", list)
    except KzooError:
        return None
    is_pair = len(value) == 2 and all(isinstance(part, str) for part in value)
    return tuple(value) if is_pair else None
