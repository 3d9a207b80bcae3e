"""generation_config.json as options of `kzoo.generation.Generation`, and back."""

from ..errors import KzooError
from ..files import read_json
from ..generation import Generation

FILE = "generation_config.json"
# Those that mean the same on both sides.
ALIKE = (
    "num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "repetition_penalty",
    "max_new_tokens", "min_new_tokens",
)  # fmt: skip


def read_generation(folder, config):
    """How a model of a folder writes where a call says nothing else.

    Args:
        folder: where `generation_config.json` may be.
        config: what config.json holds, which older folders have the same keys in.

    Returns:
        Options of `Generation` by name.

    Raises:
        KzooError: for a value that no option takes.
    """
    path = folder / FILE
    there = read_json(path, "how a model writes") if path.is_file() else {}
    there = {**config, **{key: value for key, value in there.items() if value is not None}}
    options = {name: there[name] for name in ALIKE if there.get(name) is not None}
    # What is written there begins with the token that the decoder is given.
    lengths = {"max_length": "max_new_tokens", "min_length": "min_new_tokens"}
    for key, name in lengths.items():
        if there.get(key) and name not in options:
            options[name] = there[key] - 1
    ends = there.get("eos_token_id")
    if ends is not None:
        options["end_token_ids"] = ends if isinstance(ends, list) else [ends]
    if there.get("forced_bos_token_id") is not None:
        options["forced_token_ids"] = [there["forced_bos_token_id"]]
    if there.get("forced_eos_token_id") is not None:
        options["ends_at_last"] = True
    words = [word for word in there.get("bad_words_ids") or [] if len(word) == 1]
    if words:
        options["forbidden_token_ids"] = [word for (word,) in words]
    try:
        Generation(**options)
    except (KzooError, TypeError) as error:
        raise KzooError(f"{folder} says how it writes in a way that kzoo can't: {error}") from None
    return options


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
