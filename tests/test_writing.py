"""Every door to writing: the command line, the pipeline, a conversation, few examples."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
from families import add_noise
from test_causal_lm import END, SPEC, byte_tokenizer

import kzoo
from kzoo.cli import main
from kzoo.generation import ChatTemplate
from kzoo.models import build
from kzoo.terminal import session

TEMPLATE = ChatTemplate(
    {
        "default": "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}a:{% endif %}",
        "other.one": "{{ messages[0].content }}",
    },
    {"eos_token": END},
)
CHAT = [{"role": "user", "content": "the cat"}]
PROMPT = f"u:the cat{END}a:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A preset that writes."""
    task = kzoo.CausalLM(add_noise(build(SPEC)), tokenizer=byte_tokenizer(), max_length=16)
    task.tokenizer.chat_template = TEMPLATE
    path = tmp_path_factory.mktemp("writing") / "preset"
    task.save_preset(path)
    return path


@pytest.fixture(scope="module")
def writer(folder):
    return kzoo.load(folder)


@pytest.fixture
def run(capfd, monkeypatch):
    """Run a command in this process: (code, stdout, stderr)."""

    def command(*arguments, given=""):
        capfd.readouterr()
        given = given if isinstance(given, bytes) else given.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    return command


# -- the command line -----------------------------------------------------------------------------


def test_generate_writes_what_the_model_writes(run, folder, writer):
    expected = writer.generate("the cat", max_new_tokens=9)
    assert run("generate", folder, "the cat", "--max-new-tokens", 9) == (0, expected + "\n", "")
    code, out, _ = run("generate", folder, "--max-new-tokens", 9, "--json", given="the cat\n")
    data = json.loads(out)
    assert data.pop("tokens_per_second") > 0
    assert data == {"prompt": "the cat", "text": expected, "tokens": 9, "reason": "length"}


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (
            ["--beams", 3, "--repetition-penalty", 1.5, "--no-repeat-ngram", 1],
            {"num_beams": 3, "repetition_penalty": 1.5, "no_repeat_ngram_size": 1},
        ),
        (
            ["--temperature", 1.5, "--top-k", 9, "--top-p", 0.9, "--min-p", 0.01, "--seed", 3],
            {"temperature": 1.5, "top_k": 9, "top_p": 0.9, "min_p": 0.01, "seed": 3},
        ),
        (["--stop", "no", "--stop", "\ufffd"], {"stop_strings": ("no", "\ufffd")}),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_flag_is_an_option_of_generate(run, folder, writer, flags, options):
    expected = writer.generate("a", max_new_tokens=12, **options)
    assert expected != writer.generate("a", max_new_tokens=12)
    code, out, _ = run("generate", folder, "a", "--max-new-tokens", 12, *flags, "--json")
    assert (code, json.loads(out)["text"]) == (0, expected)


