"""A captioner as a LiteRT file and bundle: one function reads a picture, another writes."""

import json
import shutil

import numpy as np
import pytest
from families import CAPTIONERS, add_noise
from PIL import Image
from test_captions import READS, TASKS, one_block
from test_image_text import coloured
from test_tasks import tokenizer

import kzoo
from kzoo.bundle import manifest as manifests
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.export import export_bundle
from kzoo.bundle.file_step import open_step
from kzoo.bundle.predict import open_writer, predict_bundle
from kzoo.bundle.verify import verify_bundle
from kzoo.evaluation import evaluate
from kzoo.litert.convert import exportable, sizes_of, traced, write_file
from kzoo.models import build

END = 16  # a token that these networks of noise like to write


def of(family, spec=None, **options):
    """A task on a network of noise."""
    backbone = add_noise(build(spec or one_block(family)))
    options = {"generation": {"max_new_tokens": 8, "end_token_ids": (END,)}, **options}
    return TASKS[family](backbone, tokenizer=tokenizer(), **READS, **options)


def more_words(family):
    """A spec with tables beside which nothing hides: one that stood there twice would be seen."""
    spec = one_block(family)
    towers = {
        name: tower.replace(embedding={**tower.embedding, "vocabulary_size": 20_000})
        if "vocabulary_size" in tower.embedding
        else tower
        for name, tower in spec.towers.items()
    }
    return spec.replace(towers=towers)


def given_to(task, count=3):
    """What sources a task takes."""
    pictures = [picture for picture, _ in coloured(count)]
    asked = ["a dog", "was the film good", "he"]
    asks = isinstance(task, kzoo.VisualQuestionAnswerer)
    return list(zip(pictures, asked, strict=True)) if asks else pictures


@pytest.mark.parametrize("family", TASKS)
def test_a_file_writes_kerass_tokens_in_one_partition_a_function(family, tmp_path):
    task = of(family, more_words(family))
    sources = task.prompt_ids(given_to(task))
    options = {"max_new_tokens": 9, "end_token_ids": ()}
    expected = [row[0].token_ids for row in task.write(sources, **options)]
    with traced(exportable(task), sizes_of(task, cache=12)) as graphs:
        for precision in ("float32", "int8"):
            audited = write_file(graphs, tmp_path / f"{precision}.tflite", precision)
            assert sorted(audited["signatures"]) == ["decode", "encode"]
    writer = task.writer
    for precision in ("float32", "int8"):
        writer.step = open_step(tmp_path / f"{precision}.tflite")
        writer.max_length = 12
        found = [row[0].token_ids for row in writer.generate(sources, **options)]
        assert all(len(ids) == 9 for ids in found)
        if precision == "float32":
            assert found == expected


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    task = of("vision_encoder_decoder")
    folder = tmp_path_factory.mktemp("bundle") / "captioner"
    return task, folder, export_bundle(task, folder, "float32", recipe={"cache": 24})


def test_a_bundle_says_what_keras_does_however_it_is_asked(made, tmp_path):
    task, folder, report = made
    assert report["parity"]["tokens_equal"] == 1.0
    checks = {row["check"]: row["found"] for row in verify_bundle(folder)["checks"]}
    assert "12 resized" in checks["golden examples"]
    pictures = given_to(task)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    answers = predict_bundle(folder, tmp_path)
    assert [each["written"] for each in answers] == task.predict(pictures)
    assert [each["image"] for each in answers] == [str(p) for p in sorted(tmp_path.iterdir())]
    writer = open_writer(folder)
    ids = writer.prompt_ids(pictures)
    for options in ({"num_beams": 3, "num_return_sequences": 2}, {"prompt": "the"}):
        rows = zip(writer.write(ids, **options), task.write(ids, **options), strict=True)
        for one, other in rows:
            assert [row.token_ids for row in one] == [row.token_ids for row in other]
    timed = bench_bundle(folder, rounds=1)
    assert timed["token"]["per_second"] > 0 and len(timed["lengths"]) == 1
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "pictures of 8 x 12 pixels" in page and "golden_00.png" in page


