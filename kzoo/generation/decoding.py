"""From a step function to tokens: greedy, drawn, and by beam search.

A network stands here as `step(token_ids, places, state) -> (logits, state)`:

* `token_ids` (rows, length) int32 and `places` (rows, length) int32, the place of each token
  within its own sequence; a padding token has the place `NOWHERE`. Padding stands on the left.
* `state` is None in the first call, and then what the last call gave. `state.reorder(rows)` is a
  state whose row i is row rows[i] of this one; there may be more rows than before. A state that
  was handed on is not used again.
* `logits` (rows, vocabulary) are those of each row's last token.

The tokens are those of transformers' `generate` for the same logits, drawn ones but for the draws.
A row doesn't depend on its batch: each is written as it would be alone, and where tokens are drawn
with a seed, by the number of its prompt.
"""

from typing import NamedTuple

import numpy as np

from ..errors import KzooError
from ..values import NOWHERE, is_whole
from .logit_processors import log_softmax, processed, softmax
from .options import TOKENS, Generation
from .streaming import TextStream, is_ended_by

LAST = 2**31 - 1  # the largest id that int32 holds
UNLIKELY = np.float32(-1e9)  # what beam search adds to what isn't to be chosen
BLOCK = 64  # values of which the largest stands for all, where few of many are sought


class Written(NamedTuple):
    """One answer: the new tokens, their text, why they end, and a beam's score.

    `reason` is "end" (an end token, the last of `token_ids`), "stop" (a stop string, from which on
    `text` is cut) or "length". `text` is None without a tokenizer, `score` without beams.
    """

    token_ids: list
    text: str | None
    reason: str
    score: float | None = None


def generate(step, prompts, options=None, tokenizer=None, max_length=None, numbers=None):
    """Write on from prompts.

    Args:
        step: see the module.
        prompts: lists of token ids, of any lengths.
        options: a `Generation`; by default its defaults.
        tokenizer: a `Tokenizer` that makes texts of the answers; stop strings need one.
        max_length: places that the network has; None for any number.
        numbers: of each prompt, for its draws and for messages; by default its place.

    Returns:
        For each prompt a list of `num_return_sequences` answers, each a `Written`, the best first
        where there are beams.

    Raises:
        KzooError: for prompts and settings that don't go together, and for logits that are no
            finite number.
    """
    options = options or Generation()
    prompts = _checked_prompts(prompts, options, tokenizer, max_length, numbers)
    step = _checking(step, options)
    if options.num_beams > 1:
        return _beam_search(step, prompts, options, tokenizer)
    count = options.num_return_sequences
    draws = [(number, copy) for number in numbers or range(len(prompts)) for copy in range(count)]
    rows = [prompt for prompt in prompts for _ in range(count)]
    rows = _Rows(rows, options, tokenizer, draws)
    for _ in rows.write(step):
        pass
    answers = rows.answers()
    return [answers[start : start + count] for start in range(0, len(answers), count)]


def stream(step, prompt, tokenizer, options=None, max_length=None):
    """Write on from one prompt; an iterator of pieces of text, see `TextStream`.

    Arguments and errors are those of `generate`; errors in them come at once.
    """
    options = options or Generation()
    (prompt,) = _checked_prompts([prompt], options, tokenizer, max_length)
    if options.num_beams > 1 or options.num_return_sequences > 1:
        raise KzooError(
            f"Got num_beams = {options.num_beams} and num_return_sequences = "
            f"{options.num_return_sequences} for a stream; expected 1: what comes out can't be "
            "taken back, so call generate."
        )
    rows = _Rows([prompt], options, tokenizer, [(0, 0)])
    return (pieces[0] for pieces in rows.write(_checking(step, options)) if pieces[0])


