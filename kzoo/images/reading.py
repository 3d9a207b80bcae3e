"""Whatever a user has a picture in, as an upright array of RGB: files, bytes, PIL, arrays."""

import io
import os
import warnings
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import path_of

# A file with more pixels isn't decoded: a small one can hold a picture that fills the memory.
MOST_PIXELS = 2**27
# What Pillow decodes by itself; some of its formats are programs that it hands to others.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO")
ENDINGS = (
    ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif",
    ".jp2", ".ico",
)  # fmt: skip
WHITE = 255
ORIENTATION = 0x0112  # The number of a tag of EXIF.
KINDS = "a path, bytes, a PIL picture or an array of uint8 or of 0 to 1"


def read_picture(source, name=None):
    """A picture as an upright array of RGB, (height, width, 3) of uint8.

    A file's EXIF orientation is applied, of an animation the first frame is taken, what is
    transparent shows white, and of 16 bits the upper 8 count.

    Args:
        source: a path or file:// URL; the bytes of a file; a PIL picture; or an array (height,
            width) or (height, width, channels) of 1, 3 or 4 channels (grey, RGB, RGBA): of uint8,
            of uint16, or of floating-point numbers from 0 to 1.
        name: what an error calls the picture that has no path.

    Raises:
        KzooError: naming the picture, where it can't be read.
    """
    if isinstance(source, (str, Path)):
        return _from_file(path_of(source, name or "The picture"), str(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_file(io.BytesIO(source), name or f"The picture of {len(source):,} bytes")
    name = name or "The picture"
    if hasattr(source, "getbands"):
        with _failing(name):
            return _upright(source, name)
    if not hasattr(source, "__array__"):
        raise KzooError(f"{name} is a {type(source).__name__}; expected {KINDS}.")
    return _from_array(np.asarray(source), name)


def check_picture(path):
    """Raise KzooError unless a file begins as a picture does; its pixels aren't decoded."""
    with _opened(path_of(path, "The picture"), str(path)):
        pass


def picture_size(source, name=None):
    """(height, width) of a picture as `read_picture` gives it; a file is read no further.

    Args:
        source, name: as for `read_picture`.
    """
    file = source
    if isinstance(source, (str, Path)):
        file, name = path_of(source, name or "The picture"), str(source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = name or f"The picture of {len(source):,} bytes"
        file = io.BytesIO(source)
    else:
        return read_picture(source, name).shape[:2]
    with _opened(file, name) as image, _failing(name):
        width, height = image.size
        # Those by which the picture lies on its side.
        is_turned = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
    return (width, height) if is_turned else (height, width)


def is_picture(source):
    """Whether a path or URL ends as a picture's."""
    return os.path.splitext(str(source))[1].lower() in ENDINGS


def _from_file(file, name):
    with _opened(file, name) as image, _failing(name):
        return _upright(image, name)


def _opened(file, name):
    """A file as a PIL picture whose pixels are still to be decoded."""
    from PIL import Image

    data = file if isinstance(file, io.BytesIO) else None
    if data is None and not file.is_file():
        what = "is a folder" if file.is_dir() else "doesn't exist"
        raise KzooError(f"{name} {what}; expected the file of a picture.")
    empty = not (data.getbuffer().nbytes if data else file.stat().st_size)
    if empty:
        raise KzooError(f"{name} is empty; expected a picture.")
    with _failing(name):
        try:
            with warnings.catch_warnings():  # Of what is large for Pillow, and not for us.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError:
            raise _too_large(name) from None
    if image.size[0] * image.size[1] > MOST_PIXELS:
        image.close()
        raise _too_large(name)
    return image


def _too_large(name):
    return KzooError(
        f"{name} has more than {MOST_PIXELS:,} pixels, the most that are read: make it smaller."
    )


class _failing:
    """What Pillow raises inside becomes one sentence about the picture."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # Decoders let through what reading damaged bytes raises, which is of many kinds.
        if error is None or isinstance(error, KzooError) or not isinstance(error, Exception):
            return False
        from PIL import UnidentifiedImageError

        if isinstance(error, UnidentifiedImageError):
            raise KzooError(
                f"{self.name} is no picture of a format that is known; expected "
                f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
            ) from None
        if isinstance(error, OSError) and error.errno is not None:
            raise KzooError(f"{self.name} can't be read ({error.strerror}).") from None
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise KzooError(
            f"{self.name} can't be read whole ({reason}): it is damaged, or was cut off; fetch it "
            "again."
        ) from None


def _upright(image, name):
    """A PIL picture as RGB, turned as its EXIF data say."""
    from PIL import Image, ImageOps

    if not min(image.size):
        raise KzooError(f"{name} has no pixels: it is {image.size[0]} by {image.size[1]}.")
    image.load()
    of_file = image.format is not None
    image = ImageOps.exif_transpose(image)
    if image.mode == "I":  # 32 bits here, of a file with 16; or of an array, whatever it holds.
        array = np.asarray(image)
        has_16 = _is_within(array, 65535) and (of_file or not _is_within(array, 255))
        return _from_array(array.astype("uint16") if has_16 else array, name)
    if image.mode.startswith(("I;16", "F")):
        return _from_array(np.asarray(image), name)
    # What was converted in memory still names the colour that was clear in its file.
    has_clear = "transparency" in image.info and (of_file or image.mode == "P")
    if "A" in image.getbands() or "a" in image.getbands() or has_clear:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (WHITE,) * 4)
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _is_within(array, most):
    return array.min() >= 0 and array.max() <= most


def _from_array(array, name):
    shape = array.shape
    is_picture = array.ndim in (2, 3) and (array.ndim == 2 or shape[2] in (1, 3, 4))
    if not is_picture or not array.size:
        raise KzooError(
            f"{name} is an array of the shape {shape}; expected (height, width) or (height, width, "
            "channels) of 1, 3 or 4 channels."
        )
    array = _eight_bits(array, name)
    array = array if array.ndim == 3 else array[..., None]
    if shape[2:] == (4,):
        alpha = array[..., 3:].astype("float32") / 255
        array = np.rint(array[..., :3] * alpha + WHITE * (1 - alpha)).astype("uint8")
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _eight_bits(array, name):
    """The numbers of an array as uint8."""
    if array.dtype == bool:
        return array.astype("uint8") * np.uint8(255)
    whole = array.dtype.kind in "iu"
    if not whole and array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise KzooError(f"{name} is an array of {array.dtype}; expected {KINDS}.")
    if not whole:
        array = array.astype("float32")
    is_wide = whole and array.dtype.kind == "u" and array.dtype.itemsize == 2
    most = 65535 if is_wide else 255 if whole else 1
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= most):  # NaN is neither.
        hint = ": cast it to uint8, or save the file in 8 bits" if 0 <= low <= high <= 255 else ""
        raise KzooError(
            f"{name} holds {array.dtype} from {low:g} to {high:g}; expected uint8, or "
            f"{'whole numbers' if whole else 'floating-point numbers'} from 0 to {most}{hint}."
        )
    if not whole:
        return np.rint(array * 255).astype("uint8")
    return (array >> 8 if is_wide else array).astype("uint8")
