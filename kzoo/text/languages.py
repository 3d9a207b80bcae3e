"""Tokens that say which language a text is of (mBART, arXiv:2001.08210), or is to become."""

import re

from ..errors import KzooError

CODE = re.compile(r"[a-z]{2,3}_[A-Za-z]{2,4}")  # "de_DE", "eng_Latn"
ASKED = re.compile(r">>[^<>\s]+<<")  # ">>fra<<" before a source: what Marian is to write


def codes(tokenizer):
    """The ids of a tokenizer's languages by their codes."""
    named = {tokenizer.id_to_token(number): number for number in tokenizer.special_ids}
    return {token: number for token, number in named.items() if CODE.fullmatch(token)}


def code_id(tokenizer, language):
    """The id of a language's token, or None for no language.

    Raises:
        KzooError: for a language that the tokenizer has no token for.
    """
    if language is None:
        return None
    return check_language(language, codes(tokenizer))


def check_language(language, known):
    """The id of a language among those of known ones by their codes, or KzooError."""
    if not isinstance(language, str) or language not in known:
        if not known:
            raise KzooError(
                f"Got the language {language!r:.40} for a tokenizer without tokens of languages; "
                "expected none: leave it out."
            )
        some = ", ".join(sorted(known)[:60])
        raise KzooError(f"Got the language {language!r:.40}; expected one of {some}.")
    return known[language]


def in_language(tokenizer, ids, language):
    """Token ids of a text, the code that its special tokens have replaced by that of a language."""
    number = code_id(tokenizer, language)
    if number is None:
        return ids
    known = set(codes(tokenizer).values())
    return [number if each in known else each for each in ids]


def check_asked(tokenizer, sources):
    """Raise KzooError for a source that asks for a language which Marian has no token for."""
    for number, source in enumerate(sources):
        asked = ASKED.match(source)
        known = asked and [token for token in tokenizer.vocabulary if ASKED.fullmatch(token)]
        if known and asked[0] not in known:
            raise KzooError(
                f"Got {asked[0]:.40} before source {number}; expected a language that this "
                f"tokenizer has a token for: {', '.join(sorted(known)[:60])}."
            )
