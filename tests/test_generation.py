"""Writing text from logits: decoding, streaming, few-shot."""

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models

from kzoo import Tokenizer
from kzoo.errors import KzooError
from kzoo.generation import (
    FewShot,
    Generation,
    TextStream,
    decoding,
    generate,
    logit_processors,
    stream,
)
from kzoo.generation.writer import Writer
from kzoo.values import NOWHERE

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


@pytest.mark.parity
@pytest.mark.parametrize(
    "name, setting, value",
    [
        ("TemperatureLogitsWarper", "temperature", 0.7),
        ("TopKLogitsWarper", "top_k", 5),
        ("TopKLogitsWarper", "top_k", 10**4),
        ("TopPLogitsWarper", "top_p", 0.9),
        ("TopPLogitsWarper", "top_p", 0.01),
        ("TopPLogitsWarper", "top_p", 1e-9),
        ("MinPLogitsWarper", "min_p", 0.1),
        ("MinPLogitsWarper", "min_p", 1.0),
    ],
)
def test_scores_are_those_of_transformers_warpers(name, setting, value):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    logits = np.random.default_rng(3).normal(size=(40, 200)).astype("float32") * 3
    logits[:, :20] = np.round(logits[:, :20])  # some of the same height
    logits[3, 5:] = -np.inf
    expected = getattr(transformers, name)(value)(None, torch.tensor(logits)).numpy()
    actual = getattr(logit_processors, setting)(logits, value)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("chances", "top_p", "min_p"),
    [([0.53, 0.26, 0.08, 0.07, 0.04, 0.02], 0.5, 0.3),  # else the third would go or stay
     ([0.58, 0.23, 0.06, 0.05, 0.05, 0.03], 0.5, 0.5)],
)  # fmt: skip
def test_warpers_act_in_transformers_order(chances, top_p, min_p):
    """Temperature and the k likeliest, their mass, min-p: no other order keeps these in both."""
    logits = np.log(np.array([chances], "float32"))
    options = Generation(temperature=3.0, top_k=3, top_p=top_p, min_p=min_p)

    class Nothing:
        count, tokens = 0, np.zeros((1, 0), "int32")

        def seen(self, size):
            return None

    kept = np.isfinite(logit_processors.processed(logits, options, Nothing()))
    assert kept.tolist() == [[True, True, False, False, False, False]]


def test_ngrams_of_shorter_rows_are_not_those_of_what_stands_before_them():
    scores = np.zeros((2, 4), "float32")
    history = np.array([[1, 2], [-1, 2]], "int32")
    kept = np.isfinite(logit_processors.no_repeat_ngram(scores, history, 1))
    assert kept.tolist() == [[True, False, False, True], [True, True, False, True]]


# -- without transformers ------------------------------------------------------------------------


def test_a_row_is_what_it_is_alone():
    for settings in (
        {"end_token_ids": (4, 9), "repetition_penalty": 1.2, "no_repeat_ngram_size": 2},
        {"num_beams": 3, "num_return_sequences": 2, "end_token_ids": (4, 9)},
    ):
        options = Generation(max_new_tokens=15, **settings)
        together = ids_of(generate(STEP, PROMPTS, options))
        assert together == [ids_of(generate(STEP, [prompt], options))[0] for prompt in PROMPTS]
    assert len({len(answers[0]) for answers in together}) > 1, "rows of one length show little"


def test_greedy_stops_where_each_row_ends():
    answers = [a for (a,) in generate(STEP, PROMPTS, Generation(15, end_token_ids=(4, 9)))]
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        row = list(prompt)
        for token in answer.token_ids:
            assert token == trigram([row])[0].argmax()
            row.append(token)
        ended = answer.token_ids[-1] in (4, 9)
        assert answer.reason == ("end" if ended else "length")
        assert ended or len(answer.token_ids) == 15
        assert not {4, 9} & set(answer.token_ids[:-1])
    assert {answer.reason for answer in answers} == {"end", "length"}


