"""A Seq2SeqLM: what it learns from, what it writes, what it refuses."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from families import PAIRS, SPECS, Until, add_noise, noisy
from test_causal_lm import byte_tokenizer

import kzoo
from kzoo.evaluation import evaluate
from kzoo.generation.rewriter import beginning
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.tasks.text_scores import text_scores

SOURCES = [[7, 8, 9, 10, 11], [30, 31], [99, 5, 60]]
WAYS = {
    "greedy": {"no_repeat_ngram_size": 3},
    "beams": {"num_beams": 3, "num_return_sequences": 2, "early_stopping": True},
}


def one_block(family, **embedding):
    """A network of one block a tower on a byte tokenizer's 260 tokens."""
    spec = SPECS[family]
    towers = {n: t.replace(schedule=(0,), dropout=0.0) for n, t in spec.towers.items()}
    slot = {**spec.options["embedding"], "vocabulary_size": 260, "padding_id": 258, **embedding}
    return spec.replace(towers=towers, options={"embedding": slot})


@pytest.fixture(scope="module")
def writer():
    backbone = add_noise(build(one_block("t5")))
    return kzoo.Seq2SeqLM(backbone, tokenizer=byte_tokenizer(), max_length=20)


def written(family="t5", ways=WAYS, **options):
    """What a noisy network writes of the sources, by way."""
    task = kzoo.Seq2SeqLM(noisy(family))
    common = {"max_new_tokens": 9, "end_token_ids": (17, 41), **options}
    return {way: task.generate(SOURCES, **common, **WAYS[way]) for way in ways}


def whole(task, sources, most, ends):
    """Greedy tokens of each by running both towers anew for each token, sources of one padding."""
    ids, longest = [[task.start_id] for _ in sources], max(map(len, sources))
    for _ in range(most):
        rows = {
            "encoder_token_ids": [
                s + [task.backbone.padding_id] * (longest - len(s)) for s in sources
            ],
            "encoder_padding_mask": [[1] * len(s) + [0] * (longest - len(s)) for s in sources],
            "decoder_token_ids": ids,
            "decoder_padding_mask": np.ones_like(ids),
        }
        inputs = {name: np.array(row, "int32") for name, row in rows.items()}
        best = np.asarray(task(inputs)["logits"])[:, -1].argmax(-1).tolist()
        ids = [[*row, token] for row, token in zip(ids, best, strict=True)]
    return [cut(row[1:], ends) for row in ids]


def cut(ids, ends):
    """Token ids up to the first end, which stays."""
    return next((ids[: at + 1] for at, token in enumerate(ids) if token in ends), ids)


@pytest.mark.parametrize("family", PAIRS)
def test_a_cache_and_a_source_read_once_write_what_the_whole_does(family):
    task = kzoo.Seq2SeqLM(noisy(family))
    expected = whole(task, SOURCES, 9, (17, 41))
    options = {"max_new_tokens": 9, "end_token_ids": (17, 41)}
    assert task.generate(SOURCES, **options) == expected
    alone = task.generate([SOURCES[1]], num_beams=3, **options)  # Without padding.
    assert task.generate(SOURCES, num_beams=3, **options)[1] == alone[0]
    assert task.generate(SOURCES, batch_size=2, **options) == expected


def test_jax_writes_the_same():
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import test_seq2seq as t; "
        "print(json.dumps(t.written(ways=['beams'])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == written(ways=["beams"])


def test_targets_are_the_decoders_input_one_place_on(writer):
    inputs, targets = next(iter(writer.batches(["ab", "c"], ["xyz", "w"], batch_size=2)))
    inputs = {name: np.asarray(value) for name, value in inputs.items()}
    targets, mask = np.asarray(targets), inputs["decoder_padding_mask"] == 1
    end, rows = writer.tokenizer.end_id, writer.tokenizer.bare_ids(["w", "xyz"])
    assert [row[m].tolist() for row, m in zip(targets, mask, strict=True)] == [
        [*row, end] for row in rows
    ]
    assert (targets[~mask] == -100).all()
    decoder = inputs["decoder_token_ids"]
    assert (decoder[:, 0] == writer.start_id).all()
    assert (decoder[:, 1:][mask[:, 1:]] == targets[:, :-1][mask[:, 1:]]).all()
    long = writer.batches(["ab" * 50], ["xyz" * 50], batch_size=1)
    inputs, targets = next(iter(long))
    assert np.asarray(inputs["encoder_token_ids"]).shape == (1, 20)
    assert np.asarray(targets)[0, -1] == end and np.asarray(targets).shape == (1, 40)


