"""KerasHub's tokenizers and image converters as those of kzoo and back."""


def read_processors(folder, preset, tokenizer):
    """The processors of a folder by kind."""
    return {"tokenizer": tokenizer} if tokenizer else {}


def write_processors(folder, preset, model):
    """Write the processors."""
