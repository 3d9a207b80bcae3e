"""What a task reads, a text or a pair of texts, holds wherever it goes."""

import json
import math
import shutil

import numpy as np
import pytest
from families import add_noise, noisy
from test_tasks import TASKS, tokenizer

import kzoo
from kzoo.bundle import export_bundle
from kzoo.bundle import manifest as bundle
from kzoo.bundle.senses import TEXTS as AS_TEXTS
from kzoo.cli import main
from kzoo.lines import as_pair

LABELS = ["other", "paraphrase"]
PAIRS = [("the film is good", "a good film"), ("he lives in paris", "the film is dull")] * 4


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A classifier that `fit` showed pairs, its preset and its bundle."""
    folder = tmp_path_factory.mktemp("pairs")
    model = kzoo.TextClassifier(noisy("bert"), labels=LABELS, tokenizer=tokenizer())
    model.compile()
    model.fit(PAIRS, [1, 0] * 4, batch_size=4, verbose=0)
    add_noise(model).save_preset(folder / "preset")
    lines = [f"{one}\t{other}\tother" for one, other in PAIRS * 3]
    text = "sentence1\tsentence2\tlabel\n" + "\n".join(lines) + "\n"
    (folder / "pairs.tsv").write_text(text, encoding="utf-8")
    report = export_bundle(
        model,
        folder / "bundle",
        "float32",
        recipe={"evaluation": folder / "pairs.tsv"},
    )
    return model, folder, report


def test_fit_on_pairs_settles_what_the_task_and_its_preset_read(learned):
    model, folder, _ = learned
    assert model.reads == "pair" and kzoo.load(folder / "preset").reads == "pair"
    manifest = json.loads((folder / "bundle" / "kzoo.json").read_text())
    assert manifest["reads"] == "pair"
    with pytest.raises(kzoo.KzooError, match=r'reads pairs of texts, \("first", "second"\)'):
        model.predict(["the film is good"])
    with pytest.raises(kzoo.KzooError, match="MediaPipe's tasks read one text at a time"):
        export_bundle(model, folder / "other", length=16, recipe={"mediapipe": True})


def test_parity_golden_examples_and_evaluation_run_on_pairs(learned):
    model, folder, report = learned
    rows = AS_TEXTS.samples(model)
    assert all(isinstance(text, tuple) for text, _ in rows)
    assert all(columns["segment_ids"].max() == 1 for _, columns in rows)
    golden = json.loads((folder / "bundle" / "kzoo.json").read_text())["golden"]
    assert all(len(entry["text"]) == 2 for entry in golden)
    assert report["evaluation"]["examples"] == 3 * len(PAIRS)
    assert report["parity"]["source"] == "pairs.tsv"
    assert kzoo.verify_bundle(folder / "bundle")["reads"] == "pair"
    (folder / "single.tsv").write_text("sentence\tlabel\nthe film\tother\n", encoding="utf-8")
    with pytest.raises(kzoo.KzooError, match="reads pairs of texts"):
        export_bundle(model, folder / "other", recipe={"evaluation": folder / "single.tsv"})


def test_predict_takes_pairs_alone(learned, capfd):
    model, folder, _ = learned
    (answer,) = kzoo.predict_bundle(folder / "bundle", PAIRS[:1])
    expected = model.predict(PAIRS[:1])[0]
    np.testing.assert_allclose(list(answer["scores"].values()), expected, atol=1e-4)
    with pytest.raises(kzoo.KzooError, match=r'text 1 is a string: give two texts as \("first'):
        kzoo.predict_bundle(folder / "bundle", [PAIRS[0], "the film is good"])

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["predict", str(folder / "bundle"), *arguments])
        return left.value.code, *capfd.readouterr()

    code, out, err = run("the film is good")
    assert (code, out) == (2, "") and "add --pair" in err and err.count("\n") == 1
    code, out, err = run("--pair", "a\tb\tc")
    assert (code, out) == (2, "") and "with 2 tabs" in err and err.count("\n") == 1
    code, out, _ = run("--pair", "--json", "\t".join(PAIRS[0]))
    assert code == 0 and math.isclose(json.loads(out)[0]["score"], answer["score"], abs_tol=1e-6)


def test_a_pair_is_one_tab_or_a_json_array():
    assert as_pair("a\tb") == ("a", "b") and as_pair('["a\\tb", ""]') == ("a\tb", "")
    for line, words in (("a", "with no tabs"), ("a\tb\t", "with 2 tabs"), ('["a"]', "no tabs")):
        with pytest.raises(kzoo.KzooError, match=words):
            as_pair(line)


def test_an_embedder_never_joins_two_texts(learned, tmp_path):
    model = add_noise(kzoo.TextEmbedder(noisy("bert"), tokenizer=tokenizer()))
    both = model.predict(PAIRS[:1])
    np.testing.assert_allclose(both[0], model.predict(list(PAIRS[0])), atol=1e-6)
    assert model.task_options()["reads"] == "text"
    shutil.copytree(learned[1] / "bundle", tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "kzoo.json").read_text())
    bundle.write_manifest(tmp_path / "bundle", {**manifest, "reads": "text"})
    with pytest.raises(kzoo.KzooError, match="reads one text at a time, and text 0 is a pair"):
        kzoo.predict_bundle(tmp_path / "bundle", PAIRS)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("TextClassifier", {"text", "text_pair"}), ("MultipleChoice", {"text", "choices"})],
)
def test_the_savedmodel_of_a_pair_task_has_two_inputs(name, inputs, tmp_path):
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("tensorflow_text")
    model = getattr(kzoo, name)(noisy("bert"), tokenizer=tokenizer(), **TASKS[name])
    model.reads = model.reads or "pair"  # As `fit` on pairs would settle it.
    kzoo.export_savedmodel(model, tmp_path / "saved")
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert set(signature.structured_input_signature[1]) == inputs


def test_a_task_of_single_texts_has_no_savedmodel_on_pairs(tmp_path):
    model = kzoo.TextEmbedder(noisy("bert"), tokenizer=tokenizer())
    with pytest.raises(kzoo.KzooError, match="reads one text at a time"):
        kzoo.export_savedmodel(model, tmp_path / "saved", pairs=True)