def test_it_learns_pairs_by_heart_and_smoothing_keeps_it_less_sure(tmp_path):
    pairs = [("red", "rot"), ("green", "grün"), ("blue", "blau"), ("white", "weiß")]
    table = tmp_path / "pairs.tsv"
    lines = ["english\tgerman", *("\t".join(pair) for pair in pairs)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    losses = {}
    for smoothing in (0.0, 0.1):
        keras.utils.set_random_seed(1)
        task = kzoo.Seq2SeqLM(build(one_block("bart", padding_id=258)), tokenizer=byte_tokenizer())
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        task.compile(kzoo.AdamW(5e-3, weight_decay=0.0), loss=loss if smoothing else None)
        rows = {"text": "english", "label": "german"}
        # Of smoothed targets 0.88 is the least.
        until = Until(0.95 if smoothing else 0.03)
        task.fit(str(table), batch_size=4, epochs=150, verbose=0, callbacks=[until], **rows)
        assert task.generate([source for source, _ in pairs]) == [target for _, target in pairs]
        losses[smoothing] = task.measure(pairs)["loss"]
    assert losses[0.0] < 0.1 < losses[0.1]


def test_texts_are_streamed_and_come_back_from_files(writer, tmp_path):
    options = {"max_new_tokens": 8, "min_new_tokens": 4}
    text = writer.generate("the film", **options)
    assert "".join(writer.stream("the film", **options)) == text
    assert writer.predict(["the film", "a"], max_new_tokens=8, min_new_tokens=4)[0] == text
    writer.save(tmp_path / "writer.keras")
    writer.save_preset(tmp_path / "preset")
    for path in (tmp_path / "writer.keras", tmp_path / "preset"):
        again = kzoo.load(path)
        assert (type(again), again.max_length) == (kzoo.Seq2SeqLM, 20)
        for name, weight in weights_by_path(writer).items():
            np.testing.assert_array_equal(weights_by_path(again)[name], weight)
        assert again.generate("the film", **options) == text


REFUSED = {
    "nothing": (lambda task: task.generate([]), "no source; expected one"),
    "an empty source to learn": (lambda task: task.fit(["", "a"], ["b", "c"]), "empty|no token"),
    "an objective that is none": (
        lambda task: kzoo.Seq2SeqLM(task, objective="noise"),
        "the objective 'noise'",
    ),
    "no such start": (
        lambda task: build(SPECS["t5"].replace(options={**SPECS["t5"].options, "start_id": 999})),
        "start_id = 999.*expected an id from 0 to 119",
    ),
    "no text": (lambda task: task.generate([""]), "no token|empty"),
    "no token": (lambda task: task.generate([[]]), "0 tokens in the source.*expected 1 to 40"),
    "too long": (lambda task: task.generate(["a" * 50]), "50 tokens in the source.*shorten"),
    "unknown": (lambda task: task.generate([[3, 700]]), "expected a list of token ids.*259"),
    "no beam": (lambda task: task.generate(["a"], num_beams=0), "num_beams = 0"),
    "no targets": (lambda task: task.fit(["a", "b"]), "sources without targets"),
    "no text as source": (lambda task: task.fit([None], ["x"]), "a string was expected"),
    "no text as target": (lambda task: task.fit(["a", "b"], [1, 2]), "the target 1 of a source"),
    "an end that may not come": (
        lambda task: task.generate(["a"], forbidden_token_ids=[256], end_token_ids=[256]),
        "256 among the forbidden ones",
    ),
    "a language outside": (
        lambda task: task.generate(["a"], forced_token_ids=[999]),
        "forced token 999; expected an id below the 260",
    ),
    "forced to the last": (
        lambda task: task.generate(["a"], forced_token_ids=[1, 2], max_new_tokens=2),
        "2 forced tokens with max_new_tokens = 2",
    ),
    "a stack": (lambda task: kzoo.Seq2SeqLM(noisy("gpt2")), "gpt2 for a Seq2SeqLM"),
    "masks": (lambda task: kzoo.MaskedLM(noisy("t5")), "one stack.*make a Seq2SeqLM"),
    "the other task": (lambda task: kzoo.CausalLM(noisy("t5")), "one stack.*make a Seq2SeqLM"),
    "pictures": (
        lambda task: kzoo.ImageClassifier(noisy("t5"), labels=["a", "b"]),
        "t5 for an ImageClassifier; expected a backbone that reads pictures",
    ),
    "a head of the whole": (lambda task: kzoo.Seq2SeqLM(task, head="mean"), "the head 'mean'"),
    "options without names": (
        lambda task: kzoo.Seq2SeqLM(task, generation=[1]),
        r"generation \[1\]; expected options by name",
    ),
    "no places for a target": (
        lambda task: kzoo.Seq2SeqLM(task, max_target_length=0),
        "max_target_length is 0; 2 to 40",
    ),
    "a tokenizer of other padding": (
        lambda task: kzoo.Seq2SeqLM(noisy("mbart"), tokenizer=padded(0)),
        "pads with the token 0 and this mbart with 1",
    ),
    "two tokenizers swapped": (
        lambda task: kzoo.Seq2SeqLM(task, tokenizer=other(task), target_tokenizer=task.tokenizer),
        "tokenizer is TargetTokenizer.*a kzoo.Tokenizer is expected",
    ),
    "tokenizers of two models": (
        lambda task: kzoo.Seq2SeqLM(task, target_tokenizer=other(task, end=None)),
        "don't number their tokens alike",
    ),
    "a score that is none": (
        lambda task: task.score(["a"], ["b"], scores="meteor", max_new_tokens=0),
        "the score 'meteor'; expected some of exact",
    ),
    "writing without scores": (
        lambda task: task.evaluate(["a"], ["b"], num_beams=2),
        "num_beams for evaluate without scores",
    ),
    "never scored": (lambda task: kzoo.WrittenScores(["a"], ["b"], every=0), "every = 0"),
    "scored by a misspelt option": (
        lambda task: fitted_with(task, kzoo.WrittenScores(["a"], ["b"], beams=2)),
        "the option 'beams'",
    ),
    "scored without targets": (
        lambda task: fitted_with(task, kzoo.WrittenScores(["a"])),
        "1 sources and no targets",
    ),
    "a field of a tower": (
        lambda task: task.backbone.with_spec(dropout=0.2),
        "dropout for a t5, whose towers encoder and decoder have one each",
    ),
    "languages of none": (
        lambda task: task.generate("a", target_language="de_DE"),
        "the language 'de_DE' for a tokenizer without tokens of languages",
    ),
    "an option that is none": (
        lambda task: task.generate("a", beams=2),
        "the option 'beams'; .*, target_language",
    ),
    "answers without questions": (
        lambda task: kzoo.pipeline("question-answering", task)("ab"),
        "expected questions with their contexts",
    ),
}


def fitted_with(task, callback):
    """A fit that fails the test where the callback lets an epoch begin."""

    def begin(epoch, logs=None):
        raise AssertionError("an epoch began")

    late = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    task.fit(["a"], ["b"], callbacks=[callback, late], verbose=0)


def other(task, **options):
    """A target's tokenizer like a task's, or like bytes without an end."""
    text = byte_tokenizer(**options) if options else task.tokenizer
    return kzoo.TargetTokenizer.from_json(text.to_json())


def padded(number):
    """A tokenizer whose padding token has a number below 3."""
    import tokenizers

    words = {"[PAD]" if n == number else f"w{n}": n for n in range(3)}
    return kzoo.Tokenizer.from_json(
        tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "w2")).to_str()
    )


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_do_is_one_sentence(case, writer):
    run, message = REFUSED[case]
    writer.compile()
    with pytest.raises(kzoo.KzooError, match=message) as caught:
        run(writer)
    assert "\n" not in str(caught.value)