def test_more_beams_find_what_is_likelier():
    def likelihood(prompt, ids):
        row, total = list(prompt), 0.0
        for token in ids:
            total += logit_processors.log_softmax(trigram([row]))[0, token]
            row.append(token)
        return total / len(ids)

    for prompt in PROMPTS:
        ((greedy,),) = generate(STEP, [prompt], Generation(6))
        (beams,) = generate(STEP, [prompt], Generation(6, num_beams=8, num_return_sequences=4))
        for answer in beams:
            assert answer.score == pytest.approx(likelihood(prompt, answer.token_ids), abs=1e-5)
        assert [b.score for b in beams] == sorted([b.score for b in beams], reverse=True)
        assert beams[0].score >= likelihood(prompt, greedy.token_ids) - 1e-6


def test_draws_have_the_distribution_of_the_processed_scores_and_repeat_with_a_seed():
    count = 4000
    options = Generation(1, temperature=1.5, top_k=6, seed=1, num_return_sequences=count)
    (answers,) = generate(STEP, [[3, 5]], options)
    drawn = np.bincount([answer.token_ids[0] for answer in answers], minlength=SIZE) / count
    expected = logit_processors.softmax(logit_processors.top_k(trigram([[3, 5]]) / 1.5, 6))[0]
    assert set(np.flatnonzero(drawn)) <= set(np.flatnonzero(expected))
    assert np.abs(drawn - expected).max() < 4 * np.sqrt(0.25 / count)
    few = Generation(8, temperature=1.0, seed=7)
    again = Generation(8, temperature=1.0, seed=8)
    assert ids_of(generate(STEP, PROMPTS, few)) == ids_of(generate(STEP, PROMPTS, few))
    assert ids_of(generate(STEP, PROMPTS, few)) != ids_of(generate(STEP, PROMPTS, again))


def test_draws_of_a_prompt_depend_on_its_number_alone():
    options = Generation(8, temperature=1.0, seed=7, num_return_sequences=2)
    together = ids_of(generate(STEP, PROMPTS, options))
    alone = [
        ids_of(generate(STEP, [prompt], options, numbers=[number]))[0]
        for number, prompt in enumerate(PROMPTS)
    ]
    assert together == alone
    assert together[0][0] != together[0][1]
    one, other = ids_of(generate(STEP, [PROMPTS[0]] * 2, options))
    assert one == together[0] and one != other


def test_only_what_is_among_the_first_beams_ends():
    ended = decoding._Ended(1, 2, Generation(4, num_beams=2, end_token_ids=(3,)))
    sequences = np.arange(4)[None, :, None]
    ended.add(sequences, -np.arange(1.0, 5)[None], np.array([[False, True, True, True]]))
    assert ended.lengths.tolist() == [[1, 0]] and ended.tokens[0, 0, 0] == 1


def test_a_prompt_has_its_own_room_whatever_stands_beside_it():
    writer = Writer(STEP, None, 20)
    (alone,) = ids_of(writer.generate([[1]]))
    for batch_size in (None, 1, 2):
        together = ids_of(writer.generate([[1] * 19, [1], [2] * 18, [1]], batch_size))
        assert [len(rows[0]) for rows in together] == [2, 20, 3, 20]
        assert together[1] == together[3] == alone
    drawn = [
        ids_of(writer.generate([[1], [1] * 19, [2]], size, temperature=1.0, seed=3))
        for size in (1, 2, None)
    ]
    assert drawn[0] == drawn[1] == drawn[2]


# -- text ----------------------------------------------------------------------------------------

BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}


def sentencepiece():
    """A vocabulary of SentencePiece's kind: all bytes, and a few pieces."""
    pieces = ["<s>", "</s>", "<unk>", "▁", "▁the", "s", "▁stop", "ping", "é", "你"]
    vocabulary = {**BYTES, **{piece: 256 + i for i, piece in enumerate(pieces)}}
    backend = tokenizers.Tokenizer(
        models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True)
    )
    backend.add_special_tokens(["<s>", "</s>"])
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return Tokenizer(backend)


