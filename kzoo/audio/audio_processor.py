"""From sounds to what a network on spectrograms reads, as Hugging Face's feature extractors do."""

import json
import warnings
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import PROCESSOR as FILE
from ..files import processor_config, read_json, writing_file
from ..values import is_number, is_whole
from .sounds import check_samples, read_sound
from .spectrogram import Spectrogram

TYPE = "feature_extractor_type"
KEY = "feature_extractor"  # of the file that holds processors of several kinds
HARMLESS = {TYPE, "auto_map", "processor_class", "return_tensors"}


class LogMel:
    """Kaldi's log-mel filter banks, shifted and scaled (AST, arXiv:2104.01778).

    What `ASTFeatureExtractor` of transformers computes where it has no torchaudio. Sounds that are
    too short have frames of zeros added, before these are shifted as all are.
    """

    DEFAULTS = {
        "do_normalize": True, "feature_size": 1, "max_length": 1024, "mean": -4.2677393,
        "num_mel_bins": 128, "padding_side": "right", "padding_value": 0.0,
        "return_attention_mask": False, "sampling_rate": 16000, "std": 4.5689974,
    }  # fmt: skip
    NOTHING = 4.0  # what stands in samples where no sound is; those of sounds are at most near 1
    WHOLE = ("max_length", "num_mel_bins", "sampling_rate")
    NUMBERS = ("mean", "std")

    def __init__(self, config):
        self.rate, self.num_frames = config["sampling_rate"], config["max_length"]
        # The scale is twice the deviation, as the paper's code has it.
        is_shifted = config["do_normalize"]
        self.shift = config["mean"] if is_shifted else 0.0
        self.scale = 2 * config["std"] if is_shifted else 1.0
        if not self.scale:
            raise KzooError("Got std = 0 for a log-mel spectrogram; expected a number above 0.")
        self.spectrogram = Spectrogram(
            self.rate, window=400, hop=160, fft_length=512, bands=config["num_mel_bins"],
            lowest=20, highest=self.rate // 2, power=2, floor=1.192092955078125e-07,
            periodic=False, centred=True, preemphasis=0.97,
        )  # fmt: skip
        self.num_samples = self.spectrogram.samples(self.num_frames)

    def __call__(self, samples):
        """Samples (n,) to (num_frames, width)."""
        samples = samples[: self.num_samples]
        lacking = max(0, self.spectrogram.window - len(samples))
        x = self.spectrogram(np.pad(samples, (0, lacking)))
        x = np.pad(x, ((0, self.num_frames - len(x)), (0, 0)))
        return ((x - self.shift) / self.scale).astype("float32")

    def fitted(self, samples):
        """Samples (n,) as (num_samples,), where `NOTHING` stands behind a sound that is too short.

        Of zeros a graph couldn't tell whether they are silence or no sound at all.
        """
        if len(samples) and samples.max() > self.NOTHING - 1:
            raise KzooError(
                f"Got a sample of {samples.max():g}; expected 1 and -1 for the loudest: divide "
                "what was whole numbers by the largest of their type."
            )
        samples = np.pad(samples, (0, max(0, self.spectrogram.window - len(samples))))
        return _of_length(samples, self.num_samples, self.NOTHING)

    def in_graph(self, samples):
        """Samples (batch, num_samples) to (batch, num_frames, width); see `fitted`."""
        from keras import ops

        x, bank = self.spectrogram.in_graph(samples, self.num_frames), self.spectrogram
        loudest = ops.max_pool(
            ops.reshape(samples, (-1, 1, self.num_samples, 1)),
            (1, bank.window),
            (1, bank.hop),
            "valid",
            "channels_last",
        )
        is_sound = ops.clip(self.NOTHING - loudest, 0.0, 1.0)
        x = x * ops.reshape(is_sound, (-1, self.num_frames, 1))
        return (x - self.shift) * (1.0 / self.scale)