def test_a_classifier_has_both_towers_read_its_text():
    """The decoder sees the text one place on: the state at its end knows of every token."""
    task = kzoo.TextClassifier(add_noise(build(one_block("bart"))), labels=["a", "b"])
    assert task.backbone.family == "bart_reader"
    assert task.head_slot == {"kind": "last", "activation": "tanh"}
    ids = np.array([[7, 8, 9, 2], [7, 8, 2, 258]], "int32")
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], "int32")
    found = np.asarray(task({"token_ids": ids, "padding_mask": mask})["logits"])
    alone = task({"token_ids": ids[1:, :3], "padding_mask": mask[1:, :3]})["logits"]
    np.testing.assert_allclose(found[1], np.asarray(alone)[0], atol=1e-5)
    both = task.backbone.under(task.backbone.spec.replace(family="bart"), family=kzoo.models.Bart)
    start = np.full((2, 1), both.start_id, "int32")
    towers = {"encoder": ids, "decoder": np.concatenate([start, ids[:, :-1]], 1)}
    inputs = {f"{name}_token_ids": value for name, value in towers.items()}
    inputs |= {f"{name}_padding_mask": mask for name in towers}
    states = both(inputs)["sequence_output"]
    mine = task.backbone({"token_ids": ids, "padding_mask": mask})["sequence_output"]
    np.testing.assert_array_equal(states, mine)


