"""Text in, text out over a step function: how a model in Keras and a bundle write alike."""

import statistics
import time

from ..errors import KzooError
from ..text.tokenizer import check_not_empty
from ..values import is_whole
from .decoding import generate, is_listed, stream
from .options import Generation


class Writer:
    """What writes on from prompts.

    Args:
        step: the network, see `decoding`.
        tokenizer: a `Tokenizer`, or None where token ids alone are written.
        max_length: places that the network has.
    """

    def __init__(self, step, tokenizer, max_length):
        self.step = step
        self.tokenizer = tokenizer
        self.max_length = max_length

    def prompt_ids(self, prompts):
        """See `prompt_ids`."""
        return prompt_ids(self.tokenizer, prompts)

    def generate(self, prompts, batch_size=None, sources=None, **options):
        """Write on from lists of token ids.

        Args:
            prompts: lists of token ids, see `prompt_ids` and `chat_ids`.
            sources: of a network that reads a source first, one for each prompt, as token ids.
            batch_size: how many are written on at the same time; by default all, or as many as
                suit the step. What is written doesn't depend on it.
            options: those of `Generation`. By default a text ends with the tokenizer's end token,
                and each prompt gets as many new tokens as there are places, 64 at most.

        Returns:
            For each prompt a list of `num_return_sequences` answers, each a `Written`; without a
            text where there is no tokenizer.

        Raises:
            KzooError: for an option out of its range, an empty prompt, or one that leaves no place
                to write in.
        """
        if not is_listed(prompts):
            raise KzooError(f"Got prompts = {prompts!r:.40}; expected lists of token ids.")
        if batch_size is not None and not is_whole(batch_size, 1):
            raise KzooError(f"Got batch_size = {batch_size!r:.40}; expected a number from 1 on.")
        prompts = list(prompts)
        alike = {}  # numbers of prompts by their settings
        for number, prompt in enumerate(prompts):
            alike.setdefault(self._settings(prompt, options), []).append(number)
        answers = [None] * len(prompts)
        for settings, numbers in alike.items() or [(self._settings((), options), [])]:
            count = batch_size or getattr(self.step, "at_once", None) or max(1, len(numbers))
            for start in range(0, max(1, len(numbers)), count):
                some = numbers[start : start + count]
                given = [prompts[number] for number in some]
                step = self._step(None if sources is None else [sources[n] for n in some])
                written = generate(step, given, settings, self.tokenizer, self.max_length, some)
                for number, rows in zip(some, written, strict=True):
                    answers[number] = rows
        return answers

    def stream(self, prompt, source=None, **options):
        """Write on from one list of token ids; an iterator of pieces of text."""
        settings = self._settings(prompt, options)
        step = self._step(None if source is None else [source])
        return stream(step, prompt, self.tokenizer, settings, self.max_length)

    def _step(self, sources):
        return self.step if sources is None else self.step.reading(sources)

    def _settings(self, prompt, options):
        """The options for a prompt as one value."""
        check_names(options)
        end = None if self.tokenizer is None else self.tokenizer.end_id
        usual = {} if end is None else {"end_token_ids": (end,)}
        length = len(prompt) if hasattr(prompt, "__len__") else 0
        # The last new token is never read, and so needs no place.
        left = max(1, self.max_length - length + 1)
        usual["max_new_tokens"] = min(Generation.max_new_tokens, left)
        return Generation(**{**usual, **options})


class Clock:
    """A step function that notes when each of its steps ended."""

    def __init__(self, step):
        self.step = step
        self.ends = []

    def __call__(self, *arguments):
        """Run the step."""
        result = self.step(*arguments)
        self.ends.append(time.perf_counter())
        return result

    def reading(self, sources):
        """What is written of sources, by the same clock."""
        clock = Clock(self.step.reading(sources))
        clock.ends = self.ends
        return clock

    @property
    def tokens_per_second(self):
        """Tokens of one sequence a second, by the median step behind the prompt, or None."""
        steps = [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]
        return 1 / statistics.median(steps) if steps else None


def prompt_ids(tokenizer, prompts):
    """Texts as token ids, with what stands before a text where the tokenizer says so.

    Special tokens that stand in a prompt are read as such.

    Raises:
        KzooError: for a text without a token, and without a tokenizer.
    """
    check_has_tokenizer(tokenizer)
    (before, _), *_ = tokenizer.frame()
    rows = [[*before, *ids] for ids in tokenizer.bare_ids(prompts)]
    check_not_empty([len(row) for row in rows])
    return rows


def check_has_tokenizer(tokenizer):
    """Raise KzooError for None, where texts came."""
    if tokenizer is None:
        raise KzooError(
            "Got a text for a model without a tokenizer; expected one with it: give the model's, "
            "or token ids."
        )


def framing(tokenizer):
    """What stands before a text to be foretold and behind it, two lists of ids.

    The end token stands behind, where there is one; before stand the special tokens that the
    tokenizer puts there, or else the end of another text.
    """
    after = [] if tokenizer.end_id is None else [tokenizer.end_id]
    (before, _), *_ = tokenizer.frame()
    return list(before) or after, after


def chat_ids(tokenizer, messages, tools=None, documents=None):
    """A conversation as token ids, up to where its answer begins.

    Args:
        tokenizer: a `Tokenizer` with a chat template, which writes out all special tokens.
        messages: [{"role": "user", "content": "Hello"}, ...].
        tools, documents: see `ChatTemplate.render`.

    Raises:
        KzooError: without a template, and for messages that it doesn't take.
    """
    if tokenizer.chat_template is None:
        raise KzooError(
            "Got messages for a tokenizer without a chat template; expected a model that was "
            "trained to chat: give a text, or set tokenizer.chat_template to a ChatTemplate."
        )
    text = tokenizer.chat_template.render(messages, tools=tools, documents=documents)
    (ids,) = tokenizer.bare_ids([text])
    return ids


def is_chat(inputs):
    """Whether something is a conversation: a list of messages, which are dicts with a role."""
    return (
        isinstance(inputs, (list, tuple))
        and len(inputs) > 0
        and all(isinstance(message, dict) and "role" in message for message in inputs)
    )


def check_names(options, others=()):
    """Raise KzooError for options that neither `Generation` has nor `others`."""
    known = [*Generation.__dataclass_fields__, *others]
    unknown = sorted(set(options) - set(known), key=str)
    if unknown:
        raise KzooError(f"Got the option {unknown[0]!r}; expected some of {', '.join(known)}.")
