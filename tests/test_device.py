"""A bundle that writes: its two functions, the cache between them, and what it says of itself."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from families import SPECS, WRITERS, add_noise
from test_causal_lm import byte_tokenizer

import kzoo
from kzoo.bundle import continuation, export_bundle, predict_bundle, verify_bundle
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.file_step import open_step
from kzoo.bundle.orders import ordered
from kzoo.bundle.predict import open_bundle
from kzoo.cli import main
from kzoo.generation import Generation, generate, stream
from kzoo.litert.audit import audit
from kzoo.models import build
from kzoo.values import NOWHERE

PLACES = 96
SPEC = SPECS["gpt2"].replace(
    embedding={"kind": "token", "vocabulary_size": 260}, max_sequence_length=PLACES
)
LOCAL = SPEC.replace(attention=["causal", {"kind": "local", "window": 5}])


def writer(spec=SPEC):
    return kzoo.CausalLM(add_noise(build(spec)), tokenizer=byte_tokenizer())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A task in Keras, and its bundle in float32 with a report."""
    folder = tmp_path_factory.mktemp("writer") / "bundle"
    task = writer()
    report = export_bundle(task, folder, "float32", recipe={"litertlm": True})
    return task, folder, report


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "copy")


def prompts(*lengths):
    draw = np.random.default_rng(0)
    return [draw.integers(1, 257, length).tolist() for length in lengths]


def answers(step, given, **options):
    written = generate(step, given, Generation(max_new_tokens=9, **options), None, PLACES)
    return [[list(answer.token_ids) for answer in rows] for rows in written]


@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 3, "num_return_sequences": 2}, {"temperature": 1.0, "seed": 7}],
    ids=["greedy", "beams", "drawn"],
)
def test_a_file_writes_what_keras_writes(made, options):
    """Ragged rows, whose caches take turns in the file, and beams that are reordered."""
    task, folder, _ = made
    given = prompts(1, 2, 17, 60)
    step = open_step(folder / "model.tflite")
    assert answers(step, given, **options) == answers(task.step, given, **options)


def test_a_row_that_is_taken_twice_has_a_cache_of_its_own(made):
    """The last row's cache is in the file when it is taken; others write there before its copy."""
    step, given = open_step(made[1] / "model.tflite"), np.array(prompts(5, 5, 5), "int32")
    _, state = step(given, np.tile(np.arange(5, dtype="int32"), (3, 1)))
    new = np.array([[7], [8], [9]], "int32")
    actual, _ = step(new, np.full((3, 1), 5, "int32"), state.reorder([2, 0, 2]))
    whole = np.concatenate([given[[2, 0, 2]], new], axis=1)
    expected, _ = step(whole, np.tile(np.arange(6, dtype="int32"), (3, 1)))
    np.testing.assert_allclose(actual, expected, atol=1e-4)


# A step of a Reformer sees all that was written, where the whole input is hashed.
@pytest.mark.parametrize("family", [f for f in WRITERS if f not in ("gpt2", "reformer")])
def test_the_file_of_every_family_gives_keras_logits(family, tmp_path):
    spec, words = SPECS[family], {**SPECS[family].embedding, "vocabulary_size": 260}
    if not isinstance(spec.attention, list | tuple):
        spec = spec.replace(schedule=(0,))  # The second block is as the first.
    task = writer(spec.replace(embedding=words))
    measured = kzoo.export_litert(task, tmp_path / "model.tflite", cache=32)
    assert measured["audit"]["partitions"] == 1 and not measured["audit"]["custom"]
    step, ids = open_step(tmp_path / "model.tflite"), np.array(prompts(20), "int32")
    logits, state = step(ids[:, :15], np.arange(15, dtype="int32")[None])
    found = [logits]
    for place in range(15, 20):
        logits, state = step(ids[:, place : place + 1], np.array([[place]], "int32"), state)
        found.append(logits)
    expected = task({"token_ids": ids, "padding_mask": np.ones_like(ids)})["logits"][0, 14:]
    np.testing.assert_allclose(np.concatenate(found), np.asarray(expected), atol=1e-4)


