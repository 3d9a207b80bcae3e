"""Tokenization outside the graph: one small interface over the `tokenizers` library.

The library splits text into ids; special tokens, truncation, windows and padding are done here,
from the template that the tokenizer's own post-processor shows. So nothing in a tokenizer is
switched on and off between calls, and one object can serve several threads.
"""

import contextlib
import json
import os
import re
import threading
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import models, normalizers, processors

from ..errors import EmptyTextError, KzooError
from ..files import read_text, writing_file
from ..values import is_whole
from . import charsmap, sentencepiece, shared_vocabulary, trimming
from .chat import ChatTemplate
from .side_files import BERT, GPT2, LONGEST, RECIPES, ROBERTA, T5, SideFiles

NOWHERE = (-1, -1)  # The offsets of a token that stands for no characters: special or padding.
NO_WORD = -1
MOST_SHARED = 128  # tokens of two neighbouring windows
PREFIX = re.compile(r'"continuing_subword_prefix"\s*:\s*"[^"]')  # one that isn't empty

CHARSMAP = re.compile(r'"precompiled_charsmap"\s*:\s*"([^"]*)"')
# A group that repeats and holds a repetition or a choice: such a pattern may take forever.
HARD_PATTERN = re.compile(r'"Regex":"[^"]*\((?:[^()"]|\\")*[+*|}][^()"]*\)[+*{]')
QUIET = threading.Lock()

# What a special token is for, the key that Hugging Face's side files use for it, and the names it
# has in the families' vocabularies, for a tokenizer.json that stands alone.
ROLES = {
    "padding": ("pad_token", ("[PAD]", "<pad>")),
    "unknown": ("unk_token", ("[UNK]", "<unk>")),
    "start": ("cls_token", ("[CLS]", "<s>")),
    "separator": ("sep_token", ("[SEP]", "</s>")),
    "mask": ("mask_token", ("[MASK]", "<mask>")),
    "end": ("eos_token", ("<|endoftext|>", "</s>")),
    "begin": ("bos_token", ("<|endoftext|>", "<s>")),
}
PLAIN = {"ensure_ascii": False}
PAD_VALUES = {"segment_ids": 0, "padding_mask": 0, "word_ids": NO_WORD, "offsets": NOWHERE}


