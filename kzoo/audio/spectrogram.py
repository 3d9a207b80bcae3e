"""Sounds as spectrograms on the mel scale: with NumPy, and as operations of an exported graph."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import KzooError


@dataclass(frozen=True)
class Spectrogram:
    """The energy of each band of frequencies at each time, as logarithms or as their cosines.

    A sound is cut into overlapping frames; each is weighted by a Hann window and its spectrum
    taken; triangles that lie evenly on the mel scale (1127 ln(1 + f / 700)) sum that into bands.

    Args:
        rate: samples a second.
        window, hop: samples a frame, and from the beginning of one to that of the next.
        fft_length: over how many samples the spectrum is taken; behind a frame stand zeros.
        bands: how many bands of frequencies there are.
        lowest, highest: in Hz, where the first band begins and the last one ends.
        power: 1 for the bands of magnitudes, 2 for those of their squares.
        floor: the least energy of a band.
        periodic: whether the window is that of a sound that repeats: one sample longer.
        centred: whether the mean of each frame is taken off it (Kaldi).
        preemphasis: what share of the sample before is taken off each sample (Kaldi).
        coefficients: of the cosine transform of the logarithms, for MFCC (Davis and Mermelstein
            1980); 0 for the logarithms themselves.
    """

    rate: int
    window: int
    hop: int
    fft_length: int
    bands: int
    lowest: float
    highest: float
    power: int
    floor: float
    periodic: bool = True
    centred: bool = False
    preemphasis: float = 0.0
    coefficients: int = 0

    def __post_init__(self):
        if not 0 < self.hop <= self.window <= self.fft_length:
            raise KzooError(
                f"Got frames of {self.window} samples every {self.hop} and spectra of "
                f"{self.fft_length}; expected none to be larger than the next."
            )
        if not 0 <= self.lowest < self.highest <= self.rate / 2:
            raise KzooError(
                f"Got bands from {self.lowest} to {self.highest} Hz for {self.rate} samples a "
                "second; expected a lower end below the upper, and that at most half the rate."
            )
        if self.floor <= 0:
            raise KzooError(
                f"Got a floor of {self.floor} for the energies of bands, whose logarithm is taken; "
                "expected a number above 0."
            )
        if self.coefficients > self.bands:
            raise KzooError(
                f"Got {self.coefficients} coefficients of {self.bands} bands; expected no more "
                "than bands."
            )

    @property
    def width(self):
        """How many numbers a frame has."""
        return self.coefficients or self.bands

    def frames(self, samples):
        """How many frames lie within as many samples."""
        return max(0, 1 + (samples - self.window) // self.hop)

    def samples(self, frames):
        """How many samples as many frames need."""
        return (frames - 1) * self.hop + self.window

    # -- the tables ------------------------------------------------------------------------------

    @cached_property
    def hann(self):
        """The window, (window,)."""
        count = self.window if self.periodic else self.window - 1
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / count)

    @cached_property
    def triangles(self):
        """How much each frequency of a spectrum counts in each band, (fft_length // 2 + 1, bands).

        The sides are straight on the mel scale. What doesn't vary, frequency 0, counts nowhere.
        """
        edges = np.linspace(_mel(self.lowest), _mel(self.highest), self.bands + 2)
        places = _mel(np.arange(self.fft_length // 2 + 1) * self.rate / self.fft_length)[:, None]
        width = np.diff(edges)
        rising, falling = (places - edges[:-2]) / width[:-1], (edges[2:] - places) / width[1:]
        return np.maximum(0.0, np.minimum(rising, falling))

    @cached_property
    def cosines(self):
        """The cosine transform (DCT-II) with HTK's scale, (bands, coefficients)."""
        angles = np.outer(np.arange(self.bands) + 0.5, np.arange(self.coefficients))
        return np.cos(np.pi / self.bands * angles) * math.sqrt(2 / self.bands)

    # -- with NumPy ------------------------------------------------------------------------------

    def __call__(self, samples):
        """Samples (n,) to float32 (frames, width); KzooError for fewer than a frame's."""
        if len(samples) < self.window:
            raise KzooError(
                f"Got {len(samples)} samples; expected at least {self.window}, those of a frame."
            )
        frames = np.lib.stride_tricks.sliding_window_view(samples, self.window)[:: self.hop]
        spectrum = np.fft.rfft(self._shaped(frames.astype("float64")), self.fft_length)
        energy = np.abs(spectrum) ** self.power @ self.triangles
        result = np.log(np.maximum(energy, self.floor))
        return (result @ self.cosines if self.coefficients else result).astype("float32")

    def _shaped(self, frames):
        """Frames (..., window) as their spectrum is taken."""
        if self.centred:
            frames = frames - frames.mean(-1, keepdims=True)
        if self.preemphasis:
            before = np.concatenate([frames[..., :1], frames[..., :-1]], -1)
            frames = frames - self.preemphasis * before
        return frames * self.hann

    # -- in a graph ------------------------------------------------------------------------------

    @cached_property
    def tables(self):
        """The constants of the graph by name, float32: all that comes before energies is linear.

        `cosine` and `sine` (1, window / step, step, frequencies) are kernels of a convolution over
        steps of samples, which frames and hops are multiples of.
        """
        counted = np.flatnonzero(self.triangles.any(1))
        kept = slice(counted[0], counted[-1] + 1)
        angles = np.arange(self.fft_length // 2 + 1)[kept, None] * np.arange(self.window)
        turns = np.exp(-2j * np.pi / self.fft_length * angles) @ self._shaped(np.eye(self.window)).T
        shape = (1, self.window // self.step, self.step, len(turns))
        tables = {
            "cosine": turns.real.T.reshape(shape),
            "sine": turns.imag.T.reshape(shape),
            "triangles": self.triangles[kept],
        }
        if self.coefficients:
            tables["cosines"] = self.cosines
        return {name: np.ascontiguousarray(table, "float32") for name, table in tables.items()}

    @property
    def step(self):
        """The samples that frames and hops are multiples of."""
        return math.gcd(self.window, self.hop)

    def in_graph(self, samples, frames):
        """Samples (batch, `samples(frames)`) to (batch, frames, width), for exported graphs.

        Without a Fourier transform, which devices lack: a convolution does the same.
        """
        from keras import ops

        tables = self.tables
        x = ops.reshape(samples, (-1, 1, self.samples(frames) // self.step, self.step))
        parts = [
            ops.conv(x, tables[name], (1, self.hop // self.step), "valid", "channels_last")
            for name in ("cosine", "sine")
        ]
        energy = sum(part * part for part in parts)
        energy = energy if self.power == 2 else ops.sqrt(energy)
        energy = ops.matmul(ops.reshape(energy, (-1, energy.shape[-1])), tables["triangles"])
        # Not the logarithm of the larger one: as float16 the floor would be 0.
        result = ops.maximum(ops.log(energy), math.log(self.floor))
        result = ops.matmul(result, tables["cosines"]) if self.coefficients else result
        return ops.reshape(result, (-1, frames, self.width))


def _mel(frequency):
    return 1127.0 * np.log(1.0 + np.asarray(frequency, "float64") / 700.0)