@pytest.mark.parametrize("length", [None, 8])
def test_a_long_prompt_is_read_in_parts(length, tmp_path, monkeypatch):
    monkeypatch.setattr("kzoo.bundle.file_step.CHUNK", 7)
    task, path = writer(LOCAL), tmp_path / "model.tflite"
    measured = kzoo.export_litert(task, path, "float32", length, cache=64)
    assert measured["parity"]["tokens_equal"] == 1
    step = open_step(path)
    assert (step.cache, step.length) == (64, length)
    given = prompts(30)
    assert answers(step, given) == answers(task.step, given)
    # A state goes on: more tokens at once behind those that were read.
    places = np.arange(40, dtype="int32")[None]
    (ids,) = prompts(40)
    ids = np.array([ids], "int32")
    whole, _ = step(ids, places, None)
    _, state = step(ids[:, :11], places[:, :11], None)
    parts, _ = step(ids[:, 11:], places[:, 11:], state)
    np.testing.assert_allclose(parts, whole, atol=1e-4)


@pytest.mark.parametrize("quantization", ["float16", "int8"])
def test_each_function_is_one_partition_and_they_share_the_weights(quantization, tmp_path):
    task, path = writer(LOCAL), tmp_path / "model.tflite"
    kzoo.export_litert(task, path, quantization, cache=32, limits={"perplexity_ratio": 1.2})
    audited = audit(path)
    assert audited["partitions"] == 1
    assert set(audited["signatures"]) == {"prefill", "decode"}
    prefill, decode = (audited["signatures"][name] for name in ("prefill", "decode"))
    assert "logits" not in prefill["outputs"]  # of a long prompt they would be gigabytes
    assert decode["outputs"]["logits"]["shape"] == [1, 260]
    assert decode["inputs"]["past_key_1"]["shape"] == [1, 4, 32, 8]
    assert prefill["inputs"]["token_ids"]["shape"] == [1, -1]
    parameters = sum(int(np.prod(w.shape)) for w in task.backbone.weights)
    bytes_each = {"float16": 2, "int8": 1}[quantization]
    assert sum(audited["weight_bytes"].values()) < 1.5 * bytes_each * parameters + 20_000


def test_the_audit_looks_at_every_function(made, monkeypatch):
    """LiteRT tells of a file's first graph alone."""
    from kzoo.litert import audit as module

    first = []
    delegated = module._delegated

    def watched(backend):
        outputs = len(backend.get_output_details())
        first.append(outputs)
        groups, left = delegated(backend)
        return groups + (outputs == 4), left  # those of prefill, as if it were split

    monkeypatch.setattr(module, "_delegated", watched)
    assert audit(made[1] / "model.tflite")["partitions"] == 2
    assert sorted(first) == [4, 5]


@pytest.mark.parametrize(
    "token_ids, places, state, words",
    [
        ([[1, 2]], [[1, 2]], None, "the places .1, 2.; expected one at least, from 0 on"),
        ([[1]], [[NOWHERE]], None, "expected one at least, from 0 on"),
        ([[300]], [[0]], None, "Got the token 300; expected ids from 0 to 259"),
        ([[1] * 97], [list(range(97))], None, "place 96; expected places from 0 to 95"),
        ([[1], [1]], [[1], [1]], 1, "Got 2 rows with a cache of 1"),
    ],
)
def test_what_the_file_has_no_place_for_is_one_sentence(made, token_ids, places, state, words):
    step = open_step(made[1] / "model.tflite")
    if state:
        _, state = step(np.array([[5]], "int32"), np.array([[0]], "int32"), None)
    with pytest.raises(kzoo.KzooError, match=words):
        step(np.array(token_ids, "int32"), np.array(places, "int32"), state)


