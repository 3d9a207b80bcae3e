"""The file for LiteRT-LM's engine: its functions, what they write, and what the engine is told."""

import json

import numpy as np
import pytest
from families import SPECS, add_noise
from test_causal_lm import byte_tokenizer

import kzoo
from kzoo.bundle import litertlm, verify_bundle
from kzoo.cli import main
from kzoo.generation import Generation, generate
from kzoo.litert import engine_model
from kzoo.litert.audit import audit
from kzoo.litert.convert import Exportable, exportable, sizes_of, write_file
from kzoo.litert.engine_model import EngineModel, EngineStep
from kzoo.models import build

BYTES = {"vocabulary_size": 257}
# Two tokens before a text.
TWICE = """"post_processor": {"type": "TemplateProcessing",
 "single": [{"SpecialToken": {"id": "E", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
 "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
 "special_tokens": {"E": {"id": "E", "ids": [0, 0], "tokens": ["E", "E"]}}}"""
TEXT = "the cat sat on the mat and a dog ran to the cat."


def writer(family="gpt2", tokenizer=None, **changes):
    spec = SPECS[family]
    spec = spec.replace(embedding={**dict(spec.embedding), **BYTES}, **changes)
    return kzoo.CausalLM(add_noise(build(spec)), tokenizer=tokenizer or byte_tokenizer())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A task in Keras, and its bundle with the file, made by the command; its report."""
    folder = tmp_path_factory.mktemp("litertlm")
    task = writer(attention=["causal", {"kind": "local", "window": 5}])
    task.save_preset(folder / "preset")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_model, "SHORT", 4)
        patch.setattr(engine_model, "LONG", 16)
        arguments = [str(folder / "preset"), "--quantization", "float32", "--to", "litertlm"]
        with pytest.raises(SystemExit) as ended:
            main(["export", *arguments, "--output", str(folder / "bundle")])
    assert not ended.value.code
    report = json.loads((folder / "bundle" / "report.json").read_text(encoding="utf-8"))
    return task, folder / "bundle", report


@pytest.fixture(scope="module")
def unpacked(made, tmp_path_factory):
    """The folder with what the file holds."""
    from litert_lm_builder import litertlm_builder

    folder = tmp_path_factory.mktemp("unpacked")
    litertlm_builder.unpack(str(made[1] / litertlm.FILE), str(folder))
    return folder


def test_a_bundle_holds_the_file_and_what_was_measured_on_it(made):
    _, folder, report = made
    assert report["litertlm"] == {
        "bytes": (folder / litertlm.FILE).stat().st_size,
        "prefill": [4, 16],
        "cache": 40,
        "difference": pytest.approx(0, abs=1e-5),
        "tokens_equal": 1.0,
    }
    assert litertlm.FILE in json.loads((folder / "kzoo.json").read_text())["files"]
    verify_bundle(folder)
    assert "For LiteRT-LM" in (folder / "report.html").read_text()


def test_the_file_has_the_engines_functions_and_each_weight_once(made, unpacked):
    task, folder, _ = made
    (path,) = unpacked.glob("*.tflite")
    audited = audit(path)
    assert set(audited["signatures"]) == {"prefill_4", "prefill_16", "decode"}
    cache = {"shape": [1, 4, 40, 8], "type": "float32"}
    caches = {f"kv_cache_{kind}_{step}": cache for kind in "kv" for step in (0, 1)}
    prefill, decode = (audited["signatures"][name] for name in ("prefill_16", "decode"))
    tokens, places = ({"shape": shape, "type": "int32"} for shape in ([1, 16], [16]))
    assert prefill == {
        "inputs": {"tokens": tokens, "input_pos": places, **caches},
        "outputs": caches,
    }
    assert decode["inputs"]["input_pos"]["shape"] == [1]
    assert decode["outputs"].keys() - caches.keys() == {"logits"}
    assert decode["outputs"]["logits"]["shape"] == [1, 1, 257]
    assert not audited["custom"] and "SHAPE" not in audited["operators"]
    own = audit(folder / "model.tflite")["weight_bytes"]["float32"]
    assert audited["weight_bytes"]["float32"] < 1.1 * own


def test_the_engine_is_told_where_a_text_ends_and_how_long_it_gets(unpacked):
    known = (unpacked / "LlmMetadataProto.pbtext").read_text()
    assert "ids: 0" in known and "max_num_tokens: 40" in known
    assert "start_token" not in known
    framed = (
        byte_tokenizer()
        .to_json()
        .replace(
            '"post_processor": null',
            '"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": '
            '"<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": '
            '[{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<|endoftext|>": {"id": '
            '"<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}}',
        )
    )
    message = litertlm.metadata(kzoo.Tokenizer.from_json(framed), 8)
    assert list(message.start_token.token_ids.ids) == [0]


@pytest.mark.parametrize("family", ["gpt_neo", "bloom", "palm"])
def test_the_functions_write_what_keras_writes(family, tmp_path):
    """Prompts that fill a function up or don't, in front of the cache's end and behind it."""
    task, path = writer(family, max_sequence_length=24), tmp_path / "model.tflite"
    source = exportable(task)
    model = EngineModel(source.model, (4, 16))
    write_file(Exportable(model, source.weights), path, "float32", sizes_of(task), partitions=None)
    step, draw = EngineStep(path), np.random.default_rng(0)
    for length in (1, 2, 5, 6, 17, 18, 20):
        prompt = draw.integers(1, 257, length).tolist()
        options = Generation(max_new_tokens=min(6, 25 - length))
        sides = [generate(each, [prompt], options, None, 24) for each in (step, task.step)]
        actual, expected = ([list(row.token_ids) for (row,) in side] for side in sides)
        assert actual == expected, length


def test_a_file_that_writes_otherwise_is_refused(made, monkeypatch, tmp_path):
    task, folder, _ = made
    golden = json.loads((folder / "kzoo.json").read_text())["golden"]
    monkeypatch.setattr(engine_model, "NOWHERE", 0)
    order = litertlm_order(task)
    with pytest.raises(kzoo.KzooError, match="model.litertlm writes otherwise than model.tflite"):
        litertlm.write(tmp_path, order, golden)
    assert not list(tmp_path.iterdir())


def litertlm_order(task):
    from kzoo.bundle.orders import ordered

    return ordered(task, "float32", None, None, {"litertlm": True})


def framed_twice(model):
    text = model.tokenizer.to_json().replace('"post_processor": null', TWICE)
    return kzoo.CausalLM(model.backbone, tokenizer=kzoo.Tokenizer.from_json(text))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: writer(tokenizer=byte_tokenizer(end=None)), "without an end token"),
        (lambda: framed_twice(writer()), "puts 2 tokens before a text"),
        (lambda: kzoo.TextEmbedder(writer().backbone, tokenizer=byte_tokenizer()), "a CausalLM"),
    ],
)
def test_what_the_engine_can_not_do_is_refused(model, words, tmp_path):
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.export_bundle(model(), tmp_path / "bundle", recipe={"litertlm": True})
    assert not list(tmp_path.iterdir())


def test_without_the_builder_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "litert_lm_builder", None)
    with pytest.raises(kzoo.KzooError, match='pip install "kzoo.litertlm."'):
        litertlm.check(writer())


@pytest.mark.parity
def test_the_engine_writes_what_keras_writes(made):
    litert_lm = pytest.importorskip("litert_lm")
    task, folder, _ = made
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    engine = litert_lm.Engine(str(folder / litertlm.FILE), cache_dir=":nocache")
    for count in (1, 4, 5, 6, 16, 17, 18, 30):
        prompt = TEXT[:count]
        session = engine.create_session(max_output_tokens=8)
        session.run_prefill([prompt])
        (actual,) = session.run_decode().texts
        session.close()
        assert actual == task.generate(prompt, max_new_tokens=8), count
    engine.close()
