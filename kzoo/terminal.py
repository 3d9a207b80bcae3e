"""The terminal: results on stdout, progress and errors on stderr, what libraries say on neither."""

import contextlib
import faulthandler
import json
import math
import os
import re
import sys

from .errors import KzooError
from .logs import LEVEL, is_debugging, settled

WIDTH_OF_A_PIPE = 160  # columns where no terminal says its width, so that no table is cut
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but the tab and the newline
BAD_INPUT, UNEXPECTED, INTERRUPTED, BROKEN_PIPE = 2, 1, 130, 141  # exit codes


class Screen:
    """Where a command writes: its result to stdout, as JSON or as a view, the rest to stderr."""

    def __init__(self, out, as_json):
        self.out = out
        self.as_json = as_json

    def result(self, data, view=None):
        """Print the one result of a command: `data` as JSON, or what `view(data)` returns.

        A view returns anything rich prints, or a list of such things.
        """
        if self.as_json:
            text = json.dumps(_json_value(data), indent=2, ensure_ascii=False)
            self.out.write(CONTROLS.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n")
        else:
            shown = view(printable(data))
            console = self._console(self.out)
            with console.capture() as text:  # rich would handle a closed pipe in its own way
                for item in shown if isinstance(shown, list) else [shown]:
                    console.print(item)
                    console.print()
            self.out.write(text.get())
        self.out.flush()

    def event(self, kind, data):
        """Print an object for machines on a line of its own: its first key, "event", says what."""
        text = json.dumps(_json_value({"event": kind, **data}), ensure_ascii=False)
        self.out.write(CONTROLS.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n")
        self.out.flush()

    def last(self, data, view):
        """`result` of a command that told of events: as JSON it is one of them, on its line."""
        if self.as_json:
            self.event("result", data)
        else:
            self.result(data, view)

    def line(self, text):
        """Print one line of plain text to stdout at once."""
        self.out.write(printable(text) + "\n")
        self.out.flush()

    def pieces(self, pieces):
        """Print a text whose pieces come one by one; what came stays where one doesn't come."""
        is_begun = False
        try:
            for piece in pieces:
                self.out.write(printable(piece))
                self.out.flush()
                is_begun = True
        finally:
            if is_begun:
                self.line("")

    @contextlib.contextmanager
    def working(self, text, takes_long=False):
        """Say on a terminal's stderr what is being done; the line goes when it is done.

        Yields a function that changes the line. Elsewhere, in a log, nothing is said, or each line
        of what takes long.
        """
        if not sys.stderr.isatty():
            yield self.note if takes_long else lambda _line: None
            return
        with self._console(sys.stderr).status(f"{printable(text)} ...") as status:
            yield lambda line: status.update(f"{printable(line)} ...")

    @staticmethod
    def note(text):
        """Print one line of what was done to stderr: on a terminal above the line that moves."""
        print(printable(text), file=sys.stderr, flush=True)

    @staticmethod
    def _console(stream):
        from rich.console import Console

        return Console(
            file=stream, width=_width(stream), emoji=False, markup=False, highlight=False
        )


@contextlib.contextmanager
def session(as_json=False):
    """Run one command: yields its `Screen` and turns what goes wrong into a sentence and a code.

    Exit codes: 2 for input that can't be used, 1 for a fault of kzoo itself, 130 for Ctrl-C, 141
    where the reader of a pipe has gone. KZOO_DEBUG=1 shows tracebacks and what libraries print.
    """
    with _silence() as out:
        try:
            yield Screen(out, as_json)
        except KeyboardInterrupt as interrupt:
            for note in _notes(interrupt):
                Screen.note(note)
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            raise SystemExit(BROKEN_PIPE) from None
        except Exception as error:
            if is_debugging():
                raise
            code, text = explain(error)
            complain(" ".join([text, *_notes(error)]))
            raise SystemExit(code) from None


def _notes(error):
    """What was added to an error on its way, such as where what was done is kept."""
    return [" ".join(note.split()) for note in getattr(error, "__notes__", [])]


def complain(text):
    """Print one sentence about a mistake to stderr."""
    settled()
    print(f"error: {printable(text)}", file=sys.stderr)


def printable(value):
    """The value with the control characters of all strings in it spelt out.

    A terminal obeys them, and labels and texts come from files of others.
    """
    if isinstance(value, str):
        return CONTROLS.sub(lambda character: f"\\x{ord(character[0]):02x}", value)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(printable, value))
    return value


def explain(error):
    """The exit code and the one sentence for an exception."""
    text = " ".join(str(error).split())
    full = ("No space left on device", "File too large", "Disk quota exceeded")
    if any(sign in text for sign in full):
        place = getattr(error, "filename", None) or "the output"
        return BAD_INPUT, f"no space is left on the device for {place}: free some and try again."
    if "No usable temporary directory" in text:
        return BAD_INPUT, (
            "no folder for temporary files can be written to: free space in it, or let TMPDIR name "
            "another."
        )
    if isinstance(error, KzooError):
        return BAD_INPUT, text
    if isinstance(error, OSError):
        if error.filename is not None and error.strerror:
            text = f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}."
        return BAD_INPUT, text or type(error).__name__
    if isinstance(error, MemoryError):
        return BAD_INPUT, "the memory of this machine is not enough for that."
    kind = type(error).__name__
    return UNEXPECTED, f"unexpected {kind}: {text} (KZOO_DEBUG=1 shows where; please report it)"


