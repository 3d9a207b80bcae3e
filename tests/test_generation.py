"""Writing text from logits: decoding, streaming, chat templates, few-shot."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models

from kzoo import Tokenizer
from kzoo.errors import KzooError
from kzoo.generation import (
    ChatTemplate,
    FewShot,
    Generation,
    TextStream,
    generate,
    processors,
    stream,
)
from kzoo.generation.decoding import NOWHERE

SIZE = 23
PROMPTS = [[3, 5, 7], [2], [11, 4, 9, 1, 6, 8], [5, 5]]


class Whole:
    """A state that holds the tokens of all rows, in place of a cache."""

    def __init__(self, rows):
        self.rows = rows

    def reorder(self, rows):
        return Whole([list(self.rows[row]) for row in rows])

    def extended(self, token_ids, places):
        for row, ids, at in zip(self.rows, token_ids, places, strict=True):
            for token, place in zip(ids.tolist(), at.tolist(), strict=True):
                if place != NOWHERE:
                    assert place == len(row)
                    row.append(token)
        return self


def step_of(logits_of):
    """The step function of what gives the next token's logits for each of some sequences."""

    def step(token_ids, places, state):
        state = (state or Whole([[] for _ in token_ids])).extended(token_ids, places)
        return logits_of(state.rows), state

    return step


TABLE = np.random.default_rng(0).normal(size=(SIZE, SIZE, SIZE)).astype("float32") * 2


def trigram(rows):
    return np.stack([TABLE[row[-2] if len(row) > 1 else 0, row[-1]] for row in rows])


STEP = step_of(trigram)


def ids_of(answers):
    return [[each.token_ids for each in of_prompt] for of_prompt in answers]


# -- against transformers ------------------------------------------------------------------------

CASES = {
    "greedy": {},
    "greedy, ends": {"end_token_ids": (4, 9)},
    "greedy, penalties": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "greedy, least": {"end_token_ids": (4, 9, 12), "min_new_tokens": 6},
    "beams": {"num_beams": 4, "num_return_sequences": 3},
    "beams, ends": {"num_beams": 3, "num_return_sequences": 3, "end_token_ids": (4, 9, 2, 15)},
    "beams, long": {"num_beams": 3, "end_token_ids": (4, 9, 2, 15), "length_penalty": 2.0},
    "beams, short": {"num_beams": 3, "end_token_ids": (4, 9, 2, 15), "length_penalty": -1.0},
    "beams, all": {
        "num_beams": 5, "num_return_sequences": 5, "end_token_ids": (4, 9),
        "min_new_tokens": 3, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def gpt2():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=SIZE, n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.4
    )
    model = transformers.GPT2LMHeadModel(config).eval()

    def logits_of(rows):
        with torch.no_grad():
            return np.stack([model(torch.tensor([row])).logits[0, -1].numpy() for row in rows])

    return model, step_of(logits_of)


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_of_transformers(gpt2, name):
    import torch

    model, step = gpt2
    settings = dict(CASES[name])
    actual = generate(step, PROMPTS, Generation(max_new_tokens=12, **settings))
    ends = list(settings.pop("end_token_ids", ())) or None
    for prompt, answers in zip(PROMPTS, actual, strict=True):
        # Each prompt alone, and below all of them at once: a row is what it is alone.
        whole = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=int),
            max_new_tokens=12, do_sample=False, eos_token_id=ends, pad_token_id=SIZE - 1,
            return_dict_in_generate=True, output_scores=True, **settings,
        )  # fmt: skip
        for row, answer in enumerate(answers):
            expected = whole.sequences[row, len(prompt) :].tolist()
            assert answer.token_ids == expected[: len(answer.token_ids)]
            assert set(expected[len(answer.token_ids) :]) <= {SIZE - 1}
            if answer.score is not None:
                assert answer.score == pytest.approx(whole.sequences_scores[row].item(), abs=1e-4)
    if "repetition_penalty" in settings and "num_beams" in settings:
        return  # transformers can't batch these two
    longest = max(map(len, PROMPTS))
    padded = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in PROMPTS])
    rows = model.generate(
        padded, attention_mask=mask, max_new_tokens=12, do_sample=False, eos_token_id=ends,
        pad_token_id=SIZE - 1, **settings,
    )[:, longest:].tolist()  # fmt: skip
    for answer, expected in zip([a for each in actual for a in each], rows, strict=True):
        assert answer.token_ids == expected[: len(answer.token_ids)]