def byte_level():
    """Every byte a token, in GPT-2's alphabet, and two longer ones."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(alphabet)}
    vocabulary |= {"Ġt": 256, "he": 257, "<|end|>": 258}
    merges = [("Ġ", "t"), ("h", "e")]
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|end|>"])
    return Tokenizer(backend)


def wordpiece():
    pieces = ["[UNK]", "[CLS]", "[SEP]", "the", "dog", "##s", ".", ",", "'", "n't", "do", "##é"]
    backend = tokenizers.Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    backend.decoder = decoders.WordPiece(cleanup=True)
    backend.add_special_tokens(["[CLS]", "[SEP]"])
    return Tokenizer(backend)


@pytest.mark.parametrize("make", [sentencepiece, byte_level, wordpiece])
def test_pieces_of_a_stream_joined_are_the_whole_text(make):
    tokenizer = make()
    draws = np.random.default_rng(5)
    written = list("né 你 😀👩‍👧 the".encode())
    if make is byte_level:
        written = tokenizer.encode(["né 你 😀👩‍👧 the then"])["token_ids"][0]
    rows = [draws.integers(0, tokenizer.vocabulary_size, 12).tolist() for _ in range(200)]
    late = [draws.integers(max(0, tokenizer.vocabulary_size - 12), tokenizer.vocabulary_size, 9)]
    if make is not wordpiece:
        rows += [written, [*written, *written[:-3]], *[written[i:] for i in range(len(written))]]
    for ids in [*rows, *[each.tolist() for each in late]]:
        text = TextStream(tokenizer)
        pieces = [text.push(token) for token in ids]
        assert "".join([*pieces, text.close()]) == tokenizer.decode(ids)
    if make is byte_level:  # and they come as soon as they can
        text = TextStream(tokenizer)
        pieces = [text.push(token) for token in written]
        assert "😀" in pieces
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_token_that_the_tokenizer_lacks_has_no_text():
    """The tables of published models are padded: BLOOM's has 200 rows more than tokens."""
    tokenizer = byte_level()
    ids, beyond = tokenizer.bare_ids(["né!"])[0], tokenizer.vocabulary_size + 3
    stream_of = TextStream(tokenizer, ("!",))
    given = [*ids[:2], beyond, *ids[2:], beyond]
    assert "".join(map(stream_of.push, given)) + stream_of.close() == "né"
    assert decoding.is_ended_by(tokenizer, given, ("!",))
    assert not decoding.is_ended_by(tokenizer, [beyond], ("!",))


def test_text_from_a_stop_string_on_is_not_given_out():
    tokenizer = byte_level()
    whole = "one tthen the\n\nend"
    ids = tokenizer.encode([whole])["token_ids"][0]
    for stop in ("then", " tt", "he\n\ne", "\n\n", "e", "d"):
        text = TextStream(tokenizer, [stop, "never seen"])
        pieces = [text.push(token) for token in ids]
        assert "".join([*pieces, text.close()]) == whole[: whole.index(stop)]
        assert text.is_stopped
    text = TextStream(tokenizer, ["endless"])
    pieces = [text.push(token) for token in ids]
    assert "".join(pieces) == whole.removesuffix("end"), "what may begin a stop string is held"
    assert text.close() == "end"
    text = TextStream(tokenizer, ["e", "h"])
    assert text.push(257) == "", "both are in this token, and h comes first"
    text = TextStream(tokenizer, ["<|end|>"])
    assert "".join(map(text.push, [*ids, 258, *ids])) == whole, "a special token may be one"


def test_stop_strings_end_rows_beams_and_streams():
    tokenizer = byte_level()
    table = np.random.default_rng(2).normal(size=(259, 259)).astype("float32")
    table[:, 60:] -= 8  # ASCII
    step = step_of(lambda rows: table[[row[-1] for row in rows]])
    prompts = [[5], [40, 7]]
    ((free,), (other,)) = generate(step, prompts, Generation(20), tokenizer)
    assert free.text == tokenizer.decode(free.token_ids)
    stop = free.text[6:8]
    options = Generation(20, stop_strings=stop)
    ((actual,), (rest,)) = generate(step, prompts, options, tokenizer)
    cut = free.text.index(stop)
    assert (actual.text, actual.reason) == (free.text[:cut], "stop")
    assert actual.token_ids == free.token_ids[: cut + 2], "it ends with the stop string's token"
    assert stop in other.text or rest == other
    ((held,),) = generate(step, [[5]], Generation(20, stop_strings=free.text[-1] + "?!"), tokenizer)
    assert held == free, "what only begins a stop string is given out at the end"
    pieces = list(stream(step, prompts[0], tokenizer, options))
    assert "".join(pieces) == actual.text
    assert len(pieces) > 2
    (beams,) = generate(step, [[5]], Generation(20, num_beams=3, num_return_sequences=3), tokenizer)
    stop = beams[0].text[4:6]
    (stopped,) = generate(
        step,
        [[5]],
        Generation(20, num_beams=3, num_return_sequences=3, stop_strings=stop),
        tokenizer,
    )
    assert any(answer.reason == "stop" for answer in stopped)
    for answer in stopped:
        assert stop not in answer.text
        assert stop not in tokenizer.decode(answer.token_ids[:-1]), "a beam ends there"
        assert (stop in tokenizer.decode(answer.token_ids)) == (answer.reason == "stop")