def test_targets_need_an_end():
    task = kzoo.Seq2SeqLM(build(one_block("t5")), tokenizer=byte_tokenizer(end=None))
    task.compile()
    with pytest.raises(kzoo.KzooError, match="names no token for their end"):
        task.fit(["a"], ["b"])


# -- how it writes, in which language, and how near ------------------------------------------------


def test_a_task_remembers_how_it_writes(writer, tmp_path):
    kept = {"num_beams": 3, "max_new_tokens": 7, "end_token_ids": [17]}
    task = kzoo.Seq2SeqLM(writer, generation=kept)
    expected = writer.generate("the film", **kept)
    task.save_preset(tmp_path / "preset")
    for each in (task, kzoo.Seq2SeqLM(task), kzoo.load(tmp_path / "preset")):
        assert each.generate("the film") == expected
    alone = task.generate("the film", num_beams=1)
    assert alone == writer.generate("the film", **{**kept, "num_beams": 1})
    drawn = task.generate("the film", temperature=2.0, seed=1)
    assert drawn == writer.generate("the film", temperature=2.0, seed=1, **{**kept, "num_beams": 1})
    usual = {"num_beams": 3, "num_return_sequences": 2, "min_new_tokens": 5, "max_new_tokens": 9}
    task = kzoo.Seq2SeqLM(writer, generation=usual)
    assert len(task.generate("the film")) == 2
    assert task.generate("the film", num_beams=1, max_new_tokens=3) == writer.generate(
        "the film", max_new_tokens=3, min_new_tokens=3
    )
    assert isinstance("".join(task.stream("the film")), str)
    with pytest.raises(kzoo.KzooError, match="the option 'beams'"):
        kzoo.Seq2SeqLM(writer, generation={"beams": 3})


FRAMES = {"mbart": ([], ["[SEP]", "en_XX"]), "mbart-50": (["en_XX"], ["[SEP]"])}


