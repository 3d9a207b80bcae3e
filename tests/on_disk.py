"""Weights that follow from their names, and outputs held against another library's.

What records that library's outputs (`benchmarks/on_disk/record_*.py`) and the tests that write the
same files anew have these in common.
"""

import zlib

import numpy as np

AROUND_ONE = ("gamma", "moving_variance", "scale", "norm/weight")


def noise(name, shape):
    """The weight of a name: the same numbers wherever it is asked for."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) * 0.2
    around_one = name.removesuffix(":0").endswith(AROUND_ONE)
    return (np.abs(1 + drawn) if around_one else drawn).astype("float32")


def flat(tree, prefix=""):
    """The leaves of nested dicts by their paths: `{"a/b": leaf}`."""
    found = {}
    for name, value in tree.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{prefix}{name}/") if inner else {prefix + name: value}
    return found


def nested(leaves):
    """Nested dicts of leaves by their paths."""
    tree = {}
    for path, leaf in leaves.items():
        *folders, name = path.split("/")
        inner = tree
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = leaf
    return tree


def difference(model, given, expected):
    """The largest difference from the outputs that are expected of a model, where there are tokens.

    Every output that either has must be the other's too, but scores of a pair, which weren't kept.
    """
    actual, worst = model(given), 0.0
    if "pair_logits" not in expected:
        actual.pop("pair_logits", None)
    assert set(actual) == set(expected), (sorted(actual), sorted(expected))
    masks = [value == 1 for name, value in given.items() if name.endswith("padding_mask")]
    for name, there in expected.items():
        assert tuple(actual[name].shape) == tuple(np.shape(there)), name
        apart = np.abs(np.asarray(actual[name]) - there)
        # Of two masks the first is the encoder's; scores of spans have no third axis.
        mask = masks[0 if name == "memory" else -1] if masks else None
        by_token = apart.ndim == 3 or name in ("start_logits", "end_logits")
        if by_token and mask is not None and mask.shape == apart.shape[:2]:
            apart = apart[mask]
        worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max()))
    return worst
