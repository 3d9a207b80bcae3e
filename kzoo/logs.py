"""What libraries log of their own stays off the screen; KZOO_DEBUG=1 shows all of it."""

import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import warnings

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Lines as TensorFlow, absl, XLA and LiteRT log them, and what follows on one of them.
LOGGED = re.compile(
    rb"[IWE]\d{4} [\d:.]+ +\d+ [\w./-]+:\d+\] |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |INFO: |"
    rb"(INFO|WARNING):(tensorflow|absl):|WARNING: All log messages before absl|"
    rb"To enable the following instructions: "
)
NOISY = r"(keras|tensorflow|ai_edge_litert|jax|absl)\b"  # modules whose warnings nobody asked for
_lock, _depth = threading.RLock(), 0
_shown = 0  # How long the line is that moves, see `moving`.


def is_debugging():
    """Whether KZOO_DEBUG asks for everything."""
    return os.environ.get("KZOO_DEBUG", "") not in ("", "0")


@contextlib.contextmanager
def hidden():
    """Keep what TensorFlow, Keras and LiteRT log, and what they warn of, off stderr.

    Native code writes to the file descriptor, so what is written to it meanwhile is gathered; all
    lines that are no such logs follow at the end, those of other threads among them. A TensorFlow
    that is first imported within stays as quiet: it reads the level of its log once, so the
    environment is as before at the end.
    """
    if is_debugging():
        yield
        return
    sets_level = "tensorflow" not in sys.modules and LEVEL not in os.environ
    if sets_level:
        os.environ[LEVEL] = "3"
    try:
        with warnings.catch_warnings(), _gathered_stderr():
            warnings.filterwarnings("ignore", module=NOISY)
            yield
    finally:
        if sets_level:
            os.environ.pop(LEVEL, None)


def verbosity(verbose):
    """Keras' `verbose`, with "auto" as a bar where it moves, and as a line an epoch elsewhere.

    In a file a bar is nothing but control characters.
    """
    if verbose != "auto":
        return verbose
    watched = sys.stdout is not None and sys.stdout.isatty()
    return 1 if watched or "ipykernel" in sys.modules else 2


def moving(text):
    """Show a line in the place of the one that was shown so before; what is too wide is cut."""
    global _shown
    width = shutil.get_terminal_size().columns - 1
    with contextlib.suppress(OSError, ValueError):  # The stream may be no terminal.
        width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
    text = text[: max(1, width)]
    print(f"\r{text.ljust(_shown)}", end="", flush=True)
    _shown = len(text)


def settled(text=None):
    """Let the line that `moving` has shown, if any, stay, or a text in its place, whole."""
    global _shown
    if text is not None:
        print(f"\r{text.ljust(_shown)}", flush=True)
    elif _shown:
        print(flush=True)
    _shown = 0


@contextlib.contextmanager
def _gathered_stderr():
    """Descriptor 2 leads to a file within, whose lines that are no logs go to it at the end."""
    global _depth
    with _lock:  # Of several threads the first one gathers for all.
        outermost = _depth == 0
        _depth += 1
    if not outermost:
        try:
            yield
        finally:
            with _lock:
                _depth -= 1
        return
    true_err = file = None
    try:
        with contextlib.suppress(OSError):  # Nowhere to gather, or no stderr: then as it is.
            file = tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
            true_err = os.dup(2)
            _flush()
            os.dup2(file.fileno(), 2)
        yield
    finally:
        with _lock:
            _depth -= 1
        if true_err is not None:
            _flush()
            os.dup2(true_err, 2)
            os.close(true_err)
            file.seek(0)
            kept = b"".join(line for line in file if not LOGGED.match(line))
            if kept:
                os.write(2, kept)
        if file is not None:
            file.close()


def _flush():
    if sys.stderr is not None:
        with contextlib.suppress(ValueError):  # It may be closed.
            sys.stderr.flush()
