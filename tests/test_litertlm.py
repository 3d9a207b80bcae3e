"""The file for LiteRT-LM's engine: its functions, what they write, and what the engine is told."""

import json
import sys

import numpy as np
import pytest
from families import SPECS, add_noise
from test_causal_lm import byte_tokenizer

import kzoo
from kzoo.bundle import litertlm
from kzoo.bundle.orders import ordered
from kzoo.litert import engine_model
from kzoo.litert.audit import audit
from kzoo.litert.convert import Exportable, exportable, sizes_of, traced, write_file
from kzoo.litert.engine_model import EngineModel, EngineStep
from kzoo.models import build

BYTES = {"vocabulary_size": 257}
TEXT = "the cat sat on the mat and a dog"


def writer(family="gpt2", tokenizer=None, **changes):
    spec = SPECS[family]
    spec = spec.replace(embedding={**dict(spec.embedding), **BYTES}, **changes)
    return kzoo.CausalLM(add_noise(build(spec)), tokenizer=tokenizer or byte_tokenizer())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A task in Keras, the folder of its file, and what was measured on that."""
    folder = tmp_path_factory.mktemp("litertlm")
    task = writer(attention=["causal", {"kind": "local", "window": 5}])
    order = ordered(task, "float32", None, None, {"litertlm": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_model, "SHORT", 4)
        patch.setattr(engine_model, "LONG", 16)
        return task, folder, litertlm.write(folder, order, golden(task))


def framed(tokenizer, count):
    """The tokenizer with so many end tokens before a text."""
    data = json.loads(tokenizer.to_json())
    end, text = {"SpecialToken": {"id": "E", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    data["post_processor"] = {
        "type": "TemplateProcessing", "single": [end, text], "pair": [end, text, text],
        "special_tokens": {"E": {"id": "E", "ids": [0] * count, "tokens": ["E"] * count}},
    }  # fmt: skip
    return kzoo.Tokenizer.from_json(json.dumps(data))


def golden(task):
    """Golden examples of a task, as its own file writes them."""
    prompts = task.prompt_ids([TEXT[:3], TEXT[:24]])
    new = task.generate(prompts, max_new_tokens=16, end_token_ids=())
    first = [task.step(np.array([ids]), np.arange(len(ids))[None], None)[0][0] for ids in prompts]
    outputs = [
        {"token_ids": ids, "logits": logits[:8].tolist()}
        for ids, logits in zip(new, first, strict=True)
    ]
    return [
        {"text": "", "token_ids": ids, "outputs": each}
        for ids, each in zip(prompts, outputs, strict=True)
    ]


@pytest.fixture(scope="module")
def unpacked(made, tmp_path_factory):
    """The folder with what the file holds."""
    from litert_lm_builder import litertlm_builder

    folder = tmp_path_factory.mktemp("unpacked")
    litertlm_builder.unpack(str(made[1] / litertlm.FILE), str(folder))
    return folder


def test_the_file_writes_as_the_bundles_own(made):
    _, folder, report = made
    assert report == {
        "bytes": (folder / litertlm.FILE).stat().st_size,
        "prefill": [4, 16],
        "cache": 40,
        "difference": pytest.approx(0, abs=1e-5),
        "tokens_equal": 1.0,
    }


def test_the_file_has_the_engines_functions_and_each_weight_once(made, unpacked):
    task, *_ = made
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
    parameters = sum(int(np.prod(weight.shape)) for weight in task.backbone.weights)
    assert sum(audited["weight_bytes"].values()) < 4.4 * parameters


def test_the_engine_is_told_where_a_text_begins_and_ends_and_how_long_it_gets(made, unpacked):
    known = (unpacked / "LlmMetadataProto.pbtext").read_text()
    assert "ids: 0" in known and "max_num_tokens: 40" in known
    assert "start_token" not in known
    message = litertlm.metadata(framed(made[0].tokenizer, 1), 8)
    assert list(message.start_token.token_ids.ids) == [0]


def test_the_functions_score_what_keras_scores(tmp_path):
    """Prompts that fill a function up or don't, to the end of the cache, and a token behind."""
    task, path = writer("bloom", max_sequence_length=22), tmp_path / "model.tflite"
    source = exportable(task)
    model = Exportable(EngineModel(source.model, (8,)), source.weights)
    with traced(model, sizes_of(task)) as graphs:
        write_file(graphs, path, "float32", partitions=None)
    step, draw = EngineStep(path), np.random.default_rng(0)
    for length in (20, 1, 2, 9, 10):  # the long one first: what it leaves is never looked at
        ids, places = draw.integers(1, 257, (1, length + 1)), np.arange(length + 1)[None]
        states = dict.fromkeys((step, task.step))
        for part in (slice(0, length), slice(length, length + 1)):
            logits = {}
            for side, state in states.items():
                logits[side], states[side] = side(ids[:, part], places[:, part], state)
            np.testing.assert_allclose(*logits.values(), atol=1e-4, err_msg=f"{length} tokens")


def test_a_file_that_writes_otherwise_is_refused(made, monkeypatch, tmp_path):
    task, *_ = made
    monkeypatch.setattr(engine_model, "NOWHERE", 0)
    order = ordered(task, "float32", None, None, {"litertlm": True, "cache": 39})
    with pytest.raises(kzoo.KzooError, match="model.litertlm writes otherwise than model.tflite"):
        litertlm.write(tmp_path, order, golden(task))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: (kzoo.CausalLM, byte_tokenizer(end=None)), "without an end token"),
        (lambda own: (kzoo.CausalLM, framed(own, 2)), "puts 2 tokens before a text"),
        (lambda own: (kzoo.TextEmbedder, own), "a TextEmbedder.*expected.*a CausalLM"),
    ],
)
def test_what_the_engine_can_not_do_is_refused(made, change, words):
    task, *_ = made
    cls, tokenizer = change(task.tokenizer)
    with pytest.raises(kzoo.KzooError, match=words):
        ordered(cls(task.backbone, tokenizer=tokenizer), "int8", None, None, {"litertlm": True})


def test_without_the_builder_one_sentence_says_what_to_install(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_lm_builder", None)
    with pytest.raises(kzoo.KzooError, match='pip install "kzoo.litertlm."'):
        litertlm.check(made[0])


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