@contextlib.contextmanager
def _silence():
    """Keep stdout and stderr for kzoo; what native code writes to them goes nowhere.

    TensorFlow, XNNPACK and their logging write to the file descriptors, not to `sys.stderr`,
    so only moving the descriptors silences them. Python's `print` keeps working but goes to
    stderr, which leaves stdout to the result. Yields the stream of the true stdout.
    """
    if is_debugging():
        yield sys.stdout
        return
    import logging
    import warnings

    os.environ.setdefault(LEVEL, "3")
    _open_closed_streams()
    sys.stdout.flush()
    sys.stderr.flush()
    python_streams, handler = (sys.stdout, sys.stderr), logging.lastResort
    true_out, true_err = os.dup(1), os.dup(2)
    options = {"mode": "w", "encoding": "utf-8", "errors": "backslashreplace"}
    with (
        open(os.devnull, "wb") as nowhere,
        _stream(true_out, **options) as out,
        _stream(true_err, buffering=1, **options) as err,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.lastResort = logging.NullHandler()
        for name in ("tensorflow", "absl"):  # They have handlers of their own.
            logging.getLogger(name).setLevel(logging.ERROR)
        sys.stdout = sys.stderr = err
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        watching = faulthandler.is_enabled()
        if not watching:
            faulthandler.enable(err)  # a crash of native code is still seen
        try:
            yield out
        finally:
            if not watching:
                faulthandler.disable()
            os.dup2(true_out, 1)
            os.dup2(true_err, 2)
            logging.lastResort = handler
            sys.stdout, sys.stderr = python_streams


@contextlib.contextmanager
def _stream(descriptor, **options):
    """A stream that goes quietly where a command fails.

    What it still holds then may be what the device didn't take, which was said already.
    """
    stream = open(descriptor, **options)  # noqa: SIM115 (closed below, in two ways)
    try:
        yield stream
    except BaseException:
        with contextlib.suppress(OSError):
            stream.close()
        raise
    stream.close()


def _open_closed_streams():
    """Where a shell closed a standard stream (`>&-`), let it lead nowhere instead."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # os.open takes the lowest free number, which is its own
            stream = os.fdopen(os.open(os.devnull, os.O_RDWR), mode)  # noqa: SIM115 (stays open)
            setattr(sys, name, stream)


def _width(stream):
    if os.environ.get("COLUMNS", "").isdigit():
        return int(os.environ["COLUMNS"])
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH_OF_A_PIPE
    except OSError:
        return WIDTH_OF_A_PIPE


def _json_value(value):
    """JSON types only: numpy's numbers and arrays as Python's, what is not finite as null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
