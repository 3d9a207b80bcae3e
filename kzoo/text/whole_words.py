"""Tokenizers whose tokens are whole words, such as vectors of words have."""

import tokenizers

from ..errors import KzooError
from .tokenizer import Tokenizer

SPECIAL = ("<pad>", "<unk>")  # in the rows before the words


def word_tokenizer(words):
    """A `Tokenizer` that looks words up, punctuation being words of its own.

    It lower-cases texts where no word has a capital letter. `words` begin with `SPECIAL`.
    """
    return Tokenizer(_looking_up(words))


def _looking_up(words):
    ids = {word: number for number, word in enumerate(words)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token=SPECIAL[1]))
    if all(word == word.lower() for word in words):
        backend.normalizer = tokenizers.normalizers.Lowercase()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(list(SPECIAL))
    return backend


def tokenizer_of_texts(texts, least, most):
    """A `word_tokenizer` of the words of texts in lower case, the frequent ones first.

    Args:
        texts: an iterable of strings.
        least: how often a word must be there.
        most: how many words it has at most.

    Raises:
        KzooError: where no word is there so often.
    """
    backend = _looking_up(SPECIAL)
    backend.train_from_iterator(
        texts,
        tokenizers.trainers.WordLevelTrainer(
            vocab_size=most + len(SPECIAL),
            min_frequency=least,
            special_tokens=list(SPECIAL),
            show_progress=False,
        ),
    )
    known = backend.get_vocab()
    if len(known) == len(SPECIAL):
        raise KzooError(
            f"Got texts in which no word stands {least} times; expected some: take a lower least."
        )
    return word_tokenizer(sorted(known, key=known.get))
