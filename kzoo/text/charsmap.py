"""SentencePiece's table of replaced characters, checked before the `tokenizers` library reads it.

The library trusts `precompiled_charsmap`, and ends in a panic where it holds something else. A
table is four bytes of length, a trie of 32-bit units of that many bytes (Darts-clone's double
array), and the replacements as UTF-8, each ended by a zero; a leaf of the trie holds the place
where its replacement begins (arXiv:1808.06226).
"""

import base64
import binascii

import numpy as np

LABELS = np.arange(1, 256, dtype="uint32")  # the bytes that a key may have


def fault(text):
    """What is wrong with a charsmap in base64, in some words; None if it is sound."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return "it is not base64"
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or size % 4 or not 4 <= size <= len(data) - 4:
        return f"a trie of {size} bytes does not fit its {len(data)} bytes"
    replacements = data[4 + size :]
    try:
        replacements.decode("utf-8")
    except UnicodeDecodeError:
        return "its replacements are not UTF-8"
    return _fault(np.frombuffer(data, "<u4", size // 4, 4), replacements)


def _fault(units, replacements):
    """Follow each byte from each place that can be reached."""
    places, reached = _next(np.zeros(1, "uint32"), units[:1]), set()
    while places.size:
        if (places | 255).max() >= units.size:
            return "its trie leads out of itself"
        positions = (places[:, None] ^ LABELS).ravel()
        entries = units[positions]
        here = (entries & 0x800000FF) == np.tile(LABELS, places.size)
        positions, entries = positions[here], entries[here]
        onward = _next(positions, entries)
        for leaf in onward[(entries >> 8) & 1 == 1]:
            if leaf >= units.size or not _begins(replacements, int(units[leaf] & 0x7FFFFFFF)):
                return "its trie names a replacement that is not there"
        reached.update(places.tolist())
        places = np.array(sorted(set(onward.tolist()) - reached), "uint32")
    return None


def _next(positions, units):
    """Where the children of units stand, before a byte is added."""
    return positions ^ ((units >> 10) << ((units & 512) >> 6))


def _begins(replacements, place):
    """Whether a character begins at a place, or all ends there."""
    inside = place < len(replacements) and replacements[place] & 0xC0 != 0x80
    return inside or place == len(replacements)
