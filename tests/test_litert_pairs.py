"""An encoder-decoder as a LiteRT file and bundle: one function reads a source, another writes."""

import json

import pytest
from families import PAIRS, add_noise, noisy
from test_causal_lm import byte_tokenizer
from test_seq2seq import one_block

import kzoo
from kzoo.bundle import manifest as manifests
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.export import export_bundle
from kzoo.bundle.file_step import open_step
from kzoo.bundle.predict import open_writer, predict_bundle
from kzoo.bundle.verify import verify_bundle
from kzoo.generation.writer import Writer
from kzoo.litert.convert import exportable, sizes_of, traced, write_file
from kzoo.models import build

SOURCES, NEW = [[7, 8, 9, 10, 11, 30], [5, 6], [40, 41, 42]], 9
END = 16  # a token that this network of noise likes to write
TEXTS = ["a dog", "The film was long, and good.", "x"]


def tokens_of(path, start):
    """Greedy tokens of a file, several sources at a time."""
    writer = Writer(open_step(path), None, 12)
    options = {"max_new_tokens": NEW, "end_token_ids": ()}
    rows = writer.generate([[start]] * 3, 3, SOURCES, **options)
    return [row.token_ids for (row,) in rows]


@pytest.mark.parametrize("family", PAIRS)
def test_a_file_writes_kerass_tokens_in_one_partition_a_function(family, tmp_path):
    task = kzoo.Seq2SeqLM(noisy(family))
    expected = task.generate(SOURCES, max_new_tokens=NEW, end_token_ids=())
    with traced(exportable(task), sizes_of(task, cache=12)) as graphs:
        for precision in ("float32", "int8"):
            audited = write_file(graphs, tmp_path / f"{precision}.tflite", precision)
            assert sorted(audited["signatures"]) == ["decode", "encode"]
            # Weights stand in the file once, though both functions have some of them.
            assert audited["bytes"] < 2 * 4 * task.count_params() + 400_000
    assert tokens_of(tmp_path / "float32.tflite", task.start_id) == expected
    assert all(len(ids) == NEW for ids in tokens_of(tmp_path / "int8.tflite", task.start_id))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    backbone = add_noise(build(one_block("t5")))
    task = kzoo.Seq2SeqLM(
        backbone,
        tokenizer=byte_tokenizer(),
        generation={"num_beams": 2, "max_new_tokens": 12, "end_token_ids": (END,)},
    )
    folder = tmp_path_factory.mktemp("bundle") / "t5"
    report = export_bundle(task, folder, "float32", recipe={"cache": 32})
    return task, folder, report


def test_a_bundle_answers_as_keras_does_however_it_is_asked(made):
    task, folder, report = made
    assert report["parity"]["tokens_equal"] == 1.0
    assert {row["check"] for row in verify_bundle(folder)["checks"]} >= {"golden examples", "files"}
    golden = manifests.read_manifest(folder)["golden"]
    written = [entry["outputs"]["token_ids"] for entry in golden]
    assert any(ids[-1] == END for ids in written)
    assert not any(END in ids[:-1] for ids in written)  # What comes behind says nothing.
    answers = predict_bundle(folder, TEXTS)
    assert [each["written"] for each in answers] == task.predict(TEXTS)
    writer = open_writer(folder)
    for options in ({"num_beams": 4, "num_return_sequences": 3}, {"num_beams": 1}):
        ids = writer.prompt_ids(TEXTS)
        (one, *_), other = writer.write(ids, **options), task.write(ids, **options)
        assert [row.token_ids for row in one] == [row.token_ids for row in other[0]]
    timed = bench_bundle(folder, lengths=[4, 20], rounds=1)
    assert timed["token"]["per_second"] > 0 and [r["tokens"] for r in timed["lengths"]] == [4, 20]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"start_id": None}, "start_id None, as no export writes it"),
        ({"target_language": "de_DE"}, "target_language 'de_DE'; expected one of its languages"),
        ({"generation": {"num_beams": 0}}, "says how to write: .*num_beams"),
        ({"languages": ...}, "no task option languages"),
    ],
)
def test_options_that_no_export_writes_are_refused(made, change, said, tmp_path):
    folder = made[1]
    text = (folder / "kzoo.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    options = {**manifest["task_options"], **change}
    manifest["task_options"] = {k: v for k, v in options.items() if v is not ...}
    (tmp_path / "b").mkdir()
    manifests.write_manifest(tmp_path / "b", manifest)
    with pytest.raises(kzoo.KzooError, match=said):
        manifests.read_manifest(tmp_path / "b")


def test_a_file_without_one_of_the_two_functions_and_a_source_too_long_are_refused(made, tmp_path):
    task = made[0]
    with traced(exportable(task), sizes_of(task, cache=12), ["decode"]) as graphs:
        write_file(graphs, tmp_path / "half.tflite", "float32")
    with pytest.raises(kzoo.KzooError, match="half.tflite has the functions decode; expected"):
        open_step(tmp_path / "half.tflite")
    writer = open_writer(made[1])
    longest = task.backbone.largest["encoder_length"]
    with pytest.raises(kzoo.KzooError, match=f"tokens in source 0; expected 1 to {longest}"):
        writer.write(writer.prompt_ids(["a" * (longest + 1)]))
    with pytest.raises(kzoo.KzooError, match="cache of 8 tokens; expected 16 at least"):
        export_bundle(task, tmp_path / "small", recipe={"cache": 8})
    assert not (tmp_path / "small").exists()