class Mfcc:
    """Cosines of log-mel bands, as TensorFlow's `tf.signal` has them (Keyword Transformer).

    Sounds that are too short have zeros behind them.
    """

    DEFAULTS = {
        "fft_length": 512, "hop_length": 160, "max_frequency": 7600.0, "mel_floor": 1e-12,
        "min_frequency": 20.0, "num_coefficients": 40, "num_mel_bins": 80, "num_samples": 16000,
        "sampling_rate": 16000, "window_length": 480,
    }  # fmt: skip
    WHOLE = (
        "fft_length", "hop_length", "num_coefficients", "num_mel_bins", "num_samples",
        "sampling_rate", "window_length",
    )  # fmt: skip
    NUMBERS = ("max_frequency", "mel_floor", "min_frequency")

    def __init__(self, config):
        self.rate = config["sampling_rate"]
        self.spectrogram = Spectrogram(
            self.rate, window=config["window_length"], hop=config["hop_length"],
            fft_length=config["fft_length"], bands=config["num_mel_bins"],
            lowest=config["min_frequency"], highest=config["max_frequency"], power=1,
            floor=config["mel_floor"], coefficients=config["num_coefficients"],
        )  # fmt: skip
        self.num_frames = self.spectrogram.frames(config["num_samples"])
        if self.num_frames < 1:
            raise KzooError(
                f"Got num_samples = {config['num_samples']}; expected at least the "
                f"{config['window_length']} of a frame."
            )
        self.num_samples = self.spectrogram.samples(self.num_frames)

    def __call__(self, samples):
        """Samples (n,) to (num_frames, width)."""
        return self.spectrogram(self.fitted(samples))

    def fitted(self, samples):
        """Samples (n,) as (num_samples,), with silence behind a sound that is too short."""
        return _of_length(samples, self.num_samples, 0.0)

    def in_graph(self, samples):
        """Samples (batch, num_samples) to (batch, num_frames, width)."""
        return self.spectrogram.in_graph(samples, self.num_frames)


def _of_length(samples, length, filling):
    """The first samples, or all and a number behind them."""
    samples = samples[:length]
    return np.pad(samples, (0, length - len(samples)), constant_values=filling)


