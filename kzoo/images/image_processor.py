"""Pictures of any size as a network reads them: what `preprocessor_config.json` describes."""

import json
import warnings
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import PROCESSOR as FILE
from ..files import processor_config, read_json, writing_file
from ..values import is_number, is_whole
from .reading import read_picture

KEY = "image_processor"  # of the file that holds processors of several kinds
TYPES = ("image_processor_type", "feature_extractor_type")

# What keys mean that a file doesn't have, by the class that it names: transformers' defaults.
# `square` says whether a size that is one number is that of both sides, or of the shorter one.
COMMON = {
    "do_resize": True,
    "resample": 2,
    "do_center_crop": None,
    "crop_size": None,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_flip_channel_order": None,
    "do_pad": None,
}
DEFAULTS = {
    "ViT": {**COMMON, "size": {"height": 224, "width": 224}, "square": True},
    "DeiT": {
        **COMMON,
        "size": {"height": 256, "width": 256},
        "square": True,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
    },
    "CLIP": {
        **COMMON,
        "size": {"shortest_edge": 224},
        "square": False,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
    "Blip": {
        **COMMON,
        "size": {"height": 384, "width": 384},
        "square": True,
        "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
    # Its class there never normalises, whatever a file says.
    "MobileViT": {
        **COMMON,
        "size": {"shortest_edge": 224},
        "square": False,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 256, "width": 256},
        "do_flip_channel_order": True,
    },
    # As large as fits between two lengths; of a batch all are filled up to the largest.
    "Detr": {
        **COMMON,
        "size": {"shortest_edge": 800, "longest_edge": 1333},
        "square": False,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "do_pad": True,
        "max_size": 1333,
    },
}
NEVER_NORMALISES, FLIPS, PADS = ("MobileViT",), ("MobileViT",), ("Detr",)
# What transformers puts behind these names.
ENDS = ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")
# Keys that change nothing here; a picture is always made RGB.
HARMLESS = {
    *TYPES,
    "auto_map",
    "data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "do_reduce_labels",
    "feature_extractor_type",
    "format",
    "image_processor_type",
    "input_data_format",
    "pad_size",
    "processor_class",
    "return_tensors",
    "use_fast",
    "_valid_processor_keys",
}
LARGEST = 2**24  # pixels of a resized picture that is made whole before it is cropped
RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by their numbers there


class ImageProcessor:
    """Resize, crop, rescale and normalise, as transformers' image processors do.

    Called on a list of pictures it gives (pictures, height, width, channels), float32. It does so
    in two steps: `resized`, which a client on any device does as well, and `scaled`, a
    multiplication and an addition for each channel that a device file holds.

    Args:
        size: (height, width), or one number for both; {"shortest_edge": number} keeps the ratio
            of the sides, and needs a `crop`; with a "longest_edge" beside it a picture is as large
            as fits between both, and pictures are of many sizes, see `filled`; None for pictures
            that aren't resized.
        crop: the (height, width), or one number for both, of what is cut from the middle; where
            a picture is smaller, black stands round it.
        resample: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming", as Pillow has
            them: a picture that is made smaller is smoothed.
        rescale: what a number from 0 to 255 is multiplied by; None for nothing.
        mean, std: what is taken away from each channel then, and by what it is divided; None for
            neither. Lists of one number are for pictures in grey.
    """

    def __init__(
        self,
        size=224,
        crop=None,
        resample="bilinear",
        rescale=1 / 255,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ):
        if resample not in RESAMPLE:
            raise KzooError(f"Got resample={resample!r:.40}; expected one of {RESAMPLE}.")
        if (mean is None) != (std is None):
            raise KzooError("Got one of mean and std; expected both, or neither.")
        has_bound = isinstance(size, dict) and "longest_edge" in size
        config = {
            "image_processor_type": f"{'Detr' if has_bound else 'ViT'}ImageProcessor",
            "do_resize": size is not None,
            "resample": RESAMPLE.index(resample),
            "do_center_crop": crop is not None,
            "do_rescale": rescale is not None,
            "do_normalize": mean is not None,
        }
        if size is not None:
            config["size"] = size if isinstance(size, dict) else _as_sides(size, "size")
        if crop is not None:
            config["crop_size"] = _as_sides(crop, "crop")
        if rescale is not None:
            config["rescale_factor"] = rescale
        if mean is not None:
            config |= {"image_mean": _listed(mean), "image_std": _listed(std)}
        self._settle(config, "ImageProcessor")

    @classmethod
    def from_config(cls, config, source="The configuration"):
        """The processor of the object of a `preprocessor_config.json`; `source` names the file."""
        processor = cls.__new__(cls)
        processor._settle(dict(config), source)
        return processor

    def _settle(self, config, source):
        """Read the configuration, which is kept as it is."""
        self.config = config
        name = _stem(config)
        if name not in DEFAULTS:
            known = ", ".join(f"{each}ImageProcessor" for each in DEFAULTS)
            given = [f"{key} {config[key]!r:.60}" for key in TYPES if key in config]
            raise KzooError(
                f"{source} has {given[0] if given else f'no {TYPES[0]}'}; expected one of {known}."
            )
        defaults = DEFAULTS[name]
        given = {key: value for key, value in config.items() if value is not None}
        unknown = given.keys() - defaults.keys() - HARMLESS
        if given.get("do_pad") and name not in PADS:
            raise KzooError(f"{source} has do_pad, which kzoo doesn't do: resize, or crop.")
        if unknown := sorted(unknown):
            named = ", ".join(f"{key} = {given[key]!r:.40}" for key in unknown)
            warnings.warn(f"{source} has {named}, which changes nothing in kzoo.", stacklevel=4)
        held = {**defaults, **{key: given[key] for key in given if key in defaults}}
        self.size = _size(held, source) if held["do_resize"] else None
        self.longest = _longest(held, source) if held["do_resize"] else None
        self.pads = bool(held["do_pad"])
        self.crop = (
            _sides(held["crop_size"], "crop_size", source) if held["do_center_crop"] else None
        )
        if self.crop is None and not isinstance(self.size, tuple) and not self.pads:
            raise KzooError(
                f"{source} gives pictures of many sizes; expected a size of both sides, or a crop."
            )
        if not is_whole(held["resample"], 0, len(RESAMPLE) - 1):
            raise KzooError(f"{source} has resample = {held['resample']!r:.40}; expected 0 to 5.")
        self.resample = RESAMPLE[held["resample"]]
        self.channel_order = "rgb"
        if name in FLIPS and held["do_flip_channel_order"]:
            self.channel_order = "bgr"
        self._set_scale(held, name in NEVER_NORMALISES, source)

    def _set_scale(self, held, never, source):
        """What each channel is multiplied by, and what is added to it then."""
        factor = held["rescale_factor"] if held["do_rescale"] else 1.0
        mean, std = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
        if held["do_normalize"] and not never:
            mean, std = (
                [v] * 3 if is_number(v) else v for v in (held["image_mean"], held["image_std"])
            )
        lists = isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std)
        numbers = [factor, *mean, *std] if lists else []
        if len(numbers) not in (3, 7) or not all(map(is_number, numbers)) or not all(std):
            raise KzooError(
                f"{source} has rescale_factor = {factor!r:.40}, image_mean = {mean!r:.60} and "
                f"image_std = {std!r:.60}; expected a number, and one for each of 3 channels, or "
                "of 1 in grey."
            )
        self.rescale, self.mean, self.std = float(factor), tuple(mean), tuple(std)
        self.scale = np.array([factor / s for s in std], "float32")
        self.shift = np.array([-m / s for m, s in zip(mean, std, strict=True)], "float32")

    @property
    def channels(self):
        """How many numbers a pixel has: 3, or 1 in grey."""
        return len(self.mean)

    @property
    def sides(self):
        """(height, width) of what `resized` gives; None of both where a picture decides."""
        sides = self.crop or self.size
        return sides if isinstance(sides, tuple) else (None, None)

    @property
    def shape(self):
        """(height, width, channels) of a picture that `resized` gives, see `sides`."""
        return (*self.sides, self.channels)

    def for_size(self, image_size):
        """A copy that makes pictures of another size: a (height, width), or one number for both.

        Where it cuts the middle out, what that is cut from grows alike.
        """
        config, sides = dict(self.config), _sides(image_size, "image_size", "for_size")
        target = dict(zip(("height", "width"), map(int, sides), strict=True))
        if self.crop is None:
            config["size"] = target
            return self.from_config(config)
        config["crop_size"] = target
        if isinstance(self.size, tuple):
            grown = [s * n // c for s, n, c in zip(self.size, sides, self.crop, strict=True)]
            config["size"] = dict(zip(target, grown, strict=True))
        elif self.size is not None:
            ratio = max(n / c for n, c in zip(sides, self.crop, strict=True))
            config["size"] = {"shortest_edge": int(self.size * ratio)}
        return self.from_config(config)

    def __call__(self, pictures):
        """Pictures as the network reads them: (pictures, height, width, channels), float32.

        Args:
            pictures: a list of what `read_picture` takes; or one such thing.
        """
        alone = not isinstance(pictures, (list, tuple)) and np.ndim(pictures) < 4
        pictures = [pictures] if alone else pictures
        names = [f"Picture {number}" for number in range(len(pictures))]
        resized = [self.resized(p, name) for p, name in zip(pictures, names, strict=True)]
        if self.sides == (None, None):
            return self.filled(resized)[0]
        return np.asarray(self.scaled(np.stack(resized)))

    def resized(self, picture, name=None):
        """A picture of the network's size, (height, width, channels) of uint8.

        Args:
            picture: what `read_picture` takes.
            name: what an error calls it.
        """
        from PIL import Image

        pixels = read_picture(picture, name)
        sides = pixels.shape[:2]
        if pixels.shape == self.shape and self._resized_size(*sides) == sides:
            return pixels  # To go through Pillow would be most of a small picture's time.
        image = Image.fromarray(pixels)
        image = image.convert("L") if self.channels == 1 else image
        rows, columns = self._resized_size(image.height, image.width)
        crop = self.crop or (rows, columns)
        # Half the difference, rounded down: below zero where the picture is smaller.
        top, left = (rows - crop[0]) // 2, (columns - crop[1]) // 2
        kept = (
            max(left, 0),
            max(top, 0),
            min(left + crop[1], columns),
            min(top + crop[0], rows),
        )
        image = self._cut(image, rows, columns, kept)
        result = np.zeros((*crop, self.channels), "uint8")
        result[kept[1] - top : kept[3] - top, kept[0] - left : kept[2] - left] = np.reshape(
            image, (image.height, image.width, self.channels)
        )
        return result

    def _cut(self, image, rows, columns, kept):
        """What is `kept` (left, top, right, bottom) of a picture once it is resized."""
        resample = RESAMPLE.index(self.resample)
        if self.size is None:
            return image.crop(kept)
        if rows * columns <= LARGEST:
            return image.resize((columns, rows), resample).crop(kept)
        # Of a picture that is nearly a line the rest would fill the memory.
        scales = (image.width / columns, image.height / rows) * 2
        box = [place * scale for place, scale in zip(kept, scales, strict=True)]
        return image.resize((kept[2] - kept[0], kept[3] - kept[1]), resample, box)

    def _resized_size(self, height, width):
        """(rows, columns) of a picture once it is resized."""
        if isinstance(self.size, tuple):
            return self.size
        if self.size is None:
            return height, width
        short, long = min(height, width), max(height, width)
        shorter = whole = self.size
        if self.longest is not None and long / short * shorter > self.longest:
            shorter = self.longest * short / long
            whole = round(shorter)
        # A picture that has the length keeps its other one.
        longer = long if short == whole else int(shorter * long / short)
        return (longer, whole) if width <= height else (whole, longer)

    def scaled(self, pictures):
        """Pictures (..., height, width, channels) of 0 to 255 as numbers for the network, float32.

        Of a tensor a tensor; in Keras' operations, so that a graph holds it.
        """
        from keras import ops  # Who reads a bundle needs no Keras.

        x = ops.cast(pictures, "float32")
        if self.channel_order == "bgr":
            x = _turned(x)
        return x * self.scale + self.shift

    def filled(self, pictures, multiple=1):
        """Pictures of several sizes as one array, and which of its pixels are a picture's own.

        Args:
            pictures: a list of what `resized` gives.
            multiple: of what height and width of the array are multiples.

        Returns:
            (pictures, height, width, channels), float32, what `scaled` makes of each with 0 right
            of it and below it; and (pictures, height, width), int32, 1 for a pixel of a picture.
        """
        sides = np.max([picture.shape[:2] for picture in pictures], axis=0)
        height, width = (-(-int(side) // multiple) * multiple for side in sides)
        numbers = np.zeros((len(pictures), height, width, self.channels), "float32")
        mask = np.zeros((len(pictures), height, width), "int32")
        for place, picture in enumerate(pictures):
            rows, columns = picture.shape[:2]
            numbers[place, :rows, :columns] = np.asarray(self.scaled(picture))
            mask[place, :rows, :columns] = 1
        return numbers, mask

    def unscaled(self, numbers):
        """What `scaled` made numbers of, as float32: pictures of 0 to 255."""
        x = (numbers - self.shift) / self.scale
        return _turned(x) if self.channel_order == "bgr" else x

    # -- keeping --------------------------------------------------------------------------------

    @staticmethod
    def is_in(folder):
        """Whether a folder holds one."""
        return _config_in(Path(folder)) is not None

    @classmethod
    def load(cls, path):
        """The processor in a folder, or in its `preprocessor_config.json`."""
        path = Path(path)
        if path.is_dir():
            found = _config_in(path)
            if found is not None:
                return cls.from_config(*found)
            path = path / FILE  # What lies there says itself what it lacks.
        return cls.from_config(read_json(path, "an image processor's configuration"), path)

    def save(self, folder):
        """Write `preprocessor_config.json` into `folder`; return the folder."""
        folder = Path(folder)
        with writing_file(folder / FILE) as tmp_path:
            text = json.dumps(self.config, indent=2, sort_keys=True, ensure_ascii=False)
            tmp_path.write_text(text + "\n", encoding="utf-8")
        return folder


def _turned(pictures):
    """Pictures with their channels the other way round."""
    from keras import ops

    return ops.concatenate([pictures[..., place : place + 1] for place in (2, 1, 0)], axis=-1)


def _config_in(folder):
    """The object that describes an image processor in a folder, and its file; or None."""
    config, path = processor_config(folder, KEY)
    is_ours = isinstance(config, dict) and (
        path.name != FILE or TYPES[0] in config or _stem(config) in DEFAULTS
    )
    return (config, path) if is_ours else None


def _stem(config):
    """Of which of the known processors a file is: "ViT" of ViTImageProcessor; None of others."""
    name = next((config[key] for key in TYPES if isinstance(config.get(key), str)), "")
    for end in ENDS:
        if name.endswith(end):
            return name.removesuffix(end)
    return None


def _size(held, source):
    """(height, width), or the length of the shorter side."""
    size = held["size"]
    if is_whole(size, 1) and not held["square"]:
        return size
    known = {"shortest_edge", "longest_edge"} if "max_size" in held else {"shortest_edge"}
    if isinstance(size, dict) and {"shortest_edge"} <= set(size) <= known:
        size = size["shortest_edge"]
        if is_whole(size, 1):
            return size
    return _sides(size, "size", source)


def _longest(held, source):
    """How long the longer side is at most, where only the shorter one has a length; or None."""
    size = held["size"]
    longest = size.get("longest_edge") if isinstance(size, dict) else None
    if is_whole(size, 1) and not held["square"]:
        longest = held.get("max_size")
    if longest is not None and not is_whole(longest, 1):
        raise KzooError(f"{source} has longest_edge = {longest!r:.40}; expected 1 or more.")
    return longest


def _sides(size, key, source):
    """(height, width) of one number, a list of both, or a dict of both."""
    sides = size
    if isinstance(size, dict):
        sides = [size[k] for k in ("height", "width")] if set(size) == {"height", "width"} else []
    elif not isinstance(size, (list, tuple)):
        sides = [size, size]
    if len(sides) != 2 or not all(is_whole(side, 1) for side in sides):
        raise KzooError(
            f"{source} has {key} = {size!r:.60}; expected height and width, or one number for both."
        )
    return tuple(sides)


def _as_sides(size, name):
    height, width = _sides(size, name, "ImageProcessor")
    return {"height": int(height), "width": int(width)}


def _listed(values):
    return [values] * 3 if is_number(values) else [float(value) for value in np.ravel(values)]
