"""A CausalLM: what it learns from, how it is measured, and what it writes."""

import keras
import numpy as np
import pytest
import tokenizers
from families import SPECS, Until, add_noise, noisy

import kzoo
from kzoo.data.batches import IGNORED
from kzoo.data.documents import read_documents, windows
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.tasks.writing_task import Perplexity

END = "<|endoftext|>"
TEXTS = ["the cat sat on the mat", "a dog ran", "the dog sat"]


def byte_tokenizer(end=END):
    """A token a byte, and one that ends a text."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*[end] * bool(end), *alphabet])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens([end] if end else [])
    return kzoo.Tokenizer.from_json(backend.to_str())


SPEC = SPECS["gpt2"].replace(
    embedding={"kind": "token", "vocabulary_size": 260}, schedule=(0,), max_sequence_length=64
)


@pytest.fixture(scope="module")
def writer():
    return kzoo.CausalLM(add_noise(build(SPEC)), tokenizer=byte_tokenizer(), max_length=16)


def batches_of(task, *arguments, **options):
    """Rows of (tokens, targets) without padding."""
    rows = []
    for inputs, targets, *_ in task.batches(*arguments, batch_size=4, **options):
        inputs = {name: np.asarray(value) for name, value in inputs.items()}
        for ids, mask, target in zip(
            inputs["token_ids"], inputs["padding_mask"], np.asarray(targets), strict=True
        ):
            rows.append((ids[mask == 1].tolist(), target[mask == 1].tolist()))
    return rows


# -- what it learns from --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 9, 10, 23])
@pytest.mark.parametrize("length", [4, 9])
@pytest.mark.parametrize("stride", [None, 1, 3])
def test_windows_ask_for_every_token_but_the_first_once(count, length, stride):
    ids = list(range(100, 100 + count))
    rows = windows(ids, length, stride)
    actual = [target for _, targets in rows for target in targets if target != IGNORED]
    assert actual == ids[1:]
    for read, targets in rows:
        assert len(read) == len(targets) <= length
        for token, target in zip(read, targets, strict=True):
            assert target in (token + 1, IGNORED)
    if stride == 1 and count > length:
        assert [sum(t != IGNORED for t in targets) for _, targets in rows[1:]] == [1] * (
            len(rows) - 1
        )


def test_texts_are_joined_by_the_end_token_and_no_place_is_empty(writer):
    rows = batches_of(writer, TEXTS)
    ids = writer.tokenizer.bare_ids(TEXTS)
    stream = [0, *ids[0], 0, *ids[1], 0, *ids[2], 0]
    rows.sort(key=lambda row: -len(row[0]))
    assert {len(read) for read, _ in rows[:-1]} == {16}
    assert sorted(target for _, targets in rows for target in targets) == sorted(stream[1:])
    assert sorted(token for read, _ in rows for token in read) == sorted(stream[:-1])


def test_without_packing_a_text_is_a_row_with_its_weight():
    task = kzoo.CausalLM(build(SPEC), tokenizer=byte_tokenizer(), max_length=30, packing=False)
    rows = batches_of(task, TEXTS, sample_weight=[1.0, 0.5, 2.0])
    ids = sorted([0, *row, 0] for row in task.tokenizer.bare_ids(TEXTS))
    assert sorted([*read, targets[-1]] for read, targets in rows) == ids
    joined = kzoo.CausalLM(task.backbone, tokenizer=byte_tokenizer())
    with pytest.raises(kzoo.KzooError, match="sample_weight for texts that are joined"):
        joined.batches(TEXTS, sample_weight=[1.0, 1.0, 1.0])


def test_what_a_prompt_says_is_read_and_not_learned(writer):
    prompts, answers = ["the cat", "a"], [" sat", " dog"]
    expected = []
    for prompt, answer in zip(*map(writer.tokenizer.bare_ids, (prompts, answers)), strict=True):
        ids = [*prompt, *answer, 0]
        expected.append((ids[:-1], [IGNORED] * (len(prompt) - 1) + [*answer, 0]))
    assert sorted(batches_of(writer, list(zip(prompts, answers, strict=True)))) == sorted(expected)
    assert sorted(batches_of(writer, prompts, answers)) == sorted(expected)
    # Of a long answer as much is learned as there are places: the token behind the last, too.
    ((tokens, targets),) = batches_of(writer, [("the cat", "x" * 20)])
    assert (len(tokens), len(targets)) == (16, 16) and targets[-1] != IGNORED
    with pytest.raises(kzoo.KzooError, match="a prompt of 20 tokens.*within 16"):
        writer.batches([("x" * 20, "y")])


@pytest.mark.parametrize("unit", ["line", "file"])
def test_a_plain_file_is_lines_or_one_text(unit, tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("first line\n\nsecond line\n", encoding="utf-8")
    examples = read_documents(path, unit)
    expected = ["first line", "second line"] if unit == "line" else [path.read_text()]
    assert examples.x == expected and examples.y is None
    with pytest.raises(kzoo.KzooError, match='say text="line".*or text="file"'):
        read_documents(path)


def test_it_learns_text_by_heart_and_writes_it(tmp_path):
    keras.utils.set_random_seed(1)
    task = kzoo.CausalLM(build(SPEC.replace(dropout=0.0)), tokenizer=byte_tokenizer())
    task.compile(kzoo.AdamW(0.01))
    path = tmp_path / "poem.txt"
    path.write_text("the quick brown fox jumps.", encoding="utf-8")
    task.fit(str(path), text="file", epochs=150, verbose=0, callbacks=[Until(0.02)])
    assert task.evaluate(str(path), text="file", return_dict=True, verbose=0)["accuracy"] > 0.95
    start = f"{END}the quick"
    assert task.generate(start, max_new_tokens=40) == " brown fox jumps."
    assert "".join(task.stream(start, max_new_tokens=40)) == " brown fox jumps."


# -- how it is measured ---------------------------------------------------------------------------


def by_hand(task, ids, context):
    """The cross-entropy of each token but the first, read behind at most `context` tokens."""
    losses = []
    for place in range(1, len(ids)):
        read = np.array([ids[max(0, place - context) : place]], "int32")
        logits = np.asarray(task({"token_ids": read, "padding_mask": read * 0 + 1})["logits"])[
            0, -1
        ]
        logits = logits.astype("float64")
        losses.append(
            np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[ids[place]]
        )
    return np.array(losses)


def test_perplexity_with_a_stride_of_one_gives_every_token_all_its_context(writer):
    writer.compile()
    text = "the cat sat on the mat"
    ids = [0, *writer.tokenizer.bare_ids([text])[0], 0]
    expected = by_hand(writer, ids, 16).mean()
    for batch_size in (1, 3):
        measured = writer.evaluate(
            [text], stride=1, batch_size=batch_size, return_dict=True, verbose=0
        )
        np.testing.assert_allclose(measured["perplexity"], np.exp(expected), rtol=1e-4)
    apart = writer.evaluate([text], return_dict=True, verbose=0)
    blocks = [by_hand(writer, ids[start : start + 17], 16) for start in range(0, len(ids) - 1, 16)]
    np.testing.assert_allclose(
        apart["perplexity"], np.exp(np.concatenate(blocks).mean()), rtol=1e-4
    )
    with pytest.raises(kzoo.KzooError, match="stride=17; expected 1 to 16"):
        writer.evaluate([text], stride=17)
    with pytest.raises(kzoo.KzooError, match="stride beside batches"):
        writer.evaluate(writer.batches([text]), stride=4)


def test_perplexity_weighs_examples_as_asked():
    logits = np.log(np.array([[[0.5, 0.5]], [[0.1, 0.9]]], "float32"))
    metric, targets = Perplexity(), np.zeros((2, 1), "int32")
    for weights, expected in ((None, 20**0.5), ([1.0, 0.0], 2), ([1.0, 3.0], (2 * 10**3) ** 0.25)):
        metric.reset_state()
        metric.update_state(targets, logits, None if weights is None else np.float32(weights))
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_continuations_have_the_probabilities_that_the_logits_say(writer):
    given = writer.log_probabilities(["the cat", "a"], [" sat", " do"])
    for prompt, more, scores in zip(["the cat", "a"], [" sat", " do"], given, strict=True):
        first, then = writer.tokenizer.bare_ids([prompt, more])
        expected = -by_hand(writer, [*first, *then], 64)[len(first) - 1 :]
        np.testing.assert_allclose(scores, expected, atol=1e-4)
    with pytest.raises(kzoo.KzooError, match="2 prompts and 1 continuations"):
        writer.log_probabilities(["the cat", "a"], [" sat"])


# -- what it writes -------------------------------------------------------------------------------


def test_strings_give_strings_and_ids_give_ids(writer):
    one = writer.generate("the cat", max_new_tokens=5)
    both = writer.generate(["the cat", "a"], max_new_tokens=5)
    assert isinstance(one, str) and both[0] == one and len(both) == 2
    ids = writer.tokenizer.bare_ids(["the cat", "a"])
    written = writer.generate(ids, max_new_tokens=5)
    assert [writer.tokenizer.decode(row) for row in written] == both
    assert all(type(token) is int for row in written for token in row)
    assert writer.generate("the cat", max_new_tokens=5, return_prompt=True) == "the cat" + one
    several = writer.generate("a", max_new_tokens=3, temperature=1.0, num_return_sequences=2)
    assert len(several) == 2
    assert writer.predict(["the cat", "a"], max_new_tokens=5) == both
    rows = np.array(ids[:1])
    whole = writer.generate(rows, max_new_tokens=5, return_prompt=True)
    assert whole == [[*ids[0], *written[0]]] and type(whole[0][0]) is int
    drawn = [
        writer.predict(["a", "a", "b"], size, max_new_tokens=5, temperature=1.0, seed=1)
        for size in (1, 32)
    ]
    assert drawn[0] == drawn[1] and drawn[0][0] != drawn[0][1]


def test_the_likeliest_token_is_that_of_the_whole(writer):
    """Step by step with a cache, and each time anew from the start."""
    ids = writer.tokenizer.bare_ids(["the cat sat"])[0]
    for _ in range(12):
        read = np.array([ids], "int32")
        logits = np.asarray(writer({"token_ids": read, "padding_mask": read * 0 + 1})["logits"])
        ids = [*ids, int(logits[0, -1].argmax())]
    start = len(writer.tokenizer.bare_ids(["the cat sat"])[0])
    assert writer.generate([ids[:start]], max_new_tokens=12, end_token_ids=()) == [ids[start:]]


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ("", {}, "Text 0 has no token"),
        ([[]], {}, "prompt"),
        ("a" * 65, {}, "65 tokens in prompt 0"),
        ("a", {"temperature": 0}, "temperature = 0"),
        ("a", {"stop_strings": ""}, "stop string ''"),
        ("a", {"num_beams": 300}, "300"),
        ("a", {"beams": 3}, "Got the option 'beams'; expected some of max_new_tokens"),
        ([[5, 400]], {"max_new_tokens": 3}, "400"),
        (["a", [3]], {}, "texts and token ids among the prompts"),
        ({"token_ids": [[5, 6]]}, {}, "Got {'token_ids': .* to write on from; expected a text"),
        (None, {}, "Got None to write on from"),
        ([["a"]], {}, "expected a list of token ids"),
    ],
)
def test_what_can_not_be_written_is_one_sentence(writer, prompts, options, message):
    with pytest.raises(kzoo.KzooError, match=message) as caught:
        writer.generate(prompts, **options)
    assert "\n" not in str(caught.value)


def test_a_network_that_looks_ahead_is_no_writer():
    with pytest.raises(kzoo.KzooError, match="bert whose places see those behind them"):
        kzoo.CausalLM(noisy("bert"))


def test_a_keras_file_and_a_preset_write_the_same(writer, tmp_path):
    task = kzoo.CausalLM(writer, packing=False)
    task.save(tmp_path / "writer.keras")
    task.save_preset(tmp_path / "preset")
    for path in (tmp_path / "writer.keras", tmp_path / "preset"):
        again = kzoo.load(path)
        assert (type(again), again.packing, again.max_length) == (kzoo.CausalLM, False, 16)
        for name, weight in weights_by_path(task).items():
            np.testing.assert_array_equal(weights_by_path(again)[name], weight)
        assert again.generate("the", max_new_tokens=6) == task.generate("the", max_new_tokens=6)