@pytest.mark.parametrize(
    "cache, words",
    [
        (97, "cache=97; expected a whole number of tokens, 96 at most"),
        ("8", "cache='8'; expected a whole number of tokens, 96 at most"),
        (0, "cache=0; expected a whole number of tokens, 96 at most"),
        (1, "a cache of 1 tokens; expected 1[78] at least, for [16] of the prompts"),
        (16, "a cache of 16 tokens; expected 1[78] at least, for [16] of the prompts"),
    ],
)
def test_a_cache_has_places_for_a_prompt_and_no_more_than_the_model(cache, words, tmp_path):
    """Said before anything is converted, which takes minutes for a large model."""
    task, steps = writer(), []
    with pytest.raises(kzoo.KzooError, match=words):
        export_bundle(task, tmp_path / "a", "int8", None, None, {"cache": cache}, steps.append)
    assert not steps and not list(tmp_path.iterdir())
    (tmp_path / "file").touch()  # Nothing can be written below it, which comes up later.
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.export_litert(task, tmp_path / "file" / "model.tflite", cache=cache)


def test_the_least_cache_is_that_of_the_texts_that_are_written_behind(tmp_path):
    task, path = writer(), tmp_path / "text.txt"
    assert continuation.prompts_of(task, {"past_length": 17}, 1)
    with pytest.raises(kzoo.KzooError, match="of 17 tokens; expected 18 at least, for 6 of"):
        ordered(task, "float32", None, None, {"cache": 17})  # Verifying asks for six.
    ordered(task, "float32", None, None, {"cache": 18})
    path.write_text("pneumonoultramicroscopic\n", encoding="utf-8")
    recipe = {"evaluation": str(path), "text": "line", "cache": 39}
    ordered(task, "float32", None, None, recipe)  # The shipped sentences have shorter words.
    with pytest.raises(kzoo.KzooError, match="of 39 tokens; expected 40 at least, for 1 of"):
        ordered(task, "float32", None, None, {**recipe, "share_texts": True})
    with pytest.raises(kzoo.KzooError, match="texts without a word"):
        kzoo.export_litert(task, tmp_path / "model.tflite", texts=[" "])


def test_other_models_have_no_cache(tmp_path):
    with pytest.raises(kzoo.KzooError, match="for a model that doesn't write"):
        kzoo.export_litert(build(SPEC), tmp_path / "model.tflite", cache=32)
    with pytest.raises(kzoo.KzooError, match="expected int8: int4 is for files"):
        kzoo.export_litert(writer(), tmp_path / "model.tflite", "int8_int4_table")


# -- the bundle -----------------------------------------------------------------------------------


def test_the_share_of_equal_tokens_counts_every_place():
    pairs = [[[1, 2, 3], [1, 2, 4]], [[5], [5, 6]], [[7, 8], [8, 7]]]
    assert continuation.equal_share(pairs) == 3 / 7
    assert continuation.equal_share([[[1, 2], [1, 2]]]) == 1


def test_texts_of_an_evaluation_are_golden_examples_only_where_they_may_travel(made, tmp_path):
    task, folder, _ = made
    path = tmp_path / "diary.txt"
    path.write_text("".join(f"secret {n} of mine\n" for n in range(9)), encoding="utf-8")

    def texts(**recipe):
        recipe = {"evaluation": str(path), "text": "line", **recipe}
        order = ordered(task, "float32", None, None, recipe)
        golden = continuation.golden(order, folder / "model.tflite")
        return [entry["text"].startswith("secret") for entry in golden]

    assert not any(texts())
    assert 0 < sum(texts(share_texts=True)) < len(texts(share_texts=True))


