"""An encoder-decoder as a LiteRT file and bundle: one function reads a source, another writes."""

import json
import shutil

import pytest
from families import PAIRS, SPECS, add_noise, noisy
from test_causal_lm import byte_tokenizer
from test_sentencepiece import marian
from test_seq2seq import one_block, speaking

import kzoo
from kzoo.bundle import manifest as manifests
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.export import export_bundle
from kzoo.bundle.file_step import open_step
from kzoo.bundle.predict import open_writer, predict_bundle
from kzoo.bundle.verify import verify_bundle
from kzoo.evaluation import evaluate
from kzoo.generation.writer import Writer
from kzoo.litert.convert import exportable, sizes_of, traced, write_file
from kzoo.models import build

SOURCES, NEW = [[7, 8, 9, 10, 11, 30], [5, 6], [40, 41, 42]], 9
END = 16  # a token that this network of noise likes to write
TEXTS = ["a dog", "The film was long, and good.", "x"]


def resealed(folder, change):
    """Change task options of a bundle as at its export, and seal it again."""
    kept = folder.parent / "kept.json"
    if not kept.exists():
        shutil.copyfile(folder / "kzoo.json", kept)
    manifest = json.loads(kept.read_text(encoding="utf-8"))
    options = {**manifest["task_options"], **change}
    manifest["task_options"] = {k: v for k, v in options.items() if v is not ...}
    manifests.write_manifest(folder, manifest)


def tokens_of(path, start):
    """Greedy tokens of a file, several sources at a time."""
    writer = Writer(open_step(path), None, 12)
    options = {"max_new_tokens": NEW, "end_token_ids": ()}
    rows = writer.generate([[start]] * 3, 3, SOURCES, **options)
    return [row.token_ids for (row,) in rows]


@pytest.mark.parametrize("family", PAIRS)
def test_a_file_writes_kerass_tokens_in_one_partition_a_function(family, tmp_path):
    # A table beside which nothing hides: one that stood there twice would be noticed.
    slot = {**SPECS[family].options["embedding"], "vocabulary_size": 30000}
    spec = SPECS[family].replace(options={**SPECS[family].options, "embedding": slot})
    task = kzoo.Seq2SeqLM(add_noise(build(spec)), head={"kind": "tied_lm", "bias": True})
    expected = task.generate(SOURCES, max_new_tokens=NEW, end_token_ids=())
    with traced(exportable(task), sizes_of(task, cache=12)) as graphs:
        for precision in ("float32", "int8"):
            audited = write_file(graphs, tmp_path / f"{precision}.tflite", precision)
            assert sorted(audited["signatures"]) == ["decode", "encode"]
            # Weights stand in the file once, though both functions have some of them.
            most = 1.2 * (1 if precision == "int8" else 4) * task.count_params()
            assert audited["bytes"] < most + 800_000
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
    shutil.copytree(made[1], tmp_path / "b")
    resealed(tmp_path / "b", change)
    with pytest.raises(kzoo.KzooError, match=said):
        manifests.read_manifest(tmp_path / "b")


def test_a_bundle_of_one_length_writes_in_the_language_asked_for(tmp_path):
    task = kzoo.Seq2SeqLM(
        noisy("mbart"),
        tokenizer=speaking("mbart-50"),
        source_language="de_DE",
        target_language="en_XX",
        generation={"max_new_tokens": 6},
    )
    export_bundle(task, tmp_path / "b", "float32", 24, recipe={"cache": 20})
    writer = open_writer(tmp_path / "b")
    ids = writer.prompt_ids(["a b", "b"])
    for language in (None, "de_DE"):
        rows, expected = (
            [[row.token_ids for row in each] for each in side.write(ids, target_language=language)]
            for side in (writer, task)
        )
        assert rows == expected
    with pytest.raises(kzoo.KzooError, match="25 tokens in the source; expected 1 to 24"):
        writer.write([[4] * 25])
    verify_bundle(tmp_path / "b")
    for change, said in (
        ({"target_language": "de_DE"}, "written otherwise from token 0"),
        ({"languages": {"en_XX": 3, "de_DE": 2}}, "names the languages"),
        ({"source_length": 30}, "source_length 30; 1 to 24 is expected"),
    ):
        resealed(tmp_path / "b", change)
        with pytest.raises(kzoo.KzooError, match=said):
            verify_bundle(tmp_path / "b")


def test_a_bundle_of_two_tokenizers_reads_by_the_one_and_writes_by_the_other(tmp_path):
    folder = marian(tmp_path)
    source, target = kzoo.Tokenizer.load(folder), kzoo.TargetTokenizer.load(folder)
    size = source.vocabulary_size
    network = one_block("marian", vocabulary_size=size, padding_id=size - 1)
    task = kzoo.Seq2SeqLM(
        add_noise(build(network)),
        tokenizer=source,
        target_tokenizer=target,
        generation={"max_new_tokens": 8, "forbidden_token_ids": (1, size - 1)},
    )
    assert task.target_ids(["le chat"]) == [[*target.bare_ids(["le chat"])[0], source.end_id]]
    assert task.target_ids(["le chat"]) != [[*source.bare_ids(["le chat"])[0], source.end_id]]
    texts = ["the cat", "sat the"]
    pairs = zip(texts, task.predict(texts), strict=True)
    lines = [json.dumps({"source": one, "target": other}) for one, other in pairs]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    recipe = {"cache": 20, "evaluation": tmp_path / "pairs.jsonl"}
    report = export_bundle(task, tmp_path / "b", "float32", recipe=recipe)
    assert report["evaluation"]["perplexity_ratio"] == pytest.approx(1, abs=1e-3)
    assert predict_bundle(tmp_path / "b", texts[0])[0]["written"] == task.predict(texts)[0]
    assert evaluate(tmp_path / "b", tmp_path / "pairs.jsonl")["scores"]["exact"] == 1
    with pytest.raises(kzoo.KzooError, match="Text 1: Got 102 tokens in the source"):
        predict_bundle(tmp_path / "b", [texts[0], "a" * 100])


def test_a_file_without_one_of_the_two_functions_and_a_source_too_long_are_refused(made, tmp_path):
    task = made[0]
    with traced(exportable(task), sizes_of(task, cache=12), ["decode"]) as graphs:
        write_file(graphs, tmp_path / "half.tflite", "float32")
    with pytest.raises(kzoo.KzooError, match="half.tflite has the functions decode; expected"):
        open_step(tmp_path / "half.tflite")
    writer = open_writer(made[1])
    longest = task.backbone.largest["encoder_length"]
    with pytest.raises(kzoo.KzooError, match=f"tokens in the source; expected 1 to {longest}"):
        writer.write(writer.prompt_ids(["a" * (longest + 1)]))
    with pytest.raises(kzoo.KzooError, match="cache of 8 tokens; expected 16 at least"):
        export_bundle(task, tmp_path / "small", recipe={"cache": 8})
    assert not (tmp_path / "small").exists()