class _Rows:
    """Sequences that are written at the same time, each by its likeliest or a drawn token.

    `draws` has of each what beside the seed its draws come from.
    """

    def __init__(self, prompts, options, tokenizer, draws):
        self.prompts = prompts
        self.options = options
        # The first text draws from the seed itself, and others from children of it.
        seeds = [np.random.SeedSequence(options.seed, spawn_key=d if any(d) else ()) for d in draws]
        self.draws = [np.random.default_rng(seed) for seed in seeds]
        self.history = _History(prompts, options)
        self.streams = [tokenizer and TextStream(tokenizer, options.stop_strings) for _ in prompts]
        self.texts = [""] * len(prompts)
        self.lengths = [0] * len(prompts)
        self.reasons = [None] * len(prompts)

    def write(self, step):
        """Yield at each step what text each row has more, "" where there is none."""
        logits, state = _prefilled(step, self.prompts)
        while True:
            tokens = self.choose(logits)
            self.history.add(tokens)
            yield [self.take(row, int(token)) for row, token in enumerate(tokens)]
            if None not in self.reasons:
                return
            # Rows that have ended go on unheard.
            logits, state = step(_column(tokens), _column(self.history.places), state)

    def choose(self, logits):
        """The next token of each row, (rows,)."""
        scores = _possible(processed(logits, self.options, self.history))
        if not self.options.is_sampled:
            return scores.argmax(-1)
        mass = np.cumsum(softmax(scores), -1, dtype="float64")
        drawn = np.array([[draws.random()] for draws in self.draws]) * mass[:, -1:]
        return (mass <= np.minimum(drawn, np.nextafter(mass[:, -1:], 0))).sum(-1)

    def take(self, row, token):
        """Give a row its next token; returns the text that it has more."""
        if self.reasons[row] is not None:
            return ""
        stream = self.streams[row]
        is_end = token in self.options.end_token_ids
        piece = stream.push(token) if stream else ""
        if stream and stream.is_stopped:
            self.reasons[row] = "stop"
        elif is_end or self.history.count == self.options.max_new_tokens:
            self.reasons[row] = "end" if is_end else "length"
            piece += stream.close() if stream else ""
            if stream and stream.is_stopped:
                self.reasons[row] = "stop"
        self.texts[row] += piece
        self.lengths[row] = self.history.count
        return piece

    def answers(self):
        """What each row became."""
        return [
            Written(
                self.history.new[row, : self.lengths[row]].tolist(),
                self.texts[row] if stream else None,
                self.reasons[row],
            )
            for row, stream in enumerate(self.streams)
        ]


class _History:
    """The tokens of rows so far, as the processors read them."""

    def __init__(self, prompts, options):
        longest = max(map(len, prompts))
        shape = (len(prompts), longest + options.max_new_tokens)
        self._all = np.full(shape, -1, "int32")
        for row, prompt in zip(self._all, prompts, strict=True):
            row[longest - len(prompt) : longest] = prompt
        self._longest = longest
        self._lengths = np.array([len(prompt) for prompt in prompts])
        self._is_penalised = options.repetition_penalty != 1
        self._seen = None
        self.count = 0

    @property
    def tokens(self):
        """(rows, length), prompts included, -1 before shorter ones."""
        return self._all[:, : self._longest + self.count]

    @property
    def new(self):
        """(rows, new tokens)."""
        return self._all[:, self._longest : self._longest + self.count]

    @property
    def places(self):
        """The place of each row's last token, (rows,)."""
        return self._lengths + self.count - 1

    def seen(self, size):
        """Whether each of `size` tokens is in the row, (rows, size); None where nobody asks."""
        if self._is_penalised and self._seen is None:
            self._seen = np.zeros((len(self._all), size), bool)
            row, place = np.nonzero(self.tokens >= 0)
            self._seen[row, self.tokens[row, place]] = True
        return self._seen

    def reorder(self, rows):
        """Go on with other rows: row i is what row rows[i] was."""
        self._all, self._lengths = self._all[rows], self._lengths[rows]
        self._seen = None if self._seen is None else self._seen[rows]

    def add(self, tokens):
        """Append a token to each row."""
        self._all[:, self._longest + self.count] = tokens
        self.count += 1
        if self._seen is not None:
            self._seen[np.arange(len(tokens)), tokens] = True


