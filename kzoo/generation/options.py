"""How text is written: one frozen value, checked as a whole when it is made."""

from dataclasses import dataclass

from ..errors import KzooError
from ..values import is_number, is_whole

LEAST = 1e-4  # of what scores are divided by: float32 has no number for the result of less
STEEPEST = 10  # power of a length, likewise
DRAWN = ("temperature", "top_k", "top_p", "min_p")  # settings with which tokens are drawn
TOKENS = ("end_token_ids", "forced_token_ids", "forbidden_token_ids")
LONGEST_STOP = 1000  # characters; a longer stop string is a mistake, and would hold a stream back


@dataclass(frozen=True)
class Generation:
    """How the next tokens are chosen, and when there are enough of them.

    The names and the order in which the settings act are transformers'. Without any of
    `temperature`, `top_k`, `top_p` and `min_p` the likeliest token is taken (greedy), or with
    `num_beams` the likeliest whole; with one of them tokens are drawn.

    Args:
        max_new_tokens: tokens to write at most.
        min_new_tokens: tokens before which no end token may come.
        temperature: what logits are divided by; above 1 more varied, below it less.
        top_k: only the so many likeliest tokens may be drawn.
        top_p: only the likeliest tokens whose probabilities sum up to this, in (0, 1]
            (Holtzman et al. 2020, arXiv:1904.09751).
        min_p: only tokens at least this times as likely as the likeliest, in [0, 1]
            (arXiv:2407.01082).
        seed: a whole number makes draws repeatable.
        num_beams: sequences that are followed at a time; 1 is no beam search.
        num_return_sequences: answers a prompt: the best beams, or so many draws.
        length_penalty: a beam's score is its log-probability divided by its new tokens to this
            power; above 0 prefers long ones.
        early_stopping: when a beam search ends. True: once as many sequences have ended as there
            are beams. False: once the best running one, at its length now, would not get among
            them. "never": once it would not at any length either.
        repetition_penalty: scores of tokens that stand before are divided by it where they are
            positive and multiplied where not (Keskar et al. 2019, arXiv:1909.05858); 1 is none.
        no_repeat_ngram_size: no so many tokens in a row come twice, the prompt's included; 0 is
            none.
        stop_strings: texts that end what is written, and are no part of it. Only the new text is
            searched.
        end_token_ids: tokens that end what is written, one id or several.
        forced_token_ids: tokens that what is written begins with, such as that of a language.
        ends_at_last: whether the last of `max_new_tokens` is an end token, whatever is likelier.
        forbidden_token_ids: tokens that are never written.

    Raises:
        KzooError: for a setting out of its range, and for two that exclude each other.
    """

    max_new_tokens: int = 64
    min_new_tokens: int = 0
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stop_strings: tuple = ()
    end_token_ids: tuple = ()
    forced_token_ids: tuple = ()
    ends_at_last: bool = False
    forbidden_token_ids: tuple = ()

    def __post_init__(self):
        for name in ("stop_strings", *TOKENS):
            held = getattr(self, name)
            held = (held,) if isinstance(held, str) or is_whole(held) else held
            object.__setattr__(self, name, _entries(name, held))
        self._check_ranges()
        self._check_lists()
        self._check_together()

    @property
    def is_sampled(self):
        """Whether tokens are drawn."""
        return any(getattr(self, name) is not None for name in DRAWN)

    def _check_ranges(self):
        whole, every = "a whole number from {}", "leave it out for all tokens"
        rules = {
            "max_new_tokens": (lambda v: is_whole(v, 1), whole.format(1)),
            "min_new_tokens": (
                lambda v: is_whole(v, 0, self.max_new_tokens),
                f"{whole.format(0)} to max_new_tokens, {self.max_new_tokens!r:.20}",
            ),
            "num_beams": (lambda v: is_whole(v, 1), whole.format(1)),
            "num_return_sequences": (lambda v: is_whole(v, 1), whole.format(1)),
            "length_penalty": (
                lambda v: is_number(v, -STEEPEST, STEEPEST),
                f"a number from -{STEEPEST} to {STEEPEST}",
            ),
            "repetition_penalty": (
                lambda v: is_number(v, LEAST, 1 / LEAST),
                f"a number from {LEAST:g} to {1 / LEAST:g}, 1 for none",
            ),
            "no_repeat_ngram_size": (lambda v: is_whole(v, 0), f"{whole.format(0)}, 0 for none"),
            "early_stopping": (lambda v: v in (True, False, "never"), 'True, False or "never"'),
            "ends_at_last": (lambda v: v in (True, False), "True or False"),
        }
        drawn = {
            "temperature": (
                lambda v: is_number(v, LEAST),
                f"a finite number from {LEAST:g} on: leave it out for the likeliest token",
            ),
            "top_k": (lambda v: is_whole(v, 1), f"{whole.format(1)}: {every}"),
            "top_p": (
                lambda v: is_number(v, 0, 1) and v > 0,
                f"a number above 0 and up to 1: {every}",
            ),
            "min_p": (lambda v: is_number(v, 0, 1), f"a number from 0 to 1: {every}"),
            "seed": (
                lambda v: is_whole(v, 0),
                f"{whole.format(0)}: leave it out for another each time",
            ),
        }
        for name, (is_valid, expected) in {**rules, **drawn}.items():
            value = getattr(self, name)
            if not is_valid(value) and not (value is None and name in drawn):
                raise KzooError(f"Got {name} = {value!r:.40}; expected {expected}.")

    def _check_lists(self):
        for text in self.stop_strings:
            if not isinstance(text, str) or not 0 < len(text) <= LONGEST_STOP:
                raise KzooError(
                    f"Got the stop string {text!r:.40}; expected a text of 1 to {LONGEST_STOP} "
                    "characters."
                )
        for name in TOKENS:
            for number in getattr(self, name):
                if not is_whole(number, 0):
                    what = name.replace("_", " ").removesuffix(" token ids")
                    raise KzooError(
                        f"Got the {what} token {number!r:.40}; expected the id of a token."
                    )

    def _check_together(self):
        if len(self.forced_token_ids) >= self.max_new_tokens:
            raise KzooError(
                f"Got {len(self.forced_token_ids)} forced tokens with max_new_tokens = "
                f"{self.max_new_tokens}; expected fewer than that, for something to be written."
            )
        both = sorted({*self.forced_token_ids, *self.end_token_ids} & {*self.forbidden_token_ids})
        if both:
            raise KzooError(
                f"Got the token {both[0]} among the forbidden ones, and as one that begins or ends "
                "what is written; expected one of the two."
            )
        beams, count = self.num_beams, self.num_return_sequences
        if beams > 1 and self.is_sampled:
            raise KzooError(
                f"Got num_beams = {beams} with a setting that draws tokens; expected one way to "
                "choose them: leave out temperature, top_k, top_p and min_p, or num_beams."
            )
        if beams > 1 and count > beams:
            raise KzooError(
                f"Got num_return_sequences = {count} with num_beams = {beams}; expected as many "
                "beams or more."
            )
        if beams == 1 and count > 1 and not self.is_sampled:
            raise KzooError(
                f"Got num_return_sequences = {count} where the likeliest token is taken, which "
                "gives one sequence; expected num_beams, or a temperature to draw with."
            )


def _entries(name, values):
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise KzooError(f"Got {name} = {values!r:.40}; expected a list.")
    return tuple(values)
