"""Whatever a user has a sound in as mono float32 samples of a given rate."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import path_of
from ..values import is_whole

RATES = (100, 768_000)  # samples a second
MOST_CHANNELS = 64
MOST_SECONDS = 4 * 3600
LOUDEST = 64.0  # of numbers whose loudest should be 1; more are whole numbers that were only cast
# What libsndfile notes of a file that says it holds more bytes of samples than are there.
CUT = re.compile(r"^ *(?:data|SSND|riff|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
PAGE = 27 + 255 + 255 * 255  # bytes of the longest page of OGG
UNKNOWN = 2**31 - 2**16  # bytes, and more: what programs say that write to a pipe
ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64")


def read_sound(source, rate, what="The sound"):
    """A sound as mono float32 samples (n,), of which 1 and -1 are the loudest that files hold.

    Channels are averaged; what has another rate is resampled (soxr, "high quality").

    Args:
        source: a path, also as `file://` URL; the bytes of a file; samples as an array or list,
            (n,) or with an axis for channels, of this rate; `(samples, rate)`; or a dict with
            `array` (or `raw`) and `sampling_rate`, as Hugging Face's datasets have them, or with
            `path` or `bytes`. Whole numbers have the range of their type.
        rate: samples a second that are wanted.
        what: how errors call it.

    Raises:
        KzooError: for what is no sound, or has no samples, or some that are no numbers.
    """
    if isinstance(source, dict):
        source = _of_dict(source, what)
    if isinstance(source, (str, Path, bytes, bytearray, memoryview)):
        what = _named(source, what)
        samples, own = _decoded(source, what)
    elif isinstance(source, tuple) and len(source) == 2 and is_whole(source[1]):
        samples, own = source
    else:
        samples, own = source, rate
    if not is_whole(own, *RATES):
        raise KzooError(
            f"{what} has {own!r:.40} samples a second; expected {RATES[0]} to {RATES[1]:,}."
        )
    samples = _mono(samples, what)
    return samples if own == rate else _resampled(samples, int(own), rate)


def check_samples(samples, what="The sound"):
    """Raise KzooError for no samples at all, and for some that are no numbers."""
    if not len(samples):
        raise KzooError(f"{what} has no samples; expected at least one: leave it out.")
    if not np.isfinite(samples).all():
        wrong = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise KzooError(
            f"{what} holds {samples[wrong]} at sample {wrong}; expected numbers, 1 and -1 for the "
            "loudest: find out what made it so."
        )


def check_sound(path):
    """Raise KzooError for a file that holds no sound; its samples are not read."""
    with _opened(path, _named(path, None)):
        pass


def _of_dict(given, what):
    """What a dict of Hugging Face's datasets, or pipelines, holds."""
    samples = given.get("array", given.get("raw"))
    if samples is not None and "sampling_rate" in given:
        return samples, given["sampling_rate"]
    for name in ("bytes", "path"):
        if given.get(name) is not None:
            return given[name]
    raise KzooError(
        f"{what} is a dict of {sorted(map(str, given))}; expected array and sampling_rate, or path."
    )


def _named(source, what):
    """How errors call a file."""
    if isinstance(source, (str, Path)):
        return f"{str(source)!r:.120}" if str(source) else what
    return f"{what}, {len(source)} bytes,"


def _decoded(source, what):
    """Samples (n, channels) of a file or its bytes, and their rate."""
    with _opened(source, what) as file:
        samples = file.read(dtype="float32", always_2d=True)
        if len(samples) < file.frames:
            raise _cut(what, f"{len(samples):,} of {file.frames:,} samples")
        return samples, file.samplerate


def _cut(what, there):
    return KzooError(
        f"{what} ends before its sound does, with {there}; expected a whole file: copy or fetch "
        "it anew."
    )


@contextlib.contextmanager
def _opened(source, what):
    """A file, or its bytes, as soundfile has it open; what goes wrong is one sentence."""
    soundfile = _library("soundfile")
    if isinstance(source, (str, Path)):
        path = path_of(source, what)
        if not path.is_file():
            state = "a folder" if path.is_dir() else "missing"
            raise KzooError(f"{what} is {state}; expected a file of sound.")
        size, source = path.stat().st_size, str(path)
    else:
        size, source = len(source), io.BytesIO(bytes(source))
    if not size:
        raise KzooError(f"{what} is empty; expected a file of sound.")
    try:
        with soundfile.SoundFile(source) as file:
            if file.format == "OGG":
                _check_last_page(source, size, what)
            if not file.frames:
                raise KzooError(f"{what} has no samples; expected at least one: leave it out.")
            if file.frames > MOST_SECONDS * file.samplerate:
                raise KzooError(
                    f"{what} lasts {file.frames / file.samplerate / 3600:.1f} hours; expected at "
                    f"most {MOST_SECONDS // 3600}: cut it."
                )
            for says, holds in CUT.findall(file.extra_info):
                if int(holds) < int(says) < UNKNOWN:
                    raise _cut(what, f"{int(holds):,} of {int(says):,} bytes")
            yield file
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2].strip().rstrip(".")
        raise KzooError(
            f"{what} can't be read as sound ({reason}); expected a whole file such as WAV, FLAC, "
            "OGG or MP3."
        ) from None


def _check_last_page(source, size, what):
    """Raise KzooError where OGG ends within a page, or with one that isn't its stream's last."""
    with open(source, "rb") if isinstance(source, str) else io.BytesIO(source.getvalue()) as file:
        file.seek(max(0, size - PAGE))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    is_last = len(page) > 26 and page[5] & 4
    if not is_last or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        raise _cut(what, f"{size:,} bytes and no last page")


def _mono(samples, what):
    """Samples as float32 (n,): whole numbers by the range of their type, the mean of channels."""
    try:
        samples = np.asarray(samples)
        values = samples.astype("float32")
    except (TypeError, ValueError):
        values = None
    is_sound = values is not None and (
        samples.dtype.kind == "f" or (samples.dtype.kind in "iu" and samples.dtype.itemsize <= 4)
    )
    if not is_sound or values.ndim not in (1, 2):
        kind = type(samples).__name__ if values is None else f"{samples.dtype} {samples.shape}"
        raise KzooError(
            f"{what} is {kind}; expected a path, bytes, or samples (n,) or (n, channels) as "
            "float32 or int16, maybe with their rate as (samples, rate)."
        )
    if samples.dtype.kind in "iu":
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        values = values / half - (1.0 if samples.dtype.kind == "u" else 0.0)
    if values.ndim == 2:
        # soundfile has channels last, torchaudio first: there are fewer of them than of samples.
        axis = 1 if values.shape[1] <= values.shape[0] else 0
        if values.size and not 1 <= values.shape[axis] <= MOST_CHANNELS:
            raise KzooError(
                f"{what} has the shape {values.shape}; expected (n, channels), at most "
                f"{MOST_CHANNELS} of them."
            )
        values = values.mean(axis) if values.size else values.reshape(0)
    check_samples(values, what)
    loudest = np.abs(values).max()
    if samples.dtype.kind == "f" and loudest > LOUDEST:
        raise KzooError(
            f"{what} holds {samples.dtype} up to {loudest:g}; expected 1 and -1 for the loudest: "
            "divide int16 by 32768, or leave it int16."
        )
    return np.ascontiguousarray(values, "float32")


def _resampled(samples, rate, wanted):
    """Samples of another rate; at least one."""
    result = _library("soxr").resample(samples, rate, wanted)
    return result if len(result) else samples[:1]


def _library(name):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise KzooError(
            f'Reading sounds needs {name}, which isn\'t there: pip install "kzoo[audio]".'
        ) from None
