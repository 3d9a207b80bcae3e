"""Files that are there whole or not at all, and reading with errors that name the file."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from .errors import KzooError


@contextlib.contextmanager
def writing_file(path):
    """Yield a path beside `path`; on success it takes the place of `path`, on failure it goes."""
    path = Path(path)
    _make_parent(path)
    with _naming(path):
        place = {"prefix": f".{path.name}.", "suffix": path.suffix, "dir": path.parent}
        handle, beside = tempfile.mkstemp(**place)
    os.close(handle)
    try:
        yield Path(beside)
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


@contextlib.contextmanager
def writing_folder(path):
    """Yield a folder beside `path`; on success it takes the place of `path`, on failure it goes.

    An existing folder is replaced only if all it holds is written anew; nobody's files are lost.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise KzooError(f"{path} is a file; a folder is to be written there: name another path.")
    if os.path.ismount(path):
        raise _mounted(path)
    _make_parent(path)
    with _naming(path):
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield beside
        os.chmod(beside, 0o777 & ~_umask())
        for file in beside.rglob("*"):
            if file.is_file():  # Some libraries make files that only their owner reads.
                os.chmod(file, 0o666 & ~_umask())
        if path.exists():
            kept = sorted({f.name for f in path.iterdir()} - {f.name for f in beside.iterdir()})
            if kept:
                raise KzooError(
                    f"{path} holds {', '.join(kept[:3])}, which would be lost: name another folder "
                    "or empty this one."
                )
            _exchange(path, beside)
        else:
            os.replace(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _exchange(path, beside):
    """Put a folder in the place of another, which goes; if that fails, all is as before."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    try:
        os.replace(path, aside / path.name)
        try:
            os.replace(beside, path)
        except BaseException:
            os.replace(aside / path.name, path)
            raise
    except OSError as error:
        # Not every mount point can be told beforehand: a bind mount may be of the same disk.
        raise _mounted(path) if error.errno == errno.EBUSY else error from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _mounted(path):
    return KzooError(
        f"{path} is where something is mounted, which can't be replaced as a whole: name a folder "
        "inside it."
    )


def read_json(path, what, kind=dict):
    """The object (or what `kind` is) in a JSON file; `what` names the file's role in the error."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: {what} was expected there.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise KzooError(f"{path} is not JSON ({error}): {what} was expected there.") from None
    if not isinstance(value, kind):
        shape = "list" if kind is list else "object"
        raise KzooError(f"{path} holds {value!r:.40}; {what}, a JSON {shape}, was expected there.")
    return value


def read_text(path, what):
    """The text of a UTF-8 file; `what` names the file's role in the error."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise KzooError(f"{path} is not UTF-8 ({error}): {what} was expected there.") from None


def sha256(path):
    """The hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _naming(path):
    """What can't be made beside a path is an error about the path that the user gave."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise KzooError(f"{path} can't be written ({error.strerror}): name another path.") from None


def _make_parent(path):
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise KzooError(f"{path.parent} can't be written to: name a folder that is yours.")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