def test_pieces_come_one_by_one_and_stay_where_the_next_does_not(capfd):
    def pieces():
        yield "on\x1b"
        yield "ce\n"
        assert capfd.readouterr().out == "on\\x1bce\n"
        yield "upon"
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as left, session() as screen:
        screen.pieces(pieces())
    assert left.value.code == 130
    assert capfd.readouterr() == ("upon\n", "")


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (["PRESET"], "\n\n", "The prompt is empty"),
        (["nothing"], b"a\xff", "not UTF-8"),
        (["PRESET", "a" * 65], "", "65 tokens in prompt 0"),
        (["nothing", "a", "--temperature", "0"], "", "Got --temperature 0.0; expected"),
        (["nothing", "a", "--temperature", "inf"], "", "expected a finite number"),
        (["nothing", "a", "--stop", ""], "", "stop string ''"),
        (["nothing", "a", "--beams", "2", "--top-k", "3"], "", "one way to choose"),
        (["PRESET", "a", "--beams", "300"], "", "Got --beams 300"),
        (["nothing", "a", "--top-k", "few"], "", "--top-k"),
        (["nothing", "a"], "", "No preset or folder is called 'nothing'"),
        (["", "a"], "", "Got an empty name"),
        (["gpt2_small_en", "a"], "", "`kzoo convert openai-community/gpt2 FOLDER`"),
        (["gpt3_125m_en", "a"], "", "or convert a checkpoint that has them"),
        (["bert_minilm_l6_en_uncased.sst2", "a"], "", "a TextClassifier; expected a CausalLM"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_what_can_not_be_written_is_one_sentence(run, folder, arguments, given, message):
    arguments = [folder if each == "PRESET" else each for each in arguments]
    code, out, err = run("generate", *arguments, given=given)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


# -- the pipeline ---------------------------------------------------------------------------------


def test_the_pipeline_answers_as_that_of_transformers(folder, writer):
    pipe = kzoo.pipeline("text-generation", folder)
    alone, other = writer.generate(["the cat", "a"], max_new_tokens=5)
    assert pipe("the cat", max_new_tokens=5) == [{"generated_text": "the cat" + alone}]
    expected = [[{"generated_text": alone}], [{"generated_text": other}]]
    for batch_size in (1, 2):
        options = {"max_new_tokens": 5, "return_full_text": False, "batch_size": batch_size}
        assert pipe(["the cat", "a"], **options) == expected
    (answer,) = pipe(CHAT, max_new_tokens=5)
    text = writer.generate(PROMPT, max_new_tokens=5)
    assert answer == {"generated_text": [*CHAT, {"role": "assistant", "content": text}]}
    assert pipe([CHAT], max_new_tokens=5, return_full_text=False) == [[{"generated_text": text}]]
    several = pipe("a", max_new_tokens=3, num_beams=3, num_return_sequences=2)
    assert len(several) == 2
    for wrong in ([["a"]], 5, [{"content": "a"}], [CHAT, 3]):
        with pytest.raises(kzoo.KzooError, match="expected a text, a conversation"):
            pipe(wrong)
    with pytest.raises(kzoo.KzooError, match="needs a CausalLM"):
        kzoo.pipeline("text-generation", "bert_tiny_en_uncased")


# -- a conversation -------------------------------------------------------------------------------


def test_a_conversation_is_the_prompt_of_its_template(writer):
    expected = writer.generate(PROMPT, max_new_tokens=6)
    assert writer.chat(CHAT, max_new_tokens=6) == expected
    assert "".join(writer.stream_chat(CHAT, max_new_tokens=6)) == expected
    bare = kzoo.CausalLM(writer.backbone, tokenizer=byte_tokenizer())
    for call in (bare.chat, bare.stream_chat):
        with pytest.raises(kzoo.KzooError, match="without a chat template"):
            call(CHAT)
    with pytest.raises(kzoo.KzooError, match="expected"):
        writer.chat("the cat")


def test_a_chat_template_travels_with_its_tokenizer(writer, tmp_path):
    writer.save(tmp_path / "writer.keras")
    writer.save_preset(tmp_path / "preset")
    for path in (tmp_path / "writer.keras", tmp_path / "preset"):
        again = kzoo.load(path)
        assert again.tokenizer == writer.tokenizer
        assert again.tokenizer.chat_template == TEMPLATE
    byte_tokenizer().save(tmp_path / "preset")  # It has none, and leaves none.
    assert kzoo.Tokenizer.load(tmp_path / "preset").chat_template is None
    for name in ("../x", ".", ""):
        with pytest.raises(kzoo.KzooError, match="as the name of a chat template"):
            ChatTemplate({name: "x"}).save(tmp_path)


# -- few examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("calibrate", [False, ["N/A", ""]])
def test_few_examples_label_texts_by_the_likeliest_continuation(writer, calibrate):
    examples, labels = [("fine", "good"), ("poor", "bad")], {"good": "yes", "bad": "no"}
    shots = writer.few_shot(examples, labels, "{text}? {label}", "\n", calibrate=calibrate)

    def row(text):
        prompt = f"fine? yes\npoor? no\n{text}?"
        scores = []
        for label in (" yes", " no"):
            before, behind = writer.tokenizer.bare_ids([prompt, label])
            ids = np.array([[*before, *behind]], "int32")
            logits = writer({"token_ids": ids, "padding_mask": ids * 0 + 1})["logits"][0]
            logits = np.asarray(logits, "float64")[len(before) - 1 : -1]
            logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            scores.append(logits[range(len(behind)), behind].sum())
        return np.exp(scores) / np.exp(scores).sum()

    texts = ["nice", "what a day"]
    expected = [row(text) for text in texts]
    if calibrate:
        neutral = np.mean([row(text) for text in calibrate], axis=0)
        expected = [each / neutral / (each / neutral).sum() for each in expected]
    for answer, probabilities in zip(shots.predict(texts), expected, strict=True):
        np.testing.assert_allclose(list(answer["scores"].values()), probabilities, rtol=1e-3)
        assert answer["label"] == ["good", "bad"][int(np.argmax(probabilities))]
    with pytest.raises(kzoo.KzooError, match="expected 65 at most.*shorten the prompt"):
        shots.predict(["x" * 60])


@pytest.mark.parametrize("name", ["no weights", "no writer"])
def test_what_can_not_write_is_refused_before_it_is_built(run, folder, tmp_path, name):
    """It isn't even read: another spec than that of the weights would be found out."""
    shutil.copytree(folder, tmp_path / "preset")
    if name == "no weights":
        (tmp_path / "preset" / "weights.safetensors").unlink()
    else:
        (tmp_path / "preset" / "task.json").unlink()
    (tmp_path / "preset" / "tokenizer.json").write_text("{}")
    code, out, err = run("generate", tmp_path / "preset", "a")
    assert (code, out) == (2, "")
    expected = {"no weights": "holds no weights", "no writer": "a Gpt2; expected a CausalLM"}
    assert expected[name] in err


def test_a_bundle_is_no_pipeline(tmp_path):
    (tmp_path / "kzoo.json").write_text("{}")
    with pytest.raises(kzoo.KzooError, match="a bundle; expected a preset .* kzoo generate"):
        kzoo.pipeline("text-generation", tmp_path)


# -- learning and measuring -----------------------------------------------------------------------

POEM = "the cat sat on the mat\nthe dog sat on the log\n" * 4


@pytest.mark.parametrize("unit", ["line", "file"])
def test_a_recipe_trains_a_writer_on_plain_text(folder, tmp_path, unit):
    (tmp_path / "poem.txt").write_text(POEM, encoding="utf-8")
    recipe = {
        "model": str(folder), "train": "poem.txt", "text": unit,
        "output": "out", "validation": 0.25, "epochs": 2, "batch_size": 4,
        "learning_rate": 0.003, "keep": "best",
    }  # fmt: skip
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    shutil.copytree(folder, tmp_path / "out")  # A preset such as it writes, which goes.
    task, history = kzoo.train(tmp_path / "recipe.json", verbose=0)
    assert {"loss", "perplexity", "val_perplexity"} <= set(history.history)
    assert history.history["perplexity"][1] < history.history["perplexity"][0]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (record["examples"], record["validation_examples"]) == {"line": (6, 2), "file": (1, 1)}[
        unit
    ]
    assert (tmp_path / "out" / "curves.png").stat().st_size > 1000
    again = kzoo.load(tmp_path / "out")
    assert again.chat(CHAT, max_new_tokens=3) == task.chat(CHAT, max_new_tokens=3)


def test_a_recipe_learns_answers_to_prompts(folder, tmp_path):
    rows = [{"ask": f"say {word}", "told": f" {word}!"} for word in ("one", "two", "six", "ten")]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = {
        "model": str(folder), "train": str(tmp_path / "pairs.jsonl"), "task": "CausalLM",
        "text": "ask", "label": "told", "output": str(tmp_path / "out"), "validation": 0.25,
        "epochs": 1,
    }  # fmt: skip
    task, history = kzoo.train(recipe, verbose=0)
    assert "val_perplexity" in history.history
    pairs = [(row["ask"], row["told"]) for row in rows]
    for columns in ({"text": "ask", "label": "told"}, {"text": ["ask", "told"]}):
        measured = kzoo.evaluate(task, tmp_path / "pairs.jsonl", **columns)
        assert measured["scores"] == pytest.approx(task.measure(pairs), rel=1e-3)
    assert measured["scores"]["perplexity"] == pytest.approx(
        task.evaluate(pairs, return_dict=True, verbose=0)["perplexity"], rel=1e-4
    )


def test_evaluate_measures_a_writer_with_a_stride(run, folder, writer, tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text(POEM, encoding="utf-8")
    code, out, err = run(
        "evaluate",
        folder,
        path,
        "--text",
        "file",
        "--stride",
        4,
        "--json",
        "--output",
        tmp_path / "out",
    )
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["scores"] == pytest.approx(writer.measure([POEM], stride=4))
    assert data["scores"]["perplexity"] < writer.measure([POEM])["perplexity"]
    for flags, message in (
        ([], 'say text="line"'),
        (["--text", "file", "--stride", 17], "stride=17; expected 1 to 16"),
    ):
        code, out, err = run("evaluate", folder, path, *flags)
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    for command in (["predict", folder, "a"], ["bench", folder]):
        code, out, err = run(*command)
        assert (code, out) == (2, "") and err.count("\n") == 1


def test_it_learns_from_a_dataset(writer):
    import tensorflow as tf

    task = kzoo.CausalLM(build(SPEC), tokenizer=byte_tokenizer())
    task.compile()
    texts = tf.data.Dataset.from_tensor_slices(["the cat", "a dog"])
    pairs = tf.data.Dataset.from_tensor_slices((["the cat", "a dog"], [" sat", " ran"]))
    for dataset in (texts.batch(2), pairs):
        history = task.fit(dataset, epochs=1, verbose=0)
        assert history.history["perplexity"][0] > 1


def test_the_command_writes_of_a_source(tmp_path, run):
    from test_seq2seq import one_block

    task = kzoo.Seq2SeqLM(add_noise(build(one_block("t5"))), tokenizer=byte_tokenizer())
    task.save_preset(tmp_path / "preset")
    command = ["generate", tmp_path / "preset", "the film", "--max-new-tokens", "6"]
    expected = task.generate("the film", max_new_tokens=6)
    assert run(*command) == (0, f"{expected}\n", "")
    code, out, _ = run(*command, "--json")
    answer = json.loads(out)
    assert (code, answer["text"]) == (0, expected) and answer["tokens_per_second"] > 0
