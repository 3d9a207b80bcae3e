"""Names to parts: a slot holds `"learned"` or `{"kind": "counted", ...}`; `make` builds it."""

import inspect

from .errors import KzooError

PARTS = {}  # (slot, kind) -> class


def part(slot, kind):
    """Class decorator: file a class under `slot` as `kind`."""

    def file(cls):
        if (slot, kind) in PARTS:
            raise KzooError(f"The {slot} slot already has a part called {kind!r}: name it anew.")
        PARTS[slot, kind] = cls
        return cls

    return file


def resolve(slot, value):
    """Return `(class, options)` of what a slot holds: a kind, or a dict with `kind` and options."""
    options = {"kind": value} if isinstance(value, str) else dict(value)
    kind = options.pop("kind", None)
    if (slot, kind) not in PARTS:
        known = ", ".join(sorted(k for s, k in PARTS if s == slot))
        raise KzooError(f"No {slot} is called {kind!r}; known: {known}.")
    return PARTS[slot, kind], options


def make(slot, value, **context):
    """Build the part that a slot holds; unknown options are an error that names them."""
    cls, options = resolve(slot, value)
    allowed = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs"} - set(context)
    unknown = sorted(set(options) - allowed)
    if unknown:
        known = ", ".join(sorted(allowed)) or "none"
        raise KzooError(f"The {slot} {value!r} has unknown options {unknown}; known: {known}.")
    return cls(**options, **context)
