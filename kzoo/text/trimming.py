"""What must stay of a vocabulary with some of its tokens, and a tokenizer of what stays.

A text whose tokens all stay is cut as before:

* WordPiece takes the longest piece that fits, again and again. It stays, and what could have been
  taken in its place only gets less (arXiv:1609.08144).
* BPE applies the merge of the lowest rank, again and again (arXiv:1508.07909). No merge reaches
  over the end of what will be a token, so within a token they are those of the token alone: with
  these, and with what they give on the way, the same ones are applied to the whole text.
* Unigram takes the path of the highest score (arXiv:1804.10959). It stays, and other paths only
  get fewer. What an unknown character costs follows from the lowest score of all, whose piece
  stays too.

Any other text is cut into smaller pieces, down to single characters or bytes.
"""

import json

from ..errors import KzooError

BYTES = [f"<0x{number:02X}>" for number in range(256)]  # what unknown characters are cut into


class Closure:
    """What a tokenizer needs beside some of its tokens.

    Args:
        parts: the object of a tokenizer.json.
        named: tokens with a role of their own, such as that of padding.
    """

    def __init__(self, parts, named=()):
        self.model = parts["model"]
        self.kind = self.model["type"]
        self.pieces = _pieces(self.model)
        self.prefix = self.model.get("continuing_subword_prefix") or ""
        self.suffix = self.model.get("end_of_word_suffix") or ""
        self.ranks = {pair: rank for rank, pair in enumerate(_merges(self.model))}
        self.names = {number: piece for piece, number in self.pieces.items()}
        self.always = self._always(parts, named)

    def _always(self, parts, named):
        """The ids of what stays whatever is read."""
        added = {token["content"]: token["id"] for token in parts["added_tokens"]}
        known = {**self.pieces, **added}
        names = [self.model.get("unk_token"), *named]
        if self.model.get("byte_fallback"):
            names += BYTES
        ids = {known[name] for name in names if name in known} | set(added.values())
        if self.kind == "Unigram":
            scores = [score for _, score in self.model["vocab"]]
            ids |= {scores.index(min(scores)), self.model["unk_id"]} - {None}
        if "ByteLevel" in json.dumps([parts["normalizer"], parts["pre_tokenizer"]]):
            ids |= self.alphabet()

        def seen(number):
            ids.add(number)
            return number

        _framed(parts["post_processor"], seen)
        return ids

    def _letters(self, piece):
        """A piece without what says where in a word it stands."""
        return piece.removeprefix(self.prefix).removesuffix(self.suffix)

    def letters(self, ids):
        """The characters of some tokens."""
        return {
            c for number in ids if number in self.names for c in self._letters(self.names[number])
        }

    def alphabet(self, letters=None):
        """The ids of the pieces of one character, within words and at their ends; of some or all.

        Where a vocabulary has them, nothing made of these characters is unknown.
        """
        return {
            number
            for piece, number in self.pieces.items()
            if len(alone := self._letters(piece)) == 1 and (letters is None or alone in letters)
        }

    def of(self, number):
        """The ids of a token and of what it needs: of BPE what comes up while it is merged."""
        piece = self.names.get(number)
        if piece is None or not self.ranks:
            return {number}
        built = self._built(piece)
        # What merges don't end in is no result of theirs: an added token, or a whole word.
        return {self.pieces[each] for each in built} if piece in built else {number}

    def _built(self, piece):
        """A piece's characters, and what their merges give until none is left."""
        first = self.prefix if piece.startswith(self.prefix) else ""
        last = self.suffix if piece.endswith(self.suffix) else ""
        letters = piece[len(first) : len(piece) - len(last)]
        if not letters:
            return set()
        symbols = [self.prefix + letter for letter in letters]
        symbols[0] = first + letters[0]
        symbols[-1] += last
        built = set(symbols)
        while pairs := [
            pair for pair in zip(symbols, symbols[1:], strict=False) if pair in self.ranks
        ]:
            pair = min(pairs, key=self.ranks.get)
            place = next(n for n in range(len(symbols)) if tuple(symbols[n : n + 2]) == pair)
            symbols[place : place + 2] = [_joined(pair, self.prefix)]
            built.add(symbols[place])
        return built if built <= self.pieces.keys() else set()


def renumbered(parts, numbers):
    """The object of a tokenizer.json with some of its tokens alone, under other ids.

    Args:
        parts: the object.
        numbers: for the id of each token that stays its id there, in the same order; those of the
            model's own pieces come first.
    """
    model = dict(parts["model"])
    if isinstance(model["vocab"], dict):
        ids = sorted(model["vocab"].items(), key=lambda item: item[1])
        model["vocab"] = {piece: numbers[n] for piece, n in ids if n in numbers}
    else:
        model["vocab"] = [row for n, row in enumerate(model["vocab"]) if n in numbers]
    if "merges" in model:
        pieces, prefix = model["vocab"], model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            list(pair)
            for pair in _merges(parts["model"])
            if all(each in pieces for each in (*pair, _joined(pair, prefix)))
        ]
    if model.get("unk_id") is not None:
        model["unk_id"] = numbers[model["unk_id"]]
    return {
        **parts,
        "model": model,
        "added_tokens": [{**t, "id": numbers[t["id"]]} for t in parts["added_tokens"]],
        "post_processor": _framed(parts["post_processor"], numbers.get),
    }


def check_numbered(made, expected):
    """Raise KzooError unless a tokenizer numbers its tokens as was asked."""
    wrong = sorted(set(expected.items()) ^ set(made.items()), key=lambda item: item[1])
    if wrong:
        token, number = wrong[0]
        raise KzooError(
            f"Got a tokenizer whose added tokens don't stand behind its vocabulary, so that "
            f"{token!r:.40} can't have the id {number}; expected one whose ids leave no gaps."
        )


def _pieces(model):
    """{piece: id} of a model."""
    if isinstance(model["vocab"], dict):
        return model["vocab"]
    return {piece: number for number, (piece, _) in enumerate(model["vocab"])}


def _merges(model):
    """The merges of BPE in the order of their ranks, as pairs; of any other model none."""
    merges = model.get("merges", ())
    return [tuple(each.split(" ") if isinstance(each, str) else each) for each in merges]


def _joined(pair, prefix):
    return pair[0] + pair[1].removeprefix(prefix)


def _framed(processor, number):
    """A post-processor, the ids of its special tokens replaced by what `number` gives for them."""
    if processor is None:
        return None
    if "processors" in processor:
        steps = [_framed(step, number) for step in processor["processors"]]
        return {**processor, "processors": steps}
    framed = dict(processor)
    for role in {"sep", "cls"} & processor.keys():
        token, old = processor[role]
        framed[role] = [token, number(old)]
    if "special_tokens" in processor:
        framed["special_tokens"] = {
            name: {**entry, "ids": [number(old) for old in entry["ids"]]}
            for name, entry in processor["special_tokens"].items()
        }
    return framed