def speaking(name):
    """A tokenizer of two languages, whose codes stand where mBART's or mBART-50's do."""
    import tokenizers

    tokens = ["[SEP]", "[PAD]", "en_XX", "de_DE", "a", "b", "[UNK]"]
    words = {token: number for number, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.add_special_tokens(["[PAD]", "[SEP]", "en_XX", "de_DE"])
    before, after = FRAMES[name]
    frame = " ".join([*before, "$A", *after])
    special = [(token, words[token]) for token in [*before, *after]]
    backend.post_processor = tokenizers.processors.TemplateProcessing(frame, None, special)
    return kzoo.Tokenizer.from_json(backend.to_str())


@pytest.mark.parametrize("name", FRAMES)
def test_a_language_stands_where_its_tokenizer_puts_it(name):
    task = kzoo.Seq2SeqLM(
        noisy("mbart"),
        tokenizer=speaking(name),
        source_language="de_DE",
        target_language="en_XX",
    )
    sep, en, de, a, b = 0, 2, 3, 4, 5
    behind = name == "mbart"
    assert task.prompt_ids(["a b"]) == [[a, b, sep, de] if behind else [de, a, b, sep]]
    inputs, targets = next(iter(task.batches(["a"], ["b"], batch_size=1)))
    assert np.asarray(targets).tolist() == [[b, sep, en] if behind else [en, b, sep]]
    decoder = np.asarray(inputs["decoder_token_ids"]).tolist()
    assert decoder == [[en, b, sep] if behind else [5, en, b]]
    assert beginning(task.task_options(), "de_DE") == ((de, ()) if behind else (5, (de,)))
    written = task.generate([[a, b]], target_language="de_DE", max_new_tokens=4)
    assert behind or written[0][0] == de
    with pytest.raises(kzoo.KzooError, match="the language 'xx_XX'; expected one of de_DE, en_XX"):
        task.generate(["a"], target_language="xx_XX")
    with pytest.raises(kzoo.KzooError, match="the language 'fr_XX'"):
        kzoo.Seq2SeqLM(task, target_language="fr_XX")


def test_what_is_written_is_scored_against_the_targets(writer):
    sources = ["ab", "cd", "e"]
    written = writer.generate(sources, max_new_tokens=6, min_new_tokens=6)
    assert len(set(written)) > 1
    mine = writer.score(sources, written, ("exact", "chrf"), max_new_tokens=6, min_new_tokens=6)
    assert mine == {"exact": 1, "chrf": pytest.approx(100)}
    others = [*written[1:], "something else"]
    assert writer.score(sources, others, "exact", max_new_tokens=6, min_new_tokens=6)["exact"] < 1
    writer.compile()
    found = writer.evaluate(sources, written, scores=["exact"], verbose=0)
    assert {"loss", "perplexity", "accuracy", "exact"} <= set(found)
    with pytest.raises(kzoo.KzooError, match="the score 'meteor'; expected some of exact"):
        writer.score(sources, written, ["meteor"])
    with pytest.raises(kzoo.KzooError, match="3 sources and 2 targets"):
        writer.score(sources, written[:2], ["exact"])


def test_scores_are_those_of_their_definitions():
    words = ["the cat sat on the mat"]
    found = text_scores(words, words, ["bleu", "chrf"])
    assert found == {"bleu": pytest.approx(100), "chrf": pytest.approx(100)}
    for one, other in ((["a"], ["a", "b"]), ("ab", ["a", "b"]), ([], [])):
        with pytest.raises(kzoo.KzooError, match="^Got .* to score.*expected"):
            text_scores(one, other, "exact")
    scores = text_scores(["the cat sat"], ["the cat lay here"], "rouge")
    assert scores["rouge1"] == pytest.approx(100 * 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert scores["rouge2"] == pytest.approx(100 * 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))


def test_pipelines_answer_by_the_familiar_names(writer):
    options = {"max_new_tokens": 5}
    text = writer.generate("ab", **options)
    names = {
        "translation": "translation_text", "translation_en_to_de": "translation_text",
        "summarization": "summary_text", "text2text-generation": "generated_text",
    }  # fmt: skip
    for name, key in names.items():
        assert kzoo.pipeline(name, writer)("ab", **options) == [{key: text}]
    both = kzoo.pipeline("translation", writer)(["ab", "c"], num_beams=2, num_return_sequences=2,
                                                **options)  # fmt: skip
    assert [len(row) for row in both] == [2, 2]
    with pytest.raises(kzoo.KzooError, match="needs a Seq2SeqLM"):
        kzoo.pipeline("summarization", noisy("bert"))
    qa = kzoo.pipeline("question-answering", writer)
    prompts = ["question: q context: c", "question: r context: c"]
    given = [{"answer": text} for text in writer.generate(prompts, **options)]
    assert qa({"question": "q", "context": "c"}, **options) == given[0]
    assert qa(("q", "c"), **options) == given[0]
    assert qa(question=["q", "r"], context="c", **options) == given


def test_the_command_scores_what_is_written_of_pairs(writer, tmp_path):
    task = kzoo.Seq2SeqLM(writer, generation={"max_new_tokens": 4})
    written = task.generate(["ab", "cd"])
    rows = [f"ab\t{written[0]}", "cd\tsomething"]
    (tmp_path / "pairs.tsv").write_text("\n".join(["source\ttarget", *rows]), encoding="utf-8")
    found = evaluate(task, tmp_path / "pairs.tsv")
    assert found["scores"]["exact"] == 0.5 and {"bleu", "chrf", "rougeL"} <= set(found["scores"])
    assert [(row["text"], row["given"]) for row in found["wrong"]] == [("cd", written[1])]
    (tmp_path / "alone.jsonl").write_text('{"text": "some words of it"}')
    with pytest.raises(kzoo.KzooError, match="sources alone; expected a target of each"):
        evaluate(task, tmp_path / "alone.jsonl")


def test_raw_text_is_learned_from_by_an_objective():
    backbone = build(one_block("bart"))
    task = kzoo.Seq2SeqLM(backbone, tokenizer=byte_tokenizer(), objective="deletion", max_length=20)
    (inputs, targets), *_ = list(task.batches(["abcdefghij"] * 2, batch_size=2))
    (ids,) = task.tokenizer.bare_ids(["abcdefghij"])
    end = task.tokenizer.end_id
    assert np.asarray(targets).tolist() == [[*ids, end]] * 2
    read = np.asarray(inputs["encoder_token_ids"]).tolist()
    assert all(len(row) == 8 and row[-1] == end and row[:-1] == sorted(row[:-1]) for row in read)
    (again, _), *_ = list(task.batches(["abcdefghij"] * 2, batch_size=2, seed=1))
    assert np.asarray(again["encoder_token_ids"]).tolist() != read
    task.compile()
    task.fit(["abcdefghij", "klm"], epochs=1, verbose=0)
    with pytest.raises(kzoo.KzooError, match="fewer than two tokens in text 1"):
        task.fit(["ab", "c"])
    task = kzoo.Seq2SeqLM(task, objective="spans")
    task.compile()
    with pytest.raises(kzoo.KzooError, match="tokenizer without marks"):
        task.fit(["ab"])