def _beam_search(step, prompts, options, tokenizer):
    """The best of the sequences that `num_beams` running ones end in, for each prompt.

    At each step the best continuations of all beams of a prompt are candidates, enough of them
    that as many as there are beams go on whatever ends. Those among the first `num_beams` that end
    compete with the ended ones of before. A prompt is done once its best running beam, at its
    length now, would not get among the ended ones, or as `early_stopping` says.
    """
    beams, ends = options.num_beams, list(options.end_token_ids)
    count = len(prompts)
    logits, state = _prefilled(step, prompts)
    state = state.reorder(np.repeat(np.arange(count), beams))
    logits = np.repeat(logits, beams, axis=0)
    history = _History([prompt for prompt in prompts for _ in range(beams)], options)
    # The same sequences beside each other: only the first may go on.
    scores = np.full((count, beams), UNLIKELY)
    scores[:, 0] = 0
    ended = _Ended(count, beams, options)
    first_row = np.arange(count)[:, None] * beams
    while True:
        size = logits.shape[-1]
        chances = _possible(processed(log_softmax(logits), options, history))
        chances = (chances.reshape(count, beams, size) + scores[..., None]).reshape(count, -1)
        top, index = _largest(chances, beams * max(2, 1 + len(ends)))
        rows, tokens = first_row + index // size, index % size
        sequences = np.concatenate([history.new[rows], tokens[..., None].astype("int32")], axis=-1)
        done = np.isin(tokens, ends) | (sequences.shape[-1] == options.max_new_tokens)
        if options.stop_strings:
            done |= [
                [is_ended_by(tokenizer, ids, options.stop_strings) for ids in of_prompt]
                for of_prompt in sequences.tolist()
            ]
        scores, kept = _largest(top + done * UNLIKELY, beams)
        ended.add(sequences, top, done)
        if not ended.may_improve(scores[:, :1], sequences.shape[-1]) or done.all():
            return ended.answers(tokenizer)
        rows = np.take_along_axis(rows, kept, 1).reshape(-1)
        tokens = np.take_along_axis(tokens, kept, 1).reshape(-1)
        history.reorder(rows)
        history.add(tokens)
        logits, state = step(_column(tokens), _column(history.places), state.reorder(rows))


class _Ended:
    """The best ended sequences of each prompt, the best first."""

    def __init__(self, count, beams, options):
        self.options = options
        self.scores = np.full((count, beams), UNLIKELY)
        self.is_open = np.ones((count, 1), bool)  # whether a better one may still come
        self.tokens = np.zeros((count, beams, options.max_new_tokens), "int32")
        self.lengths = np.zeros((count, beams), int)

    def add(self, sequences, scores, done):
        """Let candidates compete that are done and among the first.

        Args:
            sequences: new tokens, (prompts, candidates, length).
            scores: sums of log-probabilities, (prompts, candidates), the best first.
            done: whether each ends here.
        """
        count, candidates, length = sequences.shape
        ends = done & (np.arange(candidates) < self.scores.shape[1])
        scores = scores / np.float32(length**self.options.length_penalty)
        scores = scores + ~self.is_open * UNLIKELY + ~ends * UNLIKELY
        longer = np.zeros((count, candidates, self.options.max_new_tokens), "int32")
        longer[..., :length] = sequences
        self.scores, best = _largest(np.concatenate([self.scores, scores], 1), self.scores.shape[1])
        for name, more in (
            ("tokens", longer),
            ("lengths", np.full((count, candidates), length)),
        ):
            both = np.concatenate([getattr(self, name), more], 1)
            setattr(self, name, both[np.arange(count)[:, None], best])

    def may_improve(self, scores, length):
        """Whether running beams of these best scores (prompts, 1) may still get in anywhere."""
        early, penalty = self.options.early_stopping, self.options.length_penalty
        if early == "never" and penalty > 0:
            length = self.options.max_new_tokens
        worst = self.scores.min(1, keepdims=True)
        self.is_open &= scores / np.float32(length**penalty) > worst
        if early is True:  # All that were kept have ended.
            self.is_open &= worst <= UNLIKELY / 2
        return self.is_open.any()

    def answers(self, tokenizer):
        """For each prompt its best, each a `Written`."""
        counts = range(self.options.num_return_sequences)
        return [
            [self._answer(row, beam, tokenizer) for beam in counts]
            for row in range(len(self.scores))
        ]

    def _answer(self, row, beam, tokenizer):
        ids = self.tokens[row, beam, : self.lengths[row, beam]].tolist()
        reason = "end" if ids and ids[-1] in self.options.end_token_ids else "length"
        text = None
        if tokenizer:
            stream = TextStream(tokenizer, self.options.stop_strings)
            text = "".join([*map(stream.push, ids), stream.close()])
            reason = "stop" if stream.is_stopped else reason
        return Written(ids, text, reason, float(self.scores[row, beam]))


def _largest(values, count):
    """The largest values of each row and where they are, (rows, count) each, the largest first.

    Of equals the earlier comes first.
    """
    count = min(count, values.shape[1])
    index = np.stack([_largest_of(row, count) for row in values])
    return np.take_along_axis(values, index, 1), index


