"""Writing a few tokens at a time, with a cache that the caller keeps."""

import numpy as np

from kzoo.values import NOWHERE


def cache(model, rows, slots):
    """An empty cache of a model."""
    sizes = {"batch": rows, "past_length": slots}
    empty = {
        name: np.zeros([sizes.get(axis, axis) for axis in entry.axes], entry.dtype)
        for name, entry in model.signatures["step"].items()
        if name.startswith("past")
    }
    return {**empty, "past_places": np.full((rows, slots), NOWHERE, "int32")}


def stepped(model, held, ids, places, slots):
    """What a step gives, its keys, values and places written into slots of the cache."""
    outputs = model({"token_ids": ids, "places": places, **held})
    written = {name: np.asarray(value) for name, value in outputs.items() if name in held}
    for name, value in {**written, "past_places": places}.items():
        held[name] = held[name].copy()
        np.moveaxis(held[name], 2 if value.ndim == 4 else 1, 0)[slots] = np.moveaxis(
            value, 2 if value.ndim == 4 else 1, 0
        )
    return np.asarray(outputs["sequence_output"])


def in_steps(model, ids, counts):
    """What a model gives for the ids of one row (1, length), so many at a time."""
    held, parts, start = cache(model, 1, ids.shape[1] + 2), [], 0
    for count in counts:
        at = slice(start, start + count)
        places = np.arange(start, start + count, dtype="int32")[None]
        parts.append(stepped(model, held, ids[:, at], places, at))
        start += count
    return np.concatenate(parts, axis=1)