class AudioProcessor:
    """Reads sounds, and makes the features of them that a network was taught with.

    Called on a list of sounds, see `sounds.read_sound`, it gives float32 (sounds, frames, width).

    Args:
        config: what `preprocessor_config.json` holds: `feature_extractor_type`, which is
            "ASTFeatureExtractor" (log-mel) or "MfccFeatureExtractor" (kzoo's own), and keys of
            that type; those left out have their usual values, and others are kept as they are.
    """

    TYPES = {"ASTFeatureExtractor": LogMel, "MfccFeatureExtractor": Mfcc}

    def __init__(self, config):
        if not isinstance(config, dict) or config.get(TYPE) not in self.TYPES:
            given = config.get(TYPE) if isinstance(config, dict) else config
            raise KzooError(
                f"Got {given!r:.60} for the features of sounds; expected a configuration with "
                f"{TYPE}: {', '.join(self.TYPES)}."
            )
        cls = self.TYPES[config[TYPE]]
        if unknown := sorted(config.keys() - cls.DEFAULTS.keys() - HARMLESS):
            named = ", ".join(f"{key} = {config[key]!r:.40}" for key in unknown)
            warnings.warn(f"{FILE} has {named}, which changes nothing in kzoo.", stacklevel=2)
        self.config = {**cls.DEFAULTS, **config}
        for names, fits, expected in (
            (cls.WHOLE, lambda value: is_whole(value, 1, 2**30), "a whole number of at least 1"),
            (cls.NUMBERS, is_number, "a number"),
        ):
            for name in names:
                if not fits(self.config[name]):
                    raise KzooError(
                        f"{FILE} has {name} = {self.config[name]!r:.40}; {expected} is expected."
                    )
        self.features = cls(self.config)

    @property
    def rate(self):
        """Samples a second."""
        return self.features.rate

    @property
    def num_samples(self):
        """How many samples a network sees at once."""
        return self.features.num_samples

    @property
    def shape(self):
        """Frames, and numbers a frame."""
        return self.features.num_frames, self.features.spectrogram.width

    def __call__(self, sounds):
        """A list of sounds to float32 (sounds, frames, width); what is too long is cut."""
        return np.stack([self.features(self.read(each, i)) for i, each in enumerate(sounds)])

    def read(self, sound, number=None):
        """A sound as samples (n,) of the processor's rate; see `sounds.read_sound`."""
        return read_sound(sound, self.rate, "The sound" if number is None else f"Sound {number}")

    def fitted(self, samples):
        """Samples (n,) as a device file takes them, (num_samples,): cut, or filled up behind.

        What they are filled up with the features say: silence, or a number that stands for nothing.
        """
        return self.features.fitted(samples)

    def windows(self, blocks, hop=None):
        """A long sound as overlapping windows that a network sees one by one.

        Args:
            blocks: an iterable of samples (n,), piece by piece, as a microphone gives them; or of
                one array of all.
            hop: seconds from the beginning of one to that of the next; half a window by default.

        Yields:
            The sample at which a window begins, and its samples, once they are there. The last
            window ends with the sound; one that is shorter than a window is all there is.
        """
        size, step = self.num_samples, self.hop(hop)
        kept, first, begin = np.zeros(0, "float32"), 0, 0  # `first` is where what is kept begins.
        for block in blocks:
            if isinstance(block, np.ndarray) and not block.size:  # A microphone had nothing yet.
                continue
            kept = np.concatenate([kept, read_sound(block, self.rate, "A block")])
            while begin + size <= first + len(kept):
                yield begin, kept[begin - first : begin - first + size]
                begin += step
                # What the last window may reach back to is kept.
                keep = max(0, begin - step - first)
                kept, first = kept[keep:], first + keep
        end = first + len(kept)
        check_samples(kept)
        if not begin or end > begin - step + size:
            start = max(0, end - size)
            yield start, kept[start - first :]

    def hop(self, seconds=None):
        """The samples of a hop in seconds; half a window by default."""
        if seconds is None:
            return max(1, self.num_samples // 2)
        longest = self.num_samples / self.rate
        if not is_number(seconds, 1 / self.rate, longest):
            raise KzooError(
                f"Got hop={seconds!r:.40}; expected seconds, at most the {longest:g} of a window, "
                "so that nothing is left out."
            )
        return round(seconds * self.rate)

    def in_graph(self, samples):
        """Samples (batch, num_samples) of `fitted` to features, in an exported graph."""
        return self.features.in_graph(samples)

    @property
    def tables(self):
        """The constants of `in_graph`, float32 by name."""
        return self.features.spectrogram.tables

    # -- keeping --------------------------------------------------------------------------------

    @classmethod
    def is_in(cls, folder):
        """Whether a folder holds the configuration of such a processor."""
        return _config_in(Path(folder), cls.TYPES) is not None

    @classmethod
    def load(cls, source):
        """The processor of a folder, or of its file."""
        path = Path(source)
        found = _config_in(path, cls.TYPES) if path.is_dir() else None
        path = path / FILE if path.is_dir() else path
        return cls(found or read_json(path, "the configuration of what reads sounds"))

    def save(self, folder):
        """Write `preprocessor_config.json` into `folder`, as transformers reads it; return it."""
        folder = Path(folder)
        with writing_file(folder / FILE) as tmp_path:
            text = json.dumps(self.config, indent=2, sort_keys=True, ensure_ascii=False)
            tmp_path.write_text(text + "\n", encoding="utf-8")
        return folder


def _config_in(folder, types):
    """The object that describes a processor of some types in a folder, or None."""
    config, _ = processor_config(folder, KEY)
    return config if isinstance(config, dict) and config.get(TYPE) in types else None