# -- few-shot ------------------------------------------------------------------------------------


def scores_of(table):
    """A score function that knows one token's log-probability by its prompt's end."""

    def score(prompts, continuations):
        assert len(prompts) == len(continuations)
        return [
            [table.get((prompt.rsplit("\n", 2)[-2][-3:], text), -9.0)]
            for prompt, text in zip(prompts, continuations, strict=True)
        ]

    return score


def test_few_shot_prompts_hold_the_examples_and_labels_keep_their_blank():
    shots = FewShot(
        None,
        [("Lovely {text}", 1), ("Awful", 0)],
        {0: "negative", 1: "positive"},
        "Review: {text}\nSentiment: {label}",
    )
    assert shots.prompt("So so") == (
        "Review: Lovely {text}\nSentiment: positive\n\nReview: Awful\nSentiment: negative\n\n"
        "Review: So so\nSentiment:"
    )
    assert shots.continuations == [" negative", " positive"]


@pytest.mark.parametrize("blanks", ["", " ", "  "])
def test_a_prompt_with_a_label_is_an_example(blanks):
    """Blanks before `{text}`, and those of a text, are the prompt's and not the label's."""
    labels = ["no", "yes"]
    shots = FewShot(None, [("bad ", "no")], labels, "Q: {text}" + blanks + "{label}", "\n")
    assert shots.shots == f"Q: bad {blanks}no\n"
    for text in ("bad ", ""):
        whole = [shots.prompt(text) + each for each in shots.continuations]
        assert whole == [f"{shots.shots}Q: {text}{blanks}{label}" for label in labels]
    assert shots.continuations == [blanks + label for label in labels]


def test_calibration_takes_away_what_a_text_without_content_gets():
    table = {("bad", "no"): -1.0, ("bad", "yes"): -0.9, ("N/A", "no"): -2.0, ("N/A", "yes"): -0.5}
    # In the template the text stands right before the line that the label begins.
    arguments = scores_of(table), [], ["no", "yes"], "{text}\n{label}"
    (answer,) = FewShot(*arguments).predict(["bad"])
    assert answer["label"] == "yes"
    neutral = FewShot(*arguments, neutral_texts=["N/A"])
    assert FewShot(*arguments, neutral_texts="N/A").neutral_texts == ["N/A"]
    assert neutral.predict("bad")[0]["label"] == "no"
    p, q = np.exp([-1.0, -0.9]), np.exp([-2.0, -0.5])
    expected = (p / p.sum()) / (q / q.sum())
    np.testing.assert_allclose(
        neutral.probabilities(["bad"])[0], expected / expected.sum(), rtol=1e-6
    )


def test_a_length_normalised_score_is_the_mean_of_its_tokens():
    def score(prompts, continuations):
        return [np.array([-1.0] * 3 if text == "long one" else [-2.0]) for text in continuations]

    labels = ["long one", "short"]
    assert FewShot(score, [], labels).predict(["x"])[0]["label"] == "short"
    mean = FewShot(score, [], labels, is_length_normalised=True)
    assert mean.predict(["x"])[0]["label"] == "long one"


@pytest.mark.parametrize(
    "arguments",
    [
        ([], ["one"]),
        ([], ["a", "a"]),
        ([], ["a", ""]),
        ([("text", "c")], ["a", "b"]),
        ([("text", "a", "b")], ["a", "b"]),
        (["text"], ["a", "b"]),
        ([("text", "a")],),
        ([], ["a", "b"], "{text}"),
        ([], ["a", "b"], "{label} {text}"),
        ([], ["a", "b"], "{text} {text} {label}"),
        ([("text", [1]), ("more", 0)],),
        (None, ["a", "b"]),
        ("text", ["a", "b"]),
        ([], 5),
        ([], "no"),
        ([], ["a", "b"], "{text}{label}", 5),
        ([], ["a", "b"], "{text}{label}", "\n", False, 5),
        ([], ["a", "b"], "{text}{label}", "\n", False, [None]),
    ],
)
def test_a_few_shot_classifier_that_makes_no_sense_is_one_sentence(arguments):
    with pytest.raises(KzooError, match="^Got .*; expected .*[.]$"):
        FewShot(None, *arguments)