class Tokenizer:
    """Text to token ids and back, with special tokens, truncation, padding and offsets.

    Made by `Tokenizer.load(folder_or_file)` or `Tokenizer.from_json(text)`. `backend` is a
    `tokenizers.Tokenizer`; truncation and padding stored in it are switched off, because the
    length is the caller's business here. `roles` names special tokens where their names are
    unusual: {"padding": token, "unknown":, "start":, "separator":, "mask":}. `max_length` is how
    many tokens a model of this tokenizer takes at most, or None where nobody knows: the default
    of a task. `truncation_side` is the side from which `encode` shortens a text, "left" or
    "right"; by default the one that the backend has. `chat_template` is the `ChatTemplate` of a
    model that was trained to chat, or None.
    """

    def __init__(
        self, backend, roles=None, max_length=None, truncation_side=None, chat_template=None
    ):
        roles = dict(roles or {})
        cut = backend.truncation
        self.truncation_side = truncation_side or (cut["direction"] if cut else "right")
        self.max_length = max_length
        self.chat_template = chat_template
        stored = backend.padding
        if stored and backend.token_to_id(stored["pad_token"]) is not None:
            roles.setdefault("padding", stored["pad_token"])
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._tokens = {}
        for role, (_, names) in ROLES.items():
            known = [roles[role]] if role in roles else names
            present = [name for name in known if backend.token_to_id(name) is not None]
            self._tokens[role] = present[0] if present else None

    # -- making and keeping ------------------------------------------------------------------

    FILE = "tokenizer.json"
    # What holds one, the first that a folder has.
    FILES = (
        shared_vocabulary.SOURCE,
        FILE,
        "vocab.txt",
        "vocab.json",
        "spiece.model",
        "sentencepiece.bpe.model",
        "spm.model",
    )

    @classmethod
    def is_in(cls, folder):
        """Whether a preset's folder holds one."""
        return (Path(folder) / cls.FILE).is_file()

    @classmethod
    def load(cls, path):
        """The tokenizer in a folder, or in one file of it.

        Files of transformers beside it are read as transformers reads them, see `side_files`:
        `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`, and `config.json`
        for the kind of model. Where there is none, `tokenizer.json` is taken as it is, and what
        stands without one is guessed: `vocab.txt` becomes BERT's WordPiece (Devlin et al. 2018),
        lower-cased exactly when no piece of the vocabulary has a capital letter; `vocab.json`
        with `merges.txt` becomes byte-level BPE with RoBERTa's special tokens (Liu et al. 2019)
        when `<s>` is in the vocabulary, else GPT-2's (none). A file of SentencePiece (`.model` or
        `.spm`) becomes the tokenizer of the class that is named beside it, or T5's where its
        special tokens have T5's ids. Of `source.spm`, `target.spm` and `vocab.json` (Marian) it is
        the source's; the target's is a `TargetTokenizer`.

        Padding always stands on the right, whatever `padding_side` says: it is masked, so that
        an answer doesn't depend on it, and places are counted from the left.

        Raises KzooError for a missing or damaged file, and for a class of tokenizers that can't
        be made of these files.
        """
        path = Path(path)
        if path.is_dir():
            if (path / shared_vocabulary.TARGET).is_file():
                return cls.load(path / cls.FILES[0])
            for name in cls.FILES:
                if (path / name).is_file():
                    return cls.load(path / name)
            raise KzooError(
                f"{path} holds no tokenizer: tokenizer.json, vocab.txt, vocab.json with "
                "merges.txt, a model of SentencePiece (spiece.model, sentencepiece.bpe.model, "
                "spm.model), or Marian's source.spm was expected."
            )
        of_two = path.name in (shared_vocabulary.SOURCE, shared_vocabulary.TARGET)
        if not path.is_file() and not of_two:
            raise KzooError(f"{path} does not exist: name a tokenizer's folder or file.")
        files = SideFiles(path.parent)
        if path.suffix == ".json" and path.name != "vocab.json":
            text = read_text(path, "a tokenizer.json")
            backend = files.applied(_parsed(text, path))
        elif of_two:
            backend = _of_two_models(path, files)
        elif path.suffix in (".spm", ".model"):
            backend = _of_sentencepiece(path, files)
        else:
            backend = _of_vocabulary(path, files)
        return cls(
            backend,
            files.roles(ROLES),
            files.max_length,
            files.truncation_side,
            ChatTemplate.load(path.parent),
        )

    @classmethod
    def from_json(cls, text, roles=None, source="the tokenizer's text"):
        """The tokenizer in the text of a `tokenizer.json`; `source` names it in an error."""
        return cls(_parsed(text, source), roles)

    def to_json(self):
        """The text of a `tokenizer.json`; `from_json` makes an equal tokenizer of it.

        It holds the side of truncation where that is the left one, and no length: that is the
        task's.
        """
        text = self._backend.to_str(pretty=True)
        if self.truncation_side == "right":
            return text
        truncation = {
            "direction": "Left",
            "max_length": self.max_length or LONGEST,
            "strategy": "LongestFirst",
            "stride": 0,
        }
        return json.dumps({**json.loads(text), "truncation": truncation}, indent=2, **PLAIN)

    def save(self, folder):
        """Write `tokenizer.json` into `folder`, whole or not at all; return the folder.

        A `special_tokens_map.json` is added only when a special token has a name of its own
        that a reader could not guess from `tokenizer.json`, a `tokenizer_config.json` only for
        `max_length` and what a chat template reads, or in the place of one whose settings were
        another tokenizer's. A chat template is written beside it, see `ChatTemplate.save`.
        """
        folder = Path(folder)
        self.save_json(folder)
        names = folder / "special_tokens_map.json"
        guessed = Tokenizer.from_json(self.to_json())._tokens
        unusual = {r: t for r, t in self._named().items() if t != guessed[r]}
        if not unusual:
            names.unlink(missing_ok=True)
        else:
            # Those alone: a reader makes special tokens of all that are named.
            tokens = {ROLES[role][0]: token for role, token in unusual.items()}
            with writing_file(names) as path:
                path.write_text(json.dumps(tokens, indent=1, **PLAIN), "utf-8")
        settings = folder / "tokenizer_config.json"
        if self.max_length is not None or settings.is_file():
            config = {"tokenizer_class": "PreTrainedTokenizerFast"}  # tokenizer.json as it is
            if self.max_length is not None:
                config["model_max_length"] = self.max_length
            with writing_file(settings) as path:
                path.write_text(json.dumps(config, indent=1), "utf-8")
        ChatTemplate.remove(folder)
        if self.chat_template is not None:
            self.chat_template.save(folder)
        return folder

    def save_json(self, folder):
        """Write the one file that holds most of it into `folder`."""
        with writing_file(Path(folder) / self.FILE) as path:
            path.write_text(self.to_json(), encoding="utf-8")

    def save_two(self, folder, target):
        """Write this and a `TargetTokenizer` as Marian's three files, see `shared_vocabulary`."""
        if self._numbers is None or target._numbers is None:
            raise KzooError(
                "Got a target's tokenizer that shares no vocabulary with the source's as Marian's "
                "do; Hugging Face has no class for such two: give the model one tokenizer."
            )
        shared_vocabulary.save(folder, self._backend, target._backend)

    def __eq__(self, other):
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (
            self._tokens == other._tokens
            and self.max_length == other.max_length
            and self.chat_template == other.chat_template
            and self.to_json() == other.to_json()
        )

    __hash__ = object.__hash__

    def __repr__(self):
        return f"{type(self).__name__}({self.kind}, {self.vocabulary_size} tokens)"

    def lowercased(self):
        """A tokenizer that lower-cases a text before all else; itself where it does so already."""
        before = self._backend.normalizer
        is_sequence = isinstance(before, normalizers.Sequence)
        steps = [before] if before is not None and not is_sequence else list(before or ())
        if any(isinstance(step, normalizers.Lowercase) for step in steps):
            return self
        backend = tokenizers.Tokenizer.from_str(self._backend.to_str())
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
        return self._on(backend)

    def begun(self):
        """A tokenizer that puts the token which begins what is written before every text.

        Itself where something stands there already, and where there is no such token.
        """
        begin, (before, _) = self._tokens["begin"], self.frame()[0]
        if begin is None or before:
            return self
        backend = tokenizers.Tokenizer.from_str(self._backend.to_str())
        frame = processors.TemplateProcessing(
            single=[begin, "$A"],
            pair=[begin, "$A", "$B:1"],
            special_tokens=[(begin, self.begin_id)],
        )
        known = backend.post_processor
        backend.post_processor = processors.Sequence([known, frame]) if known else frame
        return self._on(backend)

    def bare(self):
        """A tokenizer that puts no special tokens around a text; itself where it puts none."""
        if not self.count_special_tokens() and not self.count_special_tokens(pair=True):
            return self
        parts = {**json.loads(self._backend.to_str()), "post_processor": None}
        return self._on(tokenizers.Tokenizer.from_str(json.dumps(parts, **PLAIN)))

    def closure(self):
        """What must stay with some of its tokens for texts to be cut as before, see `trimming`."""
        return trimming.Closure(json.loads(self._backend.to_str()), self._named().values())

    def of_tokens(self, ids):
        """A tokenizer of some of its tokens, numbered anew from 0 in their order.

        Texts of these tokens are cut as before where they are closed, see `closure`.

        Raises:
            KzooError: where the ids of those that stay can't follow each other.
        """
        numbers = {old: new for new, old in enumerate(sorted(ids))}
        expected = {t: numbers[old] for t, old in self.vocabulary.items() if old in numbers}
        if self._numbers is not None:  # Theirs lie behind the vocabulary, and take no row.
            others = sorted(self._numbers.others)
            numbers |= {old: new for new, old in enumerate(others, len(numbers))}
        parts = trimming.renumbered(json.loads(self._backend.to_str()), numbers)
        made = self._on(tokenizers.Tokenizer.from_str(json.dumps(parts, **PLAIN)))
        trimming.check_numbered(made.vocabulary, expected)
        return made

    def _on(self, backend):
        """The same on another backend."""
        return type(self)(
            backend, self._named(), self.max_length, self.truncation_side, self.chat_template
        )

    def _named(self):
        return {role: token for role, token in self._tokens.items() if token}

    # -- what it knows -----------------------------------------------------------------------

    @property
    def kind(self):
        """The algorithm: "WordPiece", "BPE", "Unigram" or "WordLevel"."""
        return type(self._backend.model).__name__

    @cached_property
    def vocabulary_size(self):
        """The rows an embedding needs: the highest id plus one, added tokens included."""
        return max(self.vocabulary.values()) + 1

    @property
    def vocabulary(self):
        """Token to id, added tokens included."""
        known = self._backend.get_vocab(with_added_tokens=True)
        if self._numbers is None:
            return known
        return self._numbers.vocabulary(known)

    @cached_property
    def _numbers(self):
        """How ids are found where two models share a vocabulary, or None."""
        return shared_vocabulary.Numbers.of(self._backend)

    def _ids(self, encoding):
        return encoding.ids if self._numbers is None else self._numbers.ids(encoding)

    @property
    def padding_id(self):
        """The id of the padding token, or None (padding then is 0, hidden by padding_mask)."""
        return self._role_id("padding")

    @property
    def unknown_id(self):
        """The id of the unknown token, or None."""
        return self._role_id("unknown")

    @property
    def start_id(self):
        """The id of the token before a text ([CLS], <s>), or None."""
        return self._role_id("start")

    @property
    def separator_id(self):
        """The id of the token after a text ([SEP], </s>), or None."""
        return self._role_id("separator")

    @property
    def end_id(self):
        """The id of the token that ends what is written (<|endoftext|>, </s>), or None."""
        return self._role_id("end")

    @property
    def begin_id(self):
        """The id of the token that stands before what is written (<|endoftext|>, <s>), or None."""
        return self._role_id("begin")

    @property
    def mask_id(self):
        """The id of the mask token, or None."""
        return self._role_id("mask")

    @cached_property
    def special_ids(self):
        """The ids of all special tokens, sorted."""
        added = self._backend.get_added_tokens_decoder()
        return sorted(number for number, token in added.items() if token.special)

    @property
    def has_segments(self):
        """Whether the second text of a pair has segment ids of its own (BERT yes, RoBERTa no)."""
        return any(any(segments) for _, segments in self._pair_template)

    def token_to_id(self, token):
        """The id of a token; KzooError when the vocabulary lacks it."""
        number = self.vocabulary.get(token) if self._numbers else self._backend.token_to_id(token)
        if number is None:
            raise KzooError(
                f"The token {token!r} is not among the {self.vocabulary_size} of this "
                "vocabulary: name one that is."
            )
        return number

    def id_to_token(self, number):
        """The token of an id; KzooError when the id is out of range."""
        token = self._backend.id_to_token(_checked_id(number, self.vocabulary_size)) or ""
        return token if self._numbers is None else token.removeprefix(shared_vocabulary.MARK)

    def frame(self, pair=False):
        """How special tokens stand around one text, or a pair.

        Returns [(ids, segments), ([], [segment of the text]), (ids, segments), ...]: special
        tokens at the even places, the texts at the odd ones.
        """
        return self._pair_template if pair else self._template

    def count_special_tokens(self, pair=False):
        """How many tokens `encode` adds to one text, or to a pair."""
        return sum(len(ids) for ids, _ in self.frame(pair)[::2])

    # -- text to ids -------------------------------------------------------------------------

    def encode(
        self, texts, pairs=None, max_length=None, padding=None, pad_to_multiple=1, *, offsets=False
    ):
        """Token ids of texts, or of pairs (`texts[i]`, `pairs[i]`), special tokens included.

        max_length: tokens in a row at most, special tokens included; of a pair the longer text
            loses tokens first, from its end, or its start where `truncation_side` is "left".
            padding: None gives ragged lists, "longest" pads to the longest row, a number to that
            many tokens. pad_to_multiple: round the padded length up (it may then exceed
            max_length). offsets: also give the characters, words and lengths.

        Returns a dict of int32 arrays, or of lists of lists when padding is None:
        `token_ids`, `padding_mask` (1 where there is a token), `segment_ids`, each
        (batch, length); `offsets` (batch, length, 2) counts code points of the text a token came
        from, (-1, -1) for special tokens and padding; `word_ids` (batch, length) numbers the
        pieces that the pre-tokenizer cut the text into, -1 for special tokens and padding, and
        for all tokens where it cuts no words (see `cuts_words`); `lengths` (batch,) are the tokens
        of a row before it was cut.

        Raises KzooError for anything but a list of strings, and for lengths that don't fit.
        """
        texts = _strings(texts, "texts")
        second = None if pairs is None else _strings(pairs, "pairs")
        if second is not None and len(second) != len(texts):
            raise KzooError(
                f"{len(texts)} texts came with {len(second)} pairs: one for each was expected."
            )
        self._check_lengths(max_length, padding, pad_to_multiple, pairs is not None)
        parts = [self._split(texts, offsets)]
        if second is not None:
            parts.append(self._split(second, offsets))
        room = self._room(max_length, pairs is not None)
        rows, lengths = [], []
        for contents in zip(*parts, strict=True):
            counts = [len(content["token_ids"]) for content in contents]
            lengths.append(sum(counts) + self.count_special_tokens(pairs is not None))
            kept = _fitting(counts, room)
            rows.append(self._row([self._kept(*c) for c in zip(contents, kept, strict=True)]))
        batch = self._batch(rows, padding, pad_to_multiple)
        if offsets:
            batch["lengths"] = np.array(lengths, "int32") if padding else lengths
        return batch

    def bare_ids(self, texts):
        """Token ids of texts, lists of any lengths, without the special tokens around a text."""
        return [content["token_ids"] for content in self._split(_strings(texts, "texts"), False)]

    def bare_words(self, texts):
        """`bare_ids` with, for each token, the number of its word, see `encode`: pairs of lists."""
        contents = self._split(_strings(texts, "texts"), True)
        return [(content["token_ids"], content["word_ids"]) for content in contents]

    def encode_words(self, words, max_length=None, padding=None, pad_to_multiple=1):
        """Token ids of texts that are already split into words, for one label a word.

        words: a list of lists of strings. Each becomes the tokens that it has within a sentence:
        where spaces are parts of tokens there is one before it, as the models were trained.
        Blanks around a word are no part of it. Lengths and padding as in `encode`.

        Returns `encode`'s dict with `word_ids` (batch, length): the index of the word a token
        belongs to, -1 for special tokens and padding. A word of which the tokenizer leaves
        nothing (a zero-width space) has no token.
        """
        if isinstance(words, (str, bytes, dict)) or not hasattr(words, "__iter__"):
            raise KzooError(f"words is {_came(words)}: a list of lists of strings was expected.")
        lists = [_strings(row, f"words[{i}]", empty=True) for i, row in enumerate(words)]
        lists = [[word.strip() for word in row] for row in lists]
        if not lists:
            raise KzooError("words is an empty list: at least one list of words was expected.")
        self._check_lengths(max_length, padding, pad_to_multiple, False)
        encodings = self._run(
            lambda: self._word_backend.encode_batch(
                lists, is_pretokenized=True, add_special_tokens=False
            )
        )
        room = self._room(max_length, False)
        rows = []
        for encoding in encodings:
            content = {"token_ids": self._ids(encoding), "word_ids": encoding.word_ids}
            rows.append(self._row([self._kept(content, room)]))
        return self._batch(rows, padding, pad_to_multiple)

    def windows(
        self, texts, pairs=None, max_length=384, stride=None, padding=None, pad_to_multiple=1
    ):
        """Long texts as overlapping rows of at most `max_length` tokens.

        Without `pairs` the windows run over `texts`; with it `texts[i]` (a question) stands in
        front of each window over `pairs[i]` (a long context). stride: tokens that two
        neighbouring windows share, by default a quarter of max_length and 128 at most, fewer
        where a window has no room for them. A question longer than half of the room is cut to
        that.

        Returns `encode`'s dict with `offsets` and `word_ids`, where only tokens of the windowed
        text have characters and words and all others are (-1, -1) and -1; and for each row
        `sample_ids`, the index of the text it comes from, `starts`, the number of that text's
        first token in it, `lengths`, the tokens of the text (or pair) in one piece, and `cut`,
        those that the question lost.
        """
        texts = _strings(texts, "texts")
        second = None if pairs is None else _strings(pairs, "pairs")
        if second is not None and len(second) != len(texts):
            raise KzooError(
                f"{len(texts)} texts came with {len(second)} pairs: one for each was expected."
            )
        self._check_lengths(max_length, padding, pad_to_multiple, pairs is not None)
        room = self._room(max_length, pairs is not None)
        long_texts = self._split(texts if second is None else second, True)
        fronts = [None] * len(texts) if second is None else self._split(texts, True)
        special = self.count_special_tokens(pairs is not None)
        rows, known = [], {"sample_ids": [], "starts": [], "lengths": [], "cut": []}
        for sample, (front, content) in enumerate(zip(fronts, long_texts, strict=True)):
            before = []
            left = room
            whole = len(content["token_ids"]) + special
            lost = 0
            if front is not None:
                whole += len(front["token_ids"])
                lost = max(0, len(front["token_ids"]) - room // 2)
                front = self._kept(front, room // 2)
                front["offsets"] = [NOWHERE] * len(front["token_ids"])
                front["word_ids"] = [NO_WORD] * len(front["token_ids"])
                left -= len(front["token_ids"])
                before = [front]
            shared = min(default_stride(max_length), left - 1) if stride is None else stride
            if not 0 <= shared < left:
                raise KzooError(
                    f"stride {stride} does not fit: a window has room for {left} tokens beside "
                    f"the question, so give 0 to {left - 1} or a larger max_length."
                )
            for start, stop in _window_ranges(len(content["token_ids"]), left, shared):
                rows.append(self._row([*before, _cut(content, start, stop)]))
                for column, value in zip(known.values(), (sample, start, whole, lost), strict=True):
                    column.append(value)
        batch = self._batch(rows, padding, pad_to_multiple)
        for name, column in known.items():
            batch[name] = np.array(column, "int32") if padding else column
        return batch

    def offsets(self, text, pair=None, max_length=None):
        """The characters of each token that `encode` gives for one text (or pair).

        Returns a list of (start, end) in code points of the text the token came from, so that
        `text[start:end]` is what the token stands for; (-1, -1) for special tokens.
        """
        pairs = None if pair is None else [pair]
        return self.encode([text], pairs, max_length, offsets=True)["offsets"][0]

    def tokens(self, text, pair=None, max_length=None):
        """The tokens of one text (or pair) as strings, special tokens included."""
        pairs = None if pair is None else [pair]
        ids = self.encode([text], pairs, max_length)["token_ids"][0]
        return [self._backend.id_to_token(number) for number in ids]

    # -- ids to text -------------------------------------------------------------------------

    def decode(self, ids, skip_special=True):
        """The text of a list of ids, or a list of texts for a batch (any nesting of two).

        Raises KzooError for an id that is no whole number or out of range.
        """
        rows = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        single = not rows or not isinstance(rows[0], (list, tuple))
        size = self.vocabulary_size
        checked = [[_checked_id(n, size) for n in row] for row in ([rows] if single else rows)]
        with _answering("The tokenizer could not decode the ids"):
            texts = self._backend.decode_batch(checked, skip_special_tokens=skip_special)
        return texts[0] if single else texts

    # -- inside ------------------------------------------------------------------------------

    def _role_id(self, role):
        token = self._tokens[role]
        return None if token is None else self._backend.token_to_id(token)

    @cached_property
    def _may_panic(self):
        return HARD_PATTERN.search(self._backend.to_str()) is not None

    @cached_property
    def cuts_words(self):
        """Whether the pre-tokenizer parts words at spaces; where none does, blanks and letters do.

        Without a pre-tokenizer, or with one that only parts digits, a text is a single piece.
        """
        return len(self._pieces("a a")) > 1

    @cached_property
    def _word_backend(self):
        """The backend for split words: each with the space before it that a sentence has there.

        That is the backend itself where spaces are no parts of tokens, or put before any text.
        """
        alone, within = "".join(self._pieces("a")), "".join(self._pieces("a a"))
        if alone != "a" or within == "aa":
            return self._backend
        spaced = tokenizers.Tokenizer.from_str(self._backend.to_str())
        normalizer = spaced.normalizer
        # Behind the normalizer, which may strip a word's spaces, and by its name for a space.
        space = normalizer.normalize_str("a a")[1:-1] if normalizer else " "
        steps = [step for step in (normalizer, normalizers.Prepend(space)) if step]
        spaced.normalizer = normalizers.Sequence(steps)
        return spaced

    def _pieces(self, text):
        """What the model gets of a text: a list of strings."""
        normalizer, pre_tokenizer = self._backend.normalizer, self._backend.pre_tokenizer
        with _answering("The tokenizer could not split a text"):
            text = normalizer.normalize_str(text) if normalizer else text
            pieces = pre_tokenizer.pre_tokenize_str(text) if pre_tokenizer else [(text, None)]
        return [piece for piece, _ in pieces]

    @cached_property
    def _template(self):
        return self._read_template(self._run(lambda: self._framed.encode("a")), 1)

    @cached_property
    def _pair_template(self):
        return self._read_template(self._run(lambda: self._framed.encode("a", "a")), 2)

    @cached_property
    def _framed(self):
        """The post-processor behind a vocabulary of its own, for no letter need be in this one."""
        backend = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
        if self._backend.post_processor is not None:
            backend.post_processor = self._backend.post_processor
        return backend

    @staticmethod
    def _read_template(encoding, sequences):
        """`frame` read off one encoding, so any post-processor that frames its texts will do."""
        template = [([], [])]
        columns = zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True)
        special = encoding.special_tokens_mask
        last = None
        for (number, segment, sequence), is_special in zip(columns, special, strict=True):
            if is_special:
                template[-1][0].append(number)
                template[-1][1].append(segment)
            elif sequence != last:
                template += [([], [segment]), ([], [])]
                last = sequence
        if len(template) != 2 * sequences + 1:
            raise KzooError(
                "This tokenizer's post-processor does not frame its texts in order: "
                "a template such as [CLS] A [SEP] B [SEP] was expected."
            )
        return template

    def _run(self, function):
        quiet = _no_panic_lines() if self._may_panic else contextlib.nullcontext()
        with quiet, _answering("The tokenizer could not encode the text"):
            return function()

    def _split(self, texts, offsets):
        """One dict of columns a text, without special tokens."""
        if not offsets:
            plain = self._numbers is None  # Else what unknown tokens stand for is asked for.
            encode = self._backend.encode_batch_fast if plain else self._backend.encode_batch
            encodings = self._run(lambda: encode(texts, add_special_tokens=False))
            return [{"token_ids": self._ids(encoding)} for encoding in encodings]
        encodings = self._run(lambda: self._backend.encode_batch(texts, add_special_tokens=False))
        return [
            {
                "token_ids": self._ids(encoding),
                "offsets": encoding.offsets,
                "word_ids": encoding.word_ids if self.cuts_words else [NO_WORD] * len(encoding),
            }
            for encoding in encodings
        ]

    def _check_lengths(self, max_length, padding, pad_to_multiple, pair):
        least = self.count_special_tokens(pair) + (2 if pair else 1)
        if max_length is not None and (not is_whole(max_length) or max_length < least):
            raise KzooError(
                f"max_length is {max_length!r}: None or a whole number of at least {least} "
                "(the special tokens and a token of each text) was expected."
            )
        if padding not in (None, "longest") and not (is_whole(padding) and padding > 0):
            raise KzooError(
                f'padding is {padding!r}: None, "longest" or a number of tokens was expected.'
            )
        if not is_whole(pad_to_multiple) or pad_to_multiple < 1:
            raise KzooError(
                f"pad_to_multiple is {pad_to_multiple!r}: a whole number from 1 was expected."
            )

    def _kept(self, content, room):
        """What stays of a text's columns when `room` tokens do; all of it where room is None."""
        size = len(content["token_ids"])
        start = max(0, size - room) if room is not None and self.truncation_side == "left" else 0
        return _cut(content, start, size if room is None else start + room)

    def _room(self, max_length, pair):
        return None if max_length is None else max_length - self.count_special_tokens(pair)

    def _row(self, contents):
        """The columns of one row: the template with the contents in their places."""
        row = {name: [] for name in contents[0]}
        row["segment_ids"] = []
        for place, (ids, segments) in enumerate(self.frame(len(contents) == 2)):
            if place % 2:
                content = contents[place // 2]
                for name, values in content.items():
                    row[name] += values
                row["segment_ids"] += segments * len(content["token_ids"])
            else:
                row["token_ids"] += ids
                row["segment_ids"] += segments
                for name in row.keys() - {"token_ids", "segment_ids"}:
                    row[name] += [PAD_VALUES[name]] * len(ids)
        row["padding_mask"] = [1] * len(row["token_ids"])
        return row

    def _batch(self, rows, padding, pad_to_multiple):
        names = ["token_ids", "padding_mask", "segment_ids"]
        names += [name for name in rows[0] if name not in names]
        if padding is None:
            return {name: [row[name] for row in rows] for name in names}
        lengths = [len(row["token_ids"]) for row in rows]
        check_not_empty(lengths)
        longest = max(lengths)
        length = longest if padding == "longest" else padding
        if longest > length:
            raise KzooError(
                f"Row {lengths.index(longest)} has {longest} tokens, more than the padding "
                f"length {length}: give max_length={length} to cut it."
            )
        length += -length % pad_to_multiple
        batch = {}
        for name in names:
            value = (self.padding_id or 0) if name == "token_ids" else PAD_VALUES[name]
            shape = (len(rows), length, *np.shape(value))
            batch[name] = np.full(shape, value, "int32")
            for target, row, count in zip(batch[name], rows, lengths, strict=True):
                if count:
                    target[:count] = row[name]
        return batch


class TargetTokenizer(Tokenizer):
    """The tokenizer of what is written, where it isn't that of what is read, as Marian's.

    Both number their tokens alike. A folder that kzoo wrote has `target_tokenizer.json` for it.
    """

    FILE = "target_tokenizer.json"
    FILES = (shared_vocabulary.TARGET, FILE)

    @classmethod
    def is_in(cls, folder):
        """Whether a folder holds one."""
        return any((Path(folder) / name).is_file() for name in cls.FILES)

    @classmethod
    def load(cls, path):
        """The target's tokenizer in a folder, or in one file of it, as `Tokenizer.load`."""
        path = Path(path)
        if not path.is_dir() or cls.is_in(path):
            return super().load(path)
        raise KzooError(
            f"{path} holds no tokenizer of what is written: {' or '.join(cls.FILES)} was expected."
        )

    def save(self, folder):
        """Write `target_tokenizer.json` into `folder`; return the folder."""
        self.save_json(folder)
        return Path(folder)


def check_not_empty(lengths):
    """Raise EmptyTextError for a text without a token, by how many tokens each of some texts has.

    A tokenizer that adds special tokens leaves at least those of any text; one that adds none may
    leave nothing, and there is nothing to run a model on.
    """
    if 0 in lengths:
        raise EmptyTextError(list(lengths).index(0))


@contextlib.contextmanager
def _answering(failure, expected="a text and a tokenizer that it can work on"):
    """What the library raises is one sentence; it raises bare Exception, and panics as no such."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise KzooError(f"{failure} ({error}): {expected} was expected.") from None


@contextlib.contextmanager
def _no_panic_lines():
    """Keep what the library writes of a panic, past Python, from the standard error stream.

    Other threads' lines would be lost with it: only where a pattern may take forever.
    """
    with QUIET:
        kept = os.dup(2)
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _fitting(lengths, room):
    """How many tokens of each text stay when `room` tokens do: the longer text is cut first."""
    if room is None or sum(lengths) <= room:
        return lengths
    if len(lengths) == 1:
        return [room]
    short, long = sorted(lengths)
    if short + max(short, room - short) > room:
        short = room // 2
    long = room - short
    return [short, long] if lengths[0] <= lengths[1] else [long, short]


def default_stride(max_length):
    """Tokens that neighbouring windows of at most `max_length` tokens share."""
    return min(MOST_SHARED, max_length // 4)


def _window_ranges(length, room, stride):
    start = 0
    while True:
        stop = min(start + room, length)
        yield start, stop
        if stop == length:
            return
        start += room - stride


def _cut(content, start, stop):
    return {name: values[start:stop] for name, values in content.items()}


def _checked_id(number, size):
    if not is_whole(number) or not 0 <= number < size:
        raise KzooError(
            f"The id {number!r} does not exist in this vocabulary: a whole number from 0 to "
            f"{size - 1} was expected."
        )
    return int(number)


def _came(value):
    """What a value is, for an error."""
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:37] + '...'}"


def _strings(values, name, empty=False):
    """`values` as a list of str, or KzooError that says what came and where."""
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise KzooError(f"{name} is {_came(values)}: a list of strings was expected.")
    values = list(values)
    if not values and not empty:
        raise KzooError(f"{name} is an empty list: at least one string was expected.")
    for position, value in enumerate(values):
        if not isinstance(value, str):
            hint = " (decode it as UTF-8)" if isinstance(value, bytes) else ""
            raise KzooError(f"{name}[{position}] is {_came(value)}: a string was expected{hint}.")
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise KzooError(
                    f"{name}[{position}] holds a lone surrogate at character {error.start}: text "
                    "that UTF-8 can write was expected."
                ) from None
    return values


def _parsed(text, source):
    """The backend in the text of a tokenizer.json."""
    _check_merges(text, source)
    _check_charsmaps(text, source)
    expected = "a file of the tokenizers library"
    with _answering(f"{source} is not a readable tokenizer.json", expected):
        backend = tokenizers.Tokenizer.from_str(text)
    if not backend.get_vocab_size():
        raise KzooError(f"{source} has an empty vocabulary: pieces were expected.")
    return backend


def _of_vocabulary(path, files):
    """The backend of `vocab.txt`, or of `vocab.json` and `merges.txt`, by its side files."""
    is_bpe = path.suffix == ".json"
    vocabulary, merges = _read_bpe(path) if is_bpe else (_read_pieces(path), None)
    guess = BERT if not is_bpe else ROBERTA if "<s>" in vocabulary else GPT2
    recipe = guess if files.class_name is None else files.recipe
    if recipe is None or recipe.model is not guess.model:
        raise KzooError(
            f"{path.parent} asks for a {files.class_name}, which kzoo doesn't make of {path.name}: "
            "save its tokenizer.json there, give another as tokenizer=, or tokenizer=False to go "
            "without."
        )
    if files.are_absent and is_bpe:
        # The space before a mask belongs to it, as in RoBERTa's training.
        files.suppose(mask_token={"content": "<mask>", "lstrip": True})
    elif files.are_absent:
        # Names such as [unused1] and <S> say nothing about the text.
        lower = all(piece == piece.lower() or piece[0] in "[<" for piece in vocabulary)
        files.suppose(do_lower_case=lower)
    names = {files.named(key, recipe) for key in recipe.tokens if key != "mask_token"} - {None}
    missing = sorted(names - set(vocabulary)) if recipe is not GPT2 else ()
    if missing:
        raise KzooError(
            f"{path} lacks {', '.join(missing)}: a vocabulary with its special tokens was expected."
        )
    return files.built(recipe, {"model": {"vocab": vocabulary, "merges": merges}})


def _of_two_models(path, files):
    """The backend of Marian's `source.spm` or `target.spm`."""
    if files.config.get("separate_vocabs"):
        raise KzooError(
            f"{path.parent} has separate_vocabs true, two vocabularies; kzoo reads Marian's with "
            "one vocab.json for both languages: give another as tokenizer=, or tokenizer=False to "
            "go without."
        )
    return shared_vocabulary.read(path)


def _of_sentencepiece(path, files):
    """The backend of a model of SentencePiece, by the class that the files beside it name."""
    model = sentencepiece.read(path)
    trained = model.trainer_spec
    if files.class_name is None and (trained.pad_id, trained.eos_id, trained.unk_id) == (0, 1, 2):
        recipe = T5
    else:
        recipe = files.recipe
    if recipe is None or recipe.pieces is None:
        what = f"of a {files.class_name}" if files.class_name else "without a class"
        raise KzooError(
            f"{path} is a model {what}; kzoo makes tokenizers of SentencePiece's models for "
            f"{', '.join(sorted(n for n, each in RECIPES.items() if each.pieces))}: write one as "
            "tokenizer_class into a tokenizer_config.json beside it."
        )
    return files.built(recipe, *recipe.pieces(files, model))


def _read_pieces(path):
    """The vocabulary of a file with one piece a line."""
    text = read_text(path, "one piece a line")
    # Only newlines part pieces: a vocabulary may hold U+2028 or U+0085 as a piece.
    pieces = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if pieces == [""]:
        raise KzooError(f"{path} is empty: one piece a line was expected.")
    vocabulary = {}
    for number, piece in enumerate(pieces):
        if not piece or piece in vocabulary:
            what = f"repeats {piece!r} of line {vocabulary[piece] + 1}" if piece else "is empty"
            raise KzooError(
                f"Line {number + 1} of {path} {what}: each line is to hold a piece of its own, "
                "because its number is the piece's id."
            )
        vocabulary[piece] = number
    return vocabulary


def _read_bpe(path):
    """The vocabulary in `vocab.json` and the merges in the `merges.txt` beside it."""
    merges = path.parent / "merges.txt"
    if not merges.is_file():
        raise KzooError(f"{merges} is missing: byte-level BPE needs it beside {path.name}.")
    failure = f"{path} and {merges.name} are not a readable BPE vocabulary"
    with _answering(failure, "a pair of files as RoBERTa's"):
        models.BPE.from_file(str(path), str(merges))  # It checks more than read_file does.
        return models.BPE.read_file(str(path), str(merges))


def _check_charsmaps(text, source):
    """That each table of replaced characters is sound: the library would panic."""
    for match in CHARSMAP.finditer(text):
        fault = charsmap.fault(match[1])
        if fault:
            raise KzooError(
                f"{source} is damaged: of its precompiled_charsmap, {fault}; fetch it again."
            )


def _check_merges(text, source):
    """That no merge lacks the prefix of later pieces: the library would end the process."""
    if '"merges"' not in text or not PREFIX.search(text):
        return
    try:
        model = json.loads(text)["model"]
        prefix = model["continuing_subword_prefix"]
        merges = (each.split(" ") if isinstance(each, str) else each for each in model["merges"])
        wrong = next((merge for merge in merges if not merge[1].startswith(prefix)), None)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return  # The library says what it misses.
    if wrong:
        raise KzooError(
            f"{source} is damaged: its merge {' '.join(wrong)!r} joins a piece without the prefix "
            f"{prefix!r} that continuing pieces have."
        )
