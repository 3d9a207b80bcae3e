"""A Keras model writes with a cache what it writes without one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from families import SPECS, noisy
from keras import ops

from kzoo.errors import KzooError
from kzoo.generation import Generation, generate, runner
from kzoo.values import NOWHERE

CAUSAL = {"attention": "causal", "pooler": "none"}
SHAPES = {
    "learned": {},
    "shared heads": {"num_key_value_heads": 2, "position": "rotary"},
    "banded": {"attention": ["causal", {"kind": "local", "window": 3}], "position": "alibi"},
}
PROMPTS = [[7, 8, 9, 10, 11, 12, 13, 14, 15], [30], [99, 5, 60, 61]]
WAYS = {
    "greedy": {"no_repeat_ngram_size": 3, "end_token_ids": (17, 41)},
    "beams": {"num_beams": 3, "num_return_sequences": 2, "end_token_ids": (17, 41)},
}


class Writer:
    """What a task that writes has: a backbone, and scores against its own tokens."""

    def __init__(self, backbone):
        self.backbone, self.variables = backbone, backbone.variables

    def run_head(self, outputs, inputs, training=None):
        table = ops.transpose(self.backbone.embedding.embeddings)
        return {"logits": ops.matmul(outputs["sequence_output"], table)}


def writer(shape="learned"):
    return Writer(noisy("distilbert", **{**CAUSAL, **SHAPES[shape]}))


class Whole:
    """Runs all of a row anew for each token, without places or caches."""

    def __init__(self, rows):
        self.rows = rows

    def reorder(self, rows):
        return Whole([list(self.rows[row]) for row in rows])

    @classmethod
    def step_of(cls, model):
        def step(token_ids, places, state):
            state = state or cls([[] for _ in token_ids])
            for row, ids, at in zip(state.rows, token_ids, places, strict=True):
                row += ids[at != NOWHERE].tolist()
            ids = np.zeros((len(state.rows), 24), "int32")
            mask = np.zeros_like(ids)
            for i, row in enumerate(state.rows):
                ids[i, : len(row)], mask[i, : len(row)] = row, 1
            outputs = model.backbone.predict_on_batch({"token_ids": ids, "padding_mask": mask})
            logits = ops.convert_to_numpy(model.run_head(outputs, {})["logits"])
            return logits[np.arange(len(ids)), mask.sum(1) - 1], state

        return step


def written(shape, step_of, ways=WAYS, fewest=4, chunk=4):
    """What a writer writes in some ways; few slots and short chunks show all that a cache does."""
    runner.FEWEST, runner.CHUNK = fewest, chunk
    step = step_of(writer(shape))
    return {
        name: [
            [(a.token_ids, a.score and round(a.score, 4)) for a in each]
            for each in generate(step, PROMPTS, Generation(12, **settings))
        ]
        for name, settings in WAYS.items()
        if name in ways
    }


@pytest.fixture(autouse=True)
def _usual_sizes(monkeypatch):
    for name in ("FEWEST", "CHUNK"):
        monkeypatch.setattr(runner, name, getattr(runner, name))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_cache_writes_what_the_whole_row_gives(shape):
    expected = written(shape, Whole.step_of)
    assert written(shape, runner.CachedModel) == expected
    lengths = {len(ids) for of_prompt in expected["greedy"] for ids, _ in of_prompt}
    assert max(lengths) == 12, "all doublings are seen"


def test_a_cache_on_jax_writes_the_same():
    # Beams reorder and start with more rows; fewer doublings are fewer compilations.
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import test_cached_model as t; "
        "print(json.dumps(t.written('learned', t.runner.CachedModel, ['beams'], 16)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    actual = json.loads(run.stdout.splitlines()[-1])
    expected = written("learned", runner.CachedModel, ["beams"])
    for one, other in zip(actual["beams"], expected["beams"], strict=True):
        assert [ids for ids, _ in one] == [ids for ids, _ in other]
        assert [score for _, score in one] == pytest.approx([s for _, s in other], abs=1e-3)


def test_weights_that_learn_are_seen_by_a_compiled_step():
    model = writer()
    step = runner.CachedModel(model)
    inputs = np.array([[5, 6]], "int32"), np.array([[0, 1]], "int32")
    before, _ = step(*inputs)
    table = model.backbone.embedding.embeddings
    table.assign(-1 * ops.convert_to_numpy(table))
    after, _ = step(*inputs)
    assert np.abs(after - before).max() > 0.1
    expected, _ = Whole.step_of(model)(*inputs, None)
    np.testing.assert_allclose(after, expected, atol=1e-4)


def test_what_does_not_fit_a_cache_is_one_sentence():
    step = runner.CachedModel(writer())
    ids = np.array([[5, 6]], "int32")
    places = np.array([[0, 1]], "int32")
    _, state = step(ids, places)
    size = SPECS["distilbert"].max_sequence_length
    for arguments in (
        (np.repeat(ids, 2, 0), np.repeat(places, 2, 0), state),
        (ids + 115, places),
        (ids - 6, places),
        (ids, places + size - 1),
    ):
        with pytest.raises(KzooError, match="^Got .*; expected .*[.]$"):
            step(*arguments)
    with pytest.raises(KzooError, match="causal"):
        runner.CachedModel(Writer(noisy("distilbert")))


def test_a_batch_of_another_size_starts_anew():
    step = runner.CachedModel(writer())
    one = generate(step, PROMPTS[:1], Generation(4))
    more = generate(step, PROMPTS, Generation(4))
    assert more[0] == one[0]
