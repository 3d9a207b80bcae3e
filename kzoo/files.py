"""Files that are there whole or not at all, and reading with errors that name the file."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit

from .errors import KzooError

MANIFEST = "kzoo.json"  # what a bundle holds, and no preset
DEEPEST = 64  # lists and objects within each other; more would end in a RecursionError somewhere


@contextlib.contextmanager
def writing_file(path):
    """Yield a path beside `path`; on success it takes the place of `path`, on failure it goes.

    A link stays: what it leads to is written.
    """
    path = _followed(path)
    _make_parent(path)
    with _naming(path):
        tmp_path = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
        mode = _touch(tmp_path)
    try:
        yield tmp_path
        os.chmod(tmp_path, mode)
        os.replace(tmp_path, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(tmp_path)
        raise


@contextlib.contextmanager
def writing_folder(path, mark=None):
    """Yield a folder beside `path`; on success it takes the place of `path`, on failure it goes.

    An existing folder is replaced only if each file in it and in its folders is one that is
    written anew; nobody's files are lost. `mark` is the name of a file that every result of this
    kind holds: a folder with files and without it is refused before any work. A link stays: what
    it leads to is written.
    """
    path = _followed(path)
    path = path if path.name else path.absolute()  # "." has no name of its own.
    if path.exists() and not path.is_dir():
        raise KzooError(f"{path} is a file; a folder is to be written there: name another path.")
    if os.path.ismount(path):
        raise _mounted(path)
    existing = _files(path)
    if mark is not None and existing and Path(mark) not in existing:
        raise KzooError(f"{path} holds other files: name a folder that is new or empty.")
    _make_parent(path)
    with _naming(path):
        tmp_path = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        tmp_path.mkdir()
    try:
        mode = _touch(probe := tmp_path / "probe")
        probe.unlink()
        yield tmp_path
        written = _files(tmp_path)
        for name in written:  # Some libraries make files that only their owner reads.
            os.chmod(tmp_path / name, mode)
        lost = sorted(str(name) for name in _files(path) - written)
        if lost:
            raise KzooError(
                f"{path} holds {', '.join(lost[:3])}, which would be lost: name another folder "
                "or empty this one."
            )
        if path.exists():
            _exchange(path, tmp_path)
        else:
            os.replace(tmp_path, path)
    except BaseException:
        shutil.rmtree(tmp_path, ignore_errors=True)
        raise


def _followed(path):
    path = Path(path)
    if not path.is_symlink():
        return path
    followed = Path(os.path.realpath(path))
    if followed.is_symlink():
        raise KzooError(f"{path} is a link that leads to itself: name another path.")
    return followed


def _files(folder):
    """The paths within a folder of all that is no folder itself; a link is a file."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _touch(path):
    """Make an empty file; return its mode, which is what the user's umask leaves a new file.

    The umask itself can only be read by setting it, which other threads would feel.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _exchange(path, tmp_path):
    """Put a folder in the place of another, which goes; if that fails, all is as before."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    try:
        os.replace(path, aside / path.name)
        try:
            os.replace(tmp_path, path)
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


def within(folder, name, source, nested=False):
    """The path of what a file of others calls `name`: in the folder, or KzooError.

    Every name that stands in a file goes through here. Without `nested` it may not lie in a
    folder within the folder either. `source` says for the error where the name stands. A file may
    be a link, as all files of the hub's cache are; a folder that leads elsewhere is refused.
    """
    folder = Path(folder)
    parts = PureWindowsPath(name).parts if isinstance(name, str) else ()
    # Names are taken apart as Windows does, which knows more ways out: "C:x", "a\\..\\b".
    outside = PureWindowsPath(*parts).anchor or ".." in parts or "\0" in str(name)
    if not isinstance(name, str) or outside or not nested and len(parts) != 1:
        place = "within" if nested else "directly in"
        raise KzooError(
            f"{source} names {name!r:.60}; a name {place} the folder {folder} is expected."
        )
    path = folder.joinpath(*parts)
    deepest = path if path.is_dir() else path.parent
    if not deepest.resolve().is_relative_to(folder.resolve()):
        raise KzooError(
            f"{source} names {name!r:.60}, which is a link out of the folder {folder}: copy what "
            "it leads to into the folder."
        )
    return path


def path_of(source, what):
    """The path that a user gave, maybe as a file:// URL, or with ~ for the own folder.

    Args:
        source: a path, or text.
        what: what an error calls that which lies there.

    Raises:
        KzooError: for an empty path, which would be the current folder, and for other URLs.
    """
    text = str(source)
    if not text:
        raise KzooError(f"{what} is an empty path; expected that of a file or folder.")
    if "://" not in text:
        return Path(os.path.expanduser(text))
    url = urlsplit(text)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise KzooError(f"Got {text:.80}; expected a path or a file:// URL: fetch it first.")
    return Path(unquote(url.path))


def read_json(path, what, kind=dict):
    """The object (or what `kind` is) in a JSON file; `what` names the file's role in the error."""
    return parse_json(read_text(path, what), path, what, kind)


def parse_json(text, source, what, kind=dict):
    """The object (or what `kind` is) in a JSON text; `source` and `what` name it in the error."""
    try:
        value = json.loads(text)
    # A number of more than 4,300 digits is a bare ValueError.
    except (ValueError, RecursionError) as error:
        raise KzooError(f"{source} is not JSON ({error}): {what} was expected there.") from None
    if _too_deep(value):
        raise KzooError(
            f"{source} nests lists and objects more than {DEEPEST} deep: {what} was expected there."
        )
    if not isinstance(value, kind):
        shape = "list" if kind is list else "object"
        raise KzooError(
            f"{source} holds {value!r:.40}; {what}, a JSON {shape}, was expected there."
        )
    return value


def _too_deep(value):
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [each for part in inner for each in part if isinstance(each, (dict, list))]
        if not level:
            return False
    return True


# What a processor of pictures or of sounds is kept in, and where several kinds lie in one file.
PROCESSOR, PROCESSORS = "preprocessor_config.json", "processor_config.json"


def processor_config(folder, key):
    """What a folder says of a processor, and the file that says it; (None, None) without one.

    key: its name in `PROCESSORS`, which counts where there is no `PROCESSOR`.
    """
    what = "a processor's configuration"
    if (folder / PROCESSOR).is_file():
        return read_json(folder / PROCESSOR, what), folder / PROCESSOR
    if (folder / PROCESSORS).is_file():
        return read_json(folder / PROCESSORS, what).get(key), folder / PROCESSORS
    return None, None


def read_text(path, what):
    """The text of a UTF-8 file; `what` names the file's role in the error."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: {what} was expected there.") from None
    except IsADirectoryError:
        raise KzooError(f"{path} is a folder: {what} was expected there.") from None
    except NotADirectoryError:
        raise KzooError(f"{path} lies in a file, not a folder: {what} was expected.") from None
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