def test_a_bundle_is_evaluated_on_pictures_with_texts(made, tmp_path):
    task = made[0]
    pictures = given_to(task)
    rows = ["image\tcaption"]
    for number, (picture, text) in enumerate(zip(pictures, task.predict(pictures), strict=True)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png\t{text}")
    (tmp_path / "table.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = {"cache": 24, "evaluation": tmp_path / "table.tsv"}
    report = export_bundle(task, tmp_path / "b", "int8", recipe=recipe)
    assert report["evaluation"]["perplexity_ratio"] == pytest.approx(1, abs=0.1)
    assert evaluate(made[1], tmp_path / "table.tsv")["scores"]["exact"] == 1


@pytest.mark.parametrize("what", ["picture", "tokens"])
def test_a_changed_golden_example_is_noticed(made, what, tmp_path):
    folder = tmp_path / "b"
    shutil.copytree(made[1], folder)
    manifest = json.loads((folder / "kzoo.json").read_text(encoding="utf-8"))
    if what == "picture":
        Image.fromarray(np.zeros((9, 9, 3), "uint8")).save(folder / "golden_00.png")
    else:
        entry = manifest["golden"][0]["outputs"]
        entry["token_ids"] = [(entry["token_ids"][0] + 1) % 100, *entry["token_ids"][1:]]
    manifests.write_manifest(folder, manifest)
    said = {"picture": r"golden_00.png'\) is other than", "tokens": "written otherwise from token"}
    with pytest.raises(kzoo.KzooError, match=said[what]):
        verify_bundle(folder)


def test_what_a_file_cannot_hold_is_one_sentence(made, tmp_path):
    task = made[0]
    with pytest.raises(kzoo.KzooError, match="cache of 8 tokens; expected 16 at least"):
        export_bundle(task, tmp_path / "small", recipe={"cache": 8})
    with pytest.raises(kzoo.KzooError, match="inputs are of one size"):
        sizes_of(task, length=16)
    step = open_step(made[1] / "model.tflite")
    with pytest.raises(kzoo.KzooError, match=r"shape \(3, 3, 3\) as a picture; expected"):
        step.reading([np.zeros((3, 3, 3), "uint8")])
    assert not (tmp_path / "small").exists()


assert set(CAPTIONERS) < set(TASKS)


@pytest.fixture(scope="module")
def asked_of(tmp_path_factory):
    task = of("blip_answerer")
    folder = tmp_path_factory.mktemp("bundle") / "answerer"
    return task, folder, export_bundle(task, folder, "float32", recipe={"cache": 24})


def test_a_bundle_answers_questions_about_pictures_as_keras_does(asked_of):
    task, folder, report = asked_of
    assert report["parity"]["tokens_equal"] == 1.0
    checks = {row["check"]: row["found"] for row in verify_bundle(folder)["checks"]}
    assert "12 resized and tokenized" in checks["golden examples"]
    pairs = given_to(task)
    answers = predict_bundle(folder, pairs)
    assert [each["written"] for each in answers] == task.generate(pairs)
    assert [each["text"] for each in answers] == [question for _, question in pairs]
    with pytest.raises(kzoo.KzooError, match="50[0-9] tokens in the question; expected 1 to 40"):
        predict_bundle(folder, [(pairs[0][0], "film " * 500)])


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_bundle_of_both_read_together_gives_the_probabilities_of_keras(quantization, tmp_path):
    task = kzoo.ImageTextMatcher(
        add_noise(build(one_block("blip_matcher"))), tokenizer=tokenizer(), max_length=12, **READS
    )
    report = export_bundle(task, tmp_path / "b", quantization)
    assert report["parity"]["probability_difference"] < (1e-4 if quantization == "float32" else 0.1)
    verify_bundle(tmp_path / "b")
    pairs = [(picture, text) for picture, text in coloured(3)]
    expected = task.predict(pairs)
    for answer, row in zip(predict_bundle(tmp_path / "b", pairs), expected, strict=True):
        assert answer["label"] in task.LABELS and answer["text"].startswith("a ")
        tolerance = 1e-4 if quantization == "float32" else 0.1
        np.testing.assert_allclose(list(answer["scores"].values()), row, atol=tolerance)