def test_a_bundle_says_what_its_functions_read_and_what_it_wrote(made):
    task, folder, report = made
    manifest = json.loads((folder / "kzoo.json").read_text())
    assert (manifest["rule"], manifest["reads"]) == ("continuation", "prompt")
    assert (manifest["max_length"], manifest["length"]) == (PLACES, None)
    decode, prefill = (manifest["signatures"][name] for name in ("decode", "prefill"))
    assert decode["inputs"]["token_ids"] == {"axes": ["batch", 1], "dtype": "int32", "below": 260}
    assert decode["inputs"]["past_key_0"]["axes"] == ["batch", 4, "past_length", 8]
    assert decode["outputs"]["logits"] == ["batch", "vocabulary"]
    assert decode["outputs"]["past_value_1"] == ["batch", 4, 1, 8]
    assert prefill["outputs"]["past_value_1"] == ["batch", 4, "length", 8]
    for entry, shown in zip(manifest["golden"], report["examples"], strict=True):
        written = task.generate([entry["token_ids"]], max_new_tokens=16, end_token_ids=())
        assert entry["outputs"]["token_ids"] == written[0]
        assert shown["keras"] == {"continuation": task.tokenizer.decode(written[0])}
    assert report["parity"]["tokens_equal"] == 1
    held = {row["limit"] for row in report["limits"]}
    assert held == {"partitions", "tokens_equal", "perplexity_ratio"}
    assert report["litertlm"]["tokens_equal"] == 1
    assert "model.litertlm" in manifest["files"]
    page = (folder / "report.html").read_text()
    assert "tokens a second" in page and "For LiteRT-LM" in page


def test_a_bundle_that_writes_is_verified_predicted_and_timed(made):
    task, folder, _ = made
    checks = {row["check"]: row["found"] for row in verify_bundle(folder)["checks"]}
    assert "equal to the digit" in checks["golden examples"]
    texts = ["the cat sat", "a dog"]
    given = predict_bundle(folder, texts)
    assert [row["continuation"] for row in given] == task.generate(texts)
    with pytest.raises(kzoo.KzooError, match="Got 100 tokens.*expected 96 at most"):
        predict_bundle(folder, "x" * 100)
    timed = bench_bundle(folder, folder, rounds=1)
    assert timed["token"]["per_second"] > 0 and timed["token"]["speed"] > 0


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda entry: entry["outputs"]["token_ids"].reverse(), "is written otherwise from token"),
        (lambda entry: entry["outputs"]["logits"].reverse(), "has logits that lie"),
        (lambda entry: entry["token_ids"].append(3), "is tokenized otherwise from token"),
    ],
)
def test_verify_writes_the_golden_examples_again(copy, change, words):
    from kzoo.bundle.manifest import read_manifest, write_manifest

    manifest = read_manifest(copy)
    change(manifest["golden"][5])
    fields = json.loads((copy / "kzoo.json").read_text())
    write_manifest(copy, {name: manifest[name] for name in fields})
    with pytest.raises(kzoo.KzooError, match=words):
        verify_bundle(copy)


def test_golden_examples_are_counted_whatever_the_tolerance(made):
    predictor = open_bundle(made[1])
    golden = predictor.manifest["golden"]
    assert continuation.run_again(predictor) == (len(golden), 0)
    golden[5]["outputs"]["token_ids"].reverse()
    golden[2]["outputs"]["logits"] = [2 * each for each in golden[2]["outputs"]["logits"]]
    equal, worst = continuation.run_again(predictor)
    assert equal == len(golden) - 1 and worst > 10 * predictor.manifest["tolerance"]
    golden[4]["outputs"]["logits"][0] = np.nan
    assert np.isnan(continuation.run_again(predictor)[1])


def test_an_evaluation_is_the_perplexity_of_the_files_own_steps(tmp_path):
    text = "the cat sat on the mat and a dog ran to the cat. " * 4
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    task = writer(SPEC.replace(schedule=(0,)))
    recipe = {"evaluation": str(tmp_path / "text.txt"), "text": "file", "cache": 48}
    limits = {"perplexity": 1e6, "perplexity_ratio": 1.2}
    report = export_bundle(task, tmp_path / "bundle", "int8", None, limits, recipe)
    evaluation = report["evaluation"]
    task = kzoo.CausalLM(task.backbone, tokenizer=byte_tokenizer(), max_length=48)
    task.compile()
    expected = task.evaluate([text], return_dict=True, verbose=0)["perplexity"]
    assert evaluation["perplexity_keras"] == pytest.approx(expected, rel=1e-3)
    assert evaluation["perplexity_float32"] == pytest.approx(expected, rel=1e-3)
    assert evaluation["perplexity_ratio"] == pytest.approx(1, abs=0.2)
    on = {row["limit"]: row["on"] for row in report["limits"]}
    assert on["perplexity_ratio"] == on["perplexity"] == "text.txt"
    verify_bundle(tmp_path / "bundle")


