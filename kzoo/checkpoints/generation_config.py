"""generation_config.json as options of `kzoo.generation.Generation`, and back."""

import warnings

from ..errors import KzooError
from ..files import read_json
from ..generation import Generation
from ..values import is_whole

FILE = "generation_config.json"
# Those that mean the same on both sides.
ALIKE = (
    "num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "repetition_penalty",
    "max_new_tokens", "min_new_tokens", "num_return_sequences",
)  # fmt: skip
# Those that change what is written and that kzoo doesn't have, with the values that change nothing.
OTHERS = {
    "begin_suppress_tokens": (None, []), "diversity_penalty": (None, 0.0),
    "encoder_no_repeat_ngram_size": (None, 0), "encoder_repetition_penalty": (None, 1.0),
    "exponential_decay_length_penalty": (None,), "num_beam_groups": (None, 1),
    "renormalize_logits": (None, False), "typical_p": (None, 1.0),
}  # fmt: skip


def read_there(folder, config):
    """What `generation_config.json` of a folder says, beside what config.json does of the same."""
    path = folder / FILE
    there = read_json(path, "how a model writes") if path.is_file() else {}
    return {**config, **{key: value for key, value in there.items() if value is not None}}


def read_generation(there, folder):
    """How a model of a folder writes where a call says nothing else.

    Args:
        there: what `read_there` gives.
        folder: where it is from.

    Returns:
        Options of `Generation` by name. What kzoo can't do is left out, and a warning says so.

    Raises:
        KzooError: for a value that no option takes.
    """
    left = [key for key, idle in OTHERS.items() if there.get(key) not in idle]
    options = {name: there[name] for name in ALIKE if there.get(name) is not None}
    # What is written there begins with the token that the decoder is given.
    lengths = {"max_length": "max_new_tokens", "min_length": "min_new_tokens"}
    for key, name in lengths.items():
        if is_whole(there.get(key), 1) and name not in options:
            options[name] = max(there[key] - 1, 1 if key == "max_length" else 0)
    if "max_new_tokens" in options and "min_new_tokens" in options:
        options["min_new_tokens"] = min(options["min_new_tokens"], options["max_new_tokens"])
    ends = _listed(there.get("eos_token_id"))
    if ends:
        options["end_token_ids"] = ends
    if there.get("forced_bos_token_id") is not None:
        options["forced_token_ids"] = [there["forced_bos_token_id"]]
    last = _listed(there.get("forced_eos_token_id"))
    if last and sorted(last) == sorted(ends):
        options["ends_at_last"] = True
    elif last:
        left.append("forced_eos_token_id")
    words = there.get("bad_words_ids") or []
    alone = [word[0] for word in words if len(word) == 1]
    if len(alone) < len(words):
        left.append("bad_words_ids")
    kept = {*ends, *options.get("forced_token_ids", ())}
    never = [*alone, *(there.get("suppress_tokens") or [])]
    forbidden = [each for each in never if each not in kept]
    if forbidden:
        options["forbidden_token_ids"] = forbidden
    if left:
        values = ", ".join(f"{key} = {there[key]!r:.40}" for key in sorted(left))
        warnings.warn(
            f"{folder} says that it writes with {values}, which kzoo doesn't do: what is written "
            "may differ.",
            stacklevel=5,
        )
    try:
        Generation(**options)
    except (KzooError, TypeError) as error:
        raise KzooError(f"{folder} says how it writes in a way that kzoo can't: {error}") from None
    return options


def _listed(ids):
    """One id, or several, or None, as a list."""
    return [] if ids is None else list(ids) if isinstance(ids, (list, tuple)) else [ids]


def written_generation(options):
    """What `generation_config.json` holds for options of `Generation`."""
    there = {name: value for name, value in options.items() if name in ALIKE}
    forced, words = options.get("forced_token_ids"), options.get("forbidden_token_ids")
    ends = options.get("end_token_ids")
    if ends:
        there["eos_token_id"] = ends[0] if len(ends) == 1 else list(ends)
    if forced:
        there["forced_bos_token_id"] = forced[0]
    if options.get("ends_at_last") and ends:
        there["forced_eos_token_id"] = ends[0]
    if words:
        there["bad_words_ids"] = [[word] for word in words]
    return there
