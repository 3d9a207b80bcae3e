"""Tokens to text piece by piece: no character is split, and no part of a stop string gets out."""

import re

BYTE = re.compile("<0x[0-9A-F]{2}>")  # how SentencePiece writes a byte that no piece has
BROKEN = "\ufffd"  # what a decoder writes for bytes that are no character, or none yet


class TextStream:
    """The text of tokens as they come; its pieces joined are what `decode` makes of the whole.

    A piece is held back while its end may still change: the last bytes of a character that isn't
    whole, a run of SentencePiece's byte tokens (one wrong byte changes the text of the whole run),
    and characters that may be the beginning of a stop string. From a stop string on nothing is
    given out.

    Args:
        tokenizer: a `Tokenizer`.
        stop_strings: texts that end the stream; a special token can be one.
    """

    def __init__(self, tokenizer, stop_strings=()):
        self.tokenizer = tokenizer
        self.stop_strings = tuple(stop_strings)
        self.is_stopped = False
        # The last tokens whose text was taken: a text's first token may be decoded otherwise.
        self._context = []
        self._fresh = []  # tokens whose text isn't settled yet
        self._taken = 0  # characters of the fresh tokens that were taken
        self._held = ""  # taken, but may begin a stop string

    def push(self, token_id):
        """The piece of text that is certain now that a token came; often empty."""
        if self.is_stopped or not with_text(self.tokenizer, [token_id]):
            return ""
        if is_stop_token(self.tokenizer, token_id, self.stop_strings):
            piece = self.close()
            self.is_stopped = True
            return piece
        self._fresh.append(token_id)
        # A special token has no text, and so doesn't end a run of bytes.
        is_silent = token_id in self.tokenizer.special_ids
        if is_silent or BYTE.fullmatch(self.tokenizer.id_to_token(token_id)):
            return ""
        return self._released(self._settled())

    def close(self):
        """The rest, as the last token came."""
        if self.is_stopped:
            return ""
        piece = self._released(self._behind()[self._taken :])
        piece += self._held
        self._held, self._fresh, self._taken = "", [], 0
        return piece

    def _behind(self):
        """The text of the fresh tokens behind their context."""
        before = self.tokenizer.decode(self._context)
        return self.tokenizer.decode([*self._context, *self._fresh])[len(before) :]

    def _settled(self):
        text = self._behind()
        if text.endswith(BROKEN):  # One broken character at most is yet to be whole.
            piece, self._taken = text[self._taken : -1], max(self._taken, len(text) - 1)
            return piece
        piece = text[self._taken :]
        self._context = self._fresh
        self._fresh, self._taken = [], 0
        return piece

    def _released(self, piece):
        """What may be given out of the held text and a piece behind it."""
        text = self._held + piece
        starts = [text.find(stop) for stop in self.stop_strings if stop in text]
        if starts:
            self.is_stopped = True
            self._held = ""
            return text[: min(starts)]
        longest = max(map(len, self.stop_strings), default=1) - 1
        count = next(
            (
                count
                for count in range(min(longest, len(text)), 0, -1)
                if any(stop.startswith(text[-count:]) for stop in self.stop_strings)
            ),
            0,
        )
        self._held = text[len(text) - count :]
        return text[: len(text) - count]


def with_text(tokenizer, token_ids):
    """The tokens that the tokenizer has: a model's table may be padded with rows for none."""
    return [token_id for token_id in token_ids if token_id < tokenizer.vocabulary_size]


def is_stop_token(tokenizer, token_id, stop_strings):
    """Whether a token is a special one, which no text shows, that holds a stop string."""
    if not stop_strings or token_id not in tokenizer.special_ids:
        return False
    return any(stop in tokenizer.id_to_token(token_id) for stop in stop_strings)


def is_ended_by(tokenizer, token_ids, stop_strings):
    """Whether a stop string is in the text of tokens, or the last of them is one."""
    token_ids = with_text(tokenizer, token_ids)
    if not stop_strings or not token_ids:
        return False
    if is_stop_token(tokenizer, token_ids[-1], stop_strings):
        return True
    text = tokenizer.decode(token_ids)
    return any(stop in text for stop in stop_strings)
