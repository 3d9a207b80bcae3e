"""Names to parts: a slot holds `"learned"` or `{"kind": "counted", ...}`; `make` builds it."""

import inspect

from .errors import KzooError

PARTS = {}  # (slot, kind) -> class
GIVEN = ("spec", "name", "index")  # what the network gives to a part, beside its options


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
    options = {"kind": value} if isinstance(value, str) else value
    kind = options.get("kind") if isinstance(options, dict) else None
    if not isinstance(kind, str):
        raise KzooError(
            f"The {slot} is {value!r:.60}; a kind such as {_known(slot)[0]!r}, or a dict that "
            "names one as its kind, is expected."
        )
    options = {name: option for name, option in options.items() if name != "kind"}
    if (slot, kind) not in PARTS:
        raise KzooError(f"No {slot} is called {kind!r}; known: {', '.join(_known(slot))}.")
    return PARTS[slot, kind], options


def completed(slot, value):
    """What a slot holds with every option of its part, those left out at their defaults."""
    if isinstance(value, list):
        return [completed(slot, held) for held in value]
    cls, options = resolve(slot, value)
    kind = value if isinstance(value, str) else value["kind"]
    parameters = inspect.signature(cls.__init__).parameters.values()
    known = [p for p in parameters if p.default is not p.empty and p.name not in GIVEN]
    options = {parameter.name: parameter.default for parameter in known} | options
    return {"kind": kind} | {k: list(v) if type(v) is tuple else v for k, v in options.items()}


def shortened(slot, value):
    """What a slot holds without the options that are at their defaults: `completed`'s opposite."""
    if isinstance(value, list):
        return [shortened(slot, held) for held in value]
    if not isinstance(value, dict) or "kind" not in value:
        return value
    defaults = completed(slot, value["kind"])
    options = {name: held for name, held in value.items() if held != defaults.get(name)}
    return {"kind": value["kind"], **options} if set(options) - {"kind"} else value["kind"]


def option(spec, slot, name):
    """An option of the part that a slot of a spec holds, or its default."""
    return completed(slot, getattr(spec, slot))[name]


def _known(slot):
    return sorted(kind for filed, kind in PARTS if filed == slot)


def make(slot, value, **context):
    """Build the part that a slot holds; unknown options are an error that names them."""
    cls, options = resolve(slot, value)
    allowed = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs"} - set(context)
    unknown = sorted(set(options) - allowed)
    if unknown:
        known = ", ".join(sorted(allowed)) or "none"
        raise KzooError(f"The {slot} {value!r} has unknown options {unknown}; known: {known}.")
    return cls(**options, **context)