def _largest_of(row, count):
    """Where a row's largest values are, of which those of its blocks leave few to be sorted."""
    blocks = row[: len(row) // BLOCK * BLOCK].reshape(-1, BLOCK).max(1)
    if len(blocks) > count:
        places = np.flatnonzero(row >= np.partition(blocks, -count)[-count])
    else:
        places = np.arange(len(row))
    return places[np.argsort(-row[places], kind="stable")[:count]]


def _prefilled(step, prompts):
    """Logits and state behind the prompts, which are padded on the left."""
    longest = max(map(len, prompts))
    token_ids = np.zeros((len(prompts), longest), "int32")
    places = np.full((len(prompts), longest), NOWHERE, "int32")
    for row, prompt in enumerate(prompts):
        token_ids[row, longest - len(prompt) :] = prompt
        places[row, longest - len(prompt) :] = np.arange(len(prompt))
    return step(token_ids, places, None)


def is_listed(prompts):
    """Whether something may be a list of prompts, and no single text or dict of inputs."""
    return hasattr(prompts, "__iter__") and not isinstance(prompts, (str, bytes, dict, set))


def _column(values):
    return values.astype("int32")[:, None]


def _checked_prompts(prompts, options, tokenizer, max_length, numbers=None):
    """The prompts as lists of ids."""
    if not is_listed(prompts):
        raise KzooError(f"Got prompts = {prompts!r:.40}; expected lists of token ids.")
    checked = []
    for place, prompt in enumerate(prompts):
        number = numbers[place] if numbers else place
        ids = prompt.tolist() if hasattr(prompt, "tolist") else prompt
        if not isinstance(ids, (list, tuple)) or not all(is_whole(e, 0, LAST) for e in ids):
            raise KzooError(
                f"Got {prompt!r:.40} as prompt {number}; expected a list of token ids, whole "
                "numbers from 0 on."
            )
        if not ids:
            raise KzooError(
                f"Got no token in prompt {number}; expected one at least, such as the token that "
                "starts a text."
            )
        # The last new token is never read, and so needs no place.
        needed = len(ids) + options.max_new_tokens - 1
        if max_length is not None and needed > max_length:
            if len(ids) > max_length:
                raise KzooError(
                    f"Got {len(ids)} tokens in prompt {number}; expected {max_length} at most, for "
                    "the network has as many places: shorten it."
                )
            raise KzooError(
                f"Got max_new_tokens = {options.max_new_tokens}; expected "
                f"{max_length + 1 - len(ids)} at most behind the tokens of prompt {number}, which "
                f"are {len(ids)}, for the network has {max_length} places."
            )
        checked.append([int(each) for each in ids])
    if not checked:
        raise KzooError("Got no prompt; expected one at least.")
    if options.stop_strings and tokenizer is None:
        raise KzooError(
            "Got stop_strings without a tokenizer; expected one, for they are searched in the text."
        )
    return checked


def _checking(step, options):
    """The step function with its logits looked at: float32, finite where likeliest, enough."""

    def checked(token_ids, places, state):
        logits, state = step(token_ids, places, state)
        return _checked_logits(logits, options), state

    return checked


def _checked_logits(logits, options):
    """Logits as float32 (rows, vocabulary), with numbers in them that fit the options."""
    logits = np.asarray(logits, "float32")
    size = logits.shape[-1]
    if not np.isfinite(logits.max(-1)).all():
        raise KzooError(
            "Got logits that are no finite number; expected such: the weights are damaged, or too "
            "large for this precision."
        )
    # Of each beam so many are candidates, which are to be other tokens.
    needed = max(options.num_beams, 2, 1 + len(options.end_token_ids))
    if options.num_beams > 1 and needed > size:
        raise KzooError(
            f"Got num_beams = {options.num_beams}; expected no more than the {size} tokens of the "
            "vocabulary, end tokens beside one counted: take fewer."
        )
    for name in TOKENS:
        outside = [each for each in getattr(options, name) if each >= size]
        if outside:
            what = name.replace("_", " ").removesuffix(" token ids")
            raise KzooError(
                f"Got the {what} token {outside[0]}; expected an id below the {size} of the "
                "vocabulary."
            )
    return logits


def _possible(scores):
    """The scores, unless nothing may come."""
    if np.isneginf(scores.max(-1)).any():
        raise KzooError(
            "Got settings that forbid every token; expected some to be left: lower "
            "no_repeat_ngram_size or min_new_tokens."
        )
    return scores