@pytest.mark.parametrize("texts", [5, [5], ["a", None], []])
def test_what_is_no_text_has_no_label(texts):
    with pytest.raises(KzooError, match="^Got .*; expected .*[.]$"):
        FewShot(None, [], ["a", "b"]).predict(texts)


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0}, {"temperature": -1.0}, {"temperature": float("nan")},
        {"temperature": 1e-50},
        {"top_p": 0}, {"top_p": 1.1}, {"top_k": 0}, {"top_k": 2.5}, {"min_p": -0.1},
        {"min_p": 1.5}, {"stop_strings": ("",)}, {"stop_strings": 5}, {"stop_strings": ("a", None)},
        {"stop_strings": "x" * 1001}, {"max_new_tokens": 0}, {"max_new_tokens": None},
        {"min_new_tokens": 65}, {"num_beams": 0}, {"num_beams": True},
        {"num_beams": 2, "temperature": 1.0}, {"num_beams": 2, "num_return_sequences": 3},
        {"num_return_sequences": 2}, {"repetition_penalty": 0},
        {"repetition_penalty": float("inf")}, {"no_repeat_ngram_size": -1},
        {"length_penalty": "long"}, {"length_penalty": 1000}, {"end_token_ids": (-1,)},
        {"end_token_ids": "end"},
        {"seed": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_out_of_its_range_is_one_sentence(settings):
    with pytest.raises(KzooError, match="^Got .*; expected .*[.]$"):
        Generation(**settings)


@pytest.mark.parametrize(
    "prompts, settings, more",
    [
        ([[]], {}, {}),
        ([[1], []], {}, {}),
        ([], {}, {}),
        ("text", {}, {}),
        ([["a"]], {}, {}),
        ([[1.5]], {}, {}),
        ([[1, -1]], {}, {}),
        ([[2**40]], {}, {}),
        ({"token_ids": [[1]]}, {}, {}),
        ([[1, 2, 3]], {"max_new_tokens": 7}, {"max_length": 8}),
        ([[1] * 9], {"max_new_tokens": 1}, {"max_length": 8}),
        ([[1]], {"num_beams": SIZE + 1}, {}),
        ([[1]], {"num_beams": 2, "end_token_ids": tuple(range(SIZE))}, {}),
        ([[1]], {"end_token_ids": (SIZE,)}, {}),
        ([[1]], {"stop_strings": "x"}, {}),
        ([[1]], {"no_repeat_ngram_size": 1, "max_new_tokens": 40}, {}),
    ],
)
def test_prompts_that_cannot_be_written_on_are_one_sentence(prompts, settings, more):
    with pytest.raises(KzooError, match="^Got .*; expected .*[.]$"):
        generate(STEP, prompts, Generation(**settings), **more)


def test_a_prompt_may_fill_all_places_with_its_last_new_token_behind_them():
    ((answer,),) = generate(STEP, [[1] * 6], Generation(3), max_length=8)
    assert len(answer.token_ids) == 3


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"num_beams": 2}])
def test_no_finite_number_among_the_logits_is_one_sentence(number, settings):
    step = step_of(lambda rows: np.full((len(rows), SIZE), number))
    with pytest.raises(KzooError, match="no finite number"):
        generate(step, [[1]], Generation(**settings))


def test_beams_are_counted_before_there_are_as_many_rows():
    class State(Whole):
        def reorder(self, rows):
            raise AssertionError(f"{len(rows)} rows")

    def step(token_ids, places, state):
        return np.zeros((len(token_ids), SIZE)), State([])

    with pytest.raises(KzooError, match="num_beams = 24"):
        generate(step, [[1]], Generation(num_beams=SIZE + 1))


def test_a_stream_takes_no_beams():
    with pytest.raises(KzooError, match="can't be taken back"):
        stream(STEP, [1], byte_level(), Generation(num_beams=2))