def test_what_a_file_streams_is_what_it_generates(made):
    task, folder, _ = made
    step = open_step(folder / "model.tflite")
    options = Generation(max_new_tokens=12)
    (ids,) = task.prompt_ids(["the cat"])
    pieces = list(stream(step, ids, task.tokenizer, options, PLACES))
    assert "".join(pieces) == task.generate("the cat", max_new_tokens=12, end_token_ids=())


def test_a_bundle_is_evaluated_as_its_preset_is(made, tmp_path):
    """Joined texts in windows, with a stride, and answers behind prompts, by the file's steps."""
    task, folder, _ = made
    path, pairs = tmp_path / "poem.txt", tmp_path / "pairs.jsonl"
    path.write_text("the cat sat on the mat\nand a dog ran\n" * 4, encoding="utf-8")
    rows = [{"ask": f"say {word}", "told": f" {word}!"} for word in ("one", "two", "six")]
    pairs.write_text("\n".join(map(json.dumps, rows)))
    for file, options in (
        (path, {"text": "line"}),
        (path, {"text": "file", "stride": 60}),
        (pairs, {"text": "ask", "label": "told"}),
    ):
        expected = kzoo.evaluate(task, file, **options)
        actual = kzoo.evaluate(folder, file, **options)
        assert actual["scores"] == pytest.approx(expected["scores"], rel=1e-3)
        assert {**actual, "source": 0, "scores": 0} == {**expected, "source": 0, "scores": 0}
    with pytest.raises(kzoo.KzooError, match="stride=97; expected 1 to 96"):
        kzoo.evaluate(folder, path, text="file", stride=97)


def test_a_text_without_a_token_is_told_by_its_line_and_the_others_are_answered(
    made, tmp_path, capfd, monkeypatch
):
    """By its place from 1 on, as an editor counts; a table's by its own lines."""
    folder, table, output = made[1], tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    table.write_text('{"text": "a\\nb c d"}\n\n{"text": ""}\n{"text": 5}\n{"text": "a"}\n')

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n\nb\n"), "utf-8"))
        with pytest.raises(SystemExit) as left:
            main(["predict", str(folder), *map(str, arguments)])
        assert left.value.code == code
        return capfd.readouterr()

    for arguments, names, count in (
        (["a", ""], ["Text 2 has no token"], 1),
        ([], ["Line 2 of standard input has no token"], 2),
        (
            [table, "--text", "text"],
            [
                f"The text in line 3 of {table} has no token",
                f"{table}, line 4: text is 5; expected",
            ],
            2,
        ),
    ):
        said = run(*arguments, "--json")
        assert [
            line.startswith(f"not answered: {name}")
            for line, name in zip(said.err.splitlines(), names, strict=True)
        ] == [True] * len(names)
        rows = json.loads(said.out)
        assert sum("continuation" in row for row in rows) == count
        assert sum("error" in row for row in rows) == len(names)
    made_of = json.loads(run(table, "--output", output, "--json").out)
    assert [row["line"] for row in made_of["unanswered"]] == [3, 4] and made_of["rows"] == 4
    written = [json.loads(line)["predicted_continuation"] for line in output.open()]
    assert [value is None for value in written] == [False, True, True, False]
    assert run("", "", code=2).err.startswith("error: Text 1 has no token")
    with pytest.raises(kzoo.KzooError, match="^Text 1 has no token"):
        predict_bundle(folder, ["a", ""])


def test_the_command_writes_with_a_bundle_and_loads_no_keras(made):
    task, folder, _ = made
    code = (
        "import sys; from kzoo.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'keras', 'tensorflow'} & set(sys.modules), 'heavy'"
    )
    run = [sys.executable, "-c", code, "generate", str(folder), "the cat", "--max-new-tokens", "9"]
    result = subprocess.run(run, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = task.generate("the cat", max_new_tokens=9)
    assert result.stdout.decode("utf-8").removesuffix("\n") == expected.removesuffix("\n")
